//! The control calls of the mock: `GET /stats`, `GET /latencies`, `GET /ids?cursor=`, `POST /reset`, `POST /behaviour?kind=`, `POST /expire`.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

use anyhow::Context as _;

use super::Mock;
use super::http::{Answer, text};
use super::ids::SHARDS;
use super::kinds::fields;

/// More than any change of behaviour needs.
const CHANGE_BYTES_MAX: usize = 64 << 10;

pub(super) async fn answer(mock: &Arc<Mock>, request: Request<Incoming>) -> Answer {
    let uri = request.uri().clone();
    match (request.method(), uri.path()) {
        (&Method::GET, "/stats") => json(&mock.stats()),
        (&Method::GET, "/ids") => ids(mock, uri.query().unwrap_or_default()),
        (&Method::GET, "/latencies") => text(StatusCode::OK, mock.latencies()),
        (&Method::POST, "/reset") => {
            mock.reset();
            json(&mock.stats())
        }
        (&Method::POST, "/behaviour") => change(mock, uri.query().unwrap_or_default(), request.into_body()).await,
        (&Method::POST, "/expire") => {
            mock.providers.tokens.expire();
            text(StatusCode::OK, "all tokens are stale\n")
        }
        _ => text(StatusCode::NOT_FOUND, "GET /stats, /latencies or /ids, POST /reset, /behaviour or /expire\n"),
    }
}

async fn change(mock: &Mock, query: &str, body: Incoming) -> Answer {
    let body = match Limited::new(body, CHANGE_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("cannot read the body: {error}\n")),
    };
    let kind = fields(query).get("kind").map(str::to_owned);
    let change = serde_json::from_slice(&body).context("the change is no JSON object");
    match change.and_then(|change| mock.change(kind.as_deref(), &change)) {
        Ok(behaviour) => json(&behaviour),
        Err(error) => text(StatusCode::BAD_REQUEST, format!("{error:#}\n")),
    }
}

fn ids(mock: &Arc<Mock>, query: &str) -> Answer {
    let cursor = query.split('&').find_map(|pair| pair.strip_prefix("cursor=")).unwrap_or("0");
    match cursor.parse() {
        Ok(next) => Response::new(Either::Right(Either::Left(IdStream { mock: Arc::clone(mock), next }))),
        Err(_) => text(StatusCode::BAD_REQUEST, format!("a cursor is a number from 0 to {}\n", 2 * SHARDS)),
    }
}

/// Streams the ids, one shard a frame: those of webhooks, then those of mails. The cursor is the number of shards to
/// leave out. Ids that come in meanwhile may be among them or not.
pub(super) struct IdStream {
    mock: Arc<Mock>,
    next: usize,
}

impl Body for IdStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        while self.next < 2 * SHARDS {
            let table = if self.next < SHARDS { &self.mock.http.ids } else { &self.mock.smtp.ids };
            let lines = table.lines(self.next % SHARDS);
            self.next += 1;
            if !lines.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(lines.into()))));
            }
        }
        Poll::Ready(None)
    }
}

fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(mut body) => {
            body.push(b'\n');
            text(StatusCode::OK, body)
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
