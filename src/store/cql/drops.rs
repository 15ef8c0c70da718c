//! Drops of a block. A row is written again under its own key, without what is dropped and for the rest of its life; one of which nothing is
//! left is empty then. Nothing is deleted, here as elsewhere: reads would wade through the tombstones, and where compaction goes by days the
//! bytes would leave no sooner. Entries in histories and what stands under leaders expire by themselves: nobody finds the one, and without
//! its leader nobody reads the other.

use async_trait::async_trait;
use bytes::Bytes;
use scylla::value::CqlValue;

use super::CqlStore;
use super::rows::PLANS;
use super::runner::{Row, Traffic, big, blob, shard_key};
use crate::domain::{BLOCK_OFFSETS, ShardId};
use crate::store::packed::{self, Packer};
use crate::store::{Drops, StoreError};

/// Kind, window, number of the write, body, and the seconds that it still has to live.
type Cells = (i8, i16, Bytes, Bytes, Option<i32>);

#[async_trait]
impl Drops for CqlStore {
    async fn drop_offsets(&self, shard: ShardId, block: u64, offsets: &[u64]) -> Result<usize, StoreError> {
        let mut offsets = offsets.to_vec();
        offsets.sort_unstable();
        let key = [shard_key(shard), big(block)];
        let rows = self.runner.rows::<Cells>("read a block", &self.statements.rows_of_block, &key).await?;
        let is_wanted = |within: u64| offsets.binary_search(&(block * BLOCK_OFFSETS + within)).is_ok();
        let (mut count, mut changed) = (0, Vec::new());
        for (kind, window, number, body, lifetime) in rows {
            let mut packer = Packer::with_capacity(body.len());
            let mut is_changed = false;
            for (within, bytes) in packed::unpack(&body) {
                if is_wanted(within) {
                    is_changed = true;
                    count += usize::from(kind == PLANS);
                } else {
                    packer.add(within, |row| row.extend_from_slice(bytes));
                }
            }
            if is_changed {
                let values = vec![
                    shard_key(shard),
                    big(block),
                    CqlValue::TinyInt(kind),
                    CqlValue::SmallInt(window),
                    blob(number),
                    blob(packer.done()),
                    CqlValue::Int(lifetime.unwrap_or(0)),
                ];
                changed.push(Row { partition: u128::from(block), values });
            }
        }
        // What others send has the places of critical writes for itself.
        self.runner.write("drop notifications", Traffic::Writes, &self.statements.add_to_log, changed).await?;
        Ok(count)
    }
}
