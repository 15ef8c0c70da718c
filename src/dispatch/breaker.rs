//! A circuit breaker: stops asking who does not answer, and tries again with one task at a time.

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

/// One breaker. Only silence and unreachability count as failures: who answers, even with a refusal, is there, and its
/// answers drive the retry schedule.
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

    /// Something goes: an open breaker whose pause is over now has its probe.
    pub(super) fn begin(&mut self) {
        if let Breaker::Open { doubled, .. } = *self {
            *self = Breaker::Probing { doubled };
        }
    }

    /// It did not come to a send after all.
    pub(super) fn abandon(&mut self, now: Moment) {
        if let Breaker::Probing { doubled } = *self {
            *self = Breaker::Open { until: now, doubled };
        }
    }

    pub(super) fn succeed(&mut self) {
        *self = Breaker::default();
    }

    /// No answer came, or nobody could be reached.
    pub(super) fn fail(&mut self, rule: &BreakerRule, now: Moment) {
        *self = match *self {
            Breaker::Closed { failures } if failures + 1 < rule.failures => Breaker::Closed { failures: failures + 1 },
            Breaker::Closed { .. } => Breaker::Open { until: now + rule.pause, doubled: 0 },
            Breaker::Probing { doubled } => {
                let doubled = (doubled + 1).min(3);
                Breaker::Open { until: now + rule.pause * (1 << doubled), doubled }
            }
            // Sends that began before it opened.
            open @ Breaker::Open { .. } => open,
        };
    }

    /// Opens at once: the provider said that our credentials or settings are wrong.
    pub(super) fn trip(&mut self, rule: &BreakerRule, now: Moment) {
        *self = match *self {
            Breaker::Closed { .. } => Breaker::Open { until: now + rule.pause, doubled: 0 },
            Breaker::Probing { .. } | Breaker::Open { .. } => {
                self.fail(rule, now);
                *self
            }
        };
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
        breaker.fail(&RULE, at(0));
        breaker.fail(&RULE, at(0));
        breaker.succeed();
        breaker.fail(&RULE, at(0));
        breaker.fail(&RULE, at(0));
        assert!(breaker.allows(at(0)));
        breaker.fail(&RULE, at(0));
        assert!(!breaker.allows(at(999)));
        assert!(breaker.allows(at(1000)));
        breaker.begin();
        assert!(!breaker.allows(at(1000)), "one probe at a time");
        breaker.succeed();
        assert!(breaker.allows(at(1000)));
    }

    #[test]
    fn the_pause_doubles_with_each_failed_probe_up_to_eightfold() {
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            breaker.fail(&RULE, at(0));
        }
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..5 {
            let until = breaker.reopens().expect("open");
            pauses.push(until.since(now).as_secs());
            now = until;
            breaker.begin();
            breaker.fail(&RULE, now);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 8]);
    }
}
