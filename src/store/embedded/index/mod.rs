//! Who holds a claim, and which notifications a user had: what is said of a plan in other places than its own.
//!
//! A row for each would cost as much as all the rest of a notification together: they are small, many, and their keys are
//! scattered. So they are gathered in memory and written in large sorted tables, past journal and write buffer, by a thread of
//! their own. Nothing is lost by that, since the plans say the same: with each group a row names the plans that are not
//! indexed yet, and goes once they are. Opening reads those plans again. Reads look into the memory first.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | unindexed | number of the group | keys of rows of plans |
//!
//! Whoever writes a plan is answered when its index is in memory already.

mod builder;
mod pending;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustc_hash::FxHashSet;

use super::keys;
use crate::codec;
use crate::disk::{Disk, DiskError, Keyspaces, Rider, Rows};
use crate::domain::{BLOCK_OFFSETS, ClaimKey, Position, ShardId};
use crate::store::packed;
use crate::store::{ClaimRow, StoreError};
pub(super) use pending::Entries;
use pending::Pending;

pub(super) struct Index {
    shared: Arc<Shared>,
    /// Used by the writing thread only.
    staged: Mutex<Staged>,
    builder: Mutex<Option<JoinHandle<()>>>,
}

/// Between the writing thread, readers, and the builder.
struct Shared {
    keyspaces: Keyspaces,
    state: Mutex<State>,
    /// Something is to be built, was built, or all is to end.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Grows with each group.
    pending: Pending,
    /// What the builder writes at the moment.
    building: Option<Arc<Pending>>,
    /// Groups up to this one are in the tables.
    built: u64,
    /// Why nothing can be built any more.
    failed: Option<DiskError>,
    is_closing: bool,
}

#[derive(Default)]
struct Staged {
    entries: Entries,
    plans: Vec<u8>,
    /// The number of the last group, and how far the rows that name them are removed.
    group: u64,
    removed: u64,
}

/// Entries that are written together. More is less work in compactions, and about 100 bytes of memory each, twice.
const BUILD_ENTRIES: usize = 128 << 10;
/// Where writing waits for the builder.
const PENDING_MAX: usize = 4 * BUILD_ENTRIES;
/// Rows removed with one group, so that this never holds the others up.
const REMOVE_MAX: u64 = 1024;

