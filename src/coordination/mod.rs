//! The coordination port: what nodes agree on quickly and may forget: shares of a rate, who claimed what first, who is
//! connected where.
//!
//! Promise: its loss makes the engine slower or more careful, never wrong; what must be remembered stands in the store.

mod local;
mod memory;
mod realtime;
mod redis;

#[cfg(test)]
pub(crate) mod conformance;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use local::LocalCoordination;
pub use realtime::{Fanout, Heard, PRESENCE_TTL, Presence, PresentNodes, PresentOn, Subscription, UserKey};
pub use redis::RedisCoordination;

use crate::domain::{ClaimKey, Position};

/// A rate that all nodes share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    pub per_second: f64,
    /// How much may go at once after a pause; at least 1.
    pub burst: f64,
}

/// What a node was lent of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Tokens to spend now; at most what was asked for.
    pub granted: u32,
    /// If fewer were granted than asked for: when asking again may give more.
    pub retry_after: Duration,
}

#[async_trait]
pub trait TokenLeases: Send + Sync + 'static {
    /// Asks for up to `wanted` tokens of the bucket `name`. `critical` may use the share that is kept for it (a fifth of the
    /// rate) as well as the common one. No window gives all nodes together more than its rate and one burst; a bucket that
    /// nobody has used for a while has saved up one burst, and a new one may begin with less.
    async fn lease(&self, name: &str, rate: Rate, wanted: u32, critical: bool) -> Lease;
}

/// How long a claim is held that nobody lets go: its owner died before its row was durable. The same record is planned again
/// by another node, as the same owner, and still has it.
pub const CLAIM_HOLD: Duration = Duration::from_secs(60);

/// One claim that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub key: ClaimKey,
    pub owner: Position,
}

#[async_trait]
pub trait Claims: Send + Sync + 'static {
    /// Who holds each key, in the order asked for: the one who asks, if nobody else did before. A claim is held until it is
    /// released, which the owner does once its row is durable; whoever claims a key again as the same owner still has it.
    async fn claim(&self, wanted: &[Wanted]) -> Vec<Position> {
        self.claim_for(wanted, CLAIM_HOLD).await
    }

    /// The same, where nobody lets go because the owner died: then the keys are free again after this time. It is short for an owner
    /// that does not come back, which a process does not.
    async fn claim_for(&self, wanted: &[Wanted], held_for: Duration) -> Vec<Position>;

    async fn release(&self, held: &[Wanted]);
}

pub trait Coordination: TokenLeases + Claims + Presence + Fanout {
    /// How many nodes share the rates now, this one counted: by it a node that is cut off takes its part. At least 1, which it
    /// is until somebody says.
    fn set_live_nodes(&self, _nodes: usize) {}
}

/// Coordination as it is handed around.
pub type SharedCoordination = Arc<dyn Coordination>;
