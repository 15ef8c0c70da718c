//! `/v1/lists`: who campaigns are for, uploaded as NDJSON or CSV, of any length up to [`BODY_BYTES_MAX`].

mod upload;

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::answer::{held_key, json, names, query};
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::fresh::fresh_number;
use crate::api::paging::{self, Page};
use crate::api::problem::{Kind, Problem};
use crate::api::retry_key::RetryKey;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::campaigns::{Removal, SavedList, list_id};
use upload::{Upload, UploadParts};

pub(in crate::api) const PATH: &str = "/v1/lists";

/// The longest that an upload is waited for, all in all.
pub(in crate::api) const UPLOAD_MAX: Duration = Duration::from_secs(15 * 60);

/// Bytes of a list.
const BODY_BYTES_MAX: u64 = 256 << 20;
/// The name of a list or a campaign, for people.
const NAME_BYTES_MAX: usize = 200;
/// Rows that one call takes away.
const REMOVED_MAX: usize = 50_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct CreateQuery {
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct ListView {
    id: Box<str>,
    name: Option<Box<str>>,
    /// Those that are different.
    members: u64,
    /// Bytes that were uploaded.
    bytes: u64,
    created_at: String,
}

impl ListView {
    fn new(list: SavedList) -> Self {
        let SavedList { id, name, members, bytes, created_at, .. } = list;
        Self { id, name, members, bytes, created_at: created_at.to_string() }
    }
}

/// A name for people.
pub(super) fn name(text: &str) -> Result<Box<str>, String> {
    match text.len() {
        1..=NAME_BYTES_MAX if !text.chars().any(char::is_control) => Ok(text.into()),
        _ => Err(format!("must be one line of 1 to {NAME_BYTES_MAX} bytes")),
    }
}

/// POST: 201 once all of it is read and durable.
pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    parameters: Result<Query<CreateQuery>, QueryRejection>,
    request: Request,
) -> Answer {
    let wrong = |detail| Problem::new(Kind::BadRequest, format!("`name` {detail}"));
    let list_name = query(parameters)?.name.map(|text| name(&text).map_err(wrong)).transpose()?;
    let (head, body) = request.into_parts();
    let format = body::list_format(&head.headers)?;
    let key = RetryKey::read(&head.headers, &caller.tenant, "POST /v1/lists", b"")?;
    let held = held_key(&api, key).await?;
    let busy = |_| Problem::unavailable("other uploads are under way: wait for one to end", Duration::from_secs(5));
    let _place = api.imports.clone().try_acquire_owned().map_err(busy)?;
    let id = list_id(key.map_or_else(fresh_number, |key| Ok(key.number()))?);
    let known = match key {
        Some(_) => api.parts.lists.get(&caller.tenant, &id).await?,
        None => None,
    };
    if key.is_some() && known.is_none() {
        // What a call that broke off under this key left there, perhaps of another body.
        while !api.parts.lists.clear(&id, REMOVED_MAX).await? {}
    }
    let note = match known.is_some() {
        true => None,
        false => Some(api.parts.lists.begin(&caller.tenant, &id, None).await?),
    };
    let tenant = caller.tenant.clone();
    let parts = UploadParts { api: api.clone(), tenant, list: id, is_known: known.is_some(), format, held };
    let mut upload = Upload::new(parts, body);
    upload.read_all().await?;
    let list = match known {
        Some(known) if known.body_hash == upload.body_hash() => known,
        Some(_) => {
            let detail = "this `Idempotency-Key` was used before with another body: use a new key";
            return Err(Problem::new(Kind::Conflict, detail));
        }
        None => upload.complete(&caller.tenant, list_name).await?,
    };
    if let Some(note) = note {
        api.parts.lists.ended(&note).await?;
    }
    let mut response = json(&upload.report(list))?;
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// By id.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    parameters: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    let ListQuery { limit, cursor } = query(parameters)?;
    let limit = paging::limit(limit)?;
    let after = paging::read_cursor(cursor.as_deref(), |id| (!id.is_empty()).then(|| id.to_owned()))?;
    let lists = api.parts.lists.list(&caller.tenant, after.as_deref(), limit + 1).await?;
    json(&Page::of(lists.into_iter().map(ListView::new), limit, |last| last.id.to_string()))
}

pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let list = api.parts.lists.get(&caller.tenant, &names(path)?).await?;
    json(&ListView::new(list.ok_or_else(Problem::not_found)?))
}

/// DELETE: the list is gone at once; a long one has rows left, which the same call again takes away.
pub(in crate::api) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    #[derive(Serialize)]
    struct RemovedView<'a> {
        id: &'a str,
        status: &'static str,
    }
    let id = names::<String>(path)?;
    let status = match api.parts.lists.remove(&caller.tenant, &id, REMOVED_MAX).await? {
        Removal::Unknown => return Err(Problem::not_found()),
        Removal::Begun => "deleting",
        Removal::Done => "deleted",
    };
    json(&RemovedView { id: &id, status })
}
