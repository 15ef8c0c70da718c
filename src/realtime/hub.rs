//! The connections of this node, by their users.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use tokio::sync::{Notify, mpsc, watch};

use super::metrics::{CONNECTIONS, count_lost};
use crate::config::Realtime;
use crate::domain::{InboxWord, UserKey};
use crate::inbox::Announce;
use crate::telemetry::Gauge;

/// Words that wait for a connection; with more it is told to look anew.
const WAITING_MAX: usize = 64;

/// Words that wait for other nodes; what is beyond they find by looking.
const PARCELS_MAX: usize = 4_096;

/// Users are divided among so many locks.
const SLICES: usize = 64;

/// What a connection is told.
#[derive(Debug, Clone)]
pub(super) enum Heard {
    Word(Arc<InboxWord>),
    /// Somebody who is watched came or went.
    Present(Box<str>, bool),
}

/// A word for whoever has connections of a user elsewhere.
pub(super) type Parcel = (UserKey, Arc<InboxWord>);

/// One connection, as the hub knows it.
#[derive(Debug)]
struct Seat {
    id: u64,
    heard: mpsc::Sender<Heard>,
    /// Words passed it by.
    missed: Arc<AtomicBool>,
}

impl Seat {
    fn tell(&self, heard: Heard) {
        if self.heard.try_send(heard).is_err() {
            self.missed.store(true, Ordering::Release);
        }
    }
}

/// A connection that is told when somebody comes and goes.
#[derive(Debug)]
struct Watcher {
    id: u64,
    sender: mpsc::Sender<Heard>,
    /// How they were when it was told last; `None`: it was not told yet.
    was_online: Option<bool>,
}

/// Why there is no place for another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("this node has as many connections as it takes (`realtime.max_connections`)")]
    Node,
    #[error("this user has as many connections as one may have (`realtime.max_connections_per_user`)")]
    User,
}

/// The connections of this node.
pub struct Hub {
    slices: [Mutex<FxHashMap<UserKey, Vec<Seat>>>; SLICES],
    watchers: Mutex<FxHashMap<UserKey, Vec<Watcher>>>,
    count: watch::Sender<usize>,
    next_id: AtomicU64,
    /// Users whose connections changed, to be said.
    changed: Mutex<HashSet<UserKey>>,
    pub(super) something_changed: Notify,
    /// `None`: there are no other nodes.
    parcels: Option<mpsc::Sender<Parcel>>,
    waiting: Mutex<Option<mpsc::Receiver<Parcel>>>,
    settings: Realtime,
    gauge: Gauge,
}

/// A connection's place, given up when it is dropped.
pub(super) struct Place {
    hub: Arc<Hub>,
    pub(super) user: UserKey,
    pub(super) id: u64,
    pub(super) heard: mpsc::Receiver<Heard>,
    pub(super) missed: Arc<AtomicBool>,
    watched: Vec<UserKey>,
    sender: mpsc::Sender<Heard>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// `is_shared`: other nodes may have connections of the same users.
    pub fn new(settings: Realtime, is_shared: bool) -> Arc<Self> {
        let (sender, receiver) = mpsc::channel(PARCELS_MAX);
        Arc::new(Self {
            slices: std::array::from_fn(|_| Mutex::default()),
            watchers: Mutex::default(),
            count: watch::Sender::new(0),
            next_id: AtomicU64::new(1),
            changed: Mutex::default(),
            something_changed: Notify::new(),
            parcels: is_shared.then_some(sender),
            waiting: Mutex::new(is_shared.then_some(receiver)),
            settings,
            gauge: CONNECTIONS.with([]),
        })
    }

    /// What is to be told to other nodes; whoever takes it first has it.
    pub(super) fn parcels(&self) -> Option<mpsc::Receiver<Parcel>> {
        held(&self.waiting).take()
    }

    /// Back again, for who comes after one that broke.
    pub(super) fn put_back(&self, parcels: mpsc::Receiver<Parcel>) {
        *held(&self.waiting) = Some(parcels);
    }

