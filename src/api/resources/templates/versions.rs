//! What a template was before, and who changed it.

use std::str::FromStr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::super::answer::{json, query};
use super::one::whole;
use super::view::{ChangeView, VersionView};
use super::{change, code, code_and_version, tagged};
use crate::api::auth::Caller;
use crate::api::paging::{self, Page};
use crate::api::problem::Problem;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::templates::Order;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct PageQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

/// How many are wanted, and before which number.
fn page<N: FromStr>(parameters: Result<Query<PageQuery>, QueryRejection>) -> Result<(usize, Option<N>), Problem> {
    let PageQuery { limit, cursor } = query(parameters)?;
    Ok((paging::limit(limit)?, paging::read_cursor(cursor.as_deref(), |text| text.parse().ok())?))
}

/// Those that can be read, newest first.
pub(in crate::api) async fn versions(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    parameters: Result<Query<PageQuery>, QueryRejection>,
) -> Answer {
    let code = code(path)?;
    let (limit, before) = page::<u32>(parameters)?;
    let entry = api.parts.templates.entry(&caller.tenant, &code).ok_or_else(Problem::not_found)?;
    // A built-in template has none but itself.
    let held = entry.held.filter(|held| held.history.current.is_some());
    let history = held.as_ref().map(|held| &held.history);
    let views = history.into_iter().flat_map(|history| {
        let readable = history.versions.iter().rev().filter(|version| !version.is_deleted);
        let wanted = readable.filter(|version| before.is_none_or(|before| version.number < before));
        wanted.map(|version| VersionView::new(version, history))
    });
    json(&Page::of(views, limit, |last| last.version.to_string()))
}

pub(in crate::api) async fn show_version(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Answer {
    let (code, version) = code_and_version(path)?;
    whole(&api, &caller, &code, Some(version)).await
}

pub(in crate::api) async fn delete_version(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Answer {
    #[derive(Serialize)]
    struct DeletedView<'a> {
        code: &'a str,
        version: u32,
        status: &'static str,
    }
    let (code, version) = code_and_version(path)?;
    let changed = change(&api, &caller, &headers, &code, &Order::DeleteVersion { version }).await?;
    let view = DeletedView { code: &code, version, status: "deleted" };
    tagged(StatusCode::OK, changed.history.last_change(), &view)
}

/// Who did what and when, newest first; also of a template that was deleted.
pub(in crate::api) async fn changes(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    parameters: Result<Query<PageQuery>, QueryRejection>,
) -> Answer {
    let code = code(path)?;
    let (limit, before) = page::<u64>(parameters)?;
    let templates = &api.parts.templates;
    if templates.held(&caller.tenant, &code).is_none() && templates.built_in_origin(&code).is_some() {
        return json(&Page::<ChangeView> { data: Vec::new(), next_cursor: None });
    }
    let changes = templates.changes(&caller.tenant, &code, before, limit + 1).await?;
    json(&Page::of(changes.into_iter().map(ChangeView::new), limit, |last| last.number.to_string()))
}
