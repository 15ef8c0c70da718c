//! A request as `POST /v1/notifications` takes it, as far as a rule can say it.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::{Content, NotificationRequest, Recipient};

#[derive(Debug, Serialize)]
pub(super) struct RequestView {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<RecipientView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<ContentView>,
    /// Null: it cannot be shown.
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<Box<str>>,
    priority: &'static str,
    channels: Vec<&'static str>,
    routing: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dedup_key: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dedup_window_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregate: Option<AggregateView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    collapse_key: Option<Box<str>>,
    metadata: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
struct RecipientView {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    push_token: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat: Option<Box<str>>,
}

#[derive(Debug, Serialize)]
struct ContentView {
    title: Box<str>,
    body: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sms: Option<Box<str>>,
}

#[derive(Debug, Serialize)]
struct AggregateView {
    key: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_seconds: Option<u32>,
}

impl RequestView {
    pub(super) fn new(request: NotificationRequest) -> Self {
        let (template, content) = match request.content {
            Content::Template { code } => (Some(code), None),
            Content::Inline { title, body, html, sms } => (None, Some(ContentView { title, body, html, sms })),
        };
        let raw = |text: Box<str>| RawValue::from_string(text.into()).ok();
        let has_address = request.to != Recipient::default();
        let Recipient { email, phone, push_token, url, chat } = request.to;
        Self {
            user_id: request.user_id,
            to: has_address.then_some(RecipientView { email, phone, push_token, url, chat }),
            template,
            content,
            data: raw(request.data),
            category: request.category,
            priority: request.priority.name(),
            channels: request.channels.into_iter().map(|channel| channel.name()).collect(),
            routing: request.routing.name(),
            locale: request.locale,
            deliver_at: request.deliver_at.map(|at| at.to_string()),
            expires_at: request.expires_at.map(|at| at.to_string()),
            dedup_key: request.dedup_key,
            dedup_window_seconds: request.dedup_window_seconds,
            aggregate: request.aggregate.map(|aggregate| AggregateView {
                key: aggregate.key,
                actor: aggregate.actor,
                window_seconds: aggregate.window_seconds,
            }),
            collapse_key: request.collapse_key,
            metadata: raw(request.metadata),
        }
    }
}
