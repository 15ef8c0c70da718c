//! The load: mails at one rate, and opens and clicks at another, each when its time has come.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use hdrhistogram::Histogram;
use hyper::StatusCode;
use hyper::header::{HeaderValue, USER_AGENT};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::collector::Mail;
use crate::engine::{Body, Outcome, Poster};
use crate::http_client::{Client, Server};
use crate::random::Dice;
use crate::run::Schedule;

/// What all mails have in common.
const DEFAULTS: &str = r#"{"channels":["email"],"category":"news","dedup_window_seconds":1,"content":{"title":"News {{n}}","body":"News {{n}}","html":"<html><body><p>Hello {{n}}</p><p><a href=\"https://shop.example/orders?n={{n}}\">Your order</a> <a href=\"https://shop.example/news\">News</a></p></body></html>"}}"#;

/// A person's.
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

const AGAIN: Duration = Duration::from_millis(50);

/// Opens and clicks of one mail.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// That were asked for.
    pub(super) opens: AtomicU64,
    pub(super) clicks: AtomicU64,
    /// And answered.
    pub(super) opened: AtomicU64,
    pub(super) clicked: AtomicU64,
}

/// What came of them all.
pub(super) struct Tracked {
    /// From the time that each was due, in microseconds.
    pub(super) latencies: Histogram<u64>,
    pub(super) unanswered: u64,
    /// Another answer than an image or a redirect.
    pub(super) wrong: u64,
    pub(super) first_error: Option<String>,
}

/// Posts mails at a rate until it is told to stop; with their retry keys, as often as it takes.
pub(super) async fn send(
    server: Server,
    schedule: Schedule,
    batch: u64,
    run: u64,
    stop: Arc<AtomicBool>,
) -> Result<u64> {
    let permits = Arc::new(Semaphore::new(0));
    schedule.start(Instant::now(), permits.clone()).context("cannot start the schedule's thread")?;
    let mut poster = Poster::new(&server);
    let mut accepted = 0;
    for request in 0..schedule.count() {
        permits.acquire().await?.forget();
        let body = Bytes::from(mails(request * batch..(request + 1) * batch, run));
        let key = HeaderValue::try_from(format!("track-{run:x}-{request}"))?;
        loop {
            if stop.load(Relaxed) {
                return Ok(accepted);
            }
            let body = Body::Batch { body: body.clone(), items: batch as usize };
            match poster.post(body, Some(key.clone())).await {
                Outcome::Accepted(answer) => {
                    accepted += answer.ids.len() as u64;
                    break;
                }
                _ => tokio::time::sleep(AGAIN).await,
            }
        }
    }
    Ok(accepted)
}

fn mails(numbers: std::ops::Range<u64>, run: u64) -> String {
    let mut body = format!(r#"{{"defaults":{DEFAULTS},"items":["#);
    for (index, number) in numbers.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // A text takes everything.
        let _ = write!(
            body,
            r#"{comma}{{"user_id":"u{run:x}-{number}","to":{{"email":"u{number}@load.example"}},"data":{{"n":"{run:x}-{number}"}}}}"#
        );
    }
    body + "]}"
}

/// Opens mails and follows their links at a rate.
pub(super) struct Visitors {
    pub(super) server: Server,
    pub(super) schedule: Schedule,
    /// Connections.
    pub(super) connections: usize,
    pub(super) mails: Arc<Vec<Mail>>,
    pub(super) done: Arc<Vec<Done>>,
}

impl Visitors {
    pub(super) async fn go(self) -> Result<Tracked> {
        let visitors = Arc::new(self);
        let (permits, next) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU64::new(0)));
        let started = Instant::now();
        visitors.schedule.start(started, permits.clone()).context("cannot start the schedule's thread")?;
        let mut running = JoinSet::new();
        for _ in 0..visitors.connections {
            running.spawn(visitors.clone().one_by_one(permits.clone(), next.clone(), started));
        }
        let latencies = Histogram::new(3)?;
        let mut all = Tracked { latencies, unanswered: 0, wrong: 0, first_error: None };
        while let Some(ended) = running.join_next().await {
            let one = ended.context("a visitor panicked")??;
            all.latencies.add(one.latencies)?;
            all.unanswered += one.unanswered;
            all.wrong += one.wrong;
            all.first_error = all.first_error.or(one.first_error);
        }
        Ok(all)
    }

    async fn one_by_one(
        self: Arc<Self>,
        permits: Arc<Semaphore>,
        next: Arc<AtomicU64>,
        started: Instant,
    ) -> Result<Tracked> {
        let mut client = Client::new(&self.server);
        let latencies = Histogram::new(3)?;
        let mut tracked = Tracked { latencies, unanswered: 0, wrong: 0, first_error: None };
        loop {
            let number = next.fetch_add(1, Relaxed);
            if number >= self.schedule.count() {
                return Ok(tracked);
            }
            permits.acquire().await?.forget();
            // As by chance, and the same in each run.
            let dice = Dice::new(number);
            let which = (dice.roll() % self.mails.len() as u64) as usize;
            let (mail, done) = (&self.mails[which], &self.done[which]);
            let is_click = dice.roll().is_multiple_of(2);
            let (path, asked, answered, expected) = match is_click {
                true => {
                    let link = (dice.roll() % mail.links.len() as u64) as usize;
                    (&mail.links[link], &done.clicks, &done.clicked, StatusCode::FOUND)
                }
                false => (&mail.pixel, &done.opens, &done.opened, StatusCode::OK),
            };
            asked.fetch_add(1, Relaxed);
            let mut request = self.server.get(path)?;
            request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(BROWSER));
            match client.call(request).await {
                Ok(answer) if answer.status == expected => {
                    answered.fetch_add(1, Relaxed);
                    let late = (started + self.schedule.intended(number)).elapsed();
                    tracked.latencies.record(late.as_micros() as u64)?;
                }
                Ok(answer) => {
                    tracked.wrong += 1;
                    tracked.first_error.get_or_insert(format!("`{path}` is answered {}", answer.status));
                }
                Err(error) => {
                    tracked.unanswered += 1;
                    tracked.first_error.get_or_insert(format!("{error:#}"));
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_batch_of_mails_is_json_with_html_and_users_of_their_own() {
        let body: Value = serde_json::from_str(&mails(3..5, 0xab)).expect("JSON");
        assert!(body["defaults"]["content"]["html"].as_str().is_some_and(|html| html.contains("href")));
        assert_eq!(body["items"].as_array().map(Vec::len), Some(2));
        assert_eq!(body["items"][1]["user_id"], "uab-4");
    }
}
