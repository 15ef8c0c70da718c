//! What a run of a scenario measured, as it is kept in a file: written by `scenario`, read by the reports and the planner.
//!
//! Times are in milliseconds unless a name says otherwise, memory and disk in bytes, rates a second.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of the format.
pub(crate) const FORMAT: u32 = 1;

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) format: u32,
    /// The name of the scenario, and what it stands for.
    pub(crate) scenario: String,
    pub(crate) description: String,
    /// Milliseconds since 1970.
    pub(crate) started_at: u64,
    /// Of the load, without the warm-up.
    pub(crate) seconds: f64,
    pub(crate) warmup_seconds: f64,
    pub(crate) machine: Machine,
    /// Notifications offered a second, on average.
    pub(crate) offered_rate: f64,
    /// The scale that the scenario's rates were multiplied with.
    pub(crate) scale: f64,
    pub(crate) objectives: Vec<Objective>,
    pub(crate) total: Account,
    pub(crate) by_priority: BTreeMap<String, Account>,
    pub(crate) by_channel: BTreeMap<String, Account>,
    /// From the intended start to the answer.
    pub(crate) create: Percentiles,
    /// From accepted to handed over to a provider, by priority, of the engine's own metrics.
    pub(crate) hand_over: BTreeMap<String, Percentiles>,
    /// From the intended start until the mock provider had it; none where nothing was stamped.
    pub(crate) received: Option<Percentiles>,
    /// Of each engine.
    pub(crate) engines: Vec<Engine>,
    /// Processor seconds of the harness and of the mock providers: where they share the machine, they are part of its load.
    pub(crate) harness_cpu_seconds: f64,
    pub(crate) mock_cpu_seconds: f64,
    /// What had the least left.
    pub(crate) limit: Option<Limit>,
    /// Of the load, and after its end of the wait for deliveries.
    pub(crate) series: Vec<Sample>,
    /// Why the first request was refused, or not answered.
    #[serde(default)]
    pub(crate) refused_because: Option<String>,
    /// When providers were made to misbehave.
    #[serde(default)]
    pub(crate) faults: Vec<Disturbance>,
}

/// A time in which a provider misbehaved, from the start of the load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Disturbance {
    pub(crate) from_seconds: f64,
    pub(crate) to_seconds: f64,
    /// Which, and how.
    pub(crate) what: String,
}

/// What it ran on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cores: u32,
    pub(crate) memory: u64,
    pub(crate) engine_version: String,
    pub(crate) nodes: u32,
    /// `embedded` or `distributed`.
    pub(crate) backends: String,
    pub(crate) partitions: u32,
    /// Whether harness, mocks and all engines share the cores.
    pub(crate) is_shared: bool,
}

/// A bar of the scenario, and what was reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Objective {
    /// `create_p50_ms`, `create_p99_ms`, `hand_over_p99_ms`, `hand_over_p99_ms.critical`, `lost`, `duplicated`, `refused_share`, `memory_growth`.
    pub(crate) name: String,
    /// At most.
    pub(crate) limit: f64,
    /// `None`: there is nothing to measure it by, and it does not hold.
    pub(crate) value: Option<f64>,
    pub(crate) holds: bool,
}

/// What became of the notifications that were offered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) offered: u64,
    pub(crate) accepted: u64,
    /// Answered with an error.
    pub(crate) refused: u64,
    pub(crate) unanswered: u64,
    pub(crate) delivered: u64,
    /// Accepted, and neither delivered nor skipped or merged for a reason that the engine names.
    pub(crate) lost: u64,
    /// Accepted and not delivered, for a reason that the engine names: skipped, expired, failed for good, cancelled.
    #[serde(default)]
    pub(crate) explained: u64,
    /// Delivered more than once.
    pub(crate) duplicated: u64,
    /// Delivered later than the objective of its priority.
    pub(crate) late: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
    /// Cumulated shares for a plot: `[share, milliseconds]`, rising.
    pub(crate) curve: Vec<[f64; 2]>,
}

/// What one engine used while it was measured (without the warm-up).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Engine {
    pub(crate) name: String,
    pub(crate) cpu_seconds: f64,
    pub(crate) memory_start: u64,
    pub(crate) memory_end: u64,
    pub(crate) memory_max: u64,
    /// Of /proc/PID/io, or of its metrics.
    pub(crate) disk_read: u64,
    pub(crate) disk_written: u64,
    /// How much the data directory grew.
    pub(crate) stored: u64,
    /// Operations on the store, on the log and on what is shared (Redis), by their names in the metrics.
    pub(crate) operations: BTreeMap<String, u64>,
}

/// What had the least left, and how much of it was used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limit {
    /// `processor`, `disk`, `memory`, `provider:NAME`, `harness`, `partition` …
    pub(crate) resource: String,
    /// Of what there is, 0 to 1.
    pub(crate) share: f64,
    /// In a sentence.
    pub(crate) why: String,
}

/// A look at everything, once a second or so.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Since the start of the load.
    pub(crate) at_seconds: f64,
    /// Since the last look, a second.
    pub(crate) offered: f64,
    pub(crate) accepted: f64,
    pub(crate) delivered: f64,
    pub(crate) refused: f64,
    pub(crate) create_p50: Option<f64>,
    pub(crate) create_p99: Option<f64>,
    pub(crate) hand_over_p50: Option<f64>,
    pub(crate) hand_over_p99: Option<f64>,
    /// Accepted and not handed over, by priority.
    pub(crate) queued: BTreeMap<String, f64>,
    /// Cores used.
    pub(crate) engine_cores: f64,
    pub(crate) harness_cores: f64,
    pub(crate) mock_cores: f64,
    pub(crate) memory: u64,
    pub(crate) disk_written: f64,
}

/// What a search for the highest rate came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Saturation {
    pub(crate) format: u32,
    pub(crate) scenario: String,
    /// Each search from its start: its steps, and the highest rate at which all objectives held.
    pub(crate) searches: Vec<Search>,
    /// The median of the searches, notifications a second.
    pub(crate) rate: f64,
    /// The largest difference between two of them, as a share of the median.
    pub(crate) spread: f64,
    /// What most searches ended at.
    pub(crate) limit: Option<Limit>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Search {
    pub(crate) rate: f64,
    pub(crate) steps: Vec<Step>,
}

/// One run of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) rate: f64,
    pub(crate) holds: bool,
    /// The objectives that did not.
    pub(crate) missed: Vec<String>,
    pub(crate) engine_cores: f64,
    pub(crate) create_p99: f64,
    pub(crate) hand_over_p99: Option<f64>,
    pub(crate) limit: Option<Limit>,
}
