//! Groups of a topic: receiving by long poll, and saying what came of it.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use serde::{Deserialize, Serialize};

use super::view::ReceivedView;
use super::{DeletedView, read_body};
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::problem::{Kind, Problem};
use crate::api::resources::answer::{json, names, query};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::MessageId;
use crate::intake::FieldProblem;
use crate::topics::{Receive, Received, Settle, StartAt, TopicName, Which};

/// How long messages are in hand when the reader says nothing.
const VISIBILITY: u64 = 30;
/// Messages of an answer when the reader says nothing.
const MESSAGES: usize = 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ReceiveQuery {
    max: Option<usize>,
    wait_seconds: Option<u64>,
    visibility_seconds: Option<u64>,
    from: Option<String>,
}

impl ReceiveQuery {
    pub(super) fn read(self, group: &str) -> Result<Receive, Problem> {
        let from = match self.from.as_deref() {
            None | Some("earliest") => StartAt::Earliest,
            Some("latest") => StartAt::Latest,
            Some(_) => return Err(Problem::new(Kind::BadRequest, "`from` must be one of: earliest, latest")),
        };
        Ok(Receive {
            group: group.into(),
            max: self.max.unwrap_or(MESSAGES),
            wait: Duration::from_secs(self.wait_seconds.unwrap_or(0)),
            visibility: Duration::from_secs(self.visibility_seconds.unwrap_or(VISIBILITY)),
            from,
        })
    }
}

/// `GET /v1/topics/{topic}/groups/{group}/messages`.
pub(in crate::api) async fn receive(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
    parameters: Result<Query<ReceiveQuery>, QueryRejection>,
) -> Answer {
    #[derive(Serialize)]
    struct Messages<'a> {
        messages: Vec<ReceivedView<'a>>,
    }
    let (topic, group) = names(path)?;
    let receive = query(parameters)?.read(&group)?;
    let full = |_| Problem::unavailable("too many readers wait for messages on this node", Duration::from_secs(5));
    let waits = !receive.wait.is_zero();
    let _place = if waits { Some(api.readers.try_acquire().map_err(full)?) } else { None };
    let received = received(&api, &TopicName::new(&caller.tenant, &topic), receive).await?;
    json(&Messages { messages: received.iter().filter_map(ReceivedView::new).collect() })
}

/// Receives, and waits no longer than this node is there.
pub(super) async fn received(api: &Api, topic: &TopicName, receive: Receive) -> Result<Vec<Received>, Problem> {
    tokio::select! {
        biased;
        received = api.parts.topics.receive(topic, receive) => Ok(received?),
        () = api.parts.stopping.cancelled() => Ok(Vec::new()),
    }
}

/// Which messages, by ids or numbers, and for how long.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    numbers: Vec<u64>,
    delay_seconds: Option<u64>,
    visibility_seconds: Option<u64>,
}

/// `POST …/ack`: they are done.
pub(in crate::api) async fn ack(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Answer {
    settle(&api, &caller, names(path)?, request, |said| match said {
        Said { delay_seconds: None, visibility_seconds: None, .. } => Ok(Settle::Ack),
        _ => Err(FieldProblem::new("", "has only `ids` and `numbers`")),
    })
    .await
}

/// `POST …/nack`: they are to come again, at once or after `delay_seconds`.
pub(in crate::api) async fn nack(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Answer {
    settle(&api, &caller, names(path)?, request, |said| match said.visibility_seconds {
        None => Ok(Settle::Nack(Duration::from_secs(said.delay_seconds.unwrap_or(0)))),
        Some(_) => Err(FieldProblem::new("/visibility_seconds", "is for `extend`: say `delay_seconds`")),
    })
    .await
}

/// `POST …/extend`: they are worked on for `visibility_seconds` more.
pub(in crate::api) async fn extend(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Answer {
    settle(&api, &caller, names(path)?, request, |said| match said {
        Said { delay_seconds: None, visibility_seconds: Some(seconds), .. } => {
            Ok(Settle::Extend(Duration::from_secs(*seconds)))
        }
        _ => Err(FieldProblem::new("/visibility_seconds", "is required, and `delay_seconds` is for `nack`")),
    })
    .await
}

async fn settle(
    api: &Api,
    caller: &Caller,
    (topic, group): (String, String),
    request: Request,
    how: impl Fn(&Said) -> Result<Settle, FieldProblem>,
) -> Answer {
    #[derive(Serialize)]
    struct SettledView {
        settled: usize,
        /// In nobody's hand, or acknowledged before.
        unknown: Vec<String>,
    }
    let (_, body) = body::read(api, request, api.parts.http.max_body.as_usize()).await?;
    let said: Said = read_body(body.text()?)?;
    let settle = how(&said).map_err(|problem| Problem::fields(vec![problem]))?;
    let mut which: Vec<Which> = said.numbers.into_iter().map(Which::Number).collect();
    for (index, id) in said.ids.iter().enumerate() {
        let wrong = || FieldProblem::new(format!("/ids/{index}"), "is no id of a message");
        let id = MessageId::parse(id).ok_or_else(|| Problem::fields(vec![wrong()]))?;
        which.push(Which::Id(id));
    }
    let settled = api.parts.topics.settle(&TopicName::new(&caller.tenant, &topic), &group, settle, which).await?;
    let text = |which: &Which| match which {
        Which::Number(number) => number.to_string(),
        Which::Id(id) => id.to_string(),
    };
    json(&SettledView { settled: settled.done, unknown: settled.unknown.iter().map(text).collect() })
}

/// `DELETE /v1/topics/{topic}/groups/{group}`.
pub(in crate::api) async fn delete_group(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Answer {
    let (topic, group) = names(path)?;
    api.parts.topics.delete_group(&TopicName::new(&caller.tenant, &topic), &group).await?;
    json(&DeletedView { name: &group, status: "deleted" })
}
