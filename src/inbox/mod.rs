//! The inbox: what came to users in the product itself, until they put it away or it is too old.
//!
//! In: messages of the channel `in_app`, and what users do with them. Out: pages of entries, counts, what is to be sent again to who was
//! away; and a word to whoever has connections of the user. Promise: what is answered is durable; a message that is handed over twice is
//! one entry, which is not unread again; and whoever is told that something is read can tell others so, because the event stands in the
//! message's story by then.
//!
//! An entry is a row. Two more say that it is unread, and that no program of its user has said it has it: they are there before the
//! entry and go by themselves, so that counting and sending again read small rows, and only those.

mod rows;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::SharedClock;
use crate::domain::{
    Address, Channel, DATED_KEPT, InboxEntry, InboxPlace, InboxWord, NotificationId, Plan, TaskId, TaskSpec, Timestamp,
    UserKey,
};
use crate::store::{KeyedKind, KeyedRow, SharedStore, StoreError, newest_first};
use rows::{entry, flag, gone, name, part, read_entry, read_name};

/// Unread entries that are counted: who has more is told this many.
pub const UNREAD_MAX: usize = 1_000;

/// Rows that are written or read together.
const PAGE: usize = 200;

/// Entries that are looked through for one whose story is gone.
const SEARCHED_MAX: usize = 2_000;

/// Told of what happens in inboxes, to tell who is connected. Never waits: who misses a word finds it in the rows.
pub trait Announce: Send + Sync + 'static {
    fn announce(&self, user: &UserKey, word: InboxWord);
}

/// What a user's program said of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    pub task: TaskId,
    pub kind: SightingKind,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SightingKind {
    /// A program of the user has it.
    Delivered,
    Read,
}

/// Notes in the stories of messages what became of them. Durable on return, and once however often it is said.
#[async_trait]
pub trait Sightings: Send + Sync + 'static {
    async fn note(&self, sightings: Vec<Sighting>) -> Result<(), StoreError>;
}

/// Which entries a page is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InboxShelf {
    /// All that was not put away.
    #[default]
    Current,
    Unread,
    Archived,
}

/// The inboxes of all users.
pub struct Inbox {
    store: SharedStore,
    clock: SharedClock,
    sightings: Arc<dyn Sightings>,
    announce: Arc<dyn Announce>,
    kept: Duration,
}

impl Inbox {
    pub fn new(
        store: SharedStore,
        clock: SharedClock,
        sightings: Arc<dyn Sightings>,
        announce: Arc<dyn Announce>,
    ) -> Arc<Self> {
        Self::keeping(DATED_KEPT, store, clock, sightings, announce)
    }

    /// The same, with entries that are kept for so long only.
    pub fn keeping(
        kept: Duration,
        store: SharedStore,
        clock: SharedClock,
        sightings: Arc<dyn Sightings>,
        announce: Arc<dyn Announce>,
    ) -> Arc<Self> {
        Arc::new(Self { store, clock, sightings, announce, kept })
    }

    /// The same inboxes, of which somebody else is told.
    #[cfg(test)]
    pub(crate) fn beside(&self, announce: Arc<dyn Announce>) -> Self {
        let (store, clock, sightings) = (self.store.clone(), self.clock.clone(), self.sightings.clone());
        Self { store, clock, sightings, announce, kept: self.kept }
    }

    /// Puts a message into an inbox. Durable on return.
    pub async fn deliver(&self, user: &UserKey, new: InboxEntry) -> Result<(), StoreError> {
        let kinds = [KeyedKind::Inbox, KeyedKind::InboxArchived, KeyedKind::InboxUnacked];
        let places = kinds.map(|kind| (part(kind, user), name(new.place)));
        let mut held = self.store.keyed(&places).await?;
        let (unacked, archived, current) = (held.pop().flatten(), held.pop().flatten(), held.pop().flatten());
        if current.is_none() && archived.is_none() {
            let flags = [KeyedKind::InboxUnread, KeyedKind::InboxUnacked].map(|kind| flag(kind, user, new.place));
            // Before the entry: where that is, these were.
            self.store.put_keyed(flags.into()).await?;
            self.store.put_keyed(vec![entry(KeyedKind::Inbox, user, &new)]).await?;
            self.announce.announce(user, InboxWord::Came { entry: Box::new(new), is_repeated: false });
        } else if let (Some(body), Some(_)) = (current, unacked) {
            // Who was to be told may not have been; as it stands, which may be read.
            let entry = Box::new(read_entry(&name(new.place), &body)?);
            self.announce.announce(user, InboxWord::Came { entry, is_repeated: true });
        }
        Ok(())
    }

