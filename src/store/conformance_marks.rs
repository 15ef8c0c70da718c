//! What every backend must do about marks of what is written; run against each of them.

use std::sync::Arc;
use std::time::Duration;

use super::conformance::{NOON, event, plan, shard};
use super::conformance_users::UserBackend;
use super::{MINUTE_MILLIS, SharedStore, WriteBatch, read_touched, source_of, touched_part};
use crate::clock::{Clock, ManualClock};
use crate::domain::{EventKind, Position, Timestamp};

/// The marks of a minute: blocks, and when they were marked.
async fn marks(store: &SharedStore, at: Timestamp) -> Vec<(u64, Timestamp)> {
    let part = touched_part(source_of(shard(0)), at.millis() / MINUTE_MILLIS);
    let rows = store.keyed_between(&part, None, None, 100).await.expect("read");
    let read = rows.iter().map(|row| read_touched(row).expect("a mark"));
    read.map(|(of, block, at)| {
        assert_eq!(of, shard(0));
        (block, at)
    })
    .collect()
}

async fn happen(store: &SharedStore, facts: &[(u64, EventKind)]) {
    let of_fact = |(offset, kind): &(u64, EventKind)| event(Position::new(shard(0), *offset), 0, 1, *kind);
    let batch = WriteBatch { events: facts.iter().map(of_fact).collect(), ..WriteBatch::default() };
    store.write(shard(0), batch).await.expect("written");
}

/// The blocks whose counts may have changed, each in the minute of the write and with its time; planning changes none.
pub(crate) async fn blocks_that_are_written_are_marked_in_their_minute(backend: &impl UserBackend) {
    let clock = ManualClock::starting_at(NOON + Duration::from_secs(3600));
    let store = backend.open_at(clock.clone()).await;
    let first = clock.now();
    let plans = vec![Arc::new(plan(Position::new(shard(0), 5)))];
    store.write(shard(0), WriteBatch { plans, ..WriteBatch::default() }).await.expect("written");
    happen(&store, &[(5, EventKind::Accepted), (6, EventKind::Merged), (7, EventKind::Skipped)]).await;
    assert_eq!(marks(&store, first).await, []);

    let facts = [(5, EventKind::Sent), (1023, EventKind::Failed), (3 * 1024, EventKind::Delivered)];
    happen(&store, &facts).await;
    assert_eq!(marks(&store, first).await, [(0, first), (3, first)]);
    // Again, a while later: the mark says so.
    clock.advance(Duration::from_secs(10));
    happen(&store, &[(5, EventKind::Opened)]).await;
    assert_eq!(marks(&store, first).await, [(0, clock.now()), (3, first)]);
    // In another minute it has another.
    clock.advance(Duration::from_secs(60));
    happen(&store, &[(9 * 1024, EventKind::Clicked), (5, EventKind::Clicked)]).await;
    assert_eq!(marks(&store, clock.now()).await, [(0, clock.now()), (9, clock.now())]);
    assert_eq!(marks(&store, first).await.len(), 2);
}
