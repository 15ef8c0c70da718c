//! Bursts of users who are kept from too much: a burst is one message, and the gates take it for one.

use super::groups::{Shard, Written, at, like};
use super::people::addresses;
use super::*;
use crate::domain::{Content, UserEntry};
use crate::planning::testing::categories;

/// Alice, who has addresses, gets one message a day of all that is counted.
fn capped(daily_cap: u32) -> Shard {
    knowing_alice([], |policy| policy.daily_cap = Some(daily_cap))
}

fn knowing_alice(more: impl IntoIterator<Item = UserEntry>, change: impl FnOnce(&mut Policy)) -> Shard {
    let mut shard = Shard::new(change);
    shard.world = std::mem::take(&mut shard.world).knows("alice", addresses().into_iter().chain(more));
    shard
}

/// In a category that caps and brakes are for.
fn social(request: NotificationRequest) -> NotificationRequest {
    NotificationRequest { category: Some("social".into()), ..request }
}

fn likes(key: &str, actors: &[&str]) -> Vec<NotificationRequest> {
    actors.iter().map(|actor| social(like(key, actor))).collect()
}

#[test]
fn a_burst_is_one_message_to_a_cap_and_the_next_one_is_too_much() {
    let mut shard = capped(1);
    let plans = shard.plan([likes("a", &["x", "y", "z"]), likes("b", &["x", "y"])].concat());
    assert_eq!(fates(&plans), ["sent", "merged into 0", "merged into 0", "daily_cap", "daily_cap"]);
    let plans = shard.plan([likes("a", &["v", "w"]), likes("b", &["z"])].concat());
    assert_eq!(fates(&plans), ["merged into 0", "merged into 0", "daily_cap"]);
    shard.check();
}

#[test]
fn who_leads_after_a_full_group_counts_again() {
    let mut shard = capped(2);
    shard.policy.items_max = Some(2);
    let plans = shard.plan(likes("a", &["s", "t", "u", "v", "w", "x"]));
    assert_eq!(fates(&plans), ["sent", "merged into 0", "sent", "merged into 2", "daily_cap", "daily_cap"]);
    shard.check();
}

#[test]
fn one_that_comes_alone_counts_for_the_burst_after_it_and_the_other_way_round() {
    let alone = || NotificationRequest { aggregate: None, dedup_window_seconds: Some(0), ..social(like("a", "x")) };
    let mut shard = capped(2);
    let plans = shard.plan([vec![alone()], likes("a", &["x", "y"]), vec![alone()]].concat());
    assert_eq!(fates(&plans), ["sent", "sent", "merged into 1", "daily_cap"]);
}

#[test]
fn a_burst_is_paid_for_once() {
    let mut shard = knowing_alice([], |policy| {
        policy.categories = categories(|category| category.budget_per_day = Some(2));
        policy.costs = [1; 7];
        policy.daily_cap = None;
    });
    let plans = shard.plan([likes("a", &["x", "y", "z"]), likes("b", &["x", "y"]), likes("c", &["x", "y"])].concat());
    assert_eq!(
        fates(&plans),
        ["sent", "merged into 0", "merged into 0", "sent", "merged into 3", "sent", "merged into 5"]
    );
    let due = |index: usize| plans[index].tasks()[0].due.expect("it leads");
    assert!(due(0) == due(3) && due(3) < due(5), "the third waits for another day");
}

#[test]
fn a_burst_is_paid_for_on_the_day_on_which_its_message_goes_out() {
    let mut shard = knowing_alice([], |policy| {
        policy.categories = categories(|category| category.budget_per_day = Some(1));
        policy.costs = [1; 7];
        policy.aggregation_window = Duration::from_secs(86_400);
    });
    let alone = |user: &str| NotificationRequest { aggregate: None, data: user.into(), ..social(like("a", user)) };
    let plans = shard.plan([likes("a", &["x", "y"]), vec![alone("{}")]].concat());
    assert_eq!(fates(&plans), ["sent", "merged into 0", "sent"]);
    assert_eq!(plans[2].tasks()[0].due, None, "today's money is left for it");
}

#[test]
fn one_that_cannot_be_paid_for_leaves_its_key_to_the_next() {
    let mut shard = knowing_alice([], |policy| {
        policy.categories = categories(|category| category.budget_per_day = Some(1));
        policy.costs = [2; 7];
    });
    let keyed = |user: &str| NotificationRequest {
        user_id: Some(user.into()),
        dedup_key: Some("a".into()),
        aggregate: None,
        ..social(like("a", "x"))
    };
    let plans = shard.plan(vec![keyed("alice"), keyed("alice")]);
    assert_eq!(fates(&plans), ["budget", "budget"], "and the second is no duplicate of what was not sent");
}

