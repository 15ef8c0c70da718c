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
use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::answer::raw_json;
use crate::api::auth::Caller;
use crate::api::body::{self, JsonBody};
use crate::api::problem::{Kind, Problem};
use crate::api::retry_key::RetryKey;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{Idempotency, NotificationId, NotificationRequest, Source};
use crate::intake::{Accepted, Defaults, FieldProblem, JsonObject, json_fields, limits, read_item};

/// Bodies above this take longer to read than other tasks of the runtime should wait: they are read on a thread of their own.
pub(super) const INLINE_BYTES_MAX: usize = 64 * 1024;

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
pub(super) struct Items<'a>(pub(super) Vec<&'a RawValue>);

/// What became of each item so far.
type Outcomes = Vec<Result<NotificationRequest, Settled>>;

/// An item that is not to be accepted.
enum Settled {
    /// It was before, under the same retry key and body.
    Known(NotificationId),
    Refused(Vec<FieldProblem>),
}

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
    let known = match key {
        Some(key) => known_items(&api, key, &body).await?,
        None => Vec::new(),
    };
    let (mut outcomes, _body) = read(&api, &caller, key, known, body).await?;
    check_endpoints(&api, &mut outcomes).await;
    let mut requests = Vec::with_capacity(outcomes.len());
    let mut settled = Vec::new();
    for (index, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(request) => requests.push(request),
            Err(outcome) => settled.push((index, outcome)),
        }
    }
    let refused = settled.iter().filter(|(_, outcome)| matches!(outcome, Settled::Refused(_))).count();
    api.refused.increment(refused as u64);
    api.repeated.increment((settled.len() - refused) as u64);
    let _place = api.bulk_place(&requests)?;
    let accepted = match (requests.is_empty(), key) {
        (false, key) => api.parts.acceptor.accept_batch(requests, key.map(RetryKey::batch)).await?,
        (true, Some(key)) if refused == settled.len() => {
            // Nothing of it goes into the log, and so nothing there can carry its key.
            api.answers.keep(key, Bytes::new());
            Vec::new()
        }
        (true, _) => Vec::new(),
    };
    Ok(raw_json(StatusCode::ACCEPTED, answer(accepted, settled)))
}

/// For a batch that came before: the items that were accepted then. Those that were not are read again.
async fn known_items(api: &Api, key: RetryKey, body: &JsonBody) -> Result<Vec<Option<Accepted>>, Problem> {
    api.answers.find(key)?;
    let acceptor = &api.parts.acceptor;
    if acceptor.find(&[key.batch()], Source::Http).await?.iter().flatten().next().is_none() {
        return Ok(Vec::new());
    }
    let bytes = body.bytes.clone();
    // A body that was accepted before is well formed.
    let count = move || serde_json::from_slice::<WireBatch<'_>>(&bytes).map_or(0, |batch| batch.items.0.len());
    let count = beside(body.bytes.len() > INLINE_BYTES_MAX, count).await;
    let keys: Vec<Idempotency> = (0..count).map(|index| key.item(index)).collect();
    Ok(acceptor.find(&keys, Source::Http).await?)
}

/// Runs it here, or on a thread of its own where it takes long.
pub(super) async fn beside<T: Send + 'static>(takes_long: bool, work: impl FnOnce() -> T + Send + 'static) -> T {
    if !takes_long {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // It cannot have been cancelled; a panic in it is one of the handler.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Reads all items, with the body given back, whose memory is counted until the end.
async fn read(
    api: &Arc<Api>,
    caller: &Caller,
    key: Option<RetryKey>,
    known: Vec<Option<Accepted>>,
    body: JsonBody,
) -> Result<(Outcomes, JsonBody), Problem> {
    let (api, tenant) = (api.clone(), caller.tenant.clone());
    let read = move |body: JsonBody| {
        let outcomes = read_items(&api, &tenant, key, &known, body.text()?)?;
        Ok((outcomes, body))
    };
    beside(body.bytes.len() > INLINE_BYTES_MAX, move || read(body)).await
}

fn read_items(
    api: &Api,
    tenant: &str,
    key: Option<RetryKey>,
    known: &[Option<Accepted>],
    text: &str,
) -> Result<Outcomes, Problem> {
    let JsonObject(WireBatch { defaults, items: Items(items) }) =
        serde_json::from_str(text).map_err(|error| Problem::fields(diagnose(text, &error)))?;
    if items.is_empty() || items.len() > limits::BATCH_ITEMS_MAX {
        let detail = format!("must have 1 to {} entries", limits::BATCH_ITEMS_MAX);
        return Err(Problem::fields(vec![FieldProblem::new("/items", detail)]));
    }
    let defaults = defaults.map(|raw| Defaults::read(raw.get())).transpose().map_err(|problems| {
        let below = |problem: FieldProblem| FieldProblem::new(format!("/defaults{}", problem.pointer), problem.detail);
        Problem::fields(problems.into_iter().map(below).collect())
    })?;
    let mut envelope = api.envelope(tenant, None);
    let outcomes = items.iter().enumerate().map(|(index, item)| {
        if let Some(Some(accepted)) = known.get(index) {
            return Err(Settled::Known(accepted.id));
        }
        envelope.idempotency = key.map(|key| key.item(index));
        let request = read_item(item.get(), defaults.as_ref(), &envelope).map_err(Settled::Refused)?;
        api.parts.contents.check(&request).map_err(|problem| Settled::Refused(vec![problem]))?;
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
            outcomes[index] = Err(Settled::Refused(vec![FieldProblem::new("/to/url", reason.clone())]));
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
fn answer(accepted: Vec<Accepted>, settled: Vec<(usize, Settled)>) -> Vec<u8> {
    let total = accepted.len() + settled.len();
    let mut body = Vec::with_capacity(16 + accepted.len() * 32 + settled.len() * 256);
    body.extend_from_slice(b"{\"items\":[");
    let mut accepted = accepted.into_iter();
    let mut settled = settled.into_iter().peekable();
    for index in 0..total {
        if index > 0 {
            body.push(b',');
        }
        let id = match settled.next_if(|(settled, _)| *settled == index) {
            Some((_, Settled::Refused(problems))) => {
                body.extend_from_slice(b"{\"error\":");
                Problem::fields(problems).write(&mut body);
                body.push(b'}');
                None
            }
            Some((_, Settled::Known(id))) => Some(id),
            None => accepted.next().map(|accepted| accepted.id),
        };
        if let Some(id) = id {
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
    let fields = match json_fields(text) {
        Ok(fields) => fields,
        Err(problem) => return vec![problem],
    };
    match fields.get("items") {
        None => return problem("/items", "is required"),
        Some(raw) if raw.get().starts_with('[') => {}
        Some(_) => return problem("/items", "must be a list"),
    }
    let unknown = fields.keys().find(|name| !matches!(name.as_str(), "items" | "defaults"));
    match unknown {
        Some(name) => {
            vec![FieldProblem::of_field(name, "is no field that is known here: use `defaults` and `items`")]
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
