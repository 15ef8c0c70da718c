//! `/v1/subjects/{subject}/subscriptions`: who follows what.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use serde::{Deserialize, Serialize};

use super::answer::{json, named_wrongly, names, put_json, query, user_key};
use super::import::{self, Taker};
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::paging::{self, Page};
use crate::api::problem::Problem;
use crate::api::profile::{self, Fields, Problems, SubscriptionSaid};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{Subscription, UserKey};

#[derive(Debug, Serialize)]
struct SubscriptionView {
    subject: Box<str>,
    user_id: Box<str>,
    channel: &'static str,
    status: &'static str,
    since: String,
    changed_at: String,
}

impl SubscriptionView {
    fn new(subject: Box<str>, user_id: Box<str>, subscription: &Subscription) -> Self {
        Self {
            subject,
            user_id,
            channel: subscription.channel.name(),
            status: if subscription.is_active { "active" } else { "inactive" },
            since: subscription.since.to_string(),
            changed_at: subscription.changed_at.to_string(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
}

impl ListQuery {
    /// How many are wanted, and the name after which to go on.
    fn read(parameters: Result<Query<Self>, QueryRejection>) -> Result<(usize, Option<Box<str>>), Problem> {
        let Self { limit, cursor } = query(parameters)?;
        Ok((paging::limit(limit)?, paging::read_cursor(cursor.as_deref(), |text| Some(text.into()))?))
    }
}

fn subject(name: &str) -> Result<Box<str>, Problem> {
    profile::name(name, "").map_err(|problem| named_wrongly("subject", &problem.detail))
}

fn read_path(
    caller: &Caller,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<(Box<str>, UserKey), Problem> {
    let (about, user) = names(path)?;
    Ok((subject(&about)?, user_key(caller, &user)?))
}

pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Answer {
    let (subject, user) = read_path(&caller, path)?;
    let held = api.subscriptions.get(&subject, &user).await?.ok_or_else(Problem::not_found)?;
    json(&SubscriptionView::new(subject, user.user_id, &held))
}

/// PUT: the user follows, in this way from now on. Known users or not: who follows may come before who writes the user.
pub(in crate::api) async fn put(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Answer {
    let (subject, user) = read_path(&caller, path)?;
    let (_, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let said = read(body.text()?, &subject, &user.user_id)?;
    let (held, is_new) = api.subscriptions.put(&user.tenant, &subject, said.of(user.user_id.clone())).await?;
    put_json(is_new, &SubscriptionView::new(subject, user.user_id, &held))
}

/// What was read may be sent back.
fn read(text: &str, subject: &str, user_id: &str) -> Result<SubscriptionSaid, Problem> {
    let mut problems = Problems::default();
    let mut fields = Fields::read(text, "").map_err(|problem| Problem::fields(vec![problem]))?;
    let said = SubscriptionSaid::read(&mut fields, &mut problems);
    for (name, expected) in [("subject", subject), ("user_id", user_id)] {
        let is_same = |text: &str| if text == expected { Ok(()) } else { Err("is another than in the address") };
        fields.text(name, &mut problems, is_same);
    }
    fields.end(&mut problems);
    problems.or(said).map_err(Problem::fields)?.ok_or_else(Problem::not_found)
}

pub(in crate::api) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Answer {
    #[derive(Serialize)]
    struct RemovedView {
        subject: Box<str>,
        user_id: Box<str>,
        status: &'static str,
    }
    let (subject, user) = read_path(&caller, path)?;
    if !api.subscriptions.remove(&subject, &user).await? {
        return Err(Problem::not_found());
    }
    json(&RemovedView { subject, user_id: user.user_id, status: "removed" })
}

/// Who follows a subject, in an order that never changes and says nothing.
pub(in crate::api) async fn list_of_subject(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    parameters: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    let subject = subject(&names(path)?)?;
    let (limit, after) = ListQuery::read(parameters)?;
    let followers = api.subscriptions.of_subject(&caller.tenant, &subject, after.as_deref(), limit + 1).await?;
    let views = followers.into_iter().map(|one| SubscriptionView::new(subject.clone(), one.user_id, &one.subscription));
    json(&Page::of(views, limit, |view| view.user_id.to_string()))
}

/// What a user follows, in the order of the subjects.
pub(in crate::api) async fn list_of_user(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    parameters: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    let user = user_key(&caller, &names(path)?)?;
    let (limit, after) = ListQuery::read(parameters)?;
    let followed = api.subscriptions.of_user(&user, after.as_deref(), limit + 1).await?;
    let views = followed.into_iter().map(|(subject, one)| SubscriptionView::new(subject, user.user_id.clone(), &one));
    json(&Page::of(views, limit, |view| view.subject.to_string()))
}

/// Many followers of a subject, one a line; answered as an import of users is.
pub(in crate::api) async fn put_many(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let subject = subject(&names(path)?)?;
    let call = format!("PUT /v1/subjects/{subject}/subscriptions");
    import::begin(api, caller, request, &call, Taker::Followers { subject }).await
}
