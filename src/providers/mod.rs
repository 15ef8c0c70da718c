//! The providers port: hands one rendered message to whoever delivers it, and says in seven words what came of it.
//!
//! In: a [`Message`]. Out: an [`Outcome`]; an adapter never retries, never waits for a rate, and never logs an address.
//! The caller bounds each call in time and number.

mod registry;
mod outcome;
mod guard;
mod names;
mod http;
mod webhook;
mod smtp;

mod sandbox;

use std::sync::Arc;

use async_trait::async_trait;

pub use guard::{Endpoint, EndpointError, Guard};
pub use registry::{BuildContext, ProviderConfigError, build_all};
pub use sandbox::{Kept, Sandbox};

use crate::domain::{Channel, Message, Outcome};

/// One configured way to deliver.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// The name from the configuration; a metric label.
    fn name(&self) -> &str;

    /// The channels it serves.
    fn channels(&self) -> &[Channel];

    /// Sends once. Dropping the future abandons the send: the caller then counts it as [`Outcome::Unknown`].
    async fn send(&self, message: &Message) -> Outcome;

    /// Reaches the provider without sending anything; the reason in one line if that fails.
    async fn check(&self) -> Result<(), String>;
}

/// A provider as it is handed around.
pub type SharedProvider = Arc<dyn Provider>;
