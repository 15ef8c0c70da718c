//! Waits until everything that was accepted has arrived at the mock, or until the time is over.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};

use crate::ledger::{Ledger, Missing};
use crate::mock::Stats;
use crate::mock_process::MockHandle;
use crate::progress::Progress;

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Ids are compared one by one; not all the time.
const COMPARE_EVERY: Duration = Duration::from_secs(2);

/// After the last one has arrived, further deliveries could only be duplicates. They come at once or not soon.
const LINGER: Duration = Duration::from_secs(1);

/// How it ended.
pub(crate) struct Settlement {
    pub(crate) missing: Missing,
    pub(crate) stats: Stats,
}

/// Waits until the messages stand for everything that was accepted. The mock must have seen nothing else since its last reset.
pub(crate) async fn settle_items(
    mock: &MockHandle,
    accepted: u64,
    wait_max: Duration,
    progress: &mut Progress,
) -> Result<Settlement> {
    let started = Instant::now();
    loop {
        let stats = mock.stats().await?;
        let arrived = stats.items.context("the mock does not count items: start it with `--count-items`")?;
        if arrived >= accepted || started.elapsed() >= wait_max {
            tokio::time::sleep(LINGER).await;
            progress.finish();
            let stats = mock.stats().await?;
            let missing = Missing::Counted(accepted.saturating_sub(stats.items.unwrap_or_default()));
            return Ok(Settlement { missing, stats });
        }
        let share = arrived as f64 / accepted.max(1) as f64;
        progress.show(share, &format!("waiting for messages: {arrived} of {accepted} merged"));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The mock must have seen nothing but this ledger's deliveries since its last reset for the duplicates to be its own;
/// what is missing is right in any case.
pub(crate) async fn settle(
    mock: &MockHandle,
    ledger: &Ledger,
    wait_max: Duration,
    progress: &mut Progress,
) -> Result<Settlement> {
    let missing = settle_together(&[mock], ledger, wait_max, progress).await?;
    Ok(Settlement { missing, stats: mock.stats().await? })
}

/// The same with several mocks that share the deliveries.
pub(crate) async fn settle_together(
    mocks: &[&MockHandle],
    ledger: &Ledger,
    wait_max: Duration,
    progress: &mut Progress,
) -> Result<Missing> {
    let started = Instant::now();
    let mut compared = None::<Instant>;
    loop {
        let mut arrived = 0;
        for mock in mocks {
            arrived += mock.stats().await?.total().distinct;
        }
        let over = started.elapsed() >= wait_max;
        let all_there = arrived >= ledger.len();
        if over || (all_there && compared.is_none_or(|at| at.elapsed() > COMPARE_EVERY)) {
            compared = Some(Instant::now());
            let missing = ledger.missing(&ids(mocks).await?);
            if missing.count() == 0 {
                tokio::time::sleep(LINGER).await;
            }
            if over || missing.count() == 0 {
                progress.finish();
                return Ok(missing);
            }
        }
        let share = arrived as f64 / ledger.len().max(1) as f64;
        progress.show(share, &format!("waiting for deliveries: {arrived} of {}", ledger.len()));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The ids that the mocks saw, one mock's after the other's.
pub(crate) async fn ids(mocks: &[&MockHandle]) -> Result<Bytes> {
    if let [mock] = mocks {
        return mock.ids().await;
    }
    let mut ids = BytesMut::new();
    for mock in mocks {
        ids.extend_from_slice(&mock.ids().await?);
    }
    Ok(ids.freeze())
}
