//! `/v1/notifications`: hand one in, look at it, cancel it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::answer::{id, json, query, raw_json};
use super::story::{DecisionView, NotificationView};
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::operations::Cancelled;
use crate::api::ports::DryRunReport;
use crate::api::problem::Problem;
use crate::api::retry_key::RetryKey;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{EventKind, Idempotency, NotificationId, NotificationRequest, Parts, Source, Story};
use crate::intake::{Envelope, FieldProblem, NOTIFY, read_request};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct CreateQuery {
    #[serde(default)]
    dry_run: bool,
}

/// `POST /v1/notifications`: 202 once it is durable; with `?dry_run=true` what would become of it.
pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    parameters: Result<Query<CreateQuery>, QueryRejection>,
    request: Request,
) -> Answer {
    let CreateQuery { dry_run } = query(parameters)?;
    let (head, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let key = RetryKey::read(&head.headers, &caller.tenant, NOTIFY, &body.bytes)?;
    let idempotency = key.map(|key| key.item(0));
    if let Some(id) = find(&api, idempotency).await?.filter(|_| !dry_run) {
        api.repeated.increment(1);
        return Ok(accepted_answer(id));
    }
    let envelope = api.envelope(&caller.tenant, idempotency);
    let request = checked(&api, body.text()?, &envelope).await.map_err(|problems| {
        api.refused.increment(1);
        Problem::fields(problems)
    })?;
    if dry_run {
        return json(&DryRunView::new(&api.parts.dry_run.dry_run(request).await?));
    }
    let requests = vec![request];
    let _place = api.bulk_place(&requests)?;
    let accepted = api.parts.acceptor.accept(requests).await?;
    let id = accepted.first().map(|accepted| accepted.id).ok_or_else(Problem::not_found)?;
    Ok(accepted_answer(id))
}

/// What was accepted before under the retry key, with the same body.
async fn find(api: &Api, key: Option<Idempotency>) -> Result<Option<NotificationId>, Problem> {
    let Some(key) = key else { return Ok(None) };
    let found = api.parts.acceptor.find(&[key], Source::Http).await?;
    Ok(found.into_iter().flatten().next().map(|accepted| accepted.id))
}

async fn checked(api: &Api, text: &str, envelope: &Envelope<'_>) -> Result<NotificationRequest, Vec<FieldProblem>> {
    let request = read_request(text, envelope)?;
    api.parts.contents.check(&request).map_err(|problem| vec![problem])?;
    if let Some(url) = &request.to.url {
        api.parts.endpoints.check(url).await.map_err(|reason| vec![FieldProblem::new("/to/url", reason)])?;
    }
    Ok(request)
}

fn accepted_answer(id: NotificationId) -> Response {
    let mut body = String::with_capacity(56);
    // Writing to a String cannot fail.
    let _ = write!(body, "{{\"id\":\"{id}\",\"status\":\"accepted\"}}");
    raw_json(StatusCode::ACCEPTED, body)
}

/// `GET /v1/notifications/{id}`.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    match held(&api, &caller, id(path)?).await? {
        Found::Planned(story) => {
            let leads = story.plan.is_leader().then_some(story.plan.position);
            let entries = match leads {
                Some(leader) => api.parts.store.groups(&[leader]).await?.pop(),
                None => None,
            };
            json(&NotificationView::new(&story, entries.as_deref(), &|task| api.parts.operations.is_sending(task)))
        }
        Found::Unplanned(request, id) => {
            let events = api.parts.store.loose_events(id.0.shard, id.0.block()).await?;
            let is_cancelled =
                events.iter().any(|event| event.task.position == id.0 && event.kind == EventKind::Cancelled);
            json(&NotificationView::unplanned(id.0, *request, is_cancelled))
        }
    }
}

