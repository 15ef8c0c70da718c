//! Topics and messages as the API shows them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::Timestamp;
use crate::topics::{GroupState, Received, TopicListed, TopicState};

/// A topic in a list.
#[derive(Debug, Serialize)]
pub(super) struct ListedView<'a> {
    name: &'a str,
    created_at: String,
    retention_seconds: u64,
    messages_max: u64,
    kafka: bool,
}

impl<'a> ListedView<'a> {
    pub(super) fn new(topic: &'a TopicListed) -> Self {
        let TopicListed { name, created_at, settings } = topic;
        Self {
            name,
            created_at: created_at.to_string(),
            retention_seconds: settings.retention_seconds,
            messages_max: settings.messages_max,
            kafka: settings.kafka,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.name
    }
}

/// How a topic is.
#[derive(Debug, Serialize)]
pub(super) struct TopicView<'a> {
    #[serde(flatten)]
    listed: ListedView<'a>,
    /// The queue's length.
    messages: u64,
    /// Null: there is none.
    oldest_message_age_seconds: Option<f64>,
    delayed: u64,
    next_due_at: Option<String>,
    groups: Vec<GroupView<'a>>,
    /// Null: its messages are here only.
    kafka_topic: Option<CopyView<'a>>,
    health: HealthView<'a>,
}

#[derive(Debug, Serialize)]
struct CopyView<'a> {
    name: &'a str,
    /// Messages that are not there yet.
    lag: u64,
}

#[derive(Debug, Serialize)]
struct GroupView<'a> {
    name: &'a str,
    created_at: String,
    lag: u64,
    in_hand: usize,
    waiting: usize,
    oldest_unacknowledged_age_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct HealthView<'a> {
    status: &'static str,
    reasons: &'a [Box<str>],
}

impl<'a> TopicView<'a> {
    pub(super) fn new(state: &'a TopicState, now: Timestamp) -> Self {
        let age = |at: Timestamp| now.since(at).as_secs_f64();
        let group = |group: &'a GroupState| GroupView {
            name: &group.name,
            created_at: group.created_at.to_string(),
            lag: group.lag,
            in_hand: group.in_hand,
            waiting: group.waiting,
            oldest_unacknowledged_age_seconds: group.oldest_unacknowledged.map(age),
        };
        Self {
            listed: ListedView::new(&state.listed),
            messages: state.messages,
            oldest_message_age_seconds: state.oldest_published_at.map(age),
            delayed: state.delayed,
            next_due_at: state.next_due.map(|at| at.to_string()),
            groups: state.groups.iter().map(group).collect(),
            kafka_topic: state.copy.as_ref().map(|copy| CopyView { name: &copy.topic, lag: copy.behind }),
            health: HealthView {
                status: if state.troubles.is_empty() { "ok" } else { "degraded" },
                reasons: &state.troubles,
            },
        }
    }
}

/// A message that was received.
#[derive(Debug, Serialize)]
pub(super) struct ReceivedView<'a> {
    id: String,
    number: u64,
    published_at: String,
    key: Option<&'a str>,
    data: &'a RawValue,
    attributes: &'a BTreeMap<Box<str>, Box<str>>,
    deliveries: u32,
}

impl<'a> ReceivedView<'a> {
    /// `None`: its data is no JSON, which was checked when it was published.
    pub(super) fn new(message: &'a Received) -> Option<Self> {
        Some(Self {
            id: message.id.to_string(),
            number: message.number,
            published_at: message.published_at.to_string(),
            key: message.key.as_deref(),
            data: serde_json::from_str(&message.data).ok()?,
            attributes: &message.attributes,
            deliveries: message.deliveries,
        })
    }
}
