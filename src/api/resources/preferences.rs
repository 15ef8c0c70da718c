//! `/v1/users/{id}/preferences`: what a user wants to hear.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use serde::Serialize;

use super::answer::{json, names, user_key};
use super::users::{creation, write};
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::problem::Problem;
use crate::api::profile::{Fields, Preferences, Problems};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{Channel, QuietChoice, User, UserEntry, UserKey};

#[derive(Debug, Serialize)]
struct PreferencesView<'a> {
    /// What the user said; for everything else the category's default holds.
    preferences: Vec<PreferenceView<'a>>,
    quiet_hours: QuietView,
    digest_hour: Option<u8>,
    preferred_channel: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct PreferenceView<'a> {
    category: &'a str,
    channel: &'static str,
    enabled: bool,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum QuietView {
    Usual(()),
    Never(&'static str),
    Own { from: String, to: String },
}

impl<'a> PreferencesView<'a> {
    fn new(user: &'a User) -> Self {
        let said = user.preferences.iter().flat_map(|(category, channels)| {
            Channel::ALL.into_iter().filter_map(move |channel| {
                let enabled = channels[channel.index()]?;
                Some(PreferenceView { category, channel: channel.name(), enabled })
            })
        });
        Self {
            preferences: said.collect(),
            quiet_hours: match user.quiet_hours {
                QuietChoice::Usual => QuietView::Usual(()),
                QuietChoice::Never => QuietView::Never("never"),
                QuietChoice::Own(hours) => {
                    QuietView::Own { from: hours.from().to_string(), to: hours.to().to_string() }
                }
            },
            digest_hour: user.digest_hour,
            preferred_channel: user.preferred_channel.map(Channel::name),
        }
    }
}

/// What a user said, and nothing of what holds by default.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let key = user_key(&caller, &names(path)?)?;
    let user = api.parts.users.user(&key).await?.ok_or_else(Problem::not_found)?;
    json(&PreferencesView::new(&user))
}

/// PUT: changes what it names; null takes back.
pub(in crate::api) async fn change(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let key = user_key(&caller, &names(path)?)?;
    let (_, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let mut problems = Problems::default();
    let mut fields = Fields::read(body.text()?, "").map_err(|problem| Problem::fields(vec![problem]))?;
    let said = Preferences::read(&mut fields, &api.parts.categories, &mut problems);
    fields.end(&mut problems);
    problems.or(()).map_err(Problem::fields)?;
    json(&PreferencesView::new(&save(&api, &key, &said).await?))
}

/// Writes what a user said, whoever said it for them; what is known of the user then. Durable on return.
pub(super) async fn save(api: &Api, key: &UserKey, said: &Preferences) -> Result<User, Problem> {
    save_with(api, key, said, Vec::new()).await
}

/// The same with more that was said at once.
pub(super) async fn save_with(
    api: &Api,
    key: &UserKey,
    said: &Preferences,
    more: Vec<UserEntry>,
) -> Result<User, Problem> {
    let mut user = api.parts.users.user(key).await?.unwrap_or_default();
    let mut entries = said.entries(&user);
    entries.extend(more);
    entries.extend(creation(&user, api.parts.clock.now()));
    write(api, key, &mut user, entries).await?;
    Ok(user)
}
