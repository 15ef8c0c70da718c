//! Leases, by compare-and-set, and the nodes' signs of life.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use scylla::response::query_result::QueryResult;
use scylla::value::{CqlValue, Row as AnyRow};

use super::CqlStore;
use super::runner::{Row, Traffic, big, shard_key};
use crate::domain::{ShardId, Timestamp};
use crate::store::{Beat, LeaseRow, LeaseRows, NodeName, StoreError};

/// How long a sign of life is remembered.
const REMEMBERED: Duration = Duration::from_secs(3600);
const HOUR_MILLIS: u64 = 3_600_000;

#[async_trait]
impl LeaseRows for CqlStore {
    async fn lease(&self, shard: ShardId) -> Result<Option<LeaseRow>, StoreError> {
        type Cells = (String, i64, bool);
        let rows = self.runner.rows::<Cells>("read a lease", &self.statements.lease, &[shard_key(shard)]).await?;
        Ok(rows.into_iter().next().map(|(owner, epoch, released)| LeaseRow {
            owner: NodeName(owner.into()),
            epoch: epoch as u64,
            released,
        }))
    }

    async fn replace_lease(
        &self,
        shard: ShardId,
        seen: Option<&LeaseRow>,
        next: &LeaseRow,
    ) -> Result<bool, StoreError> {
        let [owner, epoch, released] = cells(next);
        let (statement, values) = match seen {
            None => (&self.statements.first_lease, vec![shard_key(shard), owner, epoch, released]),
            Some(seen) => {
                let mut values = vec![owner, epoch, released, shard_key(shard)];
                values.extend(cells(seen));
                (&self.statements.next_lease, values)
            }
        };
        let result = self.runner.once("replace a lease", statement, &values).await?;
        is_applied(result, "replace a lease")
    }

    async fn beat(&self, beat: &Beat) -> Result<(), StoreError> {
        let now = self.clock.now();
        let values = vec![
            CqlValue::Int(hour(now)),
            CqlValue::Text(beat.node.to_string()),
            big(beat.count),
            big(now.millis()),
            CqlValue::Text(beat.address.to_string()),
        ];
        let rows = vec![Row { partition: 0, values }];
        self.runner.write("write a sign of life", Traffic::Critical, &self.statements.beat, rows).await
    }

    async fn beats(&self) -> Result<Vec<Beat>, StoreError> {
        let now = self.clock.now();
        // The hour after as well: another node's clock may be ahead.
        let (before, this, after) =
            tokio::try_join!(self.beats_of(hour(now) - 1), self.beats_of(hour(now)), self.beats_of(hour(now) + 1))?;
        let mut latest: BTreeMap<NodeName, Beat> = BTreeMap::new();
        for (beat, at) in before.into_iter().chain(this).chain(after) {
            let is_later = latest.get(&beat.node).is_none_or(|known| known.count < beat.count);
            if now.since(at) < REMEMBERED && is_later {
                latest.insert(beat.node.clone(), beat);
            }
        }
        Ok(latest.into_values().collect())
    }
}

impl CqlStore {
    async fn beats_of(&self, hour: i32) -> Result<Vec<(Beat, Timestamp)>, StoreError> {
        type Cells = (String, i64, i64, String);
        let rows =
            self.runner.rows::<Cells>("read signs of life", &self.statements.beats, &[CqlValue::Int(hour)]).await?;
        let beats = rows.into_iter().map(|(node, count, at, address)| {
            let node = NodeName(Arc::from(node));
            (Beat { node, count: count as u64, address: address.into() }, Timestamp(at as u64))
        });
        Ok(beats.collect())
    }
}

/// What a compare-and-set answered.
pub(super) fn is_applied(result: QueryResult, operation: &str) -> Result<bool, StoreError> {
    let unreadable = |error: &dyn std::error::Error| StoreError::Unreadable(format!("{operation}: {error}"));
    let rows = result.into_rows_result().map_err(|error| unreadable(&error))?;
    // The two databases send different columns after the first.
    let row: AnyRow = rows.first_row().map_err(|error| unreadable(&error))?;
    match row.columns.first() {
        Some(Some(CqlValue::Boolean(is_applied))) => Ok(*is_applied),
        _ => Err(StoreError::Unreadable("the answer to a compare-and-set".to_owned())),
    }
}

fn hour(at: Timestamp) -> i32 {
    (at.millis() / HOUR_MILLIS) as i32
}

fn cells(row: &LeaseRow) -> [CqlValue; 3] {
    [CqlValue::Text(row.owner.to_string()), big(row.epoch), CqlValue::Boolean(row.released)]
}
