//! What is particular to this backend.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Place, place};
use crate::clock::ManualClock;
use crate::domain::{ClaimKey, EventKind, PlanClaim, Position, Source, TaskId, Timestamp};
use crate::store::conformance::{NOON, event, plan, plans, shard};
use crate::store::{
    Beat, BookColumn, ClaimRow, ClaimRows, CqlStore, Cursors, DeadLetter, DeadLetterCause, DeadLetterKey, DeadLetters,
    History, LeaseRows, NodeName, TaskLog, TimerKey, TimerRow, Timers, WriteBatch,
};
use crate::testing::Wire;

const DAY: Duration = Duration::from_secs(86_400);

fn in_books(count: i64) -> WriteBatch {
    let mut batch = WriteBatch::default();
    batch.books.add(Source::Http, BookColumn::In, count);
    batch
}

async fn count(store: &CqlStore) -> i64 {
    store.books(shard(0)).await.expect("read").get(Source::Http, BookColumn::In)
}

#[tokio::test]
async fn a_batch_of_many_large_plans_is_read_back_whole() {
    let place = place!();
    let store = place.store().await;
    let mut batch = plans(shard(0), 768..1280);
    for plan in &mut batch.plans {
        let data = format!(r#"{{"offset":{},"filler":"{}"}}"#, plan.position.offset, "x".repeat(1024));
        Arc::make_mut(plan).data = data.into();
    }
    store.write(shard(0), batch.clone()).await.expect("written");
    let mut found = store.block(shard(0), 0).await.expect("read");
    found.extend(store.block(shard(0), 1).await.expect("read"));
    let found: Vec<_> = found.into_iter().map(|story| Arc::new(story.plan)).collect();
    assert_eq!(found, batch.plans);
}

#[tokio::test]
async fn a_write_that_failed_is_written_again_and_counts_once() {
    let place = place!();
    let direct = place.settings.nodes[0].clone();
    let wire = Wire::lay(&direct, "127.0.0.1:0").await;
    let mut settings = place.settings.clone();
    settings.nodes = vec![wire.address.clone()];
    settings.timeout = Duration::from_secs(2);
    let store = CqlStore::open(&settings, place.clock.clone()).await.expect("opened");
    let mut batch = plans(shard(0), 0..10);
    batch.books = in_books(10).books;
    store.write(shard(0), batch.clone()).await.expect("written");

    wire.cut.cancel();
    let mut next = plans(shard(0), 10..15);
    next.books = in_books(5).books;
    let failure = store.write(shard(0), next.clone()).await.expect_err("nobody answers").to_string();
    assert!(failure.contains("the database did not write"), "{failure}");
    let failure = store.write(shard(0), in_books(5)).await.expect_err("nobody answers").to_string();
    assert!(failure.contains("the database did not write the books"), "{failure}");

    // Back at the same address: the store finds it by itself.
    let _wire = Wire::lay(&direct, &wire.address).await;
    let mut tries = 0;
    while let Err(error) = store.write(shard(0), next.clone()).await {
        tries += 1;
        assert!(tries < 20, "it does not come back: {error}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(count(&store).await, 15);
    assert_eq!(store.block(shard(0), 0).await.expect("read").len(), 15);
}

#[tokio::test]
async fn a_claim_that_is_held_is_seen_and_yields_to_that_of_a_plan_whichever_comes_last() {
    let place = place!();
    let store = place.store().await;
    let now = place.clock.now();
    let row = |key, offset, window| ClaimRow {
        key: ClaimKey(key),
        owner: Position::new(shard(0), offset),
        body_hash: 7,
        expires_at: now + window,
    };
    let planned = |row: &ClaimRow| {
        let mut plan = plan(row.owner);
        let ClaimRow { key, expires_at, body_hash, .. } = *row;
        plan.claims = vec![PlanClaim { key, expires_at, body_hash }];
        WriteBatch { plans: vec![Arc::new(plan)], ..WriteBatch::default() }
    };
    let holder = async |key| store.claims(&[ClaimKey(key)]).await.expect("read").pop().flatten();
    let minute = Duration::from_secs(60);
    for (key, window) in [(1, DAY), (10, minute)] {
        store.hold(&[row(key, 1, window), row(key + 1, 2, window)]).await.expect("held");
        assert_eq!(holder(key + 1).await, Some(row(key + 1, 2, window)));
        store.write(shard(0), planned(&row(key, 3, window))).await.expect("written");
        assert_eq!(holder(key).await, Some(row(key, 3, window)));
        store.hold(&[row(key, 1, window)]).await.expect("held");
        assert_eq!(holder(key).await, Some(row(key, 3, window)), "a plan's row is never replaced");
    }
}

#[tokio::test]
async fn many_writers_of_one_shards_books_count_exactly() {
    let place = place!();
    let store = place.store().await;
    let mut writes = JoinSet::new();
    for _ in 0..100 {
        let store = store.clone();
        writes.spawn(async move { store.write(shard(0), in_books(1)).await.expect("written") });
    }
    writes.join_all().await;
    assert_eq!(count(&store).await, 100);
}

#[tokio::test]
async fn who_takes_a_shard_over_goes_on_with_the_books_of_the_one_before() {
    let place = place!();
    let (one, other) = (place.store().await, place.store().await);
    one.write(shard(0), in_books(1)).await.expect("written");
    other.write(shard(0), in_books(10)).await.expect("written");
    assert_eq!((count(&one).await, count(&other).await), (11, 11), "the row is read, not what is held");
    one.take_over(shard(0), 0).await.expect("nothing to fail");
    one.write(shard(0), in_books(100)).await.expect("written");
    assert_eq!(count(&other).await, 111);
}

#[tokio::test]
async fn a_node_whose_clock_is_behind_still_writes_over_what_was_there() {
    let place = place!();
    let store = place.store().await;
    let cursors = |task_block| WriteBatch { cursors: Some(Cursors { task_block, timer_bucket: 0 }), ..in_books(1) };
    store.write(shard(0), cursors(1)).await.expect("written");
    let behind = ManualClock::starting_at(NOON - Duration::from_secs(3600));
    let late = CqlStore::open(&place.settings, behind).await.expect("opened");
    late.write(shard(0), cursors(2)).await.expect("written");
    assert_eq!(count(&late).await, 2);
    assert_eq!(late.cursors(shard(0)).await.expect("read").task_block, 2);
}

#[tokio::test]
async fn timers_are_found_after_a_long_stop_and_far_ahead() {
    let place = place!();
    let store = place.store().await;
    let timer = |due, offset| TimerRow {
        key: TimerKey { due, offset, ordinal: 31, attempt: 200 },
        channel: crate::domain::Channel::Email,
        endpoint: 0,
    };
    let timers = vec![timer(NOON - DAY * 20, 1), timer(NOON - DAY * 3, 2), timer(NOON, 3), timer(NOON + DAY * 365, 4)];
    let batch = WriteBatch { timers: timers.clone(), ..WriteBatch::default() };
    store.write(shard(0), batch).await.expect("written");
    let read = async |after, until, limit| store.timers(shard(0), after, until, limit).await.expect("read");
    assert_eq!(read(TimerKey::default(), NOON + DAY * 400, 10).await, timers);
    assert_eq!(read(timers[0].key, NOON + Duration::from_millis(1), 10).await, timers[1..3]);
    assert_eq!(read(timers[0].key, NOON + DAY, 1).await, timers[1..2]);
    assert_eq!(read(timers[3].key, Timestamp(u64::MAX / 2), 10).await, []);
}

#[tokio::test]
async fn lists_go_over_days_and_months() {
    let place = place!();
    let store = place.store().await;
    let mut batch = WriteBatch::default();
    for days in [0, 1, 29, 31, 200, 390] {
        let mut old = plan(Position::new(shard(0), 1000 - days));
        old.accepted_at = NOON - DAY * days as u32;
        batch.plans.push(Arc::new(old));
    }
    for days in [0, 2, 3, 20, 29] {
        batch.dead_letters.push(DeadLetter {
            key: DeadLetterKey {
                tenant: "acme".into(),
                at: NOON - DAY * days,
                task: TaskId { position: Position::new(shard(0), u64::from(days)), ordinal: 0 },
            },
            reason: "refused".into(),
            cause: DeadLetterCause::Record { body: b"x".to_vec().into() },
        });
    }
    store.write(shard(0), batch.clone()).await.expect("written");
    let mut entries = Vec::new();
    while let page @ [_, ..] = &store.history("acme", "alice", entries.last().copied(), 2).await.expect("read")[..] {
        entries.extend_from_slice(page);
    }
    let offsets: Vec<u64> = entries.iter().map(|entry| entry.notification.0.offset).collect();
    assert_eq!(offsets, [1000, 999, 971, 969, 800, 610]);

    // More that were revived than a page has: they are passed over.
    let revived = batch.dead_letters[1..4].iter().map(|letter| letter.key.clone()).collect();
    store.write(shard(0), WriteBatch { revived, ..WriteBatch::default() }).await.expect("written");
    let first = store.dead_letters("acme", None, 1).await.expect("read");
    assert_eq!(first, batch.dead_letters[..1]);
    let next = store.dead_letters("acme", Some(first[0].key.clone()), 1).await.expect("read");
    assert_eq!(next, batch.dead_letters[4..]);
}

#[tokio::test]
async fn an_event_that_comes_later_stands_after_those_of_another_process() {
    let place = place!();
    let (one, other) = (place.store().await, place.store().await);
    let at = Position::new(shard(0), 7);
    one.write(shard(0), plans(shard(0), [7])).await.expect("written");
    for (store, reason) in [(&one, "first"), (&other, "second"), (&one, "third")] {
        let event = crate::domain::Event { reason: Some(reason.into()), ..event(at, 0, 1, EventKind::Failed) };
        store.write(shard(0), WriteBatch { events: vec![event], ..WriteBatch::default() }).await.expect("written");
        // Processes order their rows by their clocks.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let story = other.stories(&[at]).await.expect("read").pop().flatten().expect("it is there");
    assert_eq!(story.events.iter().map(|event| event.reason.as_deref()).collect::<Vec<_>>(), [Some("third")]);
}

#[tokio::test]
async fn a_sign_of_life_is_forgotten_after_an_hour_and_goes_on_over_the_hour() {
    let place = place!();
    let clock = ManualClock::starting_at(NOON);
    let store = CqlStore::open(&place.settings, clock.clone()).await.expect("opened");
    let beat = |node: &str, count| Beat { node: NodeName(node.into()), count, address: "".into() };
    let beats = async || {
        let mut beats = store.beats().await.expect("read");
        beats.sort_by(|a, b| a.node.cmp(&b.node));
        beats
    };
    store.beat(&beat("a", 1)).await.expect("written");
    clock.advance(Duration::from_secs(3000));
    store.beat(&beat("b", 5)).await.expect("written");
    assert_eq!(beats().await, [beat("a", 1), beat("b", 5)]);
    clock.advance(Duration::from_secs(700));
    assert_eq!(beats().await, [beat("b", 5)]);
    store.beat(&beat("b", 6)).await.expect("written");
    assert_eq!(beats().await, [beat("b", 6)]);
}
