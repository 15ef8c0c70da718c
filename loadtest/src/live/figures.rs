//! What a tally says in the end: counts, latencies, and when nothing was missing any more. Pure.

use std::ops::Range;

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::tally::{Fate, Got, Sent, Tally};

/// The first few that are missing are named.
const NAMED_MAX: usize = 5;

/// The longest latency that is told apart: an hour.
const LATENCY_MAX_US: u64 = 3_600_000_000;

/// Of messages, and of what came to connections: a message is to come once to each of its user's.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) offered: u64,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    pub(super) unanswered: u64,
    /// To so many connections accepted messages were to come.
    pub(super) expected: u64,
    pub(super) once: u64,
    /// Came again at the same connect, which must not be.
    pub(super) twice: u64,
    /// Came again after a reconnect, and once at each connect.
    pub(super) resent: u64,
    /// Came only to another program of the user, while this one was away: it is in the inbox.
    pub(super) elsewhere: u64,
    /// The same of programs that were connected: the other one has acknowledged it before this one was told.
    pub(super) beside: u64,
    /// Came to no program of the user.
    pub(super) never: u64,
    /// The ids of the first few of the last two sorts.
    pub(super) named: Vec<String>,
    pub(super) foreign: u64,
    pub(super) doubled: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Latency {
    pub(super) count: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    pub(super) max_ms: f64,
}

/// Until a message came to a connection: since it should have been sent, and since it was accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Came {
    pub(super) intended: Latency,
    pub(super) accepted: Latency,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Latencies {
    /// From when a request should have been sent until it was answered.
    pub(super) answered: Latency,
    /// Nothing of the time was in that of a kill.
    pub(super) usual: Came,
    /// Some of it was.
    pub(super) killed: Option<Came>,
    /// With several nodes, of the usual ones: those that came over the node that had accepted them, and those that came over another.
    pub(super) same_node: Option<Came>,
    pub(super) other_node: Option<Came>,
    /// The share of the usual ones that came over another node.
    pub(super) other_share: f64,
}

struct Histograms {
    intended: Histogram<u64>,
    accepted: Histogram<u64>,
}

impl Counts {
    pub(super) fn of(tally: &Tally) -> Self {
        let mut counts = Self { foreign: tally.foreign, doubled: tally.doubled, ..Self::default() };
        for (sent, got) in tally.messages() {
            counts.offered += 1;
            match sent.fate {
                Fate::Unanswered => counts.unanswered += 1,
                Fate::Refused => counts.refused += 1,
                Fate::Accepted { .. } => counts.add(tally, sent, got),
            }
        }
        counts
    }

    fn add(&mut self, tally: &Tally, sent: &Sent, got: &[Got]) {
        self.accepted += 1;
        self.expected += got.len() as u64;
        for (slot, one) in got.iter().enumerate() {
            match one {
                Got { first_us: None, .. } if tally.is_elsewhere(sent, slot, got) => self.elsewhere += 1,
                Got { first_us: None, .. } => {
                    let is_beside = got.iter().any(|other| other.first_us.is_some());
                    *(if is_beside { &mut self.beside } else { &mut self.never }) += 1;
                    if let (Some(id), true) = (sent.id, self.named.len() < NAMED_MAX) {
                        self.named.push(format!("{id}, due at {:.3} s", sent.intended_us as f64 / 1e6));
                    }
                }
                Got { twice: 1.., .. } => self.twice += 1,
                Got { resent: 1.., .. } => self.resent += 1,
                Got { .. } => self.once += 1,
            }
        }
    }
}

impl Latencies {
    /// `dead`: from a kill until everybody was connected again and nothing was missing. `door`: the node that accepted; `None` where there is but one.
    pub(super) fn of(tally: &Tally, dead: Option<&Range<u64>>, door: Option<u8>) -> Result<Self> {
        let (mut usual, mut killed) = (Histograms::new()?, Histograms::new()?);
        let (mut same, mut other, mut answered) = (Histograms::new()?, Histograms::new()?, histogram()?);
        for (sent, got) in tally.messages() {
            let Fate::Accepted { at_us } = sent.fate else { continue };
            answered.saturating_record(at_us.saturating_sub(sent.intended_us));
            for one in got {
                let Some(first_us) = one.first_us else { continue };
                if dead.is_some_and(|dead| sent.intended_us < dead.end && dead.start < first_us) {
                    killed.add(sent.intended_us, at_us, first_us);
                    continue;
                }
                usual.add(sent.intended_us, at_us, first_us);
                let by_door = if door == Some(one.node) { &mut same } else { &mut other };
                by_door.add(sent.intended_us, at_us, first_us);
            }
        }
        let share = other.intended.len() as f64 / usual.intended.len().max(1) as f64;
        Ok(Self {
            answered: Latency::of(&answered),
            usual: usual.came(),
            killed: dead.map(|_| killed.came()),
            same_node: door.map(|_| same.came()),
            other_node: door.map(|_| other.came()),
            other_share: if door.is_some() { share } else { 0.0 },
        })
    }
}

