//! The HTTP side, HTTP/1.1 and HTTP/2 on one port: every POST is a delivery, to an API if its path is known, else to a webhook, except
//! for the control calls.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::behaviour::{HANG_MAX, Verdict};
use super::control::{self, IdStream};
use super::kinds::{Route, route};
use super::{CONNECTIONS_MAX, Mock, Taken, provider};

/// What is answered: a short text, the stream of ids, or far too much.
pub(super) type Answer = Response<Either<Full<Bytes>, Either<IdStream, Flood>>>;

/// The most requests under way on one connection of HTTP/2, as APNs allows them.
const STREAMS_MAX: u32 = 1000;

/// The header that carries a delivery's id (Standard Webhooks 1.0).
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");

/// The most of a body that is searched for a stamp; the rest is read and thrown away.
const SEARCHED_MAX: usize = 1 << 20;

/// Ends the connection without an answer.
#[derive(Debug)]
pub(super) struct Hangup;

impl fmt::Display for Hangup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the mock hangs up")
    }
}

impl std::error::Error for Hangup {}

/// Serves connections until the runtime ends.
pub(super) async fn serve(listener: TcpListener, mock: Arc<Mock>) -> Infallible {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).pipeline_flush(true);
    server.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
    loop {
        let permit = Arc::clone(&room).acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: let some be closed.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Without it, small answers wait for the client's delayed ACK; a failure only costs latency.
        let _ = stream.set_nodelay(true);
        mock.http.connections.fetch_add(1, Relaxed);
        let shared = Arc::clone(&mock);
        let service = service_fn(move |request| answer(Arc::clone(&shared), request));
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        tokio::spawn(async move {
            // A client that goes away is its own business, and hang-ups are ours.
            let _ = connection.await;
            drop(permit);
        });
    }
}

async fn answer(mock: Arc<Mock>, request: Request<Incoming>) -> Result<Answer, Hangup> {
    match route(request.method(), request.uri(), request.headers()) {
        Some(Route::Message(kind)) => return provider::deliver(&mock, kind, request).await,
        Some(Route::Token(kind)) => return provider::token(&mock, kind, request).await,
        None => {}
    }
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/reset" | "/behaviour" | "/expire") | (&Method::GET, _) => {
            Ok(control::answer(&mock, request).await)
        }
        (&Method::POST, _) => deliver(&mock, request).await,
        _ => Ok(text(StatusCode::METHOD_NOT_ALLOWED, "POST a delivery, or GET /stats or /ids\n")),
    }
}

async fn deliver(mock: &Mock, request: Request<Incoming>) -> Result<Answer, Hangup> {
    mock.http.requests.fetch_add(1, Relaxed);
    let (head, body) = request.into_parts();
    let is_searched = mock.lateness.is_some() || mock.items.is_some();
    let body = read(body, if is_searched { SEARCHED_MAX } else { 0 }).await?;
    let mut seconds = 1;
    let (verdict, latency, status) = match Path::parse(head.uri.path()) {
        Path::Ordinary => {
            let fate = mock.temper.decide(head.uri.path());
            seconds = fate.retry_after_s;
            (fate.verdict, fate.latency, StatusCode::OK)
        }
        Path::Hang => (Verdict::Hang, Duration::ZERO, StatusCode::OK),
        Path::Slow(latency) => (Verdict::Accept, latency, StatusCode::OK),
        Path::Status(status) => (Verdict::Accept, Duration::ZERO, status),
    };
    if verdict.takes() && status.is_success() {
        if let Some(lateness) = &mock.lateness {
            lateness.record(&body);
        }
        let id = head.headers.get(WEBHOOK_ID).map(HeaderValue::as_bytes);
        let taken = mock.take_webhook(id).await;
        if taken == Taken::Full {
            return Ok(text(StatusCode::INSUFFICIENT_STORAGE, "the mock holds as many ids as it can\n"));
        }
        if let Some(items) = &mock.items {
            items.record(&body, taken != Taken::Counted);
        }
    }
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let (counter, answer) = match verdict {
        Verdict::Accept if status.is_success() => return Ok(bare(status)),
        Verdict::Accept => (&mock.http.errors_injected, bare(status)),
        Verdict::Fail => (&mock.http.errors_injected, bare(StatusCode::SERVICE_UNAVAILABLE)),
        Verdict::Throttle => (&mock.http.throttled, retry_after(status_only(429), seconds)),
        Verdict::Reject => (&mock.http.rejected, bare(StatusCode::BAD_REQUEST)),
        Verdict::Unauthorized => (&mock.http.rejected, bare(StatusCode::UNAUTHORIZED)),
        Verdict::Dead => (&mock.http.rejected, bare(StatusCode::GONE)),
        Verdict::Redirect => (&mock.http.rejected, redirect()),
        Verdict::Garbage => return Ok(garbage()),
        Verdict::Huge => return Ok(huge()),
        Verdict::Reset => {
            mock.http.resets.fetch_add(1, Relaxed);
            return Err(Hangup);
        }
        Verdict::Hang => {
            mock.http.hung.fetch_add(1, Relaxed);
            tokio::time::sleep(HANG_MAX).await;
            return Err(Hangup);
        }
    };
    counter.fetch_add(1, Relaxed);
    Ok(answer)
}