/// `DELETE /v1/notifications/{id}`: cancels what has not been sent, and says truly what it did.
pub(in crate::api) async fn cancel(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    #[derive(Serialize)]
    struct CancelView {
        id: String,
        status: &'static str,
        stopped: usize,
        too_late: usize,
    }
    let id = id(path)?;
    held(&api, &caller, id).await?;
    let (status, stopped, too_late) = match api.parts.operations.cancel(id).await? {
        Cancelled::Cancelled { stopped, too_late } => ("cancelled", stopped, too_late),
        Cancelled::TooLate { too_late } => ("too_late", 0, too_late),
    };
    json(&CancelView { id: id.to_string(), status, stopped, too_late })
}

enum Found {
    Planned(Box<Story>),
    Unplanned(Box<NotificationRequest>, NotificationId),
}

/// The notification, if it is the caller's: from the store, or from the log when it is not planned yet.
async fn held(api: &Api, caller: &Caller, id: NotificationId) -> Result<Found, Problem> {
    // The second look at the store is for what was planned, and released by the log, in between.
    for _ in 0..2 {
        if let Some(story) = api.parts.store.stories(&[id.0]).await?.pop().flatten() {
            let own = *story.plan.tenant == *caller.tenant;
            return own.then(|| Found::Planned(Box::new(story))).ok_or_else(Problem::not_found);
        }
        let record = api.parts.log.record(id.0).await.map_err(|error| {
            tracing::warn!(%error, "a request could not be answered");
            Problem::unavailable("the log cannot be read at the moment", std::time::Duration::from_secs(5))
        })?;
        if let Some(record) = record {
            // Behind the cursor everything was planned: it is not there any more, whatever a log that others read still has.
            if api.parts.store.cursors(id.0.shard).await?.task_block > id.0.block() {
                continue;
            }
            // What cannot be decoded is nobody's.
            let request = api.parts.acceptor.read(&record).await?.ok_or_else(Problem::not_found)?;
            let own = *request.tenant == *caller.tenant;
            return own.then(|| Found::Unplanned(Box::new(request), id)).ok_or_else(Problem::not_found);
        }
    }
    Err(Problem::not_found())
}

#[derive(Debug, Serialize)]
struct DryRunView {
    dry_run: bool,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merged_into: Option<String>,
    decisions: Vec<DecisionView>,
    tasks: Vec<DryRunTaskView>,
}

#[derive(Debug, Serialize)]
struct DryRunTaskView {
    channel: &'static str,
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<MessageView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A rendered message.
#[derive(Debug, Serialize)]
pub(super) struct MessageView {
    title: String,
    body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sms: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    voice: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    push: Option<PushView>,
}

/// What of a push message differs from the rest, and what the application is handed.
#[derive(Debug, Serialize)]
struct PushView {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    data: BTreeMap<Box<str>, String>,
}

impl MessageView {
    pub(super) fn new(parts: &Parts) -> Self {
        let Parts { title, body, html, sms, push, voice } = parts.clone();
        let push =
            push.map(|push| PushView { title: push.title, body: push.body, data: push.data.into_iter().collect() });
        Self { title, body, html, sms, voice, push }
    }
}

impl DryRunView {
    fn new(report: &DryRunReport) -> Self {
        let tasks = report.tasks.iter().map(|task| DryRunTaskView {
            channel: task.channel.name(),
            to: task.address.as_str().to_owned(),
            due_at: task.due.map(|due| due.to_string()),
            message: task.rendered.as_ref().ok().map(MessageView::new),
            error: task.rendered.as_ref().err().cloned(),
        });
        Self {
            dry_run: true,
            status: match report {
                DryRunReport { skipped: Some(_), .. } => "skipped",
                DryRunReport { merged_into: Some(_), .. } => "merged",
                _ => "planned",
            },
            merged_into: report.merged_into.map(|into| into.to_string()),
            reason: report.skipped.as_ref().map(|reason| reason.name()),
            decisions: report.decisions.iter().map(DecisionView::new).collect(),
            tasks: tasks.collect(),
        }
    }
}
