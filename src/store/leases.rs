//! Who may plan and send for a shard, where several nodes share a store.
//!
//! A lease says whose a shard is; a node's beat says that the node is alive, for all its shards at once. Leases change
//! hands by compare-and-set; beats are plain writes, each of one node's own row.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::StoreError;
use crate::domain::ShardId;

/// One run of one process: a node that is started again has another name, so that it never takes its former self for itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(pub Arc<str>);

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose a shard is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    pub owner: NodeName,
    /// Counts the changes of hands; it only grows.
    pub epoch: u64,
    /// The owner has let go: whoever comes first may have it.
    pub released: bool,
}

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    pub node: NodeName,
    /// Grows with each sign.
    pub count: u64,
    /// Where other nodes reach its API, as `host:port`; empty: nowhere.
    pub address: Box<str>,
}

#[async_trait]
pub trait LeaseRows: Send + Sync + 'static {
    /// The row as nodes last agreed on it; `None`: nobody ever had the shard. Sees every [`LeaseRows::replace_lease`] that
    /// returned before.
    async fn lease(&self, shard: ShardId) -> Result<Option<LeaseRow>, StoreError>;

    /// Puts `next` in the place of `seen`, if that is still the row; `false`: it is not. After an error either may be true.
    async fn replace_lease(&self, shard: ShardId, seen: Option<&LeaseRow>, next: &LeaseRow)
    -> Result<bool, StoreError>;

    /// Writes the node's row over its last one. It is forgotten an hour later.
    async fn beat(&self, beat: &Beat) -> Result<(), StoreError>;

    /// Every node's latest sign.
    async fn beats(&self) -> Result<Vec<Beat>, StoreError>;
}
