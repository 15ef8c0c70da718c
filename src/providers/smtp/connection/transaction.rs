//! One mail over a connection: in one write where the server offers PIPELINING and CHUNKING (RFC 2920, RFC 3030), with DATA
//! elsewhere. What is certainly not sent, and what is in doubt, is decided here.

use std::io::Write as _;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use super::{Connection, Failure, Stream, not_sent};
use crate::domain::Outcome;
use crate::providers::smtp::mail::{END, Mail};
use crate::providers::smtp::meaning::{Step, meaning};
use crate::providers::smtp::reply::Reply;

/// The replies that a mail brings, in their order.
const STEPS: [Step; 3] = [Step::Sender, Step::Recipient, Step::Content];
/// The longest the server may take for the envelope; so a server that hangs there is no doubt, and leaves time for the content.
const ENVELOPE_MAX: Duration = Duration::from_secs(5);
/// The longest a kept connection may take to forget a refused mail: after that a fresh one is quicker.
const SETTLE_MAX: Duration = Duration::from_secs(1);
/// A larger mail waits for what the server says to its recipient: it should not be sent for nothing, and its round trips count for
/// little.
const AT_ONCE_MAX: usize = 128 << 10;
/// A record of TLS has no more (RFC 8446 section 5.1), so that smaller pieces of a mail would only add records.
const TLS_PIECE: usize = 16 << 10;
/// Room that a connection keeps for its next mail.
const WIRE_KEPT_MAX: usize = 64 << 10;

/// What a refused mail left on a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unsettled {
    /// Replies to what was written already.
    owed: usize,
}

impl Connection {
    /// Sends one mail.
    pub(in crate::providers::smtp) async fn transact(
        &mut self,
        from: &str,
        to: &str,
        mail: &Mail,
    ) -> Result<Outcome, Failure> {
        if let Some(refusal) = self.refusal(from, to, mail) {
            return Ok(refusal);
        }
        // Until the last reply is read the connection is in the middle of something, and serves nobody else.
        self.broken = true;
        let is_kept = self.sent > 0;
        self.sent += 1;
        self.write_envelope(from, to, mail);
        let offers = self.offers;
        let result = if offers.pipelining && offers.chunking && mail.as_str().len() <= AT_ONCE_MAX {
            self.send_at_once(mail, is_kept).await
        } else {
            self.send_in_turn(mail, is_kept).await
        };
        self.wire.clear();
        self.wire.shrink_to(WIRE_KEPT_MAX);
        result
    }

    /// Whether a kept connection can take a mail: it has forgotten the last one, and the server has neither closed it nor said
    /// anything meanwhile. Nothing is written to one that is not: with all of a mail in one write, that would be a doubt.
    pub(in crate::providers::smtp) async fn is_ready(&mut self) -> bool {
        if let Some(unsettled) = self.unsettled.take()
            && !matches!(timeout(SETTLE_MAX, self.settle(unsettled)).await, Ok(Ok(())))
        {
            return false;
        }
        self.inbox.is_empty() && self.is_silent().await
    }

    /// Whether [`Self::is_ready`] may have to wait.
    pub(in crate::providers::smtp) fn is_unsettled(&self) -> bool {
        self.unsettled.is_some()
    }

    /// Reads what is still to come for a refused mail, and makes the server forget it. A server that waits for the content all
    /// the same (354) cannot be told anything else.
    async fn settle(&mut self, unsettled: Unsettled) -> Result<(), Failure> {
        for _ in 0..unsettled.owed {
            if matches!(self.reply().await?.code, 354 | 421) {
                return Err(Failure::Stale);
            }
        }
        if self.command("RSET\r\n").await?.is_positive() { Ok(()) } else { Err(Failure::Stale) }
    }

