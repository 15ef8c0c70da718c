//! `POST /v1/users/{id}/preferences-link`: the address of a user's page of choices, for the tenant's own pages and messages.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use serde::Serialize;

use super::reader::after;
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::problem::{Kind, Problem};
use crate::api::profile::{Fields, Problems};
use crate::api::resources::answer::{json, names, user_key};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::links::ChoicesLink;

/// 30 days: as long as a mail is likely to be looked at.
const TTL_SECONDS: u64 = 30 * 86_400;
const TTL_SECONDS_MIN: u64 = 60;
/// Whoever has the link may choose for its user: not for ever.
const TTL_SECONDS_MAX: u64 = 366 * 86_400;

#[derive(Serialize)]
struct LinkView {
    url: String,
    expires_at: String,
}

/// Nothing is written, and the user need not be known: what a link allows is signed with it.
pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let key = user_key(&caller, &names(path)?)?;
    let (_, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let object = if body.bytes.trim_ascii().is_empty() { "{}" } else { body.text()? };
    let mut problems = Problems::default();
    let mut fields = Fields::read(object, "").map_err(|problem| Problem::fields(vec![problem]))?;
    let ttl = ttl(&mut fields, &mut problems);
    fields.end(&mut problems);
    let ttl = problems.or(ttl).map_err(Problem::fields)?;
    let links = api.parts.links.as_ref().ok_or_else(|| {
        Problem::new(Kind::State, "links cannot be signed here: set `security.link_secret`, the same on all nodes")
    })?;
    let now = api.parts.clock.now();
    let expires_at = after(now, ttl);
    let link = ChoicesLink { tenant: key.tenant, user_id: key.user_id, made_at: now, expires_at };
    let url =
        links.choices(&link).ok_or_else(|| Problem::new(Kind::BadRequest, "the user's id is too long for a link"))?;
    json(&LinkView { url, expires_at: expires_at.to_string() })
}

fn ttl(fields: &mut Fields<'_>, problems: &mut Problems) -> u64 {
    let at = fields.pointer("ttl_seconds");
    let Some(value) = fields.value("ttl_seconds", problems).filter(|value| !value.is_null()) else {
        return TTL_SECONDS;
    };
    let seconds = value.as_u64().filter(|seconds| (TTL_SECONDS_MIN..=TTL_SECONDS_MAX).contains(seconds));
    seconds.unwrap_or_else(|| {
        problems.add(&at, format!("must be a number of seconds from {TTL_SECONDS_MIN} to {TTL_SECONDS_MAX}"));
        TTL_SECONDS
    })
}
