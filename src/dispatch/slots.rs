//! The slots of one provider for one class: in-flight limit, breaker, rate and share.

use std::sync::Arc;
use std::time::Duration;

use super::breaker::{Breaker, BreakerRule};
use super::ready::Class;
use crate::clock::Moment;
use crate::coordination::{Rate, SharedCoordination};
use crate::providers::SharedProvider;

/// What a provider may be given, from its configuration.
#[derive(Debug, Clone, Copy)]
pub struct ProviderLimits {
    pub max_in_flight: usize,
    pub timeout: Duration,
    /// Its share among the providers of one channel.
    pub weight: u32,
    pub rate: Option<Rate>,
}

/// How much of a rate is leased at a time, so that the lease costs nothing per message and little is lost with a crash.
const LEASE: Duration = Duration::from_millis(50);

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
    credit: i64,
}

impl ProviderSlots {
    pub(super) fn new(provider: SharedProvider, limits: ProviderLimits, class: Class, critical_share: f64) -> Self {
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
        }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// Whether a job may go to it now, its rate aside.
    pub(super) fn usable(&self, now: Moment) -> bool {
        self.in_flight < self.slots && self.paused_until <= now && self.breaker.allows(now)
    }

    /// Whether it is well enough to be failed over to, though its slots may be full now, or its rate spent for a moment.
    fn healthy(&self, now: Moment) -> bool {
        self.paused_until <= now + RATE_PAUSE_MAX && self.breaker.allows(now)
    }

    /// Takes one token of its rate; where none is left, leases some more, or pauses it until there are: for how long.
    pub(super) async fn take_token(&mut self, coordination: &SharedCoordination, now: Moment) -> Result<(), Duration> {
        let Some(rate) = self.limits.rate else { return Ok(()) };
        if self.tokens == 0 {
            let wanted = (rate.per_second * LEASE.as_secs_f64()).ceil().max(1.0) as u32;
            let critical = self.class == Class::Critical;
            let lease = coordination.lease(&self.name, rate, wanted, critical).await;
            self.tokens = lease.granted;
            if lease.granted == 0 {
                let wait = lease.retry_after.max(Duration::from_millis(1));
                self.paused_until = now + wait;
                return Err(wait);
            }
        }
        self.tokens -= 1;
        Ok(())
    }

    pub(super) fn begin(&mut self) {
        self.in_flight += 1;
        self.breaker.begin();
    }

    pub(super) fn pause(&mut self, until: Moment) {
        self.paused_until = self.paused_until.max(until);
    }

    /// When it may be usable again, if it is not for a reason that time heals.
    pub(super) fn usable_at(&self, now: Moment) -> Option<Moment> {
        let breaker = self.breaker.reopens().filter(|until| *until > now);
        let pause = Some(self.paused_until).filter(|until| *until > now);
        breaker.max(pause)
    }
}

/// Which providers refused a task in this attempt, without having sent it. Beyond the sixteenth they are not told apart, and
/// count as tried.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tried(u16);

impl Tried {
    pub(super) fn and(self, index: usize) -> Self {
        Self(self.0 | 1u16.checked_shl(index as u32).unwrap_or(0))
    }

    fn allows(self, index: usize) -> bool {
        1u16.checked_shl(index as u32).is_some_and(|bit| self.0 & bit == 0)
    }
}

/// Where a task goes that some providers refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Other {
    Usable(usize),
    /// One is well, and will have room.
    Soon,
    /// None is well: the answer of the last one stands.
    Nowhere,
}

/// The next provider for a task that these refused. Never one of them again: that one would refuse it at once, and again, and
/// no attempt would be counted. Nor one that `may_have` says no to, which a brake keeps it from.
pub(super) fn choose_other(
    providers: &mut [ProviderSlots],
    tried: Tried,
    now: Moment,
    may_have: impl Fn(&ProviderSlots) -> bool,
) -> Other {
    let is_usable =
        |index: usize, provider: &ProviderSlots| tried.allows(index) && provider.usable(now) && may_have(provider);
    if let Some(index) = choose(providers, is_usable) {
        return Other::Usable(index);
    }
    if another_is_well(providers, tried, now, may_have) { Other::Soon } else { Other::Nowhere }
}

/// Whether one is well, did not refuse the task and may have it.
pub(super) fn another_is_well(
    providers: &[ProviderSlots],
    tried: Tried,
    now: Moment,
    may_have: impl Fn(&ProviderSlots) -> bool,
) -> bool {
    let is_well =
        |(index, provider): (usize, &ProviderSlots)| tried.allows(index) && provider.healthy(now) && may_have(provider);
    providers.iter().enumerate().any(is_well)
}

/// Chooses among the providers `usable` says yes to, by weight: the one with the most credit goes and pays for all.
pub(super) fn choose(providers: &mut [ProviderSlots], usable: impl Fn(usize, &ProviderSlots) -> bool) -> Option<usize> {
    let mut total = 0;
    let mut best: Option<usize> = None;
    for index in 0..providers.len() {
        if !usable(index, &providers[index]) {
            continue;
        }
        let weight = i64::from(providers[index].limits.weight.max(1));
        providers[index].credit += weight;
        total += weight;
        if best.is_none_or(|best| providers[index].credit > providers[best].credit) {
            best = Some(index);
        }
    }
    let best = best?;
    providers[best].credit -= total;
    Some(best)
}

impl BreakerRule {
    pub(super) fn of(failures: u32, pause: Duration) -> Self {
        Self { failures: failures.max(1), pause }
    }
}
