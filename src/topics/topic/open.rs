//! Finding a topic again from its rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::window::WINDOW;
use super::{TopicActor, Window};
use crate::codec::{decode_topic_group, decode_topic_message};
use crate::domain::{Topic, TopicMessage};
use crate::homes::Tenure;
use crate::store::{KeyedRows, StoreError};
use crate::topics::ask::TopicName;
use crate::topics::copying::Copying;
use crate::topics::desk::Shared;
use crate::topics::group::Group;
use crate::topics::rows::{BLOCK, COPIED, Place, read_number};

/// Blocks looked at beyond the last one known: a write that broke off may have left rows so far ahead, and no further.
const BLOCKS_AHEAD: u64 = 6;
/// Rows of a page, each of up to 256 KiB: topics of every home are begun at the same time.
const PAGE: usize = 32;
/// Groups are fewer.
const GROUPS_READ_MAX: usize = 1000;

impl TopicActor {
    /// The topic whose row this is. What was moved into it and is still among the delayed is taken away there.
    pub(in crate::topics) async fn open(
        shared: Arc<Shared>,
        tenure: Tenure,
        name: TopicName,
        row: Topic,
    ) -> Result<Self, StoreError> {
        let place = Place::new(&name, row.incarnation);
        let next = find_end(&*shared.store, &place, &row).await?;
        let groups = read_groups(&*shared.store, &place, row.first).await?;
        let copying = open_copying(&shared, &name, &place, &row, next).await?;
        let metrics = shared.metrics.of(&name);
        let mut actor = Self {
            keep_at: shared.clock.moment(),
            shared,
            tenure,
            name,
            place,
            row,
            next,
            copying,
            groups,
            waiting: BTreeMap::new(),
            window: Window::default(),
            delayed: 0,
            next_due: None,
            metrics,
        };
        actor.remember_newest().await?;
        actor.find_delayed().await?;
        Ok(actor)
    }

    /// The newest messages: a retry, or a delayed one that was moved, is known by them.
    async fn remember_newest(&mut self) -> Result<(), StoreError> {
        let from = self.next.saturating_sub(WINDOW as u64 / 2).max(self.row.first);
        let mut number = from;
        while number < self.next {
            let found = self.read_from(number, PAGE).await?;
            for (number, message) in &found {
                self.window.note(message, Some(*number));
            }
            number = found.last().map_or((number / BLOCK + 1) * BLOCK, |(number, _)| number + 1);
        }
        Ok(())
    }

    /// Counts the delayed ones.
    async fn find_delayed(&mut self) -> Result<(), StoreError> {
        let part = self.place.delayed();
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let rows = self.shared.store.keyed_between(&part, after.as_deref(), None, PAGE).await?;
            let more = rows.len() == PAGE;
            let mut moved = Vec::new();
            for (_, body) in &rows {
                let message: TopicMessage = decode_topic_message(body)?;
                if self.window.number(message.id).is_some() {
                    moved.push(self.place.later(message.id, None));
                    continue;
                }
                self.delayed += 1;
                self.next_due = Some(self.next_due.unwrap_or(message.id.due()));
                self.window.note(&message, None);
            }
            // The node that moved them ended before it took them away: they must not come twice.
            self.put(moved).await?;
            after = rows.into_iter().next_back().map(|(name, _)| name);
            if !more {
                return Ok(());
            }
        }
    }
}

/// Where the topic stands outside as well.
async fn open_copying(
    shared: &Shared,
    name: &TopicName,
    place: &Place,
    row: &Topic,
    end: u64,
) -> Result<Option<Arc<Copying>>, StoreError> {
    let Some(outside) = shared.outside.as_ref().filter(|_| row.kafka) else { return Ok(None) };
    let topic = outside.name(&name.tenant, &name.name).map_err(|error| StoreError::Failed(error.to_string()))?;
    let parts = (topic, place, shared.metrics.of_copy(name));
    Ok(Some(Copying::open(&*shared.store, parts, row.created_at, end).await?))
}

/// The number after the last message.
async fn find_end(store: &dyn KeyedRows, place: &Place, row: &Topic) -> Result<u64, StoreError> {
    let (mut last, mut block) = (None, row.tail_block);
    loop {
        let looks = (block..block + BLOCKS_AHEAD).map(|block| async move { last_of(store, place, block).await });
        let found = try_join_all(looks).await?.into_iter().flatten().max();
        last = last.max(found);
        match found {
            Some(number) if number / BLOCK + 1 > block => block = number / BLOCK + 1,
            _ => break,
        }
    }
    let after_last = last.map_or(0, |number| number + 1);
    Ok(after_last.max(row.first).max(row.tail_block * BLOCK))
}

async fn last_of(store: &dyn KeyedRows, place: &Place, block: u64) -> Result<Option<u64>, StoreError> {
    let part = place.block(block);
    let after = async |number: Option<u64>| {
        let name = number.map(u64::to_be_bytes);
        let rows = store.keyed_between(&part, name.as_ref().map(<[u8; 8]>::as_slice), None, 1).await?;
        Ok::<_, StoreError>(rows.first().and_then(|(name, _)| read_number(name)))
    };
    let Some(mut last) = after(None).await? else { return Ok(None) };
    let mut end = (block + 1) * BLOCK;
    // Between `last`, which is there, and `end`, above which nothing is.
    while last + 1 < end {
        let middle = last + (end - last) / 2 - 1;
        match after(Some(middle.max(last))).await? {
            Some(number) => last = number,
            None => end = middle.max(last) + 1,
        }
    }
    Ok(Some(last))
}

async fn read_groups(
    store: &dyn KeyedRows,
    place: &Place,
    first: u64,
) -> Result<BTreeMap<Box<str>, Group>, StoreError> {
    let rows = store.keyed_between(&place.groups(), None, None, GROUPS_READ_MAX).await?;
    let rows = rows.into_iter().filter(|(name, _)| **name != *COPIED);
    let groups = rows.map(|(name, body)| {
        let name = std::str::from_utf8(&name).map_err(|_| StoreError::Unreadable("a group's name".to_owned()))?;
        let mut group = Group::read(decode_topic_group(&body)?);
        group.forget_below(first);
        Ok((name.into(), group))
    });
    groups.collect()
}
