//! What planning remembers of users and addresses, so that a batch whose people are known asks the store for nothing.
//!
//! Bounded in bytes: what was not asked for longest goes first, half of the memory at a time. Whoever changes a user or an
//! address announces it before it is written; each node then forgets the entry, and keeps nothing that it reads of it while the
//! write may still be under way. While a node does not hear of changes it trusts nothing older than a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::changes::{ChangeKey, Changes, DISTRUST, Listener, STALE_MAX};
use crate::clock::{Moment, SharedClock};
use crate::domain::{Suppression, User, UserKey};
use crate::store::{SecretsOf, StoreError, Users};

/// The memory itself. Shared by all partitions of a node.
pub struct Copies {
    /// Each of the two generations has half of it.
    bytes_max: usize,
    age_max: Duration,
    clock: SharedClock,
    changes: Arc<dyn Changes>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    young: Generation,
    old: Generation,
    /// Announced changes, and until when nothing is kept of what they are about.
    announced: HashMap<ChangeKey, Moment>,
    /// The same for everything, where too many changes were announced at once.
    all_announced: Moment,
    /// What was thrown away, to be taken apart by whoever did it, when the others may go on: it may be many thousand entries.
    gone: Vec<Generation>,
}

#[derive(Debug, Default)]
struct Generation {
    entries: HashMap<ChangeKey, Entry>,
    bytes: usize,
}

#[derive(Debug, Clone)]
struct Entry {
    known: Known,
    read_at: Moment,
}

/// What the store said; also that it knows nothing.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    User(Option<Arc<User>>),
    Address(Option<Suppression>),
    /// What a user's data is sealed under; none: nothing was, or it was destroyed.
    Secrets(Arc<SecretsOf>),
}

/// Announced changes that are remembered one by one, some 5 MB; more within [`DISTRUST`] are an import.
const ANNOUNCED_MAX: usize = 100_000;

impl Copies {
    /// At most `bytes_max` bytes, none older than `age_max`; it is told by `changes` from now on.
    pub fn new(bytes_max: usize, age_max: Duration, clock: SharedClock, changes: Arc<dyn Changes>) -> Arc<Self> {
        let copies = Arc::new(Self { bytes_max, age_max, clock, changes, state: Mutex::default() });
        let itself: Weak<Self> = Arc::downgrade(&copies);
        copies.changes.listen(itself);
        copies
    }

    /// When what is read from now on was asked for.
    pub(crate) fn moment(&self) -> Moment {
        self.clock.moment()
    }

    /// What is known of each, in the order asked for; `None`: it must be read.
    pub(crate) fn look_up(&self, keys: &[ChangeKey]) -> Vec<Option<Known>> {
        let age_max = if self.changes.is_current() { self.age_max } else { STALE_MAX.min(self.age_max) };
        let now = self.clock.moment();
        self.with(|state| keys.iter().map(|key| state.look_up(*key, now, age_max, self.bytes_max / 2)).collect())
    }

    /// Keeps what was read after `asked_at`, unless a change of it was announced, or may have been and was not heard of.
    pub(crate) fn keep(&self, read: impl IntoIterator<Item = (ChangeKey, Known)>, asked_at: Moment) {
        if !self.changes.is_current() {
            return;
        }
        self.with(|state| {
            for (key, known) in read {
                let is_announced = state.announced.get(&key).is_some_and(|until| *until > asked_at);
                if !is_announced && state.all_announced <= asked_at {
                    state.insert(key, Entry { known, read_at: asked_at }, self.bytes_max / 2);
                }
            }
        });
    }

