//! Time as a parameter: the engine asks a [`Clock`], so that tests move time and a simulation owns it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::domain::Timestamp;

/// What time it is, and waiting for a time.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> Timestamp;

    /// Resolves once [`Clock::now`] has reached `until`; at once if it has.
    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()>;

    /// Resolves after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(self.now() + duration)
    }
}

/// A clock as it is handed around.
pub type SharedClock = Arc<dyn Clock>;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<ManualState>,
}

#[derive(Debug)]
struct ManualState {
    now: Timestamp,
    sleepers: Vec<(Timestamp, oneshot::Sender<()>)>,
}

impl ManualClock {
    pub fn starting_at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(ManualState { now, sleepers: Vec::new() }) })
    }

    /// Moves the clock forward and wakes whoever slept until then.
    pub fn advance(&self, duration: Duration) {
        let mut state = self.state();
        state.now = state.now + duration;
        let now = state.now;
        let sleepers = std::mem::take(&mut state.sleepers);
        let (due, rest): (Vec<_>, Vec<_>) = sleepers.into_iter().partition(|(until, _)| *until <= now);
        state.sleepers = rest;
        drop(state);
        for (_, wake) in due {
            // Whoever went away sleeps no more.
            let _ = wake.send(());
        }
    }

    fn state(&self) -> MutexGuard<'_, ManualState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state().now
    }

    fn sleep_until(&self, until: Timestamp) -> BoxFuture<'static, ()> {
        let mut state = self.state();
        if state.now >= until {
            return std::future::ready(()).boxed();
        }
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
    fn a_sleeper_wakes_when_the_clock_reaches_its_time_and_not_before() {
        let clock = ManualClock::starting_at(Timestamp(0));
        let mut sleep = clock.sleep(Duration::from_secs(10));
        clock.advance(Duration::from_secs(9));
        assert!((&mut sleep).now_or_never().is_none());
        clock.advance(Duration::from_secs(1));
        assert!((&mut sleep).now_or_never().is_some());
    }
}
