//! Drops rows whose time has passed, while they are compacted anyway.

use fjall::compaction::filter::{CompactionFilter, Context, Factory, ItemAccessor, Verdict};

use crate::clock::SharedClock;
use crate::domain::Timestamp;

/// Makes filters for a keyspace whose values begin with the time they expire, eight bytes, big-endian, in milliseconds.
pub(super) struct ExpiryFactory {
    clock: std::panic::AssertUnwindSafe<SharedClock>,
}

impl ExpiryFactory {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self { clock: std::panic::AssertUnwindSafe(clock) }
    }
}

impl Factory for ExpiryFactory {
    fn name(&self) -> &str {
        "expiry"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(ExpiryFilter { now: self.clock.now() })
    }
}

struct ExpiryFilter {
    now: Timestamp,
}

impl CompactionFilter for ExpiryFilter {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> Result<Verdict, fjall::LsmError> {
        let value = item.value()?;
        let expires_at = value.first_chunk::<8>().map(|bytes| Timestamp(u64::from_be_bytes(*bytes)));
        Ok(if expires_at.is_some_and(|at| at <= self.now) { Verdict::Remove } else { Verdict::Keep })
    }
}
