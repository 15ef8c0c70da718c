//! `/v1/users/{id}`: how a user is reached. Devices and preferences have addresses of their own below it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use serde::Serialize;
use serde_json::value::RawValue;

use super::answer::{json, names, put_json, user_key};
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::problem::Problem;
use crate::api::profile::{Contact, Fields, How, Problems};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{AddressKind, QuietChoice, SuppressedAddress, Suppression, Timestamp, User, UserEntry, UserKey};
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
    not_erased: [&'static str; 6],
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
}

/// Said as it is, so that nobody tells a person more than was done.
const NOT_ERASED: [&str; 6] = [
    "notifications that were accepted for the user, with their contents and events: this version erases none of them; in a CQL \
     database they expire 30 days after their last task is over",
    "that the user was erased, and when: what was accepted before and has not been sent is not sent any more",
    "that an address of the user is suppressed, as a hash of the address: without it messages would go there again",
    "tokens of the user's own programs, which count until they end",
    "in a CQL database the user's id and the names of attributes and devices, as keys of empty rows; backups and the log",
    "in the index of days, the user's id and a former value, under a day from which an attribute was moved by two calls at once or by one \
     that broke off: it leads to nobody any more",
];

/// Takes back all that the directory holds, and leaves a mark: what was accepted before is not sent any more. Of a user of whom nothing is
/// known it answers the same, with nothing in it: who erases again must not be told that it failed.
pub(in crate::api) async fn erase(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let key = user_key(&caller, &names(path)?)?;
    let user = api.parts.users.user(&key).await?.unwrap_or_default();
    // First: once the user is gone nobody knows the addresses any more.
    let suppressions_without_address = forget_addresses(&api, &key, &user).await?;
    let subscriptions = api.subscriptions.remove_all(&key).await?;
    let inbox = api.parts.live.inbox().erase(&key).await?;
    let now = api.parts.clock.now();
    // Last: where this fails the caller comes again, and finds what is left.
    let entries = user.taken_back().into_iter().chain([UserEntry::Erased(Some(now))]).collect();
    api.parts.users.write_known(vec![KnownChange::of(key.clone(), entries, &user)]).await?;
    // What came into the inbox meanwhile; from here on nothing does.
    let inbox = inbox + api.parts.live.inbox().erase(&key).await?;
    let count = |channels: &[Option<bool>; 7]| channels.iter().flatten().count();
    let erased = ErasedView {
        contact: present([
            ("email", user.email.is_some()),
            ("phone", user.phone.is_some()),
            ("locale", user.locale.is_some()),
            ("timezone", user.timezone.is_some()),
        ]),
        attributes: user.attributes.len(),
        devices: user.devices.len(),
        preferences: user.preferences.values().map(count).sum(),
        settings: present([
            ("quiet_hours", user.quiet_hours != QuietChoice::Usual),
            ("digest_hour", user.digest_hour.is_some()),
            ("preferred_channel", user.preferred_channel.is_some()),
        ]),
        subscriptions,
        inbox,
    };
    json(&ReceiptView {
        user_id: &key.user_id,
        erased_at: now.to_string(),
        erased,
        suppressions_without_address,
        not_erased: NOT_ERASED,
    })
}

fn present<const N: usize>(names: [(&'static str, bool); N]) -> Vec<&'static str> {
    names.into_iter().filter_map(|(name, is_there)| is_there.then_some(name)).collect()
}

/// Takes the user's addresses out of their suppressions; how many there are.
async fn forget_addresses(api: &Api, key: &UserKey, user: &User) -> Result<usize, Problem> {
    let of = |kind, text: &Option<Box<str>>| text.as_ref().map(|text| SuppressedAddress::new(&key.tenant, kind, text));
    let addresses: Vec<SuppressedAddress> =
        [of(AddressKind::Email, &user.email), of(AddressKind::Phone, &user.phone)].into_iter().flatten().collect();
    let held = api.parts.users.suppressions(&addresses).await?;
    let without = |(address, held): (SuppressedAddress, Option<Suppression>)| {
        held.map(|held| (address, Some(Suppression { address: None, ..held })))
    };
    let changes: Vec<_> = addresses.into_iter().zip(held).filter_map(without).collect();
    let count = changes.len();
    api.parts.users.write_suppressions(changes).await?;
    Ok(count)
}