    /// Newest first, those after `after` in that order (exclusive), at most `limit`: fewer only if there are no more.
    pub async fn page(
        &self,
        user: &UserKey,
        shelf: InboxShelf,
        after: Option<InboxPlace>,
        limit: usize,
    ) -> Result<Vec<InboxEntry>, StoreError> {
        match shelf {
            InboxShelf::Current => self.entries(KeyedKind::Inbox, user, after, limit).await,
            InboxShelf::Archived => self.entries(KeyedKind::InboxArchived, user, after, limit).await,
            InboxShelf::Unread => self.flagged(KeyedKind::InboxUnread, user, after, limit).await,
        }
    }

    /// What no program of the user has said it has, newest first: of the latest `limit` those that are not `known` to who asks.
    pub async fn unacked(
        &self,
        user: &UserKey,
        limit: usize,
        known: impl Fn(NotificationId) -> bool,
    ) -> Result<Vec<InboxEntry>, StoreError> {
        let places = self.flags(KeyedKind::InboxUnacked, user, None, limit).await?;
        let wanted: Vec<InboxPlace> = places.into_iter().filter(|place| !known(place.notification())).collect();
        self.at(KeyedKind::Inbox, user, &wanted).await
    }

    /// How many are unread, up to [`UNREAD_MAX`].
    pub async fn unread_count(&self, user: &UserKey) -> Result<usize, StoreError> {
        Ok(self.unread(user).await?.len())
    }

    /// Where they stand, newest first, up to [`UNREAD_MAX`].
    pub async fn unread(&self, user: &UserKey) -> Result<Vec<InboxPlace>, StoreError> {
        self.flags(KeyedKind::InboxUnread, user, None, UNREAD_MAX).await
    }

    /// The entries that stand there, as far as they were not put away.
    pub async fn entries_at(&self, user: &UserKey, places: &[InboxPlace]) -> Result<Vec<InboxEntry>, StoreError> {
        self.at(KeyedKind::Inbox, user, places).await
    }

    /// A program of the user has these. What was said before is not said on.
    pub async fn ack(&self, user: &UserKey, places: &[InboxPlace]) -> Result<(), StoreError> {
        let names: Vec<_> = places.iter().map(|place| (part(KeyedKind::InboxUnacked, user), name(*place))).collect();
        let flags = self.store.keyed(&names).await?;
        let standing = places.iter().zip(flags).filter_map(|(place, flag)| flag.map(|_| *place));
        let places: Vec<InboxPlace> = standing.collect();
        self.note(&places, SightingKind::Delivered, self.clock.now()).await?;
        let rows = places.iter().map(|place| gone(KeyedKind::InboxUnacked, user, *place));
        self.store.put_keyed(rows.collect()).await
    }

    /// The user has read these; those that are in the inbox, whether they were read before or not.
    pub async fn read(&self, user: &UserKey, wanted: &[NotificationId]) -> Result<Vec<NotificationId>, StoreError> {
        let found = self.find(user, wanted).await?;
        let at = self.clock.now();
        let read: Vec<NotificationId> = found.iter().map(|entry| entry.place.notification()).collect();
        self.mark_read(user, found, at).await?;
        if !read.is_empty() {
            self.announce.announce(user, InboxWord::Read { notifications: read.clone(), at });
        }
        Ok(read)
    }

    /// The user has read all that came until now; how many were unread.
    pub async fn read_all(&self, user: &UserKey) -> Result<usize, StoreError> {
        let at = self.clock.now();
        let (mut count, mut after) = (0, None);
        loop {
            let unread = part(KeyedKind::InboxUnread, user);
            let rows = self.store.keyed_between(&unread, after.as_deref(), None, PAGE).await?;
            let Some((last, _)) = rows.last() else { break };
            after = Some(last.clone());
            let places: Vec<InboxPlace> = rows.iter().map(|(name, _)| read_name(name)).collect::<Result<_, _>>()?;
            let entries = self.at(KeyedKind::Inbox, user, &places).await?;
            count += entries.len();
            self.mark_read(user, entries, at).await?;
            // Also of what has no entry: its message was put away, or is not there yet and will be unread for good.
            let rows = places.iter().filter(|place| place.at < at).map(|one| gone(KeyedKind::InboxUnread, user, *one));
            self.store.put_keyed(rows.collect()).await?;
        }
        self.announce.announce(user, InboxWord::ReadAll { at });
        Ok(count)
    }

