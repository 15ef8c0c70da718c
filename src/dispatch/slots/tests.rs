use std::time::Duration;

use super::*;
use crate::dispatch::sender::Probe;
use crate::dispatch::sharing::tests::Named;
use crate::domain::Priority;

const RULE: BreakerRule = BreakerRule { failures: 3, pause: Duration::from_secs(5) };

fn slots(class: Class, rate: Option<f64>, refusals: &Arc<Refused>) -> ProviderSlots {
    let rate = rate.map(|per_second| Rate { per_second, burst: per_second });
    let timeout = Duration::from_secs(1);
    let limits = ProviderLimits { max_in_flight: 64, timeout, weight: 1, rate, canary: None, warm_up: None };
    let shared = SharedState { refusals: refusals.clone(), ..SharedState::default() };
    ProviderSlots::new(Arc::new(Named("one")), limits, class, 0.5, shared)
}

fn bulk() -> ProviderSlots {
    slots(Class::Bulk, None, &Arc::default())
}

fn at(millis: u64) -> Moment {
    Moment(Duration::from_millis(millis))
}

/// One job from its begin to its end.
fn job(slots: &mut ProviderSlots, endpoint: u32, verdict: Verdict, now: Moment) {
    let of_provider = slots.begin(endpoint);
    let done = Finished {
        provider_index: 0,
        endpoint,
        priority: Priority::Normal,
        ready_since: Timestamp(0),
        verdict,
        probe: Probe { of_provider, of_endpoint: false },
        began: now,
        leftover: None,
    };
    slots.end(&done, &RULE, now);
}

#[test]
fn refused_settings_stop_a_provider_when_they_are_so_thrice_without_an_answered_send_between() {
    let mut slots = bulk();
    for verdict in [Verdict::Misconfigured, Verdict::Misconfigured, Verdict::Answered, Verdict::Misconfigured] {
        job(&mut slots, 0, verdict, at(0));
    }
    job(&mut slots, 0, Verdict::Misconfigured, at(0));
    assert!(slots.usable(at(0)), "one message that it finds wrong again and again does not stop it");
    job(&mut slots, 0, Verdict::Misconfigured, at(0));
    assert!(!slots.usable(at(4999)));
    job(&mut slots, 0, Verdict::Misconfigured, at(5000));
    assert!(!slots.usable(at(14_999)), "a probe that it refuses doubles the pause");
    job(&mut slots, 0, Verdict::Answered, at(15_000));
    assert!(slots.usable(at(15_000)));
}

#[test]
fn a_provider_that_only_says_that_it_cannot_is_left_until_a_probe_is_taken() {
    let mut slots = bulk();
    for verdict in [Verdict::Failing, Verdict::Failing, Verdict::Answered, Verdict::Failing, Verdict::Failing] {
        job(&mut slots, 0, verdict, at(0));
    }
    assert!(slots.usable(at(0)), "it took one between");
    for _ in 0..10 {
        job(&mut slots, 7, Verdict::Failing, at(0));
    }
    assert!(slots.usable(at(0)), "an endpoint that fails has messages of its own only");
    job(&mut slots, 0, Verdict::Failing, at(0));
    assert!(!slots.usable(at(4999)));
    job(&mut slots, 0, Verdict::Failing, at(5000));
    assert!(!slots.usable(at(14_999)));
    job(&mut slots, 0, Verdict::Answered, at(15_000));
    assert!(slots.usable(at(15_000)));
}

#[test]
fn what_goes_to_an_endpoint_of_its_own_says_nothing_of_the_provider() {
    let mut slots = bulk();
    let bears = slots.adaptive.concurrency();
    for verdict in [Verdict::Misconfigured, Verdict::Silent, Verdict::Throttled(None)] {
        for _ in 0..10 {
            job(&mut slots, 7, verdict, at(0));
        }
    }
    assert!(slots.usable(at(0)));
    assert_eq!((slots.adaptive.concurrency(), slots.adaptive.rate()), (bears, None));
    for _ in 0..3 {
        job(&mut slots, 0, Verdict::Silent, at(0));
    }
    job(&mut slots, 7, Verdict::Answered, at(6000));
    assert!(!slots.breaker.is_closed(), "an endpoint that answers closes nothing");
}

#[test]
fn critical_messages_that_are_refused_make_the_other_class_go_slower_where_no_rate_is_configured() {
    let check = |rate: Option<f64>, slower: bool| {
        let refusals = Arc::default();
        let mut critical = slots(Class::Critical, rate, &refusals);
        let mut bulk = slots(Class::Bulk, rate, &refusals);
        let mut idle = slots(Class::Bulk, rate, &refusals);
        for number in 0..200 {
            job(&mut bulk, 0, Verdict::Answered, at(number * 10));
        }
        job(&mut critical, 0, Verdict::Throttled(Some(Duration::from_secs(2))), at(2000));
        assert_eq!(bulk.usable(at(3999)), !slower, "{rate:?}: it rests as long");
        assert_eq!(bulk.usable_at(at(2000)).is_some(), slower);
        bulk.heed_refusals(at(2000));
        let learned = bulk.adaptive.rate();
        assert_eq!(learned.is_some_and(|learned| (80.0..100.0).contains(&learned)), slower, "{rate:?}: {learned:?}");
        bulk.heed_refusals(at(2100));
        assert_eq!(bulk.adaptive.rate(), learned, "each refusal counts once");
        idle.heed_refusals(at(2000));
        assert_eq!(idle.adaptive.rate(), None, "who sends nothing is not the cause");
    };
    check(None, true);
    check(Some(1000.0), false);
}

#[test]
fn what_is_not_sent_after_all_gives_its_tokens_back() {
    let mut slots = slots(Class::Bulk, Some(100.0), &Arc::default());
    job(&mut slots, 0, Verdict::NotSent, at(0));
    assert_eq!(slots.tokens, 1);
    let mut slots = bulk();
    job(&mut slots, 0, Verdict::Throttled(None), at(0));
    while slots.adaptive.take(at(1000)).is_ok() {}
    job(&mut slots, 0, Verdict::NotSent, at(1000));
    assert_eq!(slots.tokens, 0, "no rate is configured");
    assert_eq!(slots.adaptive.take(at(1000)), Ok(()));
    assert!(slots.adaptive.take(at(1000)).is_err());
}
