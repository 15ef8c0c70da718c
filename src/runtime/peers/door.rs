//! The door for other nodes: `POST /internal/…`, opened by the secret that this node gives out in its beats.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use subtle::ConstantTimeEq;

use super::topics::topics;
use super::wire::{AccountingWire, CancelWire, CancelledWire, EarlyWire, ReplayWire, ReplayedWire};
use crate::domain::NotificationId;
use crate::outcomes::{Cancellation, Early, Replay};
use crate::runtime::engine::Engine;
use crate::store::StoreError;
use crate::topics::Desk;

/// What stands behind the door.
pub(in crate::runtime) struct Door {
    pub(in crate::runtime) secret: String,
    pub(in crate::runtime) engine: Arc<Engine>,
    pub(in crate::runtime) topics: Arc<Desk>,
}

/// Its routes.
pub(in crate::runtime) fn door(door: Door) -> Router {
    Router::new()
        .route("/internal/cancel", post(cancel))
        .route("/internal/replay", post(replay))
        .route("/internal/early", post(early))
        .route("/internal/accounting", post(accounting))
        .route("/internal/topics", post(topics))
        .with_state(Arc::new(door))
}

impl Door {
    pub(super) fn opens(&self, headers: &HeaderMap) -> Result<(), StatusCode> {
        let presented = headers.get(header::AUTHORIZATION).map_or(&[][..], |value| value.as_bytes());
        let expected = format!("Bearer {}", self.secret);
        match bool::from(presented.ct_eq(expected.as_bytes())) {
            true => Ok(()),
            false => Err(StatusCode::UNAUTHORIZED),
        }
    }
}

async fn cancel(State(door): State<Arc<Door>>, headers: HeaderMap, Json(asked): Json<CancelWire>) -> Response {
    let id = match door.opens(&headers).map(|()| asked.id.parse::<NotificationId>()) {
        Ok(Ok(id)) => id,
        Ok(Err(_)) => return StatusCode::BAD_REQUEST.into_response(),
        Err(refused) => return refused.into_response(),
    };
    answer(door.engine.cancellations.cancel(id).await.map(|cancellation| match cancellation {
        Cancellation::Cancelled { stopped, too_late } => CancelledWire::Cancelled { stopped, too_late },
        Cancellation::TooLate { too_late } => CancelledWire::TooLate { too_late },
        Cancellation::NotOurs => CancelledWire::NotOurs,
    }))
}

async fn replay(State(door): State<Arc<Door>>, headers: HeaderMap, Json(asked): Json<ReplayWire>) -> Response {
    let key = match door.opens(&headers).map(|()| asked.key()) {
        Ok(Some(key)) => key,
        Ok(None) => return StatusCode::BAD_REQUEST.into_response(),
        Err(refused) => return refused.into_response(),
    };
    if !door.engine.has(key.task.position.shard) {
        return Json(ReplayedWire::NotOurs).into_response();
    }
    answer(door.engine.replays.replay(&key).await.map(|replay| match replay {
        Replay::Requeued => ReplayedWire::Requeued,
        Replay::NotReplayable => ReplayedWire::NotReplayable,
    }))
}

async fn early(State(door): State<Arc<Door>>, headers: HeaderMap, Json(asked): Json<Vec<EarlyWire>>) -> Response {
    if let Err(refused) = door.opens(&headers) {
        return refused.into_response();
    }
    // Of a shard that is another's by now nothing is known here, and nothing happens.
    let early: Option<Vec<Early>> = asked.iter().map(EarlyWire::read).collect();
    match early {
        Some(early) => {
            door.engine.look_early(&early);
            Json(()).into_response()
        }
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn accounting(State(door): State<Arc<Door>>, headers: HeaderMap) -> Response {
    if let Err(refused) = door.opens(&headers) {
        return refused.into_response();
    }
    answer(door.engine.accounting_here().await.map(|accounting| AccountingWire::new(&accounting)))
}

fn answer(outcome: Result<impl serde::Serialize, StoreError>) -> Response {
    match outcome {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => {
            tracing::warn!(%error, "another node's question could not be answered");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}
