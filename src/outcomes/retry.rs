//! When to try again. Pure.

use std::time::Duration;

use crate::config;
use crate::domain::{Priority, TaskId, Whose};

/// The schedule of retries.
#[derive(Debug, Clone)]
pub struct RetryPolicy {
    delays: Vec<Duration>,
    jitter: f64,
}

/// The pause after an answer "too many" that names none.
const THROTTLE_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause a provider may ask for; what waits longer is asked about again.
const THROTTLE_PAUSE_MAX: Duration = Duration::from_secs(3600);
/// How long a task waits after a provider said that our settings are wrong and no other could take it.
pub(super) const MISCONFIGURED_PAUSE: Duration = Duration::from_secs(60);

/// The pause before what is critical is sent again when nobody knows whether it was sent.
const URGENT_PAUSE: Duration = Duration::from_secs(1);

/// How long to let a provider rest that throttles.
pub fn throttle_pause(retry_after: Option<Duration>) -> Duration {
    retry_after.unwrap_or(THROTTLE_PAUSE).clamp(Duration::from_millis(100), THROTTLE_PAUSE_MAX)
}

/// The pause of a task whose recipient gets too many, where the answer names none: the limits of numbers and devices are per minute.
pub(super) fn recipient_pause(whose: Whose) -> Option<Duration> {
    (whose == Whose::Recipient).then_some(Duration::from_secs(60))
}

impl RetryPolicy {
    pub fn new(settings: &config::Retry) -> Self {
        // An attempt's number is one byte.
        let delays = settings.delays.iter().copied().take(200).collect();
        Self { delays, jitter: settings.jitter.clamp(0.0, 1.0) }
    }

    /// How long to wait after `attempt` (1 for the first) failed; `None`: it was the last. A `Retry-After` is honoured between
    /// once and twice the delay of the schedule, as Svix does, so that a provider can neither hurry us nor stop us.
    /// The jitter depends on task and attempt alone: a replay computes the same.
    pub(super) fn delay(&self, task: TaskId, attempt: u8, retry_after: Option<Duration>) -> Option<Duration> {
        let base = *self.delays.get(usize::from(attempt).checked_sub(1)?)?;
        let wanted = retry_after.unwrap_or(base).clamp(base, base * 2);
        let mut seed = [0; 14];
        seed[..4].copy_from_slice(&task.position.shard.to_u32().to_be_bytes());
        seed[4..12].copy_from_slice(&task.position.offset.to_be_bytes());
        seed[12] = task.ordinal;
        seed[13] = attempt;
        // 53 bits, as many as a float holds exactly.
        let unit = (xxhash_rust::xxh3::xxh3_64(&seed) >> 11) as f64 / (1u64 << 53) as f64;
        Some(wanted.mul_f64(1.0 + self.jitter * (2.0 * unit - 1.0)))
    }

    /// The same where nobody knows whether it was sent. A receipt may tell while it waits; but of what is critical twice is better
    /// than late, so that its second attempt does not wait for one.
    pub(super) fn delay_in_doubt(&self, task: TaskId, attempt: u8, priority: Priority) -> Option<Duration> {
        let delay = self.delay(task, attempt, None)?;
        let is_urgent = priority == Priority::Critical && attempt == 1;
        Some(if is_urgent { delay.min(URGENT_PAUSE) } else { delay })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Position, ShardId};
    use proptest::prelude::*;

    fn policy(jitter: f64) -> RetryPolicy {
        let delays = [60, 120, 240].map(Duration::from_secs).to_vec();
        RetryPolicy::new(&config::Retry { delays, jitter })
    }

    fn task(offset: u64) -> TaskId {
        let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
        TaskId { position: Position::new(shard, offset), ordinal: 0 }
    }

    #[test]
    fn the_delays_are_one_two_and_four_minutes_and_then_it_is_over() {
        let policy = policy(0.0);
        let delays: Vec<_> =
            (1..=4).map(|attempt| policy.delay(task(0), attempt, None).map(|delay| delay.as_secs())).collect();
        assert_eq!(delays, [Some(60), Some(120), Some(240), None]);
    }

    #[test]
    fn what_is_critical_and_in_doubt_goes_again_at_once_and_then_by_the_schedule() {
        let policy = policy(0.0);
        let delay = |attempt, priority| policy.delay_in_doubt(task(0), attempt, priority).map(|delay| delay.as_secs());
        assert_eq!([1, 2, 4].map(|attempt| delay(attempt, Priority::Critical)), [Some(1), Some(120), None]);
        assert_eq!(delay(1, Priority::High), Some(60), "its receipt may come meanwhile");
    }

    #[test]
    fn a_retry_after_counts_between_once_and_twice_the_delay() {
        let policy = policy(0.0);
        let check = |seconds: u64, expected: u64| {
            let delay = policy.delay(task(0), 1, Some(Duration::from_secs(seconds)));
            assert_eq!(delay, Some(Duration::from_secs(expected)), "Retry-After: {seconds}");
        };
        check(1, 60);
        check(90, 90);
        check(86_400, 120);
    }

    proptest! {
        #[test]
        fn the_jitter_stays_within_its_share_and_is_the_same_each_time(offset in 0u64..1 << 48, attempt in 1u8..4) {
            let policy = policy(0.1);
            let base = 60.0 * f64::from(1 << (attempt - 1));
            let delay = policy.delay(task(offset), attempt, None).expect("attempts are left");
            prop_assert!((delay.as_secs_f64() - base).abs() <= base * 0.1 + 1e-6);
            prop_assert_eq!(policy.delay(task(offset), attempt, None), Some(delay));
        }
    }
}
