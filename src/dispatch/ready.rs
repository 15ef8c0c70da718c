//! A task that may be sent now, and the door to the channel actors.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::future::join_all;
use ractor::ActorRef;

use super::backlog::{Backlog, BacklogPermit, PayloadBudget};
use super::channel::ChannelMessage;
use super::groups::Stalled;
use super::late::ReceiptWatch;
use super::metrics::Circuits;
use super::refusals::Refusals;
use super::sharing::Tried;
use super::slots::SharedState;
use crate::domain::{AttachmentReference, Channel, Plan, Priority, ShardId, TaskId, Timestamp};
use crate::outcomes::AnswerKind;
use crate::telemetry::Mailboxes;

/// A handle to a task that may be sent now. Small on purpose: a million of them wait in some 70 MB.
#[derive(Debug)]
pub struct Ready {
    pub task: TaskId,
    /// The attempt that is to be made. Of a handle without content it is a guess: the row says which it is.
    pub attempt: u8,
    pub channel: Channel,
    /// The providers that refused it in this attempt.
    pub(super) tried: Tried,
    /// As in [`crate::domain::TaskSpec::endpoint`].
    pub endpoint: u32,
    /// Its row says that it waits for a timer: so do the books, until it is settled.
    pub(super) scheduled: bool,
    /// Since when it has been ready.
    pub since: Timestamp,
    /// The content; none: it is read from the store when its turn comes, and so is whether the task is still open.
    pub(super) payload: Option<Box<Payload>>,
    pub(super) _permit: BacklogPermit,
}

/// After this, what was not sent is looked at again though it waited for no time of its own: its user may have been erased since, or
/// have switched it off.
pub(super) const STALE: Duration = Duration::from_secs(60);

/// A task's content in memory.
#[derive(Debug)]
pub struct Payload {
    pub plan: Arc<Plan>,
    /// When it was planned, or accepted, or last looked at again.
    pub(super) looked_at: Timestamp,
    /// What a second look says against sending it now.
    pub(super) objection: Option<AnswerKind>,
    pub(super) _held: Option<super::backlog::PayloadPermit>,
}

impl Ready {
    /// The handle of one task of a plan that was just written, with its content if memory allows.
    pub fn planned(plan: &Arc<Plan>, ordinal: usize, now: Timestamp, room: &Room) -> Option<Self> {
        let spec = plan.tasks().get(ordinal)?;
        let payload = room
            .payloads
            .hold(plan.priority(), plan_bytes(plan))
            .map(|held| Box::new(Payload { plan: plan.clone(), looked_at: now, objection: None, _held: Some(held) }));
        Some(Self {
            task: plan.task_id(ordinal),
            attempt: 1,
            channel: spec.channel,
            tried: Tried::default(),
            endpoint: spec.endpoint,
            scheduled: false,
            since: now,
            payload,
            _permit: room.backlog.permit(),
        })
    }

    /// A handle without content: found in the store, by a timer or the sweep.
    pub fn bare(task: TaskId, attempt: u8, channel: Channel, endpoint: u32, now: Timestamp, room: &Room) -> Self {
        Self {
            task,
            attempt,
            channel,
            tried: Tried::default(),
            endpoint,
            scheduled: false,
            since: now,
            payload: None,
            _permit: room.backlog.permit(),
        }
    }

    pub fn priority(&self) -> Priority {
        self.task.position.shard.lane
    }

    /// Whether its row is to be read before it is sent: it has no content, or one that is stale.
    pub(super) fn is_to_be_read(&self, now: Timestamp) -> bool {
        self.payload.as_ref().is_none_or(|payload| now.since(payload.looked_at) > STALE)
    }
}

/// What a plan holds in memory, roughly.
fn plan_bytes(plan: &Plan) -> usize {
    let content = match &plan.content {
        crate::domain::Content::Template { code } => code.len(),
        crate::domain::Content::Inline { title, body, html, sms } => {
            title.len()
                + body.len()
                + html.as_ref().map_or(0, |text| text.len())
                + sms.as_ref().map_or(0, |text| text.len())
        }
    };
    let file = |file: &AttachmentReference| {
        size_of::<AttachmentReference>()
            + file.url.len()
            + file.name.len()
            + file.media_type.as_ref().map_or(0, |text| text.len())
    };
    let files: usize = plan.delivery.attachments.iter().map(file).sum();
    let key = plan.delivery.collapse_key.as_ref().map_or(0, |key| key.len());
    512 + content + plan.data.len() + plan.metadata.len() + files + key
}

