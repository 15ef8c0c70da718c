//! How long the door waits for the store, where it can do without its answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::clock::{Moment, SharedClock};
use crate::store::StoreError;

/// How long a request waits for the store before it is accepted without: a caller waits for it. Each thing that is asked for adds a
/// millisecond, since a batch asks for thousands.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// A store that did not answer is not asked again for this long, so that not every request waits.
pub(super) const SILENCE: Duration = Duration::from_secs(2);

/// Waits for one store.
pub(super) struct Patience {
    clock: SharedClock,
    /// What is done without the store, for the log.
    without: &'static str,
    /// The moment until which the store is not asked, in milliseconds.
    silent_until: AtomicU64,
}

impl Patience {
    pub(super) fn new(clock: SharedClock, without: &'static str) -> Self {
        Self { clock, without, silent_until: AtomicU64::new(0) }
    }

    /// What a call answers that asks for so many things. `None`: it failed, did not answer in time, or is not made at the moment.
    pub(super) async fn answer<T>(
        &self,
        things: usize,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Option<T> {
        if self.clock.moment() < Moment(Duration::from_millis(self.silent_until.load(Ordering::Relaxed))) {
            return None;
        }
        let limit = ANSWER_WAIT + Duration::from_millis(things as u64);
        match select(std::pin::pin!(call), self.clock.sleep(limit)).await {
            Either::Left((Ok(answer), _)) => return Some(answer),
            Either::Left((Err(error), _)) => tracing::warn!(%error, "{}", self.without),
            Either::Right(_) => tracing::warn!(?limit, "the store does not answer in time: {}", self.without),
        }
        let until = self.clock.moment() + SILENCE;
        self.silent_until.store(until.0.as_millis() as u64, Ordering::Relaxed);
        None
    }
}
