//! What is done to a template besides saving it. A retry with the same `Idempotency-Key` is told the same and changes nothing.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;

use super::said::{self, comment, new_code};
use super::{Post, code};
use crate::api::auth::Caller;
use crate::api::problem::Problem;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::TemplateSource;
use crate::templates::Order;

pub(in crate::api) async fn activate(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    set_active(&api, &caller, &code(path)?, request, true).await
}

pub(in crate::api) async fn deactivate(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    set_active(&api, &caller, &code(path)?, request, false).await
}

async fn set_active(api: &Api, caller: &Caller, code: &str, request: Request, is_active: bool) -> Answer {
    let post = Post::read(api, caller, request).await?;
    post.change(StatusCode::OK, code, async |_| Ok(Order::SetActive(is_active))).await
}

/// An earlier version is in force again.
pub(in crate::api) async fn roll_back(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let code = code(path)?;
    let post = Post::read(&api, &caller, request).await?;
    let order = async |text: &str| {
        let version = said::read_one(text, |fields, problems| {
            let version = said::version(fields, problems);
            if version.is_none() && problems.is_empty() {
                problems.add("/version", "is required");
            }
            version
        })?;
        Ok(Order::RollBack { version })
    };
    post.change(StatusCode::OK, &code, order).await
}

/// The parts of a variant become the template's own.
pub(in crate::api) async fn promote(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let code = code(path)?;
    let post = Post::read(&api, &caller, request).await?;
    let order = async |text: &str| {
        let variant = said::read_one(text, |fields, problems| {
            fields.required("variant", problems, |text| Ok::<Box<str>, String>(text.into()))
        })?;
        Ok(Order::Promote { variant })
    };
    post.change(StatusCode::OK, &code, order).await
}

/// The same under another code, under which nothing is saved.
pub(in crate::api) async fn copy(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let code = code(path)?;
    let post = Post::read(&api, &caller, request).await?;
    let (to, comment) = said::read(post.text()?, |fields, problems| {
        (fields.required("code", problems, new_code), comment(fields, problems))
    })?;
    let to = to.ok_or_else(Problem::not_found)?;
    let order = async |_: &str| {
        let source = api.parts.templates.source(&caller.tenant, &code, None).await?;
        let source = Arc::new(TemplateSource { code: to.clone(), ..(*source).clone() });
        let comment = Some(comment.unwrap_or_else(|| format!("a copy of {code}").into()));
        Ok(Order::Create { source, comment })
    };
    post.change(StatusCode::CREATED, &to, order).await
}
