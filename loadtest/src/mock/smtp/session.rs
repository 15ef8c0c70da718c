//! The protocol: which command is allowed when, and what is replied.

use bytes::{Bytes, BytesMut};

use super::parser::{MAIL_BYTES_MAX, Parser, Piece};

pub(super) const GREETING: &[u8] = b"220 mock ESMTP\r\n";

const EXTENSIONS: &[u8] = b"250-mock\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE 26214400\r\n\
    250-AUTH PLAIN\r\n250 ENHANCEDSTATUSCODES\r\n";
const EXTENSIONS_WITH_CHUNKING: &[u8] = b"250-mock\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
    250-SIZE 26214400\r\n250-CHUNKING\r\n250-AUTH PLAIN\r\n250 ENHANCEDSTATUSCODES\r\n";

const NO_RECIPIENT: &[u8] = b"554 5.5.1 no recipient was taken\r\n";

/// Recipients of one mail (RFC 5321 section 4.5.3.1.8).
const RECIPIENTS_MAX: usize = 100;

/// One client's conversation.
pub(super) struct Session {
    parser: Parser,
    state: State,
    /// Whether a mail may come in chunks (RFC 3030).
    offers_chunking: bool,
    /// The chunk that is being read.
    chunk: Chunk,
    /// The chunks before it.
    gathered: BytesMut,
    /// Of the last mail, or of the one that is being given.
    recipient: String,
}

#[derive(Debug, Default, Clone, Copy)]
struct Chunk {
    is_last: bool,
    /// Why it is not taken; that is said when it is read.
    refusal: Option<&'static [u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No EHLO yet.
    Unknown,
    Ready,
    /// The credentials follow on a line of their own.
    Credentials,
    /// MAIL was given, and so many recipients were taken.
    Envelope {
        recipients: usize,
    },
    /// Chunks of the mail were taken, and more follow.
    Chunks,
}

/// What one piece of input came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The input holds no complete piece.
    More,
    /// The reply is in the output.
    Replied,
    /// A mail, as it came over the wire; the caller replies.
    Mail { wire: Bytes, is_stuffed: bool },
    /// The last reply is in the output.
    Close,
}

impl Session {
    pub(super) fn new(offers_chunking: bool) -> Self {
        Self {
            parser: Parser::default(),
            state: State::Unknown,
            offers_chunking,
            chunk: Chunk::default(),
            gathered: BytesMut::new(),
            recipient: String::new(),
        }
    }

    /// Whom the mail is for that was read last; the last one of several.
    pub(super) fn recipient(&self) -> &str {
        &self.recipient
    }

    /// Handles the next piece of the input, if there is one.
    pub(super) fn step(&mut self, input: &mut BytesMut, output: &mut Vec<u8>) -> Step {
        let reply: &[u8] = match self.parser.next(input) {
            None => return Step::More,
            Some(Piece::Mail(wire)) => {
                self.state = State::Ready;
                return Step::Mail { wire, is_stuffed: true };
            }
            Some(Piece::Chunk(bytes)) => match self.chunk_read(bytes) {
                Ok(wire) => return Step::Mail { wire, is_stuffed: false },
                Err(reply) => reply,
            },
            Some(Piece::Line(line)) if self.state == State::Credentials => self.authenticated(&line),
            Some(Piece::Line(line)) => {
                let (verb, rest) = split(&line);
                if verb.eq_ignore_ascii_case(b"QUIT") {
                    output.extend_from_slice(b"221 2.0.0 bye\r\n");
                    return Step::Close;
                }
                if verb.eq_ignore_ascii_case(b"BDAT") && self.offers_chunking {
                    match self.chunk(rest) {
                        Ok(()) => return self.step(input, output),
                        Err(reply) => reply,
                    }
                } else {
                    self.command(verb, rest)
                }
            }
            Some(Piece::TooLong) => {
                output.extend_from_slice(b"500 5.5.6 too long\r\n");
                return Step::Close;
            }
        };
        output.extend_from_slice(reply);
        Step::Replied
    }

