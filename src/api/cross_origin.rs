//! Pages of other origins that call with a user's token: who may, and how browsers are told so (the Fetch standard, 3.2).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::state::Api;

/// How long a browser may remember the answer to its question, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// The origin of a call, if its pages may read the answer.
pub(super) fn allowed(api: &Api, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    api.parts.live.takes_origin(Some(origin.to_str().ok()?), host).then(|| origin.clone())
}

/// Lets the pages of an origin read the answer. Tokens go in a header and never in cookies, so none are asked for.
pub(super) fn open(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

/// What a browser asks before it calls.
pub(super) async fn preflight(State(api): State<Arc<Api>>, headers: HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let Some(origin) = allowed(&api, &headers) else { return response };
    let asked = response.headers_mut();
    asked.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT"));
    let names = HeaderValue::from_static("authorization, content-type, idempotency-key");
    asked.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    asked.insert(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    open(&mut response, origin);
    response
}
