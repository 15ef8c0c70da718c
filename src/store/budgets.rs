//! What may be spent in a day, shared by all nodes.

use async_trait::async_trait;

use super::StoreError;

/// A day of a category.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BudgetKey {
    pub category: Box<str>,
    /// Days since 1970-01-01, in UTC.
    pub day: u32,
}

/// What each process has drawn of a day's budget. A process writes its own row alone, so nobody writes over another's; whoever
/// writes first and then finds that all rows together are within the budget, has what it wrote: of several at once the last to
/// read sees all of them.
#[async_trait]
pub trait BudgetRows: Send + Sync + 'static {
    /// Writes how much `process` has drawn in all; durable on return, and seen by every read that begins later. The later of two
    /// writes counts.
    async fn draw(&self, key: &BudgetKey, process: u64, total: u64) -> Result<(), StoreError>;

    /// Each process with what it has drawn in all, in no order.
    async fn drawn(&self, key: &BudgetKey) -> Result<Vec<(u64, u64)>, StoreError>;
}
