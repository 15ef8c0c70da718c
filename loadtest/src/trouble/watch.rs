//! Brings the trouble, takes it away again, and looks at the mocks all the time.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;
use tokio::time::MissedTickBehavior;

use super::series::{Counts, Sample};
use crate::clock::now_us;
use crate::mock_process::MockHandle;

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// When what happens to the first mock.
pub(super) struct Plan {
    /// How long all is well, is not, and is again.
    pub(super) phases: [Duration; 3],
    /// Its behaviour in the trouble...
    pub(super) begin: Value,
    /// ...and after it.
    pub(super) end: Value,
}

/// What was seen: the samples, and which of them were taken just after a change.
pub(super) struct Watched {
    samples: Vec<Sample>,
    began: usize,
    ended: usize,
}

impl Watched {
    pub(super) fn all(&self) -> &[Sample] {
        &self.samples
    }

    /// The samples before, in and after the trouble; neighbours share the sample between them.
    pub(super) fn phases(&self) -> [&[Sample]; 3] {
        [&self.samples[..=self.began], &self.samples[self.began..=self.ended], &self.samples[self.ended..]]
    }
}

/// Returns when the plan is carried out.
pub(super) async fn watch(mocks: &[&MockHandle], plan: &Plan) -> Result<Watched> {
    let start = Instant::now();
    let [before, trouble, after] = plan.phases;
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut samples = Vec::new();
    look_until(start + before, mocks, &mut ticks, &mut samples).await?;
    mocks[0].behave(&plan.begin).await?;
    let began = samples.len();
    samples.push(look(mocks).await?);
    look_until(start + before + trouble, mocks, &mut ticks, &mut samples).await?;
    mocks[0].behave(&plan.end).await?;
    let ended = samples.len();
    samples.push(look(mocks).await?);
    look_until(start + before + trouble + after, mocks, &mut ticks, &mut samples).await?;
    Ok(Watched { samples, began, ended })
}

async fn look_until(
    until: Instant,
    mocks: &[&MockHandle],
    ticks: &mut tokio::time::Interval,
    samples: &mut Vec<Sample>,
) -> Result<()> {
    while Instant::now() < until {
        ticks.tick().await;
        samples.push(look(mocks).await?);
    }
    Ok(())
}

async fn look(mocks: &[&MockHandle]) -> Result<Sample> {
    let mut counts = [Counts::default(); 2];
    for (counts, mock) in counts.iter_mut().zip(mocks) {
        *counts = Counts::of(&mock.stats().await?.total());
    }
    let [a, b] = counts;
    Ok(Sample { at_us: now_us(), a, b })
}
