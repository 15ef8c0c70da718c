//! What `crash` found, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::merged::Merged;
use crate::text::millis;

/// One round: a signal, and what came after it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Round {
    /// How long the engine had run.
    pub(super) ran_ms: f64,
    /// From SIGTERM to its end; none for SIGKILL.
    pub(super) drain_ms: Option<f64>,
    /// The most duplicates that sends in flight and one flush can explain.
    pub(super) bound: u64,
    /// Duplicates that arrived until the next round.
    pub(super) duplicates: u64,
    /// From the restart.
    pub(super) ready_ms: f64,
    pub(super) first_delivery_ms: f64,
}

/// Times are in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) signal: &'static str,
    pub(super) accepted: u64,
    /// Requests that were posted again because they were not answered; all accepted for certain in the end.
    pub(super) ambiguous: u64,
    /// Requests of which even so nobody knows.
    pub(super) unresolved: u64,
    pub(super) lost: u64,
    /// The first few of the lost by name.
    pub(super) lost_ids: Vec<String>,
    pub(super) duplicates: u64,
    /// Those that came before the first signal, and so without a reason.
    pub(super) unprovoked: u64,
    /// Repeated, but recognized by a mock that honours ids.
    pub(super) deduplicated: u64,
    pub(super) merged: Option<Merged>,
    pub(super) rounds: Vec<Round>,
}

impl Report {
    /// What was to be shown holds: nothing lost, nothing repeated that cannot be explained.
    pub(super) fn holds(&self) -> bool {
        self.lost == 0
            && self.told_twice() == 0
            && self.unprovoked == 0
            && self.rounds.iter().all(|round| round.duplicates <= round.bound)
    }
}

impl Report {
    /// A request that was never answered may have been accepted.
    fn told_twice(&self) -> u64 {
        self.merged.as_ref().map_or(0, |merged| merged.told_twice(self.accepted + self.unresolved))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "round   ran after  drained in   ready in  delivers in  duplicates  bound")?;
        for (index, round) in self.rounds.iter().enumerate() {
            writeln!(
                f,
                "{:5}  {:>10}  {:>10} {:>10}   {:>10}  {:>10} {:>6}{}",
                index + 1,
                millis(round.ran_ms),
                round.drain_ms.map_or("-".into(), millis),
                millis(round.ready_ms),
                millis(round.first_delivery_ms),
                round.duplicates,
                round.bound,
                if round.duplicates > round.bound { "  exceeded" } else { "" },
            )?;
        }
        let worst = |time: fn(&Round) -> f64| millis(self.rounds.iter().map(time).fold(0.0, f64::max));
        writeln!(f, "rounds       {} of SIG{}", self.rounds.len(), self.signal.to_uppercase())?;
        writeln!(f, "accepted     {} ({} posted more than once)", self.accepted, self.ambiguous)?;
        if self.unresolved > 0 {
            writeln!(f, "unresolved   {}", self.unresolved)?;
        }
        writeln!(f, "lost         {}", self.lost)?;
        for id in &self.lost_ids {
            writeln!(f, "             {id}")?;
        }
        if let Some(merged) = &self.merged {
            writeln!(f, "merged       {merged}")?;
            writeln!(f, "told twice   {}", self.told_twice())?;
        }
        let per_round = self.duplicates as f64 / self.rounds.len().max(1) as f64;
        write!(f, "duplicates   {} ({per_round:.1} a round)", self.duplicates)?;
        if self.deduplicated > 0 {
            write!(f, ", and {} recognized by their ids", self.deduplicated)?;
        }
        if self.unprovoked > 0 {
            write!(f, ", {} of them before the first signal", self.unprovoked)?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "at worst     ready in {}, first delivery in {}",
            worst(|round| round.ready_ms),
            worst(|round| round.first_delivery_ms)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::Stats;

    fn report(lost: u64, duplicates: u64) -> Report {
        let round = Round { ran_ms: 1.0, drain_ms: None, bound: 10, duplicates, ready_ms: 1.0, first_delivery_ms: 2.0 };
        Report {
            signal: "kill",
            accepted: 5,
            ambiguous: 0,
            unresolved: 0,
            lost,
            lost_ids: Vec::new(),
            duplicates,
            unprovoked: 0,
            deduplicated: 0,
            merged: None,
            rounds: vec![round],
        }
    }

    #[test]
    fn merged_messages_tell_of_each_once() {
        let told = |items, unresolved| {
            let stats = Stats { items: Some(items), ..Stats::default() };
            Report { merged: Some(Merged::of(&stats)), unresolved, ..report(0, 1) }
        };
        assert!(told(5, 0).holds());
        assert!(!told(6, 0).holds());
        assert!(told(6, 1).holds());
        assert!(told(6, 0).to_string().contains("told twice   1"));
    }

    #[test]
    fn duplicates_hold_up_to_the_bound_and_a_loss_never() {
        assert!(report(0, 10).holds());
        assert!(!report(0, 11).holds());
        assert!(!report(1, 0).holds());
        assert!(report(0, 11).to_string().contains("exceeded"));
    }
}
