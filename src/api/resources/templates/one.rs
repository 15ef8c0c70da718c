//! `/v1/templates/{code}`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::super::answer::query;
use super::said::Saved;
use super::view::{ChangedView, TemplateView, WholeView};
use super::{Post, change, code, tagged};
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::problem::Problem;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::templates::{Order, TemplateError};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ShowQuery {
    /// Another version than the one in force.
    version: Option<u32>,
}

pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    parameters: Result<Query<ShowQuery>, QueryRejection>,
) -> Answer {
    whole(&api, &caller, &code(path)?, query(parameters)?.version).await
}

/// A template with the source of a version.
pub(super) async fn whole(api: &Api, caller: &Caller, code: &str, version: Option<u32>) -> Answer {
    let templates = &api.parts.templates;
    let entry = templates.entry(&caller.tenant, code).ok_or_else(Problem::not_found)?;
    let source = match templates.source(&caller.tenant, code, version).await {
        Ok(source) => Some(source),
        // What else is known of it is shown, and why it cannot be read.
        Err(TemplateError::Unreadable(_)) => None,
        Err(error) => return Err(error.into()),
    };
    templates.find_problem(&caller.tenant, code).await?;
    let last_change = entry.last_change();
    let view = WholeView {
        shown_version: version.unwrap_or(entry.version()),
        used_by: templates.users_of(&caller.tenant, code).await?,
        template_of: TemplateView::all(api, &caller.tenant, vec![entry]).await?.pop().ok_or_else(Problem::not_found)?,
        template: source.as_deref(),
    };
    tagged(StatusCode::OK, last_change, &view)
}

/// `POST /v1/templates`: refused where something is saved under the code.
pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let post = Post::read(&api, &caller, request).await?;
    let Saved { source, comment } = Saved::read(post.text()?, None)?;
    let code = source.code.clone();
    post.change(StatusCode::CREATED, &code, async |_| Ok(Order::Create { source, comment })).await
}

/// PUT: a new version, or the first one.
pub(in crate::api) async fn put(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let code = code(path)?;
    let (head, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let Saved { source, comment } = Saved::read(body.text()?, Some(&code))?;
    let changed = change(&api, &caller, &head.headers, &code, &Order::Put { source, comment }).await?;
    let status = if changed.is_new { StatusCode::CREATED } else { StatusCode::OK };
    tagged(status, changed.history.last_change(), &ChangedView::new(&code, &changed))
}

pub(in crate::api) async fn delete(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Answer {
    #[derive(Serialize)]
    struct DeletedView<'a> {
        code: &'a str,
        status: &'static str,
        /// The origin of what is in force under the code now.
        uncovered: Option<&'static str>,
    }
    let code = code(path)?;
    let changed = change(&api, &caller, &headers, &code, &Order::Delete).await?;
    let uncovered = api.parts.templates.built_in_origin(&code).map(|origin| origin.name());
    tagged(StatusCode::OK, changed.history.last_change(), &DeletedView { code: &code, status: "deleted", uncovered })
}
