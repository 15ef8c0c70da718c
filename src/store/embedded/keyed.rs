//! Rows under a key of two parts, in one table.

use std::ops::Bound::{Excluded, Unbounded};

use async_trait::async_trait;
use bytes::Bytes;

use super::{EmbeddedStore, keys};
use crate::store::{KeyedPart, KeyedRow, KeyedRows, NamedRow, StoreError};

#[async_trait]
impl KeyedRows for EmbeddedStore {
    async fn put_keyed(&self, rows: Vec<KeyedRow>) -> Result<(), StoreError> {
        let rows = rows.into_iter().map(|row| (keys::keyed(&row.part, &row.name), row.body.map(Vec::from)));
        self.put(&self.disk.keyspaces.keyed, rows.collect()).await
    }

    async fn keyed(&self, names: &[(KeyedPart, Box<[u8]>)]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let keys: Vec<Vec<u8>> = names.iter().map(|(part, name)| keys::keyed(part, name)).collect();
        self.beside(move |disk| {
            let bodies = keys.into_iter().map(|key| {
                let row = disk.keyspaces.keyed.get(key).map_err(|cause| disk.read_error(&cause))?;
                Ok(row.map(|body| Bytes::copy_from_slice(&body)))
            });
            bodies.collect()
        })
        .await
    }

    async fn keyed_between(
        &self,
        part: &KeyedPart,
        after: Option<&[u8]>,
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<NamedRow>, StoreError> {
        // No name is empty: the start of the part is before all of them.
        let start = keys::keyed(part, after.unwrap_or_default());
        let length = start.len() - after.map_or(0, <[u8]>::len);
        let end = match before {
            Some(before) => Excluded(keys::keyed(part, before)),
            None => keys::after_part(part).map_or(Unbounded, Excluded),
        };
        if let Excluded(end) = &end
            && *end <= start
        {
            return Ok(Vec::new());
        }
        self.beside(move |disk| {
            let rows = disk.keyspaces.keyed.range::<Vec<u8>, _>((Excluded(start), end)).take(limit);
            let rows = rows.map(|row| {
                let (key, body) = row.into_inner().map_err(|cause| disk.read_error(&cause))?;
                Ok((key[length..].into(), Bytes::copy_from_slice(&body)))
            });
            rows.collect()
        })
        .await
    }
}
