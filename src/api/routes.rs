//! The route table: every call, what its key must be allowed to, and who answers it.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::around::{Around, around};
use super::problem::{Kind, Problem};
use super::resources::{
    accounting, batch, brakes, dead_letters, devices, docs, import, notifications, operations, preferences, sandbox,
    suppressions, tasks, templates, users,
};
use super::state::{Api, ApiParts};
use crate::config::Scope;

pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// `None`: needs no key, and is answered however much there is to do.
    pub(super) scope: Option<Scope>,
    answer: MethodRouter<Arc<Api>>,
}

/// All routes.
pub(super) fn table() -> Vec<Route> {
    use Scope::{Admin, Read, Send};
    vec![
        post("/v1/notifications", Send, notifications::create),
        post("/v1/notifications/batch", Send, batch::create),
        get("/v1/notifications", Some(Read), notifications::list),
        get("/v1/notifications/{id}", Some(Read), notifications::show),
        delete("/v1/notifications/{id}", Send, notifications::cancel),
        get("/v1/tasks/{id}", Some(Read), tasks::show),
        get("/v1/dead-letters", Some(Read), dead_letters::list),
        post("/v1/dead-letters/replay", Admin, dead_letters::replay_many),
        post("/v1/dead-letters/{id}/replay", Admin, dead_letters::replay),
        post("/v1/users/import", Admin, import::create),
        get("/v1/users/{id}", Some(Read), users::show),
        put("/v1/users/{id}", Send, users::replace),
        patch("/v1/users/{id}", Send, users::merge),
        delete("/v1/users/{id}", Admin, users::erase),
        get("/v1/users/{id}/devices", Some(Read), devices::list),
        get("/v1/users/{id}/devices/{device_id}", Some(Read), devices::show),
        put("/v1/users/{id}/devices/{device_id}", Send, devices::register),
        delete("/v1/users/{id}/devices/{device_id}", Send, devices::remove),
        get("/v1/users/{id}/preferences", Some(Read), preferences::show),
        put("/v1/users/{id}/preferences", Send, preferences::change),
        get("/v1/suppressions", Some(Read), suppressions::list),
        post("/v1/suppressions", Send, suppressions::create),
        get("/v1/suppressions/{kind}/{address}", Some(Read), suppressions::show),
        put("/v1/suppressions/{kind}/{address}", Send, suppressions::put),
        delete("/v1/suppressions/{kind}/{address}", Admin, suppressions::lift),
        get("/v1/brakes", Some(Read), brakes::list),
        post("/v1/brakes", Admin, brakes::change),
        get("/v1/templates", Some(Read), templates::list),
        post("/v1/templates", Admin, templates::create),
        post("/v1/templates/render", Read, templates::render_unsaved),
        post("/v1/templates/validate", Read, templates::validate),
        get("/v1/templates/{code}", Some(Read), templates::show),
        put("/v1/templates/{code}", Admin, templates::put),
        delete("/v1/templates/{code}", Admin, templates::delete),
        get("/v1/templates/{code}/versions", Some(Read), templates::versions),
        get("/v1/templates/{code}/versions/{version}", Some(Read), templates::show_version),
        delete("/v1/templates/{code}/versions/{version}", Admin, templates::delete_version),
        get("/v1/templates/{code}/changes", Some(Read), templates::changes),
        post("/v1/templates/{code}/rollback", Admin, templates::roll_back),
        post("/v1/templates/{code}/activate", Admin, templates::activate),
        post("/v1/templates/{code}/deactivate", Admin, templates::deactivate),
        post("/v1/templates/{code}/copy", Admin, templates::copy),
        post("/v1/templates/{code}/promote", Admin, templates::promote),
        post("/v1/templates/{code}/render", Read, templates::render),
        get("/v1/accounting", Some(Admin), accounting::show),
        get(sandbox::PATH, Some(Admin), sandbox::list),
        delete(sandbox::PATH, Admin, sandbox::clear),
        get("/healthz", None, operations::alive),
        get("/readyz", None, operations::ready),
        get("/metrics", None, operations::metrics),
        get("/openapi.json", None, docs::openapi),
        get("/docs", None, docs::page),
        get("/docs/docs.css", None, docs::style),
        get("/docs/docs.js", None, docs::script),
    ]
}

/// The API as a service.
pub fn router(parts: ApiParts) -> Router {
    let api = Arc::new(Api::new(parts));
    let mut router = Router::new();
    let takes_requests = api.parts.takes_requests;
    // What a sandbox was given is kept by the node that sent it, which may take no requests.
    let is_served = |route: &Route| takes_requests || route.scope.is_none() || route.path == sandbox::PATH;
    for route in table().into_iter().filter(is_served) {
        let around_it = Arc::new(Around::new(api.clone(), route.path, route.method.clone(), route.scope));
        router = router.route(route.path, route.answer.route_layer(from_fn_with_state(around_it, around)));
    }
    // Whatever is no route is counted as one, or a scanner would make a series of every address it tries.
    let any = Method::from_bytes(b"ANY").expect("a method is a word of letters");
    let no_route = Arc::new(Around::new(api.clone(), "none", any, None));
    let counted = || from_fn_with_state(no_route.clone(), around);
    let unknown = async || Problem::new(Kind::NotFound, "there is no such address: see /docs");
    let wrong_method =
        async || Problem::new(Kind::MethodNotAllowed, "this address exists, but not with this method: see /docs");
    router.method_not_allowed_fallback(wrong_method.layer(counted())).fallback(unknown.layer(counted())).with_state(api)
}

fn get<H: Handler<T, Arc<Api>>, T: 'static>(path: &'static str, scope: Option<Scope>, handler: H) -> Route {
    Route { method: Method::GET, path, scope, answer: on(MethodFilter::GET, handler) }
}

fn post<H: Handler<T, Arc<Api>>, T: 'static>(path: &'static str, scope: Scope, handler: H) -> Route {
    Route { method: Method::POST, path, scope: Some(scope), answer: on(MethodFilter::POST, handler) }
}

fn put<H: Handler<T, Arc<Api>>, T: 'static>(path: &'static str, scope: Scope, handler: H) -> Route {
    Route { method: Method::PUT, path, scope: Some(scope), answer: on(MethodFilter::PUT, handler) }
}

fn patch<H: Handler<T, Arc<Api>>, T: 'static>(path: &'static str, scope: Scope, handler: H) -> Route {
    Route { method: Method::PATCH, path, scope: Some(scope), answer: on(MethodFilter::PATCH, handler) }
}

fn delete<H: Handler<T, Arc<Api>>, T: 'static>(path: &'static str, scope: Scope, handler: H) -> Route {
    Route { method: Method::DELETE, path, scope: Some(scope), answer: on(MethodFilter::DELETE, handler) }
}

/// What every handler gives.
pub(super) type Answer = Result<Response, Problem>;
