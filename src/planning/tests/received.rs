//! Batches to users who got something before: what is counted, and what is not.

use super::people::{addresses, to_user};
use super::*;
use crate::domain::{Event, EventKind, ShardId};

/// Users a, b and c, who have addresses; it is noon.
fn world() -> World {
    ["a", "b", "c"].into_iter().fold(World::default(), |world, user| world.knows(user, addresses()))
}

fn capped(daily_cap: u32) -> World {
    let mut world = world();
    world.policy.daily_cap = Some(daily_cap);
    world
}

/// In another lane, where batches are planned beside those of the others.
fn in_lane(lane: Priority, from: u64, requests: impl IntoIterator<Item = NotificationRequest>) -> Batch {
    let shard = ShardId { generation: 0, lane, partition: 0 };
    (from..).map(|offset| Position::new(shard, offset)).zip(requests).collect()
}

fn after(hours: u64, mut request: NotificationRequest) -> NotificationRequest {
    request.accepted_at = NOW + Duration::from_secs(hours * 3600);
    request
}

fn run(world: &World, from: u64, requests: impl IntoIterator<Item = NotificationRequest>) -> Vec<String> {
    let plans = world.run(in_lane(Priority::Normal, from, requests));
    fates(&plans).into_iter().map(|fate| fate.split(' ').next().unwrap_or_default().to_owned()).collect()
}

fn end(world: &World, offset: u64, kind: EventKind) {
    let mut stories = world.rows.stories.lock().expect("not poisoned");
    let story = stories.get_mut(&position(offset)).expect("planned");
    story.events.push(Event::new(story.plan.task_id(0), 1, kind, NOW));
}

fn of_template(code: &str, request: NotificationRequest) -> NotificationRequest {
    NotificationRequest { content: crate::domain::Content::Template { code: code.into() }, ..request }
}

#[test]
fn the_second_reminder_of_a_type_within_a_day_is_skipped() {
    let world = world();
    let reminder = |user| to_user(user, "reminder");
    assert_eq!(run(&world, 0, [reminder("a"), reminder("a"), reminder("b")]), ["sent", "fatigue", "sent"]);
    assert_eq!(run(&world, 10, [reminder("a"), of_template("another", reminder("a"))]), ["fatigue", "sent"]);
    assert_eq!(run(&world, 20, [after(23, reminder("a")), after(24, reminder("b"))]), ["fatigue", "sent"]);
}

#[test]
fn a_reminder_that_was_not_sent_after_all_does_not_count() {
    for (kind, expected) in [
        (EventKind::Cancelled, "sent"),
        (EventKind::Failed, "sent"),
        (EventKind::Expired, "sent"),
        (EventKind::Skipped, "sent"),
        (EventKind::Unknown, "fatigue"),
        (EventKind::Sent, "fatigue"),
        (EventKind::Scheduled, "fatigue"),
    ] {
        let world = world();
        run(&world, 0, [to_user("a", "reminder")]);
        end(&world, 0, kind);
        assert_eq!(run(&world, 1, [to_user("a", "reminder")]), [expected], "{kind:?}");
    }
}

#[test]
fn a_category_has_its_own_cap_and_all_together_have_one() {
    let world = capped(5);
    let marketing = || to_user("a", "marketing");
    let social = || to_user("a", "social");
    let first = run(&world, 0, [marketing(), marketing(), marketing(), marketing(), social(), social(), social()]);
    assert_eq!(first, ["sent", "sent", "sent", "daily_cap", "sent", "sent", "daily_cap"]);
    assert_eq!(run(&world, 10, [to_user("a", "security"), to_user("b", "social")]), ["sent", "sent"]);
    assert_eq!(run(&world, 20, [after(24, social())]), ["sent"]);
}