impl Histograms {
    fn new() -> Result<Self> {
        Ok(Self { intended: histogram()?, accepted: histogram()? })
    }

    fn add(&mut self, intended_us: u64, accepted_us: u64, first_us: u64) {
        self.intended.saturating_record(first_us.saturating_sub(intended_us));
        // It may come before the answer to the request.
        self.accepted.saturating_record(first_us.saturating_sub(accepted_us));
    }

    fn came(&self) -> Came {
        Came { intended: Latency::of(&self.intended), accepted: Latency::of(&self.accepted) }
    }
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(LATENCY_MAX_US, 3)?)
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        let quantile = |share| histogram.value_at_quantile(share) as f64 / 1000.0;
        Self {
            count: histogram.len(),
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            max_ms: histogram.max() as f64 / 1000.0,
        }
    }
}

/// When the last of those messages came that had been accepted until then; `None` when one never came.
pub(super) fn whole_at(tally: &Tally, until_us: u64) -> Option<u64> {
    let until = |sent: &Sent| matches!(sent.fate, Fate::Accepted { at_us } if at_us <= until_us);
    let last = |(sent, got): (&Sent, &[Got])| {
        let owed = (0..got.len()).filter(|slot| !tally.is_elsewhere(sent, *slot, got));
        owed.map(|slot| got[slot].first_us).try_fold(0, |last: u64, first| Some(last.max(first?)))
    };
    let mut messages = tally.messages().filter(|(sent, _)| until(sent));
    messages.try_fold(0, |all: u64, message| Some(all.max(last(message)?)))
}

#[cfg(test)]
mod tests {
    use super::super::tally::tests::{PEOPLE, at, id};
    use super::*;

    /// Four messages, a second apart, each accepted after 10 ms.
    fn tally() -> Tally {
        let mut tally = Tally::new(&PEOPLE, 4, 1, |number| number * 1_000_000);
        for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
            tally.accepted(number as u64, id(name), number as u64 * 1_000_000 + 10_000);
        }
        // The first soon to both; the second to one in the time of a kill; the third twice at one connect, and again after another.
        tally.came(0, id("a"), at(0, 0, 5_000));
        tally.came(0, id("a"), at(1, 0, 20_000));
        tally.came(1, id("b"), at(1, 1, 1_700_000));
        for connect in [1, 1] {
            tally.came(2, id("c"), at(0, connect, 2_050_000));
        }
        for connect in [1, 2] {
            tally.came(2, id("c"), at(1, connect, 2_050_000));
        }
        tally
    }

    #[test]
    fn each_connection_counts_once() {
        let counts = Counts::of(&tally());
        assert_eq!((counts.offered, counts.accepted, counts.unanswered), (4, 3, 1));
        assert_eq!((counts.expected, counts.once, counts.twice, counts.resent, counts.beside), (6, 3, 1, 1, 1));
        assert_eq!((counts.named, counts.never), (vec!["b, due at 1.000 s".to_owned()], 0));
    }

    #[test]
    fn what_a_kill_has_touched_stands_apart() {
        let latencies = Latencies::of(&tally(), Some(&(1_500_000..1_900_000)), Some(0)).expect("it fits");
        assert_eq!((latencies.usual.intended.count, latencies.answered.count), (4, 3));
        let killed = latencies.killed.expect("there was a kill");
        assert_eq!(killed.intended.count, 1);
        assert!((killed.intended.max_ms - 700.0).abs() < 1.0, "{killed:?}");
        assert!((killed.accepted.max_ms - 690.0).abs() < 1.0, "{killed:?}");
        assert!(latencies.usual.accepted.p50_ms < 11.0, "one came before the answer: {latencies:?}");
        assert!((latencies.other_share - 0.5).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_missing_once_the_last_accepted_until_then_has_come() {
        assert_eq!(whole_at(&tally(), 500_000), Some(20_000));
        assert_eq!(whole_at(&tally(), 1_500_000), None);
    }
}
