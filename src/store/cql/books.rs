//! The books and cursors of each shard: absolute numbers in one row, written over by the one process that has the shard.
//!
//! There is no counter and no transaction, so the totals are kept in memory and written after the rows they count. A write adds
//! its change to the total and then sees to it that a row with it is written: by itself, or by another whose row covers it. One that
//! fails takes its change back, so that a caller who writes again counts once. The same cell says which rows the totals have
//! ([`counted`](super::counted)); what was in flight when a process died is counted by the next ([`recount`](super::recount)).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::CqlStore;
use super::counted::{Taken, Writes};
use super::recount::Recount;
use super::runner::{Row, Traffic, blob, shard_key};
use crate::codec;
use crate::domain::{EventKind, ShardId, TASKS_MAX};
use crate::store::{BookDelta, Books, Counted, Cursors, StoreError, WriteBatch};

/// Of every shard that this process has written.
#[derive(Default)]
pub(super) struct ShardBooks {
    shards: Mutex<HashMap<ShardId, Arc<Shard>>>,
}

#[derive(Default)]
struct Shard {
    held: Mutex<Held>,
    /// Held while the row is written, so that an older total never follows a newer one.
    writing: tokio::sync::Mutex<()>,
    /// Whether the row was read. Read-locked by every write, so that a take-over begins when none is under way.
    is_loaded: Arc<RwLock<bool>>,
}

/// What the row says and will say.
#[derive(Default)]
struct Held {
    books: Books,
    /// Counts the changes of the books.
    version: u64,
    /// The version that the row has.
    written: u64,
    cursors: Cursors,
    writes: Writes,
}

/// What a row of `shard_state` holds.
pub(super) struct StateRow {
    books: Books,
    /// `None`: it was written before this was noted, and counts for complete.
    pub(super) counted: Option<Counted>,
    pub(super) cursors: Cursors,
    /// When its cells were written; zero where there are none.
    latest: i64,
}

impl ShardBooks {
    fn of(&self, shard: ShardId) -> Arc<Shard> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).entry(shard).or_default().clone()
    }
}

impl Shard {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self, row: &StateRow, recount: &Recount) {
        let mut held = self.held();
        held.books = row.books;
        held.books.merge(&recount.delta);
        held.cursors = row.cursors;
        held.writes = Writes::starting_at(row.newest().max(recount.seen));
        if !recount.delta.is_empty() {
            held.version += 1;
        }
    }
}

impl StateRow {
    /// Of the numbers and times that the row tells of.
    fn newest(&self) -> i64 {
        self.latest.max(self.counted.as_ref().map_or(0, |counted| counted.up_to))
    }
}

/// A shard that is being written, and not taken over meanwhile.
pub(super) struct Tenure {
    id: ShardId,
    shard: Arc<Shard>,
    _loaded: OwnedRwLockReadGuard<bool>,
}

impl Tenure {
    pub(super) fn id(&self) -> ShardId {
        self.id
    }
}

/// Rows of the log under their numbers; they count for failed when it is dropped before they were counted.
pub(super) struct Write<'a> {
    shard: &'a Shard,
    first: i64,
}

impl Write<'_> {
    pub(super) fn first(&self) -> i64 {
        self.first
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        self.shard.held().writes.fail(self.first);
    }
}

/// A change that is in the total; taken back when it is dropped before a row with it is written.
struct Change<'a> {
    shard: &'a Shard,
    delta: BookDelta,
    version: u64,
    taken: Option<Taken>,
}

impl<'a> Change<'a> {
    fn add(write: Write<'a>, delta: BookDelta) -> Self {
        let shard = write.shard;
        let mut held = shard.held();
        held.books.merge(&delta);
        held.version += 1;
        let taken = held.writes.count(write.first);
        Self { shard, delta, version: held.version, taken }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        let mut held = self.shard.held();
        if held.written < self.version {
            held.books.merge(&self.delta.negated());
            held.version += 1;
            if let Some(taken) = self.taken.take() {
                held.writes.take_back(taken);
            }
        }
    }
}

