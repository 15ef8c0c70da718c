//! Runs statements: so many at once and no more, each with a limit of time, and again where that is safe.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};
use scylla::response::query_result::QueryResult;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlValue;
use tokio::sync::Semaphore;

use crate::clock::SharedClock;
use crate::domain::{Priority, ShardId};
use crate::store::StoreError;

/// How often a statement is sent before its operation fails.
const TRIES: u32 = 3;
/// Before the second try; four times as long before the third. Long enough for the driver to notice a dead connection.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// What batches of one partition are filled to: above, both databases warn of them.
const BATCH_BYTES: usize = 32 << 10;
const BATCH_ROWS: usize = 128;

/// Statements of one operation under way at once.
const ABREAST: usize = 32;

/// For whom a statement is: each kind has places of its own, so that none waits behind another's.
#[derive(Debug, Clone, Copy)]
pub(super) enum Traffic {
    /// Writes of shards that are not critical.
    Writes,
    /// Writes of critical shards.
    Critical,
    Reads,
}

impl Traffic {
    pub(super) fn of(shard: ShardId) -> Self {
        if shard.lane == Priority::Critical { Traffic::Critical } else { Traffic::Writes }
    }
}

/// A row to be written: the values of its statement, and what tells its partition from others of the table.
pub(super) struct Row {
    pub(super) partition: u128,
    pub(super) values: Vec<CqlValue>,
}

impl Row {
    fn bytes(&self) -> usize {
        let bytes = |value: &CqlValue| match value {
            CqlValue::Blob(bytes) => bytes.len(),
            CqlValue::Text(text) => text.len(),
            _ => 8,
        };
        // Each value has its length before it, and each row its statement's id.
        32 + self.values.iter().map(|value| 4 + bytes(value)).sum::<usize>()
    }
}

pub(super) struct Runner {
    session: Session,
    clock: SharedClock,
    writes: Semaphore,
    critical: Semaphore,
    reads: Semaphore,
}

/// One thing to send.
enum Work<'a> {
    One(&'a PreparedStatement, &'a [CqlValue]),
    Page(&'a PreparedStatement, &'a [CqlValue], PagingState),
    Batch(&'a Batch, &'a [Vec<CqlValue>]),
}

impl Runner {
    pub(super) fn new(session: Session, clock: SharedClock) -> Self {
        // Bounds what stands in the memory of this process and in the queues of the database. A statement takes some
        // milliseconds, so these carry more than ten thousand a second.
        Self { session, clock, writes: Semaphore::new(64), critical: Semaphore::new(16), reads: Semaphore::new(64) }
    }

    /// Writes all rows, those of a partition together; several batches at once, in no order.
    pub(super) async fn write(
        &self,
        operation: &'static str,
        traffic: Traffic,
        statement: &PreparedStatement,
        rows: Vec<Row>,
    ) -> Result<(), StoreError> {
        stream::iter(batches(rows))
            .map(|rows| self.write_batch(operation, traffic, statement, rows))
            .buffer_unordered(ABREAST)
            .try_collect()
            .await
    }

    async fn write_batch(
        &self,
        operation: &'static str,
        traffic: Traffic,
        statement: &PreparedStatement,
        rows: Vec<Vec<CqlValue>>,
    ) -> Result<(), StoreError> {
        if let [row] = &rows[..] {
            return self.tried(operation, traffic, &Work::One(statement, row)).await.map(drop);
        }
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_is_idempotent(true);
        for _ in &rows {
            batch.append_statement(statement.clone());
        }
        self.tried(operation, traffic, &Work::Batch(&batch, &rows)).await.map(drop)
    }

