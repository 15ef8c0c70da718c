//! `POST /v1/notifications/batch`: up to 10,000 at once, in one append. An item that is wrong is answered in its place
//! and does not stop the others.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::answer::raw_json;
use crate::api::auth::Caller;
use crate::api::body::{self, JsonBody};
use crate::api::problem::{Kind, Problem};
use crate::api::retry_key::RetryKey;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{NotificationRequest, Source};
use crate::intake::{Accepted, Defaults, Envelope, FieldProblem, limits, read_item};

/// Bodies above this take longer to read than other tasks of the runtime should wait: they are read on a thread of their own.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Names that are resolved at once.
const RESOLVING_MAX: usize = 32;
/// The longest that all of them together may take.
const RESOLVING_WAIT_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireBatch<'a> {
    #[serde(borrow, default)]
    defaults: Option<&'a RawValue>,
    #[serde(borrow)]
    items: Items<'a>,
}

/// The items' texts. Of a list that is too long one more than is allowed is kept, to be told apart.
#[derive(Debug)]
struct Items<'a>(Vec<&'a RawValue>);

/// What became of each item so far.
type Outcomes = Vec<Result<NotificationRequest, Vec<FieldProblem>>>;

pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    if request.uri().query().is_some() {
        return Err(Problem::new(Kind::BadRequest, "a batch has no parameters: a dry run is for one notification"));
    }
    let (head, body) = body::read(&api, request, api.parts.http.max_batch_body.as_usize()).await?;
    let key = RetryKey::read(&head.headers, &caller.tenant, "POST /v1/notifications/batch", &body.bytes)?;
    let (mut outcomes, _body) = read(&api, &caller, key, body).await?;
    check_endpoints(&api, &mut outcomes).await;
    let mut requests = Vec::with_capacity(outcomes.len());
    let mut refusals = Vec::new();
    for (index, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(request) => requests.push(request),
            Err(problems) => refusals.push((index, problems)),
        }
    }
    api.refused.increment(refusals.len() as u64);
    let accepted = if requests.is_empty() { Vec::new() } else { api.parts.acceptor.accept(requests).await? };
    Ok(raw_json(StatusCode::ACCEPTED, answer(accepted, refusals)))
}

/// Reads all items, with the body given back, whose memory is counted until the end.
async fn read(
    api: &Arc<Api>,
    caller: &Caller,
    key: Option<RetryKey>,
    body: JsonBody,
) -> Result<(Outcomes, JsonBody), Problem> {
    let is_small = body.bytes.len() <= INLINE_BYTES_MAX;
    let (api, tenant) = (api.clone(), caller.tenant.clone());
    let read = move || {
        let outcomes = read_items(&api, &tenant, key, body.text()?)?;
        Ok((outcomes, body))
    };
    if is_small {
        return read();
    }
    match tokio::task::spawn_blocking(read).await {
        Ok(outcome) => outcome,
        // It cannot have been cancelled; a panic in it is one of the handler.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn read_items(api: &Api, tenant: &str, key: Option<RetryKey>, text: &str) -> Result<Outcomes, Problem> {
    let WireBatch { defaults, items: Items(items) } =
        serde_json::from_str(text).map_err(|error| Problem::fields(diagnose(text, &error)))?;
    if items.is_empty() || items.len() > limits::BATCH_ITEMS_MAX {
        let detail = format!("must have 1 to {} entries", limits::BATCH_ITEMS_MAX);
        return Err(Problem::fields(vec![FieldProblem::new("/items", detail)]));
    }
    let defaults = defaults.map(|raw| Defaults::read(raw.get())).transpose().map_err(|problems| {
        let below = |problem: FieldProblem| FieldProblem::new(format!("/defaults{}", problem.pointer), problem.detail);
        Problem::fields(problems.into_iter().map(below).collect())
    })?;
    let mut envelope = Envelope { tenant, source: Source::Http, idempotency: None, now: api.parts.clock.now() };
    let outcomes = items.iter().enumerate().map(|(index, item)| {
        envelope.idempotency = key.map(|key| key.item(index));
        let request = read_item(item.get(), defaults.as_ref(), &envelope)?;
        api.parts.contents.check(&request).map_err(|problem| vec![problem])?;
        Ok(request)
    });
    Ok(outcomes.collect())
}

/// Asks about each webhook's host once. What is not answered in time is let through, as it is for a single notification:
/// every send is checked again.
async fn check_endpoints(api: &Api, outcomes: &mut Outcomes) {
    let mut hosts: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        if let Ok(NotificationRequest { to, .. }) = outcome
            && let Some(url) = &to.url
        {
            let indexes = hosts.entry(origin(url).to_owned());
            indexes.or_default().push(index);
        }
    }
    if hosts.is_empty() {
        return;
    }
    let endpoints = &api.parts.endpoints;
    let checks = stream::iter(hosts).map(async |(origin, indexes)| (endpoints.check(&origin).await, indexes));
    let mut checked = std::pin::pin!(checks.buffer_unordered(RESOLVING_MAX));
    let mut limit = api.parts.clock.sleep(RESOLVING_WAIT_MAX);
    loop {
        let (outcome, indexes) = match select(checked.next(), limit).await {
            Either::Left((Some(answered), rest)) => {
                limit = rest;
                answered
            }
            _ => return,
        };
        let Err(reason) = outcome else { continue };
        for index in indexes {
            outcomes[index] = Err(vec![FieldProblem::new("/to/url", reason.clone())]);
        }
    }
}

