//! What every backend of leases and signs of life must do; run against each of them by [`lease_conformance`].

use std::sync::Arc;

use async_trait::async_trait;

use super::conformance::shard;
use super::{Beat, LeaseRow, LeaseRows, NodeName};

/// A place where leases are kept; each test has its own.
#[async_trait]
pub(crate) trait LeaseBackend: Send + Sync {
    /// Another node's view of the same rows.
    async fn open(&self) -> Arc<dyn LeaseRows>;
}

/// Makes a test of each promise; `$backend` is an expression that makes a fresh [`LeaseBackend`].
macro_rules! lease_conformance {
    ($backend:expr) => {
        $crate::store::conformance_leases::lease_conformance! { $backend =>
            a_lease_is_given_to_the_first_only
            a_lease_changes_hands_only_from_the_row_that_was_seen
            a_lease_is_seen_by_every_node
            of_many_who_replace_a_lease_one_succeeds
            beats_are_each_nodes_latest
        }
    };
    ($backend:expr => $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            $crate::store::conformance_leases::$name(&$backend).await;
        })*
    };
}
pub(crate) use lease_conformance;

fn node(name: &str) -> NodeName {
    NodeName(name.into())
}

fn lease(owner: &str, epoch: u64, released: bool) -> LeaseRow {
    LeaseRow { owner: node(owner), epoch, released }
}

pub(crate) async fn a_lease_is_given_to_the_first_only(backend: &dyn LeaseBackend) {
    let rows = backend.open().await;
    assert_eq!(rows.lease(shard(0)).await.expect("read"), None);
    let (first, second) = (lease("a", 1, false), lease("b", 1, false));
    assert!(rows.replace_lease(shard(0), None, &first).await.expect("asked"));
    assert!(!rows.replace_lease(shard(0), None, &second).await.expect("asked"));
    assert_eq!(rows.lease(shard(0)).await.expect("read"), Some(first));
    assert_eq!(rows.lease(shard(1)).await.expect("read"), None);
}

pub(crate) async fn a_lease_changes_hands_only_from_the_row_that_was_seen(backend: &dyn LeaseBackend) {
    let rows = backend.open().await;
    let (first, next) = (lease("a", 1, false), lease("b", 2, false));
    assert!(!rows.replace_lease(shard(0), Some(&first), &next).await.expect("asked"), "there is no row yet");
    assert_eq!(rows.lease(shard(0)).await.expect("read"), None);
    assert!(rows.replace_lease(shard(0), None, &first).await.expect("asked"));
    for other in [lease("c", 1, false), lease("a", 0, false), lease("a", 1, true)] {
        assert!(!rows.replace_lease(shard(0), Some(&other), &next).await.expect("asked"), "{other:?}");
    }
    assert_eq!(rows.lease(shard(0)).await.expect("read"), Some(first.clone()));
    let released = lease("a", 1, true);
    assert!(rows.replace_lease(shard(0), Some(&first), &released).await.expect("asked"));
    assert!(rows.replace_lease(shard(0), Some(&released), &next).await.expect("asked"));
    assert_eq!(rows.lease(shard(0)).await.expect("read"), Some(next));
}

pub(crate) async fn a_lease_is_seen_by_every_node(backend: &dyn LeaseBackend) {
    let (one, other) = (backend.open().await, backend.open().await);
    for epoch in 1..10 {
        let seen = other.lease(shard(0)).await.expect("read");
        let next = lease("a", epoch, epoch % 2 == 0);
        assert!(one.replace_lease(shard(0), seen.as_ref(), &next).await.expect("asked"));
        assert_eq!(other.lease(shard(0)).await.expect("read"), Some(next));
    }
}

pub(crate) async fn of_many_who_replace_a_lease_one_succeeds(backend: &dyn LeaseBackend) {
    let rows = backend.open().await;
    let tries = (0..8).map(|number| {
        let rows = rows.clone();
        tokio::spawn(async move {
            // An error says nothing: the row may be there or not.
            rows.replace_lease(shard(0), None, &lease(&format!("node-{number}"), 1, false)).await.ok()
        })
    });
    let mut answers = Vec::new();
    for one in tries.collect::<Vec<_>>() {
        answers.push(one.await.expect("ended"));
    }
    let winners: Vec<usize> = (0..8).filter(|number| answers[*number] == Some(true)).collect();
    assert!(winners.len() <= 1, "{answers:?}");
    let row = rows.lease(shard(0)).await.expect("read").expect("somebody has it");
    if let [winner] = winners[..] {
        assert_eq!(row, lease(&format!("node-{winner}"), 1, false));
    }
}

pub(crate) async fn beats_are_each_nodes_latest(backend: &dyn LeaseBackend) {
    let (one, other) = (backend.open().await, backend.open().await);
    assert_eq!(one.beats().await.expect("read"), []);
    let beat = |name: &str, count, address: &str| Beat { node: node(name), count, address: address.into() };
    for count in 1..4 {
        one.beat(&beat("a", count, "10.0.0.1:8080")).await.expect("written");
    }
    other.beat(&beat("b", 7, "")).await.expect("written");
    let mut beats = one.beats().await.expect("read");
    beats.sort_by(|a, b| a.node.cmp(&b.node));
    assert_eq!(beats, [beat("a", 3, "10.0.0.1:8080"), beat("b", 7, "")]);
}