impl CqlStore {
    /// Begins to write a shard, whose row is read before the first time.
    pub(super) async fn tenure(&self, id: ShardId) -> Result<Tenure, StoreError> {
        let shard = self.books.of(id);
        loop {
            let loaded = shard.is_loaded.clone().read_owned().await;
            if *loaded {
                return Ok(Tenure { id, shard, _loaded: loaded });
            }
            drop(loaded);
            let mut loaded = shard.is_loaded.write().await;
            if !*loaded {
                let row = self.state_row(id).await?;
                self.numbers.raise(row.newest());
                shard.load(&row, &Recount::default());
                *loaded = true;
            }
        }
    }

    /// Reads the row anew, when nothing is under way any more, and counts what it does not have.
    pub(super) async fn read_and_recount(&self, id: ShardId, end: u64) -> Result<(), StoreError> {
        let shard = self.books.of(id);
        let mut loaded = shard.is_loaded.write().await;
        *loaded = false;
        let row = self.state_row(id).await?;
        let recount = self.recount(id, &row, end).await?;
        // Another node wrote them by its own clock, which may be ahead: what comes now must win, and have higher numbers.
        self.numbers.raise(row.newest().max(recount.seen));
        shard.load(&row, &recount);
        if !recount.delta.is_empty() {
            tracing::info!(shard = %id, "counted what was written and not counted before the shard was taken over");
            self.write_books(id, &shard).await?;
        }
        *loaded = true;
        Ok(())
    }

    /// Gives numbers to the rows of a batch.
    pub(super) async fn begin<'a>(
        &self,
        tenure: &'a Tenure,
        rows: usize,
        batch: &WriteBatch,
    ) -> Result<Write<'a>, StoreError> {
        let (write, is_to_be_noted) = {
            let mut held = tenure.shard.held();
            let blocks = behind_the_cursor(batch, &held.cursors);
            // A task that waits for a far time is cancelled while nobody has it in hand: no timer that is due leads to it.
            let is_cancellation = batch.events.iter().any(|event| event.kind == EventKind::Cancelled);
            let is_to_be_noted = is_cancellation && !blocks.is_empty();
            let first = held.writes.begin(&self.numbers, rows, blocks, is_to_be_noted);
            (Write { shard: &tenure.shard, first }, is_to_be_noted)
        };
        if is_to_be_noted {
            let _turn = tenure.shard.writing.lock().await;
            self.write_books(tenure.id, &tenure.shard).await?;
        }
        Ok(write)
    }

    /// Brings a batch, whose rows are written, into the books.
    pub(super) async fn count(&self, tenure: &Tenure, write: Write<'_>, batch: &WriteBatch) -> Result<(), StoreError> {
        let shard = &tenure.shard;
        if batch.books.is_empty() {
            // What was sent and is not counted yet will be: by a batch that says it again, or by the next owner.
            if !batch.events.iter().any(|event| event.kind == EventKind::Sent) {
                drop(shard.held().writes.count(write.first));
            }
            return Ok(());
        }
        let change = Change::add(write, batch.books);
        // Whoever had its turn meanwhile may have written this change along.
        let _turn = shard.writing.lock().await;
        if shard.held().written >= change.version {
            return Ok(());
        }
        self.write_books(tenure.id, shard).await
    }

    /// Writes the row as it is to be; to be called by who has its turn.
    async fn write_books(&self, id: ShardId, shard: &Shard) -> Result<(), StoreError> {
        let (cell, version) = {
            let held = shard.held();
            (codec::encode_counted_books(&held.books, &held.writes.counted(self.numbers.process())), held.version)
        };
        let row = vec![Row { partition: 0, values: vec![shard_key(id), blob(cell)] }];
        self.runner.write("write the books", Traffic::of(id), &self.statements.write_books, row).await?;
        shard.held().written = version;
        Ok(())
    }

    /// Moves the cursors, forward only.
    pub(super) async fn advance(&self, tenure: &Tenure, to: Cursors) -> Result<(), StoreError> {
        let (id, shard) = (tenure.id, &tenure.shard);
        let _turn = shard.writing.lock().await;
        let before = shard.held().cursors;
        let cursors = furthest(before, to);
        if cursors == before {
            return Ok(());
        }
        let row = vec![shard_key(id), blob(codec::encode_cursors(&cursors))];
        let row = vec![Row { partition: 0, values: row }];
        self.runner.write("write the cursors", Traffic::of(id), &self.statements.write_cursors, row).await?;
        shard.held().cursors = cursors;
        Ok(())
    }

    /// The row as it is, whoever wrote it.
    async fn state_row(&self, shard: ShardId) -> Result<StateRow, StoreError> {
        type Cells = (Option<Bytes>, Option<i64>, Option<Bytes>, Option<i64>);
        let key = [shard_key(shard)];
        let mut rows = self.runner.rows::<Cells>("read the books", &self.statements.shard_state, &key).await?;
        let (books, books_at, cursors, cursors_at) = rows.pop().unwrap_or_default();
        let (books, counted) = match books {
            Some(cell) => codec::decode_counted_books(&cell)?,
            // Whoever wrote first died before its books.
            None => (Books::default(), Some(Counted { up_to: 0, process: 0, but: Vec::new() })),
        };
        Ok(StateRow {
            books,
            counted,
            cursors: cursors.map_or_else(|| Ok(Cursors::default()), |bytes| codec::decode_cursors(&bytes))?,
            latest: books_at.max(cursors_at).unwrap_or(0),
        })
    }

    pub(super) async fn books_row(&self, shard: ShardId) -> Result<Books, StoreError> {
        Ok(self.state_row(shard).await?.books)
    }

    pub(super) async fn cursors_row(&self, shard: ShardId) -> Result<Cursors, StoreError> {
        Ok(self.state_row(shard).await?.cursors)
    }
}

