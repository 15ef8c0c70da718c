//! Looks at everything once a second: the engine's metrics, the mock's counts, and what their processes use.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use super::driver::Shared;
use super::place::Place;
use crate::engine::{Latencies, delivery_latencies, processor_time, resident_of};
use crate::measured::Sample;

/// What everything used until a moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Used {
    pub(super) at_seconds: f64,
    /// Processor seconds.
    pub(super) engine: f64,
    /// Of each engine that there is a process id of, else of all together.
    pub(super) engines: Vec<f64>,
    pub(super) harness: f64,
    pub(super) mock: f64,
    /// Bytes, all engines together.
    pub(super) disk_read: u64,
    pub(super) disk_written: u64,
    pub(super) memory: u64,
    /// Seconds in which the busiest disk had something to do.
    pub(super) disk_busy: f64,
    pub(super) delivered: u64,
    /// By channel and priority.
    pub(super) handed: BTreeMap<String, Latencies>,
    pub(super) operations: BTreeMap<String, f64>,
    /// Seconds that providers waited for their rate.
    pub(super) rate_wait: BTreeMap<String, f64>,
    queued: BTreeMap<String, f64>,
    all: Latencies,
}

/// Makes samples of looks.
pub(super) struct Watch {
    started: Instant,
    last: Used,
    pub(super) series: Vec<Sample>,
    /// The start of the load, without the warm-up.
    offset: f64,
}

impl Watch {
    pub(super) async fn start(place: &Place, started: Instant, warmup_seconds: f64) -> Result<Self> {
        let last = Used::look(place, started).await?;
        Ok(Self { started, last, series: Vec::new(), offset: warmup_seconds })
    }

    /// One look more.
    pub(super) async fn look(&mut self, place: &Place, shared: &Shared) -> Result<&Used> {
        let now = Used::look(place, self.started).await?;
        let interval = shared.take_interval()?;
        let seconds = (now.at_seconds - self.last.at_seconds).max(1e-3);
        let per_second = |count: f64| count / seconds;
        let quantile =
            |share| (!interval.latency.is_empty()).then(|| interval.latency.value_at_quantile(share) as f64 / 1000.0);
        let handed = now.all.get("all").map(|all| all.since(self.last.all.get("all")));
        let handed_over = |share| handed.as_ref()?.quantile(share).map(super::figures::milliseconds);
        self.series.push(Sample {
            at_seconds: now.at_seconds - self.offset,
            offered: per_second(interval.offered as f64),
            accepted: per_second(interval.accepted as f64),
            refused: per_second(interval.refused as f64),
            delivered: per_second(now.delivered.saturating_sub(self.last.delivered) as f64),
            create_p50: quantile(0.5),
            create_p99: quantile(0.99),
            hand_over_p50: handed_over(0.5),
            hand_over_p99: handed_over(0.99),
            queued: now.queued.clone(),
            engine_cores: per_second(now.engine - self.last.engine),
            harness_cores: per_second(now.harness - self.last.harness),
            mock_cores: per_second(now.mock - self.last.mock),
            memory: now.memory,
            disk_written: per_second(now.disk_written.saturating_sub(self.last.disk_written) as f64),
        });
        self.last = now;
        Ok(&self.last)
    }

    pub(super) fn last(&self) -> &Used {
        &self.last
    }
}

impl Used {
    pub(super) async fn look(place: &Place, started: Instant) -> Result<Self> {
        let scrape = place.scrape().await?;
        let delivered = place.mock.stats().await?.total().distinct;
        let processor = |pid: u32| processor_time(pid).map_or(0.0, |time| time.as_secs_f64());
        let by_pid: Vec<f64> = place.pids.iter().map(|pid| processor(*pid)).collect();
        let of_metrics = || vec![sum_by(&scrape, "process_cpu_seconds_total", "").values().sum()];
        let engines = if by_pid.is_empty() { of_metrics() } else { by_pid };
        let (disk_read, disk_written) =
            place.pids.iter().map(|pid| disk_of(*pid)).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let resident: u64 = place.pids.iter().filter_map(|pid| resident_of(*pid).ok()).sum();
        let told: f64 = sum_by(&scrape, "process_resident_memory_bytes", "").values().sum();
        Ok(Self {
            at_seconds: started.elapsed().as_secs_f64(),
            engine: engines.iter().sum(),
            engines,
            harness: processor(std::process::id()),
            mock: place.mock.pid().map_or(0.0, processor),
            disk_read,
            disk_written,
            memory: if resident > 0 { resident } else { told as u64 },
            disk_busy: disk_busy(),
            delivered,
            handed: by_channel(&scrape),
            operations: sum_by(&scrape, "fanfare_store_latency_seconds_count", "operation"),
            rate_wait: sum_by(&scrape, "fanfare_rate_limit_wait_seconds_sum", "provider"),
            queued: queued(&scrape),
            all: delivery_latencies(&scrape.replace("priority=", "of=")),
        })
    }
}

/// The latency histograms of each channel, by priority.
fn by_channel(scrape: &str) -> BTreeMap<String, Latencies> {
    let mut lines = BTreeMap::<String, String>::new();
    for line in scrape.lines().filter(|line| line.starts_with("fanfare_delivery_latency_seconds_bucket")) {
        let Some(channel) = label(line, "channel") else { continue };
        let of_channel = lines.entry(channel.to_owned()).or_default();
        of_channel.push_str(line);
        of_channel.push('\n');
    }
    lines.into_iter().map(|(channel, lines)| (channel, delivery_latencies(&lines))).collect()
}

/// Accepted and not handed over, by priority: in the topics, and ready for a provider.
fn queued(scrape: &str) -> BTreeMap<String, f64> {
    let mut queued = sum_by(scrape, "fanfare_queue_depth", "priority");
    for (topic, count) in sum_by(scrape, "fanfare_partition_lag", "topic") {
        if let Some((_, priority)) = topic.rsplit_once(".notifications.") {
            *queued.entry(priority.to_owned()).or_default() += count;
        }
    }
    queued
}

/// The values of a metric, added up by one of its labels; all together where it has not got it.
pub(super) fn sum_by(scrape: &str, metric: &str, by: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for line in scrape.lines() {
        let Some(rest) = line.strip_prefix(metric) else { continue };
        if !rest.starts_with(['{', ' ']) {
            continue;
        }
        let Some(value) = rest.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()) else { continue };
        *sums.entry(label(rest, by).unwrap_or_default().to_owned()).or_default() += value;
    }
    sums
}

/// Values with a quote in them do not occur in those that are read here.
fn label<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let labels = line.split_once('{')?.1.rsplit_once('}')?.0;
    labels
        .split(',')
        .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
        .map(|(_, value)| value.trim_matches('"'))
}

/// Bytes that a process read from and wrote to a disk (proc_pid_io(5)).
fn disk_of(pid: u32) -> (u64, u64) {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let of = |name: &str| io.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0);
    (of("read_bytes:"), of("write_bytes:"))
}

/// The 13th field of the busiest device, in seconds (Linux, Documentation/admin-guide/iostats.rst: "milliseconds spent doing I/Os").
fn disk_busy() -> f64 {
    let stats = std::fs::read_to_string("/proc/diskstats").unwrap_or_default();
    let busy = stats.lines().filter_map(|line| line.split_whitespace().nth(12)?.parse::<u64>().ok());
    busy.max().unwrap_or(0) as f64 / 1000.0
}

/// Of all files below a directory, in bytes.
pub(super) fn stored(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => stored(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
