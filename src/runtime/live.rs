//! The live side, over what a node is made of.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;

use crate::clock::SharedClock;
use crate::config::{Config, LEASE_ROOM, Provider};
use crate::coordination::SharedCoordination;
use crate::domain::{Categories, Channel, EventKind, InboxEntry, UserKey};
use crate::inbox::{Inbox, Sighting, SightingKind, Sightings};
use crate::log::SharedLog;
use crate::outcomes::{NoAnswer, ReceiptDesk, ReceiptDeskParts, Together};
use crate::providers::{InboxDoor, serves};
use crate::realtime::{Hub, Live, LiveParts};
use crate::store::{SharedStore, StoreError};
use crate::users::Directory;

/// The kind and the name of the provider that is there without being configured.
const INBOX: &str = "inbox";
/// Its name where another has that one.
const OTHER_NAME: &str = "in-app-inbox";

/// Calls whose sightings are noted together.
const TOGETHER: usize = 256;

/// Calls that wait; who comes beyond may come again.
const WAITING_MAX: usize = 65_536;

/// The longest that a call waits for it.
const NOTE_WAIT_MAX: Duration = Duration::from_secs(10);

/// What the live side of a node is made of.
pub struct LiveSide {
    pub store: SharedStore,
    pub log: SharedLog,
    pub clock: SharedClock,
    pub users: Arc<Directory>,
    pub categories: Arc<Categories>,
    pub coordination: SharedCoordination,
    /// This node's name, another at each start.
    pub node: String,
}

/// The live side of a node; [`Live::start`] lets it hear of others.
pub fn live(parts: LiveSide, config: &Config) -> Arc<Live> {
    let desk = ReceiptDesk::new(ReceiptDeskParts {
        store: parts.store.clone(),
        log: parts.log.clone(),
        clock: parts.clock.clone(),
        users: parts.users,
        categories: parts.categories,
    });
    let hub = Hub::new(config.realtime.clone(), parts.log.is_shared());
    let inbox = Inbox::keeping(
        config.retention.inbox,
        parts.store,
        parts.clock.clone(),
        Arc::new(Noting::new(desk)),
        hub.clone(),
    );
    Live::new(LiveParts {
        inbox,
        hub,
        coordination: parts.coordination,
        clock: parts.clock,
        settings: config.realtime.clone(),
        node: parts.node,
        own_origin: origin_of(&config.http.public_url),
    })
}

/// Scheme, host and port of an address.
fn origin_of(url: &str) -> String {
    url::Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
}

/// The least that a write into an inbox is given.
const TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// Adds the provider of the channel `in_app`, where no other is configured for it.
pub fn with_inbox(config: &mut Config) {
    if config.providers.iter().any(|provider| serves(provider, Channel::InApp)) {
        return;
    }
    let is_taken = config.providers.iter().any(|provider| provider.name == INBOX);
    let mut inbox = Provider::implied(if is_taken { OTHER_NAME } else { INBOX }, INBOX);
    // A send that may outlast the lease never begins; this one is a write of our own, and needs no longer.
    inbox.timeout = inbox.timeout.min(config.cluster.lease.saturating_sub(LEASE_ROOM)).max(TIMEOUT_MIN);
    config.providers.push(inbox);
}

/// Where messages in the product go.
pub struct Door(pub Arc<Inbox>);

#[async_trait]
impl InboxDoor for Door {
    async fn deliver(&self, user: &UserKey, entry: InboxEntry) -> Result<(), String> {
        self.0.deliver(user, entry).await.map_err(|error| error.to_string())
    }
}

/// Notes sightings as receipts, those of many calls together.
struct Noting {
    desk: ReceiptDesk,
    together: Together<Vec<Sighting>, Result<(), String>>,
}

impl Noting {
    fn new(desk: ReceiptDesk) -> Self {
        Self { desk, together: Together::new(1, TOGETHER, WAITING_MAX) }
    }

    async fn note_together(&self, calls: Vec<Vec<Sighting>>) -> Vec<Result<(), String>> {
        let count = calls.len();
        let noted = note(&self.desk, calls.into_iter().flatten()).await;
        vec![noted; count]
    }
}

async fn note(desk: &ReceiptDesk, sightings: impl Iterator<Item = Sighting>) -> Result<(), String> {
    let seen = sightings.map(|sighting| {
        let kind = match sighting.kind {
            SightingKind::Delivered => EventKind::Delivered,
            SightingKind::Read => EventKind::Read,
        };
        (sighting.task, kind, sighting.at)
    });
    let noted = AssertUnwindSafe(desk.seen(seen.collect())).catch_unwind().await;
    match noted {
        Ok(noted) => noted.map_err(|error| error.to_string()),
        // The panic itself was logged by its hook.
        Err(_) => Err("noting what users saw panicked".to_owned()),
    }
}

#[async_trait]
impl Sightings for Noting {
    async fn note(&self, sightings: Vec<Sighting>) -> Result<(), StoreError> {
        let noting = async {
            loop {
                match self.together.ask(sightings.clone(), |calls| self.note_together(calls)).await {
                    Ok(noted) => return noted.map_err(StoreError::Failed),
                    Err(NoAnswer::Full) => return Err(StoreError::Failed("too many wait to be noted".to_owned())),
                    // Whoever had the turn went away with it.
                    Err(NoAnswer::Lost) => {}
                }
            }
        };
        let late = StoreError::Failed("what users saw was not noted in time".to_owned());
        tokio::time::timeout(NOTE_WAIT_MAX, noting).await.unwrap_or(Err(late))
    }
}
