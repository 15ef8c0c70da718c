//! Inboxes over a store in memory.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::{Announce, Inbox, InboxShelf, Sighting, SightingKind, Sightings, rows};
use crate::clock::ManualClock;
use crate::domain::{
    DATED_KEPT, InboxEntry, InboxPlace, InboxWord, NotificationId, Position, Priority, ShardId, TaskId, Timestamp,
    UserKey,
};
use crate::intake::fakes::FakeStore;
use crate::store::{KeyedKind, KeyedRows, StoreError};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// Hears what is announced and noted.
#[derive(Default)]
struct Ear {
    words: Mutex<Vec<InboxWord>>,
    seen: Mutex<Vec<Sighting>>,
}

impl Announce for Ear {
    fn announce(&self, _: &UserKey, word: InboxWord) {
        self.words.lock().expect("nobody panicked").push(word);
    }
}

#[async_trait]
impl Sightings for Ear {
    async fn note(&self, sightings: Vec<Sighting>) -> Result<(), StoreError> {
        self.seen.lock().expect("nobody panicked").extend(sightings);
        Ok(())
    }
}

struct World {
    inbox: Arc<Inbox>,
    ear: Arc<Ear>,
    clock: Arc<ManualClock>,
    store: Arc<FakeStore>,
}

impl World {
    fn new() -> Self {
        let (ear, clock) = (Arc::new(Ear::default()), ManualClock::starting_at(NOW));
        let store = Arc::new(FakeStore::default());
        let inbox = Inbox::new(store.clone(), clock.clone(), ear.clone(), ear.clone());
        Self { inbox, ear, clock, store }
    }

    async fn deliver(&self, offset: u64) -> NotificationId {
        let entry = entry(offset);
        self.inbox.deliver(&alice(), entry.clone()).await.expect("kept");
        entry.place.notification()
    }

    async fn titles(&self, shelf: InboxShelf) -> Vec<String> {
        let page = self.inbox.page(&alice(), shelf, None, 10).await.expect("read");
        page.into_iter().map(|entry| entry.title.into()).collect()
    }

    async fn unread(&self) -> usize {
        self.inbox.unread_count(&alice()).await.expect("counted")
    }

    async fn unacked(&self) -> usize {
        self.inbox.unacked(&alice(), 10, |_| false).await.expect("read").len()
    }

    fn sightings(&self, kind: SightingKind) -> usize {
        self.ear.seen.lock().expect("nobody panicked").iter().filter(|sighting| sighting.kind == kind).count()
    }
}

fn alice() -> UserKey {
    UserKey { tenant: "acme".into(), user_id: "alice".into() }
}

/// Later offsets came later.
pub(crate) fn entry(offset: u64) -> InboxEntry {
    let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
    let task = TaskId { position: Position::new(shard, offset), ordinal: 0 };
    InboxEntry {
        place: InboxPlace { at: NOW + Duration::from_secs(offset), task },
        priority: Priority::Normal,
        category: Some("social".into()),
        template: None,
        title: format!("title {offset}").into(),
        body: "body".into(),
        data: "{}".into(),
        metadata: "{}".into(),
        expires_at: None,
        read_at: None,
        archived_at: None,
    }
}

#[tokio::test]
async fn what_is_handed_over_twice_is_one_entry_and_is_not_unread_again() {
    let world = World::new();
    let id = world.deliver(1).await;
    world.deliver(1).await;
    assert_eq!((world.titles(InboxShelf::Current).await.len(), world.unread().await), (1, 1));
    assert_eq!(world.inbox.read(&alice(), &[id]).await.expect("read"), [id]);
    world.deliver(1).await;
    assert_eq!((world.unread().await, world.unacked().await), (0, 0));
    assert_eq!(world.sightings(SightingKind::Read), 1);
    let words = world.ear.words.lock().expect("nobody panicked");
    let repeated: Vec<bool> = words
        .iter()
        .filter_map(|word| match word {
            InboxWord::Came { is_repeated, .. } => Some(*is_repeated),
            _ => None,
        })
        .collect();
    assert_eq!(repeated, [false, true], "what was acknowledged is told no more");
}

#[tokio::test]
async fn the_newest_comes_first_and_a_page_goes_on_where_the_last_ended() {
    let world = World::new();
    for offset in [2, 1, 3] {
        world.deliver(offset).await;
    }
    assert_eq!(world.titles(InboxShelf::Current).await, ["title 3", "title 2", "title 1"]);
    let first = world.inbox.page(&alice(), InboxShelf::Current, None, 1).await.expect("read");
    let rest = world.inbox.page(&alice(), InboxShelf::Current, Some(first[0].place), 10).await.expect("read");
    assert_eq!(rest.len(), 2);
    let bob = UserKey { user_id: "bob".into(), ..alice() };
    assert!(world.inbox.page(&bob, InboxShelf::Current, None, 10).await.expect("read").is_empty());
}

