//! What the mock reads of a mail: its id.

use memchr::{memchr, memmem};

/// The mail's id. A task's id within the Message-ID stands for the whole, so that mails and webhooks are named alike;
/// otherwise it is the Message-ID without its brackets. `None` without the header.
pub(super) fn id(mail: &[u8]) -> Option<&[u8]> {
    let value = message_id(mail)?;
    let Some(at) = memmem::find(value, b"tsk_") else { return Some(value) };
    let task = &value[at..];
    let length = task[4..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    Some(&task[..4 + length])
}

fn message_id(mail: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"message-id:";
    let mut rest = mail;
    loop {
        let end = memchr(b'\n', rest)?;
        let line = rest[..end].trim_ascii_end();
        if line.is_empty() {
            return None;
        }
        if line.len() >= NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            // The value may be folded onto the next line (RFC 5322 section 2.2.3).
            let value = &rest[NAME.len()..];
            let open = value.iter().position(|byte| *byte == b'<')?;
            let close = memchr(b'>', &value[open..])?;
            return Some(&value[open + 1..open + close]);
        }
        rest = &rest[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_that_of_the_task_or_the_whole_message_id() {
        let cases = [
            ("From: a\r\nMessage-ID: <tsk_04g00a@fanfare>\r\n\r\nx", Some("tsk_04g00a")),
            ("MESSAGE-ID:<fanfare.tsk_04g00a.1@x>\r\n\r\n", Some("tsk_04g00a")),
            ("Message-Id:\r\n <bare-1@x>\r\nTo: b\r\n\r\n", Some("bare-1@x")),
            ("From: a\r\n\r\nMessage-ID: <in-the-body@x>\r\n", None),
            ("Message-ID: none\r\n\r\n", None),
            ("", None),
        ];
        for (mail, expected) in cases {
            assert_eq!(id(mail.as_bytes()), expected.map(str::as_bytes), "{mail:?}");
        }
    }
}
