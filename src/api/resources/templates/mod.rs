//! `/v1/templates`: templates as data. Whoever changes one says in `If-Match` in which state they saw it.

mod list;
mod one;
mod post;
mod render;
mod said;
mod states;
mod versions;
mod view;

pub(in crate::api) use list::list;
pub(in crate::api) use one::{create, delete, put, show};
pub(in crate::api) use render::{render, render_unsaved, validate};
pub(in crate::api) use states::{activate, copy, deactivate, promote, roll_back};
pub(in crate::api) use versions::{changes, delete_version, show_version, versions};
pub(in crate::api) use view::ProblemView;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use self::post::Post;
use super::answer::{json, names};
use crate::api::auth::Caller;
use crate::api::precondition::{condition, etag};
use crate::api::problem::Problem;
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::templates::{Changed, Order, Wish, is_code};

/// The code in an address; what cannot be one is the code of nothing.
fn code(path: Result<Path<String>, PathRejection>) -> Result<Box<str>, Problem> {
    let code = names(path)?;
    if is_code(&code) { Ok(code.into()) } else { Err(Problem::not_found()) }
}

/// The code and the version in an address.
fn code_and_version(path: Result<Path<(String, String)>, PathRejection>) -> Result<(Box<str>, u32), Problem> {
    let (code, version) = names(path)?;
    match version.parse() {
        Ok(version) if is_code(&code) => Ok((code.into(), version)),
        _ => Err(Problem::not_found()),
    }
}

/// Makes a change under the conditions of the headers.
async fn change(
    api: &Api,
    caller: &Caller,
    headers: &HeaderMap,
    code: &str,
    order: &Order,
) -> Result<Changed, Problem> {
    let condition = condition(headers)?;
    let wish = Wish { tenant: &caller.tenant, code, by: &caller.name, condition: &condition };
    let changed = api.parts.templates.change(wish, order).await;
    changed.map_err(|error| match order {
        // The template stands in the body.
        Order::Create { .. } | Order::Put { .. } => render::below_template(error),
        _ => error.into(),
    })
}

/// JSON with the tag of the template's state.
fn tagged(status: StatusCode, last_change: u64, view: &impl Serialize) -> Answer {
    let mut response: Response = json(view)?;
    *response.status_mut() = status;
    response.headers_mut().insert(header::ETAG, etag(last_change));
    Ok(response)
}
