//! What every backend of [`super::ReceivedRows`] must do; run against each of them by [`received_conformance`].

use std::time::Duration;

use super::conformance::{NOON, StoreBackend, plan, shard};
use super::{ReceivedEntry, ReceivedRow, SharedStore, WriteBatch};
use crate::domain::{Position, UserKey};

/// Makes a test of each promise; `$backend` is an expression that makes a fresh [`StoreBackend`].
macro_rules! received_conformance {
    ($backend:expr) => {
        $crate::store::conformance_received::received_conformance! { $backend =>
            what_users_got_comes_in_the_order_asked_for
            what_is_written_again_is_there_once_and_the_later_counts
            what_users_got_is_there_after_opening_again
            names_that_run_together_are_different_users
        }
    };
    ($backend:expr => $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            $crate::store::conformance_received::$name(&$backend).await;
        })*
    };
}
pub(crate) use received_conformance;

fn user(tenant: &str, user_id: &str) -> UserKey {
    UserKey { tenant: tenant.into(), user_id: user_id.into() }
}

fn row(user: UserKey, offset: u64, message_type: u64) -> ReceivedRow {
    let position = Position::new(shard(0), offset);
    let entry = ReceivedEntry { position, at: NOON, message_type, category: u64::MAX };
    ReceivedRow { user, entry, expires_at: NOON + Duration::from_secs(86_400) }
}

async fn write(store: &SharedStore, received: &[ReceivedRow]) {
    let plans = received.iter().map(|row| plan(row.entry.position).into()).collect();
    let batch = WriteBatch { plans, received: received.to_vec(), ..WriteBatch::default() };
    store.write(shard(0), batch).await.expect("written");
}

async fn read(store: &SharedStore, users: &[UserKey]) -> Vec<Vec<ReceivedEntry>> {
    let mut all = store.received(users).await.expect("read");
    all.iter_mut().for_each(|entries| entries.sort());
    all
}

pub(crate) async fn what_users_got_comes_in_the_order_asked_for(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    let [alice, bob, nobody] = ["alice", "bob", "nobody"].map(|name| user("acme", name));
    let rows = [row(alice.clone(), 1, 7), row(bob.clone(), 2, 7), row(alice.clone(), 3, 8)];
    write(&store, &rows).await;
    let entries = |of: &[usize]| of.iter().map(|index| rows[*index].entry).collect::<Vec<_>>();
    assert_eq!(read(&store, &[bob, nobody, alice]).await, [entries(&[1]), entries(&[]), entries(&[0, 2])]);
    assert!(read(&store, &[]).await.is_empty());
}

pub(crate) async fn what_is_written_again_is_there_once_and_the_later_counts(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    let alice = user("acme", "alice");
    let (first, later) = (row(alice.clone(), 1, 7), row(alice.clone(), 1, 8));
    write(&store, std::slice::from_ref(&first)).await;
    write(&store, &[first]).await;
    write(&store, std::slice::from_ref(&later)).await;
    assert_eq!(read(&store, &[alice]).await, [[later.entry]]);
}

pub(crate) async fn what_users_got_is_there_after_opening_again(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    let alice = user("acme", "alice");
    let rows: Vec<ReceivedRow> = (0..300).map(|offset| row(alice.clone(), offset, 7)).collect();
    write(&store, &rows).await;
    drop(store);
    let store = backend.open().await;
    let expected: Vec<ReceivedEntry> = rows.iter().map(|row| row.entry).collect();
    assert_eq!(read(&store, &[alice]).await, [expected]);
}

pub(crate) async fn names_that_run_together_are_different_users(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    write(&store, &[row(user("ab", "c"), 1, 7)]).await;
    assert_eq!(read(&store, &[user("a", "bc"), user("abc", "")]).await, [[], []]);
}
