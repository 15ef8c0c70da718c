//! The spill: see [`crate::store::SpillRows`].

use std::ops::ControlFlow;

use async_trait::async_trait;
use bytes::Bytes;
use scylla::value::CqlValue;

use super::CqlStore;
use super::leases::is_applied;
use super::runner::{Row, Traffic, big, blob, shard_key};
use crate::domain::ShardId;
use crate::store::{SpillRows, StoreError};

/// Offsets in a partition: requests may have 256 KiB, and a partition should stay in the tens of megabytes whatever comes.
const BLOCK: u64 = 128;

/// The one partition of the tables that are read whole.
const PART: CqlValue = CqlValue::TinyInt(0);

/// How often another process may take the number first before this gives up.
const SLOT_TRIES: usize = 32;

#[async_trait]
impl SpillRows for CqlStore {
    async fn take_slot(&self, process: &str) -> Result<u16, StoreError> {
        for _ in 0..SLOT_TRIES {
            if let ControlFlow::Break(slot) = self.try_slot(process).await? {
                return Ok(slot);
            }
        }
        Err(StoreError::Failed("other processes took every slot of the spill that was tried".to_owned()))
    }

    async fn open_spill(&self, shard: ShardId) -> Result<(), StoreError> {
        let row = vec![Row { partition: 0, values: vec![PART, shard_key(shard)] }];
        self.runner.write("open a spill", Traffic::of(shard), &self.statements.open_spill, row).await
    }

    async fn append_spill(&self, shard: ShardId, first: u64, bodies: &[Bytes]) -> Result<(), StoreError> {
        let rows = (first..).zip(bodies).map(|(offset, body)| Row {
            partition: u128::from(offset / BLOCK),
            values: vec![shard_key(shard), big(offset / BLOCK), big(offset), blob(&body[..])],
        });
        self.runner.write("write the spill", Traffic::of(shard), &self.statements.add_to_spill, rows.collect()).await
    }

    async fn read_spill(
        &self,
        shard: ShardId,
        from: u64,
        records: usize,
        bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, StoreError> {
        let mut found: Vec<(u64, Bytes)> = Vec::new();
        let mut held = 0;
        let mut next = from;
        loop {
            let block = next / BLOCK;
            let rows = self.spill_block(shard, block, next, records - found.len(), bytes.saturating_sub(held)).await?;
            for (offset, body) in rows {
                if offset != next {
                    return Ok(found);
                }
                next += 1;
                held += body.len();
                found.push((offset, body));
                if found.len() >= records || held >= bytes {
                    return Ok(found);
                }
            }
            if next / BLOCK == block {
                return Ok(found);
            }
        }
    }

    async fn spill_end(&self, shard: ShardId, from: u64) -> Result<u64, StoreError> {
        // Blocks are filled one after the other: the last one is looked for by steps that grow, and then by halves.
        let (mut there, mut step) = (from / BLOCK, 1);
        let Some(mut last) = self.last_of(shard, there).await? else { return Ok(from) };
        let mut beyond = loop {
            match self.last_of(shard, there + step).await? {
                Some(offset) => (there, last, step) = (there + step, offset, step * 2),
                None => break there + step,
            }
        };
        while there + 1 < beyond {
            let middle = there + (beyond - there) / 2;
            match self.last_of(shard, middle).await? {
                Some(offset) => (there, last) = (middle, offset),
                None => beyond = middle,
            }
        }
        Ok(from.max(last + 1))
    }

    async fn spill_shards(&self) -> Result<Vec<(ShardId, u64)>, StoreError> {
        type Cells = (i32, Option<i64>);
        let rows = self.runner.rows::<Cells>("list the spill", &self.statements.spill_shards, &[PART]).await?;
        let shard = |(shard, committed): Cells| {
            let id = ShardId::from_u32(shard as u32);
            let id = id.ok_or_else(|| StoreError::Unreadable(format!("the shard {shard} of the spill")))?;
            Ok((id, committed.unwrap_or(0) as u64))
        };
        rows.into_iter().map(shard).collect()
    }

    async fn commit_spill(&self, shard: ShardId, next: u64) -> Result<(), StoreError> {
        let row = vec![Row { partition: 0, values: vec![PART, shard_key(shard), big(next)] }];
        self.runner.write("commit the spill", Traffic::of(shard), &self.statements.commit_spill, row).await
    }
}

impl CqlStore {
    /// Takes the next number; another process may have been faster. An answer that was lost is found at the next try.
    async fn try_slot(&self, process: &str) -> Result<ControlFlow<u16>, StoreError> {
        let taken = self.runner.rows::<(i32, String)>("read slots", &self.statements.slots, &[PART]).await?;
        if let Some((own, _)) = taken.iter().find(|(_, taken_by)| taken_by == process) {
            return Ok(ControlFlow::Break(*own as u16));
        }
        let next = taken.iter().map(|(slot, _)| slot + 1).max().unwrap_or(0);
        let slot = u16::try_from(next).map_err(|_| {
            StoreError::Unusable("every slot of the spill was taken: the log must come back".to_owned())
        })?;
        let values = [PART, CqlValue::Int(next), CqlValue::Text(process.to_owned()), big(self.clock.now().millis())];
        let result = self.runner.once("take a slot", &self.statements.take_slot, &values).await?;
        Ok(if is_applied(result, "take a slot")? { ControlFlow::Break(slot) } else { ControlFlow::Continue(()) })
    }

    /// Rows of one block from an offset on, some more than asked for.
    async fn spill_block(
        &self,
        shard: ShardId,
        block: u64,
        from: u64,
        records: usize,
        bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, StoreError> {
        type Cells = (i64, Bytes);
        let is_enough =
            |rows: &[Cells]| rows.len() >= records || rows.iter().map(|(_, body)| body.len()).sum::<usize>() >= bytes;
        let values = [shard_key(shard), big(block), big(from)];
        let rows =
            self.runner.rows_until::<Cells>("read the spill", &self.statements.spill, &values, is_enough).await?;
        Ok(rows.into_iter().map(|(offset, body)| (offset as u64, body)).collect())
    }

    async fn last_of(&self, shard: ShardId, block: u64) -> Result<Option<u64>, StoreError> {
        let values = [shard_key(shard), big(block)];
        let rows =
            self.runner.rows::<(i64,)>("read the end of the spill", &self.statements.spill_last, &values).await?;
        Ok(rows.first().map(|(offset,)| *offset as u64))
    }
}
