//! The slots of one provider for one class: in-flight limit, breaker, rate and share, as they are configured and as they were learned.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::adaptive::Adaptive;
use super::breaker::{Breaker, BreakerRule};
use super::ready::Class;
use super::refusals::Refused;
use super::sender::{Finished, Leftover, Verdict};
use super::warm_up;
use crate::clock::Moment;
use crate::config::WarmUp;
use crate::coordination::{Rate, SharedCoordination};
use crate::domain::Timestamp;
use crate::outcomes::{Answer, AnswerKind, throttle_pause};
use crate::providers::SharedProvider;

/// What a provider may be given, from its configuration.
#[derive(Debug, Clone, Copy)]
pub struct ProviderLimits {
    pub max_in_flight: usize,
    pub timeout: Duration,
    /// Its share among the providers of one channel.
    pub weight: u32,
    pub rate: Option<Rate>,
    /// In millionths of the channel's messages: it is new, and gets that share whatever its weight.
    pub canary: Option<u32>,
    /// Its rate grows by day up to `rate`.
    pub warm_up: Option<WarmUp>,
}

/// How much of a rate is leased at a time, so that the lease costs nothing per message and little is lost with a crash.
const LEASE: Duration = Duration::from_millis(50);

/// Refusals of our credentials or settings in a row that stop a provider.
const MISCONFIGURED_MAX: u32 = 3;

/// A pause up to this long is that of a rate, and worth waiting for; a longer one was asked for by the provider.
const RATE_PAUSE_MAX: Duration = Duration::from_secs(1);

pub(super) struct ProviderSlots {
    pub(super) provider: SharedProvider,
    pub(super) name: Arc<str>,
    pub(super) limits: ProviderLimits,
    class: Class,
    slots: usize,
    pub(super) in_flight: usize,
    pub(super) breaker: Breaker,
    /// It asked for a pause, or its rate is spent until then.
    paused_until: Moment,
    tokens: u32,
    /// What is owed to it by weight.
    pub(super) credit: i64,
    /// What is owed to it as a small share, in millionths of a message.
    pub(super) small_credit: u32,
    pub(super) adaptive: Adaptive,
    /// Refusals of our credentials or settings since the last answered send.
    misconfigured: u32,
    shared: SharedState,
    /// The refusal of critical messages that it last went slower for.
    heeded: Moment,
}

/// What the classes and channels of a provider share.
#[derive(Debug, Default)]
pub(super) struct SharedState {
    /// Its receipts stay away; written by who reads them.
    pub(super) suspect: Arc<AtomicBool>,
    pub(super) refusals: Arc<Refused>,
}

