//! The memory of the nodes over a run.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::host::Pids;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One look: of all nodes that were there, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Sample {
    pub(super) at_s: f64,
    pub(super) nodes: usize,
    pub(super) bytes: u64,
}

/// Looks until it is dropped.
pub(super) struct Watch {
    task: JoinHandle<()>,
    samples: std::sync::Arc<std::sync::Mutex<Vec<Sample>>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    pub(super) fn start(pids: Pids) -> Self {
        let samples = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let (began, kept) = (Instant::now(), samples.clone());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(LOOK_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                let sample = sample(began.elapsed().as_secs_f64(), &pids.resident());
                kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(sample);
            }
        });
        Self { task, samples }
    }

    /// All looks up to now.
    pub(super) fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

fn sample(at_s: f64, resident: &[u64]) -> Sample {
    let alive = resident.iter().filter(|bytes| **bytes > 0);
    Sample { at_s, nodes: alive.clone().count(), bytes: alive.sum() }
}

/// Over the looks at which all nodes were there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Memory {
    pub(super) start: u64,
    pub(super) middle: u64,
    pub(super) end: u64,
    pub(super) max: u64,
}

pub(super) fn memory(samples: &[Sample], nodes: usize) -> Memory {
    let bytes: Vec<u64> = samples.iter().filter(|sample| sample.nodes == nodes).map(|sample| sample.bytes).collect();
    let at = |index: usize| bytes.get(index).copied().unwrap_or_default();
    Memory {
        start: at(0),
        middle: at(bytes.len() / 2),
        end: at(bytes.len().saturating_sub(1)),
        max: bytes.iter().max().copied().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_counts_while_all_nodes_are_there() {
        let looks = [[50, 50], [0, 60], [70, 50], [40, 40]];
        let samples: Vec<Sample> = looks.iter().map(|resident| sample(0.0, resident)).collect();
        assert_eq!(samples[1].nodes, 1);
        assert_eq!(memory(&samples, 2), Memory { start: 100, middle: 120, end: 80, max: 120 });
        assert_eq!(memory(&[], 1), Memory::default());
    }
}