/// The bounds that ready tasks live within.
#[derive(Debug, Clone)]
pub struct Room {
    pub backlog: Arc<Backlog>,
    pub payloads: Arc<PayloadBudget>,
}

/// Critical traffic and the rest share no queue, slot, provider instance or thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Critical = 0,
    Bulk = 1,
}

impl Class {
    pub const ALL: [Class; 2] = [Class::Critical, Class::Bulk];

    pub fn of(priority: Priority) -> Self {
        if priority == Priority::Critical { Class::Critical } else { Class::Bulk }
    }

    pub fn name(self) -> &'static str {
        ["critical", "bulk"][self as usize]
    }
}

/// The way to the channel actors, which come and go under it.
#[derive(Debug)]
pub struct DispatchHandle {
    pub room: Room,
    channels: [[ArcSwapOption<ActorRef<ChannelMessage>>; 2]; 7],
    mailboxes: Mailboxes,
    circuits: Arc<Circuits>,
    stalled: Stalled,
    receipts: Arc<ReceiptWatch>,
    refusals: Refusals,
}

impl DispatchHandle {
    pub fn new(room: Room) -> Self {
        Self {
            room,
            channels: Default::default(),
            mailboxes: Mailboxes::of("channel"),
            circuits: Arc::default(),
            stalled: Stalled::default(),
            receipts: Arc::default(),
            refusals: Refusals::default(),
        }
    }

    /// Hands tasks on. All of them are of one shard, tracked, and new. What a restarting actor does not get it finds in the
    /// ownership registry.
    pub fn hand_over(&self, ready: Vec<Ready>) {
        let Some(first) = ready.first() else { return };
        let class = Class::of(first.priority());
        if ready.iter().all(|other| other.channel == first.channel) {
            self.cast(first.channel, class, ready);
            return;
        }
        let mut by_channel: [Vec<Ready>; 7] = Default::default();
        for handle in ready {
            by_channel[handle.channel.index()].push(handle);
        }
        for (index, ready) in by_channel.into_iter().enumerate().filter(|(_, ready)| !ready.is_empty()) {
            if let Some(channel) = Channel::from_index(index) {
                self.cast(channel, class, ready);
            }
        }
    }

    fn cast(&self, channel: Channel, class: Class, ready: Vec<Ready>) {
        if let Some(actor) = self.channels[channel.index()][class as usize].load_full() {
            // A closed mailbox means a restart: the tasks are tracked, and the new actor takes them up.
            let _ = actor.cast(ChannelMessage::Ready(ready, self.mailboxes.enter()));
        }
    }

    /// What the channel actors report their breakers to.
    pub(super) fn circuits(&self) -> &Arc<Circuits> {
        &self.circuits
    }

    /// Whose receipts stay away.
    pub(super) fn receipts(&self) -> &Arc<ReceiptWatch> {
        &self.receipts
    }

    /// What the classes and channels of a provider share.
    pub(super) fn shared(&self, provider: &str) -> SharedState {
        SharedState { suspect: self.receipts.suspect(provider), refusals: self.refusals.of(provider) }
    }

    /// The shards whose groups take long to close.
    /// Whether the groups of a shard take long to close: a batch of it is being planned.
    pub fn is_stalled(&self, shard: ShardId) -> bool {
        self.stalled.has(shard)
    }

    pub(super) fn stalled(&self) -> &Stalled {
        &self.stalled
    }

    pub(super) fn install(&self, channel: Channel, class: Class, actor: ActorRef<ChannelMessage>) {
        self.channels[channel.index()][class as usize].store(Some(Arc::new(actor)));
    }

    /// Stops handing out new jobs everywhere, and waits until every sender is idle.
    pub async fn drain(&self) {
        let actors: Vec<_> = self.channels.iter().flatten().filter_map(ArcSwapOption::load_full).collect();
        // All at once: none must go on because another one waits for its provider. One that is gone has nothing in hand.
        join_all(actors.iter().map(|actor| actor.call(ChannelMessage::Drain, None))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Position, ShardId};

    #[test]
    fn what_goes_along_with_a_message_is_counted() {
        let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
        let mut plan = crate::store::conformance::plan(Position::new(shard, 1));
        let before = plan_bytes(&plan);
        let file = AttachmentReference { url: "x".repeat(2000).into(), name: "a".into(), media_type: None };
        plan.delivery.attachments = vec![file; 10];
        plan.delivery.collapse_key = Some("x".repeat(100).into());
        assert!(plan_bytes(&plan) > before + 20_000 + 100);
    }
}
