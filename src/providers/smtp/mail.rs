//! From a rendered message to the bytes of a mail.

use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MultiPart, SinglePart};

use crate::domain::{Message, Timestamp};

/// Composes mails from one sender.
pub(super) struct Composer {
    from: Mailbox,
    sender: String,
}

impl Composer {
    pub(super) fn new(from: Option<&str>) -> Result<Self, String> {
        let text = from.ok_or("`from` is missing: write it as \"Shop <shop@example.com>\"")?;
        let from: Mailbox = text.parse().map_err(|_| format!("`from` is no address: `{text}`"))?;
        Ok(Self { sender: from.email.to_string(), from })
    }

    /// The envelope's sender.
    pub(super) fn sender(&self) -> &str {
        &self.sender
    }

    /// The host of the sender's address; it names us to the server, and is the right side of each Message-ID.
    pub(super) fn host(&self) -> &str {
        self.from.email.domain()
    }

    /// The mail as it goes over the wire, its lines that begin with a dot doubled (RFC 5321 section 4.5.2), with the final dot.
    pub(super) fn compose(&self, message: &Message, recipient: &str, now: Timestamp) -> Result<Vec<u8>, String> {
        let parts = &message.parts;
        if parts.title.chars().any(char::is_control) {
            return Err("the subject has a control character".into());
        }
        let to = recipient.parse().map_err(|_| "the recipient is no e-mail address".to_owned())?;
        let builder = lettre::Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(&parts.title)
            .date(UNIX_EPOCH + Duration::from_millis(now.millis()))
            // The same at each attempt, so that whoever gets it twice can tell.
            .message_id(Some(format!("<{}@{}>", message.task, self.host())));
        // With whole line ends, which lettre would otherwise put in one by one.
        let text = whole_lines(&parts.body);
        let mail = match &parts.html {
            None => builder.singlepart(SinglePart::builder().header(ContentType::TEXT_PLAIN).body(text)),
            Some(html) => builder.multipart(MultiPart::alternative_plain_html(text, whole_lines(html))),
        };
        let mail = mail.map_err(|error| format!("the mail cannot be made: {error}"))?;
        Ok(stuff(&mail.formatted()))
    }
}

fn whole_lines(text: &str) -> String {
    if !text.contains(['\r', '\n']) {
        return text.to_owned();
    }
    let mut whole = String::with_capacity(text.len() + text.len() / 16);
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            whole.push_str("\r\n");
        }
        whole.push_str(line.strip_suffix('\r').unwrap_or(line));
    }
    whole
}

/// Doubles leading dots, makes every line end with CR LF, and adds the final dot. A lone CR or LF would let a text end the
/// mail early (SMTP smuggling), so none gets through.
fn stuff(mail: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(mail.len() + 64);
    for line in mail.split(|byte| *byte == b'\n') {
        let mut line = line.iter().copied().filter(|byte| *byte != b'\r').peekable();
        if line.peek() == Some(&b'.') {
            stuffed.push(b'.');
        }
        stuffed.extend(line);
        stuffed.extend_from_slice(b"\r\n");
    }
    // The last line ended with a line end, after which the loop saw an empty one.
    if mail.ends_with(b"\n") {
        stuffed.truncate(stuffed.len() - 2);
    }
    stuffed.extend_from_slice(b".\r\n");
    stuffed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn leading_dots_are_doubled_and_lone_line_ends_made_whole() {
        assert_eq!(stuff(b"a\r\n.b\nc\rd\r\n"), b"a\r\n..b\r\ncd\r\n.\r\n");
        assert_eq!(stuff(b"a"), b"a\r\n.\r\n");
        assert_eq!(stuff(b"\n\r.\r\n"), b"\r\n..\r\n.\r\n", "a dot behind a lone CR leads its line too");
    }

    proptest! {
        #[test]
        fn nothing_in_a_mail_can_end_it_early(mail in prop::collection::vec(prop::sample::select(b"a.\r\n".to_vec()), 0..60)) {
            let stuffed = stuff(&mail);
            let end = stuffed.windows(5).position(|window| window == b"\r\n.\r\n").map(|at| at + 5);
            prop_assert!(end == Some(stuffed.len()) || stuffed == b".\r\n");
            for (index, byte) in stuffed.iter().enumerate() {
                match byte {
                    b'\n' => prop_assert_eq!(stuffed[index - 1], b'\r'),
                    b'\r' => prop_assert_eq!(stuffed[index + 1], b'\n'),
                    _ => {}
                }
            }
        }
    }
}
