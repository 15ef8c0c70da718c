//! Which notifications become one message. Pure.
//!
//! The first of a group is its leader: it has the tasks, which wait until the window ends. Those that come while it is open are
//! merged into it. Whether it is open is what the shard or the store says, and never the clock alone: a leader is closed, durably,
//! before anything of it is sent.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::Policy;
use super::gates::{Case, LIFETIME};
use super::send_time;
use crate::domain::{
    BrakeSet, ClaimKey, Decision, Disposition, Group, NotificationId, OpenGroup, Plan, Position, Step, TaskSpec,
    TimeOfDay, Timestamp, Verdict,
};
use crate::store::{GroupEntry, GroupRow};

/// Members in a row: with their actors' names it stays below what a row of the store should have.
const MEMBERS_PER_ROW: usize = 64;
/// The data of the members in a row; one alone may have more.
const ROW_BYTES_FULL: usize = 24 << 10;

/// Groups by their keys: those that a batch may join, and those that it opens.
#[derive(Debug, Clone, Default)]
pub struct OpenGroups {
    open: HashMap<ClaimKey, OpenGroup>,
    /// Who led others before, and does not lead now that it is planned again: it is not sent.
    gone: HashSet<u64>,
}

/// What becomes of a notification that every gate lets pass.
pub(super) enum Place {
    /// Sent by itself. It may be the first of a group all the same.
    Alone(Option<Group>),
    /// Sent at the end of the window, together with those that join.
    Leads(Group),
    Joins(Position, Group),
}

impl Place {
    /// When it goes out, if it waits for others.
    pub(super) fn due(&self) -> Option<Timestamp> {
        match self {
            Place::Leads(group) => Some(group.until),
            Place::Alone(_) | Place::Joins(..) => None,
        }
    }
}

impl OpenGroups {
    /// A leader is not sent: whoever stands under it looks for another one.
    pub(super) fn lose(&mut self, leader: u64) {
        self.gone.insert(leader);
    }

    pub fn insert(&mut self, key: ClaimKey, group: OpenGroup) {
        self.open.insert(key, group);
    }

    pub fn iter(&self) -> impl Iterator<Item = (ClaimKey, OpenGroup)> {
        self.open.iter().map(|(key, group)| (*key, *group))
    }

    pub fn get(&self, key: ClaimKey) -> Option<&OpenGroup> {
        self.open.get(&key)
    }

    /// Follows a plan: a leader opens its group, one that is merged is counted. Says whether the group is full with it.
    pub fn follow(&mut self, plan: &Plan, items_max: Option<u32>) -> bool {
        if let (Disposition::Merged { into }, Some(group)) = (&plan.disposition, &plan.group) {
            return self.join(group.key, into.offset, items_max);
        }
        self.open.extend(plan.opens());
        false
    }

    /// The same before there is a plan.
    pub(super) fn follow_place(&mut self, place: &Place, case: &Case<'_>, position: Position) {
        let (group, leads) = match place {
            Place::Joins(leader, group) => {
                self.join(group.key, leader.offset, case.policy.items_max);
                return;
            }
            Place::Alone(None) => return,
            Place::Alone(Some(group)) => (group, None),
            Place::Leads(group) => (group, Some(group.until)),
        };
        let open = OpenGroup {
            leader: position.offset,
            since: case.request.accepted_at,
            until: group.until,
            expires_at: case.expires_at(leads),
            count: 1,
            is_first: group.is_first,
            is_closed: false,
        };
        self.open.insert(group.key, open);
    }

    fn join(&mut self, key: ClaimKey, leader: u64, items_max: Option<u32>) -> bool {
        let open = self.open.get_mut(&key).filter(|open| open.leader == leader);
        open.is_some_and(|open| {
            open.count += 1;
            let is_full = !open.is_closed && items_max.is_some_and(|max| open.count >= max);
            open.is_closed |= is_full;
            is_full
        })
    }

    /// The rows of those of a batch that join, in its order. `self`: the groups as they were before the batch.
    pub fn rows(mut self, plans: &[Arc<Plan>], policy: &Policy) -> Vec<GroupRow> {
        let mut rows: Vec<GroupRow> = Vec::new();
        let mut filling: HashMap<Position, (usize, usize)> = HashMap::new();
        for plan in plans {
            self.follow(plan, policy.items_max);
            let (Disposition::Merged { into }, Some(group)) = (&plan.disposition, &plan.group) else { continue };
            let mut joined = plan.joined();
            let count =
                self.open.get(&group.key).filter(|open| open.leader == into.offset).map_or(0, |open| open.count);
            if count as usize > policy.shown_items {
                joined.data = None;
            }
            let bytes = joined.data.as_ref().map_or(0, |data| data.len());
            if let Some((index, filled)) = filling.get_mut(into)
                && *filled + bytes <= ROW_BYTES_FULL
                && let GroupEntry::Joined(all) = &mut rows[*index].entry
                && all.len() < MEMBERS_PER_ROW
            {
                *filled += bytes;
                all.push(joined);
            } else {
                filling.insert(*into, (rows.len(), bytes));
                let entry = GroupEntry::Joined(vec![joined]);
                rows.push(GroupRow { leader: *into, until: group.until, owner: plan.owner(), entry });
            }
        }
        rows
    }
}

