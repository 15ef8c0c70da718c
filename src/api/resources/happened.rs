//! What programs tell of messages: `POST /v1/conversions`, and `POST /v1/tasks/{id}/events` of what no provider sees, as an app that
//! opens a push message. For keys; the second for the user's own programs, too.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::Serialize;

use super::answer::{id, once, raw_json, written};
use super::receipts::look_early;
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::problem::{Kind, Problem};
use crate::api::profile::{Fields, Problems};
use crate::api::retry_key::RetryKey;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{Event, EventKind, NotificationId, Position, Story, TaskId, Timestamp, UserKey};
use crate::intake::FieldProblem;
use crate::outcomes::occasion;

/// What a conversion is called: a word, so that nothing personal gets into it.
const NAME_CHARS_MAX: usize = 64;
const ID_BYTES_MAX: usize = 256;
/// How far clocks may be apart.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(300);
/// Times of one kind that are noted of a task, as of the pixel.
const TIMES_MAX: usize = 100;

/// What a body says.
struct Said {
    kind: EventKind,
    name: Option<Box<str>>,
    id: Option<Box<str>>,
    occurred_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct NotedView {
    notification_id: String,
    task_id: String,
    r#type: &'static str,
}

/// A user did what a message was for. The same `id` once more is the same conversion.
pub(in crate::api) async fn convert(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let (head, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let key = RetryKey::read(&head.headers, &caller.tenant, "POST /v1/conversions", &body.bytes)?;
    let mut problems = Problems::default();
    let mut fields = Fields::read(body.text()?, "").map_err(|problem| Problem::fields(vec![problem]))?;
    let of_notification = fields.text("notification_id", &mut problems, |text| {
        text.parse::<NotificationId>().map_err(|_| "is no id of a notification")
    });
    let of_task =
        fields.text("task_id", &mut problems, |text| text.parse::<TaskId>().map_err(|_| "is no id of a task"));
    let (of_notification, of_task) = (of_notification.flatten(), of_task.flatten());
    if problems.is_empty() && of_notification.is_some() == of_task.is_some() {
        problems.add("", "needs one of `notification_id` and `task_id`");
    }
    let name = fields.text("name", &mut problems, name).flatten();
    let said = read(fields, problems, EventKind::Converted, name)?;
    let answer = once(&api, key, async || {
        let position = of_task.map(|task| task.position).or(of_notification.map(|id| id.0));
        let position = position.ok_or_else(Problem::not_found)?;
        let story = story(&api, &caller, position).await?;
        let ordinal = match of_task {
            Some(task) => usize::from(task.ordinal),
            // Of several channels, the first that reached somebody.
            None => (0..story.plan.tasks().len())
                .find(|ordinal| story.state(*ordinal).is_some_and(|state| state.is_taken()))
                .unwrap_or_default(),
        };
        let event = event(&api, &story, ordinal, said, key)?;
        // Told of by the notification it may stand at another of its tasks.
        let is_known = |known: &Event| known.kind == event.kind && known.occasion == event.occasion;
        if let Some(known) = story.events.iter().find(|known| is_known(known)) {
            return view(known.task, known.kind);
        }
        if !may_have_gone(&story, ordinal, api.parts.clock.now()) {
            return Err(not_sent());
        }
        note(&api, &story, event).await
    });
    Ok(raw_json(StatusCode::ACCEPTED, answer.await?))
}

/// A program saw a message, or its user did something with it.
pub(in crate::api) async fn tell(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let task: TaskId = id(path)?;
    let (head, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let key = RetryKey::read(&head.headers, &caller.tenant, "POST /v1/tasks/events", &body.bytes)?;
    let mut problems = Problems::default();
    let mut fields = Fields::read(body.text()?, "").map_err(|problem| Problem::fields(vec![problem]))?;
    let kind = fields.required("type", &mut problems, |text| match text {
        "opened" => Ok(EventKind::Opened),
        "clicked" => Ok(EventKind::Clicked),
        "delivered" => Ok(EventKind::Delivered),
        _ => Err("must be one of: opened, clicked, delivered"),
    });
    let said = read(fields, problems, kind.unwrap_or(EventKind::Opened), None)?;
    let answer = once(&api, key, async || {
        let story = story(&api, &caller, task.position).await?;
        let ordinal = usize::from(task.ordinal);
        let event = event(&api, &story, ordinal, said, key)?;
        if !may_have_gone(&story, ordinal, api.parts.clock.now()) {
            return Err(not_sent());
        }
        note(&api, &story, event).await
    });
    Ok(raw_json(StatusCode::ACCEPTED, answer.await?))
}

fn not_sent() -> Problem {
    Problem::new(Kind::State, "the message was not sent yet: nobody can have seen it")
}

fn read(
    mut fields: Fields<'_>,
    mut problems: Problems,
    kind: EventKind,
    name: Option<Box<str>>,
) -> Result<Said, Problem> {
    let id = fields.text("id", &mut problems, |text| match (1..=ID_BYTES_MAX).contains(&text.len()) {
        true => Ok(Box::from(text)),
        false => Err(format!("must have 1 to {ID_BYTES_MAX} bytes")),
    });
    let occurred_at = fields.text("occurred_at", &mut problems, |text| {
        Timestamp::parse(text).ok_or("is no time: write it as \"2026-11-21T12:00:00Z\"")
    });
    fields.end(&mut problems);
    let said = Said { kind, name, id: id.flatten(), occurred_at: occurred_at.flatten() };
    problems.or(said).map_err(Problem::fields)
}

fn name(text: &str) -> Result<Box<str>, String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || " ._:-".contains(letter);
    match (1..=NAME_CHARS_MAX).contains(&text.len()) && text.chars().all(is_plain) {
        true => Ok(text.into()),
        false => Err(format!("must have 1 to {NAME_CHARS_MAX} letters, digits, spaces or any of . _ : -")),
    }
}

/// What is held of a notification, if the caller may know of it.
async fn story(api: &Api, caller: &Caller, position: Position) -> Result<Story, Problem> {
    let story = api.parts.store.stories(&[position]).await?.pop().flatten();
    let is_own = |story: &Story| {
        let of_user = caller.only.as_deref().is_none_or(|only| story.plan.user_id.as_deref() == Some(only));
        *story.plan.tenant == *caller.tenant && of_user
    };
    story.filter(is_own).ok_or_else(Problem::not_found)
}

fn event(api: &Api, story: &Story, ordinal: usize, said: Said, key: Option<RetryKey>) -> Result<Event, Problem> {
    if ordinal >= story.plan.tasks().len() {
        return Err(Problem::not_found());
    }
    let now = api.parts.clock.now();
    let wrong = |detail: &str| {
        let problem = FieldProblem::new("/occurred_at".to_owned(), detail.to_owned());
        Err(Problem::fields(vec![problem]))
    };
    if said.occurred_at.is_some_and(|at| at > now + CLOCKS_APART_MAX) {
        return wrong("is still to come");
    }
    if said.occurred_at.is_some_and(|at| at + CLOCKS_APART_MAX < story.plan.accepted_at) {
        return wrong("is before the notification was accepted");
    }
    let at = said.occurred_at.unwrap_or(now).min(now);
    let mut event = Event::new(story.plan.task_id(ordinal), Event::NO_ATTEMPT, said.kind, at);
    event.reason = said.name;
    if said.kind != EventKind::Delivered {
        event.occasion = match (&said.id, key) {
            (Some(id), _) => occasion(id.as_bytes()),
            (None, Some(key)) => occasion(&key.number().to_be_bytes()),
            (None, None) => occasion(&said.occurred_at.unwrap_or(now).millis().to_be_bytes()),
        };
    }
    Ok(event)
}

/// Whether a task is with its provider, or may be, for all that is known.
fn may_have_gone(story: &Story, ordinal: usize, now: Timestamp) -> bool {
    let was_tried = |event: &&Event| match event.kind {
        EventKind::Sent | EventKind::Unknown | EventKind::Failed => true,
        EventKind::Scheduled => event.attempt > 1,
        _ => false,
    };
    let of_task = |event: &&Event| usize::from(event.task.ordinal) == ordinal;
    story.events.iter().filter(of_task).any(|event| was_tried(&event)) || story.may_be_under_way(ordinal, now)
}

/// What is answered once it is durable. Of who was erased, and beyond the most that is kept of one task, nothing is noted.
async fn note(api: &Api, story: &Story, event: Event) -> Result<Bytes, Problem> {
    let (task, kind) = (event.task, event.kind);
    let is_alike = |known: &&Event| known.task == task && known.kind == kind;
    let is_full = story.events.iter().filter(is_alike).count() >= TIMES_MAX;
    if !is_full && !is_erased(api, story).await? {
        look_early(api, api.parts.receipts.happened(vec![event]).await?.early);
    }
    view(task, kind)
}

async fn is_erased(api: &Api, story: &Story) -> Result<bool, Problem> {
    let Some(user_id) = story.plan.user_id.clone() else { return Ok(false) };
    let key = UserKey { tenant: story.plan.tenant.clone(), user_id };
    let user = api.parts.store.users(&[key]).await?.into_iter().flatten().next();
    Ok(user.is_some_and(|user| user.was_erased_since(Some(story.plan.accepted_at))))
}

fn view(task: TaskId, kind: EventKind) -> Result<Bytes, Problem> {
    let view =
        NotedView { notification_id: task.notification().to_string(), task_id: task.to_string(), r#type: kind.name() };
    written(&view)
}