/// Reads a body to its end, so that the connection can be used again; gives back as much of it as is to be kept.
pub(super) async fn read(mut body: Incoming, kept_max: usize) -> Result<Bytes, Hangup> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Hangup)?.into_data() else { continue };
        if kept_max == 0 {
            continue;
        }
        if first.is_empty() {
            // Nearly every body is one frame: no copy.
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&data[..data.len().min(kept_max.saturating_sub(all.len()))]);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// What the path of a delivery asks for.
#[derive(Debug, PartialEq, Eq)]
enum Path {
    Ordinary,
    Hang,
    Slow(Duration),
    Status(StatusCode),
}

impl Path {
    fn parse(path: &str) -> Self {
        if path == "/hang" {
            return Self::Hang;
        }
        if let Some(status) = path.strip_prefix("/status/")
            && let Some(status) = status.parse().ok().and_then(|status| StatusCode::from_u16(status).ok())
            && !status.is_informational()
        {
            return Self::Status(status);
        }
        if let Some(milliseconds) = path.strip_prefix("/slow/")
            && let Ok(milliseconds) = milliseconds.parse()
        {
            return Self::Slow(Duration::from_millis(milliseconds).min(HANG_MAX));
        }
        Self::Ordinary
    }
}

fn bare(status: StatusCode) -> Answer {
    let mut answer = Response::new(Either::Left(Full::default()));
    *answer.status_mut() = status;
    answer
}

pub(super) fn status_only(status: u16) -> Answer {
    bare(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
}

/// With the time to come again, unless it is 0.
pub(super) fn retry_after(mut answer: Answer, seconds: u32) -> Answer {
    if seconds > 0 {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// A redirect to a place that takes everything, so that a client that follows it is seen.
pub(super) fn redirect() -> Answer {
    let mut answer = bare(StatusCode::FOUND);
    answer.headers_mut().insert(LOCATION, HeaderValue::from_static("/redirected"));
    answer
}

/// A success that is none of the API's: a proxy in between says so.
pub(super) fn garbage() -> Answer {
    typed(200, "text/html", "<html><body><h1>It works!</h1>\u{0}\u{fffd}</body>")
}

/// A success that does not end for 100 MB.
pub(super) fn huge() -> Answer {
    Response::new(Either::Right(Either::Right(Flood { left: FLOOD_FRAMES })))
}

pub(super) fn json_answer(status: u16, body: impl Into<Bytes>) -> Answer {
    typed(status, "application/json", body)
}

pub(super) fn typed(status: u16, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = status_only(status);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    *answer.body_mut() = Either::Left(Full::new(body.into()));
    answer
}

/// What is sent far too much of.
static FLOOD_FRAME: [u8; 64 << 10] = [b' '; 64 << 10];
/// 100 MB.
const FLOOD_FRAMES: usize = 1600;

/// A body of many frames, none of which is kept in memory twice.
pub(super) struct Flood {
    left: usize,
}

impl Body for Flood {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&FLOOD_FRAME)))))
    }
}

pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_ask_for_a_behaviour() {
        let cases = [
            ("/hang", Path::Hang),
            ("/status/503", Path::Status(StatusCode::SERVICE_UNAVAILABLE)),
            ("/status/99", Path::Ordinary),
            ("/status/100", Path::Ordinary),
            ("/slow/200", Path::Slow(Duration::from_millis(200))),
            ("/slow/x", Path::Ordinary),
            ("/hook", Path::Ordinary),
            ("/", Path::Ordinary),
        ];
        for (path, expected) in cases {
            assert_eq!(Path::parse(path), expected, "{path}");
        }
    }
}
