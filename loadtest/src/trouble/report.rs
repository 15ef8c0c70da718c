//! What `trouble` found, for people and for programs.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::series::{
    Counts, Latency, Sample, Second, by_phase, by_second, settled, sum, time_to_return, time_to_switch,
};
use super::watch::Watched;
use super::{Case, TroubleArgs};
use crate::mock::Kind;
use crate::mock_process::Lateness;
use crate::text::millis;

const PHASES: [&str; 3] = ["before", "trouble", "after"];

/// Times are in milliseconds, rates per second.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) case: Case,
    pub(super) kind: Kind,
    /// Of normal notifications, and of critical ones.
    pub(super) rate: f64,
    pub(super) critical_rate: Option<f64>,
    /// Before, in and after the trouble.
    pub(super) phases: [Phase; 3],
    /// How the work went over to B and came back; none with a limit, where A is alone.
    pub(super) switch: Option<Switch>,
    /// Second by second, for a drawing; JSON only.
    pub(super) seconds: Vec<Second>,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
}

/// One phase.
#[derive(Debug, Serialize)]
pub(super) struct Phase {
    pub(super) seconds: f64,
    pub(super) a: Counts,
    pub(super) b: Counts,
    /// Of critical notifications that were to be sent in this phase: from then until a provider took them.
    pub(super) critical: Option<Latency>,
    pub(super) limit: Option<Limit>,
}

/// What was made of a limit.
#[derive(Debug, Serialize)]
pub(super) struct Limit {
    /// In force.
    pub(super) per_second: f64,
    /// Taken, over the last two thirds of the phase.
    pub(super) settled_per_second: f64,
    pub(super) settled_share: f64,
    /// Of all calls of the phase.
    pub(super) refused_share: f64,
}

/// How the work went from one provider to the other.
#[derive(Debug, Serialize)]
pub(super) struct Switch {
    /// From the beginning of the trouble; none when it never did.
    pub(super) left_after_ms: Option<f64>,
    /// From the end of the trouble; none when it never did.
    pub(super) back_after_ms: Option<f64>,
    /// What B took of all that was taken in the trouble.
    pub(super) moved_share: f64,
    /// Calls of A that failed in the trouble.
    pub(super) failed_calls: u64,
}

/// What became of all notifications.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) unanswered: u64,
    pub(super) lost: u64,
    /// The first few of the lost by name.
    pub(super) lost_ids: Vec<String>,
    /// Taken of an id that either mock had taken before.
    pub(super) duplicates: u64,
}

impl Report {
    pub(super) fn new(args: &TroubleArgs, watched: &Watched, latencies: &[Lateness], outcome: Outcome) -> Self {
        let [before, trouble, after] = watched.phases();
        let edge = |samples: &[Sample]| samples.first().map_or(u64::MAX, |sample| sample.at_us);
        let critical = by_phase(latencies, (edge(trouble), edge(after)));
        let phase = |samples, in_trouble, critical| {
            let (a, b, seconds) = sum(samples);
            let limit = args.limit_in_force(in_trouble);
            let limit = (args.case == Case::Limit).then(|| Limit::new(limit, sum(settled(samples)), a));
            Phase { seconds, a, b, critical, limit }
        };
        let phases =
            [phase(before, false, critical[0]), phase(trouble, true, critical[1]), phase(after, false, critical[2])];
        let in_trouble = &phases[1];
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        let switch = (args.case != Case::Limit).then(|| Switch {
            left_after_ms: time_to_switch(trouble).map(milliseconds),
            back_after_ms: time_to_return(after).map(milliseconds),
            moved_share: share(in_trouble.b.taken, in_trouble.a.taken + in_trouble.b.taken),
            failed_calls: in_trouble.a.failed,
        });
        let critical_rate = (args.case != Case::Limit).then_some(args.critical_rate);
        let seconds = by_second(watched.all());
        Self { case: args.case, kind: args.kind, rate: args.rate(), critical_rate, phases, switch, seconds, outcome }
    }

    /// What was to be shown holds: something was accepted, and nothing of it lost.
    pub(super) fn holds(&self) -> bool {
        self.outcome.accepted > 0 && self.outcome.lost == 0
    }
}

impl Limit {
    fn new(per_second: f64, (settled, _, seconds): (Counts, Counts, f64), phase: Counts) -> Self {
        let settled_per_second = settled.taken as f64 / seconds.max(f64::EPSILON);
        Self {
            per_second,
            settled_per_second,
            settled_share: settled_per_second / per_second,
            refused_share: share(phase.throttled, phase.calls),
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let case = match self.case {
            Case::Fail => "a answers 503",
            Case::Hang => "a hangs",
            Case::Limit => "the limit of a is halved",
        };
        write!(f, "{case}, {} by {:.0}/s", self.kind.name(), self.rate)?;
        match self.critical_rate {
            Some(rate) => writeln!(f, " and {rate:.0}/s critical")?,
            None => writeln!(f)?,
        }
        writeln!(f, "phase       time      a taken   failed  throttled   b taken")?;
        for (name, Phase { seconds, a, b, .. }) in PHASES.iter().zip(&self.phases) {
            let time = format!("{seconds:.1} s");
            let (taken, failed, throttled) = (a.taken, a.failed, a.throttled);
            writeln!(f, "{name:9} {time:>7}  {taken:>10}  {failed:>7}  {throttled:>9}  {:>8}", b.taken)?;
        }
        for (name, phase) in PHASES.iter().zip(&self.phases) {
            if let Some(Latency { count, p50_ms, p99_ms, max_ms }) = phase.critical {
                let (p50, p99, max) = (millis(p50_ms), millis(p99_ms), millis(max_ms));
                writeln!(f, "critical     P50 {p50}  P99 {p99}  max {max}  ({name}, {count})")?;
            }
            if let Some(limit) = &phase.limit {
                let Limit { per_second, settled_per_second, settled_share, refused_share } = limit;
                write!(f, "limit        {per_second:.0}/s, settled at {settled_per_second:.1}/s ")?;
                let (settled, refused) = (settled_share * 100.0, refused_share * 100.0);
                writeln!(f, "({settled:.1} %), {refused:.2} % refused ({name})")?;
            }
        }
        if let Some(Switch { left_after_ms, back_after_ms, moved_share, failed_calls }) = &self.switch {
            let after = |time: &Option<f64>| time.map_or("never".into(), |time| format!("after {}", millis(time)));
            writeln!(f, "left a       {}, {failed_calls} calls failed", after(left_after_ms))?;
            writeln!(f, "moved        {:.1} % of what was taken in the trouble, to b", moved_share * 100.0)?;
            writeln!(f, "back at a    {}", after(back_after_ms))?;
        }
        let outcome = &self.outcome;
        writeln!(f, "accepted     {}", outcome.accepted)?;
        if outcome.refused + outcome.unanswered > 0 {
            writeln!(f, "refused      {}, unanswered {}", outcome.refused, outcome.unanswered)?;
        }
        writeln!(f, "lost         {}", outcome.lost)?;
        for id in &outcome.lost_ids {
            writeln!(f, "             {id}")?;
        }
        writeln!(f, "duplicates   {}", outcome.duplicates)
    }
}
