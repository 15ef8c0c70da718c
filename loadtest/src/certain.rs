//! A load for when engines are maltreated: each notification has a retry key and is posted until it is answered, so that at the end
//! it is certain for each whether it was accepted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hyper::StatusCode;
use hyper::header::HeaderValue;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::clock::now_us;
use crate::engine::{Body, Due, Item, Outcome, Poster, Shape};
use crate::http_client::Server;
use crate::ledger::Ledger;

/// Between two attempts of the same request.
const PAUSE: Duration = Duration::from_millis(20);

/// The longest that a refused request waits, whatever the answer says: what is to be seen is when it is taken again.
const PUT_OFF_MAX: Duration = Duration::from_secs(1);

/// How often permits are handed out.
const TICK: Duration = Duration::from_millis(5);

/// What to post.
pub(crate) struct Load {
    pub(crate) server: Server,
    /// Take turns.
    pub(crate) shapes: Vec<Shape>,
    /// Requests per second while the engine is up.
    pub(crate) rate: f64,
    pub(crate) connections: usize,
    /// In front of each retry key.
    pub(crate) run: u64,
    /// How long a request may be refused while the engine is up, or answered 409 because its first attempt is still at work.
    pub(crate) refused_max: Duration,
}

/// A load under way.
pub(crate) struct RunningLoad {
    shared: Arc<Shared>,
    up: watch::Sender<bool>,
    senders: JoinSet<()>,
    ticker: tokio::task::JoinHandle<()>,
}

struct Shared {
    load: Load,
    up: watch::Receiver<bool>,
    permits: Semaphore,
    stop: AtomicBool,
    next: AtomicU64,
    tally: Mutex<Tally>,
}

/// What became of the load.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) accepted: Ledger,
    /// Requests that had to be posted again because an attempt was not answered.
    pub(crate) ambiguous: u64,
    /// Answers 503 and the like, after which the request was posted again.
    pub(crate) put_off: u64,
    /// Requests refused for good, with the first status.
    pub(crate) refused: u64,
    pub(crate) refused_status: Option<StatusCode>,
    /// Requests that were never answered to the end: whether they were accepted is not known.
    pub(crate) unresolved: u64,
}

impl Load {
    /// Starts it; nothing is sent before the engine is said to be up.
    pub(crate) fn start(self) -> RunningLoad {
        let (up, receiver) = watch::channel(false);
        let shared = Arc::new(Shared {
            load: self,
            up: receiver,
            permits: Semaphore::new(0),
            stop: AtomicBool::new(false),
            next: AtomicU64::new(0),
            tally: Mutex::default(),
        });
        let mut senders = JoinSet::new();
        for _ in 0..shared.load.connections {
            senders.spawn(send(Arc::clone(&shared)));
        }
        let ticker = tokio::spawn(hand_out(Arc::clone(&shared)));
        RunningLoad { shared, up, senders, ticker }
    }
}

impl RunningLoad {
    /// Lets requests go out, or holds them back, new ones and repeated ones.
    pub(crate) fn set_up(&self, up: bool) {
        self.up.send_replace(up);
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.shared.tally().accepted.len()
    }

    /// What was accepted up to now.
    pub(crate) fn ledger(&self) -> Ledger {
        self.shared.tally().accepted.clone()
    }

    /// Sends nothing new, and returns when every request is answered.
    pub(crate) async fn finish(mut self) -> Result<Tally> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.ticker.abort();
        // Whoever waits for a permit gets one, sees the end and returns.
        self.shared.permits.add_permits(self.shared.load.connections);
        while let Some(ended) = self.senders.join_next().await {
            ended.context("a sender panicked")?;
        }
        let tally = std::mem::take(&mut *self.shared.tally());
        ensure!(
            tally.refused == 0,
            "the engine refused {} requests for good, the first with {:?}: nothing is shown",
            tally.refused,
            tally.refused_status
        );
        Ok(tally)
    }
}

/// Hands out permits at the set rate while the engine is up.
async fn hand_out(shared: Arc<Shared>) {
    let per_tick = shared.load.rate * TICK.as_secs_f64();
    let (mut owed, mut ticks) = (0.0, tokio::time::interval(TICK));
    loop {
        ticks.tick().await;
        if !*shared.up.borrow() {
            continue;
        }
        owed += per_tick;
        // An engine that does not keep up is not owed more than a second's worth.
        if (shared.permits.available_permits() as f64) < shared.load.rate {
            shared.permits.add_permits(owed as usize);
        }
        owed = owed.fract();
    }
}

async fn send(shared: Arc<Shared>) {
    let mut poster = Poster::new(&shared.load.server);
    loop {
        match shared.permits.acquire().await {
            Ok(permit) => permit.forget(),
            Err(_) => return,
        }
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let number = shared.next.fetch_add(1, Ordering::Relaxed);
        let shape = &shared.load.shapes[number as usize % shared.load.shapes.len()];
        let body = Body::Single(shape.single(&Item { number, stamp_us: now_us(), due: Due::Now }));
        let retry_key = HeaderValue::try_from(format!("crash-{:x}-{number}", shared.load.run));
        // Hexadecimal digits and dashes are always legal.
        let Ok(retry_key) = retry_key else { return };
        post_until_answered(&shared, &mut poster, body, retry_key).await;
    }
}

async fn post_until_answered(shared: &Shared, poster: &mut Poster, body: Body, retry_key: HeaderValue) {
    let mut ambiguous = false;
    let mut refused_since = None::<Instant>;
    loop {
        // The sender of this lives as long as the load.
        let _ = shared.up.clone().wait_for(|up| *up).await;
        match poster.post(body.clone(), Some(retry_key.clone())).await {
            Outcome::Accepted(batch) => {
                shared.tally().accepted.add(batch.ids);
                return;
            }
            Outcome::Unanswered(_) => {
                if !ambiguous {
                    shared.tally().ambiguous += 1;
                }
                ambiguous = true;
                refused_since = None;
                tokio::time::sleep(PAUSE).await;
            }
            Outcome::Refused { status, retry_after } => {
                let mends =
                    status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT);
                let since = *refused_since.get_or_insert_with(Instant::now);
                if !mends || since.elapsed() > shared.load.refused_max {
                    let mut tally = shared.tally();
                    tally.refused_status.get_or_insert(status);
                    // An attempt without an answer may have been accepted before this refusal.
                    *(if ambiguous { &mut tally.unresolved } else { &mut tally.refused }) += 1;
                    return;
                }
                shared.tally().put_off += 1;
                // As a client that waits for nothing else.
                tokio::time::sleep(retry_after.unwrap_or(PAUSE).min(PUT_OFF_MAX)).await;
            }
        }
    }
}

impl Shared {
    /// Whole after every statement, so a panic elsewhere does not spoil it.
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
