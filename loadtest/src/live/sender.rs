//! The load: batches of messages to users by chance, each when its time has come. What is not answered is posted again with the same
//! retry key, however long it takes, and its latency counts from when it should have been sent.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::people;
use super::program::Crowd;
use super::tally::Tally;
use crate::engine::{Body, Outcome, Poster};
use crate::http_client::Server;
use crate::run::Schedule;

/// What all messages have in common: nothing holds them back, and none is like another (their data differ).
const DEFAULTS: &str = r#"{"channels":["in_app"],"category":"transactional","dedup_window_seconds":1,"content":{"title":"Message {{n}}","body":"Somebody follows you since {{n}}."}}"#;

const POST_AGAIN: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(super) struct Load {
    pub(super) server: Server,
    /// Of requests.
    pub(super) schedule: Schedule,
    /// Messages in a request.
    pub(super) batch: u64,
    /// Requests under way at once.
    pub(super) senders: usize,
    /// After the last request was due, how long it is tried.
    pub(super) give_up: Duration,
    pub(super) run: u64,
}

/// When a message is due, in microseconds since the load began.
pub(super) fn intended_us(schedule: &Schedule, batch: u64, number: u64) -> u64 {
    schedule.intended(number / batch).as_micros() as u64
}

impl Load {
    /// Posts everything; when it returns, each message was accepted or refused, or was given up.
    pub(super) async fn send(self, crowd: Arc<Crowd>) -> Result<()> {
        let (permits, next) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU64::new(0)));
        let started = Instant::now();
        crowd.tally().begin(crowd.now_us());
        self.schedule.start(started, permits.clone()).context("cannot start the schedule's thread")?;
        let mut senders = JoinSet::new();
        for _ in 0..self.senders {
            senders.spawn(self.clone().one_by_one(crowd.clone(), permits.clone(), next.clone(), started));
        }
        while let Some(ended) = senders.join_next().await {
            ended.context("a sender panicked")??;
        }
        Ok(())
    }

    async fn one_by_one(
        self,
        crowd: Arc<Crowd>,
        permits: Arc<Semaphore>,
        next: Arc<AtomicU64>,
        started: Instant,
    ) -> Result<()> {
        let mut poster = Poster::new(&self.server);
        let give_up = started + self.schedule.intended(self.schedule.count()) + self.give_up;
        loop {
            let request = next.fetch_add(1, Relaxed);
            if request >= self.schedule.count() {
                return Ok(());
            }
            permits.acquire().await?.forget();
            let numbers = request * self.batch..(request + 1) * self.batch;
            let body = Bytes::from(batch(&crowd.tally(), numbers.clone(), self.run));
            let key = HeaderValue::try_from(format!("live-{:x}-{request}", self.run))?;
            while Instant::now() < give_up {
                let body = Body::Batch { body: body.clone(), items: self.batch as usize };
                let outcome = poster.post(body, Some(key.clone())).await;
                if self.note(&crowd, numbers.start, outcome) {
                    break;
                }
                tokio::time::sleep(POST_AGAIN).await;
            }
        }
    }

    /// Whether that was an answer.
    fn note(&self, crowd: &Crowd, first: u64, outcome: Outcome) -> bool {
        let at_us = crowd.now_us();
        let mut tally = crowd.tally();
        match outcome {
            Outcome::Accepted(answer) if answer.refused == 0 => {
                for (number, id) in (first..).zip(answer.ids) {
                    tally.accepted(number, id, at_us);
                }
            }
            Outcome::Refused { status, .. } if is_soon_over(status) => return false,
            // Which items of a batch were refused does not matter: none may be.
            Outcome::Accepted(_) | Outcome::Refused { .. } => {
                (first..first + self.batch).for_each(|number| tally.refused(number));
            }
            Outcome::Unanswered(_) => return false,
        }
        true
    }
}

fn is_soon_over(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT)
}

fn batch(tally: &Tally, numbers: std::ops::Range<u64>, run: u64) -> String {
    let mut body = format!(r#"{{"defaults":{DEFAULTS},"items":["#);
    for number in numbers.clone() {
        let Some(sent) = tally.sent.get(number as usize) else { break };
        let comma = if number == numbers.start { "" } else { "," };
        let user = people::name(sent.user);
        // A text takes everything.
        let _ = write!(body, r#"{comma}{{"user_id":"{user}","data":{{"n":{number},"run":"{run:x}"}}}}"#);
    }
    body + "]}"
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tally::tests::PEOPLE;
    use super::*;

    #[test]
    fn a_batch_names_each_user_and_number() {
        let tally = Tally::new(&PEOPLE, 4, 1, |number| number);
        let body: Value = serde_json::from_str(&batch(&tally, 2..4, 0xab)).expect("JSON");
        assert_eq!(body["defaults"]["channels"], json!(["in_app"]));
        let second = json!({"user_id": "live-0000000", "data": {"n": 3, "run": "ab"}});
        assert_eq!((body["items"].as_array().map(Vec::len), &body["items"][1]), (Some(2), &second));
    }

    #[test]
    fn all_messages_of_a_request_are_due_with_it() {
        let schedule = Schedule::new(100.0, Duration::from_secs(1));
        let due: Vec<u64> = [0, 19, 20, 41].map(|number| intended_us(&schedule, 20, number)).to_vec();
        assert_eq!(due, [0, 0, 10_000, 20_000]);
    }
}
