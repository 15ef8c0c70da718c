//! `/v1/users/{id}/inbox`: what came to a user in the product. For keys, and for the user's own programs with a pass.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use serde::{Deserialize, Serialize};

use super::answer::{json, names, query, user_key};
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::paging::{self, Page};
use crate::api::problem::{Kind, Problem};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{InboxEntry, InboxPlace, NotificationId, TaskId, Timestamp, UserKey};
use crate::inbox::InboxShelf;
use crate::intake::FieldProblem;
use crate::realtime::EntryView;

/// Ids that one call may name.
const IDS_MAX: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ListQuery {
    limit: Option<usize>,
    cursor: Option<String>,
    status: Option<String>,
}

impl ListQuery {
    fn shelf(&self) -> Result<InboxShelf, Problem> {
        match self.status.as_deref() {
            None | Some("all") => Ok(InboxShelf::Current),
            Some("unread") => Ok(InboxShelf::Unread),
            Some("archived") => Ok(InboxShelf::Archived),
            Some(_) => Err(Problem::new(Kind::BadRequest, "`status` must be one of: all, unread, archived")),
        }
    }
}

/// Where a page begins, as a cursor is made of it.
fn place_name(entry: &InboxEntry) -> String {
    format!("{} {}", entry.place.at.millis(), entry.place.task)
}

fn read_place(text: &str) -> Option<InboxPlace> {
    let (at, task) = text.split_once(' ')?;
    Some(InboxPlace { at: Timestamp(at.parse().ok()?), task: task.parse::<TaskId>().ok()? })
}

/// Newest first.
pub(in crate::api) async fn list(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    parameters: Result<Query<ListQuery>, QueryRejection>,
) -> Answer {
    #[derive(Serialize)]
    struct InboxView<'a> {
        data: Vec<EntryView<'a>>,
        next_cursor: Option<String>,
        unread_count: usize,
    }
    let user = user_key(&caller, &names(path)?)?;
    let parameters = query(parameters)?;
    let (limit, shelf) = (paging::limit(parameters.limit)?, parameters.shelf()?);
    let after = paging::read_cursor(parameters.cursor.as_deref(), read_place)?;
    let inbox = api.parts.live.inbox();
    let (entries, unread_count) =
        tokio::try_join!(inbox.page(&user, shelf, after, limit + 1), inbox.unread_count(&user))?;
    let Page { data, next_cursor } = Page::of(entries, limit, place_name);
    json(&InboxView { data: data.iter().map(EntryView::from).collect(), next_cursor, unread_count })
}

#[derive(Serialize)]
struct DoneView {
    id: String,
    status: &'static str,
    unread_count: usize,
}

pub(in crate::api) async fn read(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Answer {
    let (user, notification) = one(&caller, path)?;
    let read = api.parts.live.inbox().read(&user, &[notification]).await?;
    done(&api, &user, &read, "read").await
}

pub(in crate::api) async fn archive(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Answer {
    let (user, notification) = one(&caller, path)?;
    let archived = api.parts.live.inbox().archive(&user, &[notification]).await?;
    done(&api, &user, &archived, "archived").await
}

fn one(
    caller: &Caller,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<(UserKey, NotificationId), Problem> {
    let (id, notification) = names(path)?;
    Ok((user_key(caller, &id)?, notification.parse().map_err(|_| Problem::not_found())?))
}

/// What was found of the one that was named, and how many are unread then.
async fn done(api: &Api, user: &UserKey, found: &[NotificationId], status: &'static str) -> Answer {
    let id = found.first().ok_or_else(Problem::not_found)?.to_string();
    json(&DoneView { id, status, unread_count: api.parts.live.inbox().unread_count(user).await? })
}

pub(in crate::api) async fn read_all(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    #[derive(Serialize)]
    struct AllView {
        read: usize,
        unread_count: usize,
    }
    let user = user_key(&caller, &names(path)?)?;
    let inbox = api.parts.live.inbox();
    let read = inbox.read_all(&user).await?;
    json(&AllView { read, unread_count: inbox.unread_count(&user).await? })
}

/// POST: a program of the user has these, and needs them no more at its next connect. What is not in the inbox is passed over.
pub(in crate::api) async fn ack(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Said {
        ids: Vec<String>,
    }
    #[derive(Serialize)]
    struct AckedView {
        acked: usize,
    }
    let user = user_key(&caller, &names(path)?)?;
    let (_, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let wrong = |pointer: String, detail: &str| Problem::fields(vec![FieldProblem::new(pointer, detail.to_owned())]);
    let said: Said = serde_json::from_str(body.text()?).map_err(|error| wrong(String::new(), &error.to_string()))?;
    if said.ids.len() > IDS_MAX {
        return Err(wrong("/ids".to_owned(), &format!("has more than {IDS_MAX}")));
    }
    let mut ids: Vec<NotificationId> = Vec::with_capacity(said.ids.len());
    for (index, id) in said.ids.iter().enumerate() {
        let id = id.parse().map_err(|_| wrong(format!("/ids/{index}"), "is no id of a notification"))?;
        ids.push(id);
    }
    let inbox = api.parts.live.inbox();
    let places = inbox.places(&user, &ids).await?;
    inbox.ack(&user, &places).await?;
    json(&AckedView { acked: places.len() })
}
