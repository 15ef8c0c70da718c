//! What a series of samples says: pure arithmetic.

use std::ops::Sub;
use std::time::Duration;

use serde::Serialize;

use crate::mock::ChannelStats;
use crate::mock_process::Lateness;

/// Shares are those of a second: long enough for more calls than a few probes.
const WINDOW_US: u64 = 1_000_000;

/// A provider that gets less than this of all calls gets no more than probes.
const PROBES_SHARE: f64 = 0.05;

/// A provider of two of the same weight that takes so much has its part again.
const PART_SHARE: f64 = 0.4;

/// What one mock counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// Messages that it was given, whatever became of them.
    pub(super) calls: u64,
    pub(super) taken: u64,
    /// Answered 503, or not at all.
    pub(super) failed: u64,
    /// Answered 429.
    pub(super) throttled: u64,
}

/// What both mocks had counted at a time, in microseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) at_us: u64,
    pub(super) a: Counts,
    pub(super) b: Counts,
}

/// What both mocks counted in one second of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Second {
    /// How many seconds had gone by before it.
    pub(super) number: u64,
    pub(super) a: Counts,
    pub(super) b: Counts,
}

/// How long messages took from their stamp until a mock took them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Latency {
    pub(super) count: usize,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

impl Counts {
    pub(super) fn of(stats: &ChannelStats) -> Self {
        Self {
            calls: stats.requests,
            taken: stats.accepted,
            failed: stats.errors_injected + stats.hung,
            throttled: stats.throttled,
        }
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            calls: self.calls - earlier.calls,
            taken: self.taken - earlier.taken,
            failed: self.failed - earlier.failed,
            throttled: self.throttled - earlier.throttled,
        }
    }
}

/// What both mocks counted over some samples, and for how many seconds.
pub(super) fn sum(samples: &[Sample]) -> (Counts, Counts, f64) {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Default::default() };
    (last.a - first.a, last.b - first.b, (last.at_us - first.at_us) as f64 / 1e6)
}

/// From the first sample until A got no more calls than probes: the beginning of the first second from which on it got less than 5 % of all
/// calls in each second, to the end of the samples. `None`: never.
pub(super) fn time_to_switch(trouble: &[Sample]) -> Option<Duration> {
    let mut switched = trouble.first()?;
    for (begin, next) in trouble.iter().zip(trouble.iter().skip(1)) {
        let Some((a, b)) = second_from(trouble, begin) else { break };
        if share(a.calls, b.calls) >= PROBES_SHARE {
            switched = next;
        }
    }
    // Without a whole second after it, nobody knows.
    second_from(trouble, switched).map(|_| between(trouble, switched))
}

/// From the first sample until A had its part again: the beginning of the first second in which it took 40 % of what both took. `None`:
/// never.
pub(super) fn time_to_return(after: &[Sample]) -> Option<Duration> {
    let is_back =
        |begin: &&Sample| second_from(after, begin).is_some_and(|(a, b)| share(a.taken, b.taken) >= PART_SHARE);
    after.iter().find(is_back).map(|begin| between(after, begin))
}

/// The samples of the last two thirds of the time.
pub(super) fn settled(phase: &[Sample]) -> &[Sample] {
    let (Some(first), Some(last)) = (phase.first(), phase.last()) else { return phase };
    let from_us = first.at_us + (last.at_us - first.at_us) / 3;
    &phase[phase.partition_point(|sample| sample.at_us < from_us)..]
}

/// Second by second, from the first sample on; the last one may be cut short.
pub(super) fn by_second(samples: &[Sample]) -> Vec<Second> {
    let mut seconds = Vec::new();
    let Some(mut begin) = samples.first() else { return seconds };
    let started_us = begin.at_us;
    while let Some(last) = samples.last().filter(|last| last.at_us > begin.at_us) {
        let number = seconds.len() as u64;
        let until_us = started_us + (number + 1) * WINDOW_US;
        let end = samples.get(samples.partition_point(|sample| sample.at_us < until_us)).unwrap_or(last);
        seconds.push(Second { number, a: end.a - begin.a, b: end.b - begin.b });
        begin = end;
    }
    seconds
}

/// The latencies of what was to be sent before, in and after a time.
pub(super) fn by_phase(all: &[Lateness], trouble_us: (u64, u64)) -> [Option<Latency>; 3] {
    let (begin, end) = trouble_us;
    [0..begin, begin..end, end..u64::MAX].map(|phase| {
        let late = all.iter().filter(|late| phase.contains(&late.stamp_us)).map(|late| late.late_us);
        latency(late.collect())
    })
}

fn latency(mut late_us: Vec<u64>) -> Option<Latency> {
    late_us.sort_unstable();
    let last = late_us.len().checked_sub(1)?;
    // The smallest that at least so many are not above.
    let quantile = |share: f64| {
        let rank = (share * late_us.len() as f64).ceil() as usize;
        late_us[rank.saturating_sub(1).min(last)] as f64 / 1000.0
    };
    Some(Latency { count: late_us.len(), p50_ms: quantile(0.5), p99_ms: quantile(0.99), max_ms: quantile(1.0) })
}

