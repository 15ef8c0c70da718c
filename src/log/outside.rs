//! Topics outside of the engine, for programs that read the log's own system with their own clients.
//!
//! In: records, in the order in which they are to stand. Out: the same, where other programs read them. Promise: what was written is
//! durable on return; after an error none, some or all of it stands there, and written again it stands there twice.

use async_trait::async_trait;
use bytes::Bytes;

/// A record for an outside topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutsideRecord {
    /// Records of one key keep their order.
    pub key: Bytes,
    pub body: Bytes,
    pub headers: Vec<(Box<str>, Bytes)>,
}

/// Why an outside topic was not made, or took nothing.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum OutsideError {
    /// It cannot be made as it is: its name cannot be, or this engine may not. The sentence says what to do.
    #[error("{0}")]
    Refused(String),
    /// Not at the moment: try again.
    #[error("{0}")]
    Failed(String),
}

/// Where topics of programs are written to as well.
#[async_trait]
pub trait OutsideTopics: Send + Sync + 'static {
    /// What a tenant's topic is called outside: never as another tenant's.
    ///
    /// # Errors
    ///
    /// [`OutsideError::Refused`] where there can be no such name.
    fn name(&self, tenant: &str, topic: &str) -> Result<String, OutsideError>;

    /// Makes the topic, if it is not there.
    async fn create(&self, topic: &str) -> Result<(), OutsideError>;

    /// Writes records, in their order; all are durable on return. The topic is made if it is not there any more.
    async fn write(&self, topic: &str, records: Vec<OutsideRecord>) -> Result<(), OutsideError>;
}
