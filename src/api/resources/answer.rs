//! Making answers and reading addresses.

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use crate::api::problem::{Kind, Problem};
use crate::api::routes::Answer;

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

/// The id of an address; what cannot be read is the id of nothing.
pub(super) fn id<T: std::str::FromStr>(path: Result<Path<String>, PathRejection>) -> Result<T, Problem> {
    path.ok().and_then(|Path(text)| text.parse().ok()).ok_or_else(Problem::not_found)
}

/// The parameters after the `?`; an unknown one is refused, because it was meant to do something.
pub(super) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    query.map(|Query(parameters)| parameters).map_err(|rejection| Problem::new(Kind::BadRequest, rejection.body_text()))
}