impl ProviderSlots {
    pub(super) fn new(
        provider: SharedProvider,
        limits: ProviderLimits,
        class: Class,
        critical_share: f64,
        shared: SharedState,
    ) -> Self {
        let reserved = ((limits.max_in_flight as f64 * critical_share).ceil() as usize).clamp(1, limits.max_in_flight);
        let slots = match class {
            Class::Critical => reserved,
            Class::Bulk => limits.max_in_flight.saturating_sub(reserved).max(1),
        };
        Self {
            name: provider.name().into(),
            provider,
            limits,
            class,
            slots,
            in_flight: 0,
            breaker: Breaker::default(),
            paused_until: Moment::default(),
            tokens: 0,
            credit: 0,
            small_credit: 0,
            adaptive: Adaptive::new(slots),
            misconfigured: 0,
            // What was refused before this began was not because of it.
            heeded: shared.refusals.at(),
            shared,
        }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// Whether a job may go to it now, its rate aside.
    pub(super) fn usable(&self, now: Moment) -> bool {
        self.in_flight < self.adaptive.concurrency() && self.rests_until() <= now && self.breaker.allows(now)
    }

    /// Whether it is well enough to be failed over to, though its slots may be full now, or its rate spent for a moment.
    pub(super) fn healthy(&self, now: Moment) -> bool {
        self.rests_until() <= now + RATE_PAUSE_MAX && self.breaker.allows(now)
    }

    /// Whether its receipts stay away.
    pub(super) fn is_suspect(&self) -> bool {
        self.shared.suspect.load(Ordering::Relaxed)
    }

    pub(super) fn class(&self) -> Class {
        self.class
    }

    /// Takes one token of its rate, of the one that was learned first, which asks nobody; where none is left, leases some more, or
    /// pauses it until there are: for how long.
    pub(super) async fn take_token(
        &mut self,
        coordination: &SharedCoordination,
        (now, wall): (Moment, Timestamp),
    ) -> Result<(), Duration> {
        self.heed_refusals(now);
        if let Err(wait) = self.adaptive.take(now) {
            self.pause(now + wait);
            return Err(wait);
        }
        let Some(rate) = warm_up::rate(self.limits.rate, self.limits.warm_up, wall) else { return Ok(()) };
        if self.tokens == 0 {
            let wanted = (rate.per_second * LEASE.as_secs_f64()).ceil().max(1.0) as u32;
            let critical = self.class == Class::Critical;
            let lease = coordination.lease(&self.name, rate, wanted, critical).await;
            self.tokens = lease.granted;
            if lease.granted == 0 {
                self.adaptive.give_back();
                let wait = lease.retry_after.max(Duration::from_millis(1));
                self.pause(now + wait);
                return Err(wait);
            }
        }
        self.tokens -= 1;
        Ok(())
    }

    /// Whether it is the probe of an open breaker. What goes to an endpoint of its own is none: it says nothing of the others'.
    pub(super) fn begin(&mut self, endpoint: u32) -> bool {
        self.in_flight += 1;
        endpoint == 0 && self.breaker.begin()
    }

    /// A job ended: what it says of the provider. What goes to an endpoint of its own says nothing of the others'.
    pub(super) fn end(&mut self, done: &Finished, rule: &BreakerRule, now: Moment) {
        let under_way = self.in_flight;
        self.in_flight -= 1;
        if let Verdict::NotSent = done.verdict {
            self.give_back();
        }
        if done.endpoint != 0 {
            return;
        }
        let was_probe = done.probe.of_provider;
        match done.verdict {
            Verdict::Answered => {
                self.misconfigured = 0;
                self.breaker.succeed(was_probe);
                self.adaptive.answered(done.began, now, under_way);
            }
            Verdict::Failing => {
                self.misconfigured = 0;
                self.breaker.fail(was_probe, rule, now);
                self.adaptive.answered(done.began, now, under_way);
            }
            Verdict::Silent => {
                self.breaker.fail(was_probe, rule, now);
                self.adaptive.silent(done.began, now);
            }
            Verdict::Misconfigured => self.misconfigured(done, rule, now),
            Verdict::Throttled(retry_after) => {
                self.breaker.abandon(was_probe, now);
                self.throttled(retry_after, done.began, now);
            }
            Verdict::NotSent => self.breaker.abandon(was_probe, now),
        }
    }

    /// What was taken of the rate for a send that did not come about.
    fn give_back(&mut self) {
        self.adaptive.give_back();
        if self.limits.rate.is_some() || self.limits.warm_up.is_some() {
            self.tokens += 1;
        }
    }

    fn throttled(&mut self, retry_after: Option<Duration>, began: Moment, now: Moment) {
        let pause = self.adaptive.refused(began, now);
        let until = now + retry_after.map_or(pause, |asked| throttle_pause(Some(asked)));
        self.pause(until);
        if self.class == Class::Critical && self.limits.rate.is_none() {
            self.shared.refusals.tell(now, until);
        }
    }

    /// Until when it rests because critical messages were refused. Where a rate is configured they have their share of it.
    fn rests_until(&self) -> Moment {
        match self.class {
            Class::Bulk if self.limits.rate.is_none() => self.paused_until.max(self.shared.refusals.until()),
            _ => self.paused_until,
        }
    }

    /// Goes slower after critical messages were refused.
    fn heed_refusals(&mut self, now: Moment) {
        let at = self.shared.refusals.at();
        if self.class == Class::Bulk && self.limits.rate.is_none() && at > self.heeded {
            self.heeded = at;
            self.adaptive.refused_elsewhere(now);
        }
    }

    /// Some in a row, without an answered send between them, stop it, and so does a probe; one message that it finds wrong does not.
    /// Said once, and not for each message and probe.
    fn misconfigured(&mut self, done: &Finished, rule: &BreakerRule, now: Moment) {
        self.misconfigured = self.misconfigured.saturating_add(1);
        if self.breaker.is_closed() {
            if self.misconfigured < MISCONFIGURED_MAX {
                return;
            }
            let reason = match &done.leftover {
                Some(Leftover::Refused(_, Answer { kind: AnswerKind::Outcome(outcome), .. })) => outcome.reason(),
                _ => "",
            };
            tracing::error!(
                provider = %self.name,
                reason,
                "the provider does not accept our credentials or settings: nothing goes to it but a probe now and then, \
                 until it does"
            );
        }
        self.breaker.trip(done.probe.of_provider, rule, now);
    }

    /// How many more may go to it now.
    pub(super) fn room(&self, now: Moment) -> usize {
        match self.usable(now) {
            true if !self.breaker.is_closed() => 1,
            true => self.adaptive.concurrency().saturating_sub(self.in_flight),
            false => 0,
        }
    }

    fn pause(&mut self, until: Moment) {
        self.paused_until = self.paused_until.max(until);
    }

    /// When it may be usable again, if it is not for a reason that time heals.
    pub(super) fn usable_at(&self, now: Moment) -> Option<Moment> {
        let breaker = self.breaker.reopens().filter(|until| *until > now);
        let pause = Some(self.rests_until()).filter(|until| *until > now);
        breaker.max(pause)
    }
}

impl BreakerRule {
    pub(super) fn of(failures: u32, pause: Duration) -> Self {
        Self { failures: failures.max(1), pause }
    }
}

#[cfg(test)]
mod tests;
