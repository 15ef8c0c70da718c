//! What stands under the leaders of groups.

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::value::CqlValue;

use super::CqlStore;
use super::lifetimes::{self, seconds};
use super::runner::{Body, Row, big, blob, shard_key};
use crate::codec;
use crate::domain::{Position, Timestamp};
use crate::store::{GroupEntry, GroupRow, Groups, StoreError};

/// Leaders that one call reads at once.
const ABREAST: usize = 32;

#[async_trait]
impl Groups for CqlStore {
    async fn groups(&self, leaders: &[Position]) -> Result<Vec<Vec<GroupEntry>>, StoreError> {
        stream::iter(leaders.to_vec())
            .map(|leader| async move {
                let values = [shard_key(leader.shard), big(leader.offset)];
                let rows = self.runner.rows::<Body>("read groups", &self.statements.group, &values).await?;
                let entries = rows.iter().map(|(body,)| codec::decode_group_entry(body));
                Ok(entries.collect::<Result<Vec<_>, _>>()?)
            })
            .buffered(ABREAST)
            .try_collect()
            .await
    }
}

pub(super) fn rows(rows: &[GroupRow], now: Timestamp) -> Vec<Row> {
    let row = |row: &GroupRow| Row {
        partition: u128::from(row.leader.offset),
        values: vec![
            shard_key(row.leader.shard),
            big(row.leader.offset),
            big(row.place()),
            blob(codec::encode_group_entry(&row.entry)),
            CqlValue::Int(seconds(lifetimes::of_group(row.until, now))),
        ],
    };
    rows.iter().map(row).collect()
}
