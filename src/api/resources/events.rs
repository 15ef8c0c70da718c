//! `POST /v1/events`: what happened, one by one or many at once. An event of a batch that is wrong is answered in its place and does
//! not stop the others.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use serde::Serialize;

use super::answer::raw_json;
use super::batch::{INLINE_BYTES_MAX, Items, beside};
use crate::api::auth::Caller;
use crate::api::body::{self, JsonBody};
use crate::api::problem::{FieldView, Kind, Problem};
use crate::api::retry_key::RetryKey;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::audience::{Applied, EventReading, Refusal, RuleOutcome, Taken, read_event};
use crate::domain::{DomainEvent, Source, Timestamp};
use crate::intake::{FieldProblem, limits};

mod headers;

use headers::{EventHeaders, Format};

/// What a retry key is for here.
const CALL: &str = "POST /v1/events";

/// A longer answer is not kept for retries: what comes of the same events again says the same.
const KEPT_BYTES_MAX: usize = 4096;

/// What a body tells of.
enum Told {
    One(Box<DomainEvent>),
    Many(Vec<Result<DomainEvent, Vec<FieldProblem>>>),
}

pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    if request.uri().query().is_some() {
        return Err(Problem::new(Kind::BadRequest, "events have no parameters: try a rule with /v1/rules/{name}/test"));
    }
    let (head, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let key = RetryKey::read(&head.headers, &caller.tenant, CALL, &body.bytes)?;
    let kept = key.map(|key| api.answers.find(key)).transpose()?.flatten();
    if let Some(answer) = kept.filter(|answer| !answer.is_empty()) {
        return Ok(raw_json(StatusCode::ACCEPTED, answer));
    }
    let (told, _body) = read(&api, &caller, &head.headers, key, body).await?;
    let answer = match told {
        Told::One(event) => one(&api, *event).await?,
        Told::Many(events) => many(&api, events).await?,
    };
    let answer = Bytes::from(answer);
    if let Some(key) = key {
        // An empty one says with which body the key was used.
        api.answers.keep(key, if answer.len() > KEPT_BYTES_MAX { Bytes::new() } else { answer.clone() });
    }
    Ok(raw_json(StatusCode::ACCEPTED, answer))
}

/// Reads all events, with the body given back, whose memory is counted until the end.
async fn read(
    api: &Api,
    caller: &Caller,
    headers: &HeaderMap,
    key: Option<RetryKey>,
    body: JsonBody,
) -> Result<(Told, JsonBody), Problem> {
    let (tenant, now) = (caller.tenant.clone(), api.parts.clock.now());
    let headers = EventHeaders::read(headers)?;
    let read = move |body: JsonBody| {
        let text = body.text()?;
        let told = match headers.format(text) {
            Format::One => one_of(text, &tenant, now, &headers)?,
            Format::Batch { of_cloud_events } => many_of(text, &tenant, now, key, of_cloud_events)?,
        };
        Ok((told, body))
    };
    beside(body.bytes.len() > INLINE_BYTES_MAX, move || read(body)).await
}

fn one_of(text: &str, tenant: &str, now: Timestamp, headers: &EventHeaders) -> Result<Told, Problem> {
    let header = |name: &str| headers.get(name);
    let event = read_event(text, &EventReading { tenant, told_by: Source::Http, now, headers: &header });
    event.map(|event| Told::One(Box::new(event))).map_err(Problem::fields)
}

fn many_of(
    text: &str,
    tenant: &str,
    now: Timestamp,
    key: Option<RetryKey>,
    of_cloud_events: bool,
) -> Result<Told, Problem> {
    let Items(items) = serde_json::from_str(text).map_err(|error| {
        let detail =
            if text.trim_ascii_start().starts_with('[') { format!("is no JSON: {error}") } else { must_be_list() };
        Problem::fields(vec![FieldProblem::new("", detail)])
    })?;
    if items.is_empty() || items.len() > limits::BATCH_ITEMS_MAX {
        let detail = format!("must have 1 to {} events", limits::BATCH_ITEMS_MAX);
        return Err(Problem::fields(vec![FieldProblem::new("", detail)]));
    }
    let events = items.into_iter().enumerate().map(|(index, item)| {
        let id = key.map(|key| key.name(index));
        let header = |name: &str| match name {
            "content-type" if of_cloud_events => Some("application/cloudevents+json"),
            "idempotency-key" => id.as_deref(),
            _ => None,
        };
        read_event(item.get(), &EventReading { tenant, told_by: Source::Http, now, headers: &header })
    });
    Ok(Told::Many(events.collect()))
}