    async fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        let mut said = ReadBuf::new(&mut byte);
        std::future::poll_fn(|context| {
            Poll::Ready(Pin::new(&mut self.stream).poll_read(context, &mut said).is_pending())
        })
        .await
    }

    /// MAIL, RCPT and the content as one chunk, and then the replies: one round trip.
    async fn send_at_once(&mut self, mail: &Mail, is_kept: bool) -> Result<Outcome, Failure> {
        let content = mail.as_str().as_bytes();
        let _ = write!(self.wire, "BDAT {} LAST\r\n", content.len());
        self.wire.extend_from_slice(content);
        let written = self.write_counted().await;
        for (index, step) in STEPS.into_iter().enumerate() {
            let Ok(reply) = self.reply_after(&written).await else {
                return Err(match written {
                    // A chunk is taken as a whole or not at all.
                    Err(gone) if gone < self.wire.len() && is_kept && index == 0 => Failure::Stale,
                    Err(gone) if gone < self.wire.len() => not_sent("the connection broke before the end of the mail"),
                    _ => Failure::InDoubt,
                });
            };
            if is_kept && index == 0 && reply.code == 421 {
                return Err(Failure::Stale);
            }
            if step == Step::Content && matches!(reply.code, 500..=502 | 504) {
                return Err(Failure::NoChunking);
            }
            if step == Step::Content || !reply.is_positive() {
                let unsettled = (!reply.is_positive()).then_some(Unsettled { owed: STEPS.len() - 1 - index });
                self.keep_after(reply, written.is_ok(), unsettled);
                return Ok(self.meaning(step, reply));
            }
        }
        Err(Failure::InDoubt)
    }

    /// MAIL, RCPT and DATA, and the content when the server waits for it.
    async fn send_in_turn(&mut self, mail: &Mail, is_kept: bool) -> Result<Outcome, Failure> {
        self.wire.extend_from_slice(b"DATA\r\n");
        let prepared = timeout(ENVELOPE_MAX, self.prepare(is_kept)).await;
        let refused =
            prepared.unwrap_or_else(|_| Err(not_sent("the server did not answer before the mail was sent")))?;
        if let Some(refused) = refused {
            return Ok(refused);
        }
        self.wire.clear();
        mail.stuff_into(&mut self.wire);
        let written = self.write_counted().await;
        let Ok(reply) = self.reply_after(&written).await else {
            return Err(match written {
                // Without its end a mail is not accepted (RFC 5321 section 4.1.1.4).
                Err(gone) if gone + END.len() <= self.wire.len() => {
                    not_sent("the connection broke before the end of the mail")
                }
                _ => Failure::InDoubt,
            });
        };
        self.keep_after(reply, written.is_ok(), None);
        Ok(self.meaning(Step::Content, reply))
    }

    /// Sends the envelope up to DATA; what it was refused with, or nothing if the server waits for the content.
    async fn prepare(&mut self, is_kept: bool) -> Result<Option<Outcome>, Failure> {
        let is_pipelined = self.offers.pipelining;
        for (index, step) in STEPS.into_iter().enumerate() {
            let answered = self.ask(index, is_pipelined).await;
            let reply = answered.map_err(|failure| {
                // Nothing is left to read on a connection that had served before: it was closed while it waited.
                if is_kept && self.inbox.is_empty() { Failure::Stale } else { failure }
            })?;
            if is_kept && index == 0 && reply.code == 421 {
                return Err(Failure::Stale);
            }
            let is_taken = if step == Step::Content { reply.code == 354 } else { reply.is_positive() };
            if is_taken {
                continue;
            }
            if reply.code < 400 {
                return Err(not_sent("the server does not speak SMTP"));
            }
            let owed = if is_pipelined { STEPS.len() - 1 - index } else { 0 };
            self.keep_after(reply, true, Some(Unsettled { owed }));
            return Ok(Some(meaning(&self.table, step, reply)));
        }
        Ok(None)
    }

    /// Writes the envelope's command of that number, or with the first all of them, and reads its reply.
    async fn ask(&mut self, index: usize, is_pipelined: bool) -> Result<Reply, Failure> {
        let broke = |_| not_sent("the server closed the connection");
        let commands = if is_pipelined {
            if index == 0 { &self.wire[..] } else { &[] }
        } else {
            self.wire.split_inclusive(|byte| *byte == b'\n').nth(index).unwrap_or_default()
        };
        if !commands.is_empty() {
            self.stream.write_all(commands).await.map_err(broke)?;
            self.stream.flush().await.map_err(broke)?;
        }
        self.reply().await
    }

    /// The next reply. Where the write failed there may still be one that says why, and that is read already, or never.
    async fn reply_after(&mut self, written: &Result<(), usize>) -> Result<Reply, Failure> {
        match written {
            Ok(()) => self.reply().await,
            Err(_) => timeout(SETTLE_MAX, self.reply()).await.unwrap_or(Err(Failure::InDoubt)),
        }
    }

    /// After the last reply that is waited for. A refused mail leaves more to read and to say, but that is for whoever uses the
    /// connection next: its outcome is known, and should not wait or change.
    fn keep_after(&mut self, reply: Reply, is_whole: bool, unsettled: Option<Unsettled>) {
        self.broken = !is_whole || reply.code == 421;
        self.unsettled = unsettled;
    }

    fn meaning(&self, step: Step, reply: Reply) -> Outcome {
        match meaning(&self.table, step, reply) {
            // The server's name for the mail, which its operator can look for.
            Outcome::Accepted { .. } => Outcome::Accepted { message_id: self.inbox.said().last().and_then(queue_id) },
            outcome => outcome,
        }
    }

    fn write_envelope(&mut self, from: &str, to: &str, mail: &Mail) {
        let mail = mail.as_str();
        self.wire.clear();
        let _ = write!(self.wire, "MAIL FROM:<{from}>");
        if self.offers.size_max > 0 {
            let _ = write!(self.wire, " SIZE={}", mail.len());
        }
        if self.offers.eight_bit && !mail.is_ascii() {
            self.wire.extend_from_slice(b" BODY=8BITMIME");
        }
        if !from.is_ascii() || !to.is_ascii() {
            self.wire.extend_from_slice(b" SMTPUTF8");
        }
        let _ = write!(self.wire, "\r\nRCPT TO:<{to}>\r\n");
    }

    /// Writes all that is to go over the wire. If that fails: how many bytes may have gone at most.
    async fn write_counted(&mut self) -> Result<(), usize> {
        write_counted(&mut self.stream, &self.wire, self.encrypted).await
    }

    /// What can be refused without asking.
    fn refusal(&self, from: &str, to: &str, mail: &Mail) -> Option<Outcome> {
        let is_unsafe = |text: &str| text.chars().any(|letter| letter.is_control() || "<> ".contains(letter));
        let length = mail.as_str().len();
        let reason: Box<str> = if is_unsafe(from) || is_unsafe(to) {
            "an address has a character that no address has".into()
        } else if !self.offers.utf8 && (!from.is_ascii() || !to.is_ascii()) {
            "the server takes no address outside ASCII".into()
        } else if self.offers.size_max > 0 && length > self.offers.size_max {
            format!("the mail has {length} bytes, the server takes {}", self.offers.size_max).into()
        } else {
            return None;
        };
        Some(Outcome::BadRequest { reason })
    }
}

/// In the clear, what the system took is what may have gone. Behind TLS a write that fails has taken its bytes, and some of them may
/// have gone too: so those count, and are few.
async fn write_counted(stream: &mut dyn Stream, bytes: &[u8], is_encrypted: bool) -> Result<(), usize> {
    let piece_max = if is_encrypted { TLS_PIECE } else { bytes.len() };
    let mut written = 0;
    while written < bytes.len() {
        let piece = &bytes[written..bytes.len().min(written + piece_max)];
        match stream.write(piece).await {
            Ok(count) if count > 0 => written += count,
            _ => return Err(if is_encrypted { written + piece.len() } else { written }),
        }
    }
    stream.flush().await.map_err(|_| bytes.len())
}

/// What the server called the mail: the text of its last reply behind the codes, as far as it is short and plain.
fn queue_id(text: &[u8]) -> Option<Box<str>> {
    let text = text.trim_ascii();
    let plain = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    let is_name = !text.is_empty() && text.len() <= 128 && text.iter().all(plain);
    is_name.then(|| str::from_utf8(text).ok().map(Into::into)).flatten()
}

#[cfg(test)]
mod tests;
