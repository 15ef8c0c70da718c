//! How a provider behaves, and what it does to the next delivery.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::limit::Bucket;
use crate::random::Dice;

/// The longest that a hanging delivery is held. Clients give up long before.
pub(super) const HANG_MAX: Duration = Duration::from_secs(600);

/// Rates are shares of deliveries, from 0 to 1; together at most 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Behaviour {
    /// The time a delivery takes.
    pub(crate) latency_us: u64,
    /// The latency varies by up to this, up and down.
    pub(crate) latency_jitter_us: u64,
    /// Spreads the latency log-normally about its median: the standard deviation of its logarithm. 0.5 is lively, 1 is wild.
    pub(crate) latency_sigma: f64,
    /// Answered 503 or 451: try later.
    pub(crate) error_rate: f64,
    /// Answered 429 with `Retry-After`, or 454.
    pub(crate) throttle_rate: f64,
    /// Answered 400 or 550: never.
    pub(crate) reject_rate: f64,
    /// Never answered, and not taken.
    pub(crate) hang_rate: f64,
    /// Taken, but the connection is closed without an answer.
    pub(crate) reset_rate: f64,
    /// Taken, and answered 200 with what no API says.
    pub(crate) garbage_rate: f64,
    /// Taken, and answered 200 with 100 MB.
    pub(crate) huge_rate: f64,
    /// Answered 302 to another place, and not taken.
    pub(crate) redirect_rate: f64,
    /// Answered 401 or what that API says of wrong credentials.
    pub(crate) unauthorized_rate: f64,
    /// All are, from so many seconds after this was set.
    pub(crate) unauthorized_after_s: Option<f64>,
    /// The share of recipients that are gone. It is the recipient that decides: whoever is gone stays so.
    pub(crate) dead_rate: f64,
    /// Recipients with this in their address are gone too.
    pub(crate) dead_pattern: Option<Box<str>>,
    /// More in a second are throttled. Rates of the dice do not count here.
    pub(crate) limit_per_second: Option<f64>,
    /// How many may come at once; a tenth of a second's worth when it is not set.
    pub(crate) limit_burst: Option<f64>,
    /// What `Retry-After` says; 1 when it is not set, and 0 leaves it out.
    pub(crate) retry_after_s: Option<u32>,
    /// Everything fails, from so many seconds after this was set...
    pub(crate) outage_after_s: Option<f64>,
    /// ...and for so many; for ever when it is not set.
    pub(crate) outage_s: Option<f64>,
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
    Garbage,
    Huge,
    Redirect,
    Unauthorized,
    Dead,
}

impl Verdict {
    pub(super) const ALL: [Self; 11] = [
        Self::Accept,
        Self::Fail,
        Self::Throttle,
        Self::Reject,
        Self::Hang,
        Self::Reset,
        Self::Garbage,
        Self::Huge,
        Self::Redirect,
        Self::Unauthorized,
        Self::Dead,
    ];

    /// As the statistics call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Accept => "accepted",
            Self::Fail => "failed",
            Self::Throttle => "throttled",
            Self::Reject => "rejected",
            Self::Hang => "hung",
            Self::Reset => "reset",
            Self::Garbage => "garbage",
            Self::Huge => "huge",
            Self::Redirect => "redirected",
            Self::Unauthorized => "unauthorized",
            Self::Dead => "dead",
        }
    }

    /// Whether the message is taken, whatever is answered.
    pub(super) fn takes(self) -> bool {
        matches!(self, Self::Accept | Self::Reset | Self::Garbage | Self::Huge)
    }
}

/// What is decided about one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) verdict: Verdict,
    pub(super) latency: Duration,
    pub(super) retry_after_s: u32,
    /// For whatever else is left to chance.
    pub(super) roll: u64,
}

/// The behaviour in force, with the dice that decide.
pub(super) struct Temper {
    /// Written by `POST /behaviour`, read by every delivery.
    behaviour: RwLock<InForce>,
    bucket: Mutex<Bucket>,
    dice: Dice,
    /// Who is gone is fixed by it.
    seed: u64,
}

struct InForce {
    behaviour: Behaviour,
    since: Instant,
}

impl Behaviour {
    /// Refuses rates that cannot be.
    pub(super) fn checked(self) -> Result<Self> {
        let rates = self.rates().map(|(rate, _)| rate);
        ensure!(rates.iter().all(|rate| (0.0..=1.0).contains(rate)), "a rate is a share from 0 to 1");
        ensure!(rates.iter().sum::<f64>() <= 1.0 + 1e-9, "the rates together are more than 1");
        ensure!((0.0..=1.0).contains(&self.dead_rate), "`dead_rate` is a share from 0 to 1");
        ensure!((0.0..=5.0).contains(&self.latency_sigma), "`latency_sigma` is a number from 0 to 5");
        let amounts = [self.limit_per_second, self.limit_burst, self.outage_after_s, self.outage_s];
        let is_amount = |amount: &f64| amount.is_finite() && *amount >= 0.0;
        ensure!(amounts.iter().flatten().all(is_amount), "limits and times are numbers, at least 0");
        Ok(self)
    }

    /// What the dice may throw.
    fn rates(&self) -> [(f64, Verdict); 9] {
        [
            (self.error_rate, Verdict::Fail),
            (self.throttle_rate, Verdict::Throttle),
            (self.reject_rate, Verdict::Reject),
            (self.hang_rate, Verdict::Hang),
            (self.reset_rate, Verdict::Reset),
            (self.garbage_rate, Verdict::Garbage),
            (self.huge_rate, Verdict::Huge),
            (self.redirect_rate, Verdict::Redirect),
            (self.unauthorized_rate, Verdict::Unauthorized),
        ]
    }

