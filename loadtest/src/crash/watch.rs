//! Watches the mock from the side: how fast deliveries arrive, for the bound on duplicates, and when the first one
//! comes after a restart.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::task::JoinHandle;

use crate::mock_process::MockHandle;

const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The peak is that of so long before a kill.
const WINDOW: Duration = Duration::from_secs(1);

/// How long a restarted engine may take to deliver anything.
pub(super) const FIRST_MAX: Duration = Duration::from_secs(60);

/// Keeps the count of deliveries over the last second.
pub(super) struct DeliveryWatch {
    /// Written by the watching task, read before a kill.
    looks: Arc<Mutex<VecDeque<(Instant, u64)>>>,
    task: JoinHandle<()>,
}

impl DeliveryWatch {
    pub(super) fn start(mock: Arc<MockHandle>) -> Self {
        let looks = Arc::new(Mutex::new(VecDeque::new()));
        let written = Arc::clone(&looks);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            loop {
                ticks.tick().await;
                if let Ok(stats) = mock.stats().await {
                    let mut looks = written.lock().unwrap_or_else(PoisonError::into_inner);
                    looks.push_back((Instant::now(), stats.total().accepted));
                    while looks.front().is_some_and(|(at, _)| at.elapsed() > WINDOW) {
                        looks.pop_front();
                    }
                }
            }
        });
        Self { looks, task }
    }

    /// The highest rate between two looks of the last second, in deliveries per second.
    pub(super) fn peak_rate(&self) -> f64 {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = looks.iter().zip(looks.iter().skip(1));
        pairs
            .map(|((at, count), (next_at, next_count))| {
                next_count.saturating_sub(*count) as f64 / next_at.duration_since(*at).as_secs_f64().max(1e-3)
            })
            .fold(0.0, f64::max)
    }
}

impl Drop for DeliveryWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits until the mock has taken more than `before`.
pub(super) async fn first_delivery(mock: &MockHandle, before: u64) -> Result<()> {
    let started = Instant::now();
    loop {
        let total = mock.stats().await?.total();
        if total.accepted + total.deduplicated > before {
            return Ok(());
        }
        if started.elapsed() > FIRST_MAX {
            bail!("the engine has delivered nothing for {FIRST_MAX:?} after its restart");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
