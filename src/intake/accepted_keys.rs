//! The retry keys of requests that stand in the log and are not planned yet: the store does not know them, and a retry
//! that comes within these moments must still be answered the same.
//!
//! A key is here from before its record is appended until its plan is durable, when the store's claims take over. A
//! look-up therefore asks here first and the store second: whoever is missed here has moved there already.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use tokio::sync::watch;

use crate::domain::{ClaimKey, Idempotency, Position};

/// The most keys kept, about 60 bytes each; above it requests with a key are answered 503 until some are planned. It is
/// what a hash table of 2^19 slots holds before it grows.
const KEYS_MAX: usize = (1 << 19) / 8 * 7;

/// Keys accepted on this node and not planned yet. The acceptor writes and reads, the partition actors remove.
#[derive(Debug, Default)]
pub struct AcceptedKeys {
    entries: Mutex<FxHashMap<ClaimKey, Entry>>,
}

#[derive(Debug)]
enum Entry {
    /// Being appended; the channel closes when that has ended, one way or the other.
    Appending {
        ended: watch::Receiver<()>,
    },
    Accepted {
        position: Position,
        body_hash: u64,
    },
}

/// For each key of a call: who holds it already, and with which body.
pub(super) type Holders = Vec<Option<(Position, u64)>>;

/// What is known of the keys of one call.
#[derive(Debug)]
pub(super) enum Reserved {
    /// Every key that nobody has is the caller's now; of the others, in the order of the call, the position and body.
    Done { held: Reservation, known: Holders },
    /// Another call is appending one of them; nothing was reserved.
    Wait(watch::Receiver<()>),
    /// There are too many.
    Full,
}

impl AcceptedKeys {
    /// The plans that hold these keys are durable: the store answers for them from now on.
    pub fn planned(&self, keys: &[ClaimKey]) {
        if keys.is_empty() {
            return;
        }
        let mut entries = self.lock();
        for key in keys {
            entries.remove(key);
        }
    }

    /// A record with this key is in the log and not planned yet: said at recovery, before the API opens.
    pub fn load(&self, key: ClaimKey, position: Position, body_hash: u64) {
        // Of two records under one key the first is the one that will hold it.
        self.lock().entry(key).or_insert(Entry::Accepted { position, body_hash });
    }

    /// How many keys wait for their plan.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of the keys now, in their order; nothing is reserved.
    pub(super) fn look(&self, keys: &[ClaimKey]) -> Holders {
        let entries = self.lock();
        let look = |key| match entries.get(key) {
            Some(Entry::Accepted { position, body_hash }) => Some((*position, *body_hash)),
            Some(Entry::Appending { .. }) | None => None,
        };
        keys.iter().map(look).collect()
    }

    /// Reserves all keys that are new, or none. Each key must occur once.
    pub(super) fn reserve(self: &Arc<Self>, wanted: &[Idempotency]) -> Reserved {
        let mut entries = self.lock();
        let mut known = Vec::with_capacity(wanted.len());
        for one in wanted {
            match entries.get(&one.key) {
                Some(Entry::Appending { ended }) => return Reserved::Wait(ended.clone()),
                Some(Entry::Accepted { position, body_hash }) => known.push(Some((*position, *body_hash))),
                None => known.push(None),
            }
        }
        if entries.len() + wanted.len() > KEYS_MAX {
            return Reserved::Full;
        }
        let (ends, ended) = watch::channel(());
        let mut keys = Vec::with_capacity(wanted.len());
        for (one, _) in wanted.iter().zip(&known).filter(|(_, known)| known.is_none()) {
            entries.insert(one.key, Entry::Appending { ended: ended.clone() });
            keys.push(one.key);
        }
        Reserved::Done { held: Reservation { owner: self.clone(), keys, ends }, known }
    }

    fn lock(&self) -> MutexGuard<'_, FxHashMap<ClaimKey, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys that one call is about to append. Dropped, it lets go of those that were not completed, and wakes who waits.
#[derive(Debug)]
pub(super) struct Reservation {
    owner: Arc<AcceptedKeys>,
    keys: Vec<ClaimKey>,
    ends: watch::Sender<()>,
}

impl Reservation {
    /// These were appended. One that was planned meanwhile is gone from the map, or another call's, and stays so.
    pub(super) fn complete(self, appended: impl Iterator<Item = (Idempotency, Position)>) {
        let own = self.ends.subscribe();
        let mut entries = self.owner.lock();
        for (one, position) in appended {
            for key in one.keys() {
                if let Some(entry) = entries.get_mut(&key).filter(|entry| entry.is_held_by(&own)) {
                    *entry = Entry::Accepted { position, body_hash: one.body_hash };
                }
            }
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let own = self.ends.subscribe();
        let mut entries = self.owner.lock();
        for key in &self.keys {
            if entries.get(key).is_some_and(|entry| entry.is_held_by(&own)) {
                entries.remove(key);
            }
        }
    }
}

impl Entry {
    fn is_held_by(&self, call: &watch::Receiver<()>) -> bool {
        matches!(self, Entry::Appending { ended } if ended.same_channel(call))
    }
}
