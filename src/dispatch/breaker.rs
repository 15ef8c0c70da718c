//! A circuit breaker: stops asking who does not answer, or answers only that it cannot, and tries again with one task at a time.

use std::time::Duration;

use crate::clock::Moment;

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct BreakerRule {
    /// Failures in a row that open it.
    pub(super) failures: u32,
    /// The first pause; it doubles with each failed probe, up to eight times this.
    pub(super) pause: Duration,
}

/// One breaker. Silence and unreachability are failures; of a provider, which has others beside it, so is the answer that it cannot
/// now. A refusal of the message is none: who refuses is there, and well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breaker {
    Closed {
        failures: u32,
    },
    /// Nothing goes until then.
    Open {
        until: Moment,
        doubled: u32,
    },
    /// One probe is under way.
    Probing {
        doubled: u32,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether something may go now.
    pub(super) fn allows(&self, now: Moment) -> bool {
        match self {
            Breaker::Closed { .. } => true,
            Breaker::Open { until, .. } => *until <= now,
            Breaker::Probing { .. } => false,
        }
    }

    /// Something goes: an open breaker whose pause is over now has its probe. Whether it is that probe.
    #[must_use = "only the probe's answer says something of an open breaker"]
    pub(super) fn begin(&mut self) -> bool {
        let Breaker::Open { doubled, .. } = *self else { return false };
        *self = Breaker::Probing { doubled };
        true
    }

    /// It did not come to a send after all.
    pub(super) fn abandon(&mut self, was_probe: bool, now: Moment) {
        if let Breaker::Probing { doubled } = *self
            && was_probe
        {
            *self = Breaker::Open { until: now, doubled };
        }
    }

    /// An answer came. That of a send which began before the breaker opened is no news: it stays open.
    pub(super) fn succeed(&mut self, was_probe: bool) {
        if was_probe || self.is_closed() {
            *self = Breaker::default();
        }
    }

    /// It failed.
    pub(super) fn fail(&mut self, was_probe: bool, rule: &BreakerRule, now: Moment) {
        *self = match *self {
            Breaker::Closed { failures } if failures + 1 < rule.failures => Breaker::Closed { failures: failures + 1 },
            Breaker::Closed { .. } => Breaker::Open { until: now + rule.pause, doubled: 0 },
            Breaker::Probing { doubled } if was_probe => {
                let doubled = (doubled + 1).min(3);
                Breaker::Open { until: now + rule.pause * (1 << doubled), doubled }
            }
            // Sends that began before it opened.
            open => open,
        };
    }

    /// Opens at once: the provider said that our credentials or settings are wrong.
    pub(super) fn trip(&mut self, was_probe: bool, rule: &BreakerRule, now: Moment) {
        match *self {
            Breaker::Closed { .. } => *self = Breaker::Open { until: now + rule.pause, doubled: 0 },
            _ => self.fail(was_probe, rule, now),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Breaker::Closed { .. })
    }

    /// Whether it is closed and nothing failed lately: nothing worth remembering.
    pub(super) fn is_pristine(&self) -> bool {
        *self == Breaker::default()
    }

    /// When it lets a probe through, if it is open.
    pub(super) fn reopens(&self) -> Option<Moment> {
        match self {
            Breaker::Open { until, .. } => Some(*until),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: BreakerRule = BreakerRule { failures: 3, pause: Duration::from_secs(1) };

    fn at(millis: u64) -> Moment {
        Moment(Duration::from_millis(millis))
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_a_probe_that_succeeds() {
        let mut breaker = Breaker::default();
        breaker.fail(false, &RULE, at(0));
        breaker.fail(false, &RULE, at(0));
        breaker.succeed(false);
        breaker.fail(false, &RULE, at(0));
        breaker.fail(false, &RULE, at(0));
        assert!(breaker.allows(at(0)));
        breaker.fail(false, &RULE, at(0));
        assert!(!breaker.allows(at(999)));
        assert!(breaker.allows(at(1000)));
        assert!(breaker.begin());
        assert!(!breaker.allows(at(1000)), "one probe at a time");
        breaker.succeed(true);
        assert!(breaker.allows(at(1000)));
    }

    #[test]
    fn the_pause_doubles_with_each_failed_probe_up_to_eightfold() {
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            breaker.fail(false, &RULE, at(0));
        }
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..5 {
            let until = breaker.reopens().expect("open");
            pauses.push(until.since(now).as_secs());
            now = until;
            assert!(breaker.begin());
            breaker.fail(true, &RULE, now);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 8]);
    }

    #[test]
    fn what_began_before_it_opened_neither_closes_it_nor_ends_its_probe() {
        let mut breaker = Breaker::default();
        assert!(!breaker.begin());
        for _ in 0..3 {
            breaker.fail(false, &RULE, at(0));
        }
        breaker.succeed(false);
        assert!(!breaker.allows(at(999)));
        assert!(breaker.begin());
        breaker.succeed(false);
        breaker.fail(false, &RULE, at(1000));
        breaker.abandon(false, at(1000));
        assert_eq!(breaker, Breaker::Probing { doubled: 0 });
        breaker.succeed(true);
        assert!(breaker.is_pristine());
    }
}
