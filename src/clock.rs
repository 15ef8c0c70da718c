//! Time as a parameter: the engine asks a [`Clock`], so that tests move time and a simulation owns it.
//!
//! There are two readings. The wall clock says when something is due, and may be set back or forward at any moment. The
//! monotonic one only goes on: pauses and waits are measured by it, so that a clock that is set makes none of them longer.

use std::ops::Add;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::domain::Timestamp;

/// What time it is, and waiting.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// The monotonic clock.
    fn moment(&self) -> Moment;

    /// Resolves after `duration`, by the monotonic clock.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// A clock as it is handed around.
pub type SharedClock = Arc<dyn Clock>;

/// A reading of the monotonic clock; it means something to this process only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub Duration);

impl Moment {
    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(duration))
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<ManualState>,
}

#[derive(Debug)]
struct ManualState {
    now: Timestamp,
    moment: Moment,
    sleepers: Vec<(Moment, oneshot::Sender<()>)>,
}

impl ManualClock {
    pub fn starting_at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(ManualState { now, moment: Moment::default(), sleepers: Vec::new() }) })
    }

    /// Lets time pass, and wakes whoever slept until then.
    pub fn advance(&self, duration: Duration) {
        let mut state = self.state();
        state.now = state.now + duration;
        state.moment = state.moment + duration;
        let moment = state.moment;
        let sleepers = std::mem::take(&mut state.sleepers);
        let (due, rest): (Vec<_>, Vec<_>) = sleepers.into_iter().partition(|(until, _)| *until <= moment);
        state.sleepers = rest;
        drop(state);
        for (_, wake) in due {
            // Whoever went away sleeps no more.
            let _ = wake.send(());
        }
    }

    /// Sets the wall clock back, as somebody who corrects it does; no time passes.
    pub fn set_back(&self, duration: Duration) {
        let mut state = self.state();
        state.now = state.now - duration;
    }

    fn state(&self) -> MutexGuard<'_, ManualState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state().now
    }

    fn moment(&self) -> Moment {
        self.state().moment
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if duration.is_zero() {
            return std::future::ready(()).boxed();
        }
        let mut state = self.state();
        let until = state.moment + duration;
        let (wake, woken) = oneshot::channel();
        state.sleepers.push((until, wake));
        // The clock is gone only when the test is over.
        async move { drop(woken.await) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_wakes_when_its_time_has_passed_and_not_before() {
        let clock = ManualClock::starting_at(Timestamp(0));
        let mut sleep = clock.sleep(Duration::from_secs(10));
        clock.advance(Duration::from_secs(9));
        assert!((&mut sleep).now_or_never().is_none());
        clock.advance(Duration::from_secs(1));
        assert!((&mut sleep).now_or_never().is_some());
    }

    #[test]
    fn a_wall_clock_that_is_set_back_makes_no_sleep_longer() {
        let clock = ManualClock::starting_at(Timestamp(3_600_000));
        let mut sleep = clock.sleep(Duration::from_secs(10));
        let before = clock.moment();
        clock.set_back(Duration::from_secs(3600));
        assert_eq!((clock.now(), clock.moment()), (Timestamp(0), before));
        clock.advance(Duration::from_secs(10));
        assert!((&mut sleep).now_or_never().is_some());
        assert_eq!(clock.moment().since(before), Duration::from_secs(10));
    }
}
