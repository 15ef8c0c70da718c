//! What is in a mail: texts, alternatives, files.

use std::borrow::Cow;
use std::fmt::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::message::header::{ContentDisposition, Header};
use lettre::message::{Body, MultiPart};

use super::{LINE_MAX, encoded};
use crate::domain::{Attachment, Message};

/// Bytes in a line of base64: 76 characters (RFC 2045 section 6.8).
const LINE_BYTES: usize = 57;
/// For a file whose type cannot stand in a header, or would not be encoded as a file.
const ANY_TYPE: &str = "application/octet-stream";

/// Adds the header of the content's type, and the content.
pub(super) fn add_content(mail: &mut String, message: &Message) {
    if message.attachments.is_empty() {
        return add_text_part(mail, message);
    }
    let frame = MultiPart::mixed().build();
    let boundary = frame.boundary();
    let _ = write!(mail, "{}\r\n", frame.headers());
    mail.extend(["--", &boundary, "\r\n"]);
    add_text_part(mail, message);
    for attachment in &message.attachments {
        mail.extend(["--", &boundary, "\r\n"]);
        add_file(mail, attachment);
    }
    mail.extend(["--", &boundary, "--\r\n"]);
}

fn add_text_part(mail: &mut String, message: &Message) {
    match &message.parts.html {
        None => add_part(mail, "text/plain", &message.parts.body),
        Some(html) => add_alternatives(mail, &message.parts.body, html),
    }
}

fn add_file(mail: &mut String, attachment: &Attachment) {
    let kind = if is_file_type(&attachment.media_type) { &*attachment.media_type } else { ANY_TYPE };
    mail.extend(["Content-Type: ", kind, "\r\n"]);
    // Names outside ASCII and long ones by RFC 2231; a line end in one would begin another header.
    let name: String = attachment.name.chars().filter(|letter| !letter.is_control()).collect();
    mail.push_str(&encoded(ContentDisposition::attachment(&name).display()));
    mail.push_str("Content-Transfer-Encoding: base64\r\n\r\n");
    for line in attachment.content.chunks(LINE_BYTES) {
        STANDARD.encode_string(line, mail);
        mail.push_str("\r\n");
    }
}

/// Two words with a slash between them (RFC 2045 section 5.1), and not one of those that must not be encoded (section 6.4).
fn is_file_type(text: &str) -> bool {
    let is_word = |word: &str| {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        (1..=127).contains(&word.len()) && word.bytes().all(letters)
    };
    let Some((kind, of)) = text.split_once('/') else { return false };
    let is_frame = ["multipart", "message"].iter().any(|frame| kind.eq_ignore_ascii_case(frame));
    is_word(kind) && is_word(of) && !is_frame
}

fn add_alternatives(mail: &mut String, body: &str, html: &str) {
    let frame = MultiPart::alternative().build();
    let boundary = frame.boundary();
    let _ = write!(mail, "{}\r\n", frame.headers());
    for (kind, text) in [("text/plain", body), ("text/html", html)] {
        mail.extend(["--", &boundary, "\r\n"]);
        add_part(mail, kind, text);
    }
    mail.extend(["--", &boundary, "--\r\n"]);
}

fn add_part(mail: &mut String, kind: &str, text: &str) {
    mail.extend(["Content-Type: ", kind, "; charset=utf-8\r\nContent-Transfer-Encoding: "]);
    // With whole line ends, which lettre would otherwise put in one by one.
    let text = whole_lines(text);
    if is_seven_bit(&text) {
        mail.extend(["7bit\r\n\r\n", &*text, "\r\n"]);
        return;
    }
    let body = Body::new(text.into_owned());
    let _ = write!(mail, "{}\r\n\r\n", body.encoding());
    mail.push_str(&String::from_utf8_lossy(body.as_ref()));
    mail.push_str("\r\n");
}

/// Whether lettre would leave it as it is.
fn is_seven_bit(text: &str) -> bool {
    text.is_ascii() && text.split('\n').enumerate().all(|(index, line)| line.len() + usize::from(index > 0) < LINE_MAX)
}

/// Whether two bytes next to each other are like this. Looks at all of them, without a branch in between: many at a time.
pub(super) fn has_neighbours(text: &str, are: impl Fn(u8, u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let pairs = bytes.iter().zip(bytes.get(1..).unwrap_or_default());
    pairs.fold(false, |found, (byte, next)| found | are(*byte, *next))
}

pub(super) fn whole_lines(text: &str) -> Cow<'_, str> {
    let has_lone = has_neighbours(text, |byte, next| (byte != b'\r') & (next == b'\n'));
    if !has_lone && !text.starts_with('\n') && !text.ends_with('\r') {
        return Cow::Borrowed(text);
    }
    let mut whole = String::with_capacity(text.len() + text.len() / 16);
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            whole.push_str("\r\n");
        }
        whole.push_str(line.strip_suffix('\r').unwrap_or(line));
    }
    Cow::Owned(whole)
}
