//! Sends the load and notes what became of each request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::schedule::Schedule;
use crate::clock::now_us;
use crate::engine::{Body, Due, Item, Outcome, Poster, Shape};
use crate::http_client::{CALL_MAX, Server};
use crate::ledger::Ledger;
use crate::progress::Progress;

/// What to send, and how.
pub(crate) struct Load {
    pub(crate) server: Server,
    pub(crate) shape: Shape,
    pub(crate) schedule: Schedule,
    /// Notifications in a request.
    pub(crate) batch: u64,
    pub(crate) connections: usize,
    /// Requests due before this are sent, but their latency is not counted.
    pub(crate) warmup: Duration,
    /// Notifications are to be delivered so long after the start, spread over so long.
    pub(crate) later: Option<(Duration, Duration)>,
}

/// What became of the load.
pub(crate) struct Tally {
    /// Notifications sent.
    pub(crate) offered: u64,
    pub(crate) accepted: Ledger,
    /// Notifications refused, by status; items of a batch that was accepted otherwise: by `item`.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Notifications of which nobody knows whether they were accepted.
    pub(crate) unanswered: u64,
    /// The first reason for that.
    pub(crate) first_error: Option<String>,
    /// From the intended start of a request to its answer, in microseconds; answered requests only.
    pub(crate) latency: Histogram<u64>,
}

/// The figures of a load that has ended.
pub(crate) struct Sent {
    pub(crate) tally: Tally,
    pub(crate) started_us: u64,
    pub(crate) elapsed: Duration,
}

struct Shared {
    load: Load,
    started: Instant,
    started_us: u64,
    /// A request may start when its time has come: one permit each.
    permits: Arc<Semaphore>,
    next: AtomicU64,
    tally: Mutex<Tally>,
}

impl Load {
    /// Notifications in all.
    pub(crate) fn total(&self) -> u64 {
        self.schedule.count() * self.batch
    }

    pub(crate) async fn send(self, progress: &mut Progress, warm: impl Future<Output = ()>) -> Result<Sent> {
        let connections = self.connections;
        let warmup = self.warmup;
        let permits = Arc::new(Semaphore::new(0));
        let (started, started_us) = (Instant::now(), now_us());
        self.schedule.start(started, Arc::clone(&permits)).context("cannot start the schedule's thread")?;
        let tally = Mutex::new(Tally::new()?);
        let shared = Arc::new(Shared { load: self, started, started_us, permits, next: AtomicU64::new(0), tally });
        let mut senders = JoinSet::new();
        for _ in 0..connections {
            senders.spawn(send(Arc::clone(&shared)));
        }
        let mut warm = std::pin::pin!(async {
            tokio::time::sleep(warmup).await;
            warm.await;
        });
        let mut is_warm = false;
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                ended = senders.join_next() => match ended {
                    Some(ended) => ended.context("a sender panicked")?,
                    None => break,
                },
                _ = ticks.tick() => shared.show(progress),
                () = &mut warm, if !is_warm => is_warm = true,
            }
        }
        progress.finish();
        let elapsed = started.elapsed();
        let shared = Arc::into_inner(shared).context("a sender is still there")?;
        let tally = shared.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Sent { tally, started_us, elapsed })
    }
}

impl Tally {
    fn new() -> Result<Self> {
        Ok(Self {
            offered: 0,
            accepted: Ledger::default(),
            refused: BTreeMap::new(),
            unanswered: 0,
            first_error: None,
            // Up to ten minutes, to three digits: a call is bounded well below.
            latency: Histogram::new_with_max(600_000_000, 3)?,
        })
    }
}

/// Sends one request after the other over one connection, each when it is due and the connection free.
async fn send(shared: Arc<Shared>) {
    let load = &shared.load;
    let mut poster = Poster::new(&load.server);
    // An engine that answers nothing must not keep the load going for hours.
    let give_up = shared.started + load.schedule.intended(load.schedule.count()) + CALL_MAX;
    loop {
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        if number >= load.schedule.count() || Instant::now() > give_up {
            return;
        }
        match shared.permits.acquire().await {
            Ok(permit) => permit.forget(),
            Err(_) => return,
        }
        let intended = load.schedule.intended(number);
        let outcome = poster.post(shared.body(number, intended), None).await;
        shared.note(outcome, intended);
    }
}

impl Shared {
    fn body(&self, number: u64, intended: Duration) -> Body {
        let first = number * self.load.batch;
        if self.load.batch == 1 {
            return Body::Single(self.load.shape.single(&self.item(first, intended)));
        }
        // A plain range of u64 does not know its length.
        let items = (0..self.load.batch as usize).map(|index| self.item(first + index as u64, intended));
        Body::Batch { body: self.load.shape.batch(items), items: self.load.batch as usize }
    }

    fn item(&self, number: u64, intended: Duration) -> Item {
        let Some((after, over)) = self.load.later else {
            return Item { number, stamp_us: self.started_us + intended.as_micros() as u64, due: Due::Now };
        };
        let at = after + over.mul_f64(number as f64 / self.load.total() as f64);
        // `deliver_at` is written in milliseconds; the stamp must not be later than that.
        let stamp_us = (self.started_us + at.as_micros() as u64) / 1000 * 1000;
        Item { number, stamp_us, due: Due::AtStamp }
    }

    fn note(&self, outcome: Outcome, intended: Duration) {
        let latency = self.started.elapsed().saturating_sub(intended);
        let mut tally = self.tally();
        tally.offered += self.load.batch;
        match outcome {
            Outcome::Accepted(batch) => {
                tally.accepted.add(batch.ids);
                if batch.refused > 0 {
                    *tally.refused.entry("item".into()).or_default() += batch.refused as u64;
                }
            }
            Outcome::Refused { status, .. } => {
                *tally.refused.entry(status.as_str().into()).or_default() += self.load.batch;
            }
            Outcome::Unanswered(error) => {
                tally.unanswered += self.load.batch;
                tally.first_error.get_or_insert_with(|| format!("{error:#}"));
                return;
            }
        }
        if intended >= self.load.warmup {
            tally.latency.saturating_record(latency.as_micros() as u64);
        }
    }

    fn show(&self, progress: &mut Progress) {
        let tally = self.tally();
        let refused: u64 = tally.refused.values().sum();
        let p99_ms = tally.latency.value_at_quantile(0.99) as f64 / 1000.0;
        let text = format!(
            "{:.0} s  offered {}  accepted {}  refused {refused}  unanswered {}  P99 {p99_ms:.1} ms",
            self.started.elapsed().as_secs_f64(),
            tally.offered,
            tally.accepted.len(),
            tally.unanswered,
        );
        progress.show(tally.offered as f64 / self.load.total() as f64, &text);
    }

    /// Whole after every statement, so a panic elsewhere does not spoil it.
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
