//! Token buckets. Pure.

use std::time::Duration;

use crate::coordination::{Lease, Rate};
use crate::domain::Timestamp;

/// The share of a rate that only critical traffic may use.
pub(super) const CRITICAL_SHARE: f64 = 0.2;

/// A rate in two buckets: one for all, and one for critical traffic, which may use both.
#[derive(Debug)]
pub(super) struct SharedBucket {
    common: Bucket,
    critical: Bucket,
}

impl SharedBucket {
    pub(super) fn new(rate: Rate, now: Timestamp) -> Self {
        let (common, critical) = split(rate);
        Self { common: Bucket::full(common, now), critical: Bucket::full(critical, now) }
    }

    /// The configuration may have changed since.
    pub(super) fn set_rate(&mut self, rate: Rate) {
        let (common, critical) = split(rate);
        self.common.rate = common;
        self.critical.rate = critical;
    }

    pub(super) fn lease(&mut self, wanted: u32, critical: bool, now: Timestamp) -> Lease {
        let mut granted = 0;
        if critical {
            granted += self.critical.take(wanted, now);
        }
        granted += self.common.take(wanted - granted, now);
        let retry_after = match (granted >= wanted, critical) {
            (true, _) => Duration::ZERO,
            (false, true) => self.critical.until_one().min(self.common.until_one()),
            (false, false) => self.common.until_one(),
        };
        Lease { granted, retry_after }
    }

    pub(super) fn give_back(&mut self, tokens: u32, critical: bool) {
        // Where they came from is not known: the bucket of the class is the one that is surely not overfilled by it.
        let bucket = if critical { &mut self.critical } else { &mut self.common };
        bucket.tokens = (bucket.tokens + f64::from(tokens)).min(bucket.rate.burst);
    }
}

fn split(rate: Rate) -> (Rate, Rate) {
    let part = |share: f64| Rate { per_second: rate.per_second * share, burst: rate.burst * share };
    let (common, critical) = (part(1.0 - CRITICAL_SHARE), part(CRITICAL_SHARE));
    // A bucket that cannot hold one whole token would never give one.
    let whole = |rate: Rate| Rate { burst: rate.burst.max(1.0), ..rate };
    (whole(common), whole(critical))
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

    /// Takes whole tokens, as many as there are up to `wanted`.
    fn take(&mut self, wanted: u32, now: Timestamp) -> u32 {
        // A clock that went back fills nothing, and does not take away either.
        let elapsed = now.since(self.filled_at).as_secs_f64();
        self.filled_at = now;
        self.tokens = (self.tokens + elapsed * self.rate.per_second).min(self.rate.burst);
        let granted = (self.tokens.floor() as u32).min(wanted);
        self.tokens -= f64::from(granted);
        granted
    }

    /// How long until there is a whole token.
    fn until_one(&self) -> Duration {
        let missing = (1.0 - self.tokens).max(0.0);
        // A rate of almost nothing is asked about again after a while.
        let seconds = (missing / self.rate.per_second.max(1e-9)).min(3600.0);
        Duration::from_secs_f64(seconds).max(Duration::from_millis(1))
    }
}

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
                given.push((now, bucket.lease(wanted, critical, Timestamp(now)).granted));
            }
            for start in 0..given.len() {
                let mut total = 0.0;
                for (at, granted) in &given[start..] {
                    total += f64::from(*granted);
                    let window = (at - given[start].0) as f64 / 1000.0;
                    // A burst below two is rounded up to a whole token in each of the two buckets.
                    prop_assert!(total <= per_second * window + burst.max(1.0) + 1.0 + 1e-6);
                }
            }
        }
    }
}
