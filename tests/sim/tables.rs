//! The tables of the store, and what any of its clients would read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use fanfare::domain::{
    BLOCK_OFFSETS, Brake, BrakeScope, ClaimKey, Event, EventKind, Plan, PlanClaim, Position, ShardId, Story, TaskId,
};
use fanfare::store::{
    Beat, ClaimRow, Cursors, DeadLetter, DeadLetterKey, GroupEntry, LeaseRow, NodeName, TimerKey, TimerRow, WriteBatch,
};
use std::sync::Arc;

use super::cells::{Arrivals, NEVER, QUORUMS, Quorum, Table};

/// The ordinal of an event of a notification as a whole.
const WHOLE: u8 = u8::MAX;

/// A lease that changed hands.
#[derive(Debug, Clone)]
pub struct Change {
    pub at: Duration,
    pub row: LeaseRow,
}

/// Everything that is stored.
#[derive(Default)]
pub struct Tables {
    pub plans: Table<Position, Arc<Plan>>,
    pub events: Table<(Position, u8, u16), Event>,
    pub timers: Table<(ShardId, TimerKey), TimerRow>,
    pub claims: Table<ClaimKey, ClaimRow>,
    /// By leader and place.
    pub groups: Table<(Position, u64), GroupEntry>,
    pub dead_letters: Table<DeadLetterKey, Option<DeadLetter>>,
    pub brakes: Table<BrakeScope, Brake>,
    pub cursors: Table<ShardId, Cursors>,
    pub beats: Table<NodeName, Beat>,
    /// One copy: leases change by agreement of all replicas.
    pub leases: BTreeMap<ShardId, LeaseRow>,
    pub lease_changes: BTreeMap<ShardId, Vec<Change>>,
}

/// A part of a batch that is written at once, in the order of the parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Timers,
    Groups,
    Plans,
    Events,
    /// Those of groups: as long as a plan may be missing they lead to the group before.
    GroupClaims,
    DeadLetters,
    Cursors,
}

impl Part {
    pub const IN_ORDER: [Part; 7] =
        [Part::Timers, Part::Groups, Part::Plans, Part::Events, Part::GroupClaims, Part::DeadLetters, Part::Cursors];
    pub const EVENTS_FIRST: [Part; 7] =
        [Part::Events, Part::Timers, Part::Groups, Part::Plans, Part::GroupClaims, Part::DeadLetters, Part::Cursors];
    pub const GROUPS_LAST: [Part; 7] =
        [Part::Timers, Part::Plans, Part::Events, Part::GroupClaims, Part::Groups, Part::DeadLetters, Part::Cursors];

    pub fn is_in(self, batch: &WriteBatch) -> bool {
        match self {
            Part::Timers => !batch.timers.is_empty(),
            Part::Groups => !batch.groups.is_empty(),
            Part::Plans => !batch.plans.is_empty(),
            Part::GroupClaims => {
                batch.plans.iter().any(|plan| plan.claims.iter().any(|claim| is_of_group(plan, claim)))
            }
            Part::Events => !batch.events.is_empty(),
            Part::DeadLetters => !batch.dead_letters.is_empty() || !batch.revived.is_empty(),
            Part::Cursors => batch.cursors.is_some(),
        }
    }
}

impl Tables {
    pub fn put(&mut self, shard: ShardId, part: Part, batch: &WriteBatch, stamp: u64, arrivals: Arrivals) {
        match part {
            Part::Timers => {
                for row in &batch.timers {
                    self.timers.entry((shard, row.key)).or_default().put(stamp, *row, arrivals);
                }
            }
            Part::Plans => {
                for plan in &batch.plans {
                    self.plans.entry(plan.position).or_default().put(stamp, plan.clone(), arrivals);
                    for claim in plan.claims.iter().filter(|claim| !is_of_group(plan, claim)) {
                        self.claims.entry(claim.key).or_default().put(stamp, claim_row(plan, claim), arrivals);
                    }
                }
            }
            Part::Groups => {
                for row in &batch.groups {
                    let cell = self.groups.entry((row.leader, row.place())).or_default();
                    cell.put(stamp, row.entry.clone(), arrivals);
                }
            }
            // Of two of one key the last counts.
            Part::GroupClaims => {
                for plan in &batch.plans {
                    for claim in plan.claims.iter().filter(|claim| is_of_group(plan, claim)) {
                        self.claims.entry(claim.key).or_default().put(stamp, claim_row(plan, claim), arrivals);
                    }
                }
            }
            Part::Events => {
                for event in &batch.events {
                    let key = (event.task.position, event.task.ordinal, event.sequence());
                    self.events.entry(key).or_default().put(stamp, event.clone(), arrivals);
                }
            }
            Part::DeadLetters => {
                for letter in &batch.dead_letters {
                    let cell = self.dead_letters.entry(letter.key.clone()).or_default();
                    cell.put(stamp, Some(letter.clone()), arrivals);
                }
                for key in &batch.revived {
                    self.dead_letters.entry(key.clone()).or_default().put(stamp, None, arrivals);
                }
            }
            Part::Cursors => {
                if let Some(cursors) = batch.cursors {
                    self.cursors.entry(shard).or_default().put(stamp, cursors, arrivals);
                }
            }
        }
    }

