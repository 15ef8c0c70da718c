use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::dispatch::breaker::{Breaker, BreakerRule};
use crate::dispatch::slots::{ProviderLimits, SharedState};
use crate::domain::{Channel, Message, Outcome};
use crate::providers::Provider;

pub(in crate::dispatch) struct Named(pub(in crate::dispatch) &'static str);

#[async_trait]
impl Provider for Named {
    fn name(&self) -> &str {
        self.0
    }

    fn channels(&self) -> &[Channel] {
        &[Channel::Email]
    }

    async fn send(&self, _: &Message) -> Outcome {
        Outcome::Accepted { message_id: None }
    }

    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

pub(in crate::dispatch) fn provider(
    name: &'static str,
    weight: u32,
    canary: Option<f64>,
    class: Class,
) -> ProviderSlots {
    let canary = canary.map(|share| (share * f64::from(WHOLE)).round() as u32);
    let timeout = Duration::from_secs(1);
    let limits = ProviderLimits { max_in_flight: 8, timeout, weight, rate: None, canary, warm_up: None };
    ProviderSlots::new(Arc::new(Named(name)), limits, class, 0.5, SharedState::default())
}

fn bulk(name: &'static str, weight: u32, canary: Option<f64>) -> ProviderSlots {
    provider(name, weight, canary, Class::Bulk)
}

/// All of them take it.
fn any(_: usize, _: &ProviderSlots) -> Standing {
    Standing::May
}

/// Only one takes it.
fn only(name: &'static str) -> impl Fn(usize, &ProviderSlots) -> Standing {
    move |_, provider| if &*provider.name == name { Standing::May } else { Standing::TakesNot }
}

/// A brake keeps one from it.
fn paused(name: &'static str) -> impl Fn(usize, &ProviderSlots) -> Standing {
    move |_, provider| if &*provider.name == name { Standing::Paused } else { Standing::May }
}

/// How many of `count` new tasks each provider gets.
fn counts(providers: &mut [ProviderSlots], count: usize) -> Vec<usize> {
    let mut counts = vec![0; providers.len()];
    for _ in 0..count {
        if let Some(index) = choose(providers, Moment::default(), any) {
            counts[index] += 1;
        }
    }
    counts
}

fn break_down(provider: &mut ProviderSlots) {
    provider.breaker.trip(false, &BreakerRule::of(1, Duration::from_secs(60)), Moment::default());
}

#[test]
fn a_canary_gets_exactly_its_share_and_the_others_share_the_rest_by_weight() {
    let mut providers = [bulk("a", 3, None), bulk("b", 1, None), bulk("new", 100, Some(0.05))];
    assert_eq!(counts(&mut providers, 2000), [1425, 475, 100]);
    let order: Vec<usize> = (0..20).filter_map(|_| choose(&mut providers, Moment::default(), any)).collect();
    assert_eq!(order.iter().filter(|index| **index == 2).count(), 1, "it is spread: one of each twenty");
}

#[test]
fn a_canary_gets_nothing_that_is_critical_and_nothing_that_others_refused() {
    let mut providers = [provider("a", 1, None, Class::Critical), provider("new", 1, Some(0.5), Class::Critical)];
    assert_eq!(counts(&mut providers, 100), [100, 0]);
    let mut providers = [bulk("a", 1, None), bulk("new", 1, Some(0.5))];
    let tried = Tried::default().and(0);
    assert_eq!(choose_other(&mut providers, tried, Moment::default(), any), Other::Nowhere);
    let tried = Tried::default().and(1);
    assert_eq!(choose_other(&mut providers, tried, Moment::default(), any), Other::Usable(0));
}

#[test]
fn what_a_canary_missed_is_not_made_up_for() {
    let mut providers = [bulk("a", 1, None), bulk("new", 1, Some(0.1))];
    providers[1].in_flight = 4;
    assert_eq!(counts(&mut providers, 1000), [1000, 0]);
    providers[1].in_flight = 0;
    assert_eq!(counts(&mut providers, 100), [90, 10]);
}

#[test]
fn a_canary_waits_for_its_turn_though_the_others_have_no_room() {
    let mut providers = [bulk("a", 1, None), bulk("new", 1, Some(0.1))];
    providers[0].in_flight = 4;
    assert_eq!(counts(&mut providers, 100), [0, 0]);
    assert!(!any_room(&providers, Moment::default()));
    assert_eq!(room(&providers, Moment::default(), any), 0);
}

#[test]
fn a_canary_takes_over_all_but_what_is_critical_while_the_others_are_broken_or_paused() {
    let now = Moment::default();
    let check = |class: Class, expected: Option<usize>| {
        let mut broken = [provider("a", 1, None, class), provider("new", 1, Some(0.1), class)];
        assert_eq!(choose(&mut broken, now, paused("a")), expected, "{class:?}");
        break_down(&mut broken[0]);
        assert_eq!(choose(&mut broken, now, any), expected, "{class:?}");
        assert_eq!(room(&broken, now, any) > 0, expected.is_some(), "{class:?}");
        let refused = choose_other(&mut broken, Tried::default().and(0), now, any);
        assert_eq!(refused, expected.map_or(Other::Nowhere, Other::Usable), "{class:?}");
    };
    check(Class::Bulk, Some(1));
    check(Class::Critical, None);
}

#[test]
fn a_canary_that_alone_takes_a_task_is_a_provider_as_any_other_for_critical_ones_too() {
    let now = Moment::default();
    for class in Class::ALL {
        let mut providers = [provider("a", 1, None, class), provider("new", 1, Some(0.1), class)];
        assert_eq!(choose(&mut providers, now, only("new")), Some(1), "{class:?}");
        providers[0].in_flight = 4;
        assert_eq!(choose(&mut providers, now, only("new")), Some(1), "{class:?}: the other is full");
        assert_eq!(room(&providers, now, only("new")), 4, "{class:?}");
        assert_eq!(room(&providers, now, only("a")), 0, "{class:?}");
    }
    let mut alone = [provider("new", 1, Some(0.1), Class::Critical)];
    assert_eq!(counts(&mut alone, 10), [10]);
}

#[test]
fn there_is_room_for_as_many_as_are_given_a_provider() {
    let now = Moment::default();
    let mut providers = [bulk("a", 1, None), bulk("new", 1, Some(0.5))];
    providers[0].in_flight = 3;
    let expected = room(&providers, now, any);
    let mut given = 0;
    while let Some(index) = choose(&mut providers, now, any) {
        providers[index].begin(0);
        given += 1;
        assert_eq!(room(&providers, now, any) == 0, !any_room(&providers, now));
    }
    assert!(expected >= 1 && given >= expected, "{expected} of {given}");
    assert_eq!(room(&providers, now, any), 0, "nobody is given what nobody gets");
}

#[test]
fn a_provider_without_weight_gets_something_only_while_no_other_that_takes_it_is_well() {
    let now = Moment::default();
    let mut providers = [bulk("a", 1, None), bulk("reserve", 0, None), bulk("b", 3, None)];
    assert_eq!(counts(&mut providers, 100), [25, 0, 75]);
    assert_eq!(choose(&mut providers, now, only("reserve")), Some(1));
    providers[0].in_flight = 4;
    providers[2].in_flight = 4;
    assert_eq!(counts(&mut providers, 10), [0, 0, 0], "they are only full");
    assert_eq!(room(&providers, now, any), 0);
    break_down(&mut providers[0]);
    assert_eq!(choose(&mut providers, now, paused("b")), Some(1));
    break_down(&mut providers[2]);
    assert_eq!(counts(&mut providers, 10), [0, 10, 0]);
    let mut alone = [bulk("reserve", 0, None)];
    assert_eq!(counts(&mut alone, 10), [10]);
}

#[test]
fn what_all_others_refused_goes_to_the_one_without_weight() {
    let now = Moment::default();
    let mut providers = [bulk("a", 1, None), bulk("reserve", 0, None), bulk("b", 1, None)];
    let tried = Tried::default().and(0);
    assert_eq!(choose_other(&mut providers, tried, now, any), Other::Usable(2));
    assert_eq!(choose_other(&mut providers, tried.and(2), now, any), Other::Usable(1));
}

#[test]
fn who_is_suspect_gets_a_hundredth_until_no_other_is_well() {
    let suspect = Arc::new(AtomicBool::new(true));
    let limits = bulk("late", 1, None).limits;
    let shared = SharedState { suspect: suspect.clone(), ..SharedState::default() };
    let late = ProviderSlots::new(Arc::new(Named("late")), limits, Class::Bulk, 0.5, shared);
    let mut providers = [late, bulk("a", 1, None)];
    assert_eq!(counts(&mut providers, 1000), [10, 990]);
    break_down(&mut providers[1]);
    assert_eq!(counts(&mut providers, 10), [10, 0]);
    providers[1].breaker = Breaker::default();
    suspect.store(false, Ordering::Relaxed);
    let shared = counts(&mut providers, 1000);
    assert!(shared[0] >= 490, "{shared:?}");
}
