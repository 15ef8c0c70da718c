//! Requests that are made until they are answered, over some connections.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::HeaderValue;
use ring::hmac;
use tokio::task::JoinSet;

use super::told::{Receipt, text};
use crate::clock::now_us;
use crate::http_client::{Client, Server};

/// Between two attempts of the same request.
const PAUSE: Duration = Duration::from_millis(50);
/// So long it is tried.
const TRIED_MAX: Duration = Duration::from_secs(120);
/// As in `engine.toml`.
const SECRET: &[u8] = b"fanfare-load-analytics-secret";

/// One request.
#[derive(Debug, Clone)]
pub(super) enum Job {
    /// A batch of notifications, by their numbers.
    Send { first: u64, count: u64 },
    /// A post of receipts.
    Tell(Vec<Receipt>),
}

/// Requests, and how many of them were answered.
pub(super) struct Work {
    server: Server,
    target: String,
    run: u64,
    waiting: Mutex<VecDeque<Job>>,
    jobs: u64,
    pub(super) done: AtomicU64,
}

impl Work {
    pub(super) fn new(server: &Server, target: &str, run: u64, jobs: VecDeque<Job>) -> Arc<Self> {
        let count = jobs.len() as u64;
        Arc::new(Self {
            server: server.clone(),
            target: target.to_owned(),
            run,
            waiting: Mutex::new(jobs),
            jobs: count,
            done: AtomicU64::new(0),
        })
    }

    pub(super) fn jobs(&self) -> u64 {
        self.jobs
    }

    /// Works over so many connections.
    pub(super) fn start(self: &Arc<Self>, connections: usize) -> JoinSet<Result<()>> {
        let mut workers = JoinSet::new();
        for _ in 0..connections {
            let work = Arc::clone(self);
            workers.spawn(async move { work.work().await });
        }
        workers
    }

    async fn work(&self) -> Result<()> {
        let mut client = Client::new(&self.server);
        loop {
            let job = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(job) = job else { return Ok(()) };
            let began = Instant::now();
            loop {
                if let Ok(answer) = client.call(self.request(&job)?).await {
                    if answer.status.is_success() {
                        break;
                    }
                    let is_over = answer.status.is_client_error() && ![409, 429].contains(&answer.status.as_u16());
                    if is_over || began.elapsed() > TRIED_MAX {
                        bail!("it was answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
                    }
                }
                tokio::time::sleep(PAUSE).await;
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn request(&self, job: &Job) -> Result<Request<Full<Bytes>>> {
        match job {
            Job::Send { first, count } => self.batch(*first, *count),
            Job::Tell(receipts) => self.post(receipts),
        }
    }

    fn batch(&self, first: u64, count: u64) -> Result<Request<Full<Bytes>>> {
        let mut body = format!(
            r#"{{"defaults":{{"channels":["webhook"],"to":{{"url":"{}"}},"content":{{"title":"Order {{{{n}}}}","body":"It is on its way."}}}},"items":["#,
            self.target
        );
        for number in first..first + count {
            let comma = if number == first { "" } else { "," };
            write!(body, r#"{comma}{{"data":{{"n":"{}-{number}"}}}}"#, self.run)?;
        }
        body.push_str("]}");
        let key = HeaderValue::try_from(format!("analytics-{}-{first}", self.run)).context("a legal key")?;
        Ok(self.server.post_once("/v1/notifications/batch", Bytes::from(body), key))
    }

    /// Signed as Standard Webhooks are, now.
    fn post(&self, receipts: &[Receipt]) -> Result<Request<Full<Bytes>>> {
        let mut body = r#"{"receipts":["#.to_owned();
        for (number, Receipt { task, status, at }) in receipts.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(body, r#"{comma}{{"task_id":"{task}","status":"{status}","at":"{}"}}"#, text(*at))?;
        }
        body.push_str("]}");
        let (id, timestamp) = (format!("msg_{}", now_us()), now_us() / 1_000_000);
        let signed = format!("{id}.{timestamp}.{body}");
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), signed.as_bytes());
        let mut request = self.server.post("/v1/providers/webhook/receipts", Bytes::from(body));
        let headers = request.headers_mut();
        for (name, value) in [
            ("webhook-id", id),
            ("webhook-timestamp", timestamp.to_string()),
            ("webhook-signature", format!("v1,{}", STANDARD.encode(signature))),
        ] {
            headers.insert(name, HeaderValue::try_from(value).context("a legal value")?);
        }
        Ok(request)
    }
}
