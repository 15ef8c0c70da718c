//! What is told of a message after it was sent: by its provider, or by who got it.
//!
//! In: receipts, whose signature was checked. Out: rows of events, addresses that take nothing more, and the tasks that have their
//! turn early because of it. Promise: all of it is durable when the desk returns; the same receipts again, in any order and on any
//! node, change nothing. A receipt carries our own task's id, and the plan of a task is durable before anything is sent, so none
//! comes too early to be kept (docs/decisions/0025).

mod early;
mod occasions;
mod opt_out;
mod read;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use early::Early;
pub use occasions::{Occasion, OccasionFate, OccasionNoted, occasion};

use self::opt_out::{OptOut, opt_outs};
use self::read::{Found, Stories};
use super::deliveries::told;
use super::graves::{Dead, Graves};
use crate::clock::SharedClock;
use crate::domain::{Categories, Channel, Event, EventKind, Position, ShardId, SuppressionCause, TaskId, Timestamp};
use crate::links::{Unsubscribe, Whom};
use crate::log::{SharedLog, Told};
use crate::providers::{Receipt, ReceiptKind};
use crate::store::{SharedStore, StoreError, WriteBatch};
use crate::telemetry::CounterMetric;
use crate::users::{Directory, DirectoryError};

/// Worry when `forged`, `unmatched` or `unreadable` grow: somebody guesses, or an account is shared, or a secret is the wrong one.
const RECEIPTS: CounterMetric<2> = CounterMetric::new(
    "fanfare_receipts_total",
    "What providers told of messages, by provider and what became of it.",
    ["provider", "outcome"],
);

/// Notifications read together.
const READ_MAX: usize = 512;
/// The longest that others are told before the provider is: it waits, and Twilio for 15 s.
const TELL_WAIT_MAX: Duration = Duration::from_secs(5);

/// What the desk works with.
pub struct ReceiptDeskParts {
    pub store: SharedStore,
    pub log: SharedLog,
    pub clock: SharedClock,
    pub users: Arc<Directory>,
    pub categories: Arc<Categories>,
}

/// Takes receipts in. Any process may: nothing of it is the shard's owner's to do.
pub struct ReceiptDesk {
    parts: ReceiptDeskParts,
    graves: Graves,
}

/// Whose receipts they are.
#[derive(Debug, Clone, Copy)]
pub struct ReceiptSource<'a> {
    pub provider: &'a str,
    /// Those that it serves: it can tell nothing of others.
    pub channels: &'a [Channel],
}

/// What came of a call.
#[derive(Debug, Default)]
pub struct Noted {
    /// Tasks that need not wait for their time any more. Whose timers they are may be told; they go on at their time without.
    pub early: Vec<Early>,
}

/// Why receipts could not be taken in. They may be told again: what is written already changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptsError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// They are written, and the programs that read the log do not know of them.
    #[error("others could not be told of receipts: {0}")]
    NotTold(String),
}

/// One fact about one task.
struct Fact {
    event: Event,
    /// Why its address takes nothing more, if that is said.
    cause: Option<SuppressionCause>,
}

impl ReceiptDesk {
    pub fn new(parts: ReceiptDeskParts) -> Self {
        let graves = Graves::new(parts.users.clone());
        Self { parts, graves }
    }

    /// Counts what a provider posted and what is not noted: `forged`, `replayed` and such.
    pub fn count(&self, provider: &str, outcome: &'static str, count: u64) {
        RECEIPTS.with([provider, outcome]).increment(count);
    }

    /// Notes what a provider told. Durable on return.
    pub async fn note(&self, source: ReceiptSource<'_>, receipts: Vec<Receipt>) -> Result<Noted, ReceiptsError> {
        let now = self.parts.clock.now();
        let mut facts: BTreeMap<Position, Vec<Fact>> = BTreeMap::new();
        for receipt in receipts {
            match fact(receipt, source.provider, now) {
                Ok(fact) => facts.entry(fact.event.task.position).or_default().push(fact),
                Err(outcome) => self.count(source.provider, outcome, 1),
            }
        }
        let mut noted = Noted::default();
        let mut facts: Vec<(Position, Vec<Fact>)> = facts.into_iter().collect();
        while !facts.is_empty() {
            let chunk = facts.drain(..facts.len().min(READ_MAX)).collect();
            noted.early.extend(self.note_chunk(source, chunk).await?);
        }
        Ok(noted)
    }