    fn thrown(&self, share: f64) -> Verdict {
        let mut edge = 0.0;
        for (rate, verdict) in self.rates() {
            edge += rate;
            if share < edge {
                return verdict;
            }
        }
        Verdict::Accept
    }

    /// Everything fails, `elapsed` after the behaviour was set.
    fn is_out(&self, elapsed: f64) -> bool {
        let Some(begin) = self.outage_after_s else { return false };
        elapsed >= begin && self.outage_s.is_none_or(|length| elapsed < begin + length)
    }

    fn is_dead(&self, recipient: &str, seed: u64) -> bool {
        if self.dead_pattern.as_deref().is_some_and(|pattern| !pattern.is_empty() && recipient.contains(pattern)) {
            return true;
        }
        if self.dead_rate == 0.0 || recipient.is_empty() {
            return false;
        }
        let mut hasher = DefaultHasher::new();
        (seed, recipient).hash(&mut hasher);
        Dice::new(hasher.finish()).share() < self.dead_rate
    }

    fn latency(&self, dice: &Dice) -> Duration {
        let jitter = (dice.share() * 2.0 - 1.0) * self.latency_jitter_us as f64;
        let mut latency_us = (self.latency_us as f64 + jitter).max(0.0);
        if self.latency_sigma > 0.0 {
            // Box and Muller's normal deviate; 1 - share is above 0.
            let radius = (-2.0 * (1.0 - dice.share()).ln()).sqrt();
            latency_us *= (self.latency_sigma * radius * (std::f64::consts::TAU * dice.share()).cos()).exp();
        }
        Duration::from_micros(latency_us as u64).min(HANG_MAX)
    }

    /// With some keys changed. `latency_ms` and `latency_jitter_ms` may stand for those in microseconds.
    fn changed(&self, change: &Map<String, Value>) -> Result<Self> {
        let Value::Object(mut keys) = serde_json::to_value(self)? else { bail!("a behaviour is an object") };
        for (key, value) in change {
            let (key, value) = match (key.strip_suffix("_ms"), value.as_f64()) {
                (Some(stem), Some(ms)) => (format!("{stem}_us"), Value::from((ms * 1000.0) as u64)),
                _ => (key.clone(), value.clone()),
            };
            ensure!(keys.contains_key(&key), "there is no `{key}`; there are {}", names(&keys));
            keys.insert(key, value);
        }
        serde_json::from_value::<Self>(Value::Object(keys)).context("cannot read the behaviour")?.checked()
    }
}

fn names(keys: &Map<String, Value>) -> String {
    keys.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

impl Temper {
    pub(super) fn new(behaviour: Behaviour, seed: u64) -> Self {
        let in_force = InForce { behaviour, since: Instant::now() };
        let bucket = Mutex::new(Bucket::new(in_force.since));
        Self { behaviour: RwLock::new(in_force), bucket, dice: Dice::new(seed), seed }
    }

    /// What happens to the next delivery, and how long it takes. One number is drawn for each, so that the n-th has the same fate
    /// however many are under way.
    pub(super) fn decide(&self, recipient: &str) -> Fate {
        self.decide_at(recipient, Instant::now())
    }

    fn decide_at(&self, recipient: &str, now: Instant) -> Fate {
        let roll = self.dice.roll();
        let in_force = self.behaviour.read().unwrap_or_else(PoisonError::into_inner);
        let behaviour = &in_force.behaviour;
        let retry_after_s = behaviour.retry_after_s.unwrap_or(1);
        if *behaviour == Behaviour::default() {
            return Fate { verdict: Verdict::Accept, latency: Duration::ZERO, retry_after_s, roll };
        }
        let dice = Dice::new(roll);
        let latency = behaviour.latency(&dice);
        let elapsed = now.saturating_duration_since(in_force.since).as_secs_f64();
        let verdict = if behaviour.is_out(elapsed) {
            Verdict::Fail
        } else if !self.is_within_limit(behaviour, now) {
            Verdict::Throttle
        } else if behaviour.unauthorized_after_s.is_some_and(|after| elapsed >= after) {
            Verdict::Unauthorized
        } else if behaviour.is_dead(recipient, self.seed) {
            Verdict::Dead
        } else {
            behaviour.thrown(dice.share())
        };
        Fate { verdict, latency, retry_after_s, roll }
    }

    fn is_within_limit(&self, behaviour: &Behaviour, now: Instant) -> bool {
        let Some(rate) = behaviour.limit_per_second else { return true };
        let burst = behaviour.limit_burst.unwrap_or(rate / 10.0).max(1.0);
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(rate, burst, now)
    }

    pub(super) fn current(&self) -> Behaviour {
        self.behaviour.read().unwrap_or_else(PoisonError::into_inner).behaviour.clone()
    }

    /// Applies the keys to change; answers the behaviour now in force. Its times count from now.
    pub(super) fn change(&self, change: &Map<String, Value>) -> Result<Behaviour> {
        let mut in_force = self.behaviour.write().unwrap_or_else(PoisonError::into_inner);
        let behaviour = in_force.behaviour.changed(change)?;
        *in_force = InForce { behaviour: behaviour.clone(), since: Instant::now() };
        Ok(behaviour)
    }
}

#[cfg(test)]
mod tests;
