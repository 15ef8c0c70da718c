//! What operators and their machines ask: is it alive, is it ready, what does it count.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use super::answer::{json, raw_json};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::log::LogError;
use crate::telemetry::Condition;

#[derive(Serialize)]
struct AliveView {
    status: &'static str,
    version: &'static str,
}

/// `GET /healthz`: the process answers; whether it should be given work says `/readyz`.
pub(in crate::api) async fn alive() -> Answer {
    json(&AliveView { status: "alive", version: env!("CARGO_PKG_VERSION") })
}

#[derive(Serialize)]
struct ReadyView {
    status: &'static str,
    reasons: Vec<ReasonView>,
}

#[derive(Serialize)]
struct ReasonView {
    condition: &'static str,
    reason: String,
    #[serde(skip)]
    lets_requests_in: bool,
}

impl ReasonView {
    fn new(condition: Condition, reason: String) -> Self {
        Self { condition: condition.name(), reason, lets_requests_in: condition.lets_requests_in() }
    }
}

/// `GET /readyz`: 200, or 503 with what stands against it. Where nodes share the log, one that takes requests is ready as long as
/// it can: with the log or the store out it is `degraded`, and says why.
pub(in crate::api) async fn ready(State(api): State<Arc<Api>>) -> Answer {
    let mut reasons: Vec<ReasonView> =
        api.parts.health.reasons().into_iter().map(|(condition, reason)| ReasonView::new(condition, reason)).collect();
    let log = &api.parts.log;
    let takes_requests = api.parts.takes_requests && log.is_shared();
    let is_degraded_only = |reason: &&ReasonView| takes_requests && reason.lets_requests_in;
    if let Err(error) = log.writable() {
        let condition = if matches!(error, LogError::Full { .. }) { Condition::Disk } else { Condition::Log };
        if !reasons.iter().any(|reason| reason.condition == condition.name()) {
            reasons.push(ReasonView::new(condition, error.to_string()));
        }
    } else if let Some(reason) = log.degraded() {
        // The store would have to take them: if it is out as well, nothing does.
        let is_of_store = |reason: &&mut ReasonView| reason.condition != Condition::Shards.name();
        reasons.iter_mut().filter(is_of_store).for_each(|reason| reason.lets_requests_in = false);
        reasons.push(ReasonView { lets_requests_in: true, ..ReasonView::new(Condition::Log, reason) });
    }
    if reasons.is_empty() {
        return json(&ReadyView { status: "ready", reasons });
    }
    if reasons.iter().filter(is_degraded_only).count() == reasons.len() {
        return json(&ReadyView { status: "degraded", reasons });
    }
    let body = serde_json::to_vec(&ReadyView { status: "not_ready", reasons }).unwrap_or_default();
    Ok(raw_json(StatusCode::SERVICE_UNAVAILABLE, body))
}

/// `GET /metrics`, in the text format of Prometheus.
pub(in crate::api) async fn metrics(State(api): State<Arc<Api>>) -> Answer {
    let mut response = Response::new(Body::from(api.parts.metrics.render()));
    let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, format);
    Ok(response)
}
