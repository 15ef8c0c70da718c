//! What a batch does to groups: the rows of those that join, and the end of groups that are full.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::partition::PartitionArguments;
use crate::domain::{
    ClaimKey, Disposition, Event, EventKind, Plan, Position, Routing, Step, TaskState, Timestamp, Verdict,
};
use crate::planning::{Facts, OpenGroups};
use crate::store::{GroupEntry, GroupRow, StoreError, TimerKey, TimerRow, WriteBatch};

/// More records than any batch has.
const BATCH_MAX: u64 = 1 << 16;

/// What an owner before may have been planning when it ended: some of its rows may be there and others not. Whoever stands under a
/// leader by then is put there again, so it is remembered which leaders there are.
pub(super) struct Doubtful {
    /// Nothing from here on is doubtful.
    pub(super) below: u64,
    pub(super) leaders: HashMap<ClaimKey, Vec<Position>>,
}

impl Doubtful {
    /// `committed`: what is below was planned for certain.
    pub(super) fn from(committed: u64) -> Self {
        Self { below: committed.saturating_add(BATCH_MAX), leaders: HashMap::new() }
    }

    /// Goes on to a batch of which some may have been planned before. `replayed_below`: nothing from there on was.
    pub(super) fn pass<'a>(
        &mut self,
        first: u64,
        next: u64,
        replayed_below: u64,
        planned: impl Iterator<Item = &'a Plan>,
    ) {
        let mut planned = planned.peekable();
        if planned.peek().is_some() {
            self.below = next.saturating_add(BATCH_MAX);
        }
        self.below = self.below.min(replayed_below);
        if first >= self.below {
            self.leaders = HashMap::new();
        }
        self.add(planned);
    }

    pub(super) fn add<'a>(&mut self, plans: impl Iterator<Item = &'a Plan>) {
        let below = self.below;
        for plan in plans.filter(|plan| plan.position.offset < below && plan.is_leader()) {
            if let Some(group) = &plan.group {
                self.remember(group.key, plan.position);
            }
        }
    }

    /// Those that the claims of a batch led to. Another leader's claim may stand there for the next batch, of which somebody may have
    /// joined the one before.
    pub(super) fn add_claimed(&mut self, leaders: &[(ClaimKey, Position)]) {
        leaders.iter().for_each(|(key, leader)| self.remember(*key, *leader));
    }

    fn remember(&mut self, key: ClaimKey, leader: Position) {
        let leaders = self.leaders.entry(key).or_default();
        if !leaders.contains(&leader) {
            leaders.push(leader);
        }
    }
}

/// To be written with the batch, and then to be followed.
pub(super) struct Merged {
    /// The groups as they are once the batch is written.
    pub(super) groups: OpenGroups,
    rows: Vec<GroupRow>,
    /// Of leaders whose groups are full: they are due sooner.
    pub(super) events: Vec<(Arc<Plan>, Event)>,
    timers: Vec<TimerRow>,
}

/// A group that is full, and when its message may go out.
type Full = (Position, Timestamp);

/// Follows the plans of a batch. Leaders of earlier batches whose groups are full by now are read, all at once.
pub(super) async fn follow(
    plans: &[Arc<Plan>],
    facts: &Facts,
    arguments: &PartitionArguments,
    now: Timestamp,
) -> Result<Merged, StoreError> {
    let policy = &arguments.policy;
    let mut groups = facts.groups.clone();
    let mut full: Vec<Full> = Vec::new();
    for plan in plans {
        if groups.follow(plan, policy.items_max)
            && let Disposition::Merged { into } = plan.disposition
        {
            full.push((into, held_until(plan).unwrap_or(now)));
        }
    }
    let rows = without(facts.groups.clone().rows(plans, policy), &standing(plans, facts));
    let mut merged = Merged { groups, rows, events: Vec::new(), timers: Vec::new() };
    // One that stands under a leader and is not merged after all (it was cancelled) is taken out again.
    for (plan, candidate) in plans.iter().zip(&facts.candidates).filter(|_| plans.len() == facts.candidates.len()) {
        if let (Some(leader), Disposition::Skipped(_)) = (candidate.joined, &plan.disposition) {
            let entry = GroupEntry::Left(plan.position.offset);
            merged.rows.push(GroupRow { leader, until: now, owner: None, entry });
        }
    }
    let mut earlier: Vec<Full> = Vec::new();
    for (leader, due) in full {
        match plans.iter().find(|plan| plan.position == leader) {
            Some(plan) => merged.send_at(plan, due, now, |ordinal| plan.tasks().get(ordinal).and_then(|task| task.due)),
            None => earlier.push((leader, due)),
        }
    }
    if !earlier.is_empty() {
        let leaders: Vec<Position> = earlier.iter().map(|(leader, _)| *leader).collect();
        let stories = arguments.store.stories(&leaders).await?;
        for ((_, due), story) in earlier.into_iter().zip(stories) {
            let Some(story) = story else { continue };
            let plan = Arc::new(story.plan.clone());
            merged.send_at(&plan, due, now, |ordinal| match story.state(ordinal) {
                Some(TaskState::Scheduled { attempt: 1, due }) => Some(due),
                _ => None,
            });
        }
    }
    Ok(merged)
}

