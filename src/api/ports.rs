//! What the API needs of others besides the engine itself.

use async_trait::async_trait;

use crate::domain::{
    Address, Attachment, Channel, Decision, NotificationId, NotificationRequest, Parts, SkipReason, TaskId, Timestamp,
};
use crate::store::StoreError;

/// Plans a request without sending or storing anything.
#[async_trait]
pub trait DryRun: Send + Sync + 'static {
    async fn dry_run(&self, request: NotificationRequest) -> Result<DryRunReport, StoreError>;
}

/// What would become of a request.
#[derive(Debug, Clone)]
pub struct DryRunReport {
    pub decisions: Vec<Decision>,
    /// Nothing would be sent, and why.
    pub skipped: Option<SkipReason>,
    /// Nothing would be sent of it alone: the message of this one, which waits, would say it as well.
    pub merged_into: Option<NotificationId>,
    pub tasks: Vec<DryRunTask>,
}

/// One message that would be sent.
#[derive(Debug, Clone)]
pub struct DryRunTask {
    pub channel: Channel,
    pub address: Address,
    /// Not before this; `None`: at once.
    pub due: Option<Timestamp>,
    /// The message as it would read, or why it cannot be made.
    pub rendered: Result<Parts, String>,
}

/// What the sandbox providers keep.
pub trait SandboxMessages: Send + Sync + 'static {
    /// The messages of a tenant, newest first, those before the one with the number `before`, at most `limit`.
    fn messages(&self, tenant: &str, before: Option<u64>, limit: usize) -> Vec<SandboxMessage>;

    /// Forgets the messages of a tenant.
    fn clear(&self, tenant: &str);
}

/// A message that a sandbox provider took.
#[derive(Debug, Clone)]
pub struct SandboxMessage {
    /// Larger the later it came.
    pub number: u64,
    pub task: TaskId,
    pub attempt: u8,
    pub provider: Box<str>,
    pub channel: Channel,
    pub address: Address,
    pub parts: Parts,
    pub attachments: Vec<Attachment>,
    pub unsubscribe: Option<Box<str>>,
    pub collapse_key: Option<Box<str>>,
    /// JSON text of an object.
    pub data: Box<str>,
    /// JSON text of an object.
    pub metadata: Box<str>,
    pub at: Timestamp,
}
