//! Sends the streams of a scenario, each request when its time has come, and notes what became of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::body::{Letter, Letters};
use super::curve::{Arrivals, Curve, Spacing};
use crate::clock::now_us;
use crate::engine::{Outcome, Poster};
use crate::http_client::{CALL_MAX, Server};
use crate::ledger::Ledger;

/// Requests due closer together than this are released together: waking for each would cost more than sending it.
const GRAIN: Duration = Duration::from_micros(200);
/// Up to ten minutes, in microseconds; a call is bounded well below.
const LATENCY_MAX_US: u64 = 600_000_000;

/// A stream that is ready to be sent.
pub(super) struct Sending {
    pub(super) letters: Letters,
    pub(super) curve: Curve,
    pub(super) spacing: Spacing,
    pub(super) batch: u64,
    pub(super) connections: usize,
    /// To be delivered so long after the start, spread over so long.
    pub(super) later: Option<(Duration, Duration)>,
}

/// What became of a stream.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) offered: u64,
    pub(super) accepted: Ledger,
    pub(super) refused: u64,
    pub(super) unanswered: u64,
    pub(super) first_error: Option<String>,
}

/// What happened since the last look.
pub(super) struct Interval {
    pub(super) offered: u64,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) latency: Histogram<u64>,
}

/// What all streams share.
pub(super) struct Shared {
    pub(super) started: Instant,
    pub(super) started_us: u64,
    warmup: Duration,
    /// Written by every sender, taken by who looks.
    interval: Mutex<Interval>,
    /// Without the warm-up.
    latency: Mutex<Histogram<u64>>,
    is_over: AtomicBool,
    server: Server,
}

/// One stream while it is sent.
pub(super) struct Run {
    sending: Sending,
    permits: Arc<Semaphore>,
    next: Mutex<(u64, Arrivals)>,
    tally: Mutex<Tally>,
}

/// All streams while they are sent.
pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    runs: Vec<Arc<Run>>,
    senders: JoinSet<()>,
}

impl Interval {
    fn new() -> Result<Self> {
        Ok(Self { offered: 0, accepted: 0, refused: 0, latency: histogram()? })
    }
}

fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_max(LATENCY_MAX_US, 3).context("cannot make a histogram")
}

impl Driver {
    /// Begins at once.
    pub(super) fn start(server: &Server, streams: Vec<Sending>, warmup: Duration) -> Result<Self> {
        let shared = Arc::new(Shared {
            started: Instant::now(),
            started_us: now_us(),
            warmup,
            interval: Mutex::new(Interval::new()?),
            latency: Mutex::new(histogram()?),
            is_over: AtomicBool::new(false),
            server: server.clone(),
        });
        let mut runs = Vec::new();
        let mut due = Vec::new();
        let mut senders = JoinSet::new();
        for sending in streams {
            let arrivals = || Arrivals::new(sending.curve.clone(), sending.spacing);
            let permits = Arc::new(Semaphore::new(0));
            due.push((arrivals(), Arc::clone(&permits)));
            let next = Mutex::new((0, arrivals()));
            let run = Arc::new(Run { sending, permits, next, tally: Mutex::default() });
            for _ in 0..run.sending.connections {
                senders.spawn(send(Arc::clone(&run), Arc::clone(&shared)));
            }
            runs.push(run);
        }
        keep_time(shared.started, due, Arc::clone(&shared))?;
        Ok(Self { shared, runs, senders })
    }

    /// Returns when one more sender has ended; `false`: none is left. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> Result<bool> {
        match self.senders.join_next().await {
            Some(ended) => ended.context("a sender panicked").map(|()| true),
            None => Ok(false),
        }
    }

    /// What became of the streams, in their order.
    pub(super) fn finish(self) -> Result<(Vec<Tally>, Histogram<u64>)> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let mut tallies = Vec::new();
        for run in self.runs {
            let run = Arc::into_inner(run).context("a sender is still there")?;
            tallies.push(run.tally.into_inner().unwrap_or_else(PoisonError::into_inner));
        }
        let latency = lock(&self.shared.latency).clone();
        Ok((tallies, latency))
    }
}

impl Shared {
    /// What happened since the last call.
    pub(super) fn take_interval(&self) -> Result<Interval> {
        Ok(std::mem::replace(&mut *lock(&self.interval), Interval::new()?))
    }
}

