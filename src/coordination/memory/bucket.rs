//! Token buckets. Pure.

use std::time::Duration;

use crate::coordination::{Lease, Rate};
use crate::domain::Timestamp;

/// The share of a burst that is left for critical traffic.
const CRITICAL_SHARE: f64 = 0.2;

/// A rate in one bucket, of which others than critical traffic leave a part untouched. So they may use all of the rate, as long
/// as nobody else does; critical traffic finds that part whenever it comes, and what refills it goes to nobody else.
#[derive(Debug)]
pub(in crate::coordination) struct SharedBucket {
    rate: Rate,
    tokens: f64,
    filled_at: Timestamp,
}

impl SharedBucket {
    pub(in crate::coordination) fn new(rate: Rate, now: Timestamp) -> Self {
        let rate = usable(rate);
        Self { rate, tokens: rate.burst, filled_at: now }
    }

    /// A bucket of which nobody knows what was taken lately: it begins with [`first_tokens`] and not with a whole burst.
    pub(in crate::coordination) fn cautious(rate: Rate, now: Timestamp) -> Self {
        Self { tokens: first_tokens(rate), ..Self::new(rate, now) }
    }

    /// Others gave of the rate meanwhile: what was saved up is not there any more, up to what a cautious one begins with.
    pub(in crate::coordination) fn begin_again(&mut self, now: Timestamp) {
        self.fill(now);
        self.tokens = self.tokens.min(first_tokens(self.rate));
    }

    /// The configuration may have changed since.
    pub(in crate::coordination) fn set_rate(&mut self, rate: Rate) {
        self.rate = usable(rate);
    }

    pub(in crate::coordination) fn lease(&mut self, wanted: u32, critical: bool, now: Timestamp) -> Lease {
        self.fill(now);
        let free = self.tokens - if critical { 0.0 } else { kept_for_critical(self.rate) };
        let granted = whole(free).min(wanted);
        self.tokens -= f64::from(granted);
        let retry_after = if granted < wanted { self.until_one(free - f64::from(granted)) } else { Duration::ZERO };
        Lease { granted, retry_after }
    }

    fn fill(&mut self, now: Timestamp) {
        // A clock that went back fills nothing, and does not take away either.
        let elapsed = now.since(self.filled_at).as_secs_f64();
        self.filled_at = now;
        self.tokens = (self.tokens + elapsed * self.rate.per_second).min(self.rate.burst);
    }

    /// How long until there is a whole token, where so many are free now.
    fn until_one(&self, free: f64) -> Duration {
        let missing = (1.0 - free).max(0.0);
        // A rate of almost nothing is asked about again after a while.
        let seconds = (missing / self.rate.per_second.max(1e-9)).min(3600.0);
        Duration::from_secs_f64(seconds).max(Duration::from_millis(1))
    }
}

/// The whole tokens there are. A sum of fractions may miss a whole by a rounding error.
fn whole(tokens: f64) -> u32 {
    (tokens + ROUNDING).max(0.0).floor() as u32
}

/// A bucket that cannot hold one whole token would never give one.
pub(in crate::coordination) fn usable(rate: Rate) -> Rate {
    Rate { burst: rate.burst.max(1.0), ..rate }
}

/// What others leave in the bucket; they find one token at least in a full one.
pub(in crate::coordination) fn kept_for_critical(rate: Rate) -> f64 {
    let burst = usable(rate).burst;
    (burst * CRITICAL_SHARE).min(burst - 1.0)
}

/// What is lent at a time, by the callers of this port.
const LEASE: Duration = Duration::from_millis(50);

/// What a bucket that is not known yet begins with: one lease.
pub(in crate::coordination) fn first_tokens(rate: Rate) -> f64 {
    (rate.per_second * LEASE.as_secs_f64()).max(1.0).min(rate.burst.max(1.0))
}

/// Far above what a day of additions rounds away, far below a token.
const ROUNDING: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE: Rate = Rate { per_second: 100.0, burst: 100.0 };

    #[test]
    fn others_may_use_the_whole_rate_while_there_is_no_critical_traffic() {
        let mut bucket = SharedBucket::new(RATE, Timestamp(0));
        bucket.lease(1000, false, Timestamp(0));
        let granted: u32 = (1..=100).map(|tenth| bucket.lease(1000, false, Timestamp(tenth * 100)).granted).sum();
        assert_eq!(granted, 1000);
    }

    #[test]
    fn a_fifth_is_kept_for_critical_traffic() {
        let mut bucket = SharedBucket::new(RATE, Timestamp(0));
        assert_eq!(bucket.lease(1000, false, Timestamp(0)).granted, 80);
        assert_eq!(bucket.lease(1000, true, Timestamp(0)).granted, 20);
    }

    #[test]
    fn critical_traffic_may_use_all_of_the_rate() {
        let mut bucket = SharedBucket::new(RATE, Timestamp(0));
        assert_eq!(bucket.lease(1000, true, Timestamp(0)).granted, 100);
        assert_eq!(bucket.lease(1000, false, Timestamp(0)).granted, 0);
    }

    #[test]
    fn a_cautious_bucket_begins_with_one_lease_and_fills_as_any_other() {
        let mut bucket = SharedBucket::cautious(RATE, Timestamp(0));
        assert_eq!(bucket.lease(1000, true, Timestamp(0)).granted, 5);
        assert_eq!(bucket.lease(1000, true, Timestamp(100)).granted, 10);
        let mut slow = SharedBucket::cautious(Rate { per_second: 0.1, burst: 1.0 }, Timestamp(0));
        assert_eq!(slow.lease(1, false, Timestamp(0)).granted, 1, "never none at all");
    }

    #[test]
    fn who_gets_nothing_is_told_when_there_is_more() {
        let mut bucket = SharedBucket::new(RATE, Timestamp(0));
        bucket.lease(80, false, Timestamp(0));
        let lease = bucket.lease(1, false, Timestamp(0));
        assert_eq!(lease.granted, 0);
        let later = Timestamp(0) + lease.retry_after + Duration::from_millis(1);
        assert!(bucket.lease(1, false, later).granted >= 1);
    }

    proptest! {
        #[test]
        fn no_window_gives_more_than_its_rate_and_one_burst(
            per_second in 1.0f64..5000.0,
            burst in 1.0f64..500.0,
            steps in prop::collection::vec((0u64..500, 0u32..100, any::<bool>()), 1..200),
        ) {
            let rate = Rate { per_second, burst };
            let mut bucket = SharedBucket::new(rate, Timestamp(0));
            let mut now = 0;
            let mut given: Vec<(u64, u32)> = Vec::new();
            for (wait, wanted, critical) in steps {
                now += wait;
                let granted = bucket.lease(wanted, critical, Timestamp(now)).granted;
                given.push((now, granted));
            }
            for start in 0..given.len() {
                let mut total = 0.0;
                for (at, granted) in &given[start..] {
                    total += f64::from(*granted);
                    let window = (at - given[start].0) as f64 / 1000.0;
                    prop_assert!(total <= per_second * window + burst.max(1.0) + 1e-3);
                }
            }
        }
    }
}
