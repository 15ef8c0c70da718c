//! What is held of a notification, in the words of the API.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::{
    Content, Decision, Disposition, Event, EventKind, NotificationId, NotificationRequest, Plan, Position, SkipReason,
    Story, TaskId, TaskState, Verdict,
};
use crate::store::{GroupEntry, closed, members};

/// Whether a sender has a task in its hands now.
pub(super) type IsSending<'a> = dyn Fn(TaskId) -> bool + 'a;

/// A notification that is over, as it stands in the archive: what the API showed of it, and what it was made of.
#[derive(Debug, Serialize)]
struct ArchivedView<'a> {
    tenant: &'a str,
    #[serde(flatten)]
    shown: NotificationView,
    campaign: Option<String>,
    /// Of one that came with its own texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<ContentView<'a>>,
    data: &'a RawValue,
    metadata: &'a RawValue,
}

#[derive(Debug, Serialize)]
struct ContentView<'a> {
    title: &'a str,
    body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sms: Option<&'a str>,
}

/// A notification that is over as one line of JSON. `entries`: what stands under it, where it leads a group.
pub fn archived_line(story: &Story, entries: Option<&[GroupEntry]>) -> Vec<u8> {
    let plan = &story.plan;
    let content = match &plan.content {
        Content::Inline { title, body, html, sms } if !plan.is_erased() => {
            Some(ContentView { title, body, html: html.as_deref(), sms: sms.as_deref() })
        }
        _ => None,
    };
    let view = ArchivedView {
        tenant: &plan.tenant,
        shown: NotificationView::new(story, entries, &|_| false),
        campaign: plan.campaign.map(|campaign| campaign.to_string()),
        content,
        data: raw(&plan.data),
        metadata: raw(&plan.metadata),
    };
    serde_json::to_vec(&view).expect("names are texts, and memory takes all bytes")
}

/// JSON text as it came. It was read when it was taken in; damaged, it is told of as nothing.
fn raw(text: &str) -> &RawValue {
    serde_json::from_str(text).unwrap_or(RawValue::NULL)
}

#[derive(Debug, Serialize)]
pub(super) struct NotificationView {
    id: String,
    status: &'static str,
    /// Of one that was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Box<str>>,
    created_at: String,
    user_id: Option<Box<str>>,
    template: Option<Box<str>>,
    /// In which language it was asked for, or its user reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<Box<str>>,
    /// Of the template's experiment.
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<Box<str>>,
    category: Option<Box<str>>,
    priority: &'static str,
    routing: &'static str,
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// Whose message says this one as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    merged_into: Option<String>,
    /// Of one whose message says others as well, or may come to.
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregate: Option<AggregateView>,
    /// What was personal of it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    erased: Option<bool>,
    decisions: Vec<DecisionView>,
    tasks: Vec<TaskView>,
}

/// The group that a notification leads.
#[derive(Debug, Serialize)]
struct AggregateView {
    /// How many notifications the message says, so far or at last.
    count: u32,
    /// Nobody joins or leaves any more.
    closed: bool,
    /// Others join until then.
    until: String,
}

impl AggregateView {
    fn new(plan: &Plan, entries: &[GroupEntry]) -> Option<Self> {
        let group = plan.group.as_ref()?;
        let closed = closed(entries);
        let count = closed.map_or_else(|| members(plan, entries).len() as u32, |gathered| gathered.count);
        Some(Self { count, closed: closed.is_some(), until: group.until.to_string() })
    }
}

/// One line of a list.
#[derive(Debug, Serialize)]
pub(super) struct SummaryView {
    id: String,
    status: &'static str,
    created_at: String,
    user_id: Option<Box<str>>,
    template: Option<Box<str>>,
    category: Option<Box<str>>,
    priority: &'static str,
    /// Of one in the product: when it was read; null: it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    read_at: Option<Option<String>>,
}

#[derive(Debug, Serialize)]
pub(super) struct DecisionView {
    step: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'static str>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The notification this one repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate_of: Option<String>,
    /// The notification whose message says this one as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    merged_into: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct TaskView {
    id: String,
    notification_id: String,
    channel: &'static str,
    /// Of the template's experiment.
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<Box<str>>,
    to: Box<str>,
    status: &'static str,
    /// The attempt that is to come or was the last.
    attempt: u8,
    /// Not before this.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_message_id: Option<Box<str>>,
    events: Vec<EventView>,
}