#[test]
fn duplicates_do_not_count_and_what_is_too_much_holds_no_business_key() {
    let world = capped(2);
    let keyed = |user: &str, key: &str| NotificationRequest {
        dedup_key: Some(key.into()),
        dedup_window_seconds: Some(300),
        ..to_user(user, "social")
    };
    let first = [keyed("a", "1"), keyed("a", "1"), keyed("a", "2"), keyed("a", "3"), keyed("b", "3"), keyed("c", "3")];
    assert_eq!(run(&world, 0, first), ["sent", "duplicate", "sent", "daily_cap", "sent", "duplicate"]);
    assert_eq!(run(&world, 10, [keyed("b", "3")]), ["duplicate"], "the one that was sent holds it");
}

#[test]
fn what_is_under_way_in_another_lane_counts() {
    let world = capped(3);
    let social = || to_user("a", "social");
    for (there, here, expected) in [(2, 3, 1), (3, 3, 0), (1, 1, 1), (100, 1, 0)] {
        let batch = in_lane(Priority::High, 0, std::iter::repeat_with(social).take(there));
        let under_way = world.gather(&batch);
        let batch = in_lane(Priority::Normal, 0, std::iter::repeat_with(social).take(here));
        let facts = world.gather(&batch);
        let plans = plan_batch(batch, &facts, &world.policy, NOW);
        let sent = plans.iter().filter(|plan| !plan.tasks().is_empty()).count();
        assert_eq!(sent, expected, "{there} there, {here} here");
        for facts in [under_way, facts] {
            block_on(world.claims.release(&facts.claimed));
        }
    }
    assert!(world.claims.held.lock().expect("not poisoned").is_empty());
}

#[test]
fn what_was_written_before_a_crash_does_not_count_against_itself() {
    let world = world();
    assert_eq!(run(&world, 0, [to_user("a", "reminder")]), ["sent"]);
    assert_eq!(run(&world, 0, [to_user("a", "reminder")]), ["sent"]);
    assert_eq!(world.rows.received.lock().expect("not poisoned").len(), 2);
}

#[test]
fn nothing_is_kept_where_no_cap_looks_at_it() {
    let world = world();
    run(&world, 0, [to_user("a", "social"), to_user("a", "security"), to_user("a", "transactional"), request()]);
    assert!(world.rows.received.lock().expect("not poisoned").is_empty());
    run(&world, 10, [to_user("a", "marketing")]);
    assert_eq!(world.rows.received.lock().expect("not poisoned").len(), 1);
}

#[test]
fn a_dry_run_says_that_it_would_be_too_much_and_claims_nothing() {
    let world = world();
    run(&world, 0, [to_user("a", "reminder")]);
    let tried = to_user("a", "reminder");
    let peeked = block_on(peek(&tried, &[], &world.policy, &world.shelves())).expect("readable");
    let plan = dry_run(tried, peeked, &world.policy, NOW);
    assert_eq!(plan.disposition, Disposition::Skipped(SkipReason::Fatigue));
    assert!(world.claims.held.lock().expect("not poisoned").is_empty());
}

proptest! {
    /// Over lanes planned one after the other, in any batches, no cap is ever exceeded, and nothing is skipped below it.
    #[test]
    fn a_user_gets_as_much_as_the_cap_and_no_more(
        batches in prop::collection::vec((prop::collection::vec(0usize..3, 1..8), any::<bool>()), 1..6),
        cap in 1u32..6,
    ) {
        let world = capped(cap);
        let (mut wanted, mut sent, mut from) = ([0u32; 3], [0u32; 3], 0);
        for (users, is_high) in batches {
            users.iter().for_each(|user| wanted[*user] += 1);
            let lane = if is_high { Priority::High } else { Priority::Normal };
            let requests = users.iter().map(|user| to_user(["a", "b", "c"][*user], "social"));
            let plans = world.run(in_lane(lane, from, requests));
            from += users.len() as u64;
            for (user, plan) in users.iter().zip(&plans) {
                sent[*user] += u32::from(!plan.tasks().is_empty());
            }
        }
        prop_assert_eq!(sent, wanted.map(|wanted| wanted.min(cap)));
    }
}
