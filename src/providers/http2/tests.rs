mod tls;

use std::time::Duration;

use futures_util::future::join_all;
use hyper::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::testing::Http2Server;
use super::*;
use crate::clock::ManualClock;
use crate::providers::testing::{Said, clock};

struct Sending {
    client: Http2Client,
    origin: Arc<Origin>,
}

impl Sending {
    fn to(url: &str, starts_with_one: bool) -> Self {
        Self::over(url, starts_with_one, client_tls(None, None, PROTOCOLS).expect("TLS"))
    }

    fn over(url: &str, starts_with_one: bool, tls: Arc<rustls::ClientConfig>) -> Self {
        let clock: Arc<ManualClock> = clock();
        let guard = Guard::new(true, clock.clone());
        let client = Http2Client::new(
            guard,
            clock,
            tls,
            Http2Options { connections: 1, starts_with_one, patience: Duration::from_secs(60) },
        );
        let origin = client.origin(client.endpoint(url).expect("a URL")).expect("an origin");
        Self { client, origin }
    }

    async fn send(&self) -> Result<Answer, HttpFailure> {
        self.send_within(Duration::from_secs(60)).await
    }

    async fn send_within(&self, patience: Duration) -> Result<Answer, HttpFailure> {
        let make = || {
            let mut request = Request::new(Full::new(Bytes::from_static(b"hello")));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = self.origin.below("/send").expect("a path");
            request
        };
        self.client.send(&self.origin, Instant::now() + patience, make).await
    }
}

const OK: Said = (200, &[], "");

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("soon")
}

#[tokio::test]
async fn many_requests_at_once_share_one_connection() {
    let mut server = Http2Server::answering(&[OK; 20]).await;
    let sending = Sending::to(&server.url, false);
    let answers = soon(join_all((0..20).map(|_| sending.send()))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.status == 200)));
    assert_eq!(server.connections(), 1);
    let asked = server.asked().await;
    assert_eq!(asked.line(), format!("POST {}/send HTTP/2.0", server.url));
    assert_eq!(asked.text(), "hello");
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_the_server_allows() {
    let mut server = Http2Server::holding(&[OK; 6], 2).await;
    let sending = Sending::to(&server.url, false);
    // The first answer brings the server's settings along.
    server.release(1);
    soon(sending.send()).await.expect("an answer");
    server.asked().await;
    let sends = join_all((0..5).map(|_| sending.send()));
    let watch = async {
        for _ in 0..2 {
            server.asked().await;
        }
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        assert!(server.asked_already().is_none());
        server.release(5);
    };
    let (answers, ()) = soon(futures_util::future::join(sends, watch)).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn where_one_goes_first_the_others_wait_until_it_was_not_refused() {
    let mut server = Http2Server::holding(&[(403, &[], ""), OK, OK, OK], 100).await;
    let sending = Sending::to(&server.url, true);
    let sends = join_all((0..4).map(|_| sending.send()));
    let watch = async {
        for _ in 0..2 {
            server.asked().await;
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
            assert!(server.asked_already().is_none());
            server.release(1);
        }
        // The second was accepted: now they come together.
        server.asked().await;
        server.asked().await;
        server.release(2);
    };
    let (answers, ()) = soon(futures_util::future::join(sends, watch)).await;
    assert!(answers.iter().all(Result::is_ok));
}

fn is_unreachable(failed: Result<Answer, HttpFailure>) -> bool {
    matches!(failed, Err(HttpFailure::Unreachable(_)))
}

const SOON: Duration = Duration::from_millis(50);

#[tokio::test]
async fn what_finds_no_free_stream_in_time_is_never_sent() {
    let mut server = Http2Server::holding(&[OK; 4], 1).await;
    let sending = Sending::to(&server.url, false);
    // The first answer brings the server's settings along.
    server.release(1);
    soon(sending.send()).await.expect("an answer");
    server.asked().await;
    let first = sending.send();
    let late = async {
        server.asked().await;
        // One is taken by the library already, the others wait in its queue: nothing of any of them goes out.
        let late = soon(join_all((0..3).map(|_| sending.send_within(SOON)))).await;
        assert!(late.into_iter().all(is_unreachable));
        server.release(2);
    };
    let (answered, ()) = soon(futures_util::future::join(first, late)).await;
    assert!(answered.is_ok());
    // The next to be asked is a new one, which is answered with the permit that is left.
    assert_eq!(soon(sending.send()).await.expect("an answer").status, 200);
    server.asked().await;
    assert!(server.asked_already().is_none());
}

#[tokio::test]
async fn what_was_begun_in_time_is_waited_for() {
    let mut server = Http2Server::holding(&[OK], 100).await;
    let sending = Sending::to(&server.url, false);
    let release = async {
        server.asked().await;
        tokio::time::sleep(2 * SOON).await;
        server.release(1);
    };
    let (answered, ()) = soon(futures_util::future::join(sending.send_within(SOON), release)).await;
    assert!(answered.is_ok());
}

#[tokio::test]
async fn who_waits_for_the_first_request_of_a_connection_does_so_for_a_while_only() {
    let mut server = Http2Server::holding(&[OK], 100).await;
    let sending = Sending::to(&server.url, true);
    let late = async {
        server.asked().await;
        assert!(is_unreachable(sending.send_within(SOON).await));
        server.release(1);
    };
    let (answered, ()) = soon(futures_util::future::join(sending.send(), late)).await;
    assert!(answered.is_ok());
    assert!(server.asked_already().is_none());
}

#[tokio::test]
async fn a_connection_that_does_not_come_is_waited_for_for_a_while_only() {
    // It takes the connection, and no TLS comes of it.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", silent.local_addr().expect("an address"));
    assert!(is_unreachable(soon(Sending::to(&url, false).send_within(SOON)).await));
}

#[tokio::test]
async fn a_body_without_end_is_left_unread_and_the_answer_counts() {
    let body: &'static str = Box::leak("x".repeat(100_000).into_boxed_str());
    let answers: &'static [Said] = Box::leak(Box::new([(200, &[] as &[&str], body), (201, &[], "short")]));
    let server = Http2Server::answering(answers).await;
    let sending = Sending::to(&server.url, false);
    let long = soon(sending.send()).await.expect("an answer");
    assert_eq!((long.status.as_u16(), long.body.len()), (200, 0));
    let short = soon(sending.send()).await.expect("an answer");
    assert_eq!((short.status.as_u16(), &*short.body), (201, &b"short"[..]));
}

/// What a server does with one connection when a request has come.
enum Does {
    Answer,
    RefuseStream,
    /// With a GOAWAY that leaves the request out.
    GoAway,
    Close,
}

/// Frames by hand: length, type, flags, stream, payload (RFC 9113 section 4.1).
impl Does {
    fn frames(&self) -> &'static [u8] {
        match self {
            // HEADERS with END_STREAM and END_HEADERS; 0x88 is `:status: 200`.
            Does::Answer => b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88",
            Does::RefuseStream => b"\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x07",
            Does::GoAway => b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            Does::Close => b"",
        }
    }
}

