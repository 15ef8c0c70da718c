//! What was saved of templates.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::TemplateChange;

/// Where a body stands within its tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TemplateBodyPlace {
    pub code: Box<str>,
    /// Its name: see [`crate::domain::TemplateAction::Saved`].
    pub body: u128,
}

/// The changes of the templates of all tenants, and what was written in each. They are made by hand, and few.
#[async_trait]
pub trait TemplateRows: Send + Sync + 'static {
    /// Every tenant that ever changed a template, in no order.
    async fn template_tenants(&self) -> Result<Vec<Box<str>>, StoreError>;

    /// Appends a change whose number is one above the last of its tenant; durable on return. `false`: another change has that number,
    /// and nothing was written. May be called again with the same change after an error, and answers as the first call would have.
    async fn append_template_change(&self, tenant: &str, change: &TemplateChange) -> Result<bool, StoreError>;

    /// Those of a tenant with numbers above `after`, in order, at most `limit`: fewer only if there are no more. What was appended
    /// before the call is there.
    async fn template_changes(&self, tenant: &str, after: u64, limit: usize)
    -> Result<Vec<TemplateChange>, StoreError>;

    /// Keeps a body under its name; durable on return. May be called again with the same body.
    async fn put_template_body(&self, tenant: &str, place: &TemplateBodyPlace, body: &[u8]) -> Result<(), StoreError>;

    /// In the order asked for; `None`: it is not there.
    async fn template_bodies(
        &self,
        tenant: &str,
        places: &[TemplateBodyPlace],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Forgets what was written.
    async fn delete_template_body(&self, tenant: &str, place: &TemplateBodyPlace) -> Result<(), StoreError>;
}
