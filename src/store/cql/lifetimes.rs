//! How long rows live. Pure.
//!
//! Nothing may expire before its task is over, and no event before its plan, or the task would look as if nothing had happened to
//! it. The bounds follow from what a plan may ask for: `deliver_at` is at most 365 days ahead, and all tasks of a plan have the
//! same due time. So all that happens to a task happens after its due time, but for its cancellation and the timer it waits for.

use std::time::Duration;

use crate::domain::{Event, EventKind, Plan, Timestamp};
use crate::store::{ClaimRow, ReceivedRow, TimerKey};

const DAY: Duration = Duration::from_secs(86_400);

/// What a plan is kept for after its tasks are over at the latest.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// The longest that a task is believed to stay open after it was due, whatever its expiry says: retries take minutes, and a
/// provider that does not come back for a month is taken out of the configuration.
const OPEN_MAX: Duration = Duration::from_secs(30 * 86_400);

/// `deliver_at` may be this far ahead (`intake`, 365 days), and a day for clocks.
const AHEAD_MAX: Duration = Duration::from_secs(366 * 86_400);

/// The longest that an entry of the history may live: how far back it is looked for.
pub(super) const HISTORY_MAX: Duration = Duration::from_secs(AHEAD_MAX.as_secs() + OPEN_MAX.as_secs() + KEPT.as_secs());

/// As in the schema: how far back dead letters are looked for.
pub(super) const DEAD_LETTERS: Duration = Duration::from_secs(30 * 86_400);

/// Of a timer, from when it is due or was written.
pub(super) const TIMER: Duration = Duration::from_secs(OPEN_MAX.as_secs() + KEPT.as_secs());

/// How far ahead timers are looked for: further than any plan may ask for, with its retries.
pub(super) const DUE_MAX: Duration = Duration::from_secs(2 * AHEAD_MAX.as_secs());

/// Of the entry of a bucket of timers, from its end or from when it was written: a day more than a timer, so that it is written
/// again only once in half a day.
pub(super) const BUCKET: Duration = Duration::from_secs(TIMER.as_secs() + 2 * 86_400);

/// 20 years: the longest that Cassandra takes.
const SECONDS_MAX: u64 = 630_720_000;

/// Of a plan and its entry in the history.
pub(super) fn of_plan(plan: &Plan, now: Timestamp) -> Duration {
    let due = plan.tasks().iter().filter_map(|task| task.due).max().map_or(now, |due| due.max(now));
    let open = plan.expires_at.map_or(Duration::ZERO, |expires_at| expires_at.since(due)).min(OPEN_MAX);
    due.since(now) + open + KEPT
}

/// Of an event: longer than its plan's, of which only the position is known here.
pub(super) fn of_event(event: &Event, now: Timestamp) -> Duration {
    let due = match event.kind {
        EventKind::Cancelled => AHEAD_MAX,
        _ => event.due.map_or(Duration::ZERO, |due| due.since(now)),
    };
    due + OPEN_MAX + KEPT + DAY
}

pub(super) fn of_timer(key: &TimerKey, now: Timestamp) -> Duration {
    key.due.since(now) + TIMER
}

pub(super) fn of_claim(row: &ClaimRow, now: Timestamp) -> Duration {
    row.expires_at.since(now) + DAY
}

/// A moment at least: a row that has expired already would never leave, since a lifetime of 0 is none.
pub(super) fn of_received(row: &ReceivedRow, now: Timestamp) -> Duration {
    row.expires_at.since(now).max(Duration::from_secs(1))
}

/// Of what stands under a leader whose message is due `until`: as long as the leader's events.
pub(super) fn of_group(until: Timestamp, now: Timestamp) -> Duration {
    until.since(now) + OPEN_MAX + KEPT + DAY
}

/// As a statement takes it.
pub(super) fn seconds(lifetime: Duration) -> i32 {
    i32::try_from(lifetime.as_secs().min(SECONDS_MAX)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Disposition, Position, TaskId};
    use crate::store::conformance;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn plan(due_days: Option<u64>, expires_days: Option<u64>) -> Plan {
        let mut plan = conformance::plan(Position::new(conformance::shard(0), 1));
        let in_days = |days: u64| NOW + DAY * u32::try_from(days).expect("few");
        plan.expires_at = expires_days.map(in_days);
        let Disposition::Tasks(tasks) = &mut plan.disposition else { panic!("it has tasks") };
        tasks[0].due = due_days.map(in_days);
        plan
    }

    fn days(lifetime: Duration) -> u64 {
        lifetime.as_secs() / DAY.as_secs()
    }

    #[test]
    fn a_plan_lives_thirty_days_longer_than_its_tasks_may_be_open() {
        for (due, expires, expected) in [
            (None, None, 30),
            (None, Some(3), 33),
            (None, Some(5000), 60),
            (Some(365), None, 395),
            (Some(365), Some(366), 396),
            (Some(365), Some(5000), 425),
        ] {
            assert_eq!(days(of_plan(&plan(due, expires), NOW)), expected, "{due:?}, {expires:?}");
        }
    }

    #[test]
    fn no_event_expires_before_its_plan() {
        for due in [None, Some(1), Some(365)] {
            for expires in [None, Some(370), Some(5000)] {
                let plan = plan(due, expires);
                let plan_ends = NOW + of_plan(&plan, NOW);
                let due = plan.tasks()[0].due.unwrap_or(NOW);
                let event = |kind, at| Event::new(TaskId { position: plan.position, ordinal: 0 }, 1, kind, at);
                let cancelled = event(EventKind::Cancelled, NOW);
                assert!(NOW + of_event(&cancelled, NOW) > plan_ends);
                let scheduled = Event { due: Some(due), ..event(EventKind::Scheduled, NOW) };
                assert!(NOW + of_event(&scheduled, NOW) > plan_ends);
                for kind in [EventKind::Sent, EventKind::Failed, EventKind::Expired, EventKind::Unknown] {
                    assert!(due + of_event(&event(kind, due), due) > plan_ends, "{kind:?}");
                }
            }
        }
    }

    #[test]
    fn what_waits_lives_until_it_is_due_and_what_is_late_no_shorter() {
        let due = |due| TimerKey { due, ..TimerKey::default() };
        assert_eq!(days(of_timer(&due(NOW + DAY * 365), NOW)), 425);
        assert_eq!(days(of_timer(&due(Timestamp(0)), NOW)), 60);
        assert_eq!(seconds(DAY * 1_000_000), 630_720_000);
    }
}
