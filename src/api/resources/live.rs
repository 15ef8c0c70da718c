//! The live side over HTTP: passes, presence, and the two ways to be told at once.

mod socket;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, header};
use serde::{Deserialize, Serialize};

pub(in crate::api) use socket::connect;
pub(in crate::api) use stream::{PATH as STREAM_PATH, stream};

use super::answer::{json, names, query, user_key};
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::problem::{Kind, Problem};
use crate::api::profile;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::intake::FieldProblem;
use crate::links::{MaySee, PASS_USERS_MAX, Pass};
use crate::realtime::{Full, OpenError, Session};

/// How long a pass is good for: when nothing is said, at least, and at most.
const TTL: u64 = 3_600;
const TTL_MIN: u64 = 60;
const TTL_MAX: u64 = 86_400;

/// How soon it may be known who is connected.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(10);

/// How soon who found no place may try again.
const FULL_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PassSaid {
    ttl_seconds: Option<u64>,
    presence: Option<PresenceSaid>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum PresenceSaid {
    Everybody(String),
    These(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ConnectQuery {
    token: String,
}

/// `POST /v1/users/{id}/ws-token`: what the user's own programs show in the place of a key.
pub(in crate::api) async fn pass(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    #[derive(Serialize)]
    struct PassView {
        token: String,
        expires_at: String,
        url: String,
    }
    let user = user_key(&caller, &names(path)?)?;
    let (_, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let text = body.text()?;
    let wrong =
        |pointer: &str, detail: &str| Problem::fields(vec![FieldProblem::new(pointer.to_owned(), detail.to_owned())]);
    let said: PassSaid = match text.trim() {
        "" => PassSaid::default(),
        text => serde_json::from_str(text).map_err(|error| wrong("", &error.to_string()))?,
    };
    let ttl = said.ttl_seconds.unwrap_or(TTL);
    if !(TTL_MIN..=TTL_MAX).contains(&ttl) {
        return Err(wrong("/ttl_seconds", &format!("must be {TTL_MIN} to {TTL_MAX}")));
    }
    let may_see = may_see(said.presence).map_err(|(pointer, detail)| wrong(&pointer, &detail))?;
    let links = api.parts.links.as_ref().ok_or_else(no_secret)?;
    let expires_at = api.parts.clock.now() + Duration::from_secs(ttl);
    let pass = Pass { tenant: user.tenant, user_id: user.user_id, expires_at, may_see };
    let token = links.pass(&pass).ok_or_else(|| wrong("/presence", "names more than fits into a token"))?;
    let public = api.parts.http.public_url.trim_end_matches('/');
    // `http` and `https` become `ws` and `wss`.
    let url = format!("ws{}/v1/ws", public.strip_prefix("http").unwrap_or(public));
    json(&PassView { token, expires_at: expires_at.to_string(), url })
}

fn may_see(said: Option<PresenceSaid>) -> Result<MaySee, (String, String)> {
    let users = match said {
        None => return Ok(MaySee::Nobody),
        Some(PresenceSaid::Everybody(all)) if all == "*" => return Ok(MaySee::Everybody),
        Some(PresenceSaid::Everybody(_)) => {
            return Err(("/presence".to_owned(), "must be a list of user ids, or \"*\" for all".to_owned()));
        }
        Some(PresenceSaid::These(users)) => users,
    };
    if users.len() > PASS_USERS_MAX {
        return Err(("/presence".to_owned(), format!("names more than {PASS_USERS_MAX}")));
    }
    let read = |(index, user): (usize, &String)| {
        let pointer = format!("/presence/{index}");
        profile::user_id(user, "").map_err(|problem| (pointer, problem.detail.to_string()))
    };
    Ok(MaySee::These(users.iter().enumerate().map(read).collect::<Result<_, _>>()?))
}

fn no_secret() -> Problem {
    let detail = "this node signs no tokens: set `security.link_secret`, the same on all nodes";
    Problem::new(Kind::Unavailable, detail)
}

/// `GET /v1/users/{id}/presence`.
pub(in crate::api) async fn presence(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    #[derive(Serialize)]
    struct PresenceView {
        user_id: Box<str>,
        online: bool,
        connections: u32,
    }
    let user = user_key(&caller, &names(path)?)?;
    let connections = api.parts.live.connections(&user).await;
    let unknown = || Problem::unavailable("who is connected to other nodes cannot be told now", UNKNOWN_PAUSE);
    let connections = connections.ok_or_else(unknown)?;
    json(&PresenceView { user_id: user.user_id, online: connections > 0, connections })
}

/// A session for who shows a pass and comes from where it may.
async fn session(
    api: &Api,
    headers: &HeaderMap,
    parameters: Result<Query<ConnectQuery>, QueryRejection>,
) -> Result<Session, Problem> {
    // An origin that cannot be read is none that was named.
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"));
    if !api.parts.live.takes_origin(text(header::ORIGIN), text(header::HOST)) {
        let detail = "pages of this origin may not connect: name it in `realtime.allowed_origins`";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    let ConnectQuery { token } = query(parameters)?;
    let links = api.parts.links.as_ref().ok_or_else(no_secret)?;
    let pass = links.read_pass(&token, api.parts.clock.now());
    let pass = pass.map_err(|error| Problem::new(Kind::Unauthorized, error.to_string()))?;
    api.count_call(&pass)?;
    if api.parts.stopping.is_cancelled() {
        return Err(Problem::unavailable("this node is stopping", FULL_PAUSE));
    }
    Session::open(api.parts.live.clone(), pass).await.map_err(|error| match error {
        OpenError::Full(full @ Full::Node) => Problem::unavailable(full.to_string(), FULL_PAUSE),
        OpenError::Full(full @ Full::User) => Problem::new(Kind::TooMany, full.to_string()).retry_after(FULL_PAUSE),
        OpenError::Store(error) => error.into(),
    })
}
