//! What a provider bears, learned from its answers: how many sends at once, and how many a second. Pure: time comes in.
//!
//! Both only ever lower what is configured, and without refusals the rate imposes nothing at all. After a refusal for the rate
//! ("429") the provider is given a little less than what it took lately; this climbs back in [`CLIMB`] steps, stays in [`HOLD`], and
//! then feels its way above, ever faster, until the next refusal. A step is a second, or the time of [`STEP_SENDS`] sends if that is
//! longer, so that a refusal costs less than a hundredth of what is sent however low the limit is; and it counts only while the
//! limit is what holds sends back, so that what nobody uses does not grow.
//!
//! Sends that began before a cut say nothing new: a hundred refusals that were under way together are one.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Moment;

/// What is left of what was taken lately after a refusal, and where the climb ends: a sawtooth this flat costs three in a hundred.
const CUT: f64 = 0.92;
const KNOWN_GOOD: f64 = 0.98;
/// What is left after a refusal so soon after a cut that nothing can be measured.
const BLIND_CUT: f64 = 0.85;
/// Steps from the cut rate to the known good one.
const CLIMB: f64 = 10.0;
/// Steps until more than that is tried: with the search, some forty between two refusals.
const HOLD: f64 = 30.0;
/// The search starts with this part of the rate, and doubles in so many steps: from half the limit it is there in 34.
const SEARCH: f64 = 0.01;
const SEARCH_DOUBLES: f64 = 5.0;
/// A measured rate that the one in force exceeds by more than this was not used up.
const LAG_MAX: f64 = 1.2;
const STEP: Duration = Duration::from_secs(1);
const STEP_SENDS: f64 = 3.0;
/// The part of the limit that must be used for a step to count.
const USED: f64 = 0.7;
/// A limit that was not met for so long, or outgrown so far, is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(900);
const OUTGROWN: f64 = 64.0;
/// One a minute. Below, hardly anything would be learned.
const RATE_MIN: f64 = 1.0 / 60.0;
/// Where too little was taken to say: a limit that is lower is found by the refusals that follow.
const RATE_UNKNOWN: f64 = 10.0;
/// What may go at once of the local bucket: a few ticks of the timers.
const BURST: f64 = 0.01;
/// The part of a send that a wake-up which comes late does not lose.
const LATE: f64 = 0.25;
/// What is measured of what was taken: at least so many within at least so long, and nothing older.
const MEASURED_SENDS: u64 = 30;
const MEASURED_MIN: Duration = Duration::from_secs(1);
const MEASURED_MAX: Duration = Duration::from_secs(120);
/// Fewer since the last cut say nothing.
const MEASURED_SINCE_CUT: u64 = 10;
const MARK: Duration = Duration::from_millis(50);
const MARKS_MAX: usize = 256;
/// The pause after a refusal that names none: short, since the rate is lowered; it doubles while nothing is taken.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What a provider bears, as one channel and class of one node knows it.
#[derive(Debug)]
pub(super) struct Adaptive {
    concurrency: Concurrency,
    taken: Taken,
    limit: Option<Limit>,
    /// Sends that began before then say nothing of the limit as it is now.
    cut_at: Option<Moment>,
    refused_in_a_row: u32,
}

