//! Attachments: what stands in headers of a mail must be able to.

use super::wire::{Object, WireAttachment};
use super::{Problems, addresses, limits};
use crate::domain::AttachmentReference;

/// One message says what several would have said, and could carry the files of one of them only.
pub(super) const NOT_MERGED: &str = "cannot go with a message that is merged with others: leave out `attachments`, or `aggregate` and \
     a category whose messages are collected (`digest`)";

pub(super) fn read(given: Vec<Object<WireAttachment>>, problems: &mut Problems) -> Vec<AttachmentReference> {
    if given.len() > limits::ATTACHMENTS_MAX {
        problems.add("/attachments", format!("must have at most {} entries", limits::ATTACHMENTS_MAX));
    }
    let entries = given.into_iter().enumerate();
    entries.map(|(index, Object(attachment))| read_one(index, attachment, problems)).collect()
}

fn read_one(index: usize, attachment: WireAttachment, problems: &mut Problems) -> AttachmentReference {
    let WireAttachment { url, name, media_type } = attachment;
    let place = |field: &str| format!("/attachments/{index}/{field}");
    problems.check(place("url"), addresses::url(&url));
    problems.line(place("name"), &name, limits::ATTACHMENT_NAME_BYTES_MAX);
    if name.contains(['/', '\\', '"']) || matches!(&*name, "." | "..") {
        problems.add(place("name"), "must be the name of a file, without directories and quotation marks");
    }
    if let Some(media_type) = &media_type
        && !is_media_type(media_type)
    {
        problems.add(place("media_type"), "is no media type: write it as application/pdf");
    }
    AttachmentReference { url, name, media_type }
}

/// `type/subtype` (RFC 6838, 4.2), without parameters.
fn is_media_type(text: &str) -> bool {
    let is_name = |name: &str| {
        let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric()) && name.bytes().all(rest)
    };
    text.len() <= limits::MEDIA_TYPE_BYTES_MAX
        && text.split_once('/').is_some_and(|(kind, subkind)| is_name(kind) && is_name(subkind))
}
