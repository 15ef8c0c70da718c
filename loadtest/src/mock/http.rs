//! The HTTP side: every POST is a delivery, except for the control calls.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::behaviour::{HANG_MAX, Verdict};
use super::control::{self, IdStream};
use super::{CONNECTIONS_MAX, Mock, Taken};

/// What is answered: a short text, or the stream of ids.
pub(super) type Answer = Response<Either<Full<Bytes>, IdStream>>;

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
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).pipeline_flush(true);
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
        let connection = server.serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // A client that goes away is its own business, and hang-ups are ours.
            let _ = connection.await;
            drop(permit);
        });
    }
}

async fn answer(mock: Arc<Mock>, request: Request<Incoming>) -> Result<Answer, Hangup> {
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/reset" | "/behaviour") | (&Method::GET, _) => Ok(control::answer(&mock, request).await),
        (&Method::POST, _) => deliver(&mock, request).await,
        _ => Ok(text(StatusCode::METHOD_NOT_ALLOWED, "POST a delivery, or GET /stats or /ids\n")),
    }
}

async fn deliver(mock: &Mock, request: Request<Incoming>) -> Result<Answer, Hangup> {
    mock.http.requests.fetch_add(1, Relaxed);
    let (head, body) = request.into_parts();
    let body = read(body, mock.lateness.is_some() || mock.items.is_some()).await?;
    let (verdict, latency, status) = match Path::parse(head.uri.path()) {
        Path::Ordinary => {
            let (verdict, latency) = mock.temper.decide();
            (verdict, latency, StatusCode::OK)
        }
        Path::Hang => (Verdict::Hang, Duration::ZERO, StatusCode::OK),
        Path::Slow(latency) => (Verdict::Accept, latency, StatusCode::OK),
        Path::Status(status) => (Verdict::Accept, Duration::ZERO, status),
    };
    match verdict {
        Verdict::Accept | Verdict::Reset if status.is_success() => {
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
        _ => {}
    }
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let (counter, answer) = match verdict {
        Verdict::Accept if status.is_success() => return Ok(bare(status)),
        Verdict::Accept => (&mock.http.errors_injected, bare(status)),
        Verdict::Fail => (&mock.http.errors_injected, bare(StatusCode::SERVICE_UNAVAILABLE)),
        Verdict::Throttle => (&mock.http.throttled, throttled()),
        Verdict::Reject => (&mock.http.rejected, bare(StatusCode::BAD_REQUEST)),
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

/// Reads a body to its end, so that the connection can be used again; gives it back only when it is `wanted`.
async fn read(mut body: Incoming, wanted: bool) -> Result<Bytes, Hangup> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Hangup)?.into_data() else { continue };
        if !wanted {
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
        all.extend_from_slice(&data[..data.len().min(SEARCHED_MAX.saturating_sub(all.len()))]);
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

fn throttled() -> Answer {
    let mut answer = bare(StatusCode::TOO_MANY_REQUESTS);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
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
