//! What was stopped by hand.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::Brake;

/// The brakes of all tenants. They are few: every node reads all of them every second.
#[async_trait]
pub trait BrakeRows: Send + Sync + 'static {
    /// All that were ever put on, in order, with those that were taken off.
    async fn brakes(&self) -> Result<Vec<Brake>, StoreError>;

    /// Puts it in the place of the one with the same scope and effect. Durable on return. What was answered before is written over,
    /// whatever the clocks of two processes say; of two writes at once, one counts.
    async fn write_brake(&self, brake: &Brake) -> Result<(), StoreError>;
}