    /// All rows of the answer, page by page.
    pub(super) async fn rows<R>(
        &self,
        operation: &'static str,
        statement: &PreparedStatement,
        values: &[CqlValue],
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'row> DeserializeRow<'row, 'row>,
    {
        self.rows_until(operation, statement, values, |_| false).await
    }

    /// Rows of the answer, page by page until there are enough.
    pub(super) async fn rows_until<R>(
        &self,
        operation: &'static str,
        statement: &PreparedStatement,
        values: &[CqlValue],
        is_enough: impl Fn(&[R]) -> bool + Send,
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'row> DeserializeRow<'row, 'row>,
    {
        let mut found = Vec::new();
        let mut state = PagingState::start();
        loop {
            let work = Work::Page(statement, values, state);
            let (result, next) = self.tried(operation, Traffic::Reads, &work).await?;
            let unreadable = |error: &dyn std::error::Error| StoreError::Unreadable(format!("{operation}: {error}"));
            let page = result.into_rows_result().map_err(|error| unreadable(&error))?;
            for row in page.rows::<R>().map_err(|error| unreadable(&error))? {
                found.push(row.map_err(|error| unreadable(&error))?);
            }
            match next {
                PagingStateResponse::HasMorePages { state: more } if !is_enough(&found) => state = more,
                _ => return Ok(found),
            }
        }
    }

    /// Sends a statement that must not be sent twice.
    pub(super) async fn once(
        &self,
        operation: &'static str,
        statement: &PreparedStatement,
        values: &[CqlValue],
    ) -> Result<QueryResult, StoreError> {
        let work = Work::One(statement, values);
        let sent = self.send(Traffic::Critical, &work).await;
        sent.map(|(result, _)| result).map_err(|error| failed(operation, &error))
    }

    async fn tried(
        &self,
        operation: &'static str,
        traffic: Traffic,
        work: &Work<'_>,
    ) -> Result<(QueryResult, PagingStateResponse), StoreError> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..TRIES {
            match self.send(traffic, work).await {
                Ok(result) => return Ok(result),
                Err(error) if is_final(&error) => return Err(failed(operation, &error)),
                Err(error) => tracing::debug!(operation, %error, "a statement is sent again"),
            }
            self.clock.sleep(pause).await;
            pause *= 4;
        }
        self.send(traffic, work).await.map_err(|error| failed(operation, &error))
    }

    async fn send(
        &self,
        traffic: Traffic,
        work: &Work<'_>,
    ) -> Result<(QueryResult, PagingStateResponse), ExecutionError> {
        let places = match traffic {
            Traffic::Writes => &self.writes,
            Traffic::Critical => &self.critical,
            Traffic::Reads => &self.reads,
        };
        let _place = places.acquire().await.expect("nobody closes it");
        let all = |result| (result, PagingStateResponse::NoMorePages);
        let answer = match work {
            Work::One(statement, values) => self.session.execute_unpaged(statement, *values).await.map(all),
            Work::Page(statement, values, state) => {
                self.session.execute_single_page(statement, *values, state.clone()).await
            }
            Work::Batch(batch, rows) => self.session.batch(batch, *rows).await.map(all),
        }?;
        answer.0.warnings().for_each(warned);
        Ok(answer)
    }
}

/// Of tombstones and large batches: there must be none, and in a test there is none.
fn warned(warning: &str) {
    #[cfg(test)]
    panic!("the database warns of a statement: {warning}");
    #[cfg(not(test))]
    tracing::warn!(warning, "the database warns of a statement");
}

/// Whether the same statement would fail the same way again.
fn is_final(error: &ExecutionError) -> bool {
    match error {
        ExecutionError::BadQuery(_) | ExecutionError::PrepareError(_) => true,
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, _)) => {
            matches!(error, DbError::SyntaxError | DbError::Invalid | DbError::Unauthorized | DbError::ConfigError)
        }
        _ => false,
    }
}

fn failed(operation: &'static str, error: &ExecutionError) -> StoreError {
    StoreError::Failed(format!("the database did not {operation}: {error}"))
}

/// Rows of one partition that follow each other, in batches that are small enough.
fn batches(rows: Vec<Row>) -> Vec<Vec<Vec<CqlValue>>> {
    let mut batches: Vec<Vec<Vec<CqlValue>>> = Vec::new();
    let mut open: Option<(u128, usize)> = None;
    for row in rows {
        let bytes = row.bytes();
        match (&mut open, batches.last_mut()) {
            (Some((partition, filled)), Some(batch))
                if *partition == row.partition && *filled + bytes <= BATCH_BYTES && batch.len() < BATCH_ROWS =>
            {
                *filled += bytes;
                batch.push(row.values);
            }
            _ => {
                open = Some((row.partition, bytes));
                batches.push(vec![row.values]);
            }
        }
    }
    batches
}

/// The values of a statement.
pub(super) fn blob(bytes: impl Into<Vec<u8>>) -> CqlValue {
    CqlValue::Blob(bytes.into())
}

/// A number that has no sign and stays below 2^63: offsets, blocks, milliseconds.
pub(super) fn big(number: u64) -> CqlValue {
    CqlValue::BigInt(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(super) fn small(number: u8) -> CqlValue {
    CqlValue::SmallInt(i16::from(number))
}

/// A shard as part of a partition key, where only equality counts.
pub(super) fn shard_key(shard: ShardId) -> CqlValue {
    CqlValue::Int(shard.to_u32() as i32)
}

/// A shard in a clustering key, where the order counts.
pub(super) fn shard_order(shard: ShardId) -> CqlValue {
    big(u64::from(shard.to_u32()))
}

/// A body as it is read.
pub(super) type Body = (Bytes,);

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(rows: &[(u128, usize)]) -> Vec<usize> {
        let rows =
            rows.iter().map(|(partition, bytes)| Row { partition: *partition, values: vec![blob(vec![0; *bytes])] });
        batches(rows.collect()).iter().map(Vec::len).collect()
    }

    #[test]
    fn a_batch_is_of_one_partition_and_at_most_thirty_two_kilobytes() {
        assert_eq!(sizes(&[(1, 10), (1, 10), (2, 10), (1, 10)]), [2, 1, 1]);
        assert_eq!(sizes(&[(1, 20_000), (1, 12_000), (1, 12_000)]), [2, 1]);
        assert_eq!(sizes(&[(1, 100_000), (1, 10), (1, 10)]), [1, 2], "what is too large goes alone");
        assert_eq!(sizes(&[(1, 1); 300]), [128, 128, 44]);
        assert!(sizes(&[]).is_empty());
    }
}
