//! Rows under a key of two parts, in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;

use super::{FakeStore, lock};
use crate::store::{KeyedPart, KeyedRow, KeyedRows, NamedRow, StoreError};

#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<BTreeMap<KeyedPart, Rows>>);

/// Of one part.
type Rows = BTreeMap<Box<[u8]>, Bytes>;

#[async_trait]
impl KeyedRows for FakeStore {
    async fn put_keyed(&self, rows: Vec<KeyedRow>) -> Result<(), StoreError> {
        self.answers().await?;
        let mut parts = lock(&self.keyed.0);
        for KeyedRow { part, name, body } in rows {
            let rows = parts.entry(part).or_default();
            match body {
                Some(body) => rows.insert(name, body),
                None => rows.remove(&name),
            };
        }
        Ok(())
    }

    async fn keyed(&self, names: &[(KeyedPart, Box<[u8]>)]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.answers().await?;
        let parts = lock(&self.keyed.0);
        Ok(names.iter().map(|(part, name)| parts.get(part)?.get(name).cloned()).collect())
    }

    async fn keyed_between(
        &self,
        part: &KeyedPart,
        after: Option<&[u8]>,
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<NamedRow>, StoreError> {
        self.answers().await?;
        let parts = lock(&self.keyed.0);
        let Some(rows) = parts.get(part) else { return Ok(Vec::new()) };
        let is_between =
            |name: &[u8]| after.is_none_or(|after| name > after) && before.is_none_or(|before| name < before);
        let rows = rows.iter().filter(|(name, _)| is_between(name)).take(limit);
        Ok(rows.map(|(name, body)| (name.clone(), body.clone())).collect())
    }
}

mod conformance {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SharedClock;
    use crate::store::SharedStore;
    use crate::store::conformance_keyed::keyed_conformance;
    use crate::store::conformance_users::UserBackend;

    /// Opening it again finds what was there.
    #[derive(Default)]
    struct InMemory(Arc<FakeStore>);

    #[async_trait]
    impl UserBackend for InMemory {
        async fn open(&self) -> SharedStore {
            self.0.clone()
        }

        async fn open_at(&self, _: SharedClock) -> SharedStore {
            self.0.clone()
        }
    }

    keyed_conformance!(InMemory::default());
}