/// Those who joined before, by rows of an owner that could not write their plans.
fn standing(plans: &[Arc<Plan>], facts: &Facts) -> HashSet<u64> {
    let both = plans.iter().zip(&facts.candidates).filter(|_| plans.len() == facts.candidates.len());
    let stands = both.filter(|(plan, candidate)| match plan.disposition {
        Disposition::Merged { into } => candidate.joined == Some(into),
        _ => false,
    });
    stands.map(|(plan, _)| plan.position.offset).collect()
}

/// Rows of those who do not stand there yet. A row has the place of its first: were one written again with fewer, for a batch that
/// ends sooner, it would take the place of the one before, and those left out would stand nowhere and be told of once more.
fn without(mut rows: Vec<GroupRow>, standing: &HashSet<u64>) -> Vec<GroupRow> {
    rows.retain_mut(|row| match &mut row.entry {
        GroupEntry::Joined(all) => {
            all.retain(|one| !standing.contains(&one.offset));
            !all.is_empty()
        }
        _ => true,
    });
    rows
}

/// What the gates said of the last one to join: the leader, of the same user and category, is held no less.
fn held_until(plan: &Plan) -> Option<Timestamp> {
    let verdict =
        plan.decisions.iter().find(|decision| decision.step == Step::SendTime).map(|decision| &decision.verdict);
    match verdict {
        Some(Verdict::Hold { until }) => Some(*until),
        _ => None,
    }
}

impl Merged {
    /// The tasks of a leader are due sooner; `due_now`: when each of them is due, if it waits for its window.
    fn send_at(
        &mut self,
        plan: &Arc<Plan>,
        due: Timestamp,
        now: Timestamp,
        due_now: impl Fn(usize) -> Option<Timestamp>,
    ) {
        let first = if plan.routing == Routing::Fallback { 1 } else { plan.tasks().len() };
        for (ordinal, spec) in plan.tasks().iter().enumerate().take(first) {
            if due_now(ordinal).is_none_or(|waits| waits <= due) {
                continue;
            }
            let mut event = Event::new(plan.task_id(ordinal), 1, EventKind::Scheduled, now);
            event.channel = Some(spec.channel);
            event.due = Some(due);
            event.reason = Some("its group is full".into());
            self.events.push((plan.clone(), event));
            let key = TimerKey { due, offset: plan.position.offset, ordinal: ordinal as u8, attempt: 1 };
            self.timers.push(TimerRow { key, channel: spec.channel, endpoint: spec.endpoint });
        }
    }

    pub(super) fn add_to(&self, write: &mut WriteBatch, timers: &mut Vec<TimerRow>) {
        write.groups.extend_from_slice(&self.rows);
        write.events.extend(self.events.iter().map(|(_, event)| event.clone()));
        write.timers.extend_from_slice(&self.timers);
        timers.extend_from_slice(&self.timers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Joined, Priority, ShardId};

    #[test]
    fn who_stands_under_a_leader_is_not_written_there_once_more() {
        let leader = Position::new(ShardId { generation: 0, lane: Priority::Normal, partition: 0 }, 1);
        let row = |offsets: &[u64]| {
            let joined = |offset: &u64| Joined { offset: *offset, actor: None, data: None };
            let entry = GroupEntry::Joined(offsets.iter().map(joined).collect());
            GroupRow { leader, until: Timestamp(1), owner: None, entry }
        };
        // [2, 3] was written before; the batch that plans 2 anew ends with it.
        let check = |row: GroupRow, expected: Vec<GroupRow>| {
            assert_eq!(without(vec![row], &HashSet::from([2, 3])), expected);
        };
        check(row(&[2]), Vec::new());
        check(row(&[2, 3, 4]), vec![row(&[4])]);
        check(row(&[4, 5]), vec![row(&[4, 5])]);
    }
}
