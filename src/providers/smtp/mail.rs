//! From a rendered message to the bytes of a mail.
//!
//! lettre has every encoder (addresses, header values, bodies, boundaries) and none of the assembling: its builder reads each header
//! that it has just written again, which takes four times as long as all the rest. A test holds both against each other.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use lettre::Address;
use lettre::message::header::{Date, From, Header, HeaderName, HeaderValue, Headers, MessageId, Subject};
use lettre::message::{Body, Mailbox, Mailboxes, MultiPart};

use crate::domain::{Message, Timestamp};

/// Composes mails from one sender.
pub(super) struct Composer {
    sender: Address,
    /// The header `From`, the same in every mail.
    from: String,
}

/// A mail, all of whose lines end with CR LF, and which has no other CR or LF: a lone one would let a text end the mail early
/// (SMTP smuggling).
pub(super) struct Mail(String);

/// The end of a mail that is sent with DATA.
pub(super) const END: &[u8] = b".\r\n";

/// What a mail takes besides its contents, roughly: headers, boundaries.
const FRAME: usize = 1 << 10;
/// Longer lines are folded (RFC 5322 section 2.1.1), longer ones of a text encoded: lettre's bound for both.
const LINE_MAX: usize = 76;

impl Composer {
    pub(super) fn new(from: Option<&str>) -> Result<Self, String> {
        let text = from.ok_or("`from` is missing: write it as \"Shop <shop@example.com>\"")?;
        let from: Mailbox = text.parse().map_err(|_| format!("`from` is no address: `{text}`"))?;
        Ok(Self { sender: from.email.clone(), from: encoded(From::from(Mailboxes::from(from)).display()) })
    }

    /// The envelope's sender.
    pub(super) fn sender(&self) -> &str {
        self.sender.as_ref()
    }

    /// The host of the sender's address; it names us to the server, and is the right side of each Message-ID.
    pub(super) fn host(&self) -> &str {
        self.sender.domain()
    }

    pub(super) fn compose(&self, message: &Message, recipient: &str, now: Timestamp) -> Result<Mail, String> {
        let parts = &message.parts;
        if parts.title.chars().any(char::is_control) {
            return Err("the subject has a control character".into());
        }
        let to: Address = recipient.parse().map_err(|_| "the recipient is no e-mail address".to_owned())?;
        let (body, html) = (&parts.body, parts.html.as_deref());
        let length = body.len() + html.map_or(0, str::len);
        let mut mail = String::with_capacity(FRAME + length + length / 8);
        mail.push_str(&self.from);
        mail.extend(["To: ", to.as_ref(), "\r\n"]);
        add_text(&mut mail, Subject::name(), &parts.title);
        mail.push_str(&encoded(Date::new(UNIX_EPOCH + Duration::from_millis(now.millis())).display()));
        // The same at each attempt, so that whoever gets it twice can tell.
        add_text(&mut mail, MessageId::name(), &format!("<{}@{}>", message.task, self.host()));
        mail.push_str("MIME-Version: 1.0\r\n");
        match html {
            None => add_part(&mut mail, "text/plain", body),
            Some(html) => add_alternatives(&mut mail, body, html),
        }
        Ok(Mail::of(mail))
    }
}

impl Mail {
    /// Makes lone line ends whole.
    fn of(text: String) -> Self {
        let has_lone = has_neighbours(&text, |byte, next| (byte == b'\r') != (next == b'\n'));
        if text.ends_with("\r\n") && !text.starts_with('\n') && !has_lone {
            return Self(text);
        }
        let mut whole = String::with_capacity(text.len() + text.len() / 16 + 2);
        for line in text.split_inclusive('\n') {
            whole.extend(line.strip_suffix('\n').unwrap_or(line).split('\r'));
            whole.push_str("\r\n");
        }
        Self(whole)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Its bytes as they go over the wire after DATA: leading dots doubled (RFC 5321 section 4.5.2), with the final dot.
    pub(super) fn stuff_into(&self, wire: &mut Vec<u8>) {
        let bytes = self.0.as_bytes();
        wire.reserve(bytes.len() + 64);
        let has_leading_dot = has_neighbours(&self.0, |byte, next| (byte == b'\n') & (next == b'.'));
        if has_leading_dot || self.0.starts_with('.') {
            for line in self.0.split_inclusive('\n') {
                if line.starts_with('.') {
                    wire.push(b'.');
                }
                wire.extend_from_slice(line.as_bytes());
            }
        } else {
            wire.extend_from_slice(bytes);
        }
        wire.extend_from_slice(END);
    }
}

/// The line, or the lines, of a header as lettre writes it.
fn encoded(header: HeaderValue) -> String {
    let mut headers = Headers::with_capacity(1);
    headers.insert_raw(header);
    headers.to_string()
}

/// Adds a header of free text. What is short and plain stands for itself; lettre encodes and folds the rest.
fn add_text(mail: &mut String, name: HeaderName, text: &str) {
    let is_plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if is_plain && name.len() + ": ".len() + text.len() <= LINE_MAX {
        mail.extend([&*name, ": ", text, "\r\n"]);
    } else {
        mail.push_str(&encoded(HeaderValue::new(name, text.to_owned())));
    }
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
fn has_neighbours(text: &str, are: impl Fn(u8, u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let pairs = bytes.iter().zip(bytes.get(1..).unwrap_or_default());
    pairs.fold(false, |found, (byte, next)| found | are(*byte, *next))
}

fn whole_lines(text: &str) -> Cow<'_, str> {
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

#[cfg(test)]
mod tests;
