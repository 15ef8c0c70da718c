//! Posts a number of notifications as fast as the engine accepts them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hyper::StatusCode;
use tokio::task::JoinSet;

use crate::clock::now_us;
use crate::engine::{Body, Due, Item, Outcome, Poster, Shape};
use crate::http_client::Server;
use crate::ledger::Ledger;
use crate::progress::Progress;

/// How long to wait after a refusal that does not say.
const PAUSE: Duration = Duration::from_millis(100);

/// What to post.
pub(super) struct Burst {
    pub(super) server: Server,
    pub(super) shape: Shape,
    pub(super) count: u64,
    pub(super) batch: u64,
    /// How long one batch may be pushed back again and again.
    pub(super) refused_max: Duration,
}

/// What became of it.
#[derive(Default)]
pub(super) struct Accepted {
    pub(super) ledger: Ledger,
    /// Items refused although their batch was accepted.
    pub(super) refused_items: u64,
    /// Answers of 429 and 503, after which the same batch was posted again.
    pub(super) pushed_back: u64,
    /// Notifications of which nobody knows whether they were accepted.
    pub(super) unanswered: u64,
    pub(super) elapsed: Duration,
}

struct Shared {
    burst: Burst,
    progress: Mutex<Counts>,
}

struct Counts {
    next: u64,
    accepted: Accepted,
}

impl Burst {
    pub(super) async fn send(self, posters: usize, progress: &mut Progress) -> Result<Accepted> {
        let started = Instant::now();
        let counts = Mutex::new(Counts { next: 0, accepted: Accepted::default() });
        let shared = Arc::new(Shared { burst: self, progress: counts });
        let mut loops = JoinSet::new();
        for _ in 0..posters {
            loops.spawn(post(Arc::clone(&shared)));
        }
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                ended = loops.join_next() => match ended {
                    Some(ended) => ended.context("a poster panicked")??,
                    None => break,
                },
                _ = ticks.tick() => {
                    let accepted = shared.counts().accepted.ledger.len();
                    let share = accepted as f64 / shared.burst.count as f64;
                    progress.show(share, &format!("engine: accepted {accepted} of {}", shared.burst.count));
                }
            }
        }
        let shared = Arc::into_inner(shared).context("a poster is still there")?;
        let mut accepted = shared.progress.into_inner().unwrap_or_else(PoisonError::into_inner).accepted;
        accepted.elapsed = started.elapsed();
        Ok(accepted)
    }
}

async fn post(shared: Arc<Shared>) -> Result<()> {
    let mut poster = Poster::new(&shared.burst.server);
    while let Some((first, items)) = shared.take() {
        let stamp_us = now_us();
        let item = |index: usize| Item { number: first + index as u64, stamp_us, due: Due::Now };
        let body = Body::Batch { body: shared.burst.shape.batch((0..items).map(item)), items };
        let begun = Instant::now();
        loop {
            match poster.post(body.clone(), None).await {
                Outcome::Accepted(batch) => {
                    let accepted = &mut shared.counts().accepted;
                    accepted.ledger.add(batch.ids);
                    accepted.refused_items += batch.refused as u64;
                    break;
                }
                Outcome::Refused {
                    status: StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE,
                    retry_after,
                } => {
                    shared.counts().accepted.pushed_back += 1;
                    if begun.elapsed() > shared.burst.refused_max {
                        bail!("the engine has refused a batch for {:?}", shared.burst.refused_max);
                    }
                    tokio::time::sleep(retry_after.unwrap_or(PAUSE)).await;
                }
                Outcome::Refused { status, .. } => bail!("the engine answers {status} to a batch"),
                Outcome::Unanswered(error) => {
                    shared.counts().accepted.unanswered += items as u64;
                    eprintln!("a batch was not answered: {error:#}");
                    break;
                }
            }
        }
    }
    Ok(())
}

impl Shared {
    /// The first number of the next batch, and its size.
    fn take(&self) -> Option<(u64, usize)> {
        let mut counts = self.counts();
        let first = counts.next;
        let items = self.burst.batch.min(self.burst.count - first);
        counts.next += items;
        (items > 0).then_some((first, items as usize))
    }

    /// Whole after every statement, so a panic elsewhere does not spoil it.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
