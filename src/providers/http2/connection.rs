//! One HTTP/2 connection, shared by all requests that are under way on it.

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::StatusCode;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::USER_AGENT;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::start::{Start, Watched};
use super::{Answer, Asking, NoConnection};
use crate::providers::wire::AGENT;

/// A body that is larger is not read to its end; its stream is reset instead.
const BODY_MAX: usize = 64 << 10;
/// Likewise one that takes longer than this: what was answered is known by then.
const BODY_WAIT: Duration = Duration::from_secs(1);
/// How often the other side is asked whether it is still there, in use or not: what stands between may forget idle connections.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long it may take to say so, before the connection is given up.
const PONG_MAX: Duration = Duration::from_secs(10);

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Connection {
    requests: SendRequest<Watched>,
    shared: Arc<Shared>,
}

struct Shared {
    /// The other side said that it takes no more requests on it.
    is_retired: AtomicBool,
    /// One request at a time until it is closed, which is when the other side has taken our credentials. None: as many as it allows
    /// from the beginning.
    first: Option<Semaphore>,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The connection takes no more requests, and this one was not looked at: another connection may take it.
    Unsent,
    /// It was not begun in time, and never will be.
    Late,
    /// This one was not looked at, and the connection goes on: the other side has too much to do.
    Refused,
    /// It may have been read.
    InDoubt(Box<str>),
}

impl Connection {
    pub(super) async fn begin<S>(stream: S, starts_with_one: bool) -> Result<Self, NoConnection>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PONG_MAX)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(BODY_MAX as u32);
        let made = builder.handshake(TokioIo::new(stream)).await;
        let (requests, wire) = made.map_err(|_| NoConnection::Unreachable("HTTP/2 could not be begun".into()))?;
        // It ends with the connection: when the other side closes it, or when nobody holds `requests` any more.
        tokio::spawn(async move { drop(wire.await) });
        let first = starts_with_one.then(|| Semaphore::new(1));
        Ok(Self { requests, shared: Arc::new(Shared { is_retired: AtomicBool::new(false), first }) })
    }

    /// Whether it takes requests.
    pub(super) fn is_open(&self) -> bool {
        !self.requests.is_closed() && !self.shared.is_retired.load(Ordering::Relaxed)
    }

    /// Sends a request once, and reads the answer. It must have begun by `until`; how long the answer takes is for the caller to bound.
    pub(super) async fn send(mut self, mut request: Asking, until: Instant) -> Result<Answer, NoAnswer> {
        let shared = self.shared.clone();
        // A closed semaphore gives no permits: everybody may go on.
        let _alone = match &shared.first {
            Some(first) => timeout_at(until, first.acquire()).await.map_err(|_| NoAnswer::Late)?.ok(),
            None => None,
        };
        if shared.is_retired.load(Ordering::Relaxed) {
            return Err(NoAnswer::Unsent);
        }
        request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
        let start = Start::default();
        let request = request.map(|body| Watched::new(body, start.clone()));
        let mut answering = pin!(self.requests.try_send_request(request));
        let answered = match timeout_at(until, &mut answering).await {
            Ok(answered) => answered,
            Err(_) if start.give_up() => return Err(NoAnswer::Late),
            Err(_) => answering.await,
        };
        let (head, body) = match answered {
            Ok(answer) => answer.into_parts(),
            Err(mut error) => {
                let reason = match error.take_message() {
                    Some(_) => NoAnswer::Unsent,
                    None => judge(error.error()),
                };
                if reason == NoAnswer::Unsent {
                    shared.is_retired.store(true, Ordering::Relaxed);
                }
                return Err(reason);
            }
        };
        if let Some(first) = &shared.first
            && head.status != StatusCode::FORBIDDEN
        {
            first.close();
        }
        let body = read(body).await;
        let is_whole = body.is_some();
        Ok(Answer { status: head.status, headers: head.headers, body: body.unwrap_or_default(), is_whole })
    }
}

/// `None`: it is too long, or takes too long.
async fn read(body: Incoming) -> Option<Bytes> {
    if body.is_end_stream() {
        return Some(Bytes::new());
    }
    match tokio::time::timeout(BODY_WAIT, Limited::new(body, BODY_MAX).collect()).await {
        Ok(Ok(read)) => Some(read.to_bytes()),
        _ => None,
    }
}

/// A stream that the other side's GOAWAY leaves out, and one that is reset as REFUSED_STREAM, was not processed (RFC 9113
/// section 8.7). All else may have been.
fn judge(error: &hyper::Error) -> NoAnswer {
    let mut cause = error.source();
    while let Some(found) = cause {
        if let Some(error) = found.downcast_ref::<h2::Error>() {
            return judge_h2(error);
        }
        cause = found.source();
    }
    NoAnswer::InDoubt("the connection broke".into())
}

fn judge_h2(error: &h2::Error) -> NoAnswer {
    // The library gives a stream the error of a GOAWAY only where its number is above the last one of that frame.
    if error.is_go_away() && error.is_remote() {
        return NoAnswer::Unsent;
    }
    if error.is_reset() && error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM) {
        return NoAnswer::Refused;
    }
    match error.reason() {
        Some(reason) => NoAnswer::InDoubt(format!("the stream ended: {}", reason.description()).into()),
        None => NoAnswer::InDoubt("the connection broke".into()),
    }
}
