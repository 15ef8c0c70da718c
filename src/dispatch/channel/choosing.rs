//! Which provider a channel gives a task to, and what it does with one that a provider refused.

use super::ChannelState;
use crate::clock::Moment;
use crate::dispatch::aside::Takers;
use crate::dispatch::ready::Ready;
use crate::dispatch::sender::Job;
use crate::dispatch::sharing::{Other, Standing, another_is_well, any_room, choose, choose_other, room};
use crate::dispatch::slots::ProviderSlots;
use crate::domain::{Address, BrakeSet, Timestamp};
use crate::outcomes::Answer;
use crate::ownership::Begin;

/// What there is for a task.
pub(super) enum Chosen {
    Provider(usize),
    /// One had room and was found to be out of tokens, and so is no longer usable.
    NoToken,
    /// Those that have room are paused for it by a brake; another one will have some.
    NotNow,
    /// Those that take it have no room for it, while others have.
    Aside(Takers),
    /// None of the channel takes it.
    Nobody,
}

/// What the clocks say now: pauses are measured by one, days counted by the other.
pub(super) type Now = (Moment, Timestamp);

impl ChannelState {
    /// The provider for a new task: by share among those that take it, have room, and that no brake keeps it from.
    pub(super) async fn provider(&mut self, now: Now, brakes: &BrakeSet, ready: &Ready) -> Chosen {
        let takers = address(ready).map(|address| Takers::of(&self.providers, address));
        if takers.is_some_and(Takers::is_nobody) {
            return Chosen::Nobody;
        }
        self.has_partial_takers |= takers.is_some_and(|takers| takers != Takers::those(&self.providers, |_| true));
        if let Some(index) = choose(&mut self.providers, now.0, standing(brakes, ready)) {
            return if self.take_token(index, now).await { Chosen::Provider(index) } else { Chosen::NoToken };
        }
        let without_brakes = |_: usize, provider: &ProviderSlots| match takes(provider, ready) {
            true => Standing::May,
            false => Standing::TakesNot,
        };
        match takers {
            Some(takers) if room(&self.providers, now.0, without_brakes) == 0 => Chosen::Aside(takers),
            // Those with room are paused by a brake.
            _ => Chosen::NotNow,
        }
    }

    /// Whether it is worth looking at the next task.
    pub(super) fn may_find_room(&self, now: Moment) -> bool {
        // Who waits for its turn beside others may be the only one that takes the next task.
        any_room(&self.providers, now)
            || (self.has_partial_takers && self.providers.iter().any(|provider| provider.usable(now)))
    }

    /// Brings back what was set aside and may go now.
    pub(super) fn bring_back(&mut self, now: Now) {
        if !self.aside.is_empty() {
            self.aside.bring_back(&mut self.lanes, &self.sharing, now, &self.providers);
        }
    }

    /// One token of a provider's rate; the provider pauses where there is none.
    async fn take_token(&mut self, index: usize, now: Now) -> bool {
        let taken = self.providers[index].take_token(&self.arguments.coordination, now).await;
        if let Err(wait) = taken {
            self.metrics.waits_for_rate(index, wait);
        }
        taken.is_ok()
    }

    /// Gives what one provider refused to another one, before anything new.
    pub(super) async fn hand_out_refused(&mut self, now: Now, brakes: &BrakeSet, jobs: &mut [Vec<Job>]) {
        let mut given_up = Vec::new();
        for (ready, answer) in std::mem::take(&mut self.refused) {
            match choose_other(&mut self.providers, ready.tried, now.0, standing(brakes, &ready)) {
                Other::Usable(index) if self.take_token(index, now).await => {
                    self.assign(ready, index, now.0, jobs);
                }
                Other::Usable(_) | Other::Soon => self.refused.push_back((ready, answer)),
                // A task that is being cancelled is not this actor's any more.
                Other::Nowhere if self.arguments.context.ownership.begin(ready.task) == Begin::Yes => {
                    self.promises.observe(&answer, ready.since, &self.arguments.context);
                    given_up.push(answer);
                }
                Other::Nowhere => {}
            }
        }
        if !given_up.is_empty() {
            self.arguments.context.settler.submit(given_up).await;
        }
    }

    /// A task that a provider certainly did not send waits for another one of the channel, if there is one that is well, did not
    /// refuse it and is not paused for it; otherwise the answer stands, and with it the next attempt has its time.
    pub(super) fn fail_over(
        &mut self,
        mut ready: Ready,
        answer: Answer,
        index: usize,
        now: Moment,
        given_up: &mut Vec<Answer>,
    ) {
        let tried = ready.tried.and(index);
        let has_room = self.refused.len() < self.providers.iter().map(ProviderSlots::slots).sum();
        let brakes = self.arguments.context.brakes.set();
        let is_other = another_is_well(&self.providers, tried, now, standing(&brakes, &ready));
        if has_room && ready.endpoint == 0 && is_other {
            ready.tried = tried;
            self.arguments.context.ownership.put_back(ready.task);
            self.refused.push_back((ready, answer));
        } else {
            self.promises.observe(&answer, ready.since, &self.arguments.context);
            given_up.push(answer);
        }
    }
}

/// Which providers take a task, and which of these a brake keeps it from.
fn standing<'a>(brakes: &'a BrakeSet, ready: &'a Ready) -> impl Fn(usize, &ProviderSlots) -> Standing + use<'a> {
    let tenant = ready.payload.as_ref().map_or("", |payload| &*payload.plan.tenant);
    move |_, provider| {
        if !takes(provider, ready) {
            Standing::TakesNot
        } else if !brakes.is_empty() && brakes.pauses_provider(tenant, &provider.name) {
            Standing::Paused
        } else {
            Standing::May
        }
    }
}

/// Where it goes, as far as its content is here.
fn address(ready: &Ready) -> Option<&Address> {
    let plan = &ready.payload.as_ref()?.plan;
    plan.tasks().get(usize::from(ready.task.ordinal)).map(|spec| &spec.address)
}

fn takes(provider: &ProviderSlots, ready: &Ready) -> bool {
    address(ready).is_none_or(|address| provider.provider.takes(address))
}
