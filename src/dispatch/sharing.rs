//! Who of a channel's providers gets a task: by weight, and by a small share of its own who is new or looks unwell.

use super::ready::Class;
use super::slots::ProviderSlots;
use crate::clock::Moment;

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

/// One message, in the millionths that small shares are counted in.
pub(super) const WHOLE: u32 = 1_000_000;

/// The share of a provider whose receipts stay away: enough to see whether they come again.
const TRICKLE: u32 = WHOLE / 100;

/// What a provider is to one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It does not take the address.
    TakesNot,
    /// It takes it, and a brake keeps it from it now.
    Paused,
    May,
}

/// The provider for a new task. Who has a small share gets exactly that of what the others got beside it; the rest goes by weight.
pub(super) fn choose(
    providers: &mut [ProviderSlots],
    now: Moment,
    standing: impl Fn(usize, &ProviderSlots) -> Standing,
) -> Option<usize> {
    let may = |index: usize, provider: &ProviderSlots| standing(index, provider) == Standing::May;
    if !providers.iter().any(is_special) {
        return by_weight(providers, |index, provider| provider.usable(now) && may(index, provider));
    }
    let shares = Shares::of(providers, now, &standing);
    for (index, provider) in providers.iter_mut().enumerate() {
        let Part::Small(share) = shares.part(provider) else { continue };
        if provider.usable(now) && has_turn(provider, share) && may(index, provider) {
            provider.small_credit = provider.small_credit + share - WHOLE;
            return Some(index);
        }
    }
    let chosen = by_weight(providers, |index, provider| {
        shares.part(provider) == Part::ByWeight && provider.usable(now) && may(index, provider)
    })?;
    for (index, provider) in providers.iter_mut().enumerate() {
        if let Part::Small(share) = shares.part(provider)
            && may(index, provider)
        {
            // Its turn waits while it is full or unwell; what it could not have beside that is not made up for.
            provider.small_credit = (provider.small_credit + share).min(WHOLE - share);
        }
    }
    Some(chosen)
}

/// How many tasks of which the providers have these standings would be given one by [`choose`] now, their rates aside.
pub(super) fn room(
    providers: &[ProviderSlots],
    now: Moment,
    standing: impl Fn(usize, &ProviderSlots) -> Standing,
) -> usize {
    let shares = providers.iter().any(is_special).then(|| Shares::of(providers, now, &standing));
    let of_one = |(index, provider): (usize, &ProviderSlots)| {
        if standing(index, provider) != Standing::May {
            return 0;
        }
        match shares.as_ref().map_or(Part::ByWeight, |shares| shares.part(provider)) {
            Part::ByWeight => provider.room(now),
            Part::Small(share) if has_turn(provider, share) => provider.room(now).min(1),
            Part::Small(_) | Part::Nothing => 0,
        }
    };
    providers.iter().enumerate().map(of_one).sum()
}

/// Whether a task that all of them take may find one now.
pub(super) fn any_room(providers: &[ProviderSlots], now: Moment) -> bool {
    if !providers.iter().any(is_special) {
        return providers.iter().any(|provider| provider.usable(now));
    }
    room(providers, now, |_, _| Standing::May) > 0
}

/// Whether it may have another part than that of its weight.
fn is_special(provider: &ProviderSlots) -> bool {
    provider.limits.canary.is_some() || provider.limits.weight == 0 || provider.is_suspect()
}

/// One more message, and its credit is a whole.
fn has_turn(provider: &ProviderSlots, share: u32) -> bool {
    provider.small_credit + share >= WHOLE
}

/// What a provider gets of the tasks of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    ByWeight,
    /// In millionths.
    Small(u32),
    Nothing,
}

/// Who there is for the tasks of one kind beside those that are tried out, suspect or held in reserve: where nobody is, these are
/// providers as any other.
struct Shares {
    /// Some that are no canaries take them.
    others_take: bool,
    /// Some of these are well and may have them now.
    others_are_well: bool,
    /// And are not suspect.
    others_are_good: bool,
    /// And are not held in reserve.
    first_are_good: bool,
}

