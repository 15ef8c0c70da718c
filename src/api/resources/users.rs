//! `/v1/users/{id}`: how a user is reached. Devices and preferences have addresses of their own below it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use futures_util::stream;
use serde::Serialize;
use serde_json::value::RawValue;

use super::answer::{json, names, put_json, raw_json, user_key};
use super::archived_line;
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::problem::Problem;
use crate::api::profile::{Contact, Fields, How, Problems};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{Timestamp, User, UserEntry, UserKey};
use crate::privacy::{NOT_ERASED, OpenTasks};
use crate::users::KnownChange;

#[derive(Debug, Serialize)]
struct UserView<'a> {
    id: &'a str,
    email: Option<&'a str>,
    phone: Option<&'a str>,
    locale: Option<&'a str>,
    timezone: Option<&'a str>,
    attributes: BTreeMap<&'a str, &'a RawValue>,
    created_at: Option<String>,
}

impl<'a> UserView<'a> {
    fn new(key: &'a UserKey, user: &'a User) -> Self {
        let attributes = user.attributes.iter();
        Self {
            id: &key.user_id,
            email: user.email.as_deref(),
            phone: user.phone.as_deref(),
            locale: user.locale.as_deref(),
            timezone: user.timezone.as_deref(),
            // What is no JSON was never taken.
            attributes: attributes
                .filter_map(|(name, text)| Some((&**name, serde_json::from_str(text).ok()?)))
                .collect(),
            created_at: user.created_at.map(|at| at.to_string()),
        }
    }
}

pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let key = user_key(&caller, &names(path)?)?;
    let user = api.parts.users.user(&key).await?.ok_or_else(Problem::not_found)?;
    json(&UserView::new(&key, &user))
}

/// PUT: what the body does not say is taken back.
pub(in crate::api) async fn replace(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let key = user_key(&caller, &names(path)?)?;
    change(&api, key, How::Replace, request).await
}

/// PATCH (RFC 7396): what the body does not say stays.
pub(in crate::api) async fn merge(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let key = user_key(&caller, &names(path)?)?;
    change(&api, key, How::Merge, request).await
}

async fn change(api: &Api, key: UserKey, how: How, request: Request) -> Answer {
    let (_, body) = body::read(api, request, api.parts.http.max_body.as_usize()).await?;
    let mut problems = Problems::default();
    let mut fields = Fields::read(body.text()?, "").map_err(|problem| Problem::fields(vec![problem]))?;
    let contact = Contact::read(&mut fields, &mut problems);
    check_id(&mut fields, &key, &mut problems);
    fields.end(&mut problems);
    let held = api.parts.users.user(&key).await?;
    if held.is_none() && how == How::Merge {
        return Err(Problem::not_found());
    }
    let mut user = held.unwrap_or_default();
    let is_new = user == User::default();
    let mut entries = contact.entries(&user, how, &mut problems);
    problems.or(()).map_err(Problem::fields)?;
    entries.extend(creation(&user, api.parts.clock.now()));
    write(api, &key, &mut user, entries).await?;
    put_json(is_new, &UserView::new(&key, &user))
}

/// What was read may be sent back: these fields are taken where they say nothing else.
fn check_id(fields: &mut Fields<'_>, key: &UserKey, problems: &mut Problems) {
    fields.text("id", problems, |id| if id == &*key.user_id { Ok(()) } else { Err("is another than in the address") });
    // When a user came is not the caller's to say.
    fields.take("created_at");
}

/// A user is created with the first thing that is known of them.
pub(super) fn creation(user: &User, now: Timestamp) -> Option<UserEntry> {
    user.created_at.is_none().then_some(UserEntry::Created(Some(now)))
}

/// Writes what changes, and makes `user` what is known then. Where nothing does, the user is written into the indexes again.
pub(super) async fn write(api: &Api, key: &UserKey, user: &mut User, entries: Vec<UserEntry>) -> Result<(), Problem> {
    let change = KnownChange::of(key.clone(), entries.clone(), user);
    api.parts.users.write_known(vec![change]).await?;
    entries.into_iter().for_each(|entry| user.apply(entry));
    Ok(())
}

/// What was erased, and what was not.
#[derive(Debug, Serialize)]
struct ReceiptView<'a> {
    user_id: &'a str,
    erased_at: String,
    erased: ErasedView,
    /// Suppressions of the user's addresses stay, without the address.
    suppressions_without_address: usize,
    /// What was sealed under them cannot be read any more, wherever it is.
    secrets_destroyed: usize,
    open_tasks: OpenTasksView,
    not_erased: &'static [&'static str],
}

#[derive(Debug, Serialize)]
struct ErasedView {
    /// The names of the fields that were there.
    contact: Vec<&'static str>,
    attributes: usize,
    devices: usize,
    preferences: usize,
    settings: Vec<&'static str>,
    /// Subjects that were followed.
    subscriptions: usize,
    /// Entries of the inbox.
    inbox: usize,
    /// Records of consent.
    consents: usize,
    /// Members of lists of campaigns.
    list_members: usize,
}

/// What was still to be sent.
#[derive(Debug, Serialize)]
struct OpenTasksView {
    cancelled: usize,
    /// At least so many are still to be; it goes on by itself.
    pending: usize,
    complete: bool,
}

/// Of a user of whom nothing is known it answers the same, with nothing in it: who erases again must not be told that it failed.
pub(in crate::api) async fn erase(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let key = user_key(&caller, &names(path)?)?;
    let erased = api.parts.privacy.erase(&key).await?;
    let OpenTasks { cancelled, pending, is_complete } = erased.open_tasks;
    json(&ReceiptView {
        user_id: &key.user_id,
        erased_at: erased.at.to_string(),
        erased: ErasedView {
            contact: erased.contact,
            attributes: erased.attributes,
            devices: erased.devices,
            preferences: erased.preferences,
            settings: erased.settings,
            subscriptions: erased.subscriptions,
            inbox: erased.inbox,
            consents: erased.consents,
            list_members: erased.list_members,
        },
        suppressions_without_address: erased.suppressions_without_address,
        secrets_destroyed: erased.secrets_destroyed,
        open_tasks: OpenTasksView { cancelled, pending, complete: is_complete },
        not_erased: &NOT_ERASED,
    })
}

/// All that is held of a user, as one document that is made while it is sent.
pub(in crate::api) async fn export(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let key = user_key(&caller, &names(path)?)?;
    let busy = |_| Problem::unavailable("other exports are under way: wait for one to end", Duration::from_secs(5));
    let place = api.exports.clone().try_acquire_owned().map_err(busy)?;
    let export = api.parts.privacy.export(key, archived_line).await?.ok_or_else(Problem::not_found)?;
    let pieces = stream::unfold((export, place), |(mut export, place)| async move {
        export.next().await.map(|piece| (Ok::<_, Infallible>(piece), (export, place)))
    });
    Ok(raw_json(StatusCode::OK, Body::from_stream(pieces)))
}
