//! Posts notifications over one connection and says what became of them.

use anyhow::Result;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use std::time::Duration;

use super::accepted::{Batch, single};
use super::request::{BATCH_PATH, SINGLE_PATH};
use crate::http_client::{Answer, Client, Server};

/// One connection to the API.
pub(crate) struct Poster {
    server: Server,
    client: Client,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Accepted, but for the refused items of a batch.
    Accepted(Batch),
    /// Refused as a whole. Where the engine says when to come again, that is `retry_after`.
    Refused { status: StatusCode, retry_after: Option<Duration> },
    /// No answer, or one that makes no sense: whether it was accepted is not known.
    Unanswered(anyhow::Error),
}

/// How many items a body holds, and which call it is for.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Single(Bytes),
    Batch { body: Bytes, items: usize },
}

impl Poster {
    pub(crate) fn new(server: &Server) -> Self {
        Self { server: server.clone(), client: Client::new(server) }
    }

    /// Posts once. With a retry key, posting again is safe whatever came of it.
    pub(crate) async fn post(&mut self, body: Body, retry_key: Option<HeaderValue>) -> Outcome {
        let (path, bytes, items) = match body {
            Body::Single(bytes) => (SINGLE_PATH, bytes, None),
            Body::Batch { body, items } => (BATCH_PATH, body, Some(items)),
        };
        let request = match retry_key {
            None => self.server.post(path, bytes),
            Some(retry_key) => self.server.post_once(path, bytes, retry_key),
        };
        match self.client.call(request).await {
            Err(error) => Outcome::Unanswered(error),
            Ok(answer) if answer.status.is_success() => match read(&answer, items) {
                Ok(batch) => Outcome::Accepted(batch),
                Err(error) => Outcome::Unanswered(error),
            },
            Ok(answer) => Outcome::Refused { status: answer.status, retry_after: answer.retry_after },
        }
    }
}

fn read(answer: &Answer, items: Option<usize>) -> Result<Batch> {
    match items {
        None => Ok(Batch { ids: vec![single(&answer.body)?], refused: 0 }),
        Some(items) => Batch::read(&answer.body, items),
    }
}
