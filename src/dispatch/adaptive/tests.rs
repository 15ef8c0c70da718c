//! A provider that counts, and the limiter before it, in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use proptest::prelude::*;

use super::*;

/// A token bucket behind a wire: what comes at `now` is refused if there is no token.
struct Server {
    rate: f64,
    tokens: f64,
    filled_at: f64,
}

impl Server {
    fn takes(&mut self, now: f64) -> bool {
        let burst = self.rate.max(1.0);
        self.tokens = (self.tokens + (now - self.filled_at) * self.rate).min(burst);
        self.filled_at = now;
        let takes = self.tokens >= 1.0;
        if takes {
            self.tokens -= 1.0;
        }
        takes
    }
}

/// More tasks than can be sent, one limiter, one server; answers come after `latency`.
struct Simulation {
    server: Server,
    adaptive: Adaptive,
    now: f64,
    tick: f64,
    latency: f64,
    retry_after: Option<f64>,
    paused_until: f64,
    /// When each answer comes, when its send began, and whether it was taken. Times in microseconds.
    answers: BinaryHeap<Reverse<(u64, u64, bool)>>,
    accepted: u64,
    refused: u64,
}

/// What came of a time.
struct Share {
    accepted_per_second: f64,
    refused: f64,
}

fn moment(seconds: f64) -> Moment {
    Moment(Duration::from_secs_f64(seconds))
}

impl Simulation {
    fn new(rate: f64, slots: usize, retry_after: Option<f64>) -> Self {
        Self {
            server: Server { rate, tokens: rate.max(1.0), filled_at: 0.0 },
            adaptive: Adaptive::new(slots),
            now: 0.0,
            tick: (0.2 / rate).clamp(0.002, 0.02),
            latency: 0.05,
            retry_after,
            paused_until: 0.0,
            answers: BinaryHeap::new(),
            accepted: 0,
            refused: 0,
        }
    }

    fn run(&mut self, seconds: f64) -> Share {
        let (accepted, refused, end) = (self.accepted, self.refused, self.now + seconds);
        while self.now < end {
            self.now += self.tick;
            self.land();
            self.send();
        }
        let (accepted, refused) = ((self.accepted - accepted) as f64, (self.refused - refused) as f64);
        Share { accepted_per_second: accepted / seconds, refused: refused / (accepted + refused).max(1.0) }
    }

    fn land(&mut self) {
        while let Some(Reverse((at, began, taken))) = self.answers.peek().copied() {
            let (at, began) = (at as f64 / 1e6, began as f64 / 1e6);
            if at > self.now {
                break;
            }
            let under_way = self.answers.len();
            self.answers.pop();
            if taken {
                self.accepted += 1;
                self.adaptive.answered(moment(began), moment(at), under_way);
            } else {
                self.refused += 1;
                let pause = self.adaptive.refused(moment(began), moment(at)).as_secs_f64();
                self.paused_until = self.paused_until.max(at + self.retry_after.unwrap_or(pause));
            }
        }
    }

    fn send(&mut self) {
        while self.paused_until <= self.now
            && self.answers.len() < self.adaptive.concurrency()
            && self.adaptive.take(moment(self.now)).is_ok()
        {
            let taken = self.server.takes(self.now);
            let micros = |seconds: f64| (seconds * 1e6) as u64;
            self.answers.push(Reverse((micros(self.now + self.latency), micros(self.now), taken)));
        }
    }
}

/// The limit is halved and given back; slots that would carry twice the limit.
fn check(rate: f64, retry_after: Option<f64>, settles: f64, recovers: f64, watched: f64) {
    let mut simulation = Simulation::new(rate, ((rate * 0.1) as usize).max(4), retry_after);
    let name = format!("{rate}/s, Retry-After {retry_after:?}");
    let expect = |share: &Share, limit: f64, phase: &str| {
        println!(
            "{name}, {phase}: {:.2}/s of {limit}/s, {:.3} % refused",
            share.accepted_per_second,
            share.refused * 100.0
        );
        let ratio = share.accepted_per_second / limit;
        assert!((0.9..=1.1).contains(&ratio), "{name}, {phase}: {ratio} of the limit");
        assert!(share.refused < 0.02, "{name}, {phase}: {} refused", share.refused);
    };
    simulation.run(settles);
    expect(&simulation.run(watched), rate, "at first");
    simulation.server.rate = rate / 2.0;
    simulation.run(settles);
    expect(&simulation.run(watched), rate / 2.0, "halved");
    simulation.server.rate = rate;
    simulation.run(recovers);
    expect(&simulation.run(watched), rate, "given back");
}

#[test]
fn a_limit_that_is_halved_and_given_back_is_followed_at_200_a_second() {
    check(200.0, None, 20.0, 100.0, 300.0);
    check(200.0, Some(1.0), 20.0, 100.0, 300.0);
}

