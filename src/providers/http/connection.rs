//! One HTTP/1.1 connection, driven by whoever uses it.
//!
//! The machine that reads and writes is polled by the send that waits for it: there is no task for each connection, and no wake-up
//! from one task to another for each message. An idle connection stands still; that the other side closed it is seen
//! when it is taken up again, before anything is written.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HeaderMap;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;

use super::HttpFailure;

/// What was answered.
pub(in crate::providers) struct Answer {
    pub(in crate::providers) status: StatusCode,
    pub(in crate::providers) headers: HeaderMap,
    /// Empty where it was too long, or took too long.
    pub(in crate::providers) body: Bytes,
    /// Whether all of it is here.
    pub(in crate::providers) is_whole: bool,
}

/// How much of an answer's body is read; the connection is closed instead of reading more.
#[derive(Debug, Clone, Copy)]
pub(in crate::providers) struct BodyBound {
    pub(in crate::providers) bytes: usize,
    pub(in crate::providers) wait: Duration,
}

/// Decides how much of an answer's body is read once its head is there.
pub(in crate::providers) trait BodyGate: Sync {
    /// `size`: of the body, where the head says it. The connection stands still meanwhile, so it must not take long.
    fn admit(&self, size: Option<u64>) -> impl Future<Output = BodyBound> + Send;
}

/// The same for all.
impl BodyGate for BodyBound {
    async fn admit(&self, _: Option<u64>) -> BodyBound {
        *self
    }
}

impl Default for BodyBound {
    /// What a provider says of a message, which is known by its head already.
    fn default() -> Self {
        Self { bytes: 64 << 10, wait: Duration::from_secs(1) }
    }
}

pub(super) struct Connection {
    requests: SendRequest<Full<Bytes>>,
    wire: Wire,
    /// The last answer was read to its end.
    is_read: bool,
}

/// Reads and writes; none when the connection has ended.
struct Wire(Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>);

impl Connection {
    pub(super) async fn begin<S>(stream: S) -> Result<Self, HttpFailure>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let made = http1::handshake(TokioIo::new(stream)).await;
        let (requests, connection) = made.map_err(|error| HttpFailure::Unreachable(describe(&error)))?;
        Ok(Self { requests, wire: Wire(Some(Box::pin(connection))), is_read: true })
    }

    /// Whether it can serve again: nothing is left of the last answer, and the other side has not closed it.
    pub(super) async fn is_usable(&mut self) -> bool {
        self.wire.drive(self.requests.ready()).await.is_ok()
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_read && self.wire.0.is_some()
    }

    /// Sends a request, and reads the answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        gate: &impl BodyGate,
    ) -> Result<Answer, TrySendError<Request<Full<Bytes>>>> {
        self.is_read = false;
        let answered = self.requests.try_send_request(request);
        let (head, body) = self.wire.drive(answered).await?.into_parts();
        let mut kept = Bytes::new();
        self.is_read = body.is_end_stream() || {
            let bound = gate.admit(body.size_hint().exact()).await;
            let reading = self.wire.drive(Limited::new(body, bound.bytes).collect());
            match tokio::time::timeout(bound.wait, reading).await {
                Ok(Ok(read)) => {
                    kept = read.to_bytes();
                    true
                }
                _ => false,
            }
        };
        Ok(Answer { status: head.status, headers: head.headers, body: kept, is_whole: self.is_read })
    }
}

impl Wire {
    /// Waits for what the connection's progress brings about.
    async fn drive<F: Future>(&mut self, awaited: F) -> F::Output {
        let mut awaited = pin!(awaited);
        poll_fn(|context| {
            self.poll(context);
            awaited.as_mut().poll(context)
        })
        .await
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        if let Some(connection) = &mut self.0
            && let Poll::Ready(_) = connection.as_mut().poll(context)
        {
            // Dropped at once: whoever waits for it learns that it ended.
            self.0 = None;
        }
    }
}

pub(super) fn describe(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        "the connection was closed before the answer".into()
    } else if error.is_parse() {
        "the answer is not HTTP".into()
    } else {
        "the connection broke".into()
    }
}