    /// Notes what a user's own programs said of messages in the product. Durable on return.
    pub async fn seen(&self, sightings: Vec<(TaskId, EventKind, Timestamp)>) -> Result<(), ReceiptsError> {
        // Nothing waits for what becomes of a message in the product: it is sent once it is in the inbox.
        let events = sightings.into_iter().map(|(task, kind, at)| Event::new(task, Event::NO_ATTEMPT, kind, at));
        self.happened(events.collect()).await.map(drop)
    }

    /// Notes what programs of the tenant, or of a user, said of messages; of two that tell of the same the first counts. Durable on
    /// return.
    pub async fn happened(&self, events: Vec<Event>) -> Result<Noted, ReceiptsError> {
        let mut facts: BTreeMap<Position, Vec<Fact>> = BTreeMap::new();
        for event in events {
            facts.entry(event.task.position).or_default().push(Fact { event, cause: None });
        }
        let mut noted = Noted::default();
        let mut facts: Vec<(Position, Vec<Fact>)> = facts.into_iter().collect();
        while !facts.is_empty() {
            let chunk: Vec<_> = facts.drain(..facts.len().min(READ_MAX)).collect();
            let positions = chunk.iter().map(|(position, _)| *position).collect();
            let stories = Stories::read(&self.parts.store, positions, self.parts.clock.now()).await?;
            noted.early.extend(self.write(stories, chunk, None).await?.early);
        }
        Ok(noted)
    }

    /// Takes somebody off a list, who called the link in a message. Durable on return.
    pub async fn unsubscribe(&self, said: Unsubscribe) -> Result<Noted, ReceiptsError> {
        let now = self.parts.clock.now();
        let stories = Stories::read(&self.parts.store, vec![said.task.position], now).await?;
        let accepted_at = stories.plan(said.task.position).map(|plan| plan.accepted_at);
        match said.whom {
            Whom::User(user_id) => {
                let (tenant, category, channel) = (said.tenant, said.category, said.channel);
                let out = OptOut { tenant, user_id, category, channel, accepted_at };
                opt_outs(&self.parts.store, &self.parts.users, &self.parts.categories, vec![out], now).await?;
            }
            Whom::Email(address) => {
                self.graves.dig(vec![Dead::email(said.tenant, address, now, SuppressionCause::OptOut)]).await?;
            }
        }
        let event = Event::new(said.task, Event::NO_ATTEMPT, EventKind::Unsubscribed, now);
        self.write(stories, vec![(said.task.position, vec![Fact { event, cause: None }])], None).await
    }

    async fn note_chunk(
        &self,
        source: ReceiptSource<'_>,
        facts: Vec<(Position, Vec<Fact>)>,
    ) -> Result<Vec<Early>, ReceiptsError> {
        let positions = facts.iter().map(|(position, _)| *position).collect();
        let stories = Stories::read(&self.parts.store, positions, self.parts.clock.now()).await?;
        // Before the rows, which say that it was done.
        let (mut dead, mut outs) = (Vec::new(), Vec::new());
        for fact in facts.iter().flat_map(|(_, facts)| facts) {
            let Found::New(plan) = stories.find(&fact.event, Some(source)) else { continue };
            let (ordinal, at) = (usize::from(fact.event.task.ordinal), fact.event.at);
            // Whose preference it would be is not always known.
            let is_list = fact.event.kind == EventKind::Unsubscribed;
            match OptOut::of(plan, ordinal, &self.parts.categories).filter(|_| is_list) {
                Some(out) => outs.push(out),
                None => dead.extend(fact.cause.and_then(|cause| Dead::of(plan, ordinal, at, cause))),
            }
        }
        self.graves.dig(dead).await?;
        opt_outs(&self.parts.store, &self.parts.users, &self.parts.categories, outs, self.parts.clock.now()).await?;
        Ok(self.write(stories, facts, Some(source)).await?.early)
    }

