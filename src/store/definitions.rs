//! What people defined by hand: event types and rules.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{Definition, DefinitionKind};

/// The definitions of all tenants. They are made by hand and few: a node reads all of a tenant's when one of them changed.
#[async_trait]
pub trait DefinitionRows: Send + Sync + 'static {
    /// Every tenant that ever defined something, with a number that is another one after each change, in no order.
    async fn definition_tenants(&self) -> Result<Vec<(Box<str>, u64)>, StoreError>;

    /// All of a tenant's, deleted ones with them, in the order of kind and name.
    async fn definitions(&self, tenant: &str) -> Result<Vec<Definition>, StoreError>;

    async fn definition(
        &self,
        tenant: &str,
        kind: DefinitionKind,
        name: &str,
    ) -> Result<Option<Definition>, StoreError>;

    /// Puts it in the place of the one whose version is one below; durable on return. `false`: another version stands there (or none,
    /// and it is not the first), and nothing was written. May be called again with the same definition after an error, and answers as
    /// the first call would have. When it returns, [`DefinitionRows::definition_tenants`] gives another number for the tenant.
    async fn put_definition(&self, tenant: &str, definition: &Definition) -> Result<bool, StoreError>;
}
