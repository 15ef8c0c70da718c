//! What planning remembers of users and addresses, so that a batch whose people are known asks the store for nothing.
//!
//! Bounded in bytes: what was not asked for longest goes first, half of the memory at a time. Whoever changes a user or an
//! address announces it before it is written; each node then forgets the entry, and keeps nothing that it reads of it while the
//! write may still be under way. While a node does not hear of changes it trusts nothing older than a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::digest;

use crate::domain::{SuppressedAddress, Suppression, Timestamp, User, UserKey};

/// Names a user or an address in announcements and in memory: a hash, so that no personal datum is in it. A cryptographic one:
/// with any other a tenant could make names that stand for another tenant's users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryKey(pub u128);

impl EntryKey {
    pub fn of_user(key: &UserKey) -> Self {
        Self::of(b"user", &[key.tenant.as_bytes(), key.user_id.as_bytes()])
    }

    pub fn of_address(address: &SuppressedAddress) -> Self {
        let kind = [address.kind as u8];
        Self::of(b"address", &[address.tenant.as_bytes(), &kind, address.address().as_bytes()])
    }

    /// Each field with its length, so that no two lists of fields have the same bytes.
    fn of(kind: &[u8], fields: &[&[u8]]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(kind);
        for field in fields {
            context.update(&(field.len() as u64).to_le_bytes());
            context.update(field);
        }
        let hash = context.finish();
        let half = hash.as_ref().first_chunk().expect("a SHA-256 hash has 32 bytes");
        Self(u128::from_be_bytes(*half))
    }
}

/// How long a write may take after it was announced; longer ones fail.
pub const WRITE_MAX: Duration = Duration::from_secs(10);

/// How old the memory may be of a node that does not hear of changes: they are honoured within this.
const UNFOLLOWED_AGE_MAX: Duration = Duration::from_secs(1);

/// The memory itself. Shared by all partitions of a node.
#[derive(Debug)]
pub struct Directory {
    /// Each of the two generations has half of it.
    bytes_max: usize,
    age_max: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    young: Generation,
    old: Generation,
    /// Announced changes, and until when nothing is kept of what they are about.
    announced: HashMap<EntryKey, Timestamp>,
    /// The same for everything, where too many changes were announced at once.
    all_announced: Timestamp,
    /// Whether every change is heard of.
    is_following: bool,
    /// What was thrown away, to be taken apart by whoever did it, when the others may go on: it may be many thousand entries.
    gone: Vec<Generation>,
}

#[derive(Debug, Default)]
struct Generation {
    entries: HashMap<EntryKey, Entry>,
    bytes: usize,
}

#[derive(Debug, Clone)]
struct Entry {
    known: Known,
    read_at: Timestamp,
}

/// What the store said; also that it knows nothing.
#[derive(Debug, Clone)]
pub(super) enum Known {
    User(Option<Arc<User>>),
    Address(Option<Suppression>),
}

/// Announced changes that are remembered one by one, some 5 MB; more within [`WRITE_MAX`] are an import.
const ANNOUNCED_MAX: usize = 100_000;

impl Directory {
    pub fn new(bytes_max: usize, age_max: Duration) -> Self {
        Self { bytes_max, age_max, state: Mutex::default() }
    }

    /// Whether this node hears of every change from now on. While it does not, nothing is trusted for long.
    pub fn set_following(&self, is_following: bool, now: Timestamp) {
        self.with(|state| {
            if state.is_following != is_following {
                state.is_following = is_following;
                state.forget_all();
                // What was announced while nobody listened may still be on its way to the store.
                state.all_announced = now + WRITE_MAX;
            }
        });
    }

    /// A change was announced: what is known of it goes, and what is read of it is not kept for a while.
    pub fn forget(&self, key: EntryKey, now: Timestamp) {
        self.with(|state| state.forget(key, now));
    }

    /// What is known of each, in the order asked for; `None`: it must be read.
    pub(super) fn look_up(&self, keys: &[EntryKey], now: Timestamp) -> Vec<Option<Known>> {
        self.with(|state| {
            let age_max = if state.is_following { self.age_max } else { UNFOLLOWED_AGE_MAX };
            keys.iter().map(|key| state.look_up(*key, now, age_max, self.bytes_max / 2)).collect()
        })
    }

    /// Keeps what was read after `asked_at`, unless a change of it was announced.
    pub(super) fn keep(&self, read: impl IntoIterator<Item = (EntryKey, Known)>, asked_at: Timestamp) {
        self.with(|state| {
            for (key, known) in read {
                let is_announced = state.announced.get(&key).is_some_and(|until| *until > asked_at);
                if !is_announced && state.all_announced <= asked_at {
                    state.insert(key, Entry { known, read_at: asked_at }, self.bytes_max / 2);
                }
            }
        });
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

impl State {
    fn forget(&mut self, key: EntryKey, now: Timestamp) {
        self.young.remove(key);
        self.old.remove(key);
        if self.announced.len() >= ANNOUNCED_MAX {
            self.announced.retain(|_, until| *until > now);
        }
        let until = now + WRITE_MAX;
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

    fn look_up(&mut self, key: EntryKey, now: Timestamp, age_max: Duration, half: usize) -> Option<Known> {
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

    fn insert(&mut self, key: EntryKey, entry: Entry, half: usize) {
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
    fn remove(&mut self, key: EntryKey) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        self.bytes -= entry.known.bytes();
        Some(entry)
    }
}

/// A place in the table, with the empty ones beside it.
const PLACE_BYTES: usize = 2 * size_of::<(EntryKey, Entry)>();

/// An entry of a map on the heap besides its texts: nodes are two thirds full.
const NODE_BYTES: usize = 24;

impl Known {
    /// About what it takes of memory.
    fn bytes(&self) -> usize {
        let heap = match self {
            Known::User(None) | Known::Address(None) => 0,
            Known::Address(Some(suppression)) => suppression.address.as_ref().map_or(0, |address| address.len()),
            Known::User(Some(user)) => bytes_of(user),
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
    size_of::<User>() + texts + attributes + devices + preferences
}

#[cfg(test)]
mod tests;
