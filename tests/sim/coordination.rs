//! Coordination as one node reaches it: claims with an owner and an end, all of which may be forgotten at once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fanfare::clock::ManualClock;
use fanfare::coordination::{
    Claims, Coordination, Fanout, Lease, LocalCoordination, Presence, PresentNodes, Rate, Subscription, TokenLeases,
    UserKey, Wanted,
};
use fanfare::domain::{Position, Timestamp};

use super::host::Host;
use super::variant::Variant;
use super::world::World;

pub struct SimCoordination {
    world: Arc<World>,
    host: Arc<Host>,
    /// Nobody is connected in this world.
    realtime: LocalCoordination,
}

impl SimCoordination {
    pub fn new(world: Arc<World>, host: Arc<Host>) -> Arc<Self> {
        let realtime = LocalCoordination::new(ManualClock::starting_at(Timestamp(0)));
        Arc::new(Self { world, host, realtime })
    }

    async fn go_there(&self) {
        self.host.pass().await;
        let wait = self.world.rng().millis(0, 2);
        tokio::time::sleep(wait).await;
    }

    fn claim_one(&self, wanted: &Wanted, held_for: Duration) -> Position {
        let now = self.world.now();
        let mut claims = self.world.claims.lock().expect("one thread");
        match claims.get(&wanted.key) {
            Some((holder, until)) if now < *until => {
                // Who only knows that the key is there takes himself for somebody else.
                let is_taken_for_another = self.world.variant == Variant::Setnx && *holder == wanted.owner;
                let other = Position { offset: holder.offset + (1 << 40), ..*holder };
                if is_taken_for_another { other } else { *holder }
            }
            _ => {
                claims.insert(wanted.key, (wanted.owner, now + held_for));
                wanted.owner
            }
        }
    }
}

#[async_trait]
impl TokenLeases for SimCoordination {
    async fn lease(&self, _: &str, _: Rate, wanted: u32, _: bool) -> Lease {
        self.go_there().await;
        Lease { granted: wanted, retry_after: Duration::ZERO }
    }
}

impl Coordination for SimCoordination {}

#[async_trait]
impl Presence for SimCoordination {
    async fn set_present(&self, node: &str, users: &[(UserKey, u32)]) {
        self.realtime.set_present(node, users).await;
    }

    async fn present_on(&self, users: &[UserKey]) -> PresentNodes {
        self.realtime.present_on(users).await
    }
}

#[async_trait]
impl Fanout for SimCoordination {
    async fn publish(&self, node: &str, message: Bytes) -> bool {
        self.realtime.publish(node, message).await
    }

    async fn subscribe(&self, node: &str) -> Subscription {
        self.realtime.subscribe(node).await
    }
}

#[async_trait]
impl Claims for SimCoordination {
    async fn claim_for(&self, wanted: &[Wanted], held_for: Duration) -> Vec<Position> {
        self.go_there().await;
        let is_unreachable = self.world.fails(0.02);
        let claim = |wanted: &Wanted| if is_unreachable { wanted.owner } else { self.claim_one(wanted, held_for) };
        let holders = wanted.iter().map(claim).collect();
        self.host.pass().await;
        holders
    }

    async fn release(&self, held: &[Wanted]) {
        self.go_there().await;
        if !self.world.fails(0.02) {
            let mut claims = self.world.claims.lock().expect("one thread");
            for held in held {
                if claims.get(&held.key).is_some_and(|(owner, _)| *owner == held.owner) {
                    claims.remove(&held.key);
                }
            }
        }
        self.host.pass().await;
    }
}
