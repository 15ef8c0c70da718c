//! Bursts become one message: what is merged is told once, by whoever sends it and whatever happens meanwhile.

use std::sync::Arc;
use std::time::Duration;

use fanfare::config::{self, Config};
use fanfare::domain::{
    Aggregate, Channel, Content, Disposition, NotificationId, NotificationRequest, Step, TaskState, Timestamp,
    UserEntry, Verdict,
};
use fanfare::outcomes::Cancellation;
use fanfare::store::BookColumn;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{NOON, Place, Process, Script, TestProvider, World, mail, on_both};

on_both! {
    a_like_storm_becomes_one_message_that_names_the_first_and_counts_the_others
    what_comes_after_the_window_begins_another_message
    open_groups_survive_a_restart_and_those_that_join_later_are_told_too
    every_try_and_every_channel_tells_the_same
    what_comes_while_a_group_is_being_closed_is_in_exactly_one_message
    a_group_that_is_full_is_sent_at_once
    the_first_is_sent_at_once_where_its_category_says_so_and_the_rest_is_merged
    a_digest_collects_until_the_users_hour
    one_that_is_cancelled_leaves_its_group_and_the_last_one_ends_it
    a_leader_that_is_cancelled_leaves_its_tasks_to_the_others
    what_was_sent_together_is_not_taken_back_alone
    a_group_survives_a_crash
}

pub(crate) const WINDOW: Duration = Duration::from_secs(300);

async fn world(place: Place) -> (World, Arc<TestProvider>) {
    world_with(place, |_| ()).await
}

pub(crate) async fn world_with(place: Place, change: impl FnOnce(&mut Config)) -> (World, Arc<TestProvider>) {
    let provider = TestProvider::new("mails", &[Channel::Email]);
    let mut config = config::defaults();
    config.log.partitions = if place.is_embedded() { 2 } else { 1 };
    config.retry.jitter = 0.0;
    config.quiet_hours.enabled = false;
    change(&mut config);
    (World::start_with(place, config, vec![provider.clone()]).await, provider)
}

/// Somebody likes a post of a user.
pub(crate) fn like(world: &World, user: &str, key: &str, actor: &str) -> NotificationRequest {
    NotificationRequest {
        user_id: Some(world.place.own(user).into()),
        category: Some("social".into()),
        content: Content::Inline {
            title: "{{count}} likes".into(),
            body: "{{actors.[0]}} and {{others}} others: {{#each items}}{{who}} {{/each}}".into(),
            html: None,
            sms: None,
        },
        data: json!({ "who": actor }).to_string().into(),
        aggregate: Some(Aggregate { key: key.into(), actor: Some(actor.into()), window_seconds: None }),
        accepted_at: world.now(),
        ..mail()
    }
}

async fn plan_of(world: &World, id: NotificationId) -> fanfare::domain::Plan {
    world.until(async || world.story(id).await).await.plan
}

/// Sends likes one after the other, and waits until each is planned.
pub(crate) async fn likes(world: &World, user: &str, key: &str, actors: &[&str]) -> Vec<NotificationId> {
    let mut ids = Vec::new();
    for actor in actors {
        let id = world.send(like(world, user, key, actor)).await;
        plan_of(world, id).await;
        ids.push(id);
    }
    ids
}

async fn is_merged_into(world: &World, id: NotificationId, leader: NotificationId) -> bool {
    plan_of(world, id).await.disposition == Disposition::Merged { into: leader.0 }
}

/// The bodies of so many messages, once they are there.
pub(crate) async fn bodies(world: &World, provider: &TestProvider, count: usize) -> Vec<String> {
    world.until(async || (provider.taken().len() >= count).then_some(())).await;
    let taken = provider.taken();
    assert_eq!(taken.len(), count);
    taken.into_iter().map(|message| message.parts.body).collect()
}

async fn a_like_storm_becomes_one_message_that_names_the_first_and_counts_the_others(place: Place) {
    let (world, provider) = world(place).await;
    let mut ids = likes(&world, "alice", "post", &["Ann"]).await;
    let storm = (1..100).map(|number| like(&world, "alice", "post", &format!("Actor {number}"))).collect();
    ids.extend(world.acceptor.accept(storm).await.expect("accepted").iter().map(|accepted| accepted.id));
    // The same once more is no second like.
    let again = world.send(like(&world, "alice", "post", "Actor 7")).await;
    let plan = plan_of(&world, again).await;
    assert!(matches!(plan.disposition, Disposition::Skipped(_)), "{:?}", plan.disposition);
    for id in &ids[1..] {
        assert!(is_merged_into(&world, *id, ids[0]).await);
    }
    let decisions = plan_of(&world, ids[1]).await.decisions;
    let merge = Verdict::Merge { into: ids[0] };
    assert!(decisions.iter().any(|decision| decision.step == Step::Aggregation && decision.verdict == merge));
    world.expect_states(ids[0], &["scheduled"]).await;
    assert!(provider.taken().is_empty());
    world.advance(WINDOW).await;
    world.expect_states(ids[0], &["sent"]).await;
    let body = &bodies(&world, &provider, 1).await[0];
    assert!(body.starts_with("Ann and 99 others: Ann Actor 1 Actor 2 "), "{body}");
    assert_eq!(body.split(": ").nth(1).map(|items| items.matches("Actor ").count()), Some(9));
    assert_eq!(provider.taken()[0].parts.title, "100 likes");
    world.balances().await;
    assert_eq!((world.column(BookColumn::Merged).await, world.column(BookColumn::Sent).await), (99, 1));
}

