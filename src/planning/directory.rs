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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn key(number: u128) -> EntryKey {
        EntryKey(number)
    }

    fn user(text: &str) -> Known {
        Known::User(Some(Arc::new(User { email: Some(text.into()), ..User::default() })))
    }

    fn following(bytes_max: usize) -> Directory {
        let directory = Directory::new(bytes_max, Duration::from_secs(600));
        directory.set_following(true, Timestamp(0));
        directory
    }

    fn knows(directory: &Directory, number: u128, at: Timestamp) -> bool {
        directory.look_up(&[key(number)], at)[0].is_some()
    }

    #[test]
    fn what_was_read_is_known_until_it_is_too_old() {
        let directory = following(1 << 20);
        directory.keep([(key(1), user("a")), (key(2), Known::Address(None))], NOW);
        assert!(knows(&directory, 1, NOW) && knows(&directory, 2, NOW));
        assert!(!knows(&directory, 3, NOW));
        assert!(knows(&directory, 1, NOW + Duration::from_secs(599)));
        assert!(!knows(&directory, 1, NOW + Duration::from_secs(600)));
    }

    #[test]
    fn a_node_that_hears_of_no_changes_trusts_nothing_older_than_a_second() {
        let directory = Directory::new(1 << 20, Duration::from_secs(600));
        directory.keep([(key(1), user("a"))], NOW);
        assert!(knows(&directory, 1, NOW + Duration::from_millis(999)));
        assert!(!knows(&directory, 1, NOW + Duration::from_secs(1)));
        directory.set_following(true, NOW);
        assert!(!knows(&directory, 1, NOW), "what was changed while nobody listened is not known");
        directory.keep([(key(1), user("a"))], NOW);
        assert!(!knows(&directory, 1, NOW), "it may have been announced and not written yet");
        directory.keep([(key(1), user("a"))], NOW + WRITE_MAX);
        assert!(knows(&directory, 1, NOW + WRITE_MAX));
    }

    #[test]
    fn an_announced_change_is_forgotten_and_not_kept_while_its_write_may_be_under_way() {
        let directory = following(1 << 20);
        directory.keep([(key(1), user("a")), (key(2), user("b"))], NOW);
        directory.forget(key(1), NOW);
        assert!(!knows(&directory, 1, NOW) && knows(&directory, 2, NOW));
        // Also what was asked for before the announcement, and comes after it.
        directory.keep([(key(1), user("a"))], NOW - Duration::from_secs(1));
        directory.keep([(key(1), user("a"))], NOW + WRITE_MAX - Duration::from_millis(1));
        assert!(!knows(&directory, 1, NOW));
        directory.keep([(key(1), user("a"))], NOW + WRITE_MAX);
        assert!(knows(&directory, 1, NOW + WRITE_MAX));
    }

    #[test]
    fn changes_beyond_measure_make_the_whole_memory_distrusted() {
        let directory = following(1 << 20);
        directory.keep([(key(u128::MAX), user("a"))], NOW);
        for number in 0..=ANNOUNCED_MAX as u128 {
            directory.forget(key(number), NOW);
        }
        assert!(!knows(&directory, u128::MAX, NOW));
        directory.keep([(key(u128::MAX), user("a"))], NOW);
        assert!(!knows(&directory, u128::MAX, NOW));
        directory.keep([(key(u128::MAX), user("a"))], NOW + WRITE_MAX);
        assert!(knows(&directory, u128::MAX, NOW + WRITE_MAX));
    }

    #[test]
    fn memory_is_bounded_and_what_is_asked_for_stays() {
        let bytes_max = 100 * user("a").bytes();
        let directory = following(bytes_max);
        directory.keep([(key(0), user("a"))], NOW);
        for number in 1..10_000 {
            directory.keep([(key(number), user("a"))], NOW);
            assert!(knows(&directory, 0, NOW), "after {number}");
            let state = directory.state();
            assert!(state.young.bytes + state.old.bytes <= bytes_max);
        }
        let held = (0..10_000).filter(|number| knows(&directory, *number, NOW)).count();
        assert!((40..=100).contains(&held), "{held}");
    }

    #[test]
    fn another_tenant_user_or_kind_has_another_name() {
        let of = |tenant: &str, user_id: &str| {
            EntryKey::of_user(&UserKey { tenant: tenant.into(), user_id: user_id.into() })
        };
        assert_eq!(of("a", "bc"), of("a", "bc"));
        assert_ne!(of("a", "bc"), of("ab", "c"));
        assert_ne!(of("a", "bc"), of("a", "bd"));
    }

    /// What may happen to one of a few entries; times in seconds.
    #[derive(Debug, Clone)]
    enum Step {
        /// It is read, and kept so much later.
        Keep(u128, u64),
        Forget(u128),
        Wait(u64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u128..4, 0u64..3).prop_map(|(key, late)| Step::Keep(key, late)),
            (0u128..4).prop_map(Step::Forget),
            (0u64..15).prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_known_that_was_read_before_a_change_was_certainly_written(
            steps in prop::collection::vec(any_step(), 0..60),
            places in 1usize..8,
        ) {
            let directory = following(places * user("1000000").bytes());
            let mut now = NOW;
            let mut changed: HashMap<u128, Timestamp> = HashMap::new();
            for step in steps {
                match step {
                    Step::Wait(seconds) => now = now + Duration::from_secs(seconds),
                    Step::Forget(number) => {
                        directory.forget(key(number), now);
                        changed.insert(number, now);
                    }
                    Step::Keep(number, late) => {
                        let asked_at = now - Duration::from_secs(late);
                        directory.keep([(key(number), user(&asked_at.millis().to_string()))], asked_at);
                    }
                }
                for number in 0..4 {
                    let Some(Known::User(Some(user))) = directory.look_up(&[key(number)], now).remove(0) else { continue };
                    let asked_at = user.email.as_deref().and_then(|text| text.parse().ok()).map(Timestamp);
                    let asked_at = asked_at.expect("the time that the test wrote");
                    prop_assert!(now.since(asked_at) < Duration::from_secs(600));
                    if let Some(changed) = changed.get(&number) {
                        prop_assert!(asked_at >= *changed + WRITE_MAX, "{asked_at} after {changed}");
                    }
                }
            }
        }
    }
}