#[derive(Debug, Serialize)]
struct EventView {
    r#type: &'static str,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_message_id: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
    /// A program did it, as far as can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    by_machine: Option<bool>,
}

impl NotificationView {
    /// `entries`: what stands under it, where it leads a group.
    pub(super) fn new(story: &Story, entries: Option<&[GroupEntry]>, is_sending: &IsSending<'_>) -> Self {
        let plan = &story.plan;
        let tasks = (0..plan.tasks().len()).filter_map(|ordinal| TaskView::new(story, ordinal, is_sending)).collect();
        let status = if has_left(story, entries) { "cancelled" } else { status(story, is_sending) };
        Self {
            id: plan.id().to_string(),
            status,
            reason: match &plan.disposition {
                Disposition::Skipped(reason) => Some(reason.name().into()),
                Disposition::Tasks(_) if status == "skipped" => skip_reason(story),
                Disposition::Tasks(_) | Disposition::Merged { .. } => None,
            },
            merged_into: match &plan.disposition {
                Disposition::Merged { into } => Some(NotificationId(*into).to_string()),
                _ => None,
            },
            aggregate: entries.and_then(|entries| AggregateView::new(plan, entries)),
            created_at: plan.accepted_at.to_string(),
            user_id: plan.user_id.clone(),
            template: template(&plan.content),
            locale: plan.presentation.locale.clone(),
            variant: plan.presentation.variant.clone(),
            category: plan.category.clone(),
            priority: plan.priority().name(),
            routing: plan.routing.name(),
            source: plan.source.name(),
            expires_at: plan.expires_at.map(|at| at.to_string()),
            erased: plan.is_erased().then_some(true),
            decisions: plan.decisions.iter().map(DecisionView::new).collect(),
            tasks,
        }
    }

    /// A notification that is durable and not planned yet.
    pub(super) fn unplanned(position: Position, request: NotificationRequest, is_cancelled: bool) -> Self {
        Self {
            id: crate::domain::NotificationId(position).to_string(),
            status: if is_cancelled { "cancelled" } else { "accepted" },
            reason: None,
            merged_into: None,
            aggregate: None,
            created_at: request.accepted_at.to_string(),
            template: template(&request.content),
            locale: request.locale,
            variant: None,
            user_id: request.user_id,
            category: request.category,
            priority: request.priority.name(),
            routing: request.routing.name(),
            source: request.source.name(),
            expires_at: request.expires_at.map(|at| at.to_string()),
            erased: None,
            decisions: Vec::new(),
            tasks: Vec::new(),
        }
    }
}

impl SummaryView {
    /// `entries`: as in [`NotificationView::new`].
    pub(super) fn new(story: &Story, entries: Option<&[GroupEntry]>, is_sending: &IsSending<'_>) -> Self {
        let plan = &story.plan;
        Self {
            id: plan.id().to_string(),
            status: if has_left(story, entries) { "cancelled" } else { status(story, is_sending) },
            created_at: plan.accepted_at.to_string(),
            user_id: plan.user_id.clone(),
            template: template(&plan.content),
            category: plan.category.clone(),
            priority: plan.priority().name(),
            read_at: story.is_in_product().then(|| story.read_at().map(|at| at.to_string())),
        }
    }

    pub(super) fn status(&self) -> &'static str {
        self.status
    }
}

impl DecisionView {
    pub(super) fn new(decision: &Decision) -> Self {
        let mut view = Self {
            step: decision.step.name(),
            channel: decision.channel.map(|channel| channel.name()),
            outcome: "pass",
            reason: None,
            duplicate_of: None,
            merged_into: None,
            until: None,
        };
        match &decision.verdict {
            Verdict::Pass => {}
            Verdict::Hold { until } => {
                view.outcome = "hold";
                view.until = Some(until.to_string());
            }
            Verdict::Merge { into } => {
                view.outcome = "merge";
                view.merged_into = Some(into.to_string());
            }
            Verdict::Skip(reason) => {
                view.outcome = "skip";
                view.reason = Some(reason.name());
                if let SkipReason::Duplicate { of } = reason {
                    view.duplicate_of = Some(of.to_string());
                }
            }
        }
        view
    }
}

