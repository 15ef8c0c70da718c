use std::sync::atomic::Ordering;

use super::*;
use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::intake::fakes::{FakeLog, FakeStore, StoppedClock};
use crate::intake::{Envelope, read_request};
use crate::store::ClaimRow;

struct Bench {
    log: Arc<FakeLog>,
    store: Arc<FakeStore>,
    clock: Arc<StoppedClock>,
    keys: Arc<AcceptedKeys>,
    acceptor: Arc<Acceptor>,
}

fn bench(log: Arc<FakeLog>) -> Bench {
    let store = Arc::new(FakeStore::default());
    let clock = StoppedClock::at("2026-11-21T12:00:00Z");
    let keys = Arc::<AcceptedKeys>::default();
    let acceptor = Arc::new(Acceptor::new(log.clone(), store.clone(), clock.clone(), keys.clone()));
    Bench { log, store, clock, keys, acceptor }
}

fn request(key: Option<(u128, u64)>) -> NotificationRequest {
    let categories = crate::config::defaults().categories().expect("the default is there");
    let envelope = Envelope {
        categories: &categories,
        contents: &(),
        tenant: "default",
        source: Source::Http,
        idempotency: key.map(|(key, body_hash)| Idempotency { key: ClaimKey(key), body_hash, batch: None }),
        now: Timestamp::parse("2026-11-21T12:00:00Z").expect("a time"),
    };
    read_request(r#"{"user_id":"u","template":"t","priority":"high"}"#, &envelope).expect("valid")
}

#[tokio::test]
async fn a_call_is_one_append_and_is_answered_with_the_positions_as_ids() {
    let bench = bench(FakeLog::open());
    let answers = bench.acceptor.accept(vec![request(None), request(None)]).await.expect("accepted");
    assert_eq!(bench.log.appends.load(Ordering::SeqCst), 1);
    let offsets: Vec<u64> = answers.iter().map(|answer| answer.id.0.offset).collect();
    assert_eq!(offsets, [0, 1]);
    assert_eq!(answers[0].id.0.shard.lane, Priority::High);
}

#[tokio::test]
async fn a_retry_key_with_the_same_body_answers_the_same_before_and_after_planning() {
    let bench = bench(FakeLog::open());
    let first = bench.acceptor.accept(vec![request(Some((1, 7)))]).await.expect("accepted")[0];
    let retried = bench.acceptor.accept(vec![request(Some((1, 7)))]).await.expect("accepted")[0];
    assert_eq!(retried, Accepted { repeated: true, ..first });
    let expires_at = bench.clock.now() + Duration::from_secs(60);
    bench.store.claim(ClaimRow { key: ClaimKey(1), owner: first.id.0, body_hash: 7, expires_at });
    bench.keys.planned(&[ClaimKey(1)]);
    assert!(bench.keys.is_empty());
    let later = bench.acceptor.accept(vec![request(Some((1, 7)))]).await.expect("accepted")[0];
    assert_eq!(later, Accepted { repeated: true, ..first });
    assert_eq!(bench.log.len(), 1);
    bench.clock.set(expires_at);
    let new = bench.acceptor.accept(vec![request(Some((1, 7)))]).await.expect("accepted")[0];
    assert!(!new.repeated, "the claim has run out");
}

#[tokio::test]
async fn a_retry_key_with_another_body_is_a_conflict_and_nothing_of_the_call_is_written() {
    let bench = bench(FakeLog::open());
    bench.acceptor.accept(vec![request(Some((2, 7)))]).await.expect("accepted");
    let outcome = bench.acceptor.accept(vec![request(Some((1, 8))), request(Some((2, 8)))]).await;
    assert!(matches!(outcome, Err(AcceptError::Conflict { index: 1 })), "{outcome:?}");
    assert_eq!(bench.log.len(), 1);
    // The key that was new in the refused call is free.
    assert!(!bench.acceptor.accept(vec![request(Some((1, 9)))]).await.expect("accepted")[0].repeated);
}

#[tokio::test]
async fn a_key_twice_in_one_call_is_written_once() {
    let bench = bench(FakeLog::open());
    let answers = bench.acceptor.accept(vec![request(Some((1, 7))), request(Some((1, 7)))]).await.expect("accepted");
    assert_eq!(answers[0].id, answers[1].id);
    assert_eq!(bench.log.len(), 1);
}

#[tokio::test]
async fn a_retry_during_the_append_waits_and_answers_the_same() {
    let bench = bench(FakeLog::held_up());
    let accept = |bench: &Bench| {
        let acceptor = bench.acceptor.clone();
        tokio::spawn(async move { acceptor.accept(vec![request(Some((1, 7)))]).await })
    };
    let first = accept(&bench);
    let second = accept(&bench);
    while bench.keys.is_empty() {
        tokio::task::yield_now().await;
    }
    bench.log.gate.add_permits(1);
    let first = first.await.expect("ended").expect("accepted")[0];
    let second = second.await.expect("ended").expect("accepted")[0];
    assert_eq!(first.id, second.id);
    assert_eq!(bench.log.len(), 1);
}

#[tokio::test]
async fn an_append_goes_on_when_its_caller_goes_away() {
    let bench = bench(FakeLog::held_up());
    let acceptor = bench.acceptor.clone();
    let caller = tokio::spawn(async move { acceptor.accept(vec![request(Some((1, 7)))]).await });
    while bench.keys.is_empty() {
        tokio::task::yield_now().await;
    }
    // Far enough for the append to have begun: it runs in a task of its own.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    caller.abort();
    let _ = caller.await;
    bench.log.gate.add_permits(2);
    let retried = bench.acceptor.accept(vec![request(Some((1, 7)))]).await.expect("accepted")[0];
    assert!(retried.repeated);
    assert_eq!(bench.log.len(), 1);
}

#[tokio::test]
async fn a_plan_that_is_durable_before_the_answer_leaves_no_key_behind() {
    let bench = bench(FakeLog::held_up());
    let acceptor = bench.acceptor.clone();
    let caller = tokio::spawn(async move { acceptor.accept(vec![request(Some((1, 7)))]).await });
    while bench.keys.is_empty() {
        tokio::task::yield_now().await;
    }
    bench.keys.planned(&[ClaimKey(1)]);
    bench.log.gate.add_permits(1);
    caller.await.expect("ended").expect("accepted");
    assert!(bench.keys.is_empty());
}

#[tokio::test]
async fn a_log_that_cannot_be_written_says_when_to_come_back_and_keeps_no_key() {
    let bench = bench(FakeLog::open());
    bench.log.full.store(true, Ordering::SeqCst);
    for key in [None, Some((1, 7))] {
        let outcome = bench.acceptor.accept(vec![request(key)]).await;
        assert!(matches!(outcome, Err(AcceptError::Unavailable { retry_after, .. }) if !retry_after.is_zero()));
    }
    assert!(bench.keys.is_empty());
}

#[tokio::test]
async fn keys_of_records_found_at_recovery_are_answered() {
    let bench = bench(FakeLog::open());
    let position = bench.acceptor.accept(vec![request(None)]).await.expect("accepted")[0].id.0;
    bench.keys.load(ClaimKey(5), position, 7);
    let answer = bench.acceptor.accept(vec![request(Some((5, 7)))]).await.expect("accepted")[0];
    assert_eq!(answer, Accepted { id: NotificationId(position), repeated: true });
}

#[test]
fn records_of_one_user_go_to_one_partition_and_tenants_do_not_share_them() {
    let mut other_template = request(None);
    other_template.dedup_key = Some("x".into());
    assert_eq!(partition_key(&request(None)), partition_key(&other_template));
    let mut other_tenant = request(None);
    other_tenant.tenant = "other".into();
    assert_ne!(partition_key(&request(None)), partition_key(&other_tenant));
}
