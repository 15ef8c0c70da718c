//! Which of many users is meant: the first ones much more often than the rest, as people are (Zipf's law).

use crate::random::Dice;

/// Draws numbers below `count`, the k-th (from 1) in proportion to 1/k^exponent: rejection-inversion (Hörmann and Derflinger 1996),
/// which needs no table however many there are.
#[derive(Debug, Clone)]
pub(super) struct Zipf {
    count: f64,
    exponent: f64,
    /// The integral's ends, and what is always taken.
    low: f64,
    high: f64,
    taken: f64,
}

impl Zipf {
    /// With exponent 0 all are equally likely.
    pub(super) fn new(count: u64, exponent: f64) -> Self {
        let mut zipf = Self { count: count as f64, exponent, low: 0.0, high: 0.0, taken: 0.0 };
        zipf.low = zipf.integral(1.5) - 1.0;
        zipf.high = zipf.integral(zipf.count + 0.5);
        zipf.taken = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.weight(2.0));
        zipf
    }

    /// The next one, from 0 on.
    pub(super) fn draw(&self, dice: &Dice) -> u64 {
        loop {
            let at = self.high + dice.share() * (self.low - self.high);
            let x = self.inverse(at);
            let number = x.round().clamp(1.0, self.count);
            if number - x <= self.taken || at >= self.integral(number + 0.5) - self.weight(number) {
                return number as u64 - 1;
            }
        }
    }

    fn weight(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// Of the weight, from 1 to x.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        let power = (1.0 - self.exponent) * log;
        if power.abs() < 1e-8 { log } else { power.exp_m1() / power * log }
    }

    fn inverse(&self, y: f64) -> f64 {
        let power = (y * (1.0 - self.exponent)).max(-1.0);
        if power.abs() < 1e-8 { y.exp() } else { (power.ln_1p() / power * y).exp() }
    }
}
