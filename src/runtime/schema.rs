//! The schema of a store that has one.

use std::sync::Arc;

use super::clock::SystemClock;
use crate::config::Config;
use crate::store::{self, StoreError};

/// The CQL of the schema, whichever store is configured.
pub fn print_schema(config: &Config) -> String {
    store::print_schema(&config.store.cql)
}

/// Applies the steps that are missing, and says which.
pub async fn apply_schema(config: &Config) -> Result<Vec<&'static str>, StoreError> {
    store::apply_schema(&config.store.cql, Arc::new(SystemClock)).await
}
