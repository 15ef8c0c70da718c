//! `POST /v1/topics/{topic}/messages`, and taking a message back that is to come later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::read_body;
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::problem::Problem;
use crate::api::resources::answer::{json, names};
use crate::api::retry_key::RetryKey;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{MessageId, Timestamp};
use crate::intake::FieldProblem;
use crate::topics::{Cancelled, NewMessage, Published, TopicName};

/// One message, or several.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said<'a> {
    #[serde(borrow)]
    messages: Option<Vec<SaidMessage<'a>>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    key: Option<String>,
    attributes: Option<BTreeMap<String, String>>,
    deliver_at: Option<String>,
    delay_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SaidMessage<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    key: Option<String>,
    attributes: Option<BTreeMap<String, String>>,
    deliver_at: Option<String>,
    delay_seconds: Option<u64>,
}

impl SaidMessage<'_> {
    fn message(self, at: &str, now: Timestamp, retry: Option<u64>) -> Result<NewMessage, FieldProblem> {
        let field = |name: &str, detail: &str| FieldProblem::new(format!("{at}/{name}"), detail.to_owned());
        let data = self.data.ok_or_else(|| field("data", "is required"))?.get().to_owned();
        let deliver_at = match (self.deliver_at, self.delay_seconds) {
            (Some(_), Some(_)) => return Err(field("delay_seconds", "says the same as `deliver_at`: leave one out")),
            (Some(text), None) => {
                let wrong = || field("deliver_at", "must be a time as RFC 3339 has it: 2026-11-21T12:00:00Z");
                Some(Timestamp::parse(&text).ok_or_else(wrong)?)
            }
            (None, Some(seconds)) => Some(now + Duration::from_secs(seconds)),
            (None, None) => None,
        };
        let attributes = self.attributes.unwrap_or_default();
        Ok(NewMessage { data, key: self.key, attributes, deliver_at, retry })
    }
}

#[derive(Serialize)]
struct PublishedView {
    id: String,
    /// Null: it comes later.
    number: Option<u64>,
    status: &'static str,
}

impl PublishedView {
    fn new(published: &Published) -> Self {
        let Published { id, number, .. } = published;
        let status = if number.is_some() { "published" } else { "delayed" };
        Self { id: id.to_string(), number: *number, status }
    }
}

pub(in crate::api) async fn publish(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let topic = TopicName::new(&caller.tenant, &names(path)?);
    let (head, body) = body::read(&api, request, api.parts.http.max_batch_body.as_usize()).await?;
    let call = format!("POST /v1/topics/{}/messages", topic.name);
    let key = RetryKey::read(&head.headers, &caller.tenant, &call, &body.bytes)?;
    let said: Said<'_> = read_body(body.text()?)?;
    let (messages, one) = messages(said, api.parts.clock.now(), key)?;
    let _place = api.event_place()?;
    let published = api.parts.topics.publish(&topic, messages).await?;
    let views: Vec<PublishedView> = published.iter().map(PublishedView::new).collect();
    let mut response = match (one, views.first()) {
        (true, Some(view)) => json(view)?,
        _ => {
            #[derive(Serialize)]
            struct All {
                messages: Vec<PublishedView>,
            }
            json(&All { messages: views })?
        }
    };
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// The messages of a body, and whether it is one that stands alone.
fn messages(said: Said<'_>, now: Timestamp, key: Option<RetryKey>) -> Result<(Vec<NewMessage>, bool), Problem> {
    // Half of the hash of the header is as good as the whole for so few.
    let retry = |index: usize| key.map(|key| key.item(index).key.0 as u64);
    let wrong = |problem| Problem::fields(vec![problem]);
    let Said { messages, data, key: subject, attributes, deliver_at, delay_seconds } = said;
    let Some(messages) = messages else {
        let only = SaidMessage { data, key: subject, attributes, deliver_at, delay_seconds };
        return Ok((vec![only.message("", now, retry(0)).map_err(wrong)?], true));
    };
    let beside =
        data.is_some() || subject.is_some() || attributes.is_some() || deliver_at.is_some() || delay_seconds.is_some();
    if beside {
        return Err(wrong(FieldProblem::new("/messages", "stands alone: each message says what it has itself")));
    }
    let read = messages.into_iter().enumerate();
    let read = read.map(|(index, message)| message.message(&format!("/messages/{index}"), now, retry(index)));
    Ok((read.collect::<Result<_, _>>().map_err(wrong)?, false))
}

/// `DELETE /v1/topics/{topic}/messages/{id}`: a message that is to come later never comes.
pub(in crate::api) async fn cancel(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Answer {
    #[derive(Serialize)]
    struct CancelledView {
        id: String,
        status: &'static str,
    }
    let (topic, id) = names(path)?;
    let id = MessageId::parse(&id).ok_or_else(Problem::not_found)?;
    let cancelled = api.parts.topics.cancel(&TopicName::new(&caller.tenant, &topic), id).await?;
    let status = match cancelled {
        Cancelled::Cancelled => "cancelled",
        Cancelled::TooLate => "too_late",
    };
    json(&CancelledView { id: id.to_string(), status })
}
