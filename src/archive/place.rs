//! Where files go: a folder, or a bucket.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{FolderPlace, S3Place};
use crate::clock::SharedClock;
use crate::config;

/// Why a file is not where it should be, in words for people; never with a secret.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("cannot write `{name}` to the archive: {reason}")]
    Write { name: String, reason: String },
    #[error("cannot read `{name}` back from the archive: {reason}")]
    Read { name: String, reason: String },
    /// It was read back, and is something else.
    #[error("`{name}` of the archive is not what was written: {reason}; nothing of it was dropped")]
    Different { name: String, reason: String },
}

/// A place for files. Names are relative, of `/`-separated words of letters, digits and `.-_~`.
#[async_trait]
pub trait ArchivePlace: Send + Sync + 'static {
    /// Writes a file, over one of its name; durable on return.
    async fn put(&self, name: &str, body: Bytes) -> Result<(), PlaceError>;

    /// Reads one, of at most `bytes_max` bytes: a longer one is an error.
    async fn get(&self, name: &str, bytes_max: usize) -> Result<Bytes, PlaceError>;
}

/// A place as it is handed around.
pub type SharedPlace = Arc<dyn ArchivePlace>;

/// What `archive.to` says.
enum To<'a> {
    Folder(&'a str),
    /// Bucket, and what stands before each name.
    Bucket(&'a str, &'a str),
}

fn read_to(to: &str) -> Result<To<'_>, String> {
    let wrong = || {
        format!(
            "`archive.to` is `{to}`: write \"folder:/var/lib/fanfare/archive\" or \"s3://bucket/what-stands-before\""
        )
    };
    if let Some(folder) = to.strip_prefix("folder:").filter(|folder| !folder.is_empty()) {
        return Ok(To::Folder(folder));
    }
    let bucket = to.strip_prefix("s3://").ok_or_else(wrong)?;
    let (bucket, before) = bucket.split_once('/').unwrap_or((bucket, ""));
    let before = before.trim_matches('/');
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let fits =
        !bucket.is_empty() && bucket.bytes().all(is_plain) && before.bytes().all(|byte| is_plain(byte) || byte == b'/');
    if fits { Ok(To::Bucket(bucket, before)) } else { Err(wrong()) }
}

/// The place that the configuration names; `None`: it names none.
pub fn place_of(settings: &config::Archive, clock: SharedClock) -> Result<Option<SharedPlace>, String> {
    let Some(to) = settings.to.as_deref() else { return Ok(None) };
    Ok(Some(match read_to(to)? {
        To::Folder(folder) => Arc::new(FolderPlace::new(folder.into())),
        To::Bucket(bucket, before) => Arc::new(S3Place::new(settings, (bucket, before), clock)?),
    }))
}
