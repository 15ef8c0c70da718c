//! How a provider behaves, and what it does to the next delivery.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::random::Dice;

/// The longest that a hanging delivery is held. Clients give up long before.
pub(super) const HANG_MAX: Duration = Duration::from_secs(600);

/// Rates are shares of deliveries, from 0 to 1; together at most 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Behaviour {
    /// The time a delivery takes.
    pub(crate) latency_us: u64,
    /// The latency varies by up to this, up and down.
    pub(crate) latency_jitter_us: u64,
    /// Answered 503 or 451: try later.
    pub(crate) error_rate: f64,
    /// Answered 429 with `Retry-After: 1`, or 454.
    pub(crate) throttle_rate: f64,
    /// Answered 400 or 550: never.
    pub(crate) reject_rate: f64,
    /// Never answered, and not taken.
    pub(crate) hang_rate: f64,
    /// Taken, but the connection is closed without an answer.
    pub(crate) reset_rate: f64,
}

/// A change of some keys; the others stay.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    latency_us: Option<u64>,
    latency_ms: Option<f64>,
    latency_jitter_us: Option<u64>,
    latency_jitter_ms: Option<f64>,
    error_rate: Option<f64>,
    throttle_rate: Option<f64>,
    reject_rate: Option<f64>,
    hang_rate: Option<f64>,
    reset_rate: Option<f64>,
}

/// What happens to one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept,
    Fail,
    Throttle,
    Reject,
    Hang,
    Reset,
}

/// The behaviour in force, with the dice that decide.
pub(super) struct Temper {
    /// Written by `POST /behaviour`, read by every delivery.
    behaviour: RwLock<Behaviour>,
    dice: Dice,
}

impl Behaviour {
    /// Refuses rates that cannot be.
    pub(super) fn checked(self) -> Result<Self> {
        let rates = [self.error_rate, self.throttle_rate, self.reject_rate, self.hang_rate, self.reset_rate];
        ensure!(rates.iter().all(|rate| (0.0..=1.0).contains(rate)), "a rate is a share from 0 to 1");
        ensure!(rates.iter().sum::<f64>() <= 1.0 + 1e-9, "the rates together are more than 1");
        Ok(self)
    }

    fn verdict(&self, share: f64) -> Verdict {
        let mut edge = 0.0;
        let verdicts = [
            (self.error_rate, Verdict::Fail),
            (self.throttle_rate, Verdict::Throttle),
            (self.reject_rate, Verdict::Reject),
            (self.hang_rate, Verdict::Hang),
            (self.reset_rate, Verdict::Reset),
        ];
        for (rate, verdict) in verdicts {
            edge += rate;
            if share < edge {
                return verdict;
            }
        }
        Verdict::Accept
    }
}

impl Temper {
    pub(super) fn new(behaviour: Behaviour, seed: u64) -> Self {
        Self { behaviour: RwLock::new(behaviour), dice: Dice::new(seed) }
    }

    /// What happens to the next delivery, and how long it takes.
    pub(super) fn decide(&self) -> (Verdict, Duration) {
        let behaviour = self.current();
        if behaviour == Behaviour::default() {
            return (Verdict::Accept, Duration::ZERO);
        }
        let jitter = (self.dice.share() * 2.0 - 1.0) * behaviour.latency_jitter_us as f64;
        let latency_us = (behaviour.latency_us as f64 + jitter).max(0.0);
        (behaviour.verdict(self.dice.share()), Duration::from_micros(latency_us as u64))
    }

    pub(super) fn current(&self) -> Behaviour {
        *self.behaviour.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies a JSON object of the keys to change; answers the behaviour now in force.
    pub(super) fn change(&self, json: &[u8]) -> Result<Behaviour> {
        let change: Change = serde_json::from_slice(json).context("cannot read the behaviour")?;
        let mut behaviour = self.behaviour.write().unwrap_or_else(PoisonError::into_inner);
        let micros = |us: Option<u64>, ms: Option<f64>, now| us.or(ms.map(|ms| (ms * 1000.0) as u64)).unwrap_or(now);
        *behaviour = Behaviour {
            latency_us: micros(change.latency_us, change.latency_ms, behaviour.latency_us),
            latency_jitter_us: micros(change.latency_jitter_us, change.latency_jitter_ms, behaviour.latency_jitter_us),
            error_rate: change.error_rate.unwrap_or(behaviour.error_rate),
            throttle_rate: change.throttle_rate.unwrap_or(behaviour.throttle_rate),
            reject_rate: change.reject_rate.unwrap_or(behaviour.reject_rate),
            hang_rate: change.hang_rate.unwrap_or(behaviour.hang_rate),
            reset_rate: change.reset_rate.unwrap_or(behaviour.reset_rate),
        }
        .checked()?;
        Ok(*behaviour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rate_gets_its_share_of_deliveries() {
        let behaviour = Behaviour { error_rate: 0.1, throttle_rate: 0.2, hang_rate: 0.3, ..Behaviour::default() };
        let temper = Temper::new(behaviour, 3);
        let mut counts = [0u32; 3];
        for _ in 0..10_000 {
            match temper.decide().0 {
                Verdict::Fail => counts[0] += 1,
                Verdict::Throttle => counts[1] += 1,
                Verdict::Hang => counts[2] += 1,
                _ => {}
            }
        }
        for (count, expected) in counts.into_iter().zip([1000, 2000, 3000]) {
            assert!(count.abs_diff(expected) < 200, "{count} instead of about {expected}");
        }
    }

    #[test]
    fn a_change_leaves_the_other_keys_alone() {
        let temper = Temper::new(Behaviour { error_rate: 0.1, ..Behaviour::default() }, 0);
        let changed = temper.change(br#"{"latency_ms": 2.5, "hang_rate": 0.5}"#).expect("a legal change");
        assert_eq!((changed.latency_us, changed.hang_rate, changed.error_rate), (2500, 0.5, 0.1));
    }

    #[test]
    fn an_impossible_change_is_refused_and_changes_nothing() {
        let temper = Temper::new(Behaviour { error_rate: 0.6, ..Behaviour::default() }, 0);
        for json in [r#"{"hang_rate": 0.5}"#, r#"{"hang_rate": -1}"#, r#"{"latency": 1}"#, "nonsense"] {
            assert!(temper.change(json.as_bytes()).is_err(), "{json}");
        }
        assert_eq!(temper.current().error_rate, 0.6);
    }
}
