//! Replies of a server (RFC 5321 section 4.2). Pure.

use std::ops::Range;

/// One whole reply, without its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// Class, subject, detail (RFC 3463), from the first line.
    pub(super) enhanced: Option<(u16, u16, u16)>,
}

/// What came in, and how far it is understood. Its room is used again from mail to mail.
pub(super) struct Inbox {
    bytes: Vec<u8>,
    understood: usize,
    /// The last reply's place.
    said: Range<usize>,
}

/// More than the replies to one mail take, so that one read brings them all.
const ROOM: usize = 2 << 10;
/// A reply that is longer is not read to its end.
pub(super) const REPLY_MAX: usize = 64 << 10;

/// What is not a reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAReply;

impl Reply {
    pub(super) fn is_positive(self) -> bool {
        self.code < 300
    }
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::with_capacity(ROOM), understood: 0, said: 0..0 }
    }

    /// The next reply, if it is all there.
    pub(super) fn next(&mut self) -> Result<Option<Reply>, NotAReply> {
        let Some((reply, length)) = read(&self.bytes[self.understood..])? else { return Ok(None) };
        self.said = self.understood..self.understood + length;
        self.understood = self.said.end;
        Ok(Some(reply))
    }

    /// Where more is read to, behind what is not understood yet.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.understood);
        (self.understood, self.said) = (0, 0..0);
        &mut self.bytes
    }

    /// Whether all that came is understood.
    pub(super) fn is_empty(&self) -> bool {
        self.understood == self.bytes.len()
    }

    /// The text of each line of the last reply, without codes.
    pub(super) fn said(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.bytes[self.said.clone()].split_inclusive(|byte| *byte == b'\n');
        lines.map(|line| line.get(4..).unwrap_or_default().trim_ascii_end())
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        (self.understood, self.said) = (0, 0..0);
    }
}

/// Reads one reply from the start of the bytes: the reply and the bytes it took, or `None` if it is not all there yet.
fn read(bytes: &[u8]) -> Result<Option<(Reply, usize)>, NotAReply> {
    let mut at = 0;
    let mut first: Option<Reply> = None;
    loop {
        let Some(length) = bytes[at..].iter().position(|byte| *byte == b'\n') else {
            return if bytes.len() > REPLY_MAX { Err(NotAReply) } else { Ok(None) };
        };
        let line = bytes[at..at + length].strip_suffix(b"\r").unwrap_or(&bytes[at..at + length]);
        at += length + 1;
        let code = code(line).ok_or(NotAReply)?;
        let reply = *first.get_or_insert_with(|| Reply { code, enhanced: line.get(4..).and_then(enhanced) });
        if reply.code != code {
            return Err(NotAReply);
        }
        match line.get(3) {
            Some(b'-') => {}
            Some(b' ') | None => return Ok(Some((reply, at))),
            Some(_) => return Err(NotAReply),
        }
    }
}

fn code(line: &[u8]) -> Option<u16> {
    let digits = line.get(..3)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    (200..600).contains(&code).then_some(code)
}

fn enhanced(text: &[u8]) -> Option<(u16, u16, u16)> {
    let word = text.trim_ascii_start().split(|byte| byte.is_ascii_whitespace()).next()?;
    let mut numbers = str::from_utf8(word).ok()?.split('.').map(|number| number.parse::<u16>().ok());
    let code = (numbers.next()??, numbers.next()??, numbers.next()??);
    (numbers.next().is_none() && [2, 4, 5].contains(&code.0)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn inbox(bytes: &[u8]) -> Inbox {
        let mut inbox = Inbox::new();
        inbox.room().extend_from_slice(bytes);
        inbox
    }

    #[test]
    fn a_reply_may_have_several_lines_and_an_enhanced_code() {
        let mut inbox =
            inbox(b"250-mail.example.com\r\n250-PIPELINING\r\n250 SIZE 1000\r\n550 5.1.1 no such user\r\n354\r\n250");
        assert_eq!(inbox.next(), Ok(Some(Reply { code: 250, enhanced: None })));
        assert_eq!(inbox.said().collect::<Vec<_>>(), [&b"mail.example.com"[..], b"PIPELINING", b"SIZE 1000"]);
        assert_eq!(inbox.next(), Ok(Some(Reply { code: 550, enhanced: Some((5, 1, 1)) })));
        assert_eq!(inbox.next(), Ok(Some(Reply { code: 354, enhanced: None })));
        assert_eq!(inbox.said().collect::<Vec<_>>(), [b""]);
        assert_eq!(inbox.next(), Ok(None));
        assert!(!inbox.is_empty());
        inbox.room().extend_from_slice(b" ok\r\n");
        assert_eq!(inbox.next(), Ok(Some(Reply { code: 250, enhanced: None })));
        assert!(inbox.is_empty());
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bytes in [&b"hello\r\n"[..], b"250-a\r\n251 b\r\n", b"250_a\r\n", b"999 a\r\n", b"+25 a\r\n", b"\r\n"] {
            assert_eq!(inbox(bytes).next(), Err(NotAReply));
        }
        assert_eq!(inbox(&vec![b'2'; REPLY_MAX + 1]).next(), Err(NotAReply));
    }

    proptest! {
        #[test]
        fn a_reply_is_whole_only_with_its_last_byte(split in 0usize..30) {
            let bytes = b"250-one\r\n250 2.1.0 two\r\n";
            let split = split.min(bytes.len() - 1);
            let mut inbox = inbox(&bytes[..split]);
            prop_assert_eq!(inbox.next(), Ok(None));
            inbox.room().extend_from_slice(&bytes[split..]);
            prop_assert_eq!(inbox.next(), Ok(Some(Reply { code: 250, enhanced: None })));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut inbox = inbox(&bytes);
            while let Ok(Some(_)) = inbox.next() {
                inbox.said().for_each(drop);
            }
        }
    }
}