    fn slice(&self, user: &UserKey) -> MutexGuard<'_, FxHashMap<UserKey, Vec<Seat>>> {
        let hash = xxhash_rust::xxh3::xxh3_64(user.user_id.as_bytes());
        held(&self.slices[(hash % SLICES as u64) as usize])
    }

    /// A place for a connection of this user.
    pub(super) fn join(self: &Arc<Self>, user: UserKey) -> Result<Place, Full> {
        let max = self.settings.max_connections;
        if !self.count.send_if_modified(|count| (*count < max).then(|| *count += 1).is_some()) {
            return Err(Full::Node);
        }
        let (sender, heard) = mpsc::channel(WAITING_MAX);
        let missed = Arc::new(AtomicBool::new(false));
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        {
            let mut slice = self.slice(&user);
            let seats = slice.entry(user.clone()).or_default();
            if seats.len() >= self.settings.max_connections_per_user {
                self.count.send_modify(|count| *count -= 1);
                return Err(Full::User);
            }
            seats.push(Seat { id, heard: sender.clone(), missed: missed.clone() });
        }
        self.gauge.increment(1.0);
        self.note_change(&user);
        Ok(Place { hub: self.clone(), user, id, heard, missed, watched: Vec::new(), sender })
    }

    fn leave(&self, place: &Place) {
        let mut slice = self.slice(&place.user);
        if let Some(seats) = slice.get_mut(&place.user) {
            seats.retain(|seat| seat.id != place.id);
            if seats.is_empty() {
                slice.remove(&place.user);
            }
        }
        drop(slice);
        self.count.send_modify(|count| *count -= 1);
        self.gauge.decrement(1.0);
        self.note_change(&place.user);
        let mut watchers = held(&self.watchers);
        for user in &place.watched {
            if let Some(watching) = watchers.get_mut(user) {
                watching.retain(|watcher| watcher.id != place.id);
                if watching.is_empty() {
                    watchers.remove(user);
                }
            }
        }
    }

    fn note_change(&self, user: &UserKey) {
        held(&self.changed).insert(user.clone());
        self.something_changed.notify_one();
    }

    /// Users whose connections changed since this was asked last.
    pub(super) fn changes(&self) -> Vec<UserKey> {
        std::mem::take(&mut *held(&self.changed)).into_iter().collect()
    }

    /// Everybody who has connections here.
    pub(super) fn everybody(&self) -> Vec<UserKey> {
        let mut all = Vec::new();
        for slice in &self.slices {
            all.extend(held(slice).keys().cloned());
        }
        all
    }

    /// How many connections a user has here.
    pub fn connections(&self, user: &UserKey) -> u32 {
        self.slice(user).get(user).map_or(0, |seats| seats.len() as u32)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until there are none.
    pub(super) async fn emptied(&self) {
        // It goes with the hub only.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Tells the connections of a user that are here.
    pub(super) fn hand(&self, user: &UserKey, word: &Arc<InboxWord>) {
        if let Some(seats) = self.slice(user).get(user) {
            seats.iter().for_each(|seat| seat.tell(Heard::Word(word.clone())));
        }
    }

    /// Words of other nodes may have passed all by.
    pub(super) fn all_missed(&self) {
        for slice in &self.slices {
            held(slice).values().flatten().for_each(|seat| seat.missed.store(true, Ordering::Release));
        }
    }

    /// Who is watched by somebody here.
    pub(super) fn watched(&self) -> Vec<UserKey> {
        held(&self.watchers).keys().cloned().collect()
    }

    /// Tells who watches a user how they are, where that is not what they were told last. Who has no room for it is told by the next look.
    pub(super) fn tell_watchers(&self, user: &UserKey, is_online: bool) {
        for watcher in held(&self.watchers).get_mut(user).into_iter().flatten() {
            let told = || watcher.sender.try_send(Heard::Present(user.user_id.clone(), is_online)).is_ok();
            if watcher.was_online != Some(is_online) && told() {
                watcher.was_online = Some(is_online);
            }
        }
    }
}

impl Announce for Hub {
    fn announce(&self, user: &UserKey, word: InboxWord) {
        let word = Arc::new(word);
        self.hand(user, &word);
        if let Some(parcels) = &self.parcels
            && parcels.try_send((user.clone(), word)).is_err()
        {
            count_lost();
        }
    }
}

impl Place {
    /// Tells this connection from now on when these users, who are online now or not or of whom nobody knows, come and go. At most so many in all; whether there was
    /// room for each.
    pub(super) fn watch(&mut self, users: impl IntoIterator<Item = (UserKey, Option<bool>)>, max: usize) -> bool {
        let mut watchers = held(&self.hub.watchers);
        let mut is_all = true;
        for (user, was_online) in users {
            let watching = watchers.entry(user.clone()).or_default();
            if let Some(watcher) = watching.iter_mut().find(|watcher| watcher.id == self.id) {
                watcher.was_online = was_online;
            } else if self.watched.len() < max {
                watching.push(Watcher { id: self.id, sender: self.sender.clone(), was_online });
                self.watched.push(user);
            } else {
                is_all = false;
            }
        }
        watchers.retain(|_, watching| !watching.is_empty());
        is_all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let hub = self.hub.clone();
        hub.leave(self);
    }
}
