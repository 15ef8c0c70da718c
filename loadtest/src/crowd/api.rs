//! What this command asks of the API, and what it reads of the answers. An engine that is down is waited for where that is said.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hyper::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::http_client::{Answer, Client, Server};

pub(super) const JSON: &str = "application/json";
pub(super) const LINES: &str = "application/x-ndjson";

/// How long an engine may be away: killed, started, and busy with what it finds.
const AWAY_MAX: Duration = Duration::from_secs(120);
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// One connection to the API.
pub(super) struct Api {
    server: Server,
    client: Client,
}

/// `GET /v1/campaigns/{id}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Campaign {
    pub(super) status: String,
    pub(super) total: Option<u64>,
    #[serde(default)]
    pub(super) handed_on: u64,
    pub(super) processed: u64,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
    pub(super) progress: u64,
    #[serde(default)]
    pub(super) rows_read: u64,
    #[serde(default)]
    pub(super) reason: Option<String>,
}

impl Campaign {
    pub(super) fn is_over(&self) -> bool {
        matches!(&*self.status, "completed" | "cancelled" | "stopped")
    }
}

/// `GET /v1/accounting`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Books {
    pub(super) lines: Vec<Line>,
    pub(super) unaccounted: i64,
}

/// What came of one source, in one lane.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    #[serde(default)]
    pub(super) source: String,
    pub(super) r#in: i64,
    pub(super) sent: i64,
    pub(super) skipped: i64,
    pub(super) merged: i64,
    pub(super) failed: i64,
    pub(super) expired: i64,
    pub(super) cancelled: i64,
    pub(super) unknown: i64,
    pub(super) open: i64,
}

impl Books {
    /// All lanes of a source together, for each source.
    pub(super) fn by_source(&self) -> Vec<Line> {
        let mut sources: Vec<Line> = Vec::new();
        for line in &self.lines {
            let found = sources.iter_mut().find(|sum| sum.source == line.source);
            match found {
                Some(sum) => sum.add(line),
                None => sources.push(line.clone()),
            }
        }
        sources
    }
}

impl Line {
    fn add(&mut self, other: &Self) {
        self.r#in += other.r#in;
        self.sent += other.sent;
        self.skipped += other.skipped;
        self.merged += other.merged;
        self.failed += other.failed;
        self.expired += other.expired;
        self.cancelled += other.cancelled;
        self.unknown += other.unknown;
        self.open += other.open;
    }
}

impl Api {
    pub(super) fn new(server: &Server) -> Self {
        Self { server: server.clone(), client: Client::new(server) }
    }

    pub(super) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T> {
        let body = self.client.fetch(&self.server, path).await?;
        serde_json::from_slice(&body).with_context(|| format!("cannot read the answer to `{path}`"))
    }

    /// The same, through the time in which the engine is down.
    pub(super) async fn get_at_last<T: DeserializeOwned>(&mut self, path: &str) -> Result<T> {
        let asked = Instant::now();
        loop {
            match self.get(path).await {
                Ok(answer) => return Ok(answer),
                Err(error) if asked.elapsed() > AWAY_MAX => return Err(error),
                Err(_) => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }

    pub(super) async fn text(&mut self, path: &str) -> Result<Bytes> {
        self.client.fetch(&self.server, path).await
    }

    /// Posts JSON and wants success.
    pub(super) async fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.send(Method::POST, path, JSON, body.to_string().into(), None).await?;
        let said = String::from_utf8_lossy(&answer.body);
        ensure!(answer.status.is_success(), "`POST {path}` answers {}: {said}", answer.status);
        serde_json::from_slice(&answer.body).with_context(|| format!("cannot read the answer to `POST {path}`"))
    }

    /// The same of what may be posted again: through the time in which the engine is down.
    pub(super) async fn post_at_last(&mut self, path: &str, body: &Value) -> Result<Value> {
        let asked = Instant::now();
        loop {
            match self.post(path, body).await {
                Ok(answer) => return Ok(answer),
                Err(error) if asked.elapsed() > AWAY_MAX => return Err(error),
                Err(_) => tokio::time::sleep(ASK_AGAIN).await,
            }
        }
    }

    /// One call, whatever is answered; `max` where it may take longer than usual.
    pub(super) async fn send(
        &mut self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
        max: Option<Duration>,
    ) -> Result<Answer> {
        let request = self.server.send(method, path, content_type, body)?;
        match max {
            Some(max) => self.client.call_within(max, request).await,
            None => self.client.call(request).await,
        }
    }

    pub(super) async fn campaign(&mut self, id: &str) -> Result<Campaign> {
        self.get_at_last(&format!("/v1/campaigns/{id}")).await
    }

    pub(super) async fn books(&mut self) -> Result<Books> {
        self.get("/v1/accounting").await
    }
}

/// The text at a place of an answer.
pub(super) fn text_at<'v>(answer: &'v Value, pointer: &str) -> Result<&'v str> {
    answer.pointer(pointer).and_then(Value::as_str).with_context(|| format!("no `{pointer}` in the answer {answer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_of_a_source_are_those_of_all_its_lanes() {
        let line =
            |source: &str, sent| Line { source: source.into(), r#in: sent + 1, sent, open: 1, ..Line::default() };
        let books = Books { lines: vec![line("http", 1), line("campaign", 2), line("campaign", 5)], unaccounted: 0 };
        let sums: Vec<_> =
            books.by_source().iter().map(|line| (line.source.clone(), line.r#in, line.sent, line.open)).collect();
        assert_eq!(sums, [("http".to_owned(), 2, 1, 1), ("campaign".to_owned(), 9, 7, 2)]);
    }

    #[test]
    fn a_campaign_may_not_be_counted_yet() {
        let text = r#"{"status":"counting","total":null,"processed":0,"succeeded":0,"failed":0,"skipped":0,"progress":0,"name":"x"}"#;
        let campaign: Campaign = serde_json::from_str(text).expect("legal");
        assert!(campaign.total.is_none() && !campaign.is_over());
    }
}
