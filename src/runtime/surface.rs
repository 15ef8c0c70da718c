//! The face of a node: the API over what the node is made of.

use std::sync::Arc;

use axum::Router;
use tokio_util::sync::CancellationToken;

use super::adapters::{DryRunner, Endpoints, SandboxShelf};
use super::engine::Engine;
use super::operations::Everywhere;
use super::peers::Peers;
use super::privacy::privacy;
use super::topics::TopicsEverywhere;
use crate::api::{self, ApiParts, SandboxMessages};
use crate::audience::{Definitions, EventDoor, EventReplays};
use crate::brakes::Brakes;
use crate::campaigns::{Campaigns, Lists};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::intake::Acceptor;
use crate::links::Links;
use crate::log::SharedLog;
use crate::outcomes::{ReceiptDesk, ReceiptDeskParts, Tracker};
use crate::planning::{People, Policy};
use crate::privacy::{Audit, Privacy};
use crate::providers::{Guard, Sandbox, SharedProvider};
use crate::realtime::Live;
use crate::rendering::Renderer;
use crate::schedules::Schedules;
use crate::store::{SharedStore, UserSecrets};
use crate::telemetry::{Health, MetricsPage};
use crate::templates::Templates;
use crate::topics::Desk;
use crate::users::Directory;

/// What the API of a node is made of.
pub struct SurfaceParts {
    pub config: Config,
    pub clock: SharedClock,
    pub log: SharedLog,
    pub store: SharedStore,
    pub secrets: Arc<dyn UserSecrets>,
    pub users: Arc<Directory>,
    pub people: Arc<People>,
    pub policy: Arc<Policy>,
    pub renderer: Arc<Renderer>,
    pub brakes: Arc<Brakes>,
    pub templates: Arc<Templates>,
    pub acceptor: Arc<Acceptor>,
    /// What is defined, and the door for events that goes by it: see [`super::events`].
    pub definitions: Arc<Definitions>,
    pub events: Arc<dyn EventDoor>,
    pub schedules: Arc<Schedules>,
    pub campaigns: Arc<Campaigns>,
    /// Inboxes, and who is connected: see [`super::live`].
    pub live: Arc<Live>,
    /// Whose receipts are taken here.
    pub providers: Vec<SharedProvider>,
    /// The topics of this node.
    pub topics: Arc<Desk>,
    /// Cancelled when this node stops.
    pub stopping: CancellationToken,
    /// A number that no other process has.
    pub process: u64,
    /// `None`: messages carry no links.
    pub links: Option<Arc<Links>>,
    /// `None`: this process only takes requests.
    pub engine: Option<Arc<Engine>>,
    /// Whether requests are taken here; if not, only operators' questions are answered.
    pub takes_requests: bool,
    /// `None`: there is nothing to look at.
    pub sandbox: Option<Arc<Sandbox>>,
    pub health: Health,
    pub metrics: MetricsPage,
}

/// The API of a node that is alone.
pub fn surface(parts: SurfaceParts) -> Router {
    let privacy = privacy(&parts, None);
    surface_among(parts, privacy, None)
}

/// The API of a node that asks others where a shard is not its own. `privacy`: the node's one, so that an erasure wakes who carries it on.
pub(super) fn surface_among(parts: SurfaceParts, privacy: Arc<Privacy>, peers: Option<Arc<Peers>>) -> Router {
    let guard = Guard::new(parts.config.security.allow_private_addresses, parts.clock.clone());
    let dry_run = DryRunner {
        policy: parts.policy.clone(),
        people: parts.people,
        store: parts.store.clone(),
        renderer: parts.renderer.clone(),
        brakes: parts.brakes.clone(),
        generation: if parts.log.is_shared() { parts.config.log.kafka.generation } else { 0 },
        partitions: parts.config.log.partitions,
    };
    let categories = Arc::new(parts.policy.categories.clone());
    let receipts = Arc::new(ReceiptDesk::new(ReceiptDeskParts {
        store: parts.store.clone(),
        log: parts.log.clone(),
        clock: parts.clock.clone(),
        users: parts.users.clone(),
        categories: categories.clone(),
    }));
    let tracker =
        Arc::new(Tracker::new(receipts.clone(), parts.clock.clone(), &parts.config.tracking.machines, parts.process));
    let event_replays = EventReplays {
        log: parts.log.clone(),
        store: parts.store.clone(),
        door: parts.events.clone(),
        clock: parts.clock.clone(),
        body_max: parts.config.http.max_body.as_usize(),
    };
    let audit = Audit::new(parts.store.clone(), parts.clock.clone());
    let lists = Arc::new(Lists::new(parts.store.clone(), parts.clock.clone()));
    api::router(ApiParts {
        campaigns: parts.campaigns,
        live: parts.live,
        lists,
        privacy,
        audit,
        providers: parts.providers,
        receipts,
        tracker,
        links: parts.links,
        http: parts.config.http,
        category_words: parts.config.categories,
        takes_requests: parts.takes_requests,
        clock: parts.clock,
        log: parts.log,
        store: parts.store,
        users: parts.users,
        acceptor: parts.acceptor,
        events: parts.events,
        definitions: parts.definitions,
        schedules: parts.schedules,
        topics: Arc::new(TopicsEverywhere { desk: parts.topics, peers: peers.clone() }),
        stopping: parts.stopping,
        operations: Arc::new(Everywhere { engine: parts.engine, peers, event_replays }),
        dry_run: Arc::new(dry_run),
        brakes: parts.brakes,
        templates: parts.templates,
        sandbox: parts.sandbox.map(|sandbox| Arc::new(SandboxShelf(sandbox)) as Arc<dyn SandboxMessages>),
        endpoints: Arc::new(Endpoints(guard)),
        contents: parts.renderer,
        categories,
        health: parts.health,
        metrics: parts.metrics,
    })
}
