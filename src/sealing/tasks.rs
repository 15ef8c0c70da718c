//! Notifications, their groups and dead letters: what is personal of plans, and of what stands under leaders, is sealed. Events and
//! dead letters have nothing personal in them, but for records of the log, which are sealed as they are.

mod opening;
mod writing;

use async_trait::async_trait;

use super::SealedStore;
use crate::domain::{Event, Plan, Position, ShardId, Story};
use crate::store::{
    Books, Cursors, DeadLetter, DeadLetterKey, DeadLetters, GroupEntry, Groups, StoreError, TaskLog, WriteBatch,
};

#[async_trait]
impl TaskLog for SealedStore {
    async fn write(&self, shard: ShardId, batch: WriteBatch) -> Result<(), StoreError> {
        self.store.write(shard, self.seal_batch(batch).await?).await
    }

    async fn stories(&self, positions: &[Position]) -> Result<Vec<Option<Story>>, StoreError> {
        let mut stories = self.store.stories(positions).await?;
        self.open_plans(stories.iter_mut().flatten().map(|story| &mut story.plan)).await?;
        Ok(stories)
    }

    async fn plans_at(&self, positions: &[Position]) -> Result<Vec<Option<Plan>>, StoreError> {
        // Nobody asks for what is personal of them.
        self.store.plans_at(positions).await
    }

    async fn bare_stories(&self, positions: &[Position]) -> Result<Vec<Option<Story>>, StoreError> {
        self.store.stories(positions).await
    }

    async fn bare_block(&self, shard: ShardId, block: u64) -> Result<Vec<Story>, StoreError> {
        self.store.block(shard, block).await
    }

    async fn block(&self, shard: ShardId, block: u64) -> Result<Vec<Story>, StoreError> {
        let mut stories = self.store.block(shard, block).await?;
        self.open_plans(stories.iter_mut().map(|story| &mut story.plan)).await?;
        Ok(stories)
    }

    async fn loose_events(&self, shard: ShardId, block: u64) -> Result<Vec<Event>, StoreError> {
        self.store.loose_events(shard, block).await
    }

    async fn take_over(&self, shard: ShardId, end: u64) -> Result<(), StoreError> {
        self.store.take_over(shard, end).await
    }

    async fn cursors(&self, shard: ShardId) -> Result<Cursors, StoreError> {
        self.store.cursors(shard).await
    }

    async fn books(&self, shard: ShardId) -> Result<Books, StoreError> {
        self.store.books(shard).await
    }
}

#[async_trait]
impl Groups for SealedStore {
    async fn groups(&self, leaders: &[Position]) -> Result<Vec<Vec<GroupEntry>>, StoreError> {
        let mut groups = self.store.groups(leaders).await?;
        self.open_groups(leaders, &mut groups).await?;
        Ok(groups)
    }
}

#[async_trait]
impl DeadLetters for SealedStore {
    async fn dead_letters(
        &self,
        tenant: &str,
        before: Option<DeadLetterKey>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        self.store.dead_letters(tenant, before, limit).await
    }

    async fn dead_letter(&self, key: &DeadLetterKey) -> Result<Option<DeadLetter>, StoreError> {
        self.store.dead_letter(key).await
    }
}

/// What the sealed part of a plan is bound to.
fn place_of_plan(position: Position) -> [u8; 13] {
    let mut place = [0; 13];
    place[0] = b'P';
    place[1..5].copy_from_slice(&position.shard.to_u32().to_be_bytes());
    place[5..].copy_from_slice(&position.offset.to_be_bytes());
    place
}

/// What the sealed part of a row under a leader is bound to.
fn place_of_entry(leader: Position, place: u64) -> [u8; 21] {
    let mut bytes = [0; 21];
    bytes[..13].copy_from_slice(&place_of_plan(leader));
    bytes[0] = b'G';
    bytes[13..].copy_from_slice(&place.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests;
