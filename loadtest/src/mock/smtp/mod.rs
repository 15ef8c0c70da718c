//! The SMTP side: RFC 5321 with pipelining (RFC 2920), over plain connections. In: bytes; out: replies, and mails
//! counted by Message-ID. `parser` cuts the bytes, `session` knows the protocol, `message` reads a mail; this file
//! alone does IO.

mod parser;
mod session;
mod message;

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
    let mut session = Session::new();
    let mut input = BytesMut::with_capacity(16 << 10);
    let mut output = Vec::with_capacity(1 << 10);
    stream.write_all(session::GREETING).await?;
    loop {
        loop {
            match session.step(&mut input, &mut output) {
                Step::More => break,
                Step::Replied => {}
                Step::Mail(mail) => match receive(mock, &mail).await {
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
async fn receive(mock: &Mock, wire: &[u8]) -> Option<&'static [u8]> {
    let tally = &mock.smtp;
    tally.requests.fetch_add(1, Relaxed);
    let (verdict, latency) = mock.temper.decide();
    if matches!(verdict, Verdict::Accept | Verdict::Reset) {
        let mail = unstuff(wire);
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
        Verdict::Fail => (&tally.errors_injected, b"451 4.3.0 try later\r\n"),
        Verdict::Throttle => (&tally.throttled, b"454 4.7.0 too fast, try later\r\n"),
        Verdict::Reject => (&tally.rejected, b"550 5.7.1 refused\r\n"),
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
