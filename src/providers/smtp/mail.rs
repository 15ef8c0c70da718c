//! From a rendered message to the bytes of a mail.
//!
//! lettre has every encoder (addresses, header values, bodies, boundaries) and none of the assembling: its builder reads each header
//! that it has just written again, which takes four times as long as all the rest. A test holds both against each other.

mod parts;

use std::time::{Duration, UNIX_EPOCH};

use lettre::Address;
use lettre::message::header::{Date, From, Header, HeaderName, HeaderValue, Headers, MessageId, ReplyTo, Subject};
use lettre::message::{Mailbox, Mailboxes};

use super::dkim::{Signer, ascii_host};
use crate::config;
use crate::domain::{Message, Timestamp};
use crate::providers::mail_headers::extra_headers;
use crate::providers::options;

use parts::{add_content, has_neighbours};

/// Composes mails from one sender.
pub(super) struct Composer {
    sender: Address,
    /// Who learns that a mail could not be delivered: the envelope's sender.
    bounces_to: Address,
    /// The headers `From` and, where there is one, `Reply-To`, the same in every mail.
    from: String,
    /// The sender's host as the DNS knows it.
    host: String,
    /// Takes unsubscriptions by mail.
    unsubscribe_mailto: Option<String>,
    signer: Option<Signer>,
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

/// More than this takes longer to encode, hash and sign than others should wait: SHA-256 alone takes about 8 ms for a megabyte.
const AT_ONCE_MAX: usize = 64 << 10;

impl Composer {
    pub(super) fn read(settings: &config::Provider) -> Result<Self, String> {
        let mut composer = Self::new(settings.from.as_deref())?;
        if let Some(text) = options::text(settings, "bounce_address")? {
            let no_address = || format!("`options.bounce_address` is no address: `{text}`");
            composer.bounces_to = text.parse().map_err(|_| no_address())?;
        }
        if let Some(text) = options::text(settings, "reply_to")? {
            let reply_to: Mailboxes =
                text.parse().map_err(|_| format!("`options.reply_to` is no address: `{text}`"))?;
            composer.from.push_str(&encoded(ReplyTo::from(reply_to).display()));
        }
        if let Some(text) = options::text(settings, "unsubscribe_mailto")? {
            let address: Address =
                text.parse().map_err(|_| format!("`options.unsubscribe_mailto` is no address: `{text}`"))?;
            composer.unsubscribe_mailto = Some(address.to_string());
        }
        composer.signer = Signer::read(settings, composer.sender.domain())?;
        Ok(composer)
    }

    /// Without options and signature.
    pub(super) fn new(from: Option<&str>) -> Result<Self, String> {
        let text = from.ok_or("`from` is missing: write it as \"Shop <shop@example.com>\"")?;
        let from: Mailbox = text.parse().map_err(|_| format!("`from` is no address: `{text}`"))?;
        let sender = from.email.clone();
        Ok(Self {
            bounces_to: sender.clone(),
            from: encoded(From::from(Mailboxes::from(from)).display()),
            host: ascii_host(sender.domain()).unwrap_or_else(|| sender.domain().to_owned()),
            sender,
            unsubscribe_mailto: None,
            signer: None,
        })
    }

    /// The envelope's sender.
    pub(super) fn bounces_to(&self) -> &str {
        self.bounces_to.as_ref()
    }

    /// The host of the sender's address; it names us to the server, and is the right side of each Message-ID.
    pub(super) fn host(&self) -> &str {
        self.sender.domain()
    }

    pub(super) fn ascii_host(&self) -> &str {
        &self.host
    }

    pub(super) fn signer(&self) -> Option<&Signer> {
        self.signer.as_ref()
    }

    /// Whether composing it would hold others up.
    pub(super) fn is_slow(&self, message: &Message) -> bool {
        self.signer.as_ref().is_some_and(Signer::is_slow) || content_length(message) > AT_ONCE_MAX
    }

    pub(super) fn compose(&self, message: &Message, recipient: &str, now: Timestamp) -> Result<Mail, String> {
        let parts = &message.parts;
        if parts.title.chars().any(char::is_control) {
            return Err("the subject has a control character".into());
        }
        let to: Address = recipient.parse().map_err(|_| "the recipient is no e-mail address".to_owned())?;
        let length = content_length(message);
        let mut mail = String::with_capacity(FRAME + length + length / 2);
        mail.push_str(&self.from);
        mail.extend(["To: ", to.as_ref(), "\r\n"]);
        add_text(&mut mail, Subject::name(), &parts.title);
        mail.push_str(&encoded(Date::new(UNIX_EPOCH + Duration::from_millis(now.millis())).display()));
        // The same at each attempt, so that whoever gets it twice can tell.
        add_text(&mut mail, MessageId::name(), &format!("<{}@{}>", message.task, self.host()));
        for (name, value) in extra_headers(message, &self.host, self.unsubscribe_mailto.as_deref()) {
            add_plain(&mut mail, name, &value);
        }
        mail.push_str("MIME-Version: 1.0\r\n");
        add_content(&mut mail, message);
        let mut mail = Mail::of(mail);
        if let Some(signer) = &self.signer {
            let signature = signer.sign(&mail.0, now)?;
            mail.0.insert_str(0, &signature);
        }
        Ok(mail)
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

fn content_length(message: &Message) -> usize {
    let attached: usize = message.attachments.iter().map(|attachment| attachment.content.len()).sum();
    message.parts.body.len() + message.parts.html.as_deref().map_or(0, str::len) + attached
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

/// Adds a header of printable ASCII as it is, folded behind its commas: encoded, an address to unsubscribe at is none.
fn add_plain(mail: &mut String, name: &str, value: &str) {
    mail.extend([name, ": "]);
    let mut length = name.len() + 2;
    for (index, word) in value.split(", ").enumerate() {
        if index > 0 {
            let fits = length + word.len() + 2 <= LINE_MAX;
            mail.push_str(if fits { ", " } else { ",\r\n " });
            length = if fits { length + 2 } else { 1 };
        }
        mail.push_str(word);
        length += word.len();
    }
    mail.push_str("\r\n");
}

#[cfg(test)]
mod tests;
