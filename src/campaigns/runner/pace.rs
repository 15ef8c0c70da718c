//! How much of a campaign may be under way. Pure.
//!
//! What is handed on waits in the lanes behind what was there before, and whatever comes after it waits behind it. So no more is
//! handed on than is sent in a fraction of a second, as fast as it goes just now: others are delayed by that much at the most.

use std::time::Duration;

use crate::clock::Moment;

/// What is under way at least: a chunk that is small.
const WINDOW_MIN: usize = 1000;
const WINDOW_MAX: usize = 20_000;

/// How long what is under way should take to be sent.
const AHEAD: Duration = Duration::from_millis(600);

/// Over how long the speed is measured.
const MEASURED: Duration = Duration::from_millis(500);

/// How fast messages of a campaign are over, and what may be under way because of it.
#[derive(Debug)]
pub(super) struct Window {
    size: usize,
    since: Moment,
    ended: usize,
}

impl Window {
    pub(super) fn new(now: Moment) -> Self {
        Self { size: WINDOW_MIN, since: now, ended: 0 }
    }

    /// So many messages are over, or wait for a time.
    pub(super) fn note(&mut self, ended: usize, now: Moment) {
        self.ended += ended;
        let elapsed = now.since(self.since);
        if elapsed < MEASURED {
            return;
        }
        let per_second = self.ended as f64 / elapsed.as_secs_f64();
        let wanted = (per_second * AHEAD.as_secs_f64()) as usize;
        // Up by a half at a time, so that one good moment does not fill the lanes; down at once.
        self.size = wanted.min(self.size + self.size / 2).clamp(WINDOW_MIN, WINDOW_MAX);
        if wanted >= self.size / 2 {
            // What is under way is what holds it back, as far as can be told: try more.
            self.size = (self.size + self.size / 4).min(WINDOW_MAX);
        }
        (self.since, self.ended) = (now, 0);
    }

    /// How many more may be handed on while so many are under way.
    pub(super) fn room(&self, under_way: usize) -> usize {
        self.size.saturating_sub(under_way)
    }
}

/// A rate of a campaign's own: so many a second, and no more than a second's worth at once.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: u32,
    tokens: f64,
    at: Moment,
}

impl Rate {
    pub(super) fn new(per_second: u32, now: Moment) -> Self {
        Self { per_second, tokens: 0.0, at: now }
    }

    /// How many may be handed on now.
    pub(super) fn available(&mut self, now: Moment) -> usize {
        let per_second = f64::from(self.per_second);
        self.tokens = (self.tokens + now.since(self.at).as_secs_f64() * per_second).min(per_second.max(1.0));
        self.at = now;
        self.tokens as usize
    }

    pub(super) fn spend(&mut self, count: usize) {
        self.tokens -= count as f64;
    }

    /// How long until one more may be handed on.
    pub(super) fn wait(&self) -> Duration {
        let missing = (1.0 - self.tokens).max(0.0);
        Duration::from_secs_f64(missing / f64::from(self.per_second.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(millis: u64) -> Moment {
        Moment(Duration::from_millis(millis))
    }

    #[test]
    fn the_window_follows_how_fast_messages_are_over() {
        let mut window = Window::new(after(0));
        assert_eq!(window.room(0), WINDOW_MIN);
        let mut now = 0;
        for _ in 0..40 {
            now += 500;
            window.note(10_000, after(now));
        }
        let fast = window.room(0);
        assert!((12_000..=20_000).contains(&fast), "0.6 s of 20,000 a second, and what is tried: {fast}");
        for _ in 0..3 {
            now += 500;
            window.note(50, after(now));
        }
        assert_eq!(window.room(0), WINDOW_MIN, "slow at once");
        assert_eq!(window.room(WINDOW_MIN + 5), 0);
    }

    #[test]
    fn a_rate_gives_so_many_a_second_and_a_seconds_worth_at_once() {
        let mut rate = Rate::new(100, after(0));
        assert_eq!(rate.available(after(0)), 0);
        assert_eq!(rate.wait(), Duration::from_millis(10));
        assert_eq!(rate.available(after(250)), 25);
        rate.spend(25);
        assert_eq!(rate.available(after(60_000)), 100);
    }
}
