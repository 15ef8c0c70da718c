//! What every backend of this port must do; run against each of them by [`coordination_conformance`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Heard, PRESENCE_TTL, PresentNodes, PresentOn, Rate, SharedCoordination, UserKey, Wanted};
use crate::clock::ManualClock;
use crate::domain::{ClaimKey, Position, Priority, ShardId};

/// Makes a test of each promise; `$backend` makes a fresh backend that goes by the clock it is given, or none where the
/// service it needs is missing.
macro_rules! coordination_conformance {
    ($backend:expr) => {
        $crate::coordination::conformance::coordination_conformance! { $backend =>
            a_claim_is_held_by_whoever_came_first
            who_claims_again_as_the_same_owner_still_has_it
            a_claim_is_let_go_by_its_owner_only
            one_batch_may_want_a_key_twice
            of_many_at_once_exactly_one_gets_the_claim
            a_bucket_gives_its_burst_and_then_its_rate
            a_fifth_is_kept_for_critical_traffic
            buckets_of_different_names_are_apart
            a_rate_that_changes_counts_at_once
            who_is_connected_is_known_by_node
            a_node_that_says_no_more_is_forgotten
            a_message_reaches_who_listens_for_the_node
            who_is_too_far_behind_is_told_that_it_missed_something
        }
    };
    ($backend:expr => $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            let clock = $crate::clock::ManualClock::starting_at($crate::domain::Timestamp(1_800_000_000_000));
            let Some(backend) = ($backend)(clock.clone()).await else { return };
            let backend: $crate::coordination::SharedCoordination = backend;
            $crate::coordination::conformance::$name(backend, clock).await;
        })*
    };
}
pub(crate) use coordination_conformance;

const RATE: Rate = Rate { per_second: 100.0, burst: 50.0 };

/// Begins buckets and lets them fill: with how much a new one begins is the backend's own affair.
async fn fill(backend: &SharedCoordination, clock: &ManualClock, names: &[&str]) {
    for name in names {
        backend.lease(name, RATE, 0, true).await;
    }
    clock.advance(Duration::from_secs(60));
}

fn owner(offset: u64) -> Position {
    Position::new(ShardId { generation: 0, lane: Priority::Normal, partition: 0 }, offset)
}

fn wanted(key: u128, offset: u64) -> Wanted {
    Wanted { key: ClaimKey(key), owner: owner(offset) }
}

pub(crate) async fn a_claim_is_held_by_whoever_came_first(backend: SharedCoordination, _: Arc<ManualClock>) {
    assert_eq!(backend.claim(&[wanted(1, 10), wanted(2, 10)]).await, [owner(10), owner(10)]);
    assert_eq!(backend.claim(&[wanted(3, 11), wanted(2, 11), wanted(1, 11)]).await, [owner(11), owner(10), owner(10)]);
    assert_eq!(backend.claim(&[]).await, []);
}

pub(crate) async fn who_claims_again_as_the_same_owner_still_has_it(backend: SharedCoordination, _: Arc<ManualClock>) {
    for _ in 0..2 {
        assert_eq!(backend.claim(&[wanted(1, 10)]).await, [owner(10)]);
    }
    assert_eq!(backend.claim(&[wanted(1, 11)]).await, [owner(10)]);
}

pub(crate) async fn a_claim_is_let_go_by_its_owner_only(backend: SharedCoordination, _: Arc<ManualClock>) {
    backend.claim(&[wanted(1, 10)]).await;
    backend.release(&[wanted(1, 11), wanted(9, 11)]).await;
    assert_eq!(backend.claim(&[wanted(1, 12)]).await, [owner(10)]);
    backend.release(&[wanted(1, 10)]).await;
    assert_eq!(backend.claim(&[wanted(1, 12)]).await, [owner(12)]);
}

pub(crate) async fn one_batch_may_want_a_key_twice(backend: SharedCoordination, _: Arc<ManualClock>) {
    assert_eq!(backend.claim(&[wanted(1, 10), wanted(1, 11)]).await, [owner(10), owner(10)]);
}

pub(crate) async fn of_many_at_once_exactly_one_gets_the_claim(backend: SharedCoordination, _: Arc<ManualClock>) {
    let tries = (0..50).map(|offset| {
        let backend = backend.clone();
        tokio::spawn(async move { backend.claim(&[wanted(1, offset)]).await[0] == owner(offset) })
    });
    let mut winners = 0;
    for won in tries.collect::<Vec<_>>() {
        winners += usize::from(won.await.expect("ended"));
    }
    assert_eq!(winners, 1);
}

pub(crate) async fn a_bucket_gives_its_burst_and_then_its_rate(backend: SharedCoordination, clock: Arc<ManualClock>) {
    fill(&backend, &clock, &["mail"]).await;
    assert_eq!(backend.lease("mail", RATE, 1000, true).await.granted, 50);
    let empty = backend.lease("mail", RATE, 1, true).await;
    assert_eq!(empty.granted, 0);
    assert!(empty.retry_after > Duration::ZERO && empty.retry_after <= Duration::from_secs(1));
    clock.advance(Duration::from_millis(100));
    assert_eq!(backend.lease("mail", RATE, 1000, true).await.granted, 10);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(backend.lease("mail", RATE, 1000, true).await.granted, 50, "a pause saves up one burst, no more");
}

