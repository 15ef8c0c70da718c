//! The providers port: hands one rendered message to whoever delivers it, and says in seven words what came of it.
//!
//! In: a [`Message`]. Out: an [`Outcome`]; an adapter never retries, never waits for a rate, and never logs an address.
//! The caller bounds each call in time and number.

mod registry;
mod outcome;
mod receipts;
mod mark;
mod needs;
mod options;
mod wire;
mod guard;
mod names;
mod tls;
mod http;
mod http2;
mod jwt;
mod attachments;

mod mail_headers;
mod smtp;
mod mail_api;
mod sendgrid;
mod mailgun;
mod aws;
mod ses;
mod sns_message;

mod sns_sms;
mod twilio;
mod aliyun;

mod push;
mod fcm;
mod apns;
mod web_push;

mod chat;
mod webhook;
mod sandbox;
mod inbox;

#[cfg(test)]
mod testing;

use std::sync::Arc;

use async_trait::async_trait;

pub use attachments::{Attachments, Fetched};
pub use guard::{Endpoint, EndpointError, Guard};
pub use inbox::InboxDoor;
pub use receipts::{Receipt, ReceiptError, ReceiptKind, ReceiptPost, ReceiptReader, Receipts};
pub use registry::{BuildContext, ProviderConfigError, build_all, serves};
pub use sandbox::{Kept, Sandbox};
pub use smtp::{DkimIdentity, MailIdentity, mail_identity};

use crate::domain::{Address, Channel, Message, Outcome, Timestamp};

/// One configured way to deliver.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// The name from the configuration; a metric label.
    fn name(&self) -> &str;

    /// The channels it serves.
    fn channels(&self) -> &[Channel];

    /// Sends once. Dropping the future abandons the send: the caller then counts it as [`Outcome::Unknown`].
    async fn send(&self, message: &Message) -> Outcome;

    /// Whether it can deliver to an address of one of its channels: a push service knows its own platforms, a chat robot its own
    /// room.
    fn takes(&self, _: &Address) -> bool {
        true
    }

    /// What reads its receipts; `None`: it never tells what became of a message.
    fn receipts(&self) -> Option<&dyn ReceiptReader> {
        None
    }

    /// When its credentials end, where they say.
    fn credentials_end(&self) -> Option<Timestamp> {
        None
    }

    /// Reaches the provider without sending anything; the reason in one line if that fails.
    async fn check(&self) -> Result<(), String>;
}

/// A provider as it is handed around.
pub type SharedProvider = Arc<dyn Provider>;