/// Adds a permit for each request when it is due. A thread of its own: the runtime's timers are as coarse as a millisecond. It ends
/// with the last request, or when nobody sends any more.
fn keep_time(started: Instant, streams: Vec<(Arrivals, Arc<Semaphore>)>, shared: Arc<Shared>) -> Result<()> {
    let mut streams: Vec<_> =
        streams.into_iter().map(|(mut arrivals, permits)| (arrivals.next(), arrivals, permits)).collect();
    let keep = move || {
        while !shared.is_over.load(Ordering::Relaxed) {
            let elapsed = started.elapsed();
            let mut next = None::<Duration>;
            for (due, arrivals, permits) in &mut streams {
                let mut released = 0;
                while due.is_some_and(|due| due <= elapsed) {
                    released += 1;
                    *due = arrivals.next();
                }
                permits.add_permits(released);
                next = next.into_iter().chain(*due).min();
            }
            let Some(next) = next else { break };
            let wait = next.saturating_sub(started.elapsed());
            std::thread::sleep(wait.clamp(GRAIN, Duration::from_millis(100)));
        }
        // Nothing more will be due: who waits gets what was released, and then learns that it was all.
        streams.iter().for_each(|(_, _, permits)| permits.add_permits(Semaphore::MAX_PERMITS / 2));
    };
    std::thread::Builder::new().name("schedule".into()).spawn(keep).context("cannot start the schedule's thread")?;
    Ok(())
}

/// Sends one request after the other over one connection, each when it is due and the connection free.
async fn send(run: Arc<Run>, shared: Arc<Shared>) {
    let mut poster = Poster::new(&shared.server);
    loop {
        match run.permits.acquire().await {
            Ok(permit) => permit.forget(),
            Err(_) => return,
        }
        let Some((number, intended)) = run.next() else { return };
        // An engine that answers nothing must not keep the load going for hours.
        if shared.started.elapsed() > intended + CALL_MAX {
            run.note(&shared, Outcome::Unanswered(anyhow::anyhow!("it was not sent within {CALL_MAX:?}")), intended);
            continue;
        }
        let outcome = poster.post(run.body(number, intended, &shared), None).await;
        run.note(&shared, outcome, intended);
    }
}

impl Run {
    fn next(&self) -> Option<(u64, Duration)> {
        let mut next = lock(&self.next);
        let intended = next.1.next()?;
        next.0 += 1;
        Some((next.0 - 1, intended))
    }

    fn body(&self, request: u64, intended: Duration, shared: &Shared) -> crate::engine::Body {
        let batch = self.sending.batch;
        let first = request * batch;
        let total = (self.sending.curve.total() * batch as f64).max(1.0);
        let letter = |index: usize| {
            let number = first + index as u64;
            let (at, is_scheduled) = match self.sending.later {
                None => (intended, false),
                Some((after, over)) => (after + over.mul_f64((number as f64 / total).min(1.0)), true),
            };
            let stamp_us = shared.started_us + at.as_micros() as u64;
            // A due time is written in milliseconds, and its stamp must not be later than that.
            let stamp_us = if is_scheduled { stamp_us / 1000 * 1000 } else { stamp_us };
            Letter { number, stamp_us, is_scheduled }
        };
        self.sending.letters.body((0..batch as usize).map(letter))
    }

    fn note(&self, shared: &Shared, outcome: Outcome, intended: Duration) {
        let latency_us = shared.started.elapsed().saturating_sub(intended).as_micros() as u64;
        let mut tally = lock(&self.tally);
        let mut interval = lock(&shared.interval);
        let offered = self.sending.batch;
        tally.offered += offered;
        interval.offered += offered;
        match outcome {
            Outcome::Accepted(batch) => {
                let (accepted, refused) = (batch.ids.len() as u64, batch.refused as u64);
                tally.accepted.add(batch.ids);
                tally.refused += refused;
                interval.accepted += accepted;
                interval.refused += refused;
            }
            Outcome::Refused { status, .. } => {
                tally.refused += offered;
                interval.refused += offered;
                tally.first_error.get_or_insert_with(|| format!("answered {status}"));
            }
            Outcome::Unanswered(error) => {
                tally.unanswered += offered;
                tally.first_error.get_or_insert_with(|| format!("{error:#}"));
                return;
            }
        }
        interval.latency.saturating_record(latency_us);
        if intended >= shared.warmup {
            lock(&shared.latency).saturating_record(latency_us);
        }
    }
}

/// Whole after every statement, so that a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
