//! `/v1/dead-letters`: what could not be delivered or used, and sending it again.
//!
//! A dead letter is sent again once: it leaves the list with that, and a second replay of it answers `not_replayable`.

use std::str::FromStr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::answer::{answer_once, id, json, query, written};
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::operations::Replayed;
use crate::api::paging::{self, Page};
use crate::api::problem::{Kind, Problem};
use crate::api::retry_key::RetryKey;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{Channel, NotificationId, TaskId, Timestamp};
use crate::intake::{FieldProblem, json_fields, json_value};
use crate::store::{DeadLetter, DeadLetterCause, DeadLetterKey};

/// The ordinal of a record that was never planned.
const NO_TASK: u8 = 255;
/// Dead letters sent again by one call; the caller repeats it while `has_more`.
const REPLAY_MAX: usize = 1000;
/// Dead letters looked at by one call, so that a filter that fits nothing ends.
const LOOK_MAX: usize = 10_000;

/// A dead letter's name in the API: when it died and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DeadLetterId {
    at: Timestamp,
    task: TaskId,
}

#[derive(Debug, Serialize)]
struct DeadLetterView {
    id: String,
    /// `task`: its attempts are spent or it was refused for good; `record`: a record of the log that could not be used.
    kind: &'static str,
    at: String,
    reason: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<String>,
    notification_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u8>,
    /// Of the record, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
    #[serde(default)]
    kind: LetterKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LetterKind {
    #[default]
    Task,
    /// These have no tenant: only for keys with the scope `admin`.
    Record,
}

/// Newest first.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    parameters: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    let ListQuery { limit, cursor, kind } = query(parameters)?;
    let limit = paging::limit(limit)?;
    let tenant = match kind {
        LetterKind::Task => &*caller.tenant,
        LetterKind::Record if caller.is_admin => "",
        LetterKind::Record => return Err(Problem::new(Kind::Forbidden, "records need a key with the scope `admin`")),
    };
    let before = paging::read_cursor(cursor.as_deref(), |text| text.parse::<DeadLetterId>().ok())?;
    let before = before.map(|id| id.key(tenant));
    let mut letters = api.parts.store.dead_letters(tenant, before, limit + 1).await?;
    let has_more = letters.len() > limit;
    letters.truncate(limit);
    let last = letters.last().filter(|_| has_more);
    let next_cursor = last.map(|last| paging::cursor(&DeadLetterId::of(&last.key).to_string()));
    json(&Page { data: letters.iter().map(DeadLetterView::new).collect(), next_cursor })
}

#[derive(Debug, Serialize)]
struct ReplayView {
    id: String,
    /// `requeued` or `not_replayable`.
    status: &'static str,
}

