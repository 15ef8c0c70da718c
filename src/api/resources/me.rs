//! `/v1/me`: what a key is and may do. Pages ask it before they offer anything.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use serde::Serialize;

use super::answer::json;
use crate::api::auth::{Caller, scope_name};
use crate::api::routes::Answer;
use crate::api::state::Api;

#[derive(Serialize)]
struct MeView<'a> {
    tenant: &'a str,
    name: &'a str,
    scopes: Vec<&'static str>,
    version: &'static str,
    /// Whether this node keeps what a sandbox was given.
    sandbox: bool,
    categories: Vec<CategoryView<'a>>,
}

#[derive(Serialize)]
struct CategoryView<'a> {
    name: &'a str,
    /// Whether users get it who said nothing about it.
    enabled: bool,
    /// Whether users may switch it off.
    opt_out: bool,
}

pub(in crate::api) async fn show(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> Answer {
    let categories = &api.parts.categories;
    let named = categories.names().into_iter().filter_map(|name| categories.get(name));
    json(&MeView {
        tenant: &caller.tenant,
        name: &caller.name,
        scopes: caller.scopes.iter().copied().map(scope_name).collect(),
        version: env!("CARGO_PKG_VERSION"),
        sandbox: api.parts.sandbox.is_some(),
        categories: named
            .map(|category| CategoryView { name: &category.name, enabled: category.is_on, opt_out: category.opt_out })
            .collect(),
    })
}