    /// The user has put these away; those that are in the inbox or were put away before. They count as read no event, and are not unread.
    pub async fn archive(&self, user: &UserKey, wanted: &[NotificationId]) -> Result<Vec<NotificationId>, StoreError> {
        let found = self.find(user, wanted).await?;
        let now = self.clock.now();
        let archived: Vec<NotificationId> = found.iter().map(|entry| entry.place.notification()).collect();
        let (mut put, mut taken) = (Vec::new(), Vec::new());
        for one in found {
            let place = one.place;
            let one = InboxEntry { archived_at: one.archived_at.or(Some(now)), ..one };
            put.push(entry(KeyedKind::InboxArchived, user, &one));
            let kinds = [KeyedKind::Inbox, KeyedKind::InboxUnread, KeyedKind::InboxUnacked];
            taken.extend(kinds.map(|kind| gone(kind, user, place)));
        }
        self.store.put_keyed(put).await?;
        self.store.put_keyed(taken).await?;
        if !archived.is_empty() {
            self.announce.announce(user, InboxWord::Archived { notifications: archived.clone() });
        }
        Ok(archived)
    }

    /// Takes away all that a user has: how many entries.
    pub async fn erase(&self, user: &UserKey) -> Result<usize, StoreError> {
        let mut count = 0;
        let kinds = [KeyedKind::Inbox, KeyedKind::InboxArchived, KeyedKind::InboxUnread, KeyedKind::InboxUnacked];
        for kind in kinds {
            let mut after: Option<Box<[u8]>> = None;
            loop {
                let rows = self.store.keyed_between(&part(kind, user), after.as_deref(), None, PAGE).await?;
                let Some((last, _)) = rows.last() else { break };
                after = Some(last.clone());
                let is_entry = matches!(kind, KeyedKind::Inbox | KeyedKind::InboxArchived);
                count += if is_entry { rows.len() } else { 0 };
                let places = rows.iter().map(|(name, _)| read_name(name)).collect::<Result<Vec<_>, _>>()?;
                self.store.put_keyed(places.into_iter().map(|place| gone(kind, user, place)).collect()).await?;
            }
        }
        Ok(count)
    }

    /// The events first: once nothing is unread any more, nobody would write them. The flags go in any case: of an entry that was read
    /// a write that broke off may have left some.
    async fn mark_read(&self, user: &UserKey, entries: Vec<InboxEntry>, at: Timestamp) -> Result<(), StoreError> {
        let flags = [KeyedKind::InboxUnread, KeyedKind::InboxUnacked];
        let flags = entries.iter().flat_map(|one| flags.map(|kind| gone(kind, user, one.place)));
        let mut rows: Vec<KeyedRow> = flags.collect();
        let new: Vec<InboxEntry> = entries.into_iter().filter(|entry| entry.read_at.is_none()).collect();
        let places: Vec<InboxPlace> = new.iter().map(|entry| entry.place).collect();
        self.note(&places, SightingKind::Read, at).await?;
        for one in new {
            let kind = if one.archived_at.is_some() { KeyedKind::InboxArchived } else { KeyedKind::Inbox };
            rows.push(entry(kind, user, &InboxEntry { read_at: Some(at), ..one }));
        }
        self.store.put_keyed(rows).await?;
        // Whoever put one away meanwhile wrote there first, and took it from here before this brought it back.
        let archived = self.at(KeyedKind::InboxArchived, user, &places).await?;
        let back = archived.into_iter().map(|one| gone(KeyedKind::Inbox, user, one.place)).collect();
        self.store.put_keyed(back).await
    }

    async fn note(&self, places: &[InboxPlace], kind: SightingKind, at: Timestamp) -> Result<(), StoreError> {
        if places.is_empty() {
            return Ok(());
        }
        let sighting = |place: &InboxPlace| Sighting { task: place.task, kind, at };
        self.sightings.note(places.iter().map(sighting).collect()).await
    }

    async fn entries(
        &self,
        kind: KeyedKind,
        user: &UserKey,
        after: Option<InboxPlace>,
        limit: usize,
    ) -> Result<Vec<InboxEntry>, StoreError> {
        let after = after.map(name);
        let rows = self.store.keyed_between(&part(kind, user), after.as_deref(), Some(&self.oldest()), limit).await?;
        rows.into_iter().map(|(name, body)| read_entry(&name, &body)).collect()
    }

