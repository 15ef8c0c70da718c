//! An event as others read it: a CloudEvent 1.0 in JSON, structured mode. It names the user and says nothing of addresses, contents
//! or metadata: what stands in a topic cannot be taken back when the user is erased.

use bytes::Bytes;
use serde::Serialize;

use crate::domain::{Event, NotificationId, Plan, WHOLE, cut};
use crate::log::{Outlet, Told};

/// The content type of the structured mode (CloudEvents, JSON event format, 3).
const CONTENT_TYPE: Bytes = Bytes::from_static(b"application/cloudevents+json");
/// Providers write essays; the first of this says what is wrong.
const REASON_BYTES_MAX: usize = 2 * 1024;

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    /// The same fact has the same id, however often it is told.
    id: &'a str,
    source: &'static str,
    r#type: String,
    /// The task, or the notification where there are no tasks.
    subject: &'a str,
    time: String,
    datacontenttype: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    tenant: &'a str,
    notification_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    category: Option<&'a str>,
    priority: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_message_id: Option<&'a str>,
    /// None for what planning did.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
    /// Of what a program did, such as a mail scanner.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    by_machine: bool,
}

/// One event of one of the plan's tasks, or of all of it.
pub(in crate::outcomes) fn told(plan: &Plan, event: &Event) -> Told {
    let notification_id = NotificationId(event.task.position).to_string();
    let task_id = (event.task.ordinal != WHOLE).then(|| event.task.to_string());
    let subject = task_id.as_deref().unwrap_or(&notification_id);
    let which = match event.occasion {
        0 => String::new(),
        occasion => format!("-{occasion:016x}"),
    };
    let cloud_event = CloudEvent {
        specversion: "1.0",
        id: &format!("{subject}-{}{which}", event.sequence()),
        source: "fanfare",
        r#type: format!("fanfare.task.{}", event.kind.name()),
        subject,
        time: event.at.to_string(),
        datacontenttype: "application/json",
        data: Data {
            tenant: &plan.tenant,
            notification_id: &notification_id,
            task_id: task_id.as_deref(),
            user_id: plan.user_id.as_deref(),
            category: plan.category.as_deref(),
            priority: plan.priority().name(),
            channel: event.channel.map(|channel| channel.name()),
            provider: event.provider.as_deref(),
            provider_message_id: event.provider_message_id.as_deref(),
            attempt: Some(event.attempt).filter(|attempt| *attempt > 0),
            reason: event.reason.as_deref().map(|reason| cut(reason, REASON_BYTES_MAX)),
            due_at: event.due.map(|due| due.to_string()),
            by_machine: event.by_machine,
        },
    };
    let mut body = Vec::with_capacity(512);
    serde_json::to_writer(&mut body, &cloud_event).expect("a vector takes all bytes, and no field here can fail");
    let key = plan.user_id.as_deref().unwrap_or(&notification_id);
    Told {
        outlet: Outlet::Deliveries,
        key: Bytes::copy_from_slice(key.as_bytes()),
        body: body.into(),
        headers: vec![("content-type", CONTENT_TYPE)],
    }
}
