//! What all handlers share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::Operations;
use super::auth::Keys;
use super::ports::{DryRun, SandboxMessages};
use super::problem::{Kind, Problem};
use super::rate::RateOfEach;
use super::retry_key::Answers;
use crate::audience::{Definitions, EventDoor};
use crate::brakes::Brakes;
use crate::campaigns::{Campaigns, Lists};
use crate::clock::SharedClock;
use crate::config::{self, Http};
use crate::domain::{Categories, Idempotency, NotificationRequest, Priority, Source, UserKey};
use crate::insight::{Analytics, AnalyticsParts};
use crate::intake::{Acceptor, ContentCheck, EndpointCheck, Envelope, refused_counter, repeated_counter};
use crate::links::{Links, Pass};
use crate::log::SharedLog;
use crate::outcomes::{ReceiptDesk, Tracker};
use crate::privacy::{Audit, Privacy};
use crate::providers::SharedProvider;
use crate::realtime::Live;
use crate::schedules::Schedules;
use crate::store::{SharedStore, user_hash};
use crate::subscriptions::Subscriptions;
use crate::telemetry::{Counter, Health, MetricsPage};
use crate::templates::Templates;
use crate::topics::TopicDesk;
use crate::users::Directory;

/// What the API is made of.
pub struct ApiParts {
    pub http: Http,
    /// Whether requests are taken here; if not, only operators' questions are answered.
    pub takes_requests: bool,
    pub clock: SharedClock,
    pub log: SharedLog,
    pub store: SharedStore,
    pub users: Arc<Directory>,
    /// What is held of people.
    pub privacy: Arc<Privacy>,
    /// Who did what.
    pub audit: Arc<Audit>,
    pub brakes: Arc<Brakes>,
    pub templates: Arc<Templates>,
    pub acceptor: Arc<Acceptor>,
    pub events: Arc<dyn EventDoor>,
    /// Event types, rules and schedules.
    pub definitions: Arc<Definitions>,
    pub schedules: Arc<Schedules>,
    pub campaigns: Arc<Campaigns>,
    pub lists: Arc<Lists>,
    pub operations: Arc<dyn Operations>,
    /// Inboxes, and who is connected.
    pub live: Arc<Live>,
    /// Topics of programs, wherever they are.
    pub topics: Arc<dyn TopicDesk>,
    /// Cancelled when this node stops: who waits for messages of topics is answered.
    pub stopping: CancellationToken,
    pub dry_run: Arc<dyn DryRun>,
    /// `None`: this node sends nothing.
    pub sandbox: Option<Arc<dyn SandboxMessages>>,
    /// Whose receipts are taken.
    pub providers: Vec<SharedProvider>,
    pub receipts: Arc<ReceiptDesk>,
    /// Who notes opens and clicks of mails.
    pub tracker: Arc<Tracker>,
    /// `None`: messages carry no links.
    pub links: Option<Arc<Links>>,
    pub endpoints: Arc<dyn EndpointCheck>,
    pub contents: Arc<dyn ContentCheck>,
    pub categories: Arc<Categories>,
    /// What recipients read of categories in the place of their names.
    pub category_words: Vec<config::Category>,
    pub health: Health,
    pub metrics: MetricsPage,
}

/// The parts, and what the API itself keeps while it runs.
pub(super) struct Api {
    pub(super) parts: ApiParts,
    pub(super) subscriptions: Arc<Subscriptions>,
    pub(super) analytics: Arc<Analytics>,
    pub(super) keys: Keys,
    /// Requests being answered.
    pub(super) in_flight: Semaphore,
    /// Of those, calls of strangers, who show no key: receipts and links. Whoever floods them takes no more than this.
    pub(super) strangers: Semaphore,
    /// Of those in flight, calls of users' own programs.
    pub(super) people: Semaphore,
    /// How many calls a user's programs may make.
    people_rate: RateOfEach,
    /// Streams of users' programs that are open: each keeps its HTTP connection.
    pub(super) live_streams: Arc<Semaphore>,
    /// Memory for their bodies, in KiB.
    pub(super) stranger_memory: Arc<Semaphore>,
    /// Of those in flight, requests that wait for the log and are not critical: see [`Api::bulk_place`].
    bulk: Semaphore,
    /// Memory for large bodies, in KiB.
    pub(super) body_memory: Arc<Semaphore>,
    /// Documents with all that is held of a user, on their way.
    pub(super) exports: Arc<Semaphore>,
    /// Imports under way.
    pub(super) imports: Arc<Semaphore>,
    /// Streams of messages of topics that are open.
    pub(super) streams: Arc<Semaphore>,
    /// Of those in flight, readers of topics that wait for messages: see [`READERS_PART`].
    pub(super) readers: Semaphore,
    /// Receipts by which tasks are being looked at early.
    pub(super) early: Arc<Semaphore>,
    /// Answers of the calls whose retry key the store does not know.
    pub(super) answers: Answers,
    pub(super) refused: Counter,
    pub(super) repeated: Counter,
}

