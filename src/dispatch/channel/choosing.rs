//! Which provider a channel gives a task to, and what it does with one that a provider refused.

use super::ChannelState;
use crate::clock::Moment;
use crate::dispatch::ready::Ready;
use crate::dispatch::sender::Job;
use crate::dispatch::slots::{Other, ProviderSlots, another_is_well, choose, choose_other};
use crate::domain::BrakeSet;
use crate::outcomes::Answer;
use crate::ownership::Begin;

/// What there is for a task.
pub(super) enum Chosen {
    Provider(usize),
    /// One had room and was found to be out of tokens, and so is no longer usable.
    NoToken,
    /// Those that have room are paused for it by a brake; another one will have some.
    NotNow,
}

impl ChannelState {
    /// The provider for a new task: by weight among those that have room and that no brake keeps it from.
    pub(super) async fn provider(&mut self, now: Moment, brakes: &BrakeSet, ready: &Ready) -> Chosen {
        let may_have = may_have(brakes, ready);
        let chosen = choose(&mut self.providers, |_, provider| provider.usable(now) && may_have(provider));
        let Some(index) = chosen else { return Chosen::NotNow };
        if self.take_token(index, now).await { Chosen::Provider(index) } else { Chosen::NoToken }
    }

    /// One token of a provider's rate; the provider pauses where there is none.
    async fn take_token(&mut self, index: usize, now: Moment) -> bool {
        let taken = self.providers[index].take_token(&self.arguments.coordination, now).await;
        if let Err(wait) = taken {
            self.metrics.waits_for_rate(index, wait);
        }
        taken.is_ok()
    }

    /// Gives what one provider refused to another one, before anything new.
    pub(super) async fn hand_out_refused(&mut self, now: Moment, brakes: &BrakeSet, jobs: &mut [Vec<Job>]) {
        let mut given_up = Vec::new();
        for (ready, answer) in std::mem::take(&mut self.refused) {
            match choose_other(&mut self.providers, ready.tried, now, may_have(brakes, &ready)) {
                Other::Usable(index) if self.take_token(index, now).await => {
                    self.assign(ready, index, jobs);
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
        let is_other = another_is_well(&self.providers, tried, now, may_have(&brakes, &ready));
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

/// Which providers no brake keeps a task from.
fn may_have<'a>(brakes: &'a BrakeSet, ready: &'a Ready) -> impl Fn(&ProviderSlots) -> bool + use<'a> {
    let tenant = ready.payload.as_ref().map_or("", |payload| &*payload.plan.tenant);
    move |provider| brakes.is_empty() || !brakes.pauses_provider(tenant, &provider.name)
}