/// `POST /v1/dead-letters/{id}/replay`.
pub(in crate::api) async fn replay(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let letter: DeadLetterId = id(path)?;
    let (head, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    // With the id: the same key for another dead letter is another call.
    let call = format!("POST /v1/dead-letters/{letter}/replay");
    let key = RetryKey::read(&head.headers, &caller.tenant, &call, &body.bytes)?;
    answer_once(&api, key, async || {
        let key = letter.key(if letter.is_record() { "" } else { &caller.tenant });
        let is_listed = api.parts.store.dead_letter(&key).await?.is_some();
        if !is_listed && !is_own_task(&api, &caller, letter).await? {
            return Err(Problem::not_found());
        }
        let status = match is_listed {
            true => replayed_name(api.parts.operations.replay(&key).await?),
            false => replayed_name(Replayed::NotReplayable),
        };
        written(&ReplayView { id: letter.to_string(), status })
    })
    .await
}

/// Whether this was a dead letter that is no longer listed, rather than one that never was.
async fn is_own_task(api: &Api, caller: &Caller, letter: DeadLetterId) -> Result<bool, Problem> {
    if letter.is_record() {
        return Ok(false);
    }
    let story = api.parts.store.stories(&[letter.task.position]).await?.pop().flatten();
    Ok(story.is_some_and(|story| *story.plan.tenant == *caller.tenant))
}

#[derive(Debug, Serialize)]
struct ReplayManyView {
    replayed: usize,
    not_replayable: usize,
    /// There may be more: call again, with another `Idempotency-Key`.
    has_more: bool,
}

/// `POST /v1/dead-letters/replay`: all tasks, or those that fit the filter, newest first, a bounded number a call.
pub(in crate::api) async fn replay_many(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let (head, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let key = RetryKey::read(&head.headers, &caller.tenant, "POST /v1/dead-letters/replay", &body.bytes)?;
    answer_once(&api, key, async || {
        let filter = Filter::read(body.text()?).map_err(Problem::fields)?;
        written(&replay_fitting(&api, &caller.tenant, &filter).await?)
    })
    .await
}

async fn replay_fitting(api: &Api, tenant: &str, filter: &Filter) -> Result<ReplayManyView, Problem> {
    let mut view = ReplayManyView { replayed: 0, not_replayable: 0, has_more: false };
    let mut before = None;
    let mut looked = 0;
    loop {
        let letters = api.parts.store.dead_letters(tenant, before, paging::LIMIT_MAX).await?;
        let is_last = letters.len() < paging::LIMIT_MAX;
        for letter in &letters {
            if letter.key.at < filter.since {
                return Ok(view);
            }
            looked += 1;
            if view.replayed >= filter.limit || looked > LOOK_MAX {
                view.has_more = true;
                return Ok(view);
            }
            if !filter.fits(letter) {
                continue;
            }
            match api.parts.operations.replay(&letter.key).await? {
                Replayed::Requeued => view.replayed += 1,
                Replayed::NotReplayable => view.not_replayable += 1,
            }
        }
        before = letters.into_iter().next_back().map(|letter| letter.key);
        if is_last {
            return Ok(view);
        }
    }
}

/// Which dead letters are meant.
struct Filter {
    /// Only those that died at or after this time.
    since: Timestamp,
    /// Only those that died before this time.
    until: Timestamp,
    channel: Option<Channel>,
    limit: usize,
}

impl Filter {
    /// Reads the body; an empty one fits all.
    fn read(text: &str) -> Result<Self, Vec<FieldProblem>> {
        let mut filter = Self { since: Timestamp(0), until: Timestamp(u64::MAX), channel: None, limit: REPLAY_MAX };
        if text.trim().is_empty() {
            return Ok(filter);
        }
        let fields = json_fields(text).map_err(|problem| vec![problem])?;
        let set = |(name, raw): (&String, &&RawValue)| match json_value(raw) {
            Ok(Value::Null) => None,
            Ok(value) => filter.set(name, &value).err(),
            Err(detail) => Some(FieldProblem::of_field(name, detail)),
        };
        let problems: Vec<FieldProblem> = fields.iter().filter_map(set).collect();
        if problems.is_empty() { Ok(filter) } else { Err(problems) }
    }

    fn set(&mut self, name: &str, value: &Value) -> Result<(), FieldProblem> {
        let problem = |detail: String| FieldProblem::of_field(name, detail);
        let time =
            || value.as_str().and_then(Timestamp::parse).ok_or_else(|| problem("must be a time as RFC 3339".into()));
        match name {
            "since" => self.since = time()?,
            "until" => self.until = time()?,
            "channel" => {
                let channel = value.as_str().and_then(Channel::parse);
                let names = || Channel::ALL.map(Channel::name).join(", ");
                self.channel = Some(channel.ok_or_else(|| problem(format!("must be one of {}", names())))?);
            }
            "limit" => {
                let limit = value.as_u64().and_then(|limit| usize::try_from(limit).ok());
                let limit = limit.filter(|limit| (1..=REPLAY_MAX).contains(limit));
                self.limit = limit.ok_or_else(|| problem(format!("must be 1 to {REPLAY_MAX}")))?;
            }
            _ => return Err(problem("is no field that is known here: use since, until, channel or limit".into())),
        }
        Ok(())
    }

    fn fits(&self, letter: &DeadLetter) -> bool {
        let channel = match &letter.cause {
            DeadLetterCause::Task { channel, .. } => Some(*channel),
            DeadLetterCause::Record { .. } | DeadLetterCause::Foreign(_) => None,
        };
        letter.key.at < self.until && (self.channel.is_none() || self.channel == channel)
    }
}

fn replayed_name(replayed: Replayed) -> &'static str {
    match replayed {
        Replayed::Requeued => "requeued",
        Replayed::NotReplayable => "not_replayable",
    }
}

impl DeadLetterView {
    fn new(letter: &DeadLetter) -> Self {
        let id = DeadLetterId::of(&letter.key);
        let (kind, channel, attempt, size) = match &letter.cause {
            DeadLetterCause::Task { channel, attempt } => ("task", Some(channel.name()), Some(*attempt), None),
            DeadLetterCause::Record { body } => ("record", None, None, Some(body.len() as u64)),
            DeadLetterCause::Foreign(foreign) => ("record", None, None, Some(foreign.size)),
        };
        Self {
            id: id.to_string(),
            kind,
            at: letter.key.at.to_string(),
            reason: letter.reason.clone(),
            task_id: (!id.is_record()).then(|| letter.key.task.to_string()),
            notification_id: letter.key.task.notification().to_string(),
            channel,
            attempt,
            size,
        }
    }
}

impl DeadLetterId {
    fn of(key: &DeadLetterKey) -> Self {
        Self { at: key.at, task: key.task }
    }

    fn is_record(self) -> bool {
        self.task.ordinal == NO_TASK
    }

    fn key(self, tenant: &str) -> DeadLetterKey {
        DeadLetterKey { tenant: tenant.into(), at: self.at, task: self.task }
    }
}

impl std::fmt::Display for DeadLetterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "dlq_{}_", self.at.millis())?;
        match self.is_record() {
            true => write!(f, "{}", self.task.notification()),
            false => write!(f, "{}", self.task),
        }
    }
}

impl FromStr for DeadLetterId {
    type Err = crate::domain::InvalidId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (millis, id) =
            text.strip_prefix("dlq_").and_then(|rest| rest.split_once('_')).ok_or(crate::domain::InvalidId)?;
        let at = Timestamp(millis.parse().map_err(|_| crate::domain::InvalidId)?);
        let task = match id.parse::<NotificationId>() {
            Ok(notification) => TaskId { position: notification.0, ordinal: NO_TASK },
            Err(_) => id.parse()?,
        };
        Ok(Self { at, task })
    }
}