    pub fn story(&self, position: Position, quorum: Quorum, now: Duration) -> Option<Story> {
        let plan = self.plans.get(&position)?.read(quorum, now)?;
        let rows = self.events.range((position, 0, 0)..=(position, WHOLE, u16::MAX));
        let events = rows.filter_map(|(_, cell)| cell.read(quorum, now)).cloned().collect();
        Some(Story { plan: Plan::clone(plan), events })
    }

    pub fn block(&self, shard: ShardId, block: u64, quorum: Quorum, now: Duration) -> Vec<Story> {
        let positions = self.plans.range(block_range(shard, block)).map(|(position, _)| *position);
        positions.filter_map(|position| self.story(position, quorum, now)).collect()
    }

    pub fn loose_events(&self, shard: ShardId, block: u64, quorum: Quorum, now: Duration) -> Vec<Event> {
        let range = block_range(shard, block);
        let rows = self.events.range((range.start, 0, 0)..(range.end, 0, 0));
        let loose = rows.filter(|((_, ordinal, _), _)| *ordinal == WHOLE);
        loose.filter_map(|(_, cell)| cell.read(quorum, now)).cloned().collect()
    }

    /// What a read mends of some positions; see [`super::cells::Cell::read_and_repair`].
    pub fn repair(&mut self, positions: Range<Position>, quorum: Quorum, now: Duration) {
        for (_, cell) in self.plans.range_mut(positions.clone()) {
            cell.read_and_repair(quorum, now);
        }
        for (_, cell) in self.events.range_mut((positions.start, 0, 0)..(positions.end, 0, 0)) {
            cell.read_and_repair(quorum, now);
        }
    }

    /// What stands under a leader, in the order of the places.
    pub fn group(&mut self, leader: Position, quorum: Quorum, now: Duration) -> Vec<GroupEntry> {
        let rows = self.groups.range_mut((leader, 0)..=(leader, u64::MAX));
        rows.filter_map(|(_, cell)| cell.read_and_repair(quorum, now)).cloned().collect()
    }

    /// The brakes as a node that starts finds them.
    pub fn brakes(&mut self, now: Duration) -> Vec<Brake> {
        self.brakes.values_mut().filter_map(|cell| cell.read_and_repair(QUORUMS[0], now).cloned()).collect()
    }

    /// When the event was written so that every read sees it.
    pub fn event_durable_at(&self, task: TaskId, kind: EventKind) -> Duration {
        let rows = self.events.range((task.position, task.ordinal, 0)..=(task.position, task.ordinal, u16::MAX));
        let of_kind = rows.filter(|((_, _, sequence), _)| *sequence as u8 == kind as u8);
        of_kind.map(|(_, cell)| cell.durable_at()).min().unwrap_or(NEVER)
    }

    /// Puts the row there, and remembers when.
    pub fn set_lease(&mut self, shard: ShardId, row: &LeaseRow, at: Duration) {
        self.leases.insert(shard, row.clone());
        self.lease_changes.entry(shard).or_default().push(Change { at, row: row.clone() });
    }

    /// Since when the node has had the shard at `at`, without having let it go; `None`: it did not have it.
    pub fn held_since(&self, shard: ShardId, node: &NodeName, at: Duration) -> Option<Duration> {
        let changes = self.lease_changes.get(&shard)?;
        let until = changes.partition_point(|change| change.at <= at);
        let own = |change: &&Change| change.row.owner == *node && !change.row.released;
        changes[..until].iter().rev().take_while(own).last().map(|change| change.at)
    }
}

fn is_of_group(plan: &Plan, claim: &PlanClaim) -> bool {
    plan.group.as_ref().is_some_and(|group| group.key == claim.key)
}

fn claim_row(plan: &Plan, claim: &PlanClaim) -> ClaimRow {
    let (key, owner) = (claim.key, plan.position);
    ClaimRow { key, owner, body_hash: claim.body_hash, expires_at: claim.expires_at }
}

pub fn block_range(shard: ShardId, block: u64) -> Range<Position> {
    Position::new(shard, block * BLOCK_OFFSETS)..Position::new(shard, (block + 1) * BLOCK_OFFSETS)
}
