//! Measured results as the planner looks at them: read, checked, and brought to what happened a second.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;

use super::numbers::standard_error;
use crate::measured::{FORMAT, Measured, Percentiles, Sample, Saturation};

/// Samples that are averaged before it is looked at how much they waver: neighbours are alike.
const BLOCK: usize = 5;

/// Half of the requests wait for so long only where more come than are done, and then costs and times are those of a backlog.
const OVERLOADED_MS: f64 = 1000.0;

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// The file and the scenario.
    pub(crate) label: String,
    /// Accepted a second.
    pub(crate) rate: f64,
    pub(crate) by_channel: BTreeMap<String, f64>,
    pub(crate) nodes: f64,
    /// Of one machine.
    pub(crate) cores: f64,
    pub(crate) is_shared: bool,
    pub(crate) is_distributed: bool,
    pub(crate) partitions: f64,
    /// Cores that all engines used, and how much that wavered: one standard error, with its degrees of freedom.
    pub(crate) engine_cores: f64,
    pub(crate) engine_cores_error: Option<(f64, f64)>,
    /// Cores that the harness and the mock providers used.
    pub(crate) beside_cores: f64,
    /// Resident at the most, of one engine, bytes.
    pub(crate) memory: f64,
    /// Written to the disk, and kept of it, of all engines, bytes a second.
    pub(crate) written: f64,
    pub(crate) stored: f64,
    /// A second, of all engines.
    pub(crate) operations: BTreeMap<String, f64>,
    pub(crate) times: BTreeMap<Time, f64>,
    /// Delivered a second.
    pub(crate) delivered: f64,
    /// The bars of its scenario, by their names.
    pub(crate) objectives: BTreeMap<String, f64>,
    /// What makes it a doubtful witness.
    pub(crate) doubts: Vec<String>,
}

/// A time that is forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Time {
    CreateP50,
    CreateP99,
    HandOverP50,
    HandOverP99,
}

impl Time {
    /// In the order in which they are told.
    pub(crate) const ALL: [Self; 4] = [Self::CreateP50, Self::CreateP99, Self::HandOverP50, Self::HandOverP99];

    /// The objective that is about it.
    pub(crate) fn objective(self) -> &'static str {
        match self {
            Self::CreateP50 => "create_p50_ms",
            Self::CreateP99 => "create_p99_ms",
            Self::HandOverP50 => "hand_over_p50_ms",
            Self::HandOverP99 => "hand_over_p99_ms",
        }
    }

    /// As people read it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CreateP50 => "create, P50",
            Self::CreateP99 => "create, P99",
            Self::HandOverP50 => "hand-over, P50",
            Self::HandOverP99 => "hand-over, P99",
        }
    }
}

impl Run {
    /// From a file; an error names it and says what is wrong with it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let measured: Measured = parsed(path, "a result of `fanfare-load scenario --out`")?;
        Self::of(&measured, &short(path)).with_context(|| format!("`{}` cannot be used", path.display()))
    }

    /// A run of a result; an error says what is wrong with it.
    pub(crate) fn of(measured: &Measured, file: &str) -> Result<Self> {
        ensure!(
            measured.format == FORMAT,
            "it has format {} and this program reads {FORMAT}: measure again, or use the program that wrote it",
            measured.format
        );
        let seconds = measured.seconds;
        ensure!(
            seconds.is_finite() && seconds >= 1.0,
            "it lasted {seconds} seconds: measure for longer than its warm-up, a minute at least"
        );
        ensure!(
            measured.machine.cores > 0 && measured.machine.nodes > 0,
            "it names a machine without cores or nodes: measure again"
        );
        ensure!(
            measured.total.accepted > 0,
            "nothing was accepted in it: look at `total` of the file, mend the scenario and measure again"
        );
        ensure!(!measured.engines.is_empty(), "it has no engine in it: measure with `--engine` or `--pid`");
        let all = |of: fn(&crate::measured::Engine) -> f64| measured.engines.iter().map(of).sum::<f64>() / seconds;
        let engine_cores = all(|engine| engine.cpu_seconds);
        ensure!(
            engine_cores.is_finite() && engine_cores > 0.0,
            "its engine used no processor time: measure with `--engine` or `--pid`"
        );
        let beside = (measured.harness_cpu_seconds + measured.mock_cpu_seconds) / seconds;
        ensure!(beside.is_finite() && beside >= 0.0, "the processor time of its harness is {beside}: measure again");
        let by_channel: BTreeMap<String, f64> = measured
            .by_channel
            .iter()
            .filter(|(_, account)| account.accepted > 0)
            .map(|(channel, account)| (channel.clone(), account.accepted as f64 / seconds))
            .collect();
        let mut operations = BTreeMap::<String, f64>::new();
        for (name, count) in measured.engines.iter().flat_map(|engine| &engine.operations) {
            *operations.entry(name.clone()).or_default() += *count as f64 / seconds;
        }
        Ok(Self {
            label: format!("{file}, {}", measured.scenario),
            rate: measured.total.accepted as f64 / seconds,
            by_channel,
            nodes: f64::from(measured.machine.nodes),
            cores: f64::from(measured.machine.cores),
            is_shared: measured.machine.is_shared,
            is_distributed: measured.machine.backends == "distributed",
            partitions: f64::from(measured.machine.partitions),
            engine_cores,
            engine_cores_error: wavering(&measured.series, engine_cores),
            beside_cores: beside,
            memory: measured.engines.iter().map(|engine| engine.memory_max as f64).fold(0.0, f64::max),
            written: all(|engine| engine.disk_written as f64),
            stored: all(|engine| engine.stored as f64),
            operations,
            times: times(measured),
            delivered: measured.total.delivered as f64 / seconds,
            objectives: measured.objectives.iter().map(|objective| (objective.name.clone(), objective.limit)).collect(),
            doubts: doubts(measured),
        })
    }

    /// Cores that there are for all of it.
    pub(crate) fn all_cores(&self) -> f64 {
        if self.is_shared { self.cores } else { self.cores * self.nodes }
    }

    /// Cores that are used, of those.
    pub(crate) fn used_cores(&self) -> f64 {
        if self.is_shared { self.engine_cores + self.beside_cores } else { self.engine_cores }
    }

    /// The share of the cores that is used: what times depend on.
    pub(crate) fn utilisation(&self) -> f64 {
        self.used_cores() / self.all_cores()
    }
}

