//! Request rates, of a key and of each user's own programs: token buckets with one second's worth of burst.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::domain::Timestamp;

#[derive(Debug)]
pub(super) struct RateLimit {
    per_second: f64,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    tokens: f64,
    at: Timestamp,
}

impl State {
    fn full(per_second: f64, now: Timestamp) -> Self {
        Self { tokens: per_second.max(1.0), at: now }
    }

    fn take(&mut self, per_second: f64, now: Timestamp) -> Result<(), Duration> {
        let gained = now.since(self.at).as_secs_f64() * per_second;
        self.tokens = (self.tokens + gained).min(per_second.max(1.0));
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::try_from_secs_f64((1.0 - self.tokens) / per_second).unwrap_or(Duration::MAX))
    }
}

impl RateLimit {
    pub(super) fn new(per_second: f64, now: Timestamp) -> Self {
        Self { per_second, state: Mutex::new(State::full(per_second, now)) }
    }

    /// Takes a token; or how long until there is one.
    pub(super) fn take(&self, now: Timestamp) -> Result<(), Duration> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).take(self.per_second, now)
    }
}

/// Users that are remembered, twice: some hundred kilobytes.
const REMEMBERED_MAX: usize = 8_192;

/// One rate, which each of many has for itself. Whom so many others came after is forgotten, and begins anew.
#[derive(Debug)]
pub(super) struct RateOfEach {
    per_second: f64,
    /// Those who came lately, and those before them.
    known: Mutex<[FxHashMap<u128, State>; 2]>,
}

impl RateOfEach {
    pub(super) fn new(per_second: f64) -> Self {
        Self { per_second, known: Mutex::default() }
    }

    /// Takes a token of the one who is known by this hash; or how long until there is one.
    pub(super) fn take(&self, who: u128, now: Timestamp) -> Result<(), Duration> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &mut *known;
        if young.len() >= REMEMBERED_MAX && !young.contains_key(&who) {
            *old = std::mem::take(young);
        }
        let fresh = || old.get(&who).copied().unwrap_or_else(|| State::full(self.per_second, now));
        young.entry(who).or_insert_with(fresh).take(self.per_second, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_spend_a_seconds_worth_at_once_and_then_waits_for_its_rate() {
        let limit = RateLimit::new(2.0, Timestamp(1000));
        assert!(limit.take(Timestamp(1000)).is_ok());
        assert!(limit.take(Timestamp(1000)).is_ok());
        assert_eq!(limit.take(Timestamp(1000)), Err(Duration::from_millis(500)));
        assert!(limit.take(Timestamp(1500)).is_ok());
        assert!(limit.take(Timestamp(1500)).is_err());
    }

    #[test]
    fn each_has_a_rate_for_itself_and_memory_is_bounded() {
        let limit = RateOfEach::new(1.0);
        assert!(limit.take(1, Timestamp(0)).is_ok() && limit.take(2, Timestamp(0)).is_ok());
        assert_eq!(limit.take(1, Timestamp(500)), Err(Duration::from_millis(500)));
        for other in 10..10 + REMEMBERED_MAX as u128 {
            assert!(limit.take(other, Timestamp(500)).is_ok());
        }
        assert!(limit.take(1, Timestamp(600)).is_err(), "it is remembered still");
        for other in 10..10 + 4 * REMEMBERED_MAX as u128 {
            _ = limit.take(other, Timestamp(600));
        }
        let known = limit.known.lock().expect("nothing panicked");
        assert!(known.iter().all(|generation| generation.len() <= REMEMBERED_MAX));
    }

    #[test]
    fn a_rate_below_one_still_lets_single_requests_through() {
        let limit = RateLimit::new(0.1, Timestamp(0));
        assert!(limit.take(Timestamp(0)).is_ok());
        assert_eq!(limit.take(Timestamp(0)), Err(Duration::from_secs(10)));
    }
}
