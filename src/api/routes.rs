//! The route table: every call, what its key must be allowed to, and who answers it.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::around::{Around, around};
use super::cross_origin::preflight;
use super::problem::{Kind, Problem};
use super::resources::event_types::EventTypes;
use super::resources::recipients::{choices, link, unsubscribe};
use super::resources::rules::Rules;
use super::resources::schedules::ScheduleShelf;
use super::resources::{
    accounting, analytics, audit, batch, brakes, campaigns, consents, dead_letters, definitions, devices, docs, events,
    happened, history, import, inbox, lists, live, me, notifications, operations, pages, preferences, receipts, rules,
    sandbox, schedules, subscriptions, suppressions, tasks, templates, topics, tracking, users,
};
use super::state::{Api, ApiParts};
use crate::config::Scope;

pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) access: Access,
    answer: MethodRouter<Arc<Api>>,
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Whoever has a key with this scope.
    Key(Scope),
    /// The same, and the one user whom the address names, with a pass.
    Person(Scope),
    /// Whoever has a key.
    AnyKey,
    /// Whoever shows something that we or a provider signed, which the handler checks: a few of them at a time.
    Stranger,
    /// Everybody, however much there is to do.
    Always,
}

/// All routes.
pub(super) fn table() -> Vec<Route> {
    use Access::{Always, AnyKey, Stranger};
    const ADMIN: Access = Access::Key(Scope::Admin);
    const READ: Access = Access::Key(Scope::Read);
    const SEND: Access = Access::Key(Scope::Send);
    const SEEN_BY_USER: Access = Access::Person(Scope::Read);
    const DONE_BY_USER: Access = Access::Person(Scope::Send);
    vec![
        post("/v1/notifications", SEND, notifications::create),
        post("/v1/notifications/batch", SEND, batch::create),
        get("/v1/notifications", READ, history::list),
        get("/v1/notifications/{id}", READ, notifications::show),
        delete("/v1/notifications/{id}", SEND, notifications::cancel),
        get("/v1/tasks/{id}", READ, tasks::show),
        post("/v1/tasks/{id}/events", DONE_BY_USER, happened::tell),
        post("/v1/conversions", SEND, happened::convert),
        get("/v1/dead-letters", READ, dead_letters::list),
        post("/v1/dead-letters/replay", ADMIN, dead_letters::replay_many),
        post("/v1/dead-letters/{id}/replay", ADMIN, dead_letters::replay),
        post("/v1/users/import", ADMIN, import::create),
        get("/v1/users/{id}", READ, users::show),
        put("/v1/users/{id}", SEND, users::replace),
        patch("/v1/users/{id}", SEND, users::merge),
        delete("/v1/users/{id}", ADMIN, users::erase),
        get("/v1/users/{id}/export", READ, users::export),
        get("/v1/users/{id}/consents", READ, consents::list),
        get("/v1/users/{id}/consents/{purpose}", READ, consents::show),
        put("/v1/users/{id}/consents/{purpose}", SEND, consents::put),
        delete("/v1/users/{id}/consents/{purpose}", SEND, consents::withdraw),
        get("/v1/users/{id}/devices", READ, devices::list),
        get("/v1/users/{id}/devices/{device_id}", READ, devices::show),
        put("/v1/users/{id}/devices/{device_id}", SEND, devices::register),
        delete("/v1/users/{id}/devices/{device_id}", SEND, devices::remove),
        get("/v1/users/{id}/preferences", SEEN_BY_USER, preferences::show),
        put("/v1/users/{id}/preferences", DONE_BY_USER, preferences::change),
        post("/v1/users/{id}/preferences-link", SEND, link::create),
        get("/v1/users/{id}/inbox", SEEN_BY_USER, inbox::list),
        post("/v1/users/{id}/inbox/read-all", DONE_BY_USER, inbox::read_all),
        post("/v1/users/{id}/inbox/ack", DONE_BY_USER, inbox::ack),
        post("/v1/users/{id}/inbox/{notification_id}/read", DONE_BY_USER, inbox::read),
        post("/v1/users/{id}/inbox/{notification_id}/archive", DONE_BY_USER, inbox::archive),
        post("/v1/users/{id}/ws-token", SEND, live::pass),
        get("/v1/users/{id}/presence", READ, live::presence),
        get("/v1/ws", Always, live::connect),
        get("/v1/sse", Always, live::stream),
        get("/v1/users/{id}/subscriptions", READ, subscriptions::list_of_user),
        get("/v1/subjects/{subject}/subscriptions", READ, subscriptions::list_of_subject),
        put("/v1/subjects/{subject}/subscriptions", SEND, subscriptions::put_many),
        get("/v1/subjects/{subject}/subscriptions/{user_id}", READ, subscriptions::show),
        put("/v1/subjects/{subject}/subscriptions/{user_id}", SEND, subscriptions::put),
        delete("/v1/subjects/{subject}/subscriptions/{user_id}", SEND, subscriptions::remove),
        get("/v1/suppressions", READ, suppressions::list),
        post("/v1/suppressions", SEND, suppressions::create),
        get("/v1/suppressions/{kind}/{address}", READ, suppressions::show),
        put("/v1/suppressions/{kind}/{address}", SEND, suppressions::put),
        delete("/v1/suppressions/{kind}/{address}", ADMIN, suppressions::lift),
        get("/v1/brakes", READ, brakes::list),
        post("/v1/brakes", ADMIN, brakes::change),
        get("/v1/templates", READ, templates::list),
        post("/v1/templates", ADMIN, templates::create),
        post("/v1/templates/render", READ, templates::render_unsaved),
        post("/v1/templates/validate", READ, templates::validate),
        get("/v1/templates/{code}", READ, templates::show),
        put("/v1/templates/{code}", ADMIN, templates::put),
        delete("/v1/templates/{code}", ADMIN, templates::delete),
        get("/v1/templates/{code}/versions", READ, templates::versions),
        get("/v1/templates/{code}/versions/{version}", READ, templates::show_version),
        delete("/v1/templates/{code}/versions/{version}", ADMIN, templates::delete_version),
        get("/v1/templates/{code}/changes", READ, templates::changes),
        post("/v1/templates/{code}/rollback", ADMIN, templates::roll_back),
        post("/v1/templates/{code}/activate", ADMIN, templates::activate),
        post("/v1/templates/{code}/deactivate", ADMIN, templates::deactivate),
        post("/v1/templates/{code}/copy", ADMIN, templates::copy),
        post("/v1/templates/{code}/promote", ADMIN, templates::promote),
        post("/v1/templates/{code}/render", READ, templates::render),
        post("/v1/events", SEND, events::create),
        get("/v1/event-types", READ, definitions::list::<EventTypes>),
        post("/v1/event-types", ADMIN, definitions::create::<EventTypes>),
        get("/v1/event-types/{name}", READ, definitions::show::<EventTypes>),
        put("/v1/event-types/{name}", ADMIN, definitions::put::<EventTypes>),
        delete("/v1/event-types/{name}", ADMIN, definitions::delete::<EventTypes>),
        get("/v1/rules", READ, definitions::list::<Rules>),
        post("/v1/rules", ADMIN, definitions::create::<Rules>),
        post("/v1/rules/test", READ, rules::test_unsaved),
        get("/v1/rules/{name}", READ, definitions::show::<Rules>),
        put("/v1/rules/{name}", ADMIN, definitions::put::<Rules>),
        delete("/v1/rules/{name}", ADMIN, definitions::delete::<Rules>),
        post("/v1/rules/{name}/test", READ, rules::test),
        get("/v1/schedules", READ, definitions::list::<ScheduleShelf>),
        post("/v1/schedules", ADMIN, definitions::create::<ScheduleShelf>),
        post("/v1/schedules/preview", READ, schedules::preview),
        get("/v1/schedules/{name}", READ, definitions::show::<ScheduleShelf>),
        put("/v1/schedules/{name}", ADMIN, definitions::put::<ScheduleShelf>),
        delete("/v1/schedules/{name}", ADMIN, definitions::delete::<ScheduleShelf>),
        post("/v1/schedules/{name}/run", ADMIN, schedules::run),
        get("/v1/schedules/{name}/runs", READ, schedules::runs),
        get("/v1/topics", READ, topics::list),
        post("/v1/topics", ADMIN, topics::create),
        get("/v1/topics/{topic}", READ, topics::show),
        delete("/v1/topics/{topic}", ADMIN, topics::delete),
        post("/v1/topics/{topic}/messages", SEND, topics::publish),
        delete("/v1/topics/{topic}/messages/{id}", SEND, topics::cancel),
        get("/v1/topics/{topic}/groups/{group}/messages", READ, topics::receive),
        post("/v1/topics/{topic}/groups/{group}/ack", READ, topics::ack),
        post("/v1/topics/{topic}/groups/{group}/nack", READ, topics::nack),
        post("/v1/topics/{topic}/groups/{group}/extend", READ, topics::extend),
        get("/v1/topics/{topic}/groups/{group}/stream", READ, topics::stream),
        delete("/v1/topics/{topic}/groups/{group}", ADMIN, topics::delete_group),
        get("/v1/campaigns", READ, campaigns::list),
        post("/v1/campaigns", SEND, campaigns::create),
        get("/v1/campaigns/{id}", READ, campaigns::show),
        post("/v1/campaigns/{id}/pause", SEND, campaigns::pause),
        post("/v1/campaigns/{id}/resume", SEND, campaigns::resume),
        post("/v1/campaigns/{id}/cancel", SEND, campaigns::cancel),
        get("/v1/campaigns/{id}/missed", READ, campaigns::missed),
        get("/v1/lists", READ, lists::list),
        post(lists::PATH, SEND, lists::create),
        get("/v1/lists/{id}", READ, lists::show),
        delete("/v1/lists/{id}", SEND, lists::remove),
        post("/v1/providers/{name}/receipts", Stranger, receipts::create),
        get(unsubscribe::PATH, Stranger, unsubscribe::show),
        post(unsubscribe::PATH, Stranger, unsubscribe::create),
        get("/t/o/{token}", Always, tracking::open),
        get("/t/c/{token}", Always, tracking::click),
        get("/v1/me", AnyKey, me::show),
        get(choices::PATH, Stranger, choices::show),
        post(choices::PATH, Stranger, choices::change),
        get("/v1/analytics", READ, analytics::show),
        get("/v1/analytics/experiments", READ, analytics::experiments),
        get("/v1/accounting", ADMIN, accounting::show),
        get("/v1/audit", ADMIN, audit::list),
        get(sandbox::PATH, ADMIN, sandbox::list),
        delete(sandbox::PATH, ADMIN, sandbox::clear),
        get("/healthz", Always, operations::alive),
        get("/readyz", Always, operations::ready),
        get("/metrics", Always, operations::metrics),
        get("/openapi.json", Always, docs::openapi),
        get("/docs", Always, docs::page),
        get("/docs/docs.css", Always, docs::style),
        get("/docs/docs.js", Always, docs::script),
        get("/console", Always, pages::console),
        get("/console/{file}", Always, pages::console_file),
        get("/assets/{file}", Always, pages::asset),
        get("/inbox-demo", Always, pages::demo),
        get("/inbox/{file}", Always, pages::of_inbox),
        get("/pages/{file}", Always, pages::of_pages),
    ]
}

