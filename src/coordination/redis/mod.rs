//! Coordination among nodes, by one Redis (or what speaks its language).
//!
//! Everything in Redis may be lost at any moment: a question has a limit of milliseconds, and where no answer comes this node
//! decides alone, with a part of each rate and with the claims it knows of, until Redis is back (see `link`). Rules that
//! several nodes must not run at the same time are scripts, in `scripts/`; they go by the clock of Redis, which is one.
//!
//! A bucket lives in one key, but claims and presence name many keys in one script: a Redis *Cluster* is not served.

mod claims;
mod fanout;
mod leases;
mod link;
mod metrics;
mod presence;
mod reach;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use self::fanout::Fan;
use self::leases::Leases;
use self::link::{Keeper, Link};
use self::reach::Unreachable;
use super::memory::{InFlight, Present};
use super::{
    Claims, Coordination, Fanout, Lease, Presence, PresentNodes, Rate, Subscription, TokenLeases, UserKey, Wanted,
};
use crate::clock::SharedClock;
use crate::config;
use crate::domain::Position;

/// Coordination by Redis.
pub struct RedisCoordination {
    link: Arc<Link>,
    /// Held, and not used.
    _keeper: Keeper,
    leases: Leases,
    claims: InFlight,
    present: Present,
    fan: Arc<Fan>,
}

impl RedisCoordination {
    /// Connects. A Redis that cannot be reached or refuses is no error: the node begins alone, says so in the log and goes on
    /// trying. An address that cannot be understood is one.
    pub async fn start(settings: &config::Redis, clock: SharedClock) -> Result<Self, Unreachable> {
        Self::start_by(settings, clock, None).await
    }

    /// As [`RedisCoordination::start`], with the clock that scripts go by.
    async fn start_by(
        settings: &config::Redis,
        clock: SharedClock,
        script_clock: Option<SharedClock>,
    ) -> Result<Self, Unreachable> {
        let (link, keeper) = Link::start(settings, clock, script_clock).await?;
        Ok(Self {
            link,
            _keeper: keeper,
            leases: Leases::new(),
            claims: InFlight::default(),
            present: Present::default(),
            fan: Arc::default(),
        })
    }

    /// Tries what is needed once, for `fanfare check`: connecting, the version, writing a key.
    pub async fn check(settings: &config::Redis) -> Result<(), Unreachable> {
        reach::connect(&reach::client(settings)?, &settings.prefix, settings.timeout).await.map(drop)
    }
}

#[async_trait]
impl TokenLeases for RedisCoordination {
    async fn lease(&self, name: &str, rate: Rate, wanted: u32, critical: bool) -> Lease {
        self.leases.lease(&self.link, name, rate, wanted, critical).await
    }
}

#[async_trait]
impl Claims for RedisCoordination {
    async fn claim_for(&self, wanted: &[Wanted], held_for: Duration) -> Vec<Position> {
        claims::claim(&self.link, &self.claims, wanted, held_for).await
    }

    async fn release(&self, held: &[Wanted]) {
        claims::release(&self.link, &self.claims, held).await;
    }
}

#[async_trait]
impl Presence for RedisCoordination {
    async fn set_present(&self, node: &str, users: &[(UserKey, u32)]) {
        presence::set_present(&self.link, &self.present, node, users).await;
    }

    async fn present_on(&self, users: &[UserKey]) -> PresentNodes {
        presence::present_on(&self.link, &self.present, users).await
    }
}

#[async_trait]
impl Fanout for RedisCoordination {
    async fn publish(&self, node: &str, message: Bytes) -> bool {
        self.fan.publish(&self.link, node, message).await
    }

    async fn subscribe(&self, node: &str) -> Subscription {
        self.fan.subscribe(&self.link, node).await
    }
}

impl Coordination for RedisCoordination {
    fn set_live_nodes(&self, nodes: usize) {
        self.leases.set_live_nodes(nodes);
    }
}
