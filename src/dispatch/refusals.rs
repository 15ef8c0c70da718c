//! What the critical class tells the other of a provider's refusals, where no rate is configured that is leased to both: were it
//! only the critical class that goes slower, the provider would go on refusing it because of the other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Moment;

/// The refusals of all providers, by their names.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<Box<str>, Arc<Refused>>>);

impl Refusals {
    pub(super) fn of(&self, provider: &str) -> Arc<Refused> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(provider.into()).or_default().clone()
    }
}

/// Those of critical messages by one provider, in microseconds of the monotonic clock; 0: there were none.
#[derive(Debug, Default)]
pub(super) struct Refused {
    at: AtomicU64,
    until: AtomicU64,
}

impl Refused {
    /// A critical message was refused, and the provider is to rest.
    pub(super) fn tell(&self, now: Moment, until: Moment) {
        self.at.fetch_max(micros(now), Ordering::Relaxed);
        self.until.fetch_max(micros(until), Ordering::Relaxed);
    }

    /// When that was last.
    pub(super) fn at(&self) -> Moment {
        Moment(Duration::from_micros(self.at.load(Ordering::Relaxed)))
    }

    /// Until when it is to rest.
    pub(super) fn until(&self) -> Moment {
        Moment(Duration::from_micros(self.until.load(Ordering::Relaxed)))
    }
}

fn micros(moment: Moment) -> u64 {
    moment.0.as_micros().min(u128::from(u64::MAX)) as u64
}
