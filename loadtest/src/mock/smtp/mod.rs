//! The SMTP side: RFC 5321 with pipelining (RFC 2920) and chunks (RFC 3030), over plain connections. In: bytes; out: replies, and mails
//! counted by Message-ID. `parser` cuts the bytes, `session` knows the protocol, `message` reads a mail; this file
//! alone does IO.

mod parser;
mod session;
mod message;

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub(crate) use parser::unstuff;

use super::behaviour::{HANG_MAX, Verdict};
use super::{CONNECTIONS_MAX, Mock, Taken};
use session::{Session, Step};

/// How long a connection may be silent (RFC 5321 section 4.5.3.2.7).
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// Serves connections until the runtime ends.
pub(super) async fn serve(listener: TcpListener, mock: Arc<Mock>) -> Infallible {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&room).acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: let some be closed.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let mock = Arc::clone(&mock);
        tokio::spawn(async move {
            // Without it, small replies wait for the client's delayed ACK; a failure only costs latency.
            let _ = stream.set_nodelay(true);
            mock.smtp.connections.fetch_add(1, Relaxed);
            // A client that goes away is its own business.
            let _ = converse(stream, &mock).await;
            drop(permit);
        });
    }
}

/// Answers everything that one read brought with one write.
async fn converse(mut stream: TcpStream, mock: &Mock) -> std::io::Result<()> {
    let mut session = Session::new(mock.offers_chunking);
    let mut input = BytesMut::with_capacity(16 << 10);
    let mut output = Vec::with_capacity(1 << 10);
    stream.write_all(session::GREETING).await?;
    loop {
        loop {
            match session.step(&mut input, &mut output) {
                Step::More => break,
                Step::Replied => {}
                Step::Mail { wire, is_stuffed } => match receive(mock, session.recipient(), &wire, is_stuffed).await {
                    Some(reply) => output.extend_from_slice(reply),
                    None => return Ok(()),
                },
                Step::Close => return stream.write_all(&output).await,
            }
        }
        if !output.is_empty() {
            stream.write_all(&output).await?;
            output.clear();
        }
        match timeout(SILENCE_MAX, stream.read_buf(&mut input)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => return stream.write_all(b"421 4.4.2 silent for too long\r\n").await,
        }
    }
}

/// Takes one mail, given as it came over the wire. The reply, or `None` to hang up.
async fn receive(mock: &Mock, recipient: &str, wire: &[u8], is_stuffed: bool) -> Option<&'static [u8]> {
    let tally = &mock.smtp;
    tally.requests.fetch_add(1, Relaxed);
    let super::behaviour::Fate { verdict, latency, .. } = mock.temper.decide(recipient);
    if verdict.takes() {
        let mail = if is_stuffed { unstuff(wire) } else { Cow::Borrowed(wire) };
        if let Some(lateness) = &mock.lateness {
            lateness.record(&mail);
        }
        if mock.take_mail(message::id(&mail)).await == Taken::Full {
            return Some(b"452 4.3.1 the mock holds as many ids as it can\r\n");
        }
    }
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let (counter, reply): (_, &'static [u8]) = match verdict {
        Verdict::Accept => return Some(b"250 2.0.0 taken\r\n"),
        // No reply of SMTP; there is no size to speak of.
        Verdict::Garbage | Verdict::Huge => return Some(b"<html>It works!</html>\r\n"),
        Verdict::Fail => (&tally.errors_injected, b"451 4.3.0 try later\r\n"),
        Verdict::Throttle => (&tally.throttled, b"454 4.7.0 too fast, try later\r\n"),
        Verdict::Reject => (&tally.rejected, b"550 5.7.1 refused\r\n"),
        Verdict::Dead => (&tally.rejected, b"550 5.1.1 no such user\r\n"),
        Verdict::Redirect => (&tally.rejected, b"551 5.7.1 user not local\r\n"),
        Verdict::Unauthorized => (&tally.rejected, b"535 5.7.8 authentication credentials invalid\r\n"),
        Verdict::Reset => {
            tally.resets.fetch_add(1, Relaxed);
            return None;
        }
        Verdict::Hang => {
            tally.hung.fetch_add(1, Relaxed);
            tokio::time::sleep(HANG_MAX).await;
            return None;
        }
    };
    counter.fetch_add(1, Relaxed);
    Some(reply)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::MockArgs;
    use super::*;

    #[derive(Parser)]
    struct MockCli {
        #[command(flatten)]
        args: MockArgs,
    }

    #[tokio::test]
    async fn a_mail_to_somebody_who_is_gone_is_refused() {
        let options = "mock --http 127.0.0.1:0 --smtp 127.0.0.1:0 --behave all:dead_pattern=gone-";
        let cli = MockCli::parse_from(options.split(' '));
        let mock = Mock::start(&cli.args).await.expect("two free ports");
        let mut stream = TcpStream::connect(&mock.listen().smtp).await.expect("it listens");
        let mail = |to: &str| format!("MAIL FROM:<a@x>\r\nRCPT TO:<{to}>\r\nDATA\r\nMessage-ID: <{to}>\r\n\r\n.\r\n");
        let all = format!("EHLO me\r\n{}{}{}QUIT\r\n", mail("gone-1@x"), mail("here@x"), mail("gone-2@x"));
        stream.write_all(all.as_bytes()).await.expect("it takes all");
        let mut replies = String::new();
        stream.read_to_string(&mut replies).await.expect("it answers and closes");
        assert_eq!(replies.matches("550 5.1.1").count(), 2, "{replies}");
        let stats = mock.stats().smtp;
        assert_eq!((stats.accepted, stats.rejected), (1, 2));
    }

    #[tokio::test]
    async fn a_mail_is_counted_once_whichever_way_it_comes() {
        let cli = MockCli::parse_from("mock --http 127.0.0.1:0 --smtp 127.0.0.1:0".split(' '));
        let mock = Mock::start(&cli.args).await.expect("two free ports");
        let mut stream = TcpStream::connect(&mock.listen().smtp).await.expect("it listens");
        let envelope = "MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\n";
        let [one, two] = ["1", "2"].map(|number| format!("Message-ID: <tsk_{number}@x>\r\n\r\n.\r\n"));
        let refused = format!("MAIL FROM:<a@x>\r\nRCPT TO:<reject@x>\r\nBDAT {} LAST\r\n{one}RSET\r\n", one.len());
        let chunked = format!("{envelope}BDAT {} LAST\r\n{one}", one.len());
        let dotted = format!("{envelope}DATA\r\n{}.\r\n", two.replace("\r\n.", "\r\n.."));
        let all = format!("EHLO me\r\n{refused}{chunked}{dotted}QUIT\r\n");
        stream.write_all(all.as_bytes()).await.expect("it takes all");
        let mut replies = String::new();
        stream.read_to_string(&mut replies).await.expect("it answers and closes");
        assert_eq!(replies.matches("250 2.0.0 taken").count(), 2, "{replies}");
        let stats = mock.stats().smtp;
        assert_eq!((stats.accepted, stats.distinct, stats.without_id), (2, 2, 0));
    }
}
