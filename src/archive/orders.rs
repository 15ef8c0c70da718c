//! Orders: asked for, looked at, and forgotten after some time.

use std::time::Duration;

use super::{Archive, rows};
use crate::codec;
use crate::domain::{ArchiveId, ArchiveOrder, Timestamp};
use crate::store::{KeyedRow, StoreError};

/// How long orders are kept, as the runs of schedules.
const AGE_MAX: Duration = Duration::from_secs(90 * 86_400);
/// Orders that are taken away at once.
const FORGET_MAX: usize = 1000;
/// Open orders that are looked at: more than a minute of schedules makes.
const OPEN_MAX: usize = 10_000;

impl Archive {
    /// Asks for it; durable on return. One that is there already is left as it is.
    pub async fn order(&self, order: &ArchiveOrder) -> Result<(), StoreError> {
        let store = &self.parts.store;
        if self.get(&[(order.made_at, order.id)]).await?.pop().flatten().is_none() {
            // In this order: an open one that is not there would be passed over.
            store.put_keyed(vec![rows::order_row(order)]).await?;
            store.put_keyed(vec![rows::open_row(order)]).await?;
        }
        self.wake.wake();
        Ok(())
    }

    /// What became of orders, by when they were made and their ids, in the order asked for.
    pub async fn get(&self, names: &[(Timestamp, ArchiveId)]) -> Result<Vec<Option<ArchiveOrder>>, StoreError> {
        let places: Vec<_> =
            names.iter().map(|(made_at, id)| (rows::orders(), rows::order_name(*made_at, *id))).collect();
        let bodies = self.parts.store.keyed(&places).await?.into_iter();
        bodies
            .zip(names)
            .map(|(body, (_, id))| Ok(body.map(|body| codec::decode_archive_order(*id, &body)).transpose()?))
            .collect()
    }

    /// The first order that is not over; with `id` that one.
    pub(super) async fn open(&self, id: Option<ArchiveId>) -> Result<Option<ArchiveOrder>, StoreError> {
        let store = &self.parts.store;
        for (name, _) in store.keyed_between(&rows::open_orders(), None, None, OPEN_MAX).await? {
            let body = store.keyed(&[(rows::orders(), name.clone())]).await?.pop().flatten();
            let order = match (body, rows::read_order_name(&name)) {
                (Some(body), Some(id)) => Some(codec::decode_archive_order(id, &body)?),
                _ => None,
            };
            match order.filter(|order| !order.state.is_over()) {
                Some(order) if id.is_none_or(|id| order.id == id) => return Ok(Some(order)),
                Some(_) => {}
                // Its end was written, and then its process ended.
                None => store.put_keyed(vec![KeyedRow { part: rows::open_orders(), name, body: None }]).await?,
            }
        }
        Ok(None)
    }

    /// Writes down how far an order is; over, it leaves the open ones.
    pub(super) async fn save(&self, order: &ArchiveOrder) -> Result<(), StoreError> {
        self.parts.store.put_keyed(vec![rows::order_row(order)]).await?;
        if order.state.is_over() {
            self.parts.store.put_keyed(vec![rows::open_row(order)]).await?;
        }
        Ok(())
    }

    /// Takes old orders away.
    pub(super) async fn forget(&self) -> Result<(), StoreError> {
        let end = rows::order_name(self.parts.clock.now() - AGE_MAX, ArchiveId(0));
        let old = self.parts.store.keyed_between(&rows::orders(), None, Some(&end), FORGET_MAX).await?;
        if old.is_empty() {
            return Ok(());
        }
        let gone = old.into_iter().map(|(name, _)| KeyedRow { part: rows::orders(), name, body: None });
        self.parts.store.put_keyed(gone.collect()).await
    }
}