async fn what_comes_after_the_window_begins_another_message(place: Place) {
    let (world, provider) = world(place).await;
    let first = likes(&world, "alice", "post", &["Ann", "Bob"]).await;
    let others = likes(&world, "bob", "post", &["Ann"]).await;
    let another = likes(&world, "alice", "another", &["Ann"]).await;
    world.advance(WINDOW).await;
    for id in [first[0], others[0], another[0]] {
        world.expect_states(id, &["sent"]).await;
    }
    let next = likes(&world, "alice", "post", &["Cy", "Dan"]).await;
    assert!(is_merged_into(&world, next[1], next[0]).await);
    world.advance(WINDOW).await;
    world.expect_states(next[0], &["sent"]).await;
    let mut bodies = bodies(&world, &provider, 4).await;
    bodies.sort();
    let expected =
        ["Ann and 0 others: Ann ", "Ann and 0 others: Ann ", "Ann and 1 others: Ann Bob ", "Cy and 1 others: Cy Dan "];
    assert_eq!(bodies, expected);
    world.balances().await;
}

async fn open_groups_survive_a_restart_and_those_that_join_later_are_told_too(place: Place) {
    let (world, provider) = world(place).await;
    let before = likes(&world, "alice", "post", &["Ann", "Bob"]).await;
    let world = world.restart().await;
    let after = likes(&world, "alice", "post", &["Cy"]).await;
    assert!(is_merged_into(&world, after[0], before[0]).await);
    let world = world.restart_after(WINDOW).await;
    world.expect_states(before[0], &["sent"]).await;
    assert_eq!(bodies(&world, &provider, 1).await, ["Ann and 2 others: Ann Bob Cy "]);
    let late = likes(&world, "alice", "post", &["Dan"]).await;
    assert!(matches!(plan_of(&world, late[0]).await.disposition, Disposition::Tasks(_)));
    world.balances().await;
}

async fn every_try_and_every_channel_tells_the_same(place: Place) {
    let (world, provider) = world(place).await;
    provider.script([Script::transient()]);
    let ids = likes(&world, "alice", "post", &["Ann", "Bob"]).await;
    world.advance(WINDOW).await;
    world.until(async || (provider.taken().len() == 1).then_some(())).await;
    world.expect_states(ids[0], &["scheduled"]).await;
    // It waits for its second try, and is closed.
    let late = likes(&world, "alice", "post", &["Cy"]).await;
    assert!(matches!(plan_of(&world, late[0]).await.disposition, Disposition::Tasks(_)));
    let world = world.restart_after(Duration::from_secs(60)).await;
    world.expect_states(ids[0], &["sent"]).await;
    assert_eq!(bodies(&world, &provider, 2).await, ["Ann and 1 others: Ann Bob "; 2]);
    world.balances().await;
}

async fn what_comes_while_a_group_is_being_closed_is_in_exactly_one_message(place: Place) {
    const COUNT: usize = 300;
    let (world, provider) = world(place).await;
    let mut ids = likes(&world, "alice", "post", &["Actor"]).await;
    for number in 0..COUNT {
        let mut request = like(&world, "alice", "post", &format!("Actor {number}"));
        // All of them within the window, by the time at which they were accepted.
        request.accepted_at = NOON + Duration::from_secs(1);
        let sending = world.acceptor.accept(vec![request]);
        if number == COUNT / 2 {
            world.clock.advance(WINDOW);
        }
        ids.push(sending.await.expect("accepted")[0].id);
    }
    let mut leaders = Vec::new();
    for id in &ids {
        if matches!(plan_of(&world, *id).await.disposition, Disposition::Tasks(_)) {
            leaders.push(*id);
        }
    }
    world.advance(WINDOW).await;
    world.advance(WINDOW).await;
    for id in &leaders {
        world.expect_states(*id, &["sent"]).await;
    }
    let told: usize = provider.taken().iter().map(|message| count_of(&message.parts.title)).sum();
    assert_eq!((told, provider.taken().len()), (ids.len(), leaders.len()));
    world.balances().await;
}

