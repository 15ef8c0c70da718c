//! The endpoints of webhooks and of browsers' push services, each with its own limit and breaker, so that one that hangs does not
//! hold the slots of all.

use rustc_hash::FxHashMap;

use super::breaker::{Breaker, BreakerRule};
use crate::clock::Moment;

/// The endpoints with something in flight, or with failures worth remembering.
#[derive(Debug)]
pub(super) struct Endpoints {
    states: FxHashMap<u32, State>,
    in_flight_max: usize,
    rule: BreakerRule,
}

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    breaker: Breaker,
}

/// Breakers remembered at once; beyond, those of idle endpoints are forgotten, which costs a few failed sends.
const REMEMBERED_MAX: usize = 100_000;

impl Endpoints {
    pub(super) fn new(in_flight_max: usize, rule: BreakerRule) -> Self {
        Self { states: FxHashMap::default(), in_flight_max, rule }
    }

    /// Whether something may go to the endpoint now; 0 stands for none in particular.
    pub(super) fn allows(&self, endpoint: u32, now: Moment) -> bool {
        endpoint == 0
            || self
                .states
                .get(&endpoint)
                .is_none_or(|state| state.in_flight < self.in_flight_max && state.breaker.allows(now))
    }

    /// Whether it is the probe of an open breaker.
    pub(super) fn begin(&mut self, endpoint: u32) -> bool {
        if endpoint == 0 {
            return false;
        }
        let state = self.states.entry(endpoint).or_default();
        state.in_flight += 1;
        state.breaker.begin()
    }

    /// A job for the endpoint ended; `well`: it answered, failed, or (`None`) was not asked or is to wait.
    pub(super) fn end(
        &mut self,
        endpoint: u32,
        (well, was_probe): (Option<bool>, bool),
        now: Moment,
        is_awaited: impl Fn(u32) -> bool,
    ) {
        let Some(state) = self.states.get_mut(&endpoint) else { return };
        state.in_flight = state.in_flight.saturating_sub(1);
        match well {
            Some(true) => state.breaker.succeed(was_probe),
            Some(false) => state.breaker.fail(was_probe, &self.rule, now),
            None => state.breaker.abandon(was_probe, now),
        }
        if state.in_flight == 0 && state.breaker.is_pristine() {
            self.states.remove(&endpoint);
        } else if self.states.len() > REMEMBERED_MAX {
            self.states.retain(|endpoint, state| state.in_flight > 0 || is_awaited(*endpoint));
        }
    }

    /// How many tasks of the endpoint may go now.
    pub(super) fn room(&self, endpoint: u32, now: Moment) -> usize {
        match self.states.get(&endpoint) {
            None => self.in_flight_max,
            Some(state) if !state.breaker.allows(now) => 0,
            Some(state) if !state.breaker.is_closed() => 1,
            Some(state) => self.in_flight_max.saturating_sub(state.in_flight),
        }
    }

    /// Endpoints with an open breaker and when each may be probed.
    pub(super) fn open(&self) -> impl Iterator<Item = (u32, Moment)> {
        self.states.iter().filter_map(|(endpoint, state)| Some((*endpoint, state.breaker.reopens()?)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_open_breaker_that_tasks_wait_behind_is_not_forgotten() {
        let rule = BreakerRule::of(1, Duration::from_secs(5));
        let mut endpoints = Endpoints::new(8, rule);
        for endpoint in 1..=REMEMBERED_MAX as u32 + 1 {
            endpoints.begin(endpoint);
            endpoints.end(endpoint, (Some(false), false), Moment::default(), |endpoint| endpoint == 7);
        }
        let open: Vec<u32> = endpoints.open().map(|(endpoint, _)| endpoint).collect();
        assert_eq!(open, [7]);
    }
}
