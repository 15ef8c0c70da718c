//! Making answers and reading addresses.

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;

use crate::api::auth::Caller;
use crate::api::problem::{Kind, Problem};
use crate::api::profile;
use crate::api::retry_key::RetryKey;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{ClaimKey, UserKey};
use crate::intake::KeyHold;

/// JSON that was written already.
pub(super) fn raw_json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// JSON of a value.
pub(super) fn json(value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "an answer could not be written");
        Problem::new(Kind::Internal, "the answer could not be written")
    })?;
    Ok(raw_json(StatusCode::OK, body))
}

/// JSON of what was put somewhere: 201 where nothing was before (RFC 9110, 9.3.4).
pub(super) fn put_json(is_new: bool, value: &impl Serialize) -> Answer {
    let mut response = json(value)?;
    if is_new {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(response)
}

/// The caller's user whose id stands in an address.
pub(super) fn user_key(caller: &Caller, id: &str) -> Result<UserKey, Problem> {
    let named = profile::user_id(id, "").map_err(|problem| named_wrongly("user id", &problem.detail))?;
    if caller.only.as_deref().is_some_and(|only| *only != *named) {
        return Err(Problem::new(Kind::Forbidden, "the token is another user's"));
    }
    Ok(UserKey { tenant: (*caller.tenant).into(), user_id: named })
}

/// A name in an address that cannot be one.
pub(super) fn named_wrongly(what: &str, detail: &str) -> Problem {
    Problem::new(Kind::BadRequest, format!("the {what} in the address {detail}"))
}

/// The names in an address.
pub(super) fn names<T>(path: Result<Path<T>, PathRejection>) -> Result<T, Problem> {
    path.map(|Path(names)| names).map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))
}

/// The id of an address; what cannot be read is the id of nothing.
pub(super) fn id<T: std::str::FromStr>(path: Result<Path<String>, PathRejection>) -> Result<T, Problem> {
    path.ok().and_then(|Path(text)| text.parse().ok()).ok_or_else(Problem::not_found)
}

/// The parameters after the `?`; an unknown one is refused, because it was meant to do something.
pub(super) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    query.map(|Query(parameters)| parameters).map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))
}

/// The retry key of a call that writes many rows, while no other call has it.
pub(super) async fn held_key(api: &Api, key: Option<RetryKey>) -> Result<Option<KeyHold>, Problem> {
    let Some(key) = key else { return Ok(None) };
    let detail = "another call under this `Idempotency-Key` is under way: ask again when it has ended";
    let held = api.parts.acceptor.hold(ClaimKey(key.number())).await;
    held.map(Some).ok_or_else(|| Problem::new(Kind::State, detail))
}

/// Answers as before if the key was used before, and keeps the answer if not. Two calls with one key at the same moment may
/// both do the thing, which has the effect of one.
pub(super) async fn answer_once(
    api: &Api,
    key: Option<RetryKey>,
    answer: impl AsyncFnOnce() -> Result<Bytes, Problem>,
) -> Answer {
    Ok(raw_json(StatusCode::OK, once(api, key, answer).await?))
}

/// The body of such an answer.
pub(super) async fn once(
    api: &Api,
    key: Option<RetryKey>,
    answer: impl AsyncFnOnce() -> Result<Bytes, Problem>,
) -> Result<Bytes, Problem> {
    if let Some(body) = key.map(|key| api.answers.find(key)).transpose()?.flatten() {
        return Ok(body);
    }
    let body = answer().await?;
    if let Some(key) = key {
        api.answers.keep(key, body.clone());
    }
    Ok(body)
}

/// JSON of a value, to be kept.
pub(super) fn written(view: &impl Serialize) -> Result<Bytes, Problem> {
    let body = serde_json::to_vec(view);
    body.map(Bytes::from).map_err(|_| Problem::new(Kind::Internal, "the answer could not be written"))
}
