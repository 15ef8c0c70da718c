//! How a time grows with the utilisation of what serves: `base + k·w(ρ)`, where `w` is the waiting before `c` servers.
//!
//! `w(ρ) = ρ^(√(2(c+1)) − 1) / (1 − ρ)`: Sakasegawa's approximation of a queue before `c` servers (1977), which for one server is `ρ/(1 − ρ)`. What
//! the constant of it comes to, arrivals and work being what they are, is in `k`.

use super::least_squares::{Fit, Row, least_squares};

/// The law of one time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QueueLaw {
    pub(crate) servers: f64,
    /// With nothing else to do.
    pub(crate) base: f64,
    pub(crate) k: f64,
    /// Of what there are coefficients for.
    fit: Fit,
    columns: Columns,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Columns {
    Both,
    BaseOnly,
    WaitingOnly,
}

impl Columns {
    fn x(self, utilisation: f64, servers: f64) -> Vec<f64> {
        match self {
            Self::Both => vec![1.0, waiting(utilisation, servers)],
            Self::BaseOnly => vec![1.0],
            Self::WaitingOnly => vec![waiting(utilisation, servers)],
        }
    }
}

/// What waits before so many servers at a utilisation; without end from 1 on.
pub(crate) fn waiting(utilisation: f64, servers: f64) -> f64 {
    if utilisation >= 1.0 {
        return f64::INFINITY;
    }
    let exponent = (2.0 * (servers.max(1.0) + 1.0)).sqrt() - 1.0;
    utilisation.max(0.0).powf(exponent) / (1.0 - utilisation)
}

impl QueueLaw {
    /// Through points of utilisation and time. Each counts by its share, not its size: 1 ms of 10 as much as 10 of 100. A time that falls
    /// with the load, or would begin below nothing, has no such part.
    pub(crate) fn fit(points: &[(f64, f64)], servers: f64) -> Option<Self> {
        let points: Vec<(f64, f64)> = points
            .iter()
            .copied()
            .filter(|(utilisation, time)| (0.0..1.0).contains(utilisation) && time.is_finite() && *time > 0.0)
            .collect();
        let fit = |columns: Columns| {
            let scaled = |(utilisation, time): &(f64, f64)| Row {
                x: columns.x(*utilisation, servers).iter().map(|value| value / time).collect(),
                y: 1.0,
                error: None,
            };
            let fit = least_squares(&points.iter().map(scaled).collect::<Vec<Row>>())?;
            let (base, k) = match columns {
                Columns::Both => (fit.coefficients[0], fit.coefficients[1]),
                Columns::BaseOnly => (fit.coefficients[0], 0.0),
                Columns::WaitingOnly => (0.0, fit.coefficients[0]),
            };
            Some(Self { servers, base, k, fit, columns })
        };
        match fit(Columns::Both) {
            Some(law) if law.k < 0.0 => fit(Columns::BaseOnly),
            Some(law) if law.base < 0.0 => fit(Columns::WaitingOnly),
            Some(law) => Some(law),
            None => fit(Columns::BaseOnly),
        }
    }

    /// The time at a utilisation; without end from 1 on.
    pub(crate) fn at(&self, utilisation: f64) -> f64 {
        if utilisation >= 1.0 { f64::INFINITY } else { self.base + self.k * waiting(utilisation, self.servers) }
    }

    /// To either side of that; none where the points decide nothing more than the law, and from 1 on.
    pub(crate) fn half_width(&self, utilisation: f64) -> Option<f64> {
        if utilisation >= 1.0 { None } else { self.fit.half_width(&self.columns.x(utilisation, self.servers)) }
    }

    /// The utilisation up to which the time is no longer than this; none where it never is.
    pub(crate) fn reaches(&self, time: f64) -> Option<f64> {
        if time.is_nan() || self.at(0.0) > time {
            return None;
        }
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if self.at(middle) <= time { low = middle } else { high = middle }
        }
        Some(low)
    }

    /// Whether the points told it to grow at all.
    pub(crate) fn grows(&self) -> bool {
        self.k > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::noise::{NONSENSE, normal};
    use super::*;
    use crate::random::Dice;

    #[test]
    fn one_server_waits_as_the_textbook_says() {
        for utilisation in [0.0, 0.3, 0.6, 0.9] {
            assert!((waiting(utilisation, 1.0) - utilisation / (1.0 - utilisation)).abs() < 1e-12);
            assert!(waiting(utilisation, 8.0) <= waiting(utilisation, 1.0));
        }
        assert_eq!(waiting(1.0, 2.0), f64::INFINITY);
    }

    #[test]
    fn the_law_is_found_again_under_noise_of_some_percent() {
        let dice = Dice::new(5);
        for servers in [1.0, 2.0, 16.0] {
            let points: Vec<(f64, f64)> = (1..=40)
                .map(|step| f64::from(step) / 44.0)
                .map(|utilisation| {
                    (utilisation, (2.0 + 3.0 * waiting(utilisation, servers)) * (1.0 + 0.03 * normal(&dice)))
                })
                .collect();
            let law = QueueLaw::fit(&points, servers).expect("forty points");
            assert!((law.base - 2.0).abs() < 0.15 && (law.k - 3.0).abs() < 0.3, "{law:?}");
            let half = law.half_width(0.9).expect("forty points");
            assert!((law.at(0.9) - 2.0 - 3.0 * waiting(0.9, servers)).abs() < 2.0 * half);
            let back = law.reaches(law.at(0.7)).expect("above the base");
            assert!((back - 0.7).abs() < 1e-6, "{back}");
        }
    }

    #[test]
    fn a_time_that_falls_with_the_load_is_taken_as_constant() {
        let law = QueueLaw::fit(&[(0.3, 3.0), (0.6, 2.0)], 1.0).expect("two points");
        assert!(!law.grows());
        assert!((2.0..3.0).contains(&law.at(0.9)), "{}", law.at(0.9));
        assert_eq!(law.reaches(1.0), None);
    }

    #[test]
    fn nonsense_gives_no_law_or_a_finite_one() {
        for a in NONSENSE {
            for b in NONSENSE {
                if let Some(law) = QueueLaw::fit(&[(a, b), (b, a), (0.5, a)], b) {
                    assert!(law.base.is_finite() && law.k.is_finite() && law.base >= 0.0 && law.k >= 0.0, "{law:?}");
                    let _ = law.reaches(a);
                }
            }
        }
    }
}
