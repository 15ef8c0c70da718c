//! Rows under a key of two parts. What is taken away is written over by an empty row that expires: reads pass over it, and nothing is
//! deleted.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::value::CqlValue;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::CqlStore;
use super::lifetimes;
use super::runner::{Body, Row, Traffic, blob, small};
use crate::domain::{DatedKept, Timestamp};
use crate::store::{KeyedPart, KeyedRow, KeyedRows, NamedRow, StoreError, read_newest_first};

/// Rows that one call reads by name at once: half of the places for reads, so that another call finds some.
const ABREAST: usize = 32;

/// How long what was taken away is written over, in seconds: longer than any write may be late.
const TAKEN_AWAY_SECONDS: i32 = 86_400;

#[async_trait]
impl KeyedRows for CqlStore {
    async fn put_keyed(&self, rows: Vec<KeyedRow>) -> Result<(), StoreError> {
        let now = self.clock.now();
        // Of each name once: two rows of one batch have one time, and of those the database takes the one with the larger bytes.
        let last: BTreeMap<(KeyedPart, Box<[u8]>), Option<Bytes>> =
            rows.into_iter().map(|row| ((row.part, row.name), row.body)).collect();
        let rows = last.into_iter().map(|((part, name), body)| {
            let partition = xxh3_128_with_seed(&part.key, part.kind as u64);
            let expiry = if body.is_some() { lifetime(&part, &name, now, self.kept()) } else { TAKEN_AWAY_SECONDS };
            let [kind, key] = part_key(&part);
            let body = blob(body.unwrap_or_default());
            Row { partition, values: vec![kind, key, blob(name), body, CqlValue::Int(expiry)] }
        });
        let rows = rows.collect();
        self.runner.write("write keyed rows", Traffic::Writes, &self.statements.put_keyed, rows).await
    }

    async fn keyed(&self, names: &[(KeyedPart, Box<[u8]>)]) -> Result<Vec<Option<Bytes>>, StoreError> {
        stream::iter(names.to_vec())
            .map(|(part, name)| async move {
                let [kind, key] = part_key(&part);
                let values = [kind, key, blob(name)];
                let row = self.runner.rows::<Body>("read a keyed row", &self.statements.keyed, &values).await?.pop();
                Ok(row.map(|(body,)| body).filter(|body| !body.is_empty()))
            })
            .buffered(ABREAST)
            .try_collect()
            .await
    }

    async fn keyed_between(
        &self,
        part: &KeyedPart,
        after: Option<&[u8]>,
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<NamedRow>, StoreError> {
        type Cells = (Bytes, Bytes);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let [kind, key] = part_key(part);
        let mut values = vec![kind, key, blob(after.unwrap_or_default())];
        let statement = match before {
            Some(before) => {
                values.push(blob(before));
                &self.statements.keyed_between
            }
            None => &self.statements.keyed_after,
        };
        let is_enough = |rows: &[Cells]| rows.iter().filter(|(_, body)| !body.is_empty()).count() >= limit;
        let rows = self.runner.rows_until::<Cells>("read keyed rows", statement, &values, is_enough).await?;
        let held = rows.into_iter().filter(|(_, body)| !body.is_empty());
        Ok(held.take(limit).map(|(name, body)| (Box::from(&name[..]), body)).collect())
    }
}

/// In seconds; 0: for ever.
fn lifetime(part: &KeyedPart, name: &[u8], now: Timestamp, kept: DatedKept) -> i32 {
    let at = read_newest_first(name);
    // One that has left already is written for a moment: a lifetime of 0 would be none.
    at.zip(part.kind.kept(kept)).map_or(0, |(at, kept)| lifetimes::seconds((at + kept).since(now)).max(1))
}

fn part_key(part: &KeyedPart) -> [CqlValue; 2] {
    [small(part.kind as u8), blob(&*part.key)]
}
