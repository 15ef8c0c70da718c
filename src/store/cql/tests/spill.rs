//! The spill in a real database.

use bytes::Bytes;

use super::{Place, place};
use crate::domain::{Priority, ShardId};
use crate::store::SpillRows;

fn shard() -> ShardId {
    ShardId { generation: ShardId::SPILL, lane: Priority::Critical, partition: 65_535 }
}

fn bodies(offsets: std::ops::Range<u64>) -> Vec<Bytes> {
    offsets.map(|offset| Bytes::from(format!("body {offset}"))).collect()
}

#[tokio::test]
async fn slots_are_given_once_and_to_the_same_process_again() {
    let place = place!();
    let (one, other) = (place.store().await, place.store().await);
    let (first, second) = tokio::join!(one.take_slot("one"), other.take_slot("other"));
    let (first, second) = (first.expect("taken"), second.expect("taken"));
    assert_eq!(first.min(second), 0);
    assert_eq!(first.max(second), 1);
    assert_eq!(other.take_slot("one").await.expect("taken"), first);
    assert_eq!(one.take_slot("third").await.expect("taken"), 2);
}

#[tokio::test]
async fn records_are_read_in_order_over_blocks_from_any_offset_and_within_bounds() {
    let place = place!();
    let store = place.store().await;
    store.append_spill(shard(), 0, &bodies(0..300)).await.expect("written");
    store.append_spill(shard(), 300, &bodies(300..500)).await.expect("written");
    let read = async |from, records, bytes| store.read_spill(shard(), from, records, bytes).await.expect("read");
    let all = read(0, usize::MAX, usize::MAX).await;
    assert_eq!(all, (0..500).zip(bodies(0..500)).collect::<Vec<_>>());
    assert_eq!(read(383, 2, usize::MAX).await, all[383..385]);
    assert_eq!(read(10, usize::MAX, 15).await, all[10..13], "the one that fills it is the last");
    assert_eq!(read(499, usize::MAX, usize::MAX).await, all[499..]);
    assert!(read(500, usize::MAX, usize::MAX).await.is_empty());
    for from in [0, 127, 128, 499, 500, 700] {
        let end = store.spill_end(shard(), from).await.expect("read");
        assert_eq!(end, from.max(500), "from {from}");
    }
}

#[tokio::test]
async fn a_gap_ends_what_is_read_until_it_is_filled() {
    let place = place!();
    let store = place.store().await;
    store.append_spill(shard(), 0, &bodies(0..3)).await.expect("written");
    store.append_spill(shard(), 5, &bodies(5..7)).await.expect("written");
    let count = async || store.read_spill(shard(), 0, usize::MAX, usize::MAX).await.expect("read").len();
    assert_eq!(count().await, 3);
    store.append_spill(shard(), 3, &[Bytes::new(), Bytes::new()]).await.expect("written");
    assert_eq!(count().await, 7);
    let found = store.read_spill(shard(), 3, 1, usize::MAX).await.expect("read");
    assert_eq!(found, [(3, Bytes::new())]);
    store.append_spill(shard(), 1, &[Bytes::new()]).await.expect("written");
    let found = store.read_spill(shard(), 1, 1, usize::MAX).await.expect("read");
    assert_eq!(found, [(1, Bytes::new())], "what is there is written over");
}

#[tokio::test]
async fn shards_are_known_from_before_their_first_record_with_where_they_are() {
    let place = place!();
    let (one, other) = (place.store().await, place.store().await);
    assert!(one.spill_shards().await.expect("read").is_empty());
    one.open_spill(shard()).await.expect("opened");
    assert_eq!(other.spill_shards().await.expect("read"), [(shard(), 0)]);
    other.commit_spill(shard(), 41).await.expect("committed");
    one.open_spill(shard()).await.expect("opened");
    assert_eq!(one.spill_shards().await.expect("read"), [(shard(), 41)]);
}