#[test]
fn a_limit_of_one_a_second_is_followed() {
    check(1.0, None, 120.0, 600.0, 3000.0);
    check(1.0, Some(2.0), 120.0, 600.0, 3000.0);
}

#[test]
fn a_limit_of_twenty_thousand_a_second_is_followed() {
    check(20_000.0, None, 20.0, 100.0, 60.0);
}

#[test]
fn many_refusals_that_were_under_way_together_are_one() {
    let mut adaptive = Adaptive::new(64);
    for number in 0..100 {
        let at = 0.01 * f64::from(number);
        adaptive.answered(moment(at), moment(at + 0.005), 64);
    }
    for _ in 0..64 {
        adaptive.refused(moment(0.95), moment(1.0));
    }
    let rate = adaptive.rate().expect("it was met");
    assert!((80.0..100.0).contains(&rate), "{rate}");
    assert_eq!(adaptive.concurrency(), 57);
}

#[test]
fn what_nobody_uses_does_not_grow_and_is_forgotten_in_the_end() {
    let mut adaptive = Adaptive::new(64);
    (0..100).for_each(|number| adaptive.answered(moment(0.0), moment(0.01 * f64::from(number)), 1));
    adaptive.refused(moment(0.95), moment(1.0));
    let cut = adaptive.rate().expect("it was met");
    (2..800).for_each(|second| adaptive.answered(moment(f64::from(second)), moment(f64::from(second)), 1));
    assert_eq!(adaptive.rate(), Some(cut));
    assert_eq!(adaptive.take(moment(902.0)), Ok(()));
    assert_eq!(adaptive.rate(), None);
}

#[test]
fn silence_halves_what_is_under_way_and_answers_bring_it_back() {
    let mut adaptive = Adaptive::new(64);
    for second in 1..20 {
        adaptive.silent(moment(f64::from(second)), moment(f64::from(second) + 0.5));
    }
    assert_eq!(adaptive.concurrency(), 1);
    for number in 0..5000 {
        let at = moment(20.0 + f64::from(number) * 0.01);
        let under_way = adaptive.concurrency();
        adaptive.answered(at, at, under_way);
    }
    assert_eq!(adaptive.concurrency(), 64);
}

#[test]
fn a_provider_that_takes_much_longer_than_it_used_to_gets_fewer_at_once_and_never_less_than_a_quarter() {
    let mut adaptive = Adaptive::new(64);
    let mut at = 0.0;
    let mut answer = |adaptive: &mut Adaptive, latency: f64, count: usize| {
        for _ in 0..count {
            at += 0.05;
            let under_way = adaptive.concurrency();
            adaptive.answered(moment(at), moment(at + latency), under_way);
        }
    };
    answer(&mut adaptive, 0.05, 500);
    assert_eq!(adaptive.concurrency(), 64);
    answer(&mut adaptive, 0.5, 400);
    assert!((16..32).contains(&adaptive.concurrency()), "{}", adaptive.concurrency());
    answer(&mut adaptive, 0.05, 2000);
    assert_eq!(adaptive.concurrency(), 64);
}

proptest! {
    #[test]
    fn concurrency_stays_between_one_and_the_slots_and_rates_stay_rates(
        slots in 1usize..200,
        steps in prop::collection::vec((0u8..4, 0u64..5000, 0u64..20_000), 1..400),
    ) {
        let mut adaptive = Adaptive::new(slots);
        let mut now = Moment::default();
        let mut was_refused = false;
        for (step, wait, took) in steps {
            let began = now;
            now = now + Duration::from_millis(wait);
            let began = began.min(Moment(now.0.saturating_sub(Duration::from_millis(took))));
            match step {
                0 => adaptive.answered(began, now, slots),
                1 => adaptive.silent(began, now),
                2 => {
                    was_refused = true;
                    prop_assert!(adaptive.refused(began, now) <= PAUSE_MAX);
                }
                _ => if let Err(wait) = adaptive.take(now) {
                    prop_assert!(was_refused && wait <= Duration::from_secs(61));
                },
            }
            prop_assert!((1..=slots).contains(&adaptive.concurrency()));
            prop_assert!(adaptive.rate().is_none_or(|rate| rate.is_finite() && rate >= RATE_MIN));
            prop_assert!(was_refused || adaptive.rate().is_none());
        }
    }
}

#[test]
fn a_quiet_provider_that_refuses_once_is_not_slowed_down_to_what_it_was_sent() {
    let mut adaptive = Adaptive::new(8);
    let at = |seconds| Moment(Duration::from_secs(seconds));
    adaptive.answered(at(0), at(0), 1);
    adaptive.refused(at(60), at(60));
    assert!((0..5).all(|_| adaptive.take(at(61)).is_ok()));
}
