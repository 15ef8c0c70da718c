//! Drops rows whose time has passed, while they are compacted anyway: neither a scan nor a tombstone is spent on them.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, RefUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fjall::compaction::filter::{CompactionFilter, Context, Factory, ItemAccessor, Verdict};

use crate::clock::SharedClock;
use crate::domain::{ShardId, Timestamp};

/// For a keyspace whose values begin with the time they expire: eight bytes, big-endian, in milliseconds.
///
/// A row that is dropped may uncover an older one of the same key, further down; that one has expired as well, since a key is
/// only written anew once its row has expired.
pub(super) struct Expiry {
    clock: AssertUnwindSafe<SharedClock>,
}

impl Expiry {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self { clock: AssertUnwindSafe(clock) }
    }
}

impl Factory for Expiry {
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
        Ok(if expires_at.is_some_and(|at| at <= self.now) { Verdict::Destroy } else { Verdict::Keep })
    }
}

/// For a keyspace whose keys have, somewhere, the time when they were written, counted down from the highest number: eight bytes,
/// big-endian, in milliseconds. Rows leave when they are older than `kept` says of their keys.
pub(super) struct Age {
    clock: AssertUnwindSafe<SharedClock>,
    kept: Kept,
    place: TimeIn,
}

/// How long the row of a key is kept; `None`: for ever.
type Kept = Arc<dyn Fn(&[u8]) -> Option<Duration> + Send + Sync + RefUnwindSafe>;

/// What of a key begins with its time; `None`: it has none.
type TimeIn = fn(&[u8]) -> Option<&[u8]>;

/// Behind sixteen other bytes.
pub(super) fn behind_a_hash(key: &[u8]) -> Option<&[u8]> {
    key.get(16..)
}

/// Behind a byte, the length of a part (four bytes, big-endian) and the part.
pub(super) fn behind_a_part(key: &[u8]) -> Option<&[u8]> {
    let (length, rest) = key.get(1..)?.split_first_chunk::<4>()?;
    rest.get(usize::try_from(u32::from_be_bytes(*length)).ok()?..)
}

impl Age {
    pub(super) fn new(clock: SharedClock, kept: Kept, place: TimeIn) -> Self {
        Self { clock: AssertUnwindSafe(clock), kept, place }
    }
}

impl Factory for Age {
    fn name(&self) -> &str {
        "age"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(AgeFilter { now: self.clock.now(), kept: self.kept.clone(), place: self.place })
    }
}

struct AgeFilter {
    now: Timestamp,
    kept: Kept,
    place: TimeIn,
}

impl CompactionFilter for AgeFilter {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> Result<Verdict, fjall::LsmError> {
        let inverted = (self.place)(item.key()).and_then(|rest| rest.first_chunk::<8>());
        let at = inverted.map(|bytes| Timestamp(u64::MAX - u64::from_be_bytes(*bytes)));
        let is_old = |at: Timestamp| (self.kept)(item.key()).is_some_and(|kept| at < self.now - kept);
        Ok(if at.is_some_and(is_old) { Verdict::Destroy } else { Verdict::Keep })
    }
}

/// For a keyspace whose keys begin with a shard (four bytes) and a time (eight bytes, milliseconds), both big-endian: what lies
/// below its shard's floor is not read any more.
#[derive(Clone, Default)]
pub(crate) struct Floors {
    floors: Arc<Mutex<HashMap<[u8; 4], Timestamp>>>,
}

impl Floors {
    /// Raises a shard's floor. What makes it right must be durable already: rows below are gone for good.
    pub(crate) fn raise(&self, shard: ShardId, floor: Timestamp) {
        let mut floors = self.held();
        let held = floors.entry(shard.to_u32().to_be_bytes()).or_default();
        *held = floor.max(*held);
    }

    fn held(&self) -> MutexGuard<'_, HashMap<[u8; 4], Timestamp>> {
        self.floors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Factory for Floors {
    fn name(&self) -> &str {
        "floors"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(FloorFilter { floors: self.held().clone() })
    }
}

struct FloorFilter {
    floors: HashMap<[u8; 4], Timestamp>,
}

impl CompactionFilter for FloorFilter {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> Result<Verdict, fjall::LsmError> {
        let below = || {
            let (shard, rest) = item.key().split_first_chunk::<4>()?;
            let at = Timestamp(u64::from_be_bytes(*rest.first_chunk::<8>()?));
            Some(at < *self.floors.get(shard)?)
        };
        Ok(if below().unwrap_or(false) { Verdict::Destroy } else { Verdict::Keep })
    }
}