pub(crate) async fn a_fifth_is_kept_for_critical_traffic(backend: SharedCoordination, clock: Arc<ManualClock>) {
    fill(&backend, &clock, &["mail"]).await;
    assert_eq!(backend.lease("mail", RATE, 1000, false).await.granted, 40);
    let refused = backend.lease("mail", RATE, 1, false).await;
    assert_eq!(refused.granted, 0);
    assert_eq!(backend.lease("mail", RATE, 1000, true).await.granted, 10);
    // Under a flood of others, a fifth of the burst is there for critical traffic whenever it comes, and is filled first.
    let mut common = 0;
    for _ in 0..10 {
        clock.advance(Duration::from_millis(100));
        common += backend.lease("mail", RATE, 1000, false).await.granted;
    }
    assert_eq!(common, 90);
    assert_eq!(backend.lease("mail", RATE, 1000, true).await.granted, 10);
}

pub(crate) async fn buckets_of_different_names_are_apart(backend: SharedCoordination, clock: Arc<ManualClock>) {
    fill(&backend, &clock, &["a", "b"]).await;
    assert_eq!(backend.lease("a", RATE, 1000, true).await.granted, 50);
    assert_eq!(backend.lease("b", RATE, 1000, true).await.granted, 50);
}

pub(crate) async fn a_rate_that_changes_counts_at_once(backend: SharedCoordination, clock: Arc<ManualClock>) {
    fill(&backend, &clock, &["mail"]).await;
    let smaller = Rate { per_second: 10.0, burst: 5.0 };
    assert!(backend.lease("mail", smaller, 1000, true).await.granted <= 5);
    clock.advance(Duration::from_millis(100));
    assert_eq!(backend.lease("mail", smaller, 1000, true).await.granted, 1);
}

fn on(node: &str, connections: u32) -> PresentOn {
    PresentOn { node: node.to_owned(), connections }
}

pub(crate) async fn who_is_connected_is_known_by_node(backend: SharedCoordination, _: Arc<ManualClock>) {
    let (ann, bob) = (UserKey(1), UserKey(u128::MAX));
    backend.set_present("a", &[(ann, 1), (bob, 2)]).await;
    backend.set_present("b", &[(ann, 3)]).await;
    assert_eq!(
        backend.present_on(&[bob, ann, UserKey(3)]).await.nodes,
        [vec![on("a", 2)], vec![on("a", 1), on("b", 3)], vec![]]
    );
    backend.set_present("a", &[(ann, 0), (bob, 1)]).await;
    let seen = backend.present_on(&[ann, bob]).await;
    assert_eq!(seen, PresentNodes { nodes: vec![vec![on("b", 3)], vec![on("a", 1)]], is_all: true });
    assert!(backend.present_on(&[]).await.nodes.is_empty());
}

pub(crate) async fn a_node_that_says_no_more_is_forgotten(backend: SharedCoordination, clock: Arc<ManualClock>) {
    let user = UserKey(7);
    backend.set_present("dead", &[(user, 1)]).await;
    clock.advance(PRESENCE_TTL / 2);
    backend.set_present("alive", &[(user, 1)]).await;
    assert_eq!(backend.present_on(&[user]).await.nodes, [vec![on("alive", 1), on("dead", 1)]]);
    clock.advance(PRESENCE_TTL / 2);
    assert_eq!(backend.present_on(&[user]).await.nodes, [vec![on("alive", 1)]]);
}

pub(crate) async fn a_message_reaches_who_listens_for_the_node(backend: SharedCoordination, _: Arc<ManualClock>) {
    assert!(!backend.publish("a", Bytes::from_static(b"too early")).await);
    let (mut a, mut b) = (backend.subscribe("a").await, backend.subscribe("b").await);
    assert!(backend.publish("a", Bytes::from_static(b"to a")).await);
    assert!(backend.publish("b", Bytes::from_static(b"to b")).await);
    assert_eq!(a.next().await, Some(Heard::Message(Bytes::from_static(b"to a"))));
    assert_eq!(b.next().await, Some(Heard::Message(Bytes::from_static(b"to b"))));
    drop(a);
    assert!(!backend.publish("a", Bytes::from_static(b"too late")).await);
}

pub(crate) async fn who_is_too_far_behind_is_told_that_it_missed_something(
    backend: SharedCoordination,
    _: Arc<ManualClock>,
) {
    let mut listener = backend.subscribe("a").await;
    for number in 0..5000u32 {
        backend.publish("a", Bytes::from(number.to_be_bytes().to_vec())).await;
    }
    assert_eq!(listener.next().await, Some(Heard::Missed));
    assert!(matches!(listener.next().await, Some(Heard::Message(_))));
}