fn count_of(title: &str) -> usize {
    title.split(' ').next().and_then(|count| count.parse().ok()).expect("a count")
}

async fn a_group_that_is_full_is_sent_at_once(place: Place) {
    let (world, provider) = world_with(place, |config| config.aggregation.max_items = Some(3)).await;
    let ids = likes(&world, "alice", "post", &["Ann", "Bob", "Cy", "Dan"]).await;
    world.expect_states(ids[0], &["sent"]).await;
    assert_eq!(bodies(&world, &provider, 1).await, ["Ann and 2 others: Ann Bob Cy "]);
    world.expect_states(ids[3], &["scheduled"]).await;
    // In one batch as well.
    let five = ["Eve", "Flo", "Gil", "Hal", "Ida"].map(|actor| like(&world, "bob", "post", actor));
    let five = world.acceptor.accept(five.to_vec()).await.expect("accepted");
    world.expect_states(five[0].id, &["sent"]).await;
    assert_eq!(bodies(&world, &provider, 2).await[1], "Eve and 2 others: Eve Flo Gil ");
    assert!(is_merged_into(&world, five[4].id, five[3].id).await);
    world.advance(WINDOW).await;
    for id in [ids[3], five[3].id] {
        world.expect_states(id, &["sent"]).await;
    }
    world.balances().await;
}

fn social(config: &mut Config) -> &mut config::Category {
    config.categories.iter_mut().find(|category| category.name == "social").expect("it is there")
}

async fn the_first_is_sent_at_once_where_its_category_says_so_and_the_rest_is_merged(place: Place) {
    let (world, provider) = world_with(place, |config| social(config).first_at_once = true).await;
    let ids = likes(&world, "alice", "post", &["Ann"]).await;
    world.expect_states(ids[0], &["sent"]).await;
    let world = world.restart_after(Duration::from_secs(100)).await;
    let rest = likes(&world, "alice", "post", &["Bob", "Cy"]).await;
    assert!(is_merged_into(&world, rest[1], rest[0]).await);
    assert_eq!(
        world.story(rest[0]).await.expect("planned").states(),
        [TaskState::Scheduled { attempt: 1, due: NOON + WINDOW }]
    );
    world.advance(WINDOW - Duration::from_secs(100)).await;
    world.expect_states(rest[0], &["sent"]).await;
    assert_eq!(bodies(&world, &provider, 2).await, ["Ann and 0 others: Ann ", "Bob and 1 others: Bob Cy "]);
    world.balances().await;
}

async fn a_digest_collects_until_the_users_hour(place: Place) {
    let (world, provider) = world_with(place, |config| social(config).digest = true).await;
    let at = |text| Timestamp::parse(text).expect("a time");
    world.know("alice", [UserEntry::DigestHour(Some(18)), UserEntry::Timezone(Some("Asia/Tokyo".into()))]).await;
    let alice = likes(&world, "alice", "post", &["Ann"]).await;
    let same = likes(&world, "alice", "another post", &["Bob"]).await;
    let bob = likes(&world, "bob", "post", &["Ann"]).await;
    assert!(is_merged_into(&world, same[0], alice[0]).await);
    let due = async |id| world.story(id).await.expect("planned").states();
    let scheduled = |text| vec![TaskState::Scheduled { attempt: 1, due: at(text) }];
    // It is noon in London: nine in the evening in Tokyo.
    assert_eq!(NOON, at("2026-11-21T12:00:00Z"));
    assert_eq!(due(alice[0]).await, scheduled("2026-11-22T09:00:00Z"));
    assert_eq!(due(bob[0]).await, scheduled("2026-11-22T08:00:00Z"));
    let world = world.restart_after(Duration::from_secs(21 * 3600)).await;
    world.expect_states(alice[0], &["sent"]).await;
    world.expect_states(bob[0], &["sent"]).await;
    let mut bodies = bodies(&world, &provider, 2).await;
    bodies.sort();
    assert_eq!(bodies, ["Ann and 0 others: Ann ", "Ann and 1 others: Ann Bob "]);
    world.balances().await;
}

pub(crate) async fn cancel(world: &World, id: NotificationId) -> Cancellation {
    world.engine.cancellations.cancel(id).await.expect("the store writes")
}

pub(crate) const LEFT: Cancellation = Cancellation::Cancelled { stopped: 0, too_late: 0 };

