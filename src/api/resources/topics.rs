//! `/v1/topics`: topics for programs. Publish now or later, receive in groups by long poll or as a stream, acknowledge.

mod publish;
mod read;
mod stream;
mod view;

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::answer::{json, names, query};
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::paging::{self, Page};
use crate::api::problem::Problem;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::intake::FieldProblem;
use crate::topics::{TopicName, TopicSettings};
use view::{ListedView, TopicView};

pub(in crate::api) use publish::{cancel, publish};
pub(in crate::api) use read::{ack, delete_group, extend, nack, receive};
pub(in crate::api) use stream::stream;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

/// `GET /v1/topics`, by name.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    parameters: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    let ListQuery { limit, cursor } = query(parameters)?;
    let limit = paging::limit(limit)?;
    let after = paging::read_cursor(cursor.as_deref(), |name| Some(name.to_owned()))?;
    let topics = api.parts.topics.list(&caller.tenant).await?;
    let wanted = topics.iter().filter(|topic| after.as_ref().is_none_or(|after| *topic.name > **after));
    json(&Page::of(wanted.map(ListedView::new), limit, |last| last.name().to_owned()))
}

/// `POST /v1/topics`.
pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Said {
        name: String,
        retention_seconds: Option<u64>,
        messages_max: Option<u64>,
        kafka: Option<bool>,
    }
    let (_, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let said: Said = read_body(body.text()?)?;
    let standard = TopicSettings::default();
    let settings = TopicSettings {
        retention_seconds: said.retention_seconds.unwrap_or(standard.retention_seconds),
        messages_max: said.messages_max.unwrap_or(standard.messages_max),
        kafka: said.kafka.unwrap_or(standard.kafka),
    };
    let topic = TopicName::new(&caller.tenant, &said.name);
    api.parts.topics.create(&topic, settings).await?;
    let mut response = json(&TopicView::new(&api.parts.topics.show(&topic).await?, api.parts.clock.now()))?;
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(place) = HeaderValue::try_from(format!("/v1/topics/{}", said.name)) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    Ok(response)
}

/// `GET /v1/topics/{topic}`: how it is, with its groups.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let topic = TopicName::new(&caller.tenant, &names(path)?);
    let state = api.parts.topics.show(&topic).await?;
    json(&TopicView::new(&state, api.parts.clock.now()))
}

/// `DELETE /v1/topics/{topic}`, with its messages and groups.
pub(in crate::api) async fn delete(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let topic = TopicName::new(&caller.tenant, &names(path)?);
    api.parts.topics.delete(&topic).await?;
    json(&DeletedView { name: &topic.name, status: "deleted" })
}

#[derive(Serialize)]
struct DeletedView<'a> {
    name: &'a str,
    status: &'static str,
}

/// A body of a few fields.
fn read_body<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Problem> {
    serde_json::from_str(text).map_err(|error| {
        let detail = format!("cannot be read: {error}");
        Problem::fields(vec![FieldProblem::new("", detail)])
    })
}