impl TaskView {
    /// `None` if the plan has no such task.
    pub(super) fn new(story: &Story, ordinal: usize, is_sending: &IsSending<'_>) -> Option<Self> {
        let spec = story.plan.tasks().get(ordinal)?;
        let id = story.plan.task_id(ordinal);
        let state = story.state(ordinal)?;
        let events = story.history(ordinal);
        // Who took it, or else who was tried last.
        let taken = events.iter().rev().find(|event| event.provider_message_id.is_some());
        let tried = events.iter().rev().find(|event| event.provider.is_some());
        let provider = taken.or(tried).and_then(|event| event.provider.clone());
        let provider_message_id = taken.and_then(|event| event.provider_message_id.clone());
        Some(Self {
            id: id.to_string(),
            notification_id: id.notification().to_string(),
            channel: spec.channel.name(),
            variant: story.plan.presentation.variant.clone(),
            to: spec.address.as_str().into(),
            status: if is_sending(id) { "sending" } else { state.name() },
            attempt: attempt(state)
                .unwrap_or_else(|| events.iter().map(|event| event.attempt).max().unwrap_or(1).max(1)),
            due_at: match state {
                TaskState::Scheduled { due, .. } => Some(due.to_string()),
                _ => None,
            },
            provider,
            provider_message_id,
            events: events.iter().map(EventView::new).collect(),
        })
    }
}

impl EventView {
    fn new(event: &Event) -> Self {
        Self {
            r#type: event.kind.name(),
            at: event.at.to_string(),
            // What planning did is about no attempt.
            attempt: Some(event.attempt).filter(|attempt| *attempt > 0),
            channel: event.channel.map(|channel| channel.name()),
            provider: event.provider.clone(),
            provider_message_id: event.provider_message_id.clone(),
            reason: event.reason.clone(),
            due_at: event.due.map(|due| due.to_string()),
            by_machine: event.by_machine.then_some(true),
        }
    }
}

fn attempt(state: TaskState) -> Option<u8> {
    match state {
        TaskState::Pending { attempt }
        | TaskState::Scheduled { attempt, .. }
        | TaskState::Failed { attempt }
        | TaskState::Unknown { attempt } => Some(attempt),
        _ => None,
    }
}

fn template(content: &Content) -> Option<Box<str>> {
    match content {
        Content::Template { code } => Some(code.clone()),
        Content::Inline { .. } => None,
    }
}

/// Whether a leader was taken out of its group: it is cancelled, though its tasks go on and tell of the others.
fn has_left(story: &Story, entries: Option<&[GroupEntry]>) -> bool {
    entries.is_some_and(|entries| entries.contains(&GroupEntry::Left(story.plan.position.offset)))
}

/// Why the tasks were skipped after they were planned: of several reasons that of the first channel.
fn skip_reason(story: &Story) -> Option<Box<str>> {
    let skips = story.events.iter().filter(|event| event.kind == EventKind::Skipped && event.reason.is_some());
    skips.min_by_key(|event| (event.task.ordinal, event.at)).and_then(|event| event.reason.clone())
}

/// A notification's status, one word for all of its tasks: while something is open, the most advanced of what is open;
/// then `delivered` or `sent` if anything was taken (all that was taken was delivered: `delivered`); then the word that
/// most needs somebody's attention.
fn status(story: &Story, is_sending: &IsSending<'_>) -> &'static str {
    let tasks = match &story.plan.disposition {
        Disposition::Skipped(SkipReason::Expired) => return "expired",
        Disposition::Skipped(SkipReason::Cancelled) => return "cancelled",
        Disposition::Skipped(_) => return "skipped",
        Disposition::Merged { .. } => return if story.has_left() { "cancelled" } else { "merged" },
        Disposition::Tasks(tasks) => tasks,
    };
    if (0..tasks.len()).any(|ordinal| is_sending(story.plan.task_id(ordinal))) {
        return "sending";
    }
    let names: Vec<&str> = story.states().into_iter().map(TaskState::name).collect();
    let has = |name: &str| names.contains(&name);
    if !has("pending") && !has("scheduled") && has("sent") {
        return "sent";
    }
    let ranked =
        ["pending", "scheduled", "delivered", "unknown", "failed", "expired", "cancelled", "merged", "skipped"];
    ranked.into_iter().find(|name| has(name)).unwrap_or("pending")
}