    fn command(&mut self, verb: &[u8], rest: &[u8]) -> &'static [u8] {
        match verb.to_ascii_uppercase().as_slice() {
            b"EHLO" => {
                self.begin_anew();
                if self.offers_chunking { EXTENSIONS_WITH_CHUNKING } else { EXTENSIONS }
            }
            b"HELO" => {
                self.begin_anew();
                b"250 mock\r\n"
            }
            b"NOOP" => b"250 2.0.0 still here\r\n",
            b"VRFY" => b"252 2.5.0 send it and see\r\n",
            b"RSET" => {
                if self.state != State::Unknown {
                    self.begin_anew();
                }
                b"250 2.0.0 forgotten\r\n"
            }
            b"AUTH" => self.authenticate(rest),
            b"MAIL" => self.mail(rest),
            b"RCPT" => self.take_recipient(rest),
            b"DATA" => self.data(),
            _ => b"502 5.5.1 not implemented\r\n",
        }
    }

    fn begin_anew(&mut self) {
        self.state = State::Ready;
        self.gathered.clear();
    }

    fn authenticate(&mut self, rest: &[u8]) -> &'static [u8] {
        if self.state != State::Ready {
            return b"503 5.5.1 not now\r\n";
        }
        let (mechanism, initial) = split(rest);
        if !mechanism.eq_ignore_ascii_case(b"PLAIN") {
            return b"504 5.5.4 only PLAIN\r\n";
        }
        if initial.is_empty() {
            self.state = State::Credentials;
            return b"334 \r\n";
        }
        self.authenticated(initial)
    }

    /// Any credentials will do; `*` is the client's way to give up (RFC 4954 section 4).
    fn authenticated(&mut self, credentials: &[u8]) -> &'static [u8] {
        self.state = State::Ready;
        if credentials == b"*" { b"501 5.7.0 given up\r\n" } else { b"235 2.7.0 welcome\r\n" }
    }

    fn mail(&mut self, rest: &[u8]) -> &'static [u8] {
        if self.state != State::Ready {
            return b"503 5.5.1 not now\r\n";
        }
        if address(rest, b"FROM:").is_none() {
            return b"501 5.5.4 MAIL FROM:<address>\r\n";
        }
        let size = rest.split(|byte| *byte == b' ').find_map(|word| {
            let (name, digits) = word.split_at_checked(5)?;
            name.eq_ignore_ascii_case(b"SIZE=").then(|| str::from_utf8(digits).ok()?.parse::<usize>().ok())?
        });
        if size > Some(MAIL_BYTES_MAX) {
            return b"552 5.3.4 too large\r\n";
        }
        self.state = State::Envelope { recipients: 0 };
        b"250 2.1.0 sender taken\r\n"
    }

    fn take_recipient(&mut self, rest: &[u8]) -> &'static [u8] {
        let State::Envelope { recipients } = self.state else { return b"503 5.5.1 MAIL first\r\n" };
        let Some(address) = address(rest, b"TO:") else { return b"501 5.5.4 RCPT TO:<address>\r\n" };
        let local = address.split(|byte| *byte == b'@').next().unwrap_or_default();
        if local.eq_ignore_ascii_case(b"reject") {
            return b"550 5.1.1 nobody of that name\r\n";
        }
        if local.eq_ignore_ascii_case(b"defer") {
            return b"451 4.2.0 try later\r\n";
        }
        if recipients >= RECIPIENTS_MAX {
            return b"452 4.5.3 too many recipients\r\n";
        }
        self.recipient.clear();
        self.recipient.push_str(&String::from_utf8_lossy(address));
        self.state = State::Envelope { recipients: recipients + 1 };
        b"250 2.1.5 recipient taken\r\n"
    }

    fn data(&mut self) -> &'static [u8] {
        match self.state {
            State::Envelope { recipients: 1.. } => {
                self.parser.expect_mail();
                b"354 go on, end with a dot\r\n"
            }
            State::Envelope { recipients: 0 } => NO_RECIPIENT,
            _ => b"503 5.5.1 MAIL and RCPT first\r\n",
        }
    }

    /// A chunk follows, taken or not: a client that has sent it already cannot take it back.
    fn chunk(&mut self, rest: &[u8]) -> Result<(), &'static [u8]> {
        let (size, last) = split(rest);
        let size = str::from_utf8(size).ok().and_then(|size| size.parse::<usize>().ok());
        let is_last = last.eq_ignore_ascii_case(b"LAST");
        let Some(size) = size.filter(|_| is_last || last.is_empty()) else {
            return Err(b"501 5.5.4 BDAT size [LAST]\r\n");
        };
        let refusal: Option<&'static [u8]> = match self.state {
            State::Envelope { recipients: 1.. } | State::Chunks if size > MAIL_BYTES_MAX - self.gathered.len() => {
                Some(b"552 5.3.4 too large\r\n")
            }
            State::Envelope { recipients: 1.. } | State::Chunks => None,
            State::Envelope { recipients: 0 } => Some(NO_RECIPIENT),
            _ => Some(b"503 5.5.1 MAIL and RCPT first\r\n"),
        };
        self.chunk = Chunk { is_last, refusal };
        self.parser.expect_chunk(size);
        Ok(())
    }

    /// A chunk is there: the whole mail, or a reply.
    fn chunk_read(&mut self, bytes: Bytes) -> Result<Bytes, &'static [u8]> {
        if let Some(refusal) = self.chunk.refusal {
            return Err(refusal);
        }
        if !self.chunk.is_last {
            self.state = State::Chunks;
            self.gathered.extend_from_slice(&bytes);
            return Err(b"250 2.0.0 go on\r\n");
        }
        self.state = State::Ready;
        if self.gathered.is_empty() {
            return Ok(bytes);
        }
        self.gathered.extend_from_slice(&bytes);
        Ok(self.gathered.split().freeze())
    }
}

/// The first word and what follows it.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], line[at..].trim_ascii()),
        None => (line.trim_ascii_end(), b""),
    }
}

/// The address in `FROM:<address>`; empty in `<>`.
fn address<'a>(rest: &'a [u8], keyword: &[u8]) -> Option<&'a [u8]> {
    let (word, rest) = rest.split_at_checked(keyword.len())?;
    let rest = rest.trim_ascii_start();
    let end = rest.iter().position(|byte| *byte == b'>')?;
    (word.eq_ignore_ascii_case(keyword) && rest.starts_with(b"<")).then(|| &rest[1..end])
}

#[cfg(test)]
mod tests;