/// One connection for each; the connections stay open but where it says so. Answers the URL.
async fn raw_server(does: Vec<Does>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let mut open = Vec::new();
        for does in does {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.write_all(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.expect("settings");
            read_until_request(&mut stream).await;
            stream.write_all(does.frames()).await.expect("written");
            if !matches!(does, Does::Close) {
                open.push(stream);
            }
        }
        std::future::pending::<()>().await;
    });
    url
}

async fn read_until_request(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.expect("bytes");
        assert!(count > 0, "the client went away");
        bytes.extend_from_slice(&chunk[..count]);
        // Behind the preface of 24 bytes.
        let mut rest = bytes.get(24..).unwrap_or_default();
        while let Some((head, behind)) = rest.split_at_checked(9) {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            // A DATA frame with END_STREAM.
            if head[3] == 0 && head[4] & 1 == 1 && behind.len() >= length {
                return;
            }
            rest = behind.get(length..).unwrap_or_default();
        }
    }
}

#[tokio::test]
async fn a_refused_stream_was_not_sent() {
    let url = raw_server(vec![Does::RefuseStream]).await;
    let failure = soon(Sending::to(&url, false).send()).await.err();
    assert_eq!(failure, Some(HttpFailure::Unreachable("the stream was refused".into())));
}

#[tokio::test]
async fn what_a_goaway_leaves_out_goes_over_a_new_connection() {
    let url = raw_server(vec![Does::GoAway, Does::Answer]).await;
    let answer = soon(Sending::to(&url, false).send()).await.expect("an answer");
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_server_that_always_goes_away_is_unreachable() {
    let url = raw_server(vec![Does::GoAway, Does::GoAway, Does::GoAway]).await;
    let failure = soon(Sending::to(&url, false).send()).await.err();
    assert!(matches!(failure, Some(HttpFailure::Unreachable(_))), "{failure:?}");
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_leaves_it_in_doubt() {
    let url = raw_server(vec![Does::Close, Does::Answer]).await;
    let sending = Sending::to(&url, false);
    let failure = soon(sending.send()).await.err();
    assert!(matches!(failure, Some(HttpFailure::InDoubt(_))), "{failure:?}");
    // The next one finds a new connection.
    assert_eq!(soon(sending.send()).await.expect("an answer").status, 200);
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let failure = soon(Sending::to(&url, false).send()).await.err();
    assert!(matches!(failure, Some(HttpFailure::Unreachable(_))), "{failure:?}");
}
