//! What `cluster` found, for people and for programs.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::Fault;
use crate::merged::Merged;
use crate::text::millis;

/// One fault, and what came of it. Times are in milliseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Round {
    /// Counted from 1.
    pub(super) node: Option<usize>,
    pub(super) what: &'static str,
    /// Until everything that was accepted before had arrived.
    #[serde(serialize_with = "milliseconds")]
    pub(super) recovered: Option<Duration>,
    /// Until the node that was started was ready.
    #[serde(serialize_with = "milliseconds")]
    pub(super) ready: Option<Duration>,
    /// Until the node that was told to end had ended.
    #[serde(serialize_with = "milliseconds")]
    pub(super) ended: Option<Duration>,
    /// Notifications that were accepted while a service was out.
    pub(super) accepted_meanwhile: Option<u64>,
    /// Duplicates that arrived in this round.
    pub(super) duplicates: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(serialize_with = "name")]
    pub(super) fault: Fault,
    pub(super) nodes: u16,
    pub(super) accepted: u64,
    /// Requests that were posted again because they were not answered.
    pub(super) ambiguous: u64,
    /// Answers 503 and the like.
    pub(super) put_off: u64,
    /// Requests of which even so nobody knows.
    pub(super) unresolved: u64,
    pub(super) lost: u64,
    pub(super) lost_ids: Vec<String>,
    /// From the request to its delivery, the longest of all.
    pub(super) latest_ms: f64,
    pub(super) duplicates: u64,
    /// Repeated, but recognized by a mock that honours ids.
    pub(super) deduplicated: u64,
    pub(super) merged: Option<Merged>,
    /// Of all engines together, without the API; only where no node was ended.
    pub(super) processor_ms_per_thousand: Option<f64>,
    /// With `--fault none`.
    pub(super) steady: Option<Steady>,
    pub(super) rounds: Vec<Round>,
}

/// What was delivered while nothing was done to the cluster.
#[derive(Debug, Serialize)]
pub(super) struct Steady {
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    pub(super) of_each_node: Vec<f64>,
}

/// The duplicates that are allowed: one in a thousand.
const DUPLICATES_MAX: f64 = 0.001;

impl Report {
    fn told_twice(&self) -> u64 {
        self.merged.as_ref().map_or(0, |merged| merged.told_twice(self.accepted + self.unresolved))
    }

    pub(super) fn holds(&self) -> bool {
        self.lost == 0 && self.told_twice() == 0 && self.duplicates as f64 <= self.accepted as f64 * DUPLICATES_MAX
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |time: Option<Duration>| time.map_or("-".into(), |time| millis(time.as_secs_f64() * 1000.0));
        writeln!(f, "round  node  what       recovered in    ready in    ended in  duplicates")?;
        for (index, round) in self.rounds.iter().enumerate() {
            writeln!(
                f,
                "{:5}  {:>4}  {:8}  {:>13}  {:>10}  {:>10}  {:>10}",
                index + 1,
                round.node.map_or("-".into(), |node| node.to_string()),
                round.what,
                shown(round.recovered),
                shown(round.ready),
                shown(round.ended),
                round.duplicates,
            )?;
            if let Some(accepted) = round.accepted_meanwhile {
                writeln!(f, "       accepted meanwhile: {accepted}")?;
            }
        }
        let worst = self.rounds.iter().filter_map(|round| round.recovered).max();
        writeln!(f, "fault        {:?}, {} rounds, {} engines", self.fault, self.rounds.len(), self.nodes)?;
        writeln!(f, "recovered    in {} at the most", shown(worst))?;
        writeln!(f, "latest       {} after its request", millis(self.latest_ms))?;
        writeln!(f, "accepted     {} ({} posted again, {} put off)", self.accepted, self.ambiguous, self.put_off)?;
        if let Some(steady) = &self.steady {
            let each: Vec<String> = steady.of_each_node.iter().map(|rate| format!("{rate:.1}")).collect();
            let Steady { seconds, per_second, .. } = steady;
            writeln!(f, "delivered    {per_second:.1}/s over {seconds:.1} s; by node: {}", each.join(", "))?;
        }
        if self.unresolved > 0 {
            writeln!(f, "unresolved   {}", self.unresolved)?;
        }
        if let Some(cost) = self.processor_ms_per_thousand {
            writeln!(f, "processor    {cost:.1} ms per 1,000 notifications, all engines")?;
        }
        if let Some(merged) = &self.merged {
            writeln!(f, "merged       {merged}")?;
            writeln!(f, "told twice   {}", self.told_twice())?;
        }
        writeln!(f, "duplicates   {} ({} recognized)", self.duplicates, self.deduplicated)?;
        writeln!(f, "lost         {} {}", self.lost, self.lost_ids.join(" "))
    }
}

fn milliseconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64() * 1000.0).serialize(serializer)
}

fn name<S: Serializer>(fault: &Fault, serializer: S) -> Result<S::Ok, S::Error> {
    format!("{fault:?}").to_lowercase().serialize(serializer)
}
