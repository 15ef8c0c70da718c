//! What users were planned to get: rows that expire, one read a user.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::value::CqlValue;

use super::CqlStore;
use super::lifetimes::{self, seconds};
use super::lists;
use super::runner::{Row, blob};
use super::write;
use crate::codec;
use crate::domain::{Timestamp, UserKey};
use crate::store::received::user_hash;
use crate::store::{RECEIVED_MAX, ReceivedEntry, ReceivedRow, ReceivedRows, StoreError};

/// Users that one call reads at once: half of the places for reads, so that another call finds some.
const ABREAST: usize = 32;

#[async_trait]
impl ReceivedRows for CqlStore {
    async fn received(&self, users: &[UserKey]) -> Result<Vec<Vec<ReceivedEntry>>, StoreError> {
        stream::iter(users.to_vec())
            .map(|user| async move {
                let values = [blob(user_hash(&user)), CqlValue::Int(RECEIVED_MAX as i32)];
                let statement = &self.statements.received;
                let rows = self.runner.rows::<(i64, i64, Bytes)>("read what a user got", statement, &values).await?;
                let entry = |(shard, offset, body): (i64, i64, Bytes)| {
                    Ok(codec::decode_received(lists::position(shard, offset)?, &body)?)
                };
                rows.into_iter().map(entry).collect()
            })
            .buffered(ABREAST)
            .try_collect()
            .await
    }
}

/// Those of a user together.
pub(super) fn rows(received: &[ReceivedRow], now: Timestamp) -> Vec<Row> {
    let mut rows: Vec<Row> = received.iter().map(|received| row(received, now)).collect();
    rows.sort_by_key(|row| row.partition);
    rows
}

fn row(received: &ReceivedRow, now: Timestamp) -> Row {
    let hash = user_hash(&received.user);
    let mut values = vec![blob(hash)];
    values.extend(write::place(received.entry.position));
    values.push(blob(codec::encode_received(&received.entry)));
    values.push(CqlValue::Int(seconds(lifetimes::of_received(received, now))));
    Row { partition: u128::from_be_bytes(hash), values }
}
