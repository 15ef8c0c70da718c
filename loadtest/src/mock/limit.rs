//! A hard limit: a token bucket.

use std::time::Instant;

/// Tokens that come at a rate, and are taken one by one.
pub(super) struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full one, however much it holds.
    pub(super) fn new(now: Instant) -> Self {
        Self { tokens: f64::INFINITY, at: now }
    }

    /// Takes a token if there is one. Rate and burst may differ from call to call.
    pub(super) fn take(&mut self, rate: f64, burst: f64, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.tokens = (self.tokens + elapsed * rate).min(burst);
        // Sums of rounded shares of a token must not fall short of one.
        let is_there = self.tokens >= 1.0 - 1e-9;
        if is_there {
            self.tokens -= 1.0;
        }
        is_there
    }
}
