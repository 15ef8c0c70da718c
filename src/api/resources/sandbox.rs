//! `/v1/sandbox/messages`: what the sandbox providers were given, for trying out and for tests.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::answer::{json, query};
use super::notifications::MessageView;
use crate::api::auth::Caller;
use crate::api::paging::{self, Page};
use crate::api::ports::{SandboxMessage, SandboxMessages};
use crate::api::problem::{Kind, Problem};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::Attachment;

pub(in crate::api) const PATH: &str = "/v1/sandbox/messages";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
    /// Only those of this notification.
    notification_id: Option<String>,
}

#[derive(Debug, Serialize)]
struct SandboxView {
    task_id: String,
    notification_id: String,
    attempt: u8,
    provider: Box<str>,
    channel: &'static str,
    to: Box<str>,
    at: String,
    message: MessageView,
    attachments: Vec<AttachmentView>,
    /// Where one click takes its recipient off the list.
    unsubscribe: Option<Box<str>>,
    collapse_key: Option<Box<str>>,
    data: Option<Box<RawValue>>,
    metadata: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
struct AttachmentView {
    name: Box<str>,
    media_type: Box<str>,
    bytes: usize,
}

/// Where nodes share the work, each engine has the messages that it sent itself.
fn sandbox(api: &Api) -> Result<&dyn SandboxMessages, Problem> {
    let elsewhere = "this node sends nothing: ask an engine, each of which has the messages that it sent itself";
    api.parts.sandbox.as_deref().ok_or_else(|| Problem::new(Kind::NotFound, elsewhere))
}

/// The tenant's messages, newest first, as far as the sandbox still has them.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    parameters: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    let ListQuery { limit, cursor, notification_id } = query(parameters)?;
    let limit = paging::limit(limit)?;
    let before = paging::read_cursor(cursor.as_deref(), |text| text.parse::<u64>().ok())?;
    let mut messages = match notification_id {
        None => sandbox(&api)?.messages(&caller.tenant, before, limit + 1),
        Some(id) => messages_of(sandbox(&api)?, &caller.tenant, before, &id, limit + 1),
    };
    let has_more = messages.len() > limit;
    messages.truncate(limit);
    let last = messages.last().filter(|_| has_more);
    let next_cursor = last.map(|last| paging::cursor(&last.number.to_string()));
    json(&Page { data: messages.into_iter().map(SandboxView::new).collect(), next_cursor })
}

/// Those of one notification, at most `limit`; a few at a time, because what is not asked for is copied, too.
fn messages_of(
    sandbox: &dyn SandboxMessages,
    tenant: &str,
    mut before: Option<u64>,
    id: &str,
    limit: usize,
) -> Vec<SandboxMessage> {
    let mut found = Vec::new();
    while found.len() < limit {
        let messages = sandbox.messages(tenant, before, paging::LIMIT_MAX);
        let Some(last) = messages.last() else { break };
        before = Some(last.number);
        found.extend(messages.into_iter().filter(|message| message.task.notification().to_string() == id));
    }
    found.truncate(limit);
    found
}

/// Forgets the tenant's messages.
pub(in crate::api) async fn clear(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> Answer {
    #[derive(Serialize)]
    struct ClearView {
        status: &'static str,
    }
    sandbox(&api)?.clear(&caller.tenant);
    json(&ClearView { status: "cleared" })
}

impl AttachmentView {
    fn new(attachment: Attachment) -> Self {
        let bytes = attachment.content.len();
        Self { name: attachment.name, media_type: attachment.media_type, bytes }
    }
}

impl SandboxView {
    fn new(message: SandboxMessage) -> Self {
        let raw = |text: Box<str>| RawValue::from_string(text.into_string()).ok();
        Self {
            task_id: message.task.to_string(),
            notification_id: message.task.notification().to_string(),
            attempt: message.attempt,
            provider: message.provider,
            channel: message.channel.name(),
            to: message.address.as_str().into(),
            at: message.at.to_string(),
            message: MessageView::new(&message.parts),
            attachments: message.attachments.into_iter().map(AttachmentView::new).collect(),
            unsubscribe: message.unsubscribe,
            collapse_key: message.collapse_key,
            data: raw(message.data),
            metadata: raw(message.metadata),
        }
    }
}
