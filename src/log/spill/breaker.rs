//! Whether the log inside is tried: one that does not answer would make every request wait before it goes to the spill.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Moment, SharedClock};

/// How long the log is left alone after it failed; then one append tries.
const OPEN: Duration = Duration::from_secs(5);

pub(super) struct Breaker {
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    /// Nobody tries before.
    Open(Moment),
    /// One tries.
    Trying,
}

impl Breaker {
    pub(super) fn new(clock: SharedClock) -> Arc<Self> {
        Arc::new(Self { clock, state: Mutex::new(State::Closed) })
    }

    /// Lets an append go to the log; `None`: it goes to the spill.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Pass> {
        let mut state = self.state();
        let is_trial = match *state {
            State::Closed => false,
            State::Open(until) if self.clock.moment() >= until => {
                *state = State::Trying;
                true
            }
            State::Open(_) | State::Trying => return None,
        };
        Some(Pass { breaker: self.clone(), is_trial })
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.state() == State::Closed
    }

    fn open(&self) {
        *self.state() = State::Open(self.clock.moment() + OPEN);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An append that was let through.
pub(super) struct Pass {
    breaker: Arc<Breaker>,
    is_trial: bool,
}

impl Pass {
    pub(super) fn succeeded(mut self) {
        self.is_trial = false;
        *self.breaker.state() = State::Closed;
    }

    /// It failed, or takes too long.
    pub(super) fn failed(&mut self) {
        self.is_trial = false;
        self.breaker.open();
    }

    /// What came of it says nothing of the log; who tried lets another try.
    pub(super) fn says_nothing(self) {}
}

impl Drop for Pass {
    fn drop(&mut self) {
        // Who tries and goes away has learnt nothing.
        if self.is_trial {
            *self.breaker.state() = State::Open(self.breaker.clock.moment());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::Timestamp;

    #[test]
    fn after_a_failure_one_tries_now_and_then_and_its_success_lets_all_through() {
        let clock = ManualClock::starting_at(Timestamp(0));
        let breaker = Breaker::new(clock.clone());
        breaker.admit().expect("closed").failed();
        assert!(breaker.admit().is_none());
        clock.advance(OPEN);
        let trial = breaker.admit().expect("one tries");
        assert!(breaker.admit().is_none(), "and no other");
        drop(trial);
        breaker.admit().expect("another one tries").succeeded();
        assert!(breaker.is_closed() && breaker.admit().is_some());
    }
}