/// Scheme, host and port: what decides whether an address may be reached.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |colon| colon + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |end| host + end);
    &url[..end]
}

/// The answer, written by hand: ten thousand ids.
fn answer(accepted: Vec<Accepted>, refusals: Vec<(usize, Vec<FieldProblem>)>) -> Vec<u8> {
    let total = accepted.len() + refusals.len();
    let mut body = Vec::with_capacity(16 + accepted.len() * 32 + refusals.len() * 256);
    body.extend_from_slice(b"{\"items\":[");
    let mut accepted = accepted.into_iter();
    let mut refusals = refusals.into_iter().peekable();
    for index in 0..total {
        if index > 0 {
            body.push(b',');
        }
        if let Some((_, problems)) = refusals.next_if(|(refused, _)| *refused == index) {
            body.extend_from_slice(b"{\"error\":");
            Problem::fields(problems).write(&mut body);
            body.push(b'}');
        } else if let Some(Accepted { id, .. }) = accepted.next() {
            // Writing into memory cannot fail.
            let _ = write!(body, "{{\"id\":\"{id}\"}}");
        }
    }
    body.extend_from_slice(b"]}");
    body
}

/// What is wrong with the frame of a batch.
fn diagnose(text: &str, error: &serde_json::Error) -> Vec<FieldProblem> {
    let problem = |pointer: &'static str, detail: &str| vec![FieldProblem::new(pointer, detail)];
    let fields = match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return problem("", "must be an object with `items`"),
        Err(_) => return problem("", &format!("is no JSON: {error}")),
    };
    match fields.get("items") {
        None => return problem("/items", "is required"),
        Some(Value::Array(_)) => {}
        Some(_) => return problem("/items", "must be a list"),
    }
    let unknown = fields.keys().find(|name| !matches!(name.as_str(), "items" | "defaults"));
    match unknown {
        Some(name) => {
            let name: String = name.chars().take(80).collect();
            let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            vec![FieldProblem::new(pointer, "is no field that is known here: use `defaults` and `items`")]
        }
        None => problem("", &error.to_string()),
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;

        impl<'de> Visitor<'de> for Texts {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Items<'de>, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element()? {
                    texts.push(text);
                    if texts.len() > limits::BATCH_ITEMS_MAX {
                        while items.next_element::<IgnoredAny>()?.is_some() {}
                        break;
                    }
                }
                Ok(Items(texts))
            }
        }

        deserializer.deserialize_seq(Texts)
    }
}