impl Adaptive {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            concurrency: Concurrency::new(slots),
            taken: Taken::default(),
            limit: None,
            cut_at: None,
            refused_in_a_row: 0,
        }
    }

    /// How many sends may be under way: 1 up to the configured slots.
    pub(super) fn concurrency(&self) -> usize {
        self.concurrency.allowed()
    }

    /// Sends a second; `None`: it imposes nothing.
    pub(super) fn rate(&self) -> Option<f64> {
        self.limit.as_ref().map(Limit::rate)
    }

    /// Takes one send of the learned rate; an error: how long until there is one.
    pub(super) fn take(&mut self, now: Moment) -> Result<(), Duration> {
        let Some(limit) = &mut self.limit else { return Ok(()) };
        if limit.is_forgotten(now) {
            self.limit = None;
            return Ok(());
        }
        limit.take(now)
    }

    /// What was taken was not sent.
    pub(super) fn give_back(&mut self) {
        if let Some(limit) = &mut self.limit {
            limit.tokens += 1.0;
        }
    }

    /// The provider did its work, whatever it said; `under_way`: with this one.
    pub(super) fn answered(&mut self, began: Moment, now: Moment, under_way: usize) {
        self.refused_in_a_row = 0;
        self.taken.one(now);
        self.concurrency.answered(began, now, under_way);
        if let Some(limit) = &mut self.limit {
            limit.used(now);
        }
    }

    /// It did not answer.
    pub(super) fn silent(&mut self, began: Moment, now: Moment) {
        self.concurrency.reduce(Some(began), now, 0.5);
    }

    /// It said "too many". The pause is for answers that name none.
    pub(super) fn refused(&mut self, began: Moment, now: Moment) -> Duration {
        if self.cut_at.is_none_or(|cut_at| began > cut_at) {
            self.refused_in_a_row = self.refused_in_a_row.saturating_add(1);
            self.cut(now);
            self.concurrency.reduce(Some(began), now, 0.9);
        }
        let doubled = self.refused_in_a_row.saturating_sub(1).min(8);
        (PAUSE * (1 << doubled)).min(PAUSE_MAX)
    }

    /// Another class was told "too many" while this one was sending: both are asked for less. What it sends too seldom to be the
    /// cause is left as it is.
    pub(super) fn refused_elsewhere(&mut self, now: Moment) {
        if self.taken.is_recent(now) {
            self.cut(now);
        }
    }

    fn cut(&mut self, now: Moment) {
        let measured = self.taken.rate(self.cut_at, now);
        let met = match (measured, self.rate()) {
            // What was measured lags behind a rate that grows; what is borne lies between the two.
            (Some(measured), Some(rate)) if rate < measured * LAG_MAX => Met::known((measured + rate) / 2.0),
            // Of little that was sent little was taken: that says nothing of what more would have met.
            (Some(measured), Some(rate)) => Met::known(measured.max(lower(rate).min(RATE_UNKNOWN))),
            (Some(measured), None) if measured > RATE_UNKNOWN => Met::known(measured),
            (None, Some(rate)) => Met { bears: lower(rate), hold: CLIMB, at_once: 1.0 },
            (_, None) => Met { bears: RATE_UNKNOWN, hold: CLIMB, at_once: RATE_UNKNOWN },
        };
        self.limit = Some(Limit::new(met, now));
        self.cut_at = Some(now);
    }
}

/// After a refusal that says no more than that the rate was too much.
fn lower(rate: f64) -> f64 {
    rate * BLIND_CUT / CUT
}

/// What a refusal says.
struct Met {
    /// Sends a second.
    bears: f64,
    /// Steps until more is tried: what is only guessed is not held.
    hold: f64,
    /// What may go at once: of a mere guess a second's worth, so that the few messages of a quiet provider do not wait for each other.
    at_once: f64,
}

impl Met {
    fn known(bears: f64) -> Self {
        Self { bears, hold: HOLD, at_once: 1.0 }
    }
}

/// A rate that was met.
#[derive(Debug)]
struct Limit {
    cut_to: f64,
    good: f64,
    hold: f64,
    cut_at: Moment,
    /// How many steps were made since.
    steps: f64,
    step_began: Moment,
    used: f64,
    at_once: f64,
    tokens: f64,
    filled_at: Moment,
}

impl Limit {
    fn new(met: Met, now: Moment) -> Self {
        let cut_to = (met.bears * CUT).max(RATE_MIN);
        let good = (met.bears * KNOWN_GOOD).max(cut_to);
        let (cut_at, step_began, filled_at) = (now, now, now);
        let (at_once, tokens) = (met.at_once, met.at_once - 1.0);
        Self { cut_to, good, hold: met.hold, cut_at, steps: 0.0, step_began, used: 0.0, at_once, tokens, filled_at }
    }

    fn rate(&self) -> f64 {
        if self.steps < CLIMB {
            return self.cut_to + (self.good - self.cut_to) * self.steps / CLIMB;
        }
        self.good * self.search()
    }

    /// How far above what is known to be good.
    fn search(&self) -> f64 {
        let searched = (self.steps - self.hold).max(0.0);
        1.0 + SEARCH * ((searched / SEARCH_DOUBLES).exp2() - 1.0)
    }

    fn is_forgotten(&self, now: Moment) -> bool {
        now.since(self.cut_at) > FORGOTTEN_AFTER || self.search() > OUTGROWN
    }

    fn take(&mut self, now: Moment) -> Result<(), Duration> {
        let rate = self.rate();
        let burst = (rate * BURST).max(self.at_once);
        let tokens = self.tokens + rate * now.since(self.filled_at).as_secs_f64();
        // What was not asked for is not saved up: some count every interval anew.
        self.tokens = if tokens > burst + LATE { burst } else { tokens };
        self.filled_at = now;
        // A sum of fractions may miss a whole by a rounding error.
        if self.tokens + 1e-9 >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / rate).max(Duration::from_millis(1)))
    }

    /// One more was sent: a step is made when its time is over and enough of it was used.
    fn used(&mut self, now: Moment) {
        self.used += 1.0;
        let rate = self.rate();
        let step = STEP.as_secs_f64().max(STEP_SENDS / rate);
        let passed = now.since(self.step_began).as_secs_f64();
        if passed < step {
            return;
        }
        if self.used >= USED * rate * passed {
            self.steps += 1.0;
        }
        (self.step_began, self.used) = (now, 0.0);
    }
}

