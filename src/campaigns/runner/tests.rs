use super::outcome::{self, Outcome};
use crate::domain::{Disposition, Event, EventKind, Plan, Position, Routing, SkipReason, Story, Timestamp};
use crate::store::conformance::{plan, shard};

const NOW: Timestamp = Timestamp(10_000);

/// A story of two tasks, if no more is said.
fn story(change: impl FnOnce(&mut Plan), events: &[(usize, EventKind, Option<&str>)]) -> Story {
    let mut plan = plan(Position::new(shard(0), 1));
    let Disposition::Tasks(tasks) = &mut plan.disposition else { unreachable!("it has tasks") };
    tasks[0].due = None;
    let other = tasks[0].clone();
    tasks.truncate(1);
    tasks.push(other);
    plan.routing = Routing::All;
    change(&mut plan);
    let event = |(ordinal, kind, reason): &(usize, EventKind, Option<&str>)| Event {
        reason: reason.map(Box::from),
        ..Event::new(plan.task_id(*ordinal), 1, *kind, NOW)
    };
    let events = events.iter().map(event).collect();
    Story { plan, events }
}

#[track_caller]
fn check(story: Story, expected: Outcome) {
    assert_eq!(outcome::of(Some(&story), NOW), expected, "{:?}", story.events);
}

#[test]
fn a_message_is_over_when_all_its_tasks_are_and_succeeded_when_one_of_them_arrived() {
    use EventKind::{Bounced, Cancelled, Expired, Failed, Sent, Skipped};
    assert_eq!(outcome::of(None, NOW), Outcome::UnderWay, "it is not planned");
    let of = |events: &[(usize, EventKind, Option<&str>)]| story(|_| {}, events);
    check(of(&[]), Outcome::UnderWay);
    check(of(&[(0, Sent, None)]), Outcome::UnderWay);
    check(of(&[(0, Sent, None), (1, Failed, Some("no"))]), Outcome::Succeeded);
    check(of(&[(0, Failed, Some("no")), (1, Skipped, Some("suppressed"))]), Outcome::Failed("no".into()));
    check(of(&[(0, Sent, None), (0, Bounced, None), (1, Cancelled, None)]), Outcome::Failed("bounced".into()));
    check(of(&[(0, Sent, None), (0, Bounced, None), (1, Sent, None)]), Outcome::Succeeded);
    check(of(&[(0, Skipped, Some("no_consent")), (1, Cancelled, None)]), Outcome::Skipped("no_consent".into()));
    check(of(&[(0, Expired, None), (1, Expired, None)]), Outcome::Skipped("expired".into()));
}

#[test]
fn what_waits_for_a_time_is_not_under_way() {
    let scheduled = |due: u64, events: &[(usize, EventKind, Option<&str>)]| {
        let change = |plan: &mut Plan| {
            let Disposition::Tasks(tasks) = &mut plan.disposition else { unreachable!("it has tasks") };
            tasks.iter_mut().for_each(|task| task.due = Some(Timestamp(due)));
        };
        story(change, events)
    };
    check(scheduled(20_000, &[]), Outcome::Waits(Timestamp(20_000)));
    check(scheduled(20_000, &[(0, EventKind::Sent, None)]), Outcome::Waits(Timestamp(20_000)));
    check(scheduled(9_000, &[]), Outcome::UnderWay);
}

#[test]
fn what_was_not_to_be_sent_says_why() {
    let with = |disposition: Disposition| story(|plan| plan.disposition = disposition, &[]);
    check(with(Disposition::Skipped(SkipReason::NoConsent)), Outcome::Skipped("no_consent".into()));
    check(with(Disposition::Merged { into: Position::new(shard(0), 0) }), Outcome::Skipped("merged".into()));
}