/// Memory for large bodies: several batches of the largest size at once. What is made of a batch takes up to three times
/// its size for a moment.
pub(super) const BODY_MEMORY_KIB: usize = 24 * 1024;

/// Memory for the bodies of strangers: four receipts of the largest size at once.
pub(super) const STRANGER_MEMORY_KIB: usize = 8 * 1024;

/// Of the requests being answered, the part (one in so many) that strangers may take.
const STRANGERS_PART: usize = 4;

/// Exports at once: each reads as fast as it is taken.
const EXPORTS_MAX: usize = 4;

/// Imports at once: one after the other they are as fast, and the rest of the store's time is for others.
const IMPORTS_MAX: usize = 2;

/// Streams of users' programs at once: half of the connections that are taken at all.
const LIVE_STREAMS_MAX: usize = 5_000;

/// Streams of messages of topics at once.
const STREAMS_MAX: usize = 256;

/// Of the requests being answered, the part (one in so many) that readers of topics may take while they wait, which they do all the
/// time: the others find a place at once.
const READERS_PART: usize = 4;

/// Posts at once whose tasks are looked at early. Of those beyond, tasks have their turn at their time.
const EARLY_MAX: usize = 8;

/// Of the requests being answered, the part (one in so many) that only critical ones may take while they wait for the log.
const CRITICAL_PART: usize = 5;

impl Api {
    pub(super) fn new(parts: ApiParts) -> Self {
        let max_in_flight = parts.http.max_in_flight.min(Semaphore::MAX_PERMITS);
        Self {
            subscriptions: Subscriptions::new(parts.store.clone(), parts.clock.clone()),
            analytics: Analytics::new(AnalyticsParts {
                log: parts.store.clone(),
                rows: parts.store.clone(),
                categories: parts.categories.clone(),
                clock: parts.clock.clone(),
            }),
            keys: Keys::new(&parts.http.keys, parts.clock.clone()),
            in_flight: Semaphore::new(max_in_flight),
            bulk: Semaphore::new(max_in_flight - max_in_flight / CRITICAL_PART),
            strangers: Semaphore::new((max_in_flight / STRANGERS_PART).max(1)),
            people: Semaphore::new((max_in_flight / STRANGERS_PART).max(1)),
            people_rate: RateOfEach::new(f64::from(parts.live.settings().calls_per_second)),
            live_streams: Arc::new(Semaphore::new(LIVE_STREAMS_MAX)),
            stranger_memory: Arc::new(Semaphore::new(STRANGER_MEMORY_KIB)),
            body_memory: Arc::new(Semaphore::new(BODY_MEMORY_KIB)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            readers: Semaphore::new((max_in_flight / READERS_PART).max(1)),
            early: Arc::new(Semaphore::new(EARLY_MAX)),
            exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
            imports: Arc::new(Semaphore::new(IMPORTS_MAX)),
            answers: Answers::new(parts.clock.clone()),
            refused: refused_counter(Source::Http),
            repeated: repeated_counter(Source::Http),
            parts,
        }
    }

    /// Counts a call of a user's own program, which showed its pass.
    pub(super) fn count_call(&self, pass: &Pass) -> Result<(), Problem> {
        let user = UserKey { tenant: pass.tenant.clone(), user_id: pass.user_id.clone() };
        let who = u128::from_be_bytes(user_hash(&user));
        let over = |wait| {
            let detail = "this user's programs call more often than one's may (`realtime.calls_per_second`)";
            Problem::new(Kind::TooMany, detail).retry_after(wait)
        };
        self.people_rate.take(who, self.parts.clock.now()).map_err(over)
    }

    /// What a request has besides its body.
    pub(super) fn envelope<'a>(&'a self, tenant: &'a str, idempotency: Option<Idempotency>) -> Envelope<'a> {
        let parts = &self.parts;
        let (now, categories, contents) = (parts.clock.now(), &*parts.categories, &*parts.contents);
        Envelope { tenant, source: Source::Http, idempotency, now, categories, contents }
    }

    /// A place among the requests that are not critical, held until they are durable; none for what is critical. The priority
    /// is known only once the body is read, which every request may do; but what takes long when the disk is slow is waiting
    /// for the log, and there the critical ones always find a place.
    pub(super) fn bulk_place(&self, requests: &[NotificationRequest]) -> Result<Option<SemaphorePermit<'_>>, Problem> {
        if requests.iter().all(|request| request.priority == Priority::Critical) {
            return Ok(None);
        }
        self.event_place().map(Some)
    }

    /// The same for events. Only the rules know what comes of them, and so none is taken for critical: whoever floods the engine with
    /// events leaves the places of critical notifications free.
    pub(super) fn event_place(&self) -> Result<SemaphorePermit<'_>, Problem> {
        let busy = |_| Problem::unavailable("too many requests are being answered", Duration::from_secs(1));
        self.bulk.try_acquire().map_err(busy)
    }
}
