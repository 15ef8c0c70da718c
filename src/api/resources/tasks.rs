//! `GET /v1/tasks/{id}`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};

use super::answer::{id, json};
use super::story::TaskView;
use crate::api::auth::Caller;
use crate::api::problem::Problem;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::TaskId;

/// One task with its events.
pub(in crate::api) async fn show(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let task: TaskId = id(path)?;
    let story = api.parts.store.stories(&[task.position]).await?.pop().flatten();
    let story = story.filter(|story| *story.plan.tenant == *caller.tenant).ok_or_else(Problem::not_found)?;
    let view = TaskView::new(&story, usize::from(task.ordinal), &|task| api.parts.operations.is_sending(task));
    json(&view.ok_or_else(Problem::not_found)?)
}
