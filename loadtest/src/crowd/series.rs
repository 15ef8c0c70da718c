//! What a campaign did over time, with the time in which the engine was dead taken out; and how long small ones took meanwhile.

use std::ops::Range;

use serde::Serialize;

/// Seconds since the event was posted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Sample {
    pub(super) at_s: f64,
    pub(super) handed_on: u64,
    pub(super) processed: u64,
    /// Of all processes of the engine.
    pub(super) resident_bytes: u64,
}

/// How fast it went, a second of the time in which the engine was there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Pace {
    /// Until the last was handed on.
    pub(super) seconds: f64,
    pub(super) dead_seconds: f64,
    pub(super) per_second: f64,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Memory {
    pub(super) min: u64,
    pub(super) max: u64,
    pub(super) last: u64,
}

/// Latencies in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Latency {
    pub(super) count: usize,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

/// None when not all were handed on.
pub(super) fn pace(samples: &[Sample], outages: &[Range<f64>], total: u64) -> Option<Pace> {
    let seconds = samples.iter().find(|sample| sample.handed_on >= total)?.at_s;
    let dead_seconds: f64 = outages.iter().map(|dead| (dead.end.min(seconds) - dead.start).max(0.0)).sum();
    let alive = (seconds - dead_seconds).max(f64::EPSILON);
    Some(Pace { seconds, dead_seconds, per_second: total as f64 / alive })
}

/// Over the seconds in which the engine was there.
pub(super) fn memory(samples: &[Sample], outages: &[Range<f64>]) -> Memory {
    let is_alive =
        |sample: &&Sample| sample.resident_bytes > 0 && !outages.iter().any(|dead| dead.contains(&sample.at_s));
    let mut bytes = samples.iter().filter(is_alive).map(|sample| sample.resident_bytes);
    Memory {
        min: bytes.clone().min().unwrap_or_default(),
        max: bytes.clone().max().unwrap_or_default(),
        last: bytes.next_back().unwrap_or_default(),
    }
}

pub(super) fn latency(mut millis: Vec<f64>) -> Latency {
    millis.sort_by(f64::total_cmp);
    let Some(last) = millis.len().checked_sub(1) else { return Latency::default() };
    // The smallest that at least so many are not above.
    let quantile = |share: f64| millis[((share * millis.len() as f64).ceil() as usize).saturating_sub(1).min(last)];
    Latency { count: millis.len(), p50_ms: quantile(0.5), p99_ms: quantile(0.99), max_ms: millis[last] }
}

/// Whether a time has something in common with one in which the engine was dead.
pub(super) fn is_touched(time: &Range<f64>, outages: &[Range<f64>]) -> bool {
    outages.iter().any(|dead| time.start < dead.end && dead.start < time.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at_s: f64, handed_on: u64, resident_bytes: u64) -> Sample {
        Sample { at_s, handed_on, processed: handed_on, resident_bytes }
    }

    #[test]
    fn the_time_in_which_the_engine_was_dead_does_not_count() {
        let samples = [sample(1.0, 10, 5), sample(4.0, 100, 9), sample(6.0, 100, 7)];
        let pace = pace(&samples, &[1.5..2.5, 3.5..5.0], 100).expect("all were handed on");
        assert_eq!((pace.seconds, pace.dead_seconds), (4.0, 1.5));
        assert!((pace.per_second - 40.0).abs() < 1e-9);
        assert_eq!(super::pace(&samples, &[], 101), None);
    }

    #[test]
    fn memory_is_that_of_an_engine_that_is_there() {
        let samples =
            [sample(0.5, 0, 50), sample(1.0, 0, 1), sample(2.0, 0, 0), sample(3.0, 0, 90), sample(4.0, 0, 70)];
        assert_eq!(memory(&samples, &[0.9..1.1]), Memory { min: 50, max: 90, last: 70 });
        assert_eq!(memory(&[], &[]), Memory::default());
    }

    #[test]
    fn a_latency_has_a_middle_and_a_worst() {
        let found = latency((1..=100).map(f64::from).collect());
        assert_eq!(found, Latency { count: 100, p50_ms: 50.0, p99_ms: 99.0, max_ms: 100.0 });
        assert_eq!(latency(Vec::new()).count, 0);
    }

    #[test]
    fn what_begins_before_an_outage_and_ends_in_it_is_touched() {
        for (time, expected) in
            [(0.0..1.0, false), (0.0..1.2, true), (1.2..1.3, true), (1.4..3.0, true), (2.0..3.0, false)]
        {
            assert_eq!(is_touched(&time, &[1.1..1.5]), expected, "{time:?}");
        }
    }
}
