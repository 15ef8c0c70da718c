//! Rows under a key of two parts: those with a date in a table that they leave with age, the others in one where they stay.

use std::ops::Bound::{Excluded, Unbounded};

use async_trait::async_trait;
use bytes::Bytes;

use super::{EmbeddedStore, keys};
use crate::disk::Disk;
use crate::store::{KeyedKind, KeyedPart, KeyedRow, KeyedRows, NamedRow, StoreError};

#[async_trait]
impl KeyedRows for EmbeddedStore {
    async fn put_keyed(&self, rows: Vec<KeyedRow>) -> Result<(), StoreError> {
        let keyspaces = &self.disk.keyspaces;
        let row = |row: KeyedRow| (keys::keyed(&row.part, &row.name), row.body.map(Vec::from));
        let (dated, others): (Vec<KeyedRow>, Vec<KeyedRow>) =
            rows.into_iter().partition(|row| row.part.kind.is_dated());
        if !others.is_empty() {
            self.put(&keyspaces.keyed, others.into_iter().map(row).collect()).await?;
        }
        if !dated.is_empty() {
            self.put(&keyspaces.dated, dated.into_iter().map(row).collect()).await?;
        }
        Ok(())
    }

    async fn keyed(&self, names: &[(KeyedPart, Box<[u8]>)]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let keys: Vec<_> = names.iter().map(|(part, name)| (part.kind, keys::keyed(part, name))).collect();
        self.beside(move |disk| {
            let bodies = keys.into_iter().map(|(kind, key)| {
                let row = table(disk, kind).get(key).map_err(|cause| disk.read_error(&cause))?;
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
        let kind = part.kind;
        self.beside(move |disk| {
            let rows = table(disk, kind).range::<Vec<u8>, _>((Excluded(start), end)).take(limit);
            let rows = rows.map(|row| {
                let (key, body) = row.into_inner().map_err(|cause| disk.read_error(&cause))?;
                Ok((key[length..].into(), Bytes::copy_from_slice(&body)))
            });
            rows.collect()
        })
        .await
    }
}

fn table(disk: &Disk, kind: KeyedKind) -> &fjall::Keyspace {
    if kind.is_dated() { &disk.keyspaces.dated } else { &disk.keyspaces.keyed }
}