/// What was taken lately: how many there were in all, at some moments.
#[derive(Debug, Default)]
struct Taken {
    marks: VecDeque<(Moment, u64)>,
    total: u64,
}

impl Taken {
    fn one(&mut self, now: Moment) {
        if self.marks.back().is_none_or(|(at, _)| now.since(*at) >= MARK) {
            if self.marks.len() == MARKS_MAX {
                self.marks.pop_front();
            }
            self.marks.push_back((now, self.total));
        }
        self.total += 1;
    }

    /// Whether one was taken within the last second or so.
    fn is_recent(&self, now: Moment) -> bool {
        self.marks.back().is_some_and(|(at, _)| now.since(*at) <= STEP + MARK)
    }

    /// How many a second, and none from before `cut_at`; `None`: too few to say.
    fn rate(&self, cut_at: Option<Moment>, now: Moment) -> Option<f64> {
        let mut measured = None;
        for (at, before) in self.marks.iter().rev() {
            let (span, count) = (now.since(*at), self.total - before);
            if span > MEASURED_MAX || cut_at.is_some_and(|cut_at| *at < cut_at) {
                break;
            }
            measured = Some((span, count));
            if span >= MEASURED_MIN && count >= MEASURED_SENDS {
                break;
            }
        }
        let (span, count) = measured?;
        let is_enough = cut_at.is_none() || (span >= MEASURED_MIN && count >= MEASURED_SINCE_CUT);
        is_enough.then(|| count as f64 / span.max(MARK).as_secs_f64())
    }
}

/// How many sends may be under way: one more for each round of answers, less when the provider is silent, refuses, or takes much
/// longer than it used to.
#[derive(Debug)]
struct Concurrency {
    slots: f64,
    allowed: f64,
    reduced_at: Option<Moment>,
    latency: Latency,
}

/// Latency alone does not take away more than this: fewer sends make a slow provider no quicker.
const SLOW_SHARE: f64 = 0.25;

impl Concurrency {
    fn new(slots: usize) -> Self {
        let slots = slots.max(1) as f64;
        Self { slots, allowed: slots, reduced_at: None, latency: Latency::default() }
    }

    fn allowed(&self) -> usize {
        (self.allowed as usize).max(1)
    }

    fn answered(&mut self, began: Moment, now: Moment, under_way: usize) {
        self.latency.observe(now.since(began), now);
        if self.latency.is_high() {
            let enough = Duration::from_secs_f64(self.latency.lately).max(Duration::from_secs(1));
            if self.reduced_at.is_none_or(|at| now.since(at) >= enough) && self.allowed * 0.8 >= self.slots * SLOW_SHARE
            {
                self.reduce(None, now, 0.8);
            }
        } else if under_way as f64 >= self.allowed.floor() * 0.8 {
            self.allowed = (self.allowed + (self.slots / 64.0).max(1.0) / self.allowed).min(self.slots);
        }
    }

    /// What began before the last time says nothing new.
    fn reduce(&mut self, began: Option<Moment>, now: Moment, factor: f64) {
        if began.zip(self.reduced_at).is_some_and(|(began, reduced_at)| began <= reduced_at) {
            return;
        }
        self.allowed = (self.allowed * factor).max(1.0);
        self.reduced_at = Some(now);
    }
}

/// How long answers take, lately and usually.
#[derive(Debug, Default)]
struct Latency {
    lately: f64,
    usually: f64,
    samples: u32,
    at: Moment,
}

impl Latency {
    /// So quickly it gets used to a provider that became slower, in seconds.
    const GETS_USED: f64 = 300.0;
    /// Before, nothing is usual.
    const SAMPLES_MIN: u32 = 50;
    /// Differences below this are noise, in seconds.
    const NOISE: f64 = 0.02;

    fn observe(&mut self, latency: Duration, now: Moment) {
        let latency = latency.as_secs_f64();
        self.samples = self.samples.saturating_add(1);
        if self.samples == 1 {
            (self.lately, self.usually, self.at) = (latency, latency, now);
            return;
        }
        self.lately += (latency - self.lately) * 0.1;
        let passed = now.since(self.at).as_secs_f64();
        self.at = now;
        let part = match self.lately < self.usually || self.samples < Self::SAMPLES_MIN {
            true => 0.05,
            false => 1.0 - (-passed / Self::GETS_USED).exp(),
        };
        self.usually += (self.lately - self.usually) * part;
    }

    fn is_high(&self) -> bool {
        self.samples >= Self::SAMPLES_MIN && self.lately > self.usually * 2.0 + Self::NOISE
    }
}

#[cfg(test)]
mod tests;
