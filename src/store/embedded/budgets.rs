//! What was drawn of budgets: a few rows a day, dropped by compactions when nobody asks for the day any more.

use std::time::Duration;

use async_trait::async_trait;

use super::{EmbeddedStore, keys};
use crate::disk::{Traffic, Urgency};
use crate::domain::Timestamp;
use crate::store::{BudgetKey, BudgetRows, StoreError};

const DAY: Duration = Duration::from_secs(86_400);
/// After its day: by then everything that could draw of it has been planned.
const KEPT: Duration = Duration::from_secs(8 * 86_400);

#[async_trait]
impl BudgetRows for EmbeddedStore {
    async fn draw(&self, key: &BudgetKey, process: u64, total: u64) -> Result<(), StoreError> {
        let expires_at = Timestamp(u64::from(key.day) * DAY.as_millis() as u64) + KEPT;
        let value = [expires_at.millis().to_be_bytes(), total.to_be_bytes()].concat();
        let (table, row) = (self.disk.keyspaces.budgets.clone(), keys::budget(key, process));
        let bytes = row.len() + value.len();
        let written =
            self.disk.write(Traffic::Intake, Urgency::Shared, bytes, move |rows| rows.insert(&table, row, value));
        Ok(written.await?)
    }

    async fn drawn(&self, key: &BudgetKey) -> Result<Vec<(u64, u64)>, StoreError> {
        let prefix = keys::budgets_of(key);
        self.beside(move |disk| {
            let mut drawn = Vec::new();
            for row in disk.keyspaces.budgets.prefix(&prefix) {
                let (row, value) = row.into_inner().map_err(|cause| disk.read_error(&cause))?;
                let number = |bytes: &[u8]| bytes.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
                let (Some(process), Some(total)) = (number(&row), number(&value)) else {
                    return Err(StoreError::Unreadable("what was drawn of a budget".to_owned()));
                };
                drawn.push((process, total));
            }
            Ok(drawn)
        })
        .await
    }
}