/// The API as a service.
pub fn router(parts: ApiParts) -> Router {
    let api = Arc::new(Api::new(parts));
    let mut router = Router::new();
    let takes_requests = api.parts.takes_requests;
    // What a sandbox was given is kept by the node that sent it, which may take no requests.
    let is_page = |route: &Route| route.access == Access::Always && !route.path.starts_with("/v1/");
    let is_served = |route: &Route| takes_requests || is_page(route) || route.path == sandbox::PATH;
    for route in table().into_iter().filter(is_served) {
        let around_it = Arc::new(Around::new(api.clone(), route.path, route.method.clone(), route.access));
        router = router.route(route.path, route.answer.route_layer(from_fn_with_state(around_it, around)));
    }
    let opened: BTreeSet<&str> =
        table().into_iter().filter(|route| matches!(route.access, Access::Person(_))).map(|route| route.path).collect();
    for path in opened.into_iter().filter(|_| takes_requests) {
        let around_it = Arc::new(Around::new(api.clone(), path, Method::OPTIONS, Access::Always));
        let asked = on(MethodFilter::OPTIONS, preflight);
        router = router.route(path, asked.route_layer(from_fn_with_state(around_it, around)));
    }
    // Whatever is no route is counted as one, or a scanner would make a series of every address it tries.
    let any = Method::from_bytes(b"ANY").expect("a method is a word of letters");
    let no_route = Arc::new(Around::new(api.clone(), "none", any, Access::Always));
    let counted = || from_fn_with_state(no_route.clone(), around);
    let unknown = async || Problem::new(Kind::NotFound, "there is no such address: see /docs");
    let wrong_method =
        async || Problem::new(Kind::MethodNotAllowed, "this address exists, but not with this method: see /docs");
    router.method_not_allowed_fallback(wrong_method.layer(counted())).fallback(unknown.layer(counted())).with_state(api)
}

fn get<H: Handler<T, Arc<Api>>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    Route { method: Method::GET, path, access, answer: on(MethodFilter::GET, handler) }
}

fn post<H: Handler<T, Arc<Api>>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    Route { method: Method::POST, path, access, answer: on(MethodFilter::POST, handler) }
}

fn put<H: Handler<T, Arc<Api>>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    Route { method: Method::PUT, path, access, answer: on(MethodFilter::PUT, handler) }
}

fn patch<H: Handler<T, Arc<Api>>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    Route { method: Method::PATCH, path, access, answer: on(MethodFilter::PATCH, handler) }
}

fn delete<H: Handler<T, Arc<Api>>, T: 'static>(path: &'static str, access: Access, handler: H) -> Route {
    Route { method: Method::DELETE, path, access, answer: on(MethodFilter::DELETE, handler) }
}

/// What every handler gives.
pub(super) type Answer = Result<Response, Problem>;