/// What was counted in the second from a sample on, if there is a whole one.
fn second_from(samples: &[Sample], begin: &Sample) -> Option<(Counts, Counts)> {
    let at = samples.partition_point(|sample| sample.at_us < begin.at_us + WINDOW_US);
    let end = samples.get(at)?;
    Some((end.a - begin.a, end.b - begin.b))
}

/// Nothing is no share of nothing.
fn share(a: u64, b: u64) -> f64 {
    a as f64 / (a + b).max(1) as f64
}

fn between(samples: &[Sample], sample: &Sample) -> Duration {
    let first_us = samples.first().map_or(sample.at_us, |first| first.at_us);
    Duration::from_micros(sample.at_us - first_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples of every 100 ms, from calls in each: A's, then B's. Every call is taken.
    fn samples(calls: impl IntoIterator<Item = (u64, u64)>) -> Vec<Sample> {
        let counts = |calls| Counts { calls, taken: calls, ..Counts::default() };
        let mut samples = vec![Sample { at_us: 0, a: counts(0), b: counts(0) }];
        for (a, b) in calls {
            let last = samples[samples.len() - 1];
            let (a, b) = (counts(last.a.calls + a), counts(last.b.calls + b));
            samples.push(Sample { at_us: last.at_us + 100_000, a, b });
        }
        samples
    }

    fn repeated(times: usize, calls: (u64, u64)) -> impl Iterator<Item = (u64, u64)> {
        std::iter::repeat_n(calls, times)
    }

    fn milliseconds(time: Option<Duration>) -> Option<u128> {
        time.map(|time| time.as_millis())
    }

    #[test]
    fn a_provider_is_left_after_its_last_call_that_is_more_than_a_probe() {
        let half = (25, 25);
        let cases = [
            (samples(repeated(30, (0, 50))), Some(0)),
            (samples(repeated(7, half).chain(repeated(30, (0, 50)))), Some(700)),
            (samples(repeated(30, half)), None),
            // A probe each half second is no return.
            (samples(repeated(5, half).chain((0..40).map(|at| (u64::from(at % 5 == 0), 50)))), Some(500)),
            // A burst later on is.
            (
                samples(repeated(5, half).chain(repeated(20, (0, 50))).chain([half]).chain(repeated(20, (0, 50)))),
                Some(2600),
            ),
            // Less than a second is too short to know.
            (samples(repeated(30, half).chain(repeated(8, (0, 50)))), None),
            (Vec::new(), None),
        ];
        for (number, (samples, expected)) in cases.iter().enumerate() {
            assert_eq!(milliseconds(time_to_switch(samples)), *expected, "case {number}");
        }
    }

    #[test]
    fn a_provider_is_back_when_it_takes_its_part_of_a_second() {
        let half = (25, 25);
        let back = |calls: Vec<(u64, u64)>| milliseconds(time_to_return(&samples(calls)));
        assert_eq!(back(repeated(20, half).collect()), Some(0));
        // Of the second from 1.8 s on, 0.8 s bring 40 %.
        assert_eq!(back(repeated(20, (0, 50)).chain(repeated(20, half)).collect()), Some(1800));
        assert_eq!(back(repeated(40, (19, 31)).collect()), None);
        assert_eq!(back(repeated(20, (0, 50)).chain(repeated(7, half)).collect()), None);
    }

    #[test]
    fn a_phase_has_settled_after_a_third() {
        let all = samples(repeated(30, (10, 0)).chain(repeated(60, (20, 5))));
        let (a, b, seconds) = sum(settled(&all));
        assert_eq!((a.taken, b.taken, seconds), (1200, 300, 6.0));
        assert_eq!(sum(&[]).0, Counts::default());
    }

    #[test]
    fn each_second_has_its_counts() {
        let all = samples(repeated(10, (10, 0)).chain(repeated(15, (20, 5))));
        let seconds: Vec<_> =
            by_second(&all).iter().map(|second| (second.number, second.a.calls, second.b.calls)).collect();
        assert_eq!(seconds, [(0, 100, 0), (1, 200, 50), (2, 100, 25)]);
        assert_eq!(by_second(&[]), []);
    }

    #[test]
    fn a_latency_belongs_to_the_phase_in_which_it_was_to_be_sent() {
        let late = |stamp_us, late_us| Lateness { stamp_us, late_us };
        let all = [late(5, 1000), late(12, 9000), late(19, 3000), late(11, 2000)];
        let [before, trouble, after] = by_phase(&all, (10, 20));
        assert_eq!(before, Some(Latency { count: 1, p50_ms: 1.0, p99_ms: 1.0, max_ms: 1.0 }));
        assert_eq!(trouble, Some(Latency { count: 3, p50_ms: 3.0, p99_ms: 9.0, max_ms: 9.0 }));
        assert_eq!(after, None);
    }
}