fn must_be_list() -> String {
    "must be a list of events".to_owned()
}

async fn one(api: &Api, event: DomainEvent) -> Result<Vec<u8>, Problem> {
    let name = Name::of(&event);
    let _place = api.event_place()?;
    let taken = api.parts.events.take(vec![event]).await?.into_iter().next().ok_or_else(lost)?;
    let mut answer = Vec::new();
    match taken {
        Taken::Used(applied) => name.write(&applied, &mut answer),
        Taken::Refused(refusal) => return Err(refusal.into()),
    }
    Ok(answer)
}

async fn many(api: &Api, read: Vec<Result<DomainEvent, Vec<FieldProblem>>>) -> Result<Vec<u8>, Problem> {
    let mut events = Vec::with_capacity(read.len());
    let names: Vec<Result<Name, Problem>> = read
        .into_iter()
        .map(|read| match read {
            Ok(event) => {
                let name = Name::of(&event);
                events.push(event);
                Ok(name)
            }
            Err(problems) => Err(Problem::fields(problems)),
        })
        .collect();
    let taken = match events.is_empty() {
        true => Vec::new(),
        false => {
            let _place = api.event_place()?;
            api.parts.events.take(events).await?
        }
    };
    let mut taken = taken.into_iter();
    let mut answer = br#"{"items":["#.to_vec();
    for (index, name) in names.into_iter().enumerate() {
        if index > 0 {
            answer.push(b',');
        }
        let outcome = match name {
            Ok(name) => match taken.next().ok_or_else(lost)? {
                Taken::Used(applied) => Ok((name, applied)),
                Taken::Refused(refusal) => Err(refusal.into()),
            },
            Err(problem) => Err(problem),
        };
        match outcome {
            Ok((name, applied)) => name.write(&applied, &mut answer),
            Err(problem) => {
                answer.extend_from_slice(br#"{"error":"#);
                problem.write(&mut answer);
                answer.push(b'}');
            }
        }
    }
    answer.extend_from_slice(b"]}");
    Ok(answer)
}

/// The door said of fewer events what became of them than it was given.
fn lost() -> Problem {
    Problem::new(Kind::Internal, "what became of an event is not known: send it again under its id")
}

/// What an event is called in its answer.
struct Name {
    id: Box<str>,
    event_type: Box<str>,
}

#[derive(Serialize)]
struct UsedView<'a> {
    id: &'a str,
    r#type: &'a str,
    notifications: Vec<MadeView<'a>>,
    /// Those who follow the subject are many: a campaign tells them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fan_outs: Vec<MadeView<'a>>,
    /// The rules for the type that made nothing of it.
    passed: Vec<PassedView<'a>>,
}

#[derive(Serialize)]
struct MadeView<'a> {
    rule: &'a str,
    id: String,
}

#[derive(Serialize)]
struct PassedView<'a> {
    rule: &'a str,
    /// `condition_fails`, `nobody_follows` or `impossible`.
    reason: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldView<'a>>,
}

impl Name {
    fn of(event: &DomainEvent) -> Self {
        Self { id: event.id.clone(), event_type: event.event_type.clone() }
    }

    fn write(&self, applied: &[Applied], out: &mut Vec<u8>) {
        let mut view = UsedView {
            id: &self.id,
            r#type: &self.event_type,
            notifications: Vec::new(),
            fan_outs: Vec::new(),
            passed: Vec::new(),
        };
        for Applied { rule, outcome } in applied {
            let passed = |reason, problems| PassedView { rule, reason, errors: FieldView::all(problems) };
            match outcome {
                RuleOutcome::Made { id, .. } => view.notifications.push(MadeView { rule, id: id.to_string() }),
                RuleOutcome::FannedOut { id } => view.fan_outs.push(MadeView { rule, id: id.to_string() }),
                RuleOutcome::NobodyFollows => view.passed.push(passed("nobody_follows", &[])),
                RuleOutcome::ConditionFails => view.passed.push(passed("condition_fails", &[])),
                RuleOutcome::Impossible(problems) => view.passed.push(passed("impossible", problems)),
            }
        }
        // Texts can always be written into memory.
        let _ = serde_json::to_writer(out, &view);
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownType { event_type, near } => {
                let hint = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
                let detail = format!("`{event_type}` is no event type that is declared{hint}");
                Problem::unusable(vec![FieldProblem::new("/type", detail)])
            }
            Refusal::Invalid(problems) => Problem::unusable(problems),
        }
    }
}