async fn one_that_is_cancelled_leaves_its_group_and_the_last_one_ends_it(place: Place) {
    let (world, provider) = world(place).await;
    let ids = likes(&world, "alice", "post", &["Ann", "Bob", "Cy"]).await;
    assert_eq!(cancel(&world, ids[1]).await, LEFT);
    assert_eq!(cancel(&world, ids[1]).await, LEFT);
    assert!(world.story(ids[1]).await.expect("planned").has_left());
    world.balances().await;
    assert_eq!((world.column(BookColumn::Merged).await, world.column(BookColumn::Cancelled).await), (1, 1));
    let gone = likes(&world, "bob", "post", &["Ann", "Bob"]).await;
    assert_eq!(cancel(&world, gone[0]).await, LEFT);
    assert_eq!(cancel(&world, gone[1]).await, LEFT);
    world.expect_states(gone[0], &["cancelled"]).await;
    // Whoever comes now leads a group of its own.
    let next = likes(&world, "bob", "post", &["Dan"]).await;
    assert!(matches!(plan_of(&world, next[0]).await.disposition, Disposition::Tasks(_)));
    let world = world.restart_after(WINDOW).await;
    world.expect_states(ids[0], &["sent"]).await;
    world.expect_states(next[0], &["sent"]).await;
    let mut bodies = bodies(&world, &provider, 2).await;
    bodies.sort();
    assert_eq!(bodies, ["Ann and 1 others: Ann Cy ", "Dan and 0 others: Dan "]);
    world.balances().await;
}

async fn a_leader_that_is_cancelled_leaves_its_tasks_to_the_others(place: Place) {
    let (world, provider) = world(place).await;
    let ids = likes(&world, "alice", "post", &["Ann", "Bob"]).await;
    assert_eq!(cancel(&world, ids[0]).await, LEFT);
    let later = likes(&world, "alice", "post", &["Cy"]).await;
    assert!(is_merged_into(&world, later[0], ids[0]).await);
    let alone = likes(&world, "bob", "post", &["Ann"]).await;
    assert_eq!(cancel(&world, alone[0]).await, Cancellation::Cancelled { stopped: 1, too_late: 0 });
    world.advance(WINDOW).await;
    world.expect_states(ids[0], &["sent"]).await;
    assert_eq!(bodies(&world, &provider, 1).await, ["Bob and 1 others: Bob Cy "]);
    world.balances().await;
}

async fn what_was_sent_together_is_not_taken_back_alone(place: Place) {
    let (world, _) = world(place).await;
    let ids = likes(&world, "alice", "post", &["Ann", "Bob"]).await;
    world.advance(WINDOW).await;
    world.expect_states(ids[0], &["sent"]).await;
    for id in ids {
        assert_eq!(cancel(&world, id).await, Cancellation::TooLate { too_late: 1 });
    }
    world.balances().await;
}

async fn a_group_survives_a_crash(place: Place) {
    const COUNT: usize = 30;
    let node = Process::start_at(&place).await;
    let user = place.own("alice");
    // What a node has a provider for there.
    let (channel, field, address) = match place.is_embedded() {
        true => ("email", "email", "a@example.com"),
        false => ("webhook", "url", "http://127.0.0.1:9/"),
    };
    let post = |number: usize| {
        json!({"user_id": user, "category": "transactional", "channels": [channel], "to": {field: address},
               "content": {"title": "{{count}}", "body": "{{others}}"}, "data": {},
               "aggregate": {"key": "post", "actor": format!("Actor {number}"), "window_seconds": 600}})
    };
    let send = async |node: &Process, number| {
        let accepted = node.call(Method::POST, "/v1/notifications", Some(&post(number))).await;
        accepted["id"].as_str().expect("an id").to_owned()
    };
    let shown = async |node: &Process, id: &str| node.call(Method::GET, &format!("/v1/notifications/{id}"), None).await;
    let mut ids = Vec::new();
    for number in 0..COUNT {
        ids.push(send(&node, number).await);
    }
    node.kill();
    drop(node);
    let node = Process::start_at(&place).await;
    for number in COUNT..2 * COUNT {
        ids.push(send(&node, number).await);
    }
    let mut last = Value::Null;
    for _ in 0..5000 {
        last = shown(&node, &ids[2 * COUNT - 1]).await;
        if last["status"] == "merged" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(last["merged_into"], ids[0].as_str(), "{last}");
    assert_eq!(
        last["decisions"].as_array().and_then(|all| all.last()).map(|one| &one["outcome"]),
        Some(&json!("merge"))
    );
    let leader = shown(&node, &ids[0]).await;
    assert_eq!(
        (&leader["status"], &leader["aggregate"]["count"]),
        (&json!("scheduled"), &json!(2 * COUNT)),
        "{leader}"
    );
    let dry = node.call(Method::POST, "/v1/notifications?dry_run=true", Some(&post(COUNT * 2))).await;
    assert_eq!((&dry["status"], &dry["merged_into"]), (&json!("merged"), &json!(ids[0])), "{dry}");
}
