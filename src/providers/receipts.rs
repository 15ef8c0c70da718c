//! What providers tell later of what became of a message: the port between their formats and the outcomes.

use async_trait::async_trait;
use axum::http::HeaderMap;
use bytes::Bytes;

use crate::domain::{TaskId, Timestamp};

/// What a provider posted, untouched: signatures are over the bytes as they came.
#[derive(Debug)]
pub struct ReceiptPost {
    /// The address that was called, as the outside knows it: `http.public_url`, path and query.
    pub url: String,
    /// Behind the `?`; empty: there was none.
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub now: Timestamp,
}

/// What a provider said of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Our own id, which every adapter gives along with the message; `None`: the message is not ours.
    pub task: Option<TaskId>,
    pub provider_message_id: Option<Box<str>>,
    pub kind: ReceiptKind,
    /// When it happened, by the provider's clock.
    pub at: Timestamp,
    /// The provider's code, for people; never an address.
    pub reason: Option<Box<str>>,
    /// What the provider knows this one thing by, wherever it says so: posted again it is the same, and of two opens each has its own.
    /// `None`: they are told apart by their time.
    pub event_id: Option<Box<str>>,
    /// It says that a program did it and no person, as a mail scanner opens what it checks.
    pub by_machine: bool,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptKind {
    /// On its way: nothing that is not known.
    Progress,
    Delivered,
    /// It did not arrive. `is_gone`: the address takes nothing any more; `is_opt_out`: somebody there asked for nothing more.
    Bounced {
        is_gone: bool,
        is_opt_out: bool,
    },
    /// Somebody reported it as unwanted.
    Complained,
    Unsubscribed,
    Opened,
    Clicked,
}

/// What was posted, read.
#[derive(Debug, Default)]
pub struct Receipts {
    pub receipts: Vec<Receipt>,
    /// What the provider wants to be answered, as JSON; `None`: an empty 200.
    pub answer: Option<&'static str>,
}

/// Why nothing of it counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not signed, signed by somebody else, or changed on the way.
    #[error("the signature is missing or wrong")]
    Forged,
    /// Signed long ago, or seen before.
    #[error("it is too old, or was received before")]
    Replayed,
    #[error("it cannot be read: {0}")]
    Unreadable(&'static str),
    /// What is needed to check it cannot be had at the moment: the provider is to try again.
    #[error("it cannot be checked at the moment: {0}")]
    Later(&'static str),
}

/// Reads what one provider posts.
#[async_trait]
pub trait ReceiptReader: Send + Sync {
    /// Checks the signature over the raw body, in constant time, and reads it. Of a message that is none of ours (another system
    /// shares the account) the receipt has no task.
    async fn read(&self, post: &ReceiptPost) -> Result<Receipts, ReceiptError>;
}
