//! What a process costs: resident memory over time, and processor time.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::metrics::resident_bytes;
use crate::http_client::{Server, fetch};

/// How often memory is looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(500);

/// Resident memory over a run, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Resident {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) min: u64,
    pub(crate) max: u64,
    pub(crate) samples: u64,
}

impl Resident {
    fn add(&mut self, bytes: u64) {
        if self.samples == 0 {
            (self.start, self.min) = (bytes, bytes);
        }
        self.end = bytes;
        self.min = self.min.min(bytes);
        self.max = self.max.max(bytes);
        self.samples += 1;
    }
}

/// Looks at the engine's memory now and again, until it is told to stop.
pub(crate) struct ResidentSampler {
    source: Source,
    stop: tokio::sync::oneshot::Sender<()>,
    task: JoinHandle<Resident>,
}

#[derive(Debug, Clone)]
enum Source {
    /// `/proc/PID/status`: costs the engine nothing.
    Process(u32),
    /// `/metrics`, where the engine is on another machine or its process id unknown.
    Metrics(Server),
}

impl Source {
    async fn sample(&self) -> Option<u64> {
        match self {
            Self::Process(pid) => resident_of(*pid).ok(),
            Self::Metrics(server) => {
                let scrape = fetch(server, "/metrics").await.ok()?;
                resident_bytes(&String::from_utf8_lossy(&scrape))
            }
        }
    }
}

impl ResidentSampler {
    pub(crate) fn start(pid: Option<u32>, server: &Server) -> Self {
        let source = pid.map_or_else(|| Source::Metrics(server.clone()), Source::Process);
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let sampled = source.clone();
        let task = tokio::spawn(async move {
            let mut resident = Resident::default();
            let mut ticks = tokio::time::interval(SAMPLE_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                tokio::select! {
                    _ = &mut stopped => return resident,
                    _ = ticks.tick() => {}
                }
                if let Some(bytes) = sampled.sample().await {
                    resident.add(bytes);
                }
            }
        });
        Self { source, stop, task }
    }

    /// The figures up to now; `None` when there was never one to be had.
    pub(crate) async fn finish(self) -> Option<Resident> {
        let last = self.source.sample().await;
        // The task may have ended only by a panic, which `await` reports.
        let _ = self.stop.send(());
        let mut resident = self.task.await.ok()?;
        if let Some(bytes) = last {
            resident.add(bytes);
        }
        (resident.samples > 0).then_some(resident)
    }
}

/// The resident memory of a process, in bytes.
pub(crate) fn resident_of(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kilobytes.with_context(|| format!("`{path}` has no VmRSS"))? * 1024)
}

/// The processor time a process has used so far, in user and system mode.
pub(crate) fn processor_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{path}`"))?;
    let ticks = ticks(&stat).with_context(|| format!("cannot read `{path}`"))?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// The 14th and 15th field (proc_pid_stat(5)). The second is a name in parentheses that may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 700 77 0 0 20 0";
        assert_eq!(ticks(stat), Some(777));
        assert_eq!(ticks("nonsense"), None);
    }

    #[test]
    fn the_own_process_has_memory_and_has_worked() {
        let pid = std::process::id();
        assert!(resident_of(pid).expect("Linux") > 100_000);
        assert!(processor_time(pid).is_ok());
        assert!(resident_of(u32::MAX).is_err());
    }

    #[test]
    fn memory_has_a_start_an_end_and_extremes() {
        let mut resident = Resident::default();
        for bytes in [30, 10, 50, 40] {
            resident.add(bytes);
        }
        assert_eq!(resident, Resident { start: 30, end: 40, min: 10, max: 50, samples: 4 });
    }
}
