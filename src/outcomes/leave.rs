//! Cancelling what is merged: takes a notification out of its group, while the group is open.
//!
//! A leader that leaves keeps its tasks: they tell of the others. Only the last one to leave ends them. Once the group is closed
//! its message is one thing, and nothing of it is taken back alone.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use tokio::sync::MutexGuard;

use super::cancel::{Cancellation, Cancellations, SEND_WAIT_MAX};
use crate::domain::{Disposition, Event, EventKind, Joined, OpenGroup, Plan, Position, Story, TaskId, WHOLE};
use crate::ownership::Shard;
use crate::store::{BookColumn, GroupEntry, GroupRow, StoreError, WriteBatch, closed, members};

/// All of it is stopped: it has no tasks of its own, or others need them.
const LEFT: Cancellation = Cancellation::Cancelled { stopped: 0, too_late: 0 };

/// What leaving a group came to.
pub(super) enum Leaving<'a> {
    Done(Cancellation),
    /// It is in no group with others, and its tasks are its own. If it leads a group, nobody joins as long as this is held.
    Alone(Option<MutexGuard<'a, ()>>),
}

impl Cancellations {
    pub(super) async fn leave<'a>(&self, story: &Story, shard: &'a Arc<Shard>) -> Result<Leaving<'a>, StoreError> {
        match &story.plan.disposition {
            Disposition::Merged { into } => self.leave_leader(story, *into, shard).await.map(Leaving::Done),
            _ if story.plan.is_leader() => self.leave_others(&story.plan, shard).await,
            _ => Ok(Leaving::Alone(None)),
        }
    }

    /// Waits, but not for ever: the batch under way may be one that cannot be written for a long time.
    async fn in_time<T>(&self, wait: impl Future<Output = T>) -> Result<T, StoreError> {
        match select(pin!(wait), self.clock.sleep(SEND_WAIT_MAX)).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(_) => Err(StoreError::Failed(
                "the batch under way cannot be written, and others may join by it: try again".into(),
            )),
        }
    }

    /// One that was merged leaves its leader.
    async fn leave_leader(
        &self,
        story: &Story,
        into: Position,
        shard: &Arc<Shard>,
    ) -> Result<Cancellation, StoreError> {
        let _alone = self.in_time(shard.changing_groups()).await?;
        let Some(leader) = self.store.stories(&[into]).await?.pop().flatten() else {
            return Ok(Cancellation::TooLate { too_late: 1 });
        };
        let offset = story.plan.position.offset;
        let mut entries = self.entries(&leader.plan).await?;
        let is_out = entries.contains(&GroupEntry::Left(offset));
        if is_out && story.has_left() {
            return Ok(LEFT);
        }
        // Half of a cancellation that failed may be there, and only the row takes it out.
        if closed(&entries).is_some() && !is_out {
            return Ok(Cancellation::TooLate { too_late: 1 });
        }
        let is_last = |entries: &[GroupEntry]| members(&leader.plan, entries).iter().all(|one| one.offset == offset);
        let mut ends = is_last(&entries);
        if ends {
            // Somebody may be joining; whoever comes later than the batch under way leads a group of its own.
            self.keep_others_out(&leader.plan, shard).await?;
            entries = self.entries(&leader.plan).await?;
            ends = is_last(&entries);
            if !ends {
                reopen(&leader.plan, shard);
            }
        }
        let Some(_writing) = self.ownership.may_write(shard, &*self.clock) else {
            return Ok(Cancellation::NotOurs);
        };
        // Its tasks wait for the group to be closed, which waits for this.
        let (mut batch, stopped) =
            if ends { self.rows(&leader, &leader.booked_states(), |_| false) } else { Default::default() };
        batch.groups.push(left(&leader.plan, offset));
        let told_of_leader = batch.events.len();
        let task = TaskId { position: story.plan.position, ordinal: WHOLE };
        batch.events.push(Event::new(task, 1, EventKind::Cancelled, self.clock.now()));
        batch.books.shift(story.plan.source, Some(BookColumn::Merged), Some(BookColumn::Cancelled), 1);
        let events = self.deliveries.as_ref().map(|_| batch.events.clone());
        self.store.write(shard.id(), batch).await?;
        if let (Some(deliveries), Some(events)) = (&self.deliveries, &events) {
            let of_leader = events[..told_of_leader].iter().map(|event| (&leader.plan, event));
            let own = events[told_of_leader..].iter().map(|event| (&story.plan, event));
            deliveries.tell(shard.id(), of_leader.chain(own));
        }
        shard.release_all(stopped.into_iter());
        if ends && let Some(group) = &leader.plan.group {
            shard.end_group(group.key, leader.plan.position.offset);
        }
        Ok(LEFT)
    }

    /// A leader leaves those who joined it.
    async fn leave_others<'a>(&self, plan: &Plan, shard: &'a Arc<Shard>) -> Result<Leaving<'a>, StoreError> {
        let alone = self.in_time(shard.changing_groups()).await?;
        self.keep_others_out(plan, shard).await?;
        let entries = self.entries(plan).await?;
        let offset = plan.position.offset;
        let has_left = entries.contains(&GroupEntry::Left(offset));
        let all: Vec<Joined> = members(plan, &entries);
        let others = all.iter().filter(|one| one.offset != offset).count();
        if let Some(gathered) = closed(&entries) {
            return Ok(match () {
                () if has_left => Leaving::Done(LEFT),
                () if gathered.count > 1 => Leaving::Done(Cancellation::TooLate { too_late: plan.tasks().len() }),
                () => Leaving::Alone(Some(alone)),
            });
        }
        if others == 0 {
            return Ok(if has_left { Leaving::Done(LEFT) } else { Leaving::Alone(Some(alone)) });
        }
        reopen(plan, shard);
        if has_left {
            return Ok(Leaving::Done(LEFT));
        }
        let Some(_writing) = self.ownership.may_write(shard, &*self.clock) else {
            return Ok(Leaving::Done(Cancellation::NotOurs));
        };
        let batch = WriteBatch { groups: vec![left(plan, offset)], ..WriteBatch::default() };
        self.store.write(shard.id(), batch).await?;
        Ok(Leaving::Done(LEFT))
    }

    async fn entries(&self, leader: &Plan) -> Result<Vec<GroupEntry>, StoreError> {
        Ok(self.store.groups(&[leader.position]).await?.pop().unwrap_or_default())
    }

    /// Nobody joins the leader any more; who is about to has done so.
    async fn keep_others_out(&self, leader: &Plan, shard: &Shard) -> Result<(), StoreError> {
        if let Some((key, open)) = leader.opens() {
            shard.close_group(key, OpenGroup { is_closed: true, ..open });
        }
        let planned = self.in_time(shard.until_batch_planned()).await;
        planned.inspect_err(|_| reopen(leader, shard))
    }
}

/// Others may join again: what is known of the group is read anew.
fn reopen(leader: &Plan, shard: &Shard) {
    if let Some(group) = &leader.group {
        shard.end_group(group.key, leader.position.offset);
    }
}

fn left(leader: &Plan, offset: u64) -> GroupRow {
    let until = leader.group.as_ref().map_or(leader.accepted_at, |group| group.until);
    GroupRow { leader: leader.position, until, owner: None, entry: GroupEntry::Left(offset) }
}