    /// Writes the rows that are not there yet, and tells others of all.
    async fn write(
        &self,
        mut stories: Stories,
        facts: Vec<(Position, Vec<Fact>)>,
        source: Option<ReceiptSource<'_>>,
    ) -> Result<Noted, ReceiptsError> {
        let mut batches: BTreeMap<ShardId, Vec<Event>> = BTreeMap::new();
        let mut told_of = Vec::new();
        let mut early = Vec::new();
        let count = |outcome| source.into_iter().for_each(|source| self.count(source.provider, outcome, 1));
        for mut fact in facts.into_iter().flat_map(|(_, facts)| facts) {
            match stories.find(&fact.event, source) {
                Found::Nowhere => count("unmatched"),
                Found::Known(event) => {
                    // Those who were to be told of it before may not have been.
                    let event = event.clone();
                    // Nor may those have been looked at that need not wait.
                    early.extend(stories.early(event.task));
                    told_of.push(event);
                    count("repeated");
                }
                Found::New(plan) => {
                    let spec = plan.tasks().get(usize::from(fact.event.task.ordinal));
                    fact.event.channel = spec.map(|spec| spec.channel);
                    count(fact.event.kind.name());
                    told_of.push(fact.event.clone());
                    stories.add(fact.event.clone());
                    early.extend(stories.early(fact.event.task));
                    batches.entry(fact.event.task.position.shard).or_default().push(fact.event);
                }
            }
        }
        let writes = batches
            .into_iter()
            .map(|(shard, events)| self.parts.store.write(shard, WriteBatch { events, ..WriteBatch::default() }));
        futures_util::future::try_join_all(writes).await?;
        self.tell(&stories, &told_of).await?;
        Ok(Noted { early })
    }

    /// Tells others before the provider is answered: no cursor waits for what receipts write, so nobody would find it again after a
    /// crash. What cannot be told is to be posted again, and is told then.
    async fn tell(&self, stories: &Stories, events: &[Event]) -> Result<(), ReceiptsError> {
        let with_plans = events.iter().filter_map(|event| Some((stories.plan(event.task.position)?, event)));
        self.tell_all(with_plans.map(|(plan, event)| told(plan, event)).collect()).await
    }

    async fn tell_all(&self, all: Vec<Told>) -> Result<(), ReceiptsError> {
        if all.is_empty() || !self.parts.log.is_shared() {
            return Ok(());
        }
        let telling = self.parts.log.tell(all);
        match tokio::time::timeout(TELL_WAIT_MAX, telling).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(ReceiptsError::NotTold(error.to_string())),
            Err(_) => Err(ReceiptsError::NotTold("the log took nothing in time".into())),
        }
    }
}

/// A receipt as a fact; or as what it is counted, if it says nothing that is kept.
fn fact(receipt: Receipt, provider: &str, now: Timestamp) -> Result<Fact, &'static str> {
    let task: TaskId = receipt.task.ok_or("not_ours")?;
    let (kind, cause) = match receipt.kind {
        ReceiptKind::Progress => return Err("progress"),
        ReceiptKind::Delivered => (EventKind::Delivered, None),
        ReceiptKind::Bounced { is_opt_out: true, .. } => (EventKind::Bounced, Some(SuppressionCause::OptOut)),
        ReceiptKind::Bounced { is_gone, .. } => (EventKind::Bounced, is_gone.then_some(SuppressionCause::HardBounce)),
        ReceiptKind::Complained => (EventKind::Complained, Some(SuppressionCause::Complaint)),
        ReceiptKind::Unsubscribed => (EventKind::Unsubscribed, Some(SuppressionCause::OptOut)),
        ReceiptKind::Opened => (EventKind::Opened, None),
        ReceiptKind::Clicked => (EventKind::Clicked, None),
    };
    // The provider's clock may be ahead of ours, and nothing has happened yet that is still to come.
    let mut event = Event::new(task, Event::NO_ATTEMPT, kind, receipt.at.min(now));
    event.provider = Some(provider.into());
    event.provider_message_id = receipt.provider_message_id;
    event.reason = receipt.reason;
    if matches!(kind, EventKind::Opened | EventKind::Clicked) {
        // By the provider's clock, before anything was made of it: posted again it says the same.
        let time = receipt.at.millis().to_be_bytes();
        event.occasion = occasion(receipt.event_id.as_deref().map_or(&time[..], str::as_bytes));
        event.by_machine = receipt.by_machine;
    }
    Ok(Fact { event, cause })
}
