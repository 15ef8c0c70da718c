//! Cuts the stream of an SMTP client into lines and mails, however the bytes arrive.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memmem};

/// The longest command line. RFC 5321 asks for 512; authentication may need 12,288 (RFC 4954 section 4).
const LINE_BYTES_MAX: usize = 12_288;

/// The largest mail, as announced by SIZE.
pub(super) const MAIL_BYTES_MAX: usize = 26_214_400;

/// What ends a mail (RFC 5321 section 4.1.1.4).
const END: &[u8] = b"\r\n.\r\n";

/// Where in the conversation the next bytes belong.
#[derive(Debug, Default)]
pub(super) struct Parser {
    expected: Expected,
    /// Bytes at the front of the input that hold no end, as known from earlier calls: nothing is searched twice.
    searched: usize,
}

/// What the next bytes are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Expected {
    #[default]
    Line,
    /// A mail, up to the line with a single dot.
    Mail,
    /// So many bytes of a mail.
    Chunk(usize),
}

/// One piece of input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A command, without its line end.
    Line(Bytes),
    /// A mail as it was sent, dots still doubled, without the final dot.
    Mail(Bytes),
    /// All of a mail's chunk, as it is.
    Chunk(Bytes),
    /// A line or mail longer than allowed; the conversation cannot go on.
    TooLong,
}

impl Parser {
    /// From now on a mail follows, up to the line with a single dot.
    pub(super) fn expect_mail(&mut self) {
        self.expected = Expected::Mail;
        self.searched = 0;
    }

    /// So many bytes of a mail follow, whatever they are.
    pub(super) fn expect_chunk(&mut self, size: usize) {
        self.expected = Expected::Chunk(size);
    }

    /// Takes the next piece off the input; `None` when it is not complete yet.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Option<Piece> {
        match self.expected {
            Expected::Line => self.line(input),
            Expected::Mail => self.mail(input),
            Expected::Chunk(size) if size > MAIL_BYTES_MAX => Some(Piece::TooLong),
            Expected::Chunk(size) if size > input.len() => None,
            Expected::Chunk(size) => {
                self.expected = Expected::Line;
                Some(Piece::Chunk(input.split_to(size).freeze()))
            }
        }
    }

    fn line(&mut self, input: &mut BytesMut) -> Option<Piece> {
        let Some(found) = memchr(b'\n', &input[self.searched..]) else {
            self.searched = input.len();
            return (input.len() > LINE_BYTES_MAX).then_some(Piece::TooLong);
        };
        let end = self.searched + found;
        self.searched = 0;
        if end > LINE_BYTES_MAX {
            return Some(Piece::TooLong);
        }
        let mut line = input.split_to(end + 1);
        // A bare line feed is taken as a line end in commands, never in a mail: there it could smuggle in a second one.
        line.truncate(if line.ends_with(b"\r\n") { end - 1 } else { end });
        Some(Piece::Line(line.freeze()))
    }

    fn mail(&mut self, input: &mut BytesMut) -> Option<Piece> {
        if self.searched == 0 && input.starts_with(&END[2..]) {
            // An empty mail: the line end before its dot was that of DATA.
            self.expected = Expected::Line;
            let _ = input.split_to(END.len() - 2);
            return Some(Piece::Mail(Bytes::new()));
        }
        let Some(found) = memmem::find(&input[self.searched..], END) else {
            // The end may lie across the edge of what has arrived.
            self.searched = input.len().saturating_sub(END.len() - 1);
            return (input.len() > MAIL_BYTES_MAX).then_some(Piece::TooLong);
        };
        let end = self.searched + found;
        (self.searched, self.expected) = (0, Expected::Line);
        let mut mail = input.split_to(end + END.len());
        mail.truncate(end + 2);
        Some(Piece::Mail(mail.freeze()))
    }
}

/// Takes off the dot that a client puts before a line that begins with one (RFC 5321 section 4.5.2). Copies only when
/// there is one.
pub(crate) fn unstuff(wire: &[u8]) -> Cow<'_, [u8]> {
    const STUFFED: &[u8] = b"\r\n.";
    if !wire.starts_with(b".") && memmem::find(wire, STUFFED).is_none() {
        return Cow::Borrowed(wire);
    }
    let mut mail = Vec::with_capacity(wire.len());
    let mut rest = wire.strip_prefix(b".").unwrap_or(wire);
    while let Some(at) = memmem::find(rest, STUFFED) {
        mail.extend_from_slice(&rest[..at + 2]);
        rest = &rest[at + STUFFED.len()..];
    }
    mail.extend_from_slice(rest);
    Cow::Owned(mail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_dot_that_was_added_is_taken_off() {
        let cases = [
            ("a\r\nb\r\n", "a\r\nb\r\n"),
            ("..a\r\n", ".a\r\n"),
            ("a\r\n..b\r\n...c\r\n", "a\r\n.b\r\n..c\r\n"),
            ("a.\r\nb..c\r\n", "a.\r\nb..c\r\n"),
            ("a\n..b\r\n", "a\n..b\r\n"),
            ("\r\n..\r\n..\r\n", "\r\n.\r\n.\r\n"),
            ("", ""),
        ];
        for (wire, expected) in cases {
            assert_eq!(unstuff(wire.as_bytes()), expected.as_bytes(), "{wire:?}");
        }
    }

    #[test]
    fn a_bare_line_feed_does_not_end_a_mail() {
        let mut parser = Parser::default();
        parser.expect_mail();
        let mut input = BytesMut::from("a\n.\nMAIL FROM:<x>\r\n\n.\r\n.\n\r\n.\r\nQUIT\r\n");
        let mail = parser.next(&mut input);
        assert_eq!(mail, Some(Piece::Mail(Bytes::from("a\n.\nMAIL FROM:<x>\r\n\n.\r\n.\n\r\n"))));
        assert_eq!(parser.next(&mut input), Some(Piece::Line(Bytes::from("QUIT"))));
    }

    #[test]
    fn an_empty_mail_ends_at_once() {
        let mut parser = Parser::default();
        parser.expect_mail();
        let mut input = BytesMut::from(".\r");
        assert_eq!(parser.next(&mut input), None);
        input.extend_from_slice(b"\nNOOP\r\n");
        assert_eq!(parser.next(&mut input), Some(Piece::Mail(Bytes::new())));
        assert_eq!(parser.next(&mut input), Some(Piece::Line(Bytes::from("NOOP"))));
    }

    #[test]
    fn a_chunk_is_what_its_size_says_and_nothing_else() {
        let mut parser = Parser::default();
        parser.expect_chunk(6);
        let mut input = BytesMut::from("a\r\n.\r");
        assert_eq!(parser.next(&mut input), None);
        input.extend_from_slice(b"\nNOOP\r\n");
        assert_eq!(parser.next(&mut input), Some(Piece::Chunk(Bytes::from("a\r\n.\r\n"))));
        assert_eq!(parser.next(&mut input), Some(Piece::Line(Bytes::from("NOOP"))));
        parser.expect_chunk(0);
        assert_eq!(parser.next(&mut input), Some(Piece::Chunk(Bytes::new())));
        parser.expect_chunk(MAIL_BYTES_MAX + 1);
        assert_eq!(parser.next(&mut input), Some(Piece::TooLong));
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut parser = Parser::default();
        let mut input = BytesMut::from(&vec![b'x'; LINE_BYTES_MAX + 1][..]);
        assert_eq!(parser.next(&mut input), Some(Piece::TooLong));
    }
}
