use std::sync::{Arc, Mutex};
use std::task::Context;

use super::super::{Inbox, Offers};
use super::*;
use crate::domain::Timestamp;
use crate::providers::outcome::Table;
use crate::providers::smtp::mail::Composer;
use crate::providers::smtp::tests::message;

/// A server that takes so many bytes and breaks, having said what it had to say.
#[derive(Clone)]
struct Script {
    room: usize,
    says: &'static [u8],
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Script {
    fn new(room: usize, says: &'static str) -> Self {
        Self { room, says: says.as_bytes(), heard: Arc::default() }
    }
}

impl tokio::io::AsyncWrite for Script {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let count = self.room.min(bytes.len());
        self.room -= count;
        self.heard.lock().expect("no panic").extend_from_slice(&bytes[..count]);
        Poll::Ready(if count > 0 { Ok(count) } else { Err(std::io::ErrorKind::BrokenPipe.into()) })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let (now, later) = self.says.split_at(self.says.len().min(to.remaining()));
        to.put_slice(now);
        self.says = later;
        Poll::Ready(Ok(()))
    }
}

/// How a mail fares with it, over a connection that sent so many before.
async fn fare(script: Script, chunking: bool, encrypted: bool, sent: usize) -> &'static str {
    let mut connection = Connection {
        stream: Box::new(script),
        inbox: Inbox::new(),
        wire: Vec::new(),
        offers: Offers { pipelining: true, chunking, ..Offers::default() },
        sent,
        unsettled: None,
        broken: false,
        encrypted,
        table: Arc::new(Table::new("smtp", &std::collections::BTreeMap::new())),
    };
    let composer = Composer::new(Some("shop@example.com")).expect("an address");
    let mail = composer.compose(&message("a@example.com", "Hi", "text"), "a@example.com", Timestamp(0));
    match connection.transact("shop@example.com", "a@example.com", &mail.expect("composed")).await {
        Ok(outcome) => outcome.name(),
        Err(Failure::Stale) => "stale",
        Err(failure) => failure.into_outcome().name(),
    }
}

/// The bytes that a whole mail takes.
async fn length(says: &'static str, chunking: bool) -> usize {
    let script = Script::new(usize::MAX, says);
    assert_eq!(fare(script.clone(), chunking, false, 0).await, "accepted");
    script.heard.lock().expect("no panic").len()
}

const TAKEN: &str = "250 ok\r\n250 ok\r\n250 2.0.0 queued\r\n";
const TAKEN_WITH_DATA: &str = "250 ok\r\n250 ok\r\n354 go on\r\n250 2.0.0 queued\r\n";
const GO_ON: &str = "250 ok\r\n250 ok\r\n354 go on\r\n";

#[tokio::test]
async fn a_chunk_of_which_less_than_the_whole_was_written_is_certainly_not_sent() {
    let whole = length(TAKEN, true).await;
    for room in [0, 20, whole - 1] {
        assert_eq!(fare(Script::new(room, ""), true, false, 0).await, "transient", "{room}");
        assert_eq!(fare(Script::new(room, "250 ok\r\n250 ok\r\n"), true, false, 0).await, "transient", "{room}");
        assert_eq!(fare(Script::new(room, ""), true, false, 1).await, "stale", "{room}: nothing was answered");
        assert_eq!(fare(Script::new(room, "250 ok\r\n"), true, false, 1).await, "transient", "{room}");
    }
    assert_eq!(fare(Script::new(whole, ""), true, false, 0).await, "unknown");
    assert_eq!(fare(Script::new(whole, ""), true, false, 1).await, "unknown");
    assert_eq!(fare(Script::new(whole, "250 ok\r\n250 ok\r\n"), true, false, 0).await, "unknown");
    assert_eq!(fare(Script::new(whole, "nonsense\r\n"), true, false, 0).await, "unknown");
}

#[tokio::test]
async fn behind_tls_a_chunk_whose_write_failed_may_have_gone() {
    assert_eq!(fare(Script::new(20, ""), true, true, 0).await, "unknown");
    assert_eq!(fare(Script::new(20, "550 no\r\n"), true, true, 0).await, "config", "the server refused the sender");
}

#[tokio::test]
async fn a_connection_that_breaks_after_a_refusal_leaves_no_doubt() {
    for room in [20, usize::MAX] {
        for (says, kept, expected) in [
            ("250 ok\r\n550 5.1.1 who\r\n", 0, "dead_recipient"),
            ("250 ok\r\n250 ok\r\n554 no\r\n", 0, "bad_request"),
            ("451 later\r\n", 1, "transient"),
            ("421 bye\r\n", 0, "transient"),
            ("421 bye\r\n", 1, "stale"),
        ] {
            assert_eq!(fare(Script::new(room, says), true, false, kept).await, expected, "{room} {says}");
        }
    }
}

#[tokio::test]
async fn a_content_without_all_of_its_end_is_in_doubt_from_the_first_byte_of_that() {
    let whole = length(TAKEN_WITH_DATA, false).await;
    assert_eq!(fare(Script::new(whole - END.len(), GO_ON), false, false, 0).await, "transient");
    assert_eq!(fare(Script::new(whole - END.len() + 1, GO_ON), false, false, 0).await, "unknown");
    assert_eq!(fare(Script::new(whole, GO_ON), false, false, 0).await, "unknown");
    assert_eq!(fare(Script::new(whole - 20, GO_ON), false, true, 0).await, "unknown", "behind TLS");
}

#[tokio::test]
async fn a_server_that_takes_data_for_a_mail_took_nothing() {
    assert_eq!(fare(Script::new(usize::MAX, TAKEN), false, false, 0).await, "transient");
}

#[tokio::test]
async fn a_broken_write_tells_how_much_may_have_gone() {
    let bytes = vec![b'x'; 40_000];
    for (room, in_the_clear, encrypted) in [
        (0, Err(0), Err(16_384)),
        (20_000, Err(20_000), Err(36_384)),
        (39_999, Err(39_999), Err(40_000)),
        (40_000, Ok(()), Ok(())),
    ] {
        assert_eq!(write_counted(&mut Script::new(room, ""), &bytes, false).await, in_the_clear, "{room}");
        assert_eq!(write_counted(&mut Script::new(room, ""), &bytes, true).await, encrypted, "{room}");
    }
}
