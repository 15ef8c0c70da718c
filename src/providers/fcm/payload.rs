//! The message as FCM takes it.

use bytes::Bytes;
use serde::Serialize;

use crate::domain::{Message, Priority, Timestamp};
use crate::providers::push::{self, Data, TASK_KEY};

#[derive(Serialize)]
struct Body<'a> {
    message: Content<'a>,
}

#[derive(Serialize)]
struct Content<'a> {
    token: &'a str,
    notification: Notification<'a>,
    data: Data<'a>,
    android: Android<'a>,
    apns: Apns<'a>,
    webpush: Webpush<'a>,
}

#[derive(Serialize)]
struct Notification<'a> {
    title: &'a str,
    body: &'a str,
}

#[derive(Serialize)]
struct Android<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    collapse_key: Option<&'a str>,
    priority: &'a str,
    ttl: &'a str,
}

#[derive(Serialize)]
struct Apns<'a> {
    headers: ApnsHeaders<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ApnsHeaders<'a> {
    apns_priority: &'a str,
    apns_expiration: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    apns_collapse_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Webpush<'a> {
    headers: WebpushHeaders<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WebpushHeaders<'a> {
    #[serde(rename = "TTL")]
    ttl: &'a str,
    urgency: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
}

/// The bytes of what counts: texts and data, without what JSON adds.
pub(super) fn size(message: &Message) -> usize {
    let parts = &message.parts;
    let data: usize = push::data(message).map(|(name, value)| name.len() + value.len()).sum();
    parts.push_title().len() + parts.push_body().len() + data
}

pub(super) fn write(message: &Message, token: &str, now: Timestamp) -> Bytes {
    let parts = &message.parts;
    let task = message.task.to_string();
    let seconds = push::seconds_left(message, now).to_string();
    let ttl = format!("{seconds}s");
    let ends_at = push::ends_at(message).to_string();
    let topic = message.collapse_key.as_deref().map(push::topic);
    let (android, apns, web) = urgency(message.priority);
    let content = Content {
        token,
        notification: Notification { title: parts.push_title(), body: parts.push_body() },
        data: Data { message, task: &task },
        android: Android { collapse_key: message.collapse_key.as_deref(), priority: android, ttl: &ttl },
        apns: Apns {
            headers: ApnsHeaders { apns_priority: apns, apns_expiration: &ends_at, apns_collapse_id: topic.as_deref() },
        },
        webpush: Webpush { headers: WebpushHeaders { ttl: &seconds, urgency: web, topic: topic.as_deref() } },
    };
    let mut body = Vec::with_capacity(512 + token.len() + TASK_KEY.len() + size(message));
    serde_json::to_writer(&mut body, &Body { message: content }).expect("texts are JSON, and a vector takes all bytes");
    body.into()
}

/// Android's priority, that of APNs and the urgency of RFC 8030.
fn urgency(priority: Priority) -> (&'static str, &'static str, &'static str) {
    let android = match priority {
        Priority::Critical | Priority::High => "HIGH",
        Priority::Normal | Priority::Low => "NORMAL",
    };
    (android, push::apns_priority(priority), push::web_urgency(priority))
}
