//! How a rate runs over time, and when its arrivals are: pure, and the same for the same seed.

use std::time::Duration;

use crate::random::Dice;

/// A rate over time: straight lines between points, so that how much came until when is exact.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    /// Seconds and the rate at them, rising in time. Two points at the same time are a step.
    points: Vec<(f64, f64)>,
    /// How much came until each point.
    sums: Vec<f64>,
}

impl Curve {
    /// `points` rise in time from 0 on, and no rate is below 0.
    pub(super) fn new(points: Vec<(f64, f64)>) -> Self {
        let mut sums = Vec::with_capacity(points.len());
        let mut sum = 0.0;
        for (index, (at, rate)) in points.iter().enumerate() {
            if let Some((before, rate_before)) = index.checked_sub(1).map(|index| points[index]) {
                sum += (at - before) * (rate + rate_before) / 2.0;
            }
            sums.push(sum);
        }
        Self { points, sums }
    }

    pub(super) fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    /// Everything that comes.
    pub(super) fn total(&self) -> f64 {
        self.sums.last().copied().unwrap_or(0.0)
    }

    /// The same, with every rate multiplied.
    pub(super) fn scaled(&self, factor: f64) -> Self {
        Self::new(self.points.iter().map(|(at, rate)| (*at, rate * factor)).collect())
    }

    /// When so much has come; `None` if never.
    pub(super) fn when(&self, amount: f64) -> Option<f64> {
        if amount > self.total() {
            return None;
        }
        let after = self.sums.partition_point(|sum| *sum < amount).clamp(1, self.sums.len().max(2) - 1);
        let ((from, rate), (to, rate_to)) = (*self.points.get(after - 1)?, *self.points.get(after)?);
        let missing = amount - self.sums[after - 1];
        let slope = if to > from { (rate_to - rate) / (to - from) } else { 0.0 };
        // rate · t + slope · t² / 2 = missing, in the form that is exact for small slopes as well.
        let root = (rate * rate + 2.0 * slope * missing).max(0.0).sqrt();
        let within = if root + rate > 0.0 { 2.0 * missing / (root + rate) } else { 0.0 };
        Some((from + within).min(to))
    }
}

/// How far apart arrivals are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spacing {
    Even,
    /// As those of many people who do not know each other.
    Poisson {
        seed: u64,
    },
}

/// The times of arrivals, one after the other.
pub(super) struct Arrivals {
    curve: Curve,
    dice: Option<Dice>,
    came: f64,
}

impl Arrivals {
    pub(super) fn new(curve: Curve, spacing: Spacing) -> Self {
        match spacing {
            // The first one comes at once.
            Spacing::Even => Self { curve, dice: None, came: 0.0 },
            Spacing::Poisson { seed } => Self { curve, dice: Some(Dice::new(seed)), came: 0.0 },
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let at = match &self.dice {
            None => {
                // What is left of a sum after very many additions must not make one more.
                let at = if self.came < self.curve.total() - 1e-6 { self.curve.when(self.came) } else { None };
                self.came += 1.0;
                at?
            }
            Some(dice) => {
                // 1 - share is above 0.
                self.came -= (1.0 - dice.share()).ln();
                self.curve.when(self.came)?
            }
        };
        Some(Duration::from_secs_f64(at.max(0.0)))
    }
}