impl Shares {
    fn of(providers: &[ProviderSlots], now: Moment, standing: impl Fn(usize, &ProviderSlots) -> Standing) -> Self {
        let mut shares =
            Self { others_take: false, others_are_well: false, others_are_good: false, first_are_good: false };
        for (index, provider) in providers.iter().enumerate().filter(|(_, one)| one.limits.canary.is_none()) {
            let standing = standing(index, provider);
            let is_well = standing == Standing::May && provider.healthy(now);
            let is_good = is_well && !provider.is_suspect();
            shares.others_take |= standing != Standing::TakesNot;
            shares.others_are_well |= is_well;
            shares.others_are_good |= is_good;
            shares.first_are_good |= is_good && provider.limits.weight > 0;
        }
        shares
    }

    fn part(&self, provider: &ProviderSlots) -> Part {
        let is_critical = provider.class() == Class::Critical;
        match provider.limits.canary {
            Some(_) if self.others_take && is_critical => return Part::Nothing,
            Some(canary) if self.others_are_well => {
                return Part::Small(if provider.is_suspect() { canary.min(TRICKLE) } else { canary });
            }
            _ => {}
        }
        if provider.is_suspect() && self.others_are_good {
            return if is_critical { Part::Nothing } else { Part::Small(TRICKLE) };
        }
        if provider.limits.weight == 0 && self.first_are_good { Part::Nothing } else { Part::ByWeight }
    }
}

/// The next provider for a task that these refused. Never one of them again: that one would refuse it at once, and again, and
/// no attempt would be counted. Nor one that is tried out beside others that are well.
pub(super) fn choose_other(
    providers: &mut [ProviderSlots],
    tried: Tried,
    now: Moment,
    standing: impl Fn(usize, &ProviderSlots) -> Standing,
) -> Other {
    let others = Others::of(providers, tried, now, &standing);
    let is_usable = |index: usize, provider: &ProviderSlots| {
        provider.usable(now) && others.have(index, provider) && standing(index, provider) == Standing::May
    };
    if let Some(index) = by_weight(providers, is_usable) {
        return Other::Usable(index);
    }
    if another_is_well(providers, tried, now, standing) { Other::Soon } else { Other::Nowhere }
}

/// Whether one is well, did not refuse the task and may have it.
pub(super) fn another_is_well(
    providers: &[ProviderSlots],
    tried: Tried,
    now: Moment,
    standing: impl Fn(usize, &ProviderSlots) -> Standing,
) -> bool {
    let others = Others::of(providers, tried, now, &standing);
    let is_well = |(index, provider): (usize, &ProviderSlots)| {
        provider.healthy(now) && others.have(index, provider) && standing(index, provider) == Standing::May
    };
    providers.iter().enumerate().any(is_well)
}

/// Who is there for what some refused.
struct Others {
    tried: Tried,
    /// By all that take it: a canary is no way out while one of them is well, though it refused this one.
    all: Shares,
    /// By those that did not refuse it: what is in reserve is a way out.
    untried: Shares,
}

impl Others {
    fn of(
        providers: &[ProviderSlots],
        tried: Tried,
        now: Moment,
        standing: impl Fn(usize, &ProviderSlots) -> Standing,
    ) -> Self {
        let all = Shares::of(providers, now, &standing);
        let untried = Shares::of(providers, now, |index, provider| match tried.allows(index) {
            true => standing(index, provider),
            false => Standing::TakesNot,
        });
        Self { tried, all, untried }
    }

    fn have(&self, index: usize, provider: &ProviderSlots) -> bool {
        if !self.tried.allows(index) {
            return false;
        }
        match provider.limits.canary {
            Some(_) => self.all.part(provider) == Part::ByWeight,
            None => provider.limits.weight > 0 || !self.untried.first_are_good,
        }
    }
}

/// Chooses among the providers `usable` says yes to, by weight: the one with the most credit goes and pays for all.
fn by_weight(providers: &mut [ProviderSlots], usable: impl Fn(usize, &ProviderSlots) -> bool) -> Option<usize> {
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

#[cfg(test)]
pub(super) mod tests;
