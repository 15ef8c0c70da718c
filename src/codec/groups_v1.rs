//! What has to do with groups, frozen: version 4 of the record of a request (version 1, what it is merged with, the key of its
//! batch and a local time), version 3 of a plan (version 2 and its group), and version 1 of what stands under a leader. Whatever
//! is in no group is still written in the version before.

use bincode::{Decode, Encode};

use super::v1::{self, Text, damaged};
use super::{CodecError, plan_v2};
use crate::domain::{
    self, Aggregate, ClaimKey, Gathered, Joined, NotificationRequest, Position, TimeOfDay, Timestamp, Told,
};
use crate::store::GroupEntry;

/// Key, actor, window.
pub(super) type AggregateRow<T> = (T, Option<T>, Option<u32>);

#[derive(Encode)]
pub(super) struct RequestOut<'a> {
    first: v1::RequestOut<'a>,
    batch: Option<u128>,
    /// Minutes since midnight.
    local_time: Option<u16>,
    aggregate: AggregateRow<&'a str>,
}

impl<'a> RequestOut<'a> {
    pub(super) fn new(request: &'a NotificationRequest, aggregate: &'a Aggregate) -> Self {
        Self {
            first: request.into(),
            batch: request.idempotency.and_then(|retry| retry.batch).map(|key| key.0),
            local_time: request.local_time.map(TimeOfDay::minutes),
            aggregate: aggregate_row(aggregate),
        }
    }
}

#[derive(Decode)]
pub(super) struct Request {
    first: v1::Request,
    batch: Option<u128>,
    local_time: Option<u16>,
    aggregate: AggregateRow<Text>,
}

impl Request {
    pub(super) fn into_domain(self) -> Result<NotificationRequest, CodecError> {
        let mut request = self.first.into_domain()?;
        request.local_time = self.local_time.map(local_time).transpose()?;
        carry_batch(&mut request, self.batch)?;
        request.aggregate = Some(aggregate_in(self.aggregate));
        Ok(request)
    }
}

pub(super) fn aggregate_row(aggregate: &Aggregate) -> AggregateRow<&str> {
    (&aggregate.key, aggregate.actor.as_deref(), aggregate.window_seconds)
}

pub(super) fn aggregate_in((key, actor, window_seconds): AggregateRow<Text>) -> Aggregate {
    Aggregate { key, actor, window_seconds }
}

pub(super) fn local_time(minutes: u16) -> Result<TimeOfDay, CodecError> {
    TimeOfDay::from_minutes(minutes).ok_or_else(|| damaged("time of day"))
}

/// Puts the key of its batch to a request.
pub(super) fn carry_batch(request: &mut NotificationRequest, batch: Option<u128>) -> Result<(), CodecError> {
    match (&mut request.idempotency, batch) {
        (Some(retry), batch) => retry.batch = batch.map(ClaimKey),
        (None, None) => {}
        (None, Some(_)) => return Err(damaged("retry key beside that of its batch")),
    }
    Ok(())
}

/// Key, actor, until when others join, whether it is sent by itself.
pub(super) type GroupRow<T> = (u128, Option<T>, u64, bool);

#[derive(Encode)]
pub(super) struct PlanOut<'a> {
    plan: plan_v2::PlanOut<'a>,
    group: GroupRow<&'a str>,
}

impl<'a> PlanOut<'a> {
    pub(super) fn new(plan: &'a domain::Plan, group: &'a domain::Group) -> Self {
        Self { plan: plan.into(), group: group_row(group) }
    }

    /// Without what is personal.
    pub(super) fn bare(plan: &'a domain::Plan, group: &'a domain::Group) -> Self {
        Self { plan: plan_v2::PlanOut::bare(plan), group: bare_row(group) }
    }
}

#[derive(Decode)]
pub(super) struct Plan {
    plan: plan_v2::Plan,
    group: GroupRow<Text>,
}

impl Plan {
    pub(super) fn into_domain(self, position: Position) -> Result<domain::Plan, CodecError> {
        Ok(domain::Plan { group: Some(group_in(self.group)), ..self.plan.into_domain(position)? })
    }
}

pub(super) fn group_row(group: &domain::Group) -> GroupRow<&str> {
    (group.key.0, group.actor.as_deref(), group.until.millis(), group.is_first)
}

/// The row of a group without who did it.
pub(super) fn bare_row(group: &domain::Group) -> GroupRow<&str> {
    (group.key.0, None, group.until.millis(), group.is_first)
}

pub(super) fn group_in((key, actor, until, is_first): GroupRow<Text>) -> domain::Group {
    domain::Group { key: ClaimKey(key), actor, until: Timestamp(until), is_first, gathered: None }
}

/// Offset, actor, data.
type JoinedRow<T> = (u64, Option<T>, Option<T>);

#[derive(Encode)]
pub(super) enum EntryOut<'a> {
    Joined(Vec<JoinedRow<&'a str>>),
    Left(u64),
    Closed { count: u32, actors: Vec<&'a str>, actor_count: u32, items: Vec<&'a str>, below: u64, also: &'a [u64] },
}

impl<'a> From<&'a GroupEntry> for EntryOut<'a> {
    fn from(entry: &'a GroupEntry) -> Self {
        let row = |one: &'a Joined| (one.offset, one.actor.as_deref(), one.data.as_deref());
        match entry {
            // Of a sealed one, what is clear.
            GroupEntry::Sealed(entry) => Self::from(&entry.bare),
            GroupEntry::Joined(joined) => Self::Joined(joined.iter().map(row).collect()),
            GroupEntry::Left(offset) => Self::Left(*offset),
            GroupEntry::Closed(gathered, told) => Self::Closed {
                count: gathered.count,
                actors: gathered.actors.iter().map(|actor| &**actor).collect(),
                actor_count: gathered.actor_count,
                items: gathered.items.iter().map(|item| &**item).collect(),
                below: told.below,
                also: &told.also,
            },
        }
    }
}

#[derive(Decode)]
pub(super) enum Entry {
    Joined(Vec<JoinedRow<Text>>),
    Left(u64),
    Closed { count: u32, actors: Vec<Text>, actor_count: u32, items: Vec<Text>, below: u64, also: Vec<u64> },
}

impl From<Entry> for GroupEntry {
    fn from(entry: Entry) -> Self {
        let joined = |(offset, actor, data)| Joined { offset, actor, data };
        match entry {
            Entry::Joined(rows) => Self::Joined(rows.into_iter().map(joined).collect()),
            Entry::Left(offset) => Self::Left(offset),
            Entry::Closed { count, actors, actor_count, items, below, also } => {
                Self::Closed(Gathered { count, actors, actor_count, items }, Told { below, also })
            }
        }
    }
}
