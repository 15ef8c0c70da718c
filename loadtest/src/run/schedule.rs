//! The open loop: requests start when their time has come, not when an earlier one has ended. A slow engine so meets the
//! same load as a fast one, and what it makes wait counts as latency.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// Requests that are due closer together than this are released together: waking for each would cost the machine more
/// than sending it. The latency counts from the intended time nevertheless.
const GRAIN: Duration = Duration::from_micros(100);

/// Evenly spaced requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// Requests per second.
    rate: f64,
    count: u64,
}

impl Schedule {
    /// As many requests as are due within `duration`, at least one.
    pub(crate) fn new(requests_per_second: f64, duration: Duration) -> Self {
        let count = (requests_per_second * duration.as_secs_f64()).round().max(1.0);
        Self { rate: requests_per_second, count: count as u64 }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// When the request of this number is due, from the start. Computed, not summed up: nothing drifts.
    pub(crate) fn intended(&self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// How many are due after `elapsed`.
    fn due(&self, elapsed: Duration) -> u64 {
        ((elapsed.as_secs_f64() * self.rate) as u64 + 1).min(self.count)
    }

    /// Adds a permit for each request when it is due; returns at once. A thread of its own keeps the time, because the
    /// runtime's timers are as coarse as a millisecond and wait for whatever the runtime is doing.
    pub(crate) fn start(self, started: Instant, permits: Arc<Semaphore>) -> std::io::Result<()> {
        std::thread::Builder::new().name("schedule".into()).spawn(move || {
            let mut released = 0;
            // When the permits have one owner left, nobody sends any more.
            while released < self.count && Arc::strong_count(&permits) > 1 {
                let due = self.due(started.elapsed());
                permits.add_permits((due - released) as usize);
                released = due;
                let wait = self.intended(released).saturating_sub(started.elapsed());
                std::thread::sleep(wait.clamp(GRAIN, Duration::from_millis(100)));
            }
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_due_at_its_intended_time_and_not_before() {
        for rate in [0.5, 3.0, 5000.0, 33_333.3] {
            let schedule = Schedule::new(rate, Duration::from_secs(60));
            for number in (0..schedule.count()).step_by(1 + schedule.count() as usize / 1000) {
                let intended = schedule.intended(number);
                let slack = Duration::from_nanos(2);
                assert!(schedule.due(intended + slack) > number, "{rate}/s, {number}");
                if number > 0 {
                    assert!(schedule.due(intended - slack) <= number, "{rate}/s, {number}");
                }
            }
        }
    }

    #[test]
    fn there_are_as_many_as_fit_into_the_duration() {
        let schedule = Schedule::new(5000.0, Duration::from_secs(30));
        assert_eq!(schedule.count(), 150_000);
        assert_eq!(schedule.intended(149_999), Duration::from_micros(29_999_800));
        assert_eq!(schedule.due(Duration::from_secs(3600)), 150_000);
        assert_eq!(Schedule::new(0.1, Duration::from_secs(1)).count(), 1);
    }

    #[tokio::test]
    async fn every_request_gets_one_permit() {
        let permits = Arc::new(Semaphore::new(0));
        let schedule = Schedule::new(100_000.0, Duration::from_millis(5));
        schedule.start(Instant::now(), Arc::clone(&permits)).expect("a thread");
        permits.acquire_many(500).await.expect("not closed").forget();
        assert_eq!(permits.available_permits(), 0);
    }
}
