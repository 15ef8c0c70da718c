//! `/v1/users/{id}/devices`: what messages can be pushed to.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use serde::Serialize;
use serde_json::value::RawValue;

use super::answer::{json, named_wrongly, names, put_json, user_key};
use super::users::{creation, write};
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::paging::Page;
use crate::api::problem::Problem;
use crate::api::profile::{self, DeviceSaid, Fields, Problems, device_entries};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{Device, Platform, Timestamp, UserEntry, UserKey};

#[derive(Debug, Serialize)]
struct DeviceView<'a> {
    id: &'a str,
    platform: &'static str,
    token: TokenView<'a>,
    /// Whether messages are pushed to it.
    active: bool,
    registered_at: String,
    last_used_at: String,
    /// Since when a provider says that the token is dead.
    inactive_since: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum TokenView<'a> {
    Text(&'a str),
    Subscription(&'a RawValue),
}

impl<'a> DeviceView<'a> {
    fn new(id: &'a str, device: &'a Device, now: Timestamp) -> Self {
        let subscription = match device.platform {
            Platform::Web => serde_json::from_str::<&RawValue>(&device.token).ok(),
            Platform::Ios | Platform::Android => None,
        };
        Self {
            id,
            platform: device.platform.name(),
            token: subscription.map_or(TokenView::Text(&device.token), TokenView::Subscription),
            active: device.is_active(now),
            registered_at: device.registered_at.to_string(),
            last_used_at: device.seen_at.to_string(),
            inactive_since: device.dead_since.map(|since| since.to_string()),
        }
    }
}

fn read_path(
    caller: &Caller,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<(UserKey, Box<str>), Problem> {
    let (user, device) = names(path)?;
    let id = profile::name(&device, "").map_err(|problem| named_wrongly("device id", &problem.detail))?;
    Ok((user_key(caller, &user)?, id))
}

/// All of a user's, by their ids. There are so few that they are one page.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let key = user_key(&caller, &names(path)?)?;
    let user = api.parts.users.user(&key).await?.ok_or_else(Problem::not_found)?;
    let now = api.parts.clock.now();
    let data = user.devices.iter().map(|(id, device)| DeviceView::new(id, device, now)).collect();
    json(&Page { data, next_cursor: None })
}

pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Answer {
    let (key, id) = read_path(&caller, path)?;
    let user = api.parts.users.user(&key).await?.unwrap_or_default();
    let device = user.devices.get(&id).ok_or_else(Problem::not_found)?;
    json(&DeviceView::new(&id, device, api.parts.clock.now()))
}

/// PUT: the app is there, with this token. Known users or not: an app may come before who writes the user.
pub(in crate::api) async fn register(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Answer {
    let (key, id) = read_path(&caller, path)?;
    let (_, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let said = read(body.text()?, &id)?;
    let mut user = api.parts.users.user(&key).await?.unwrap_or_default();
    let is_new = !user.devices.contains_key(&id);
    let now = api.parts.clock.now();
    let entries = device_entries(&user, &id, &said, now);
    let mut entries = entries.map_err(|detail| Problem::new(crate::api::problem::Kind::BadRequest, detail))?;
    entries.extend(creation(&user, now));
    write(&api, &key, &mut user, entries).await?;
    let device = user.devices.get(&id).ok_or_else(Problem::not_found)?;
    put_json(is_new, &DeviceView::new(&id, device, now))
}

fn read(text: &str, id: &str) -> Result<DeviceSaid, Problem> {
    let mut problems = Problems::default();
    let mut fields = Fields::read(text, "").map_err(|problem| Problem::fields(vec![problem]))?;
    let said = DeviceSaid::read(&mut fields, &mut problems);
    fields.text("id", &mut problems, |other| if other == id { Ok(()) } else { Err("is another than in the address") });
    fields.end(&mut problems);
    let said = problems.or(said).map_err(Problem::fields)?;
    said.ok_or_else(Problem::not_found)
}

pub(in crate::api) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Answer {
    #[derive(Serialize)]
    struct RemovedView<'a> {
        id: &'a str,
        status: &'static str,
    }
    let (key, id) = read_path(&caller, path)?;
    let mut user = api.parts.users.user(&key).await?.unwrap_or_default();
    if !user.devices.contains_key(&id) {
        return Err(Problem::not_found());
    }
    write(&api, &key, &mut user, vec![UserEntry::Device { id: id.clone(), device: None }]).await?;
    json(&RemovedView { id: &id, status: "removed" })
}
