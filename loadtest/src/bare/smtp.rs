//! The bare SMTP loop: pipelined as far as RFC 2920 section 3.1 allows. The end of one mail and the envelope of the
//! next go out together, so that a mail costs one round trip.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BytesMut};
use memchr::{memchr, memmem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{BareLoop, ID_BYTES, Tickets, id};
use crate::http_client::CALL_MAX;

const ENVELOPE: &[u8] = b"MAIL FROM:<fanfare@load.example>\r\nRCPT TO:<u0000000123@load.example>\r\nDATA\r\n";

/// As large as the engine's mail for what `compare` sends it, the final dot included.
const MAIL: &[u8] = b"From: Fanfare <fanfare@load.example>\r\n\
    To: u0000000123@load.example\r\n\
    Subject: Order A0000000000123 is on its way\r\n\
    Message-ID: <tsk_bare0000000000000000@load.example>\r\n\
    Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n\
    MIME-Version: 1.0\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Transfer-Encoding: 7bit\r\n\
    \r\n\
    Hello Customer 0000000123, your order A0000000000123 has left our house.\r\n\
    .\r\n";

pub(super) async fn run(bare: &BareLoop, address: &str) -> Result<Duration> {
    let tickets = Arc::new(Tickets::new(bare.count));
    let mut conversations = Vec::with_capacity(bare.connections);
    for _ in 0..bare.connections {
        conversations.push(Conversation::open(address).await?);
    }
    let started = Instant::now();
    let mut loops = JoinSet::new();
    for conversation in conversations {
        loops.spawn(conversation.deliver(Arc::clone(&tickets)));
    }
    while let Some(ended) = loops.join_next().await {
        ended.context("a bare loop panicked")??;
    }
    Ok(started.elapsed())
}

struct Conversation {
    stream: TcpStream,
    input: BytesMut,
}

impl Conversation {
    async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to `{address}`"))?;
        stream.set_nodelay(true)?;
        let mut conversation = Self { stream, input: BytesMut::with_capacity(4 << 10) };
        conversation.expect(&["220"]).await?;
        conversation.stream.write_all(b"EHLO load.example\r\n").await?;
        conversation.expect(&["250"]).await?;
        Ok(conversation)
    }

    async fn deliver(mut self, tickets: Arc<Tickets>) -> Result<()> {
        let id_at = memmem::find(MAIL, b"tsk_").context("the mail has no id")?;
        let mut mail = [MAIL, ENVELOPE].concat();
        let Some(mut ticket) = tickets.take() else { return Ok(()) };
        self.stream.write_all(ENVELOPE).await?;
        self.expect(&["250", "250", "354"]).await?;
        loop {
            mail[id_at..id_at + ID_BYTES].copy_from_slice(&id(ticket));
            let Some(next) = tickets.take() else { break };
            self.stream.write_all(&mail).await?;
            self.expect(&["250", "250", "250", "354"]).await?;
            ticket = next;
        }
        self.stream.write_all(&mail[..MAIL.len()]).await?;
        self.expect(&["250"]).await
    }

    /// Reads replies until there is one for each code.
    async fn expect(&mut self, codes: &[&str]) -> Result<()> {
        let mut codes = codes.iter();
        let mut awaited = codes.next();
        while let Some(code) = awaited {
            let Some(end) = memchr(b'\n', &self.input) else {
                let read = timeout(CALL_MAX, self.stream.read_buf(&mut self.input)).await;
                if read.context("the mail server does not answer")?? == 0 {
                    bail!("the mail server closed the connection");
                }
                continue;
            };
            let line = &self.input[..end];
            ensure!(line.starts_with(code.as_bytes()), "the mail server replies {}", String::from_utf8_lossy(line));
            // A dash after the code: the reply goes on (RFC 5321 section 4.2.1).
            let last = line.get(3) != Some(&b'-');
            self.input.advance(end + 1);
            if last {
                awaited = codes.next();
            }
        }
        Ok(())
    }
}
