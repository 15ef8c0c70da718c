//! Drops of a block. Rows are packed, so one that also holds others is written again without what is dropped, under its own key: then
//! whatever names the row still finds it. All of a call is one atomic write.

use async_trait::async_trait;

use super::{EmbeddedStore, keys};
use crate::codec;
use crate::disk::{Disk, Keyspaces, Rows, Traffic, Urgency};
use crate::domain::{BLOCK_OFFSETS, NotificationId, Plan, Position, ShardId};
use crate::store::assemble::Offsets;
use crate::store::packed::{self, Packer};
use crate::store::{Drops, HistoryEntry, StoreError};

/// What becomes of the rows of a block.
#[derive(Default)]
struct Doomed {
    /// Rows of plans and of events with what remains of them; `None`: nothing does.
    plans: Vec<Changed>,
    events: Vec<Changed>,
    groups: Vec<Vec<u8>>,
    history: Vec<keys::HistoryKey>,
    /// Plans that go.
    count: usize,
}

/// The key of a row, and what is to stand there.
type Changed = (Vec<u8>, Option<Vec<u8>>);

#[async_trait]
impl Drops for EmbeddedStore {
    async fn shards(&self) -> Result<Vec<ShardId>, StoreError> {
        Ok(self.shards.all())
    }

    async fn drop_offsets(&self, shard: ShardId, block: u64, offsets: &[u64]) -> Result<usize, StoreError> {
        let mut offsets = offsets.to_vec();
        offsets.sort_unstable();
        let doomed = self.beside(move |disk| doomed(disk, shard, block, &Offsets::These(offsets))).await?;
        if doomed.is_empty() {
            return Ok(0);
        }
        // What is not in its table yet would come there later, above the mark of its removal.
        let (index, history) = (self.index.clone(), doomed.history.clone());
        let built = tokio::task::spawn_blocking(move || index.build_all_of(&history)).await;
        built.map_err(|error| StoreError::Failed(error.to_string()))??;
        let (shards, count) = (self.shards.clone(), doomed.count);
        let bytes = doomed.bytes();
        // Nobody waits for it, and the sends that go on need the disk more.
        let write = move |rows: &mut Rows| doomed.put(rows, shards.keyspaces());
        self.disk.write(Traffic::Outcomes, Urgency::Patient, bytes, write).await?;
        Ok(count)
    }
}

fn doomed(disk: &Disk, shard: ShardId, block: u64, wanted: &Offsets) -> Result<Doomed, StoreError> {
    let read = |cause: fjall::Error| StoreError::from(disk.read_error(&cause));
    let mut doomed = Doomed::default();
    let start = block * BLOCK_OFFSETS;
    let range = keys::plans_from(shard, start)..keys::plans_from(shard, start + BLOCK_OFFSETS);
    for row in disk.keyspaces.plans.range(range) {
        let (key, value) = row.into_inner().map_err(read)?;
        let Some(remains) = remains(&value, start, wanted) else { continue };
        for (within, bytes) in packed::unpack(&value).filter(|(within, _)| wanted.contains(start + within)) {
            doomed.add(&codec::decode_plan(Position::new(shard, start + within), bytes)?);
        }
        doomed.plans.push((key.to_vec(), remains));
    }
    for row in disk.keyspaces.events.range(keys::event(shard, block, 0)..=keys::event(shard, block, u64::MAX)) {
        let (key, value) = row.into_inner().map_err(read)?;
        if let Some(remains) = remains(&value, start, wanted) {
            doomed.events.push((key.to_vec(), remains));
        }
    }
    let leaders =
        keys::group_of(Position::new(shard, start))..keys::group_of(Position::new(shard, start + BLOCK_OFFSETS));
    for row in disk.keyspaces.groups.range(leaders) {
        let key = row.key().map_err(read)?;
        if keys::read_leader(&key).is_some_and(|leader| wanted.contains(leader)) {
            doomed.groups.push(key.to_vec());
        }
    }
    Ok(doomed)
}

/// What remains of a packed row without what is wanted; `Some(None)`: nothing. `None`: it has nothing of that.
fn remains(value: &[u8], start: u64, wanted: &Offsets) -> Option<Option<Vec<u8>>> {
    let is_wanted = |within: u64| wanted.contains(start + within);
    if !packed::unpack(value).any(|(within, _)| is_wanted(within)) {
        return None;
    }
    let mut packer = Packer::with_capacity(value.len());
    for (within, bytes) in packed::unpack(value).filter(|(within, _)| !is_wanted(*within)) {
        packer.add(start + within, |row| row.extend_from_slice(bytes));
    }
    Some(Some(packer.done()).filter(|row| !row.is_empty()))
}

impl Doomed {
    fn add(&mut self, plan: &Plan) {
        self.count += 1;
        if let Some(user_id) = &plan.user_id {
            let notification = NotificationId(plan.position);
            let entry = HistoryEntry { accepted_at: plan.accepted_at, notification };
            self.history.push(keys::history(&plan.tenant, user_id, entry));
        }
    }

    fn is_empty(&self) -> bool {
        self.plans.is_empty() && self.events.is_empty() && self.groups.is_empty()
    }

    fn bytes(&self) -> usize {
        let rows = self.plans.iter().chain(&self.events);
        let rows: usize = rows.map(|(key, row)| key.len() + row.as_ref().map_or(0, Vec::len)).sum();
        rows + self.history.len() * size_of::<keys::HistoryKey>() + self.groups.iter().map(Vec::len).sum::<usize>()
    }

    fn put(self, rows: &mut Rows, keyspaces: &Keyspaces) {
        for (keyspace, changed) in [(&keyspaces.plans, self.plans), (&keyspaces.events, self.events)] {
            for (key, row) in changed {
                match row {
                    Some(row) => rows.insert(keyspace, key, row),
                    None => rows.remove(keyspace, key),
                }
            }
        }
        self.groups.into_iter().for_each(|key| rows.remove(&keyspaces.groups, key));
        self.history.into_iter().for_each(|key| rows.remove(&keyspaces.history, key));
    }
}