impl Index {
    pub(super) fn open(disk: &Disk) -> Result<Arc<Self>, StoreError> {
        let mut staged = Staged::default();
        let mut pending = Pending::default();
        let read = |cause: fjall::Error| StoreError::from(disk.read_error(&cause));
        for row in disk.keyspaces.unindexed.iter() {
            let (key, plans) = row.into_inner().map_err(read)?;
            let group = key.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            for key in plans.chunks_exact(keys::PLANS_LENGTH) {
                if let Some(row) = disk.keyspaces.plans.get(key).map_err(read)? {
                    pending.add(entries_of(key, &row)?);
                }
            }
            if staged.group == 0 {
                staged.removed = group.saturating_sub(1);
            }
            staged.group = group;
            pending.last_group = group;
        }
        let shared = Arc::new(Shared {
            keyspaces: disk.keyspaces.clone(),
            state: Mutex::new(State { built: staged.removed, pending, ..State::default() }),
            changed: Condvar::new(),
        });
        let builder = builder::start(shared.clone(), disk.dir().to_owned());
        let builder = builder.map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Arc::new(Self { shared, staged: Mutex::new(staged), builder: Mutex::new(Some(builder)) }))
    }

    /// Adds what is to be found of plans that are being written, with the keys of their rows. On the writing thread only.
    pub(super) fn stage<'a>(&self, plans: impl Iterator<Item = &'a [u8]>, entries: Entries) {
        if entries.is_empty() {
            return;
        }
        let mut staged = self.staged();
        plans.for_each(|key| staged.plans.extend_from_slice(key));
        staged.entries.append(entries);
    }

    /// The claims that are not in the table yet, in the order asked for.
    pub(super) fn claims(&self, keys: &[ClaimKey]) -> Vec<Option<ClaimRow>> {
        let state = self.shared.state();
        let building = state.building.as_deref();
        let find = |key| state.pending.claim(key).or_else(|| building.and_then(|pending| pending.claim(key)));
        keys.iter().map(find).collect()
    }

    /// The keys of history under a prefix that are not in the table yet, in no order.
    pub(super) fn history(&self, prefix: &[u8]) -> Vec<keys::HistoryKey> {
        let chunks = {
            let state = self.shared.state();
            let mut chunks = state.pending.history();
            chunks.extend(state.building.iter().flat_map(|pending| pending.history()));
            chunks
        };
        chunks.iter().flat_map(|chunk| chunk.iter()).filter(|key| key.starts_with(prefix)).copied().collect()
    }

    /// Waits until none of these keys of history is only in memory. They must be durable already, so that no more of them come.
    pub(super) fn build_all_of(&self, keys: &[keys::HistoryKey]) -> Result<(), DiskError> {
        let keys: FxHashSet<keys::HistoryKey> = keys.iter().copied().collect();
        let mut state = self.shared.state();
        loop {
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            let is_building = state.building.as_ref().is_some_and(|building| building.has_any(&keys));
            if !is_building && !state.pending.has_any(&keys) {
                return Ok(());
            }
            if state.build(1) {
                self.shared.changed.notify_all();
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn staged(&self) -> MutexGuard<'_, Staged> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has everything built, for tests.
    #[cfg(test)]
    pub(super) fn build_all(&self) {
        let mut state = self.shared.state();
        while !state.pending.is_empty() || state.building.is_some() {
            state.build(1);
            self.shared.changed.notify_all();
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Gives the builder what is pending, if that is enough and it has nothing else; whether it did.
    fn build(&mut self, entries_min: usize) -> bool {
        let is_due = self.building.is_none() && self.pending.len() >= entries_min;
        if is_due {
            self.building = Some(Arc::new(std::mem::take(&mut self.pending)));
        }
        is_due
    }
}

impl Rider for Index {
    fn stage(&self, rows: &mut Rows) -> Result<(), DiskError> {
        let built = {
            let state = self.shared.state();
            match &state.failed {
                Some(error) => return Err(error.clone()),
                None => state.built,
            }
        };
        let unindexed = &self.shared.keyspaces.unindexed;
        let mut staged = self.staged();
        let removable = built.min(staged.removed + REMOVE_MAX);
        for group in staged.removed + 1..=removable {
            rows.remove(unindexed, group.to_be_bytes());
        }
        staged.removed = staged.removed.max(removable);
        if !staged.plans.is_empty() {
            staged.group += 1;
            rows.insert(unindexed, staged.group.to_be_bytes(), std::mem::take(&mut staged.plans));
        }
        Ok(())
    }

    fn settle(&self, durable: bool) {
        let mut staged = self.staged();
        let entries = std::mem::take(&mut staged.entries);
        if !durable || entries.is_empty() {
            return;
        }
        let mut state = self.shared.state();
        state.pending.add(entries);
        state.pending.last_group = staged.group;
        if state.build(BUILD_ENTRIES) {
            self.shared.changed.notify_all();
        }
        // The builder is several times as fast as this thread; should a slow disk hold it up, everything waits for that disk.
        while state.pending.len() >= PENDING_MAX && state.failed.is_none() {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn close(&self, _: &mut Rows) {}
}

impl Drop for Index {
    fn drop(&mut self) {
        self.shared.state().is_closing = true;
        self.shared.changed.notify_all();
        if let Some(builder) = self.builder.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // What it panicked with is in the log already, and what it did not build is built after the next opening.
            let _ = builder.join();
        }
    }
}

/// What is to be found of the plans of one row.
fn entries_of(key: &[u8], row: &[u8]) -> Result<Entries, StoreError> {
    let mut entries = Entries::default();
    let shard = key.first_chunk::<4>().and_then(|bytes| ShardId::from_u32(u32::from_be_bytes(*bytes)));
    let (Some(shard), Some((first, _))) = (shard, keys::read_plans(key)) else { return Ok(entries) };
    for (within, bytes) in packed::unpack(row) {
        let offset = first / BLOCK_OFFSETS * BLOCK_OFFSETS + within;
        entries.add(&codec::decode_plan(Position::new(shard, offset), bytes)?);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::disk::testing;
    use crate::domain::Timestamp;
    use crate::store::HistoryEntry;

    /// So many entries, of which the table gets one.
    fn entries(count: usize) -> Entries {
        let shard = ShardId::from_u32(0).expect("a shard");
        let notification = crate::domain::NotificationId(Position::new(shard, 1));
        let entry = HistoryEntry { accepted_at: Timestamp(1), notification };
        Entries { history: vec![keys::history("acme", "alice", entry); count], claims: Vec::new() }
    }

    #[test]
    fn writing_that_waited_for_a_build_goes_on_after_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let index = Index::open(&testing::disk(dir.path())).expect("the index opens");
        let (told, done) = channel();
        std::thread::spawn(move || {
            // The second comes while the first is being built, and is as much as may wait.
            for count in [2 * PENDING_MAX, PENDING_MAX, 1] {
                index.stage(std::iter::empty(), entries(count));
                index.settle(true);
            }
            told.send(()).expect("the test waits");
        });
        done.recv_timeout(Duration::from_secs(60)).expect("the writing thread goes on");
    }
}
