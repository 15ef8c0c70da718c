//! A key's request rate: a token bucket with one second's worth of burst.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::Timestamp;

#[derive(Debug)]
pub(super) struct RateLimit {
    per_second: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    at: Timestamp,
}

impl RateLimit {
    pub(super) fn new(per_second: f64, now: Timestamp) -> Self {
        let state = State { tokens: per_second.max(1.0), at: now };
        Self { per_second, state: Mutex::new(state) }
    }

    /// Takes a token; or how long until there is one.
    pub(super) fn take(&self, now: Timestamp) -> Result<(), Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let gained = now.since(state.at).as_secs_f64() * self.per_second;
        state.tokens = (state.tokens + gained).min(self.per_second.max(1.0));
        state.at = now;
        if state.tokens >= 1.0 {
            state.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::try_from_secs_f64((1.0 - state.tokens) / self.per_second).unwrap_or(Duration::MAX))
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
    fn a_rate_below_one_still_lets_single_requests_through() {
        let limit = RateLimit::new(0.1, Timestamp(0));
        assert!(limit.take(Timestamp(0)).is_ok());
        assert_eq!(limit.take(Timestamp(0)), Err(Duration::from_secs(10)));
    }
}
