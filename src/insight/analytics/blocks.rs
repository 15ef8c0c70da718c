//! What a block comes to now, and what of it is kept when its rows go.

use super::{Analytics, rows, tally};
use crate::codec;
use crate::domain::{BlockSummary, Entries, ShardId, add_entry};
use crate::store::StoreError;

/// What a block came to before, and comes to now.
pub(super) struct Computed {
    pub(super) new: BlockSummary,
    pub(super) delta: Entries,
    pub(super) is_changed: bool,
}

impl Analytics {
    /// Reads what was last written of each block.
    pub(super) async fn summaries(&self, blocks: &[(ShardId, u64)]) -> Result<Vec<Option<BlockSummary>>, StoreError> {
        let places: Vec<_> = blocks.iter().map(|(shard, block)| rows::summary_place(*shard, *block)).collect();
        let bodies = self.parts.rows.keyed(&places).await?;
        let decode =
            |body: Option<bytes::Bytes>| Ok(body.map(|body| codec::decode_block_summary(&body)).transpose()?);
        bodies.into_iter().map(decode).collect()
    }

    /// Computes a block from its stories; `None`: what was counted of it is not all there any more, and stays as it was counted.
    pub(super) async fn compute(
        &self,
        (shard, block): (ShardId, u64),
        old: Option<BlockSummary>,
    ) -> Result<Option<Computed>, StoreError> {
        // Before what was frozen: what is dropped between the two is in that then.
        let stories = self.parts.log.bare_block(shard, block).await?;
        let frozen = self.frozen(shard, block).await?;
        let mut new = frozen.clone();
        for story in stories.iter().filter(|story| !frozen.counted.contains(story.plan.position.offset)) {
            tally::add(story, &self.parts.categories, &mut new);
        }
        let old = old.unwrap_or_default();
        if !new.counted.has_all(&old.counted) {
            return Ok(None);
        }
        let is_changed = new != old;
        let mut delta = new.entries.clone();
        for (cell, counts) in old.entries {
            add_entry(&mut delta, cell, &counts.negated());
        }
        Ok(Some(Computed { new, delta, is_changed }))
    }

    /// Keeps what these notifications come to, which are about to be dropped: durable on return. May be called again with the same ones,
    /// also if some are gone.
    pub async fn freeze(&self, shard: ShardId, block: u64, offsets: &[u64]) -> Result<(), StoreError> {
        let stories = self.parts.log.bare_block(shard, block).await?;
        let mut frozen = self.frozen(shard, block).await?;
        let before = frozen.counted;
        let is_new = |offset: u64| offsets.contains(&offset) && !before.contains(offset);
        for story in stories.iter().filter(|story| is_new(story.plan.position.offset)) {
            tally::add(story, &self.parts.categories, &mut frozen);
        }
        if frozen.counted == before {
            return Ok(());
        }
        self.parts.rows.put_keyed(vec![rows::summary_row(rows::frozen_place(shard, block), &frozen)]).await
    }

    async fn frozen(&self, shard: ShardId, block: u64) -> Result<BlockSummary, StoreError> {
        let body = self.parts.rows.keyed(&[rows::frozen_place(shard, block)]).await?.pop().flatten();
        Ok(body.map(|body| codec::decode_block_summary(&body)).transpose()?.unwrap_or_default())
    }
}
