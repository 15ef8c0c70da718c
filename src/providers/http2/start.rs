//! Whether a request has begun to go out. A request waits within hyper while the other side allows no more streams, and hyper does not
//! tell when that ends. Its body does: it is asked for when the stream is open, and without the body's end no request is complete.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

/// Of one request; shared by its body and by who waits for it. Only the first of both has its way.
#[derive(Debug, Clone, Default)]
pub(super) struct Start(Arc<AtomicU8>);

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Start {
    /// Whether nothing was written yet; then nothing ever is.
    pub(super) fn give_up(&self) -> bool {
        self.0.compare_exchange(WAITING, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Whether it may be written.
    fn begin(&self) -> bool {
        match self.0.compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(state) => state == BEGUN,
        }
    }
}

/// A body that says when it is asked for, and is not there any more for a request that was given up.
pub(super) struct Watched {
    body: Full<Bytes>,
    start: Start,
}

/// The stream is reset for it, without the end of the request.
#[derive(Debug, thiserror::Error)]
#[error("nobody waits for the answer any more")]
pub(super) struct GivenUp;

impl Watched {
    pub(super) fn new(body: Full<Bytes>, start: Start) -> Self {
        Self { body, start }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = GivenUp;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, GivenUp>>> {
        let watched = self.get_mut();
        if !watched.start.begin() {
            return Poll::Ready(Some(Err(GivenUp)));
        }
        Pin::new(&mut watched.body).poll_frame(context).map_err(|never| match never {})
    }

    fn is_end_stream(&self) -> bool {
        // An empty body is never asked for: it goes with the head, which is written next.
        let is_end = self.body.is_end_stream();
        if is_end {
            self.start.begin();
        }
        is_end
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn what_was_given_up_is_never_written_and_what_was_begun_is_not_given_up() {
        let start = Start::default();
        let body = Watched::new(Full::new(Bytes::from_static(b"hello")), start.clone());
        assert!(start.give_up());
        assert!(body.collect().await.is_err());
        let start = Start::default();
        let body = Watched::new(Full::new(Bytes::from_static(b"hello")), start.clone());
        assert_eq!(body.collect().await.expect("whole").to_bytes(), "hello");
        assert!(!start.give_up());
    }
}
