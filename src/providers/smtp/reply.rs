//! Replies of a server (RFC 5321 section 4.2). Pure.

/// One whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// Class, subject, detail (RFC 3463), from the first line.
    pub(super) enhanced: Option<(u16, u16, u16)>,
    /// The text of each line, without codes.
    pub(super) lines: Vec<String>,
}

/// A reply that is longer is not read to its end.
pub(super) const REPLY_MAX: usize = 64 << 10;

/// What is not a reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAReply;

/// Reads one reply from the start of the buffer: the reply and the bytes it took, or `None` if it is not all there yet.
pub(super) fn read(buffer: &[u8]) -> Result<Option<(Reply, usize)>, NotAReply> {
    let mut lines = Vec::new();
    let mut at = 0;
    let mut code = None;
    loop {
        let Some(length) = buffer[at..].iter().position(|byte| *byte == b'\n') else {
            return if buffer.len() > REPLY_MAX { Err(NotAReply) } else { Ok(None) };
        };
        let line = buffer[at..at + length].strip_suffix(b"\r").unwrap_or(&buffer[at..at + length]);
        at += length + 1;
        let line = String::from_utf8_lossy(line);
        let number: u16 = line.get(..3).and_then(|digits| digits.parse().ok()).ok_or(NotAReply)?;
        if !(200..600).contains(&number) || code.is_some_and(|code| code != number) {
            return Err(NotAReply);
        }
        code = Some(number);
        lines.push(line.get(4..).unwrap_or("").to_owned());
        match line.as_bytes().get(3) {
            Some(b'-') => {}
            Some(b' ') | None => {
                let enhanced = lines.first().and_then(|line| enhanced(line));
                return Ok(Some((Reply { code: number, enhanced, lines }, at)));
            }
            Some(_) => return Err(NotAReply),
        }
    }
}

fn enhanced(line: &str) -> Option<(u16, u16, u16)> {
    let mut numbers = line.split_whitespace().next()?.split('.').map(|number| number.parse::<u16>().ok());
    let code = (numbers.next()??, numbers.next()??, numbers.next()??);
    (numbers.next().is_none() && [2, 4, 5].contains(&code.0)).then_some(code)
}

impl Reply {
    pub(super) fn is_positive(&self) -> bool {
        self.code < 300
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_reply_may_have_several_lines_and_an_enhanced_code() {
        let bytes = b"250-mail.example.com\r\n250-PIPELINING\r\n250 SIZE 1000\r\n354 go";
        let (reply, used) = read(bytes).expect("a reply").expect("whole");
        assert_eq!((reply.code, used), (250, 53));
        assert_eq!(reply.lines, ["mail.example.com", "PIPELINING", "SIZE 1000"]);
        let (reply, _) = read(b"550 5.1.1 no such user\r\n").expect("a reply").expect("whole");
        assert_eq!(reply.enhanced, Some((5, 1, 1)));
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bytes in [&b"hello\r\n"[..], b"250-a\r\n251 b\r\n", b"250_a\r\n", b"999 a\r\n", b"\r\n"] {
            assert_eq!(read(bytes), Err(NotAReply));
        }
        assert_eq!(read(&vec![b'2'; REPLY_MAX + 1]), Err(NotAReply));
    }

    proptest! {
        #[test]
        fn a_reply_is_whole_only_with_its_last_byte(split in 0usize..30) {
            let bytes = b"250-one\r\n250 2.1.0 two\r\n";
            let split = split.min(bytes.len() - 1);
            prop_assert_eq!(read(&bytes[..split]), Ok(None));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
