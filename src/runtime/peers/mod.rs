//! What nodes ask of each other: whoever has a shard cancels and replays its tasks, and knows what is in hand.
//!
//! A node says in its beats where it is reached and which secret opens its door; who can read the database may ask. The
//! secret is made anew at each start. It is plain HTTP: nodes share a network that is trusted as the database's is.

mod door;
mod topics;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Client, RequestBuilder};
use ring::rand::{SecureRandom, SystemRandom};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};

pub(super) use door::{Door, door};

use crate::api::{Cancelled, OperationError, Replayed};
use crate::domain::NotificationId;
use crate::insight::Accounting;
use crate::outcomes::Early;
use crate::ownership::LeaseKeeper;
use crate::store::DeadLetterKey;
use wire::{AccountingWire, CancelWire, CancelledWire, EarlyWire, ReplayWire, ReplayedWire};

/// The longest that another node may take: a cancellation waits for a send under way.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(20);
/// The longest that it may take for its books, which it reads at once: what a node that stands still costs whoever asks.
const BOOKS_WAIT_MAX: Duration = Duration::from_secs(5);
/// The longest until it is reached.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(2);

/// Questions to other nodes at once, an eighth of `http.max_in_flight`: those that wait for a node that stands still must not
/// take all places of requests, which come to the same door.
const ASKING_MAX: usize = 256;

/// The other nodes.
pub(super) struct Peers {
    http: Client,
    keeper: Arc<LeaseKeeper>,
    asking: Semaphore,
    /// The same for readers of topics, who wait for messages at other nodes.
    waiting: Semaphore,
}

impl Peers {
    pub(super) fn new(keeper: Arc<LeaseKeeper>) -> anyhow::Result<Self> {
        // Never used: what nodes ask of each other is plain HTTP. The client wants to know all the same.
        let tls = rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty());
        let http = Client::builder()
            .timeout(ANSWER_WAIT_MAX)
            .connect_timeout(CONNECT_WAIT_MAX)
            .no_proxy()
            .use_preconfigured_tls(tls.with_no_client_auth())
            .build()?;
        Ok(Self { http, keeper, asking: Semaphore::new(ASKING_MAX), waiting: Semaphore::new(ASKING_MAX) })
    }

    /// Asks the node that has the notification's shard.
    pub(super) async fn cancel(&self, id: NotificationId) -> Result<Cancelled, OperationError> {
        let _place = self.place()?;
        let peer = self.owner_of(id).await?;
        let asked = peer.post(&self.http, "cancel").json(&CancelWire { id: id.to_string() });
        match answer::<CancelledWire>(asked).await? {
            CancelledWire::Cancelled { stopped, too_late } => Ok(Cancelled::Cancelled { stopped, too_late }),
            CancelledWire::TooLate { too_late } => Ok(Cancelled::TooLate { too_late }),
            CancelledWire::NotOurs => Err(between_owners()),
        }
    }

    pub(super) async fn replay(&self, key: &DeadLetterKey) -> Result<Replayed, OperationError> {
        let _place = self.place()?;
        let peer = self.owner_of(NotificationId(key.task.position)).await?;
        let asked = peer.post(&self.http, "replay").json(&ReplayWire::new(key));
        match answer::<ReplayedWire>(asked).await? {
            ReplayedWire::Requeued => Ok(Replayed::Requeued),
            ReplayedWire::NotReplayable => Ok(Replayed::NotReplayable),
            ReplayedWire::NotOurs => Err(between_owners()),
        }
    }

    /// Asks those who have the tasks' shards, shard by shard. Who does not answer looks at their time.
    pub(super) async fn look_early(&self, early: &[Early]) {
        for of_shard in early.chunk_by(|a, b| a.task.position.shard == b.task.position.shard) {
            let asking = async {
                let _place = self.place()?;
                let peer = self.owner_of(of_shard[0].task.notification()).await?;
                let asked = peer.post(&self.http, "early").timeout(BOOKS_WAIT_MAX);
                answer::<()>(asked.json(&of_shard.iter().map(EarlyWire::new).collect::<Vec<_>>())).await
            };
            let asked: Result<(), OperationError> = asking.await;
            if let Err(error) = asked {
                tracing::debug!(%error, "tasks that need not wait any more wait for their time");
            }
        }
    }

    /// The books of every other node's shards. A node that does not answer has crashed, most likely: its shards are being taken
    /// over, and are missing until then.
    pub(super) async fn accounting(&self) -> Vec<Accounting> {
        let peers: Vec<Peer> = self.keeper.peers().into_iter().filter_map(|address| Peer::parse(&address)).collect();
        let ask = |peer: &Peer| peer.post(&self.http, "accounting").timeout(BOOKS_WAIT_MAX);
        let asked = peers.iter().map(|peer| answer::<AccountingWire>(ask(peer)));
        let missing = |error: OperationError| {
            tracing::warn!(%error, "the books lack another node's shards");
            Accounting { unreachable_nodes: 1, ..Accounting::default() }
        };
        let answers = join_all(asked).await.into_iter();
        answers.map(|answer| answer.map_or_else(missing, AccountingWire::into_accounting)).collect()
    }

    fn place(&self) -> Result<SemaphorePermit<'_>, OperationError> {
        let busy = |_| OperationError::Elsewhere("too many questions wait for other nodes".into());
        self.asking.try_acquire().map_err(busy)
    }

    async fn owner_of(&self, id: NotificationId) -> Result<Peer, OperationError> {
        let address = self.keeper.address_of(id.0.shard).await?;
        address.and_then(|address| Peer::parse(&address)).ok_or_else(between_owners)
    }
}

/// For a moment nobody has the shard, or who has it cannot be reached from here.
fn between_owners() -> OperationError {
    OperationError::Elsewhere("the shard is being taken over by another node: try again shortly".into())
}

async fn answer<T: DeserializeOwned>(asked: RequestBuilder) -> Result<T, OperationError> {
    let failed = |error: reqwest::Error| {
        OperationError::Elsewhere(format!("another node does not answer: {}", error.without_url()))
    };
    let response = asked.send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
    response.json().await.map_err(failed)
}

/// Another node's door.
struct Peer {
    secret: String,
    /// `host:port`.
    address: String,
}

impl Peer {
    /// Reads what [`beat_address`] wrote.
    fn parse(text: &str) -> Option<Self> {
        let (secret, address) = text.split_once('@')?;
        Some(Self { secret: secret.to_owned(), address: address.to_owned() })
    }

    fn post(&self, http: &Client, call: &str) -> RequestBuilder {
        http.post(format!("http://{}/internal/{call}", self.address)).bearer_auth(&self.secret)
    }
}

/// What a node says of itself in its beats.
pub(super) fn beat_address(secret: &str, address: &str) -> Box<str> {
    format!("{secret}@{address}").into()
}

/// A number that no other process has, as far as chance goes.
pub(super) fn random_number() -> anyhow::Result<u64> {
    Ok(u64::from_str_radix(&random_hex(8)?, 16)?)
}

/// `bytes` random bytes, in hexadecimal.
pub(super) fn random_hex(bytes: usize) -> anyhow::Result<String> {
    let mut random = vec![0; bytes];
    SystemRandom::new().fill(&mut random).map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