#[tokio::test]
async fn reading_is_noted_once_and_said_to_all() {
    let world = World::new();
    let (first, second) = (world.deliver(1).await, world.deliver(2).await);
    world.clock.advance(Duration::from_secs(60));
    for _ in 0..2 {
        assert_eq!(world.inbox.read(&alice(), &[first]).await.expect("read"), [first]);
    }
    assert_eq!(world.titles(InboxShelf::Unread).await, ["title 2"]);
    let page = world.inbox.page(&alice(), InboxShelf::Current, None, 10).await.expect("read");
    assert_eq!(page[1].read_at, Some(NOW + Duration::from_secs(60)));
    assert_eq!(world.sightings(SightingKind::Read), 1);
    assert_eq!(world.inbox.read_all(&alice()).await.expect("read"), 1);
    assert_eq!(world.inbox.read_all(&alice()).await.expect("read"), 0);
    assert_eq!((world.unread().await, world.sightings(SightingKind::Read)), (0, 2));
    let stranger = NotificationId(Position::new(second.0.shard, 99));
    assert!(world.inbox.read(&alice(), &[stranger]).await.expect("read").is_empty());
}

#[tokio::test]
async fn what_a_program_said_it_has_is_not_sent_again() {
    let world = World::new();
    let (first, _) = (world.deliver(1).await, world.deliver(2).await);
    assert_eq!(world.unacked().await, 2);
    let places = world.inbox.places(&alice(), &[first]).await.expect("found");
    world.inbox.ack(&alice(), &places).await.expect("noted");
    assert_eq!((world.unacked().await, world.unread().await), (1, 2));
    assert_eq!(world.sightings(SightingKind::Delivered), 1);
}

#[tokio::test]
async fn what_is_said_again_is_noted_once() {
    let world = World::new();
    let id = world.deliver(1).await;
    let places = world.inbox.places(&alice(), &[id]).await.expect("found");
    for _ in 0..3 {
        world.inbox.ack(&alice(), &places).await.expect("noted");
    }
    assert_eq!(world.sightings(SightingKind::Delivered), 1);
}

#[tokio::test]
async fn flags_that_a_broken_write_left_go_when_it_is_read_again() {
    let world = World::new();
    let id = world.deliver(1).await;
    world.inbox.read(&alice(), &[id]).await.expect("read");
    let place = entry(1).place;
    let flags = [KeyedKind::InboxUnread, KeyedKind::InboxUnacked].map(|kind| rows::flag(kind, &alice(), place));
    world.store.put_keyed(flags.into()).await.expect("written");
    assert_eq!((world.unread().await, world.unacked().await), (1, 1));
    world.inbox.read(&alice(), &[id]).await.expect("read");
    assert_eq!((world.unread().await, world.unacked().await), (0, 0));
    assert_eq!(world.sightings(SightingKind::Read), 1);
}

#[tokio::test]
async fn what_is_put_away_while_it_is_read_is_not_brought_back() {
    let world = World::new();
    let id = world.deliver(1).await;
    // As it stands when the reading has looked, and the archive is done.
    let found = world.inbox.find(&alice(), &[id]).await.expect("found");
    world.inbox.archive(&alice(), &[id]).await.expect("put away");
    world.inbox.mark_read(&alice(), found, NOW).await.expect("read");
    assert!(world.titles(InboxShelf::Current).await.is_empty());
    assert_eq!(world.titles(InboxShelf::Archived).await, ["title 1"]);
}

#[tokio::test]
async fn what_is_too_old_is_neither_listed_nor_counted() {
    let world = World::new();
    world.deliver(1).await;
    world.clock.advance(DATED_KEPT + Duration::from_secs(2));
    assert_eq!((world.unread().await, world.unacked().await), (0, 0));
    assert!(world.titles(InboxShelf::Current).await.is_empty());
}

#[tokio::test]
async fn what_is_put_away_is_neither_in_the_inbox_nor_unread() {
    let world = World::new();
    let id = world.deliver(1).await;
    assert_eq!(world.inbox.archive(&alice(), &[id]).await.expect("put away"), [id]);
    assert_eq!((world.unread().await, world.unacked().await), (0, 0));
    assert!(world.titles(InboxShelf::Current).await.is_empty());
    assert_eq!(world.titles(InboxShelf::Archived).await, ["title 1"]);
    world.deliver(1).await;
    assert!(world.titles(InboxShelf::Current).await.is_empty(), "a repeat does not bring it back");
}

#[tokio::test]
async fn nothing_is_left_of_who_is_erased() {
    let world = World::new();
    let ids = [world.deliver(1).await, world.deliver(2).await, world.deliver(3).await];
    world.inbox.archive(&alice(), &ids[..1]).await.expect("put away");
    assert_eq!(world.inbox.erase(&alice()).await.expect("erased"), 3);
    assert_eq!(world.inbox.erase(&alice()).await.expect("erased"), 0);
    assert_eq!((world.unread().await, world.unacked().await), (0, 0));
    assert!(world.titles(InboxShelf::Archived).await.is_empty());
}
