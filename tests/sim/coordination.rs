//! Coordination as one node reaches it: claims with an owner and an end, all of which may be forgotten at once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fanfare::coordination::{Claims, Lease, Rate, TokenLeases, Wanted};
use fanfare::domain::Position;

use super::host::Host;
use super::variant::Variant;
use super::world::World;

pub struct SimCoordination {
    world: Arc<World>,
    host: Arc<Host>,
}

/// How long a claim is remembered.
const CLAIM_TTL: Duration = Duration::from_secs(60);

impl SimCoordination {
    pub fn new(world: Arc<World>, host: Arc<Host>) -> Arc<Self> {
        Arc::new(Self { world, host })
    }

    async fn go_there(&self) {
        self.host.pass().await;
        let wait = self.world.rng().millis(0, 2);
        tokio::time::sleep(wait).await;
    }

    fn claim_one(&self, wanted: &Wanted) -> Position {
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
                claims.insert(wanted.key, (wanted.owner, now + CLAIM_TTL));
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

    async fn give_back(&self, _: &str, _: Rate, _: u32, _: bool) {}
}

#[async_trait]
impl Claims for SimCoordination {
    async fn claim(&self, wanted: &[Wanted]) -> Vec<Position> {
        self.go_there().await;
        let is_unreachable = self.world.fails(0.02);
        let claim = |wanted: &Wanted| if is_unreachable { wanted.owner } else { self.claim_one(wanted) };
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
