//! Around every handler: the key, the limits, the time it took, and the panic that must not show.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::auth::{Caller, presented_pass};
use super::problem::{Kind, Problem};
use super::resources::{lists, live};
use super::routes::Access;
use super::state::Api;
use super::{audit, cross_origin};
use crate::links::PassError;
use crate::telemetry::{Histogram, HistogramMetric};

/// The longest an answer may take after the body is there; the log and the store are much faster, or they are broken.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(30);

/// Requests by route, method and status. Worry when 5xx appear, and when the slowest percent of a route gets slower.
const DURATION: HistogramMetric<3> = HistogramMetric::new(
    "fanfare_http_request_duration_seconds",
    "Time from the head of a request to the head of its answer.",
    ["route", "method", "status"],
);

/// Every status that this API answers with; the rest would be counted as 500.
const STATUSES: [u16; 21] =
    [101, 200, 201, 202, 204, 302, 304, 400, 401, 403, 404, 405, 408, 409, 410, 412, 413, 415, 422, 429, 503];

/// One route with what surrounds it.
pub(super) struct Around {
    api: Arc<Api>,
    route: &'static str,
    method: Method,
    access: Access,
    /// Whether what keys do here stands in the audit log.
    is_audited: bool,
    durations: [OnceLock<Histogram>; STATUSES.len() + 1],
}

impl Around {
    pub(super) fn new(api: Arc<Api>, route: &'static str, method: Method, access: Access) -> Self {
        let is_audited = audit::is_audited(&method, route, access);
        Self { api, route, method, access, is_audited, durations: Default::default() }
    }

    fn observe(&self, status: StatusCode, took: Duration) {
        let index = STATUSES.iter().position(|known| *known == status.as_u16()).unwrap_or(STATUSES.len());
        let histogram = self.durations[index].get_or_init(|| {
            let shown = STATUSES.get(index).copied().unwrap_or(500).to_string();
            DURATION.with([self.route, self.method.as_str(), &shown])
        });
        histogram.record(took.as_secs_f64());
    }
}

/// The layer of one route.
pub(super) async fn around(State(route): State<Arc<Around>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let origin = match route.access {
        Access::Person(_) => cross_origin::allowed(&route.api, request.headers()),
        _ if route.route == live::STREAM_PATH => cross_origin::allowed(&route.api, request.headers()),
        _ => None,
    };
    let mut response = match answer(&route, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    };
    if let Some(origin) = origin {
        cross_origin::open(&mut response, origin);
    }
    route.observe(response.status(), began.elapsed());
    response
}

fn of_pass(api: &Api, pass: &str) -> Result<Caller, Problem> {
    let links = api.parts.links.as_ref();
    let read = links.map_or(Err(PassError::Unknown), |links| links.read_pass(pass, api.parts.clock.now()));
    let pass = read.map_err(|error| Problem::new(Kind::Unauthorized, error.to_string()))?;
    api.count_call(&pass)?;
    Ok(Caller::of(&pass))
}

async fn answer(route: &Around, mut request: Request, next: Next) -> Result<Response, Problem> {
    let (mut _in_flight, mut _stranger) = (None, None);
    let api = &route.api;
    let busy = |_| Problem::unavailable("too many requests are being answered", Duration::from_secs(1));
    match route.access {
        Access::Always => {}
        Access::Stranger => {
            _stranger = Some(api.strangers.try_acquire().map_err(busy)?);
            _in_flight = Some(api.in_flight.try_acquire().map_err(busy)?);
        }
        Access::Person(_) if let Some(pass) = presented_pass(request.headers()) => {
            let caller = of_pass(api, pass)?;
            _stranger = Some(api.people.try_acquire().map_err(busy)?);
            _in_flight = Some(api.in_flight.try_acquire().map_err(busy)?);
            request.extensions_mut().insert(caller);
        }
        Access::Key(_) | Access::Person(_) | Access::AnyKey => {
            _in_flight = Some(api.in_flight.try_acquire().map_err(busy)?);
            let scope = match route.access {
                Access::Key(scope) | Access::Person(scope) => Some(scope),
                _ => None,
            };
            let caller = api.keys.authorize(request.headers(), scope)?;
            request.extensions_mut().insert(caller);
        }
    }
    let limit = match route.route {
        // Bodies of many megabytes, which are written while they come; each wait for more is bounded by itself.
        lists::PATH => lists::UPLOAD_MAX,
        _ => route.api.parts.http.request_timeout + ANSWER_WAIT_MAX,
    };
    if !route.is_audited {
        return handled(route, limit, request, next).await;
    }
    let (request, begun) = audit::begin(api, request, (&route.method, route.route)).await?;
    // Problems as well: that it was tried, and what came of it.
    let response = handled(route, limit, request, next).await.unwrap_or_else(IntoResponse::into_response);
    Ok(match begun {
        Some(begun) => audit::end(api, begun, response).await,
        None => response,
    })
}

async fn handled(route: &Around, limit: Duration, request: Request, next: Next) -> Result<Response, Problem> {
    match tokio::time::timeout(limit, AssertUnwindSafe(next.run(request)).catch_unwind()).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(_)) => {
            // The panic itself was logged by its hook.
            tracing::error!(route = route.route, method = %route.method, "a handler panicked");
            Err(Problem::new(Kind::Internal, "the request could not be answered; the reason stands in the log"))
        }
        Err(_) => Err(Problem::unavailable("the answer took too long", Duration::from_secs(5))),
    }
}
