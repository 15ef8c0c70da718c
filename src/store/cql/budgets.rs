//! What was drawn of budgets: a partition is a day of a category, and each process writes its own row over.

use async_trait::async_trait;
use scylla::value::CqlValue;

use super::CqlStore;
use super::runner::{Row, Traffic};
use crate::store::{BudgetKey, BudgetRows, StoreError};

#[async_trait]
impl BudgetRows for CqlStore {
    async fn draw(&self, key: &BudgetKey, process: u64, total: u64) -> Result<(), StoreError> {
        let mut values = partition(key).to_vec();
        let total = i64::try_from(total).unwrap_or(i64::MAX);
        values.extend([CqlValue::BigInt(process as i64), CqlValue::BigInt(total)]);
        let rows = vec![Row { partition: 0, values }];
        self.runner.write("draw of a budget", Traffic::Writes, &self.statements.draw, rows).await
    }

    async fn drawn(&self, key: &BudgetKey) -> Result<Vec<(u64, u64)>, StoreError> {
        let statement = &self.statements.drawn;
        let rows = self.runner.rows::<(i64, i64)>("read a budget", statement, &partition(key)).await?;
        Ok(rows.into_iter().map(|(process, total)| (process as u64, total as u64)).collect())
    }
}

fn partition(key: &BudgetKey) -> [CqlValue; 2] {
    [CqlValue::Text(key.category.to_string()), CqlValue::Int(i32::try_from(key.day).unwrap_or(i32::MAX))]
}