#[test]
fn what_was_accepted_after_an_erasure_is_not_told_with_what_was_accepted_before() {
    let mut shard = knowing_alice([], |_| ());
    let plans = shard.plan(likes("a", &["x"]));
    assert_eq!(fates(&plans), ["sent"]);
    let erased = [UserEntry::Erased(Some(NOW + Duration::from_secs(1)))];
    // The same rows, and nothing remembered of her.
    let world = World { rows: std::mem::take(&mut shard.world.rows), ..World::default() };
    shard.world = world.knows("alice", addresses().into_iter().chain(erased));
    shard.now = NOW + Duration::from_secs(2);
    let later = |actor| at(social(like("a", actor)), 2);
    let plans = shard.plan(vec![at(social(like("a", "y")), 1), later("z"), later("v")]);
    assert_eq!(fates(&plans), ["erased", "sent", "merged into 2"]);
}

#[test]
fn what_was_accepted_after_a_recall_is_not_told_with_what_was_accepted_before() {
    let mut shard = knowing_alice([], |_| ());
    shard.plan(likes("a", &["x"]));
    let recalled = NOW + Duration::from_secs(1);
    shard.world.brakes = brakes(&[(BrakeKind::Category, "social", BrakeEffect::Recall, recalled)]);
    shard.now = NOW + Duration::from_secs(2);
    let later = |actor| at(social(like("a", actor)), 2);
    let plans = shard.plan(vec![at(social(like("a", "y")), 1), later("z"), later("v")]);
    assert_eq!(fates(&plans), ["cancelled", "sent", "merged into 2"]);
}

#[test]
fn a_leader_that_expires_early_takes_nobody_along_who_lasts() {
    let lasting = |actor, seconds| NotificationRequest {
        expires_at: Some(NOW + Duration::from_secs(seconds)),
        ..social(like("a", actor))
    };
    let mut shard = knowing_alice([], |_| ());
    let plans = shard.plan(vec![lasting("x", 310), lasting("y", 3600), lasting("z", 3610), social(like("a", "w"))]);
    assert_eq!(fates(&plans), ["sent", "sent", "merged into 1", "sent"]);
    shard.check();
}

#[test]
fn each_template_has_groups_of_its_own() {
    let of = |code: &str, actor| NotificationRequest {
        content: Content::Template { code: code.into() },
        ..social(like("a", actor))
    };
    let mut shard = knowing_alice([], |_| ());
    let plans = shard.plan(vec![of("liked", "x"), of("shared", "y"), of("liked", "z"), of("shared", "z")]);
    assert_eq!(fates(&plans), ["sent", "sent", "merged into 0", "merged into 1"]);
}

#[test]
fn a_leader_that_is_planned_again_is_not_too_much_where_others_stand_under_it() {
    let mut shard = capped(2);
    // Of these the first and the third are written, which joined the second.
    let batch = shard.end_in([likes("b", &["x"]), likes("a", &["x", "y", "z"])].concat(), Written::Half);
    // What reaches her first, from another lane, is all that she may get.
    let alone = NotificationRequest { aggregate: None, ..social(like("b", "x")) };
    let elsewhere = Position::new(ShardId { lane: Priority::High, ..position(0).shard }, 0);
    let facts = shard.world.gather(&vec![(elsewhere, alone.clone())]);
    let plans = plan_batch(vec![(elsewhere, alone)], &facts, &shard.policy, NOW);
    assert_eq!(fates(&plans), ["sent"]);
    for offset in [0, 1] {
        let mut row = received_row(&plans[0], &shard.policy).expect("it is counted");
        row.entry.position = Position::new(elsewhere.shard, offset);
        shard.world.rows.write(&plans[0], Some(row));
    }
    block_on(shard.world.claims.release(&facts.claimed));
    shard.plan_again(batch, 3);
    shard.check();
}

#[test]
fn what_a_pause_holds_counts_from_its_acceptance_on() {
    let mut world = World::default().knows("alice", addresses());
    world.brakes = brakes(&[(BrakeKind::Category, "marketing", BrakeEffect::Pause, NOW)]);
    let request = NotificationRequest { category: Some("marketing".into()), aggregate: None, ..like("a", "x") };
    let plans = world.run(batch([request]));
    assert!(plans[0].is_held(0), "{:?}", plans[0]);
    let received = world.rows.received.lock().expect("not poisoned");
    assert_eq!(received.iter().map(|row| row.entry.at).collect::<Vec<_>>(), [NOW]);
}

#[test]
fn what_asks_for_other_channels_or_another_address_is_not_told_by_those_of_the_first() {
    let mut elsewhere = social(like("a", "w"));
    elsewhere.to.email = Some("elsewhere@example.com".into());
    let by =
        |channels: &[Channel], actor| NotificationRequest { channels: channels.into(), ..social(like("a", actor)) };
    let (text, mail) = (|actor| by(&[Channel::Sms], actor), |actor| by(&[Channel::Email], actor));
    let mut shard = knowing_alice([], |_| ());
    let plans = shard.plan(vec![text("x"), mail("y"), elsewhere, text("z"), social(like("a", "v"))]);
    assert_eq!(fates(&plans), ["sent", "sent", "sent", "merged into 0", "sent"]);
}