    /// Users, each asked for once, in the order asked for: those that are not remembered are read together, and are from now on.
    pub(crate) async fn users<S>(&self, store: &S, keys: &[UserKey]) -> Result<Vec<Option<Arc<User>>>, StoreError>
    where
        S: Users + ?Sized,
    {
        let places: Vec<ChangeKey> = keys.iter().map(ChangeKey::of_user).collect();
        let asked_at = self.moment();
        let mut found = self.look_up(&places);
        let missing: Vec<usize> = (0..keys.len()).filter(|index| found[*index].is_none()).collect();
        if !missing.is_empty() {
            let wanted: Vec<UserKey> = missing.iter().map(|index| keys[*index].clone()).collect();
            let read = store.users(&wanted).await?.into_iter().map(|user| Known::User(user.map(Arc::new)));
            missing.iter().zip(read).for_each(|(index, known)| found[*index] = Some(known));
            self.keep(missing.into_iter().filter_map(|index| Some((places[index], found[index].clone()?))), asked_at);
        }
        let user = |known| match known {
            Some(Known::User(user)) => user,
            _ => None,
        };
        Ok(found.into_iter().map(user).collect())
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let answer = work(&mut state);
        let gone = std::mem::take(&mut state.gone);
        drop(state);
        drop(gone);
        answer
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Copies {
    fn changed(&self, keys: &[ChangeKey]) {
        let now = self.clock.moment();
        self.with(|state| keys.iter().for_each(|key| state.forget(*key, now)));
    }

    fn missed(&self) {
        let now = self.clock.moment();
        self.with(|state| {
            state.forget_all();
            // What was announced unheard may still be on its way to the store.
            state.all_announced = now + DISTRUST;
        });
    }
}

impl State {
    fn forget(&mut self, key: ChangeKey, now: Moment) {
        self.young.remove(key);
        self.old.remove(key);
        if self.announced.len() >= ANNOUNCED_MAX {
            self.announced.retain(|_, until| *until > now);
        }
        let until = now + DISTRUST;
        if self.announced.len() >= ANNOUNCED_MAX {
            self.forget_all();
            self.announced.clear();
            self.all_announced = until;
        } else {
            self.announced.insert(key, until);
        }
    }

    fn forget_all(&mut self) {
        let both = [&mut self.young, &mut self.old].map(std::mem::take);
        self.gone.extend(both);
    }

    fn look_up(&mut self, key: ChangeKey, now: Moment, age_max: Duration, half: usize) -> Option<Known> {
        let is_fresh = |entry: &&Entry| now.since(entry.read_at) < age_max;
        if let Some(entry) = self.young.entries.get(&key) {
            return Some(entry).filter(is_fresh).map(|entry| entry.known.clone());
        }
        // What is still asked for stays.
        let entry = self.old.remove(key).filter(|entry| is_fresh(&entry))?;
        let known = entry.known.clone();
        self.insert(key, entry, half);
        Some(known)
    }

    fn insert(&mut self, key: ChangeKey, entry: Entry, half: usize) {
        let bytes = entry.known.bytes();
        if self.young.bytes + bytes > half {
            let old = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.gone.push(old);
        }
        self.old.remove(key);
        self.young.remove(key);
        if bytes <= half {
            self.young.bytes += bytes;
            self.young.entries.insert(key, entry);
        }
    }
}

impl Generation {
    fn remove(&mut self, key: ChangeKey) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        self.bytes -= entry.known.bytes();
        Some(entry)
    }
}

/// A place in the table, with the empty ones beside it.
const PLACE_BYTES: usize = 2 * size_of::<(ChangeKey, Entry)>();

/// An entry of a map on the heap besides its texts: nodes are two thirds full.
const NODE_BYTES: usize = 24;

impl Known {
    /// About what it takes of memory.
    fn bytes(&self) -> usize {
        let heap = match self {
            Known::User(None) | Known::Address(None) => 0,
            Known::Address(Some(suppression)) => suppression.address.as_ref().map_or(0, |address| address.len()),
            Known::User(Some(user)) => bytes_of(user),
            Known::Secrets(secrets) => {
                let SecretsOf { there, destroyed } = &**secrets;
                size_of::<SecretsOf>() + 16 + size_of_val(&there[..]) + size_of_val(&destroyed[..])
            }
        };
        PLACE_BYTES + heap
    }
}

fn bytes_of(user: &User) -> usize {
    let texts = [&user.email, &user.phone, &user.locale, &user.timezone];
    let texts: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
    let attributes: usize =
        user.attributes.iter().map(|(name, value)| name.len() + value.len() + 32 + NODE_BYTES).sum();
    let device_bytes = size_of::<crate::domain::Device>() + 16 + NODE_BYTES;
    let devices: usize = user.devices.iter().map(|(id, device)| id.len() + device.token.len() + device_bytes).sum();
    let preferences: usize = user.preferences.keys().map(|category| category.len() + 16 + 7 + NODE_BYTES).sum();
    let consents: usize = user.consents.values().map(|one| one.text_version.len() + one.source.len() + 200).sum();
    size_of::<User>() + texts + attributes + devices + preferences + consents
}

#[cfg(test)]
mod tests;
