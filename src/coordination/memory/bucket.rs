//! Token buckets. Pure.

use std::time::Duration;

use crate::coordination::{Lease, Rate};
use crate::domain::Timestamp;

/// The share of a rate that only critical traffic may use.
pub(in crate::coordination) const CRITICAL_SHARE: f64 = 0.2;

/// A rate in two buckets: one with all of it, which every token comes from, and one that bounds what others than critical
/// traffic may take of it. So no window ever gives more than the rate and one burst, critical traffic may use all, and what
/// the others leave untouched adds up for it.
#[derive(Debug)]
pub(in crate::coordination) struct SharedBucket {
    all: Bucket,
    common: Bucket,
}

impl SharedBucket {
    pub(in crate::coordination) fn new(rate: Rate, now: Timestamp) -> Self {
        let (all, common) = split(rate);
        Self { all: Bucket::full(all, now), common: Bucket::full(common, now) }
    }

    /// A bucket of which nobody knows what was taken lately: it begins with [`first_tokens`] and not with a whole burst.
    pub(in crate::coordination) fn cautious(rate: Rate, now: Timestamp) -> Self {
        let mut bucket = Self::new(rate, now);
        bucket.all.tokens = first_tokens(bucket.all.rate);
        bucket.common.tokens = first_tokens(bucket.common.rate);
        bucket
    }

    /// The configuration may have changed since.
    pub(in crate::coordination) fn set_rate(&mut self, rate: Rate) {
        let (all, common) = split(rate);
        self.all.rate = all;
        self.common.rate = common;
    }

    pub(in crate::coordination) fn lease(&mut self, wanted: u32, critical: bool, now: Timestamp) -> Lease {
        self.all.fill(now);
        self.common.fill(now);
        let whole = if critical { self.all.whole() } else { self.all.whole().min(self.common.whole()) };
        let granted = whole.min(wanted);
        self.all.tokens -= f64::from(granted);
        if !critical {
            self.common.tokens -= f64::from(granted);
        }
        let until_more =
            if critical { self.all.until_one() } else { self.all.until_one().max(self.common.until_one()) };
        Lease { granted, retry_after: if granted < wanted { until_more } else { Duration::ZERO } }
    }

    pub(in crate::coordination) fn give_back(&mut self, tokens: u32, critical: bool) {
        self.all.add(tokens);
        if !critical {
            self.common.add(tokens);
        }
    }
}

/// All of the rate, and the part that is not kept for critical traffic.
fn split(rate: Rate) -> (Rate, Rate) {
    // A bucket that cannot hold one whole token would never give one.
    let part = |share: f64| Rate { per_second: rate.per_second * share, burst: (rate.burst * share).max(1.0) };
    (part(1.0), part(1.0 - CRITICAL_SHARE))
}

/// What is lent at a time, by the callers of this port.
const LEASE: Duration = Duration::from_millis(50);

/// What a bucket that is not known yet begins with: one lease.
pub(in crate::coordination) fn first_tokens(rate: Rate) -> f64 {
    (rate.per_second * LEASE.as_secs_f64()).max(1.0).min(rate.burst.max(1.0))
}

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    tokens: f64,
    filled_at: Timestamp,
}

impl Bucket {
    fn full(rate: Rate, now: Timestamp) -> Self {
        Self { rate, tokens: rate.burst, filled_at: now }
    }

    fn fill(&mut self, now: Timestamp) {
        // A clock that went back fills nothing, and does not take away either.
        let elapsed = now.since(self.filled_at).as_secs_f64();
        self.filled_at = now;
        self.tokens = (self.tokens + elapsed * self.rate.per_second).min(self.rate.burst);
    }

    fn add(&mut self, tokens: u32) {
        self.tokens = (self.tokens + f64::from(tokens)).min(self.rate.burst);
    }

    /// The whole tokens there are. A sum of fractions may miss a whole by a rounding error.
    fn whole(&self) -> u32 {
        (self.tokens + ROUNDING).floor() as u32
    }

    /// How long until there is a whole token.
    fn until_one(&self) -> Duration {
        let missing = (1.0 - self.tokens).max(0.0);
        // A rate of almost nothing is asked about again after a while.
        let seconds = (missing / self.rate.per_second.max(1e-9)).min(3600.0);
        Duration::from_secs_f64(seconds).max(Duration::from_millis(1))
    }
}

/// Far above what a day of additions rounds away, far below a token.
const ROUNDING: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE: Rate = Rate { per_second: 100.0, burst: 100.0 };

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
            steps in prop::collection::vec((0u64..500, 0u32..100, any::<bool>(), 0u32..100), 1..200),
        ) {
            let rate = Rate { per_second, burst };
            let mut bucket = SharedBucket::new(rate, Timestamp(0));
            let mut now = 0;
            let mut given: Vec<(u64, u32)> = Vec::new();
            for (wait, wanted, critical, unspent) in steps {
                now += wait;
                let granted = bucket.lease(wanted, critical, Timestamp(now)).granted;
                let unspent = unspent.min(granted);
                bucket.give_back(unspent, critical);
                given.push((now, granted - unspent));
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
