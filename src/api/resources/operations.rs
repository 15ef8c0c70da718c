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
}

/// `GET /readyz`: 200, or 503 with what stands against it.
pub(in crate::api) async fn ready(State(api): State<Arc<Api>>) -> Answer {
    let mut reasons: Vec<ReasonView> = api
        .parts
        .health
        .reasons()
        .into_iter()
        .map(|(condition, reason)| ReasonView { condition: condition.name(), reason })
        .collect();
    if let Err(error) = api.parts.log.writable() {
        let condition = if matches!(error, LogError::Full { .. }) { Condition::Disk } else { Condition::Log }.name();
        if !reasons.iter().any(|reason| reason.condition == condition) {
            reasons.push(ReasonView { condition, reason: error.to_string() });
        }
    }
    if reasons.is_empty() {
        return json(&ReadyView { status: "ready", reasons });
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