/// Finds the place of a notification among the groups. `joined`: where it was put before, by who could not write its plan.
pub(super) fn place(case: &Case<'_>, position: Position, groups: &OpenGroups) -> Place {
    let Some(key) = case.facts.group_key else { return Place::Alone(None) };
    let actor = case.request.aggregate.as_ref().and_then(|aggregate| aggregate.actor.clone());
    let of = |until, is_first| Group { key, actor: actor.clone(), until, is_first, gathered: None };
    let accepted_at = case.request.accepted_at;
    if let Some(leader) = case.facts.joined.filter(|leader| !groups.gone.contains(&leader.offset)) {
        let until = groups.get(key).filter(|open| open.leader == leader.offset).map_or(case.now, |open| open.until);
        return Place::Joins(leader, of(until, false));
    }
    let open = groups.get(key).filter(|open| accepted_at < open.until);
    if case.facts.leads {
        return Place::Leads(of(due(case, window_end(case)), false));
    }
    if let Some(open) = open.filter(|open| !open.is_first && !open.is_closed && fits(case, open)) {
        return Place::Joins(Position::new(position.shard, open.leader), of(open.until, false));
    }
    if open.is_none() && case.category.first_at_once {
        return Place::Alone(Some(of(window_end(case), true)));
    }
    // Of a group whose first was sent the window goes on.
    let end = open.filter(|open| open.is_first).map_or_else(|| window_end(case), |open| open.until);
    Place::Leads(of(due(case, end), false))
}

/// Whether it neither comes too early with the group's message nor expires before, and the message neither goes with what was
/// erased or recalled since, nor is given up long before this one would be.
fn fits(case: &Case<'_>, open: &OpenGroup) -> bool {
    let expires_at = case.request.expires_at;
    case.times.due.is_none_or(|due| due <= open.until)
        && expires_at.is_none_or(|expires_at| expires_at > open.until)
        && lasts(case, open)
        && is_of_one_fate(case, open)
}

/// Whether the message has at least half of the time that this one would have from then on. Not all of it: of a burst whose items
/// all last an hour, each lasts a moment longer than the one before.
fn lasts(case: &Case<'_>, open: &OpenGroup) -> bool {
    let own = case.expires_at(None).min(open.until + LIFETIME);
    own.since(open.until) <= 2 * open.expires_at.since(open.until)
}

/// Whether nothing was erased or recalled between the leader and this one: what ends the one would end the other.
fn is_of_one_fate(case: &Case<'_>, open: &OpenGroup) -> bool {
    let accepted_at = case.request.accepted_at;
    let was_erased = case.user().and_then(|user| user.erased_at).is_some_and(|at| at >= open.since);
    let is_recalled =
        |brakes: &Arc<BrakeSet>| brakes.is_recalled_between(&case.request.tenant, open.since, accepted_at);
    !was_erased && !case.facts.brakes.as_ref().is_some_and(is_recalled)
}

fn window_end(case: &Case<'_>) -> Timestamp {
    let request = case.request;
    if case.category.is_digest {
        let hour = case.user().and_then(|user| user.digest_hour).unwrap_or(case.policy.digest_hour);
        let time = TimeOfDay::new(hour, 0).unwrap_or_default();
        // The hour that has just come is that of the digest before.
        let after = request.accepted_at + Duration::from_millis(1);
        return case.policy.zone(case.user()).next(time, after);
    }
    let seconds = request.aggregate.as_ref().and_then(|aggregate| aggregate.window_seconds);
    let window = seconds.map_or(case.policy.aggregation_window, |seconds| Duration::from_secs(u64::from(seconds)));
    request.accepted_at + window
}

/// When the message goes out: at the end of the window, or later where a gate holds it; sooner where it would expire.
fn due(case: &Case<'_>, end: Timestamp) -> Timestamp {
    let own = case.times.due.unwrap_or(case.now);
    let due = send_time::find_from(case, end.max(own)).due.unwrap_or(end.max(own));
    if case.request.expires_at.is_some_and(|expires_at| expires_at <= due) { own } else { due }
}

/// Notes what was decided, and gives the tasks their time.
pub(super) fn settle(
    place: Place,
    mut tasks: Vec<TaskSpec>,
    decisions: &mut Vec<Decision>,
) -> (Disposition, Option<Group>) {
    let mut note = |verdict| decisions.push(Decision { step: Step::Aggregation, channel: None, verdict });
    match place {
        Place::Alone(None) => (Disposition::Tasks(tasks), None),
        Place::Alone(group) => {
            note(Verdict::Pass);
            (Disposition::Tasks(tasks), group)
        }
        Place::Leads(group) => {
            note(Verdict::Hold { until: group.until });
            tasks.iter_mut().for_each(|task| task.due = Some(group.until));
            (Disposition::Tasks(tasks), Some(group))
        }
        Place::Joins(into, group) => {
            note(Verdict::Merge { into: NotificationId(into) });
            (Disposition::Merged { into }, Some(group))
        }
    }
}
