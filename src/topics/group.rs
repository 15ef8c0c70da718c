//! A group of readers: which messages it has acknowledged, and which are in whose hand. No I/O.
//!
//! What is acknowledged is also a row. What is in hand is in memory only: after a restart the group gets it again.

use std::collections::{BTreeMap, BTreeSet};

use super::ask::{Settle, Which};
use crate::clock::Moment;
use crate::domain::{MessageId, Timestamp, TopicGroup};

/// Messages of a group that were handed out and not acknowledged, at most: whoever acknowledges none of them gets no more.
pub(super) const IN_HAND_MAX: usize = 2000;

#[derive(Debug)]
pub(super) struct Group {
    created_at: Timestamp,
    /// Never handed out.
    pub(super) next: u64,
    /// Handed out and not acknowledged.
    open: BTreeMap<u64, Open>,
    /// Of those, when they may be handed out again.
    times: BTreeSet<(Moment, u64)>,
    /// Of those, what may be handed out again now.
    ready: BTreeSet<u64>,
    ids: BTreeMap<MessageId, u64>,
    /// The rows do not say what is known here.
    pub(super) is_dirty: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Open {
    deliveries: u32,
    /// `None`: it may be handed out.
    until: Option<Moment>,
    /// Somebody has it, and it does not only wait.
    in_hand: bool,
    id: Option<MessageId>,
}

impl Group {
    pub(super) fn new(created_at: Timestamp, next: u64) -> Self {
        Self::read(TopicGroup { created_at, next, pending: Vec::new() })
    }

    pub(super) fn read(row: TopicGroup) -> Self {
        let open: BTreeMap<u64, Open> = row
            .pending
            .iter()
            .map(|(number, deliveries)| (*number, Open { deliveries: *deliveries, ..Open::default() }))
            .collect();
        Self {
            created_at: row.created_at,
            next: row.next,
            ready: open.keys().copied().collect(),
            open,
            times: BTreeSet::new(),
            ids: BTreeMap::new(),
            is_dirty: false,
        }
    }

    pub(super) fn row(&self) -> TopicGroup {
        let pending = self.open.iter().map(|(number, open)| (*number, open.deliveries)).collect();
        TopicGroup { created_at: self.created_at, next: self.next, pending }
    }

    pub(super) fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// What is below was removed from the topic.
    pub(super) fn forget_below(&mut self, first: u64) {
        self.next = self.next.max(first);
        let gone: Vec<u64> = self.open.range(..first).map(|(number, _)| *number).collect();
        gone.into_iter().for_each(|number| self.forget(number));
    }

    /// The message is no more the group's business.
    pub(super) fn forget(&mut self, number: u64) {
        let Some(open) = self.open.remove(&number) else { return };
        self.untie(number, open);
    }

    fn untie(&mut self, number: u64, open: Open) {
        match open.until {
            Some(until) => _ = self.times.remove(&(until, number)),
            None => _ = self.ready.remove(&number),
        }
        if let Some(id) = open.id {
            self.ids.remove(&id);
        }
    }

    /// What nobody acknowledged in time may be handed out again.
    pub(super) fn expire(&mut self, now: Moment) {
        while let Some((until, number)) = self.times.first().copied().filter(|(until, _)| *until <= now) {
            self.times.remove(&(until, number));
            self.ready.insert(number);
            if let Some(open) = self.open.get_mut(&number) {
                (open.until, open.in_hand) = (None, false);
            }
        }
    }

    /// When something may be handed out again.
    pub(super) fn next_time(&self) -> Option<Moment> {
        self.times.first().map(|(until, _)| *until)
    }

    /// What may be handed out again, in order, at most `max`.
    pub(super) fn again(&self, max: usize) -> Vec<u64> {
        self.ready.iter().take(max).copied().collect()
    }

    /// How many more may be handed out for the first time.
    pub(super) fn room(&self) -> usize {
        IN_HAND_MAX.saturating_sub(self.open.len())
    }

    /// It is in somebody's hand until then; how often it was handed out, this time included.
    pub(super) fn hand_out(&mut self, number: u64, id: MessageId, until: Moment) -> u32 {
        let before = self.open.remove(&number).unwrap_or_default();
        self.untie(number, before);
        let deliveries = before.deliveries.saturating_add(1);
        self.open.insert(number, Open { deliveries, until: Some(until), in_hand: true, id: Some(id) });
        self.times.insert((until, number));
        self.ids.insert(id, number);
        self.next = self.next.max(number + 1);
        deliveries
    }

    /// It never got there: it may be handed out again, and this time does not count.
    pub(super) fn take_back(&mut self, number: u64) {
        if let Some(open) = self.open.get(&number).copied() {
            self.untie(number, open);
            let deliveries = open.deliveries.saturating_sub(1);
            self.open.insert(number, Open { deliveries, ..Open::default() });
            self.ready.insert(number);
        }
    }

    /// The number of what is in hand.
    pub(super) fn number(&self, which: Which) -> Option<u64> {
        match which {
            Which::Number(number) => Some(number),
            Which::Id(id) => self.ids.get(&id).copied(),
        }
    }

    /// Settles one message of a topic that ends at `end`; whether it is as asked.
    pub(super) fn settle(&mut self, number: u64, settle: Settle, now: Moment, end: u64) -> bool {
        match settle {
            Settle::Ack => self.acknowledge(number, end),
            Settle::Nack(delay) => self.wait_until(number, now + delay, false),
            Settle::Extend(visibility) => self.wait_until(number, now + visibility, true),
        }
    }

    fn acknowledge(&mut self, number: u64, end: u64) -> bool {
        if number >= end || !self.reach(number) {
            return false;
        }
        if self.open.contains_key(&number) {
            self.forget(number);
            self.is_dirty = true;
        }
        true
    }

    /// A message may be acknowledged that this incarnation did not hand out: those before it are handed out still. Whether that is
    /// within bounds.
    fn reach(&mut self, number: u64) -> bool {
        if number < self.next {
            return true;
        }
        if number - self.next >= self.room() as u64 {
            return false;
        }
        for skipped in self.next..=number {
            self.open.insert(skipped, Open::default());
            self.ready.insert(skipped);
        }
        self.next = number + 1;
        true
    }

    fn wait_until(&mut self, number: u64, until: Moment, in_hand: bool) -> bool {
        let Some(open) = self.open.get(&number).copied().filter(|open| open.in_hand) else { return false };
        if let Some(before) = open.until {
            self.times.remove(&(before, number));
        }
        self.times.insert((until, number));
        self.open.insert(number, Open { until: Some(until), in_hand, ..open });
        true
    }

    /// The first that is not acknowledged.
    pub(super) fn oldest(&self) -> u64 {
        self.open.keys().next().copied().unwrap_or(self.next)
    }

    /// How many of a topic that ends at `end` are not acknowledged.
    pub(super) fn lag(&self, end: u64) -> u64 {
        end.saturating_sub(self.next) + self.open.len() as u64
    }

    pub(super) fn in_hand(&self) -> usize {
        self.open.values().filter(|open| open.in_hand).count()
    }
}
