//! The books and cursors of each shard: absolute numbers in one row, written over by the one process that has the shard.
//!
//! There is no counter and no transaction, so the totals are kept in memory and written after the rows they count. A write adds
//! its change to the total and then sees to it that a row with it is written: by itself, or by another whose row covers it. One that
//! fails takes its change back, so that a caller who writes again counts once. After a crash the row may lack the writes in flight.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::CqlStore;
use super::runner::{Row, Traffic, blob, shard_key};
use crate::codec;
use crate::domain::ShardId;
use crate::store::{BookDelta, Books, Cursors, StoreError};

/// Of every shard that this process has written.
#[derive(Default)]
pub(super) struct ShardBooks {
    shards: Mutex<HashMap<ShardId, Arc<Shard>>>,
}

#[derive(Default)]
struct Shard {
    held: Mutex<Held>,
    /// Held while the row is written, so that an older total never follows a newer one.
    writing: tokio::sync::Mutex<Writing>,
}

/// What the row says and will say.
#[derive(Default, Clone, Copy)]
struct Held {
    books: Books,
    /// Counts the changes of the books.
    version: u64,
    /// The version that the row has.
    written: u64,
    cursors: Cursors,
}

#[derive(Default)]
struct Writing {
    is_loaded: bool,
}

/// What a row of `shard_state` holds.
struct StateRow {
    books: Books,
    cursors: Cursors,
    /// When its cells were written; zero where there are none.
    latest: i64,
}

impl ShardBooks {
    pub(super) fn forget(&self, shard: ShardId) {
        self.shards().remove(&shard);
    }

    fn of(&self, shard: ShardId) -> Arc<Shard> {
        self.shards().entry(shard).or_default().clone()
    }

    fn shards(&self) -> MutexGuard<'_, HashMap<ShardId, Arc<Shard>>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A change that is in the total; taken back when it is dropped before a row with it is written.
struct Change<'a> {
    shard: &'a Shard,
    delta: BookDelta,
    version: u64,
}

impl<'a> Change<'a> {
    fn add(shard: &'a Shard, delta: BookDelta) -> Self {
        let mut held = shard.held();
        held.books.merge(&delta);
        held.version += 1;
        Self { shard, delta, version: held.version }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        let mut held = self.shard.held();
        if held.written < self.version {
            held.books.merge(&self.delta.negated());
            held.version += 1;
        }
    }
}

impl CqlStore {
    pub(super) async fn add_to_books(&self, shard: ShardId, delta: BookDelta) -> Result<(), StoreError> {
        let held = self.books.of(shard);
        self.load(shard, &mut *held.writing.lock().await, &held).await?;
        let change = Change::add(&held, delta);
        // Whoever had its turn meanwhile may have written this change along.
        let _turn = held.writing.lock().await;
        let now = *held.held();
        if now.written >= change.version {
            return Ok(());
        }
        let row = vec![shard_key(shard), blob(codec::encode_books(&now.books))];
        let row = vec![Row { partition: 0, values: row }];
        self.runner.write("write the books", Traffic::of(shard), &self.statements.write_books, row).await?;
        held.held().written = now.version;
        Ok(())
    }

    /// Moves the cursors, forward only.
    pub(super) async fn advance(&self, shard: ShardId, to: Cursors) -> Result<(), StoreError> {
        let held = self.books.of(shard);
        let mut turn = held.writing.lock().await;
        self.load(shard, &mut turn, &held).await?;
        let before = held.held().cursors;
        let cursors = furthest(before, to);
        if cursors == before {
            return Ok(());
        }
        let row = vec![shard_key(shard), blob(codec::encode_cursors(&cursors))];
        let row = vec![Row { partition: 0, values: row }];
        self.runner.write("write the cursors", Traffic::of(shard), &self.statements.write_cursors, row).await?;
        held.held().cursors = cursors;
        Ok(())
    }

    async fn load(&self, shard: ShardId, turn: &mut Writing, held: &Shard) -> Result<(), StoreError> {
        if turn.is_loaded {
            return Ok(());
        }
        let row = self.state_row(shard).await?;
        // Another node wrote it by its own clock, which may be ahead: what comes now must win.
        self.numbers.raise(row.latest);
        let mut held = held.held();
        held.books = row.books;
        held.cursors = row.cursors;
        turn.is_loaded = true;
        Ok(())
    }

    /// The row as it is, whoever wrote it.
    async fn state_row(&self, shard: ShardId) -> Result<StateRow, StoreError> {
        type Cells = (Option<Bytes>, Option<i64>, Option<Bytes>, Option<i64>);
        let key = [shard_key(shard)];
        let mut rows = self.runner.rows::<Cells>("read the books", &self.statements.shard_state, &key).await?;
        let (books, books_at, cursors, cursors_at) = rows.pop().unwrap_or_default();
        Ok(StateRow {
            books: books.map_or_else(|| Ok(Books::default()), |bytes| codec::decode_books(&bytes))?,
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

fn furthest(one: Cursors, other: Cursors) -> Cursors {
    Cursors { task_block: one.task_block.max(other.task_block), timer_bucket: one.timer_bucket.max(other.timer_bucket) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Source;
    use crate::store::BookColumn;

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
        drop(Change::add(&shard, one()));
        assert_eq!(count(&shard), 0);
        let change = Change::add(&shard, one());
        let version = shard.held().version;
        shard.held().written = version;
        drop(change);
        assert_eq!(count(&shard), 1);
    }

    #[test]
    fn a_change_that_another_wrote_along_stays() {
        let shard = Shard::default();
        let first = Change::add(&shard, one());
        let second = Change::add(&shard, one());
        shard.held().written = second.version;
        drop(first);
        drop(second);
        assert_eq!(count(&shard), 2);
    }

    #[test]
    fn taking_a_change_back_makes_the_row_be_written_again_by_the_next() {
        let shard = Shard::default();
        drop(Change::add(&shard, one()));
        let next = Change::add(&shard, one());
        assert!(next.version > shard.held().written);
        assert_eq!(count(&shard), 1);
    }
}