    /// What is behind is too old, wherever it still stands.
    fn oldest(&self) -> [u8; 8] {
        newest_first(self.clock.now() - self.kept)
    }

    async fn flags(
        &self,
        kind: KeyedKind,
        user: &UserKey,
        after: Option<InboxPlace>,
        limit: usize,
    ) -> Result<Vec<InboxPlace>, StoreError> {
        let after = after.map(name);
        let rows = self.store.keyed_between(&part(kind, user), after.as_deref(), Some(&self.oldest()), limit).await?;
        rows.iter().map(|(name, _)| read_name(name)).collect()
    }

    /// Of a flag that has no entry the message was put away just now, or is on its way.
    async fn flagged(
        &self,
        kind: KeyedKind,
        user: &UserKey,
        after: Option<InboxPlace>,
        limit: usize,
    ) -> Result<Vec<InboxEntry>, StoreError> {
        let (mut found, mut after) = (Vec::new(), after);
        while found.len() < limit {
            let wanted = limit - found.len();
            let places = self.flags(kind, user, after, wanted).await?;
            found.extend(self.at(KeyedKind::Inbox, user, &places).await?);
            if places.len() < wanted {
                break;
            }
            after = places.last().copied();
        }
        Ok(found)
    }

    /// The entries that stand there, in the order asked for.
    async fn at(&self, kind: KeyedKind, user: &UserKey, places: &[InboxPlace]) -> Result<Vec<InboxEntry>, StoreError> {
        let names: Vec<_> = places.iter().map(|place| (part(kind, user), name(*place))).collect();
        let bodies = self.store.keyed(&names).await?;
        let there = names.iter().zip(bodies).filter_map(|((_, name), body)| Some((name, body?)));
        there.map(|(name, body)| read_entry(name, &body)).collect()
    }

    /// The entries of these notifications, in the inbox or put away.
    async fn find(&self, user: &UserKey, wanted: &[NotificationId]) -> Result<Vec<InboxEntry>, StoreError> {
        let places = self.places(user, wanted).await?;
        let mut found = self.at(KeyedKind::Inbox, user, &places).await?;
        found.extend(self.at(KeyedKind::InboxArchived, user, &places).await?);
        Ok(found)
    }

    /// Where these notifications stand, if they are the user's. Their plans tell, which are not kept as long as entries: of those beyond,
    /// the inbox itself is searched.
    pub async fn places(&self, user: &UserKey, wanted: &[NotificationId]) -> Result<Vec<InboxPlace>, StoreError> {
        let positions: Vec<_> = wanted.iter().map(|id| id.0).collect();
        let stories = self.store.stories(&positions).await?;
        let (mut places, mut unknown) = (Vec::new(), Vec::new());
        for (id, story) in wanted.iter().zip(stories) {
            match story {
                Some(story) => places.extend(places_of(&story.plan, user)),
                None => unknown.push(*id),
            }
        }
        if !unknown.is_empty() {
            places.extend(self.search(user, &unknown).await?);
        }
        Ok(places)
    }

    async fn search(&self, user: &UserKey, wanted: &[NotificationId]) -> Result<Vec<InboxPlace>, StoreError> {
        let (mut found, mut after, mut searched) = (Vec::new(), None, 0);
        while searched < SEARCHED_MAX && found.len() < wanted.len() {
            let entries = self.entries(KeyedKind::Inbox, user, after, PAGE).await?;
            let Some(last) = entries.last() else { break };
            after = Some(last.place);
            searched += entries.len();
            let places = entries.into_iter().map(|entry| entry.place);
            found.extend(places.filter(|place| wanted.contains(&place.notification())));
        }
        Ok(found)
    }
}

fn places_of(plan: &Plan, user: &UserKey) -> Vec<InboxPlace> {
    let is_theirs = |task: &TaskSpec| {
        let is_to_them = matches!(&task.address, Address::User(id) if *id == user.user_id);
        plan.tenant == user.tenant && task.channel == Channel::InApp && is_to_them
    };
    let tasks = plan.tasks().iter().enumerate().filter(|(_, task)| is_theirs(task));
    let place = |(ordinal, task): (usize, &TaskSpec)| InboxPlace {
        at: task.due.unwrap_or(plan.accepted_at),
        task: plan.task_id(ordinal),
    };
    tasks.map(place).collect()
}