/// A search for the highest rate, and on how many nodes it was.
#[derive(Debug, Clone)]
pub(crate) struct Searched {
    pub(crate) label: String,
    pub(crate) nodes: f64,
    pub(crate) saturation: Saturation,
}

impl Searched {
    /// From `FILE`, or `NODES:FILE` where there were several.
    pub(crate) fn read(argument: &str) -> Result<Self> {
        let (nodes, path) = match argument.split_once(':') {
            Some((nodes, path)) if nodes.parse::<u16>().is_ok_and(|nodes| nodes > 0) => {
                (nodes.parse()?, PathBuf::from(path))
            }
            _ => (1u16, PathBuf::from(argument)),
        };
        let saturation: Saturation = parsed(&path, "a result of `fanfare-load saturate --out`")?;
        ensure!(
            saturation.rate.is_finite() && saturation.rate > 0.0,
            "`{}` found no rate that holds: search from a lower one with `--from`",
            path.display()
        );
        let label = format!("{}, {}", short(&path), saturation.scenario);
        Ok(Self { label, nodes: f64::from(nodes), saturation })
    }
}

fn parsed<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read `{}`: give the path of {what}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("`{}` is not {what}", path.display()))
}

fn short(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The standard error of the cores, from what was seen each second, brought to the mean that was measured over the whole.
fn wavering(series: &[Sample], cores: f64) -> Option<(f64, f64)> {
    let seen: Vec<f64> = series.iter().map(|sample| sample.engine_cores).filter(|cores| cores.is_finite()).collect();
    let mean = seen.iter().sum::<f64>() / seen.len().max(1) as f64;
    let (error, degrees) = standard_error(&seen, BLOCK)?;
    (mean > 0.0).then_some((error / mean * cores, degrees))
}

fn times(measured: &Measured) -> BTreeMap<Time, f64> {
    let mut times = BTreeMap::new();
    let mut add = |percentiles: &Percentiles, p50: Time, p99: Time| {
        for (time, value) in [(p50, percentiles.p50), (p99, percentiles.p99)] {
            if percentiles.count > 0 && value.is_finite() && value > 0.0 {
                times.insert(time, value);
            }
        }
    };
    add(&measured.create, Time::CreateP50, Time::CreateP99);
    // That of the priority most were of: the others have few, and their outliers are by chance.
    if let Some(most) = measured.hand_over.values().max_by_key(|percentiles| percentiles.count) {
        add(most, Time::HandOverP50, Time::HandOverP99);
    }
    times
}

fn doubts(measured: &Measured) -> Vec<String> {
    let total = &measured.total;
    let share = |part: u64| part as f64 / total.offered.max(1) as f64;
    let mut doubts = Vec::new();
    if share(total.refused + total.unanswered) > 0.01 {
        doubts.push(format!(
            "{:.1} % of it was refused or not answered",
            100.0 * share(total.refused + total.unanswered)
        ));
    }
    if measured.create.count > 0 && measured.create.p50 > OVERLOADED_MS {
        doubts.push(format!(
            "half of its requests waited {:.1} s and longer: it was beyond what the machine can do",
            measured.create.p50 / 1000.0
        ));
    }
    if total.lost > 0 {
        doubts.push(format!("{} were lost in it", total.lost));
    }
    let missed: Vec<&str> = measured
        .objectives
        .iter()
        .filter(|objective| !objective.holds)
        .map(|objective| objective.name.as_str())
        .collect();
    if !missed.is_empty() {
        doubts.push(format!("it missed {}", missed.join(", ")));
    }
    doubts
}