/// Blocks below the task cursor that a batch changes.
fn behind_the_cursor(batch: &WriteBatch, cursors: &Cursors) -> Vec<u64> {
    if batch.books.is_empty() {
        return Vec::new();
    }
    let events = batch.events.iter().filter(|event| usize::from(event.task.ordinal) < TASKS_MAX);
    let mut blocks: Vec<u64> = events.map(|event| event.task.position.block()).collect();
    blocks.retain(|block| *block < cursors.task_block);
    blocks.sort_unstable();
    blocks.dedup();
    blocks
}

fn furthest(one: Cursors, other: Cursors) -> Cursors {
    Cursors { task_block: one.task_block.max(other.task_block), timer_bucket: one.timer_bucket.max(other.timer_bucket) }
}

#[cfg(test)]
mod tests {
    use super::super::numbers::Numbers;
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::{Source, Timestamp};
    use crate::store::BookColumn;

    fn add(shard: &Shard) -> Change<'_> {
        let numbers = Numbers::new(ManualClock::starting_at(Timestamp(1))).expect("random");
        let first = shard.held().writes.begin(&numbers, 1, Vec::new(), false);
        Change::add(Write { shard, first }, one())
    }

    fn one() -> BookDelta {
        let mut delta = BookDelta::default();
        delta.add(Source::Http, BookColumn::In, 1);
        delta
    }

    fn count(shard: &Shard) -> i64 {
        shard.held().books.get(Source::Http, BookColumn::In)
    }

    #[test]
    fn a_change_that_was_not_written_is_taken_back_and_counted_once_when_it_comes_again() {
        let shard = Shard::default();
        drop(add(&shard));
        assert_eq!(count(&shard), 0);
        let change = add(&shard);
        let version = shard.held().version;
        shard.held().written = version;
        drop(change);
        assert_eq!(count(&shard), 1);
    }

    #[test]
    fn a_change_that_another_wrote_along_stays() {
        let shard = Shard::default();
        let first = add(&shard);
        let second = add(&shard);
        shard.held().written = second.version;
        drop(first);
        drop(second);
        assert_eq!(count(&shard), 2);
    }

    #[test]
    fn taking_a_change_back_makes_the_row_be_written_again_by_the_next() {
        let shard = Shard::default();
        drop(add(&shard));
        let next = add(&shard);
        assert!(next.version > shard.held().written);
        assert_eq!(count(&shard), 1);
    }
}
