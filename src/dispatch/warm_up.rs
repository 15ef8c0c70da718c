//! The rate of a sender that nobody knows yet: it grows by day. Pure.

use std::time::Duration;

use crate::config::WarmUp;
use crate::coordination::Rate;
use crate::domain::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);

/// What may be sent now: what is configured, or less while it is warmed up. Before its first day it is as on that day.
pub(super) fn rate(configured: Option<Rate>, warm_up: Option<WarmUp>, now: Timestamp) -> Option<Rate> {
    let Some(warm_up) = warm_up else { return configured };
    let days = (now.since(warm_up.from.0).as_secs() / DAY.as_secs()) as f64;
    let per_second = warm_up.per_day * warm_up.growth.powf(days) / DAY.as_secs_f64();
    match configured {
        Some(configured) if configured.per_second <= per_second => Some(configured),
        // After some weeks it is more than anybody sends.
        None if !per_second.is_finite() => None,
        // Evenly over the day: no more at once than in a second.
        _ => Some(Rate { per_second, burst: per_second.max(1.0) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Day;

    const FROM: Timestamp = Timestamp(1_795_219_200_000);

    fn check(per_second: Option<f64>, at: Timestamp, expected: Option<f64>) {
        let configured = per_second.map(|per_second| Rate { per_second, burst: 100.0 });
        let warm_up = WarmUp { from: Day(FROM), per_day: 864.0, growth: 2.0 };
        let found = rate(configured, Some(warm_up), at).map(|rate| rate.per_second);
        assert_eq!(found, expected, "at {at:?} of {per_second:?}");
    }

    #[test]
    fn the_rate_doubles_with_each_whole_day_until_it_is_the_configured_one() {
        check(Some(0.05), FROM - DAY * 3, Some(0.01));
        check(Some(0.05), FROM, Some(0.01));
        check(Some(0.05), FROM + (DAY - Duration::from_secs(1)), Some(0.01));
        check(Some(0.05), FROM + DAY, Some(0.02));
        check(Some(0.05), FROM + DAY * 2, Some(0.04));
        check(Some(0.05), FROM + DAY * 3, Some(0.05));
        check(Some(0.05), FROM + DAY * 4000, Some(0.05));
        check(None, FROM + DAY * 10, Some(10.24));
        check(None, FROM + DAY * 4000, None);
    }

    #[test]
    fn what_is_warmed_up_is_spread_evenly_and_what_is_not_is_as_configured() {
        let configured = Rate { per_second: 50.0, burst: 500.0 };
        let warm_up = WarmUp { from: Day(FROM), per_day: 864_000.0, growth: 2.0 };
        assert_eq!(rate(Some(configured), Some(warm_up), FROM), Some(Rate { per_second: 10.0, burst: 10.0 }));
        assert_eq!(rate(Some(configured), None, FROM), Some(configured));
        assert_eq!(rate(None, None, FROM), None);
    }
}
