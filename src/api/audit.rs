//! What of a call goes into the audit log. The rows are written around the handlers, not in them: none is forgotten.
//!
//! A user's id and an address never go there: users stand there as hashes under the secret of links, by which they are found again by
//! whoever knows the id, until the secret is another. Where there is no secret only `user` stands there.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::{Method, header};
use axum::response::Response;
use hyper::body::Body as _;
use serde::Deserialize;

use super::auth::Caller;
use super::problem::Problem;
use super::resources::lists;
use super::routes::Access;
use super::state::Api;
use crate::config::Scope;
use crate::domain::AuditRecord;
use crate::privacy::AuditName;

/// Of an answer that is looked at for the name of what was made.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The longest that a call waits for its line, each time.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(5);

/// Calls that change what concerns others, or hand out what is held of somebody, and need no key of an administrator.
const ALSO: [(Method, &str); 13] = [
    (Method::GET, "/v1/users/{id}/export"),
    (Method::PUT, "/v1/users/{id}/preferences"),
    (Method::PUT, "/v1/users/{id}/consents/{purpose}"),
    (Method::DELETE, "/v1/users/{id}/consents/{purpose}"),
    (Method::POST, "/v1/suppressions"),
    (Method::PUT, "/v1/suppressions/{kind}/{address}"),
    (Method::POST, "/v1/campaigns"),
    (Method::POST, "/v1/campaigns/{id}/pause"),
    (Method::POST, "/v1/campaigns/{id}/resume"),
    (Method::POST, "/v1/campaigns/{id}/cancel"),
    (Method::POST, lists::PATH),
    (Method::DELETE, "/v1/lists/{id}"),
    (Method::POST, "/v1/users/{id}/preferences-link"),
];

/// Whether a call by a key is one of an administrator. What users' own programs do is not.
pub(super) fn is_audited(method: &Method, route: &str, access: Access) -> bool {
    let is_admin = access == Access::Key(Scope::Admin) && *method != Method::GET;
    is_admin || ALSO.iter().any(|(also, path)| also == method && *path == route)
}

/// A line that is begun.
pub(super) struct Begun {
    record: AuditRecord,
    name: AuditName,
}

/// Writes that it begins; `None`: it is a user's own program.
pub(super) async fn begin(
    api: &Api,
    request: Request,
    (method, route): (&Method, &str),
) -> Result<(Request, Option<Begun>), Problem> {
    let Some(caller) = request.extensions().get::<Caller>().filter(|caller| caller.only.is_none()).cloned() else {
        return Ok((request, None));
    };
    let (mut head, body) = request.into_parts();
    let params = RawPathParams::from_request_parts(&mut head, &()).await.ok();
    let pseudonym = |text: &str| pseudonym(api, &caller.tenant, text);
    let (mut object, mut user) = (Vec::new(), None);
    for (name, value) in params.iter().flatten() {
        let is_user = name == "user_id" || (name == "id" && route.starts_with("/v1/users/"));
        object.push(match name {
            _ if is_user => {
                user = pseudonym(value);
                named("user", user.as_deref())
            }
            "address" => named("address", pseudonym(value).as_deref()),
            _ => value.to_owned(),
        });
    }
    let record = AuditRecord {
        at: api.parts.clock.now(),
        tenant: (*caller.tenant).into(),
        by: (*caller.name).into(),
        method: method.as_str().into(),
        route: route.into(),
        object: object.join("/").into(),
        user: user.map(Into::into),
        status: None,
    };
    let began = tokio::time::timeout(WRITE_WAIT_MAX, api.parts.audit.began(&record)).await;
    let late = |_| Problem::unavailable("the audit log takes nothing now", WRITE_WAIT_MAX);
    let name = began.map_err(late)??;
    Ok((Request::from_parts(head, body), Some(Begun { record, name })))
}

/// Writes how it ended. That it cannot is logged and counted, and changes nothing of the answer.
pub(super) async fn end(api: &Api, begun: Begun, response: Response) -> Response {
    let Begun { mut record, name } = begun;
    record.status = Some(response.status().as_u16());
    let (response, made) = match record.object.is_empty() && response.status().is_success() {
        true => name_of(response).await,
        false => (response, None),
    };
    record.object = made.unwrap_or(record.object);
    match tokio::time::timeout(WRITE_WAIT_MAX, api.parts.audit.ended(&name, &record)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "a line of the audit log stays without its outcome"),
        Err(_) => tracing::error!("a line of the audit log stays without its outcome: it could not be written in time"),
    }
    response
}

/// As users stand in the log; `None`: there is no secret.
pub(super) fn pseudonym(api: &Api, tenant: &str, text: &str) -> Option<String> {
    api.parts.links.as_ref().map(|links| links.pseudonym(tenant, text))
}

fn named(what: &str, pseudonym: Option<&str>) -> String {
    pseudonym.map_or_else(|| what.to_owned(), |pseudonym| format!("{what}:{pseudonym}"))
}

/// What was made, as the answer names it. Only of answers that are small and whole in memory.
async fn name_of(response: Response) -> (Response, Option<Box<str>>) {
    #[derive(Deserialize)]
    struct Made {
        id: Option<Box<str>>,
        code: Option<Box<str>>,
        name: Option<Box<str>>,
    }
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    let is_small = response.body().size_hint().exact().is_some_and(|bytes| bytes <= ANSWER_BYTES_MAX);
    if !is_json || !is_small {
        return (response, None);
    }
    let (head, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, ANSWER_BYTES_MAX as usize).await else {
        return (Response::from_parts(head, axum::body::Body::empty()), None);
    };
    let made = serde_json::from_slice::<Made>(&bytes).ok();
    let name = made.and_then(|Made { id, code, name }| id.or(code).or(name));
    (Response::from_parts(head, bytes.into()), name)
}
