//! `POST /v1/providers/{name}/receipts`: what a provider tells of messages that it took. Its signature is the key.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::answer::{names, raw_json};
use crate::api::body;
use crate::api::problem::{Kind, Problem};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::outcomes::{Early, ReceiptSource, ReceiptsError};
use crate::providers::{ReceiptError, ReceiptPost, Receipts};

/// A post of SendGrid's holds up to 768 KB of events; nobody's is larger.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The longest that tasks of one post are looked at early.
const EARLY_WAIT_MAX: Duration = Duration::from_secs(2);

/// 200 once all of it is durable; whatever else is answered, the provider may post it again.
pub(in crate::api) async fn create(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let name = names(path)?;
    let provider = api.parts.providers.iter().find(|provider| provider.name() == name);
    let provider = provider.ok_or_else(|| Problem::new(Kind::NotFound, "no provider has this name"))?;
    let reader = provider.receipts().ok_or_else(|| {
        Problem::new(
            Kind::NotFound,
            "this provider's kind has no receipts, or its settings say nothing that they could be checked by",
        )
    })?;
    let (head, body, _memory) = body::read_of_stranger(&api, request, BODY_BYTES_MAX).await?;
    let path = head.uri.path_and_query().map_or(head.uri.path(), |path| path.as_str());
    let post = ReceiptPost {
        url: format!("{}{path}", api.parts.http.public_url.trim_end_matches('/')),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
        now: api.parts.clock.now(),
    };
    let desk = &api.parts.receipts;
    let refused = |outcome, kind, error: ReceiptError| {
        desk.count(provider.name(), outcome, 1);
        Err(Problem::new(kind, error.to_string()))
    };
    let Receipts { receipts, answer } = match reader.read(&post).await {
        Ok(read) => read,
        Err(error @ ReceiptError::Forged) => return refused("forged", Kind::Unauthorized, error),
        Err(error @ ReceiptError::Unreadable(_)) => return refused("unreadable", Kind::BadRequest, error),
        Err(error @ ReceiptError::Later(_)) => return refused("later", Kind::Unavailable, error),
        Err(ReceiptError::Replayed) => {
            // Refused, it would come again and again, and some providers stop posting altogether then.
            desk.count(provider.name(), "replayed", 1);
            Receipts::default()
        }
    };
    let source = ReceiptSource { provider: provider.name(), channels: provider.channels() };
    match desk.note(source, receipts).await {
        Ok(noted) => look_early(&api, noted.early),
        Err(error) => {
            desk.count(provider.name(), "failed", 1);
            return Err(error.into());
        }
    }
    Ok(match answer {
        Some(answer) => raw_json(StatusCode::OK, answer),
        None => Response::new(Body::empty()),
    })
}

/// Nobody waits for it: what is not looked at early has its turn at its time. So has what finds no place, or takes too long: a node
/// that stands still must not keep ever more of them waiting.
pub(super) fn look_early(api: &Api, early: Vec<Early>) {
    if early.is_empty() {
        return;
    }
    let Ok(place) = api.early.clone().try_acquire_owned() else { return };
    let operations = api.parts.operations.clone();
    tokio::spawn(async move {
        let _place = place;
        let _in_time = tokio::time::timeout(EARLY_WAIT_MAX, operations.look_early(early)).await;
    });
}

impl From<ReceiptsError> for Problem {
    fn from(error: ReceiptsError) -> Self {
        match error {
            ReceiptsError::Store(error) => error.into(),
            ReceiptsError::Directory(error) => error.into(),
            ReceiptsError::NotTold(_) => {
                tracing::warn!(%error, "receipts are written, and are to come again");
                Problem::unavailable("not all of it is done: post it again", Duration::from_secs(5))
            }
        }
    }
}
