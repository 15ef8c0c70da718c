//! Which rate to try next: doubled until one fails (or halved until one holds), then bisection. Pure.

/// Doublings or halvings without an end are a mistake in the scenario.
const WIDENINGS_MAX: u32 = 12;

/// A search that is told what came of each rate.
#[derive(Debug, Clone)]
pub(super) struct Bisection {
    start: f64,
    precision: f64,
    /// The highest rate that held, and the lowest that did not.
    held: Option<f64>,
    failed: Option<f64>,
    widenings: u32,
}

impl Bisection {
    pub(super) fn new(start: f64, precision: f64) -> Self {
        Self { start, precision, held: None, failed: None, widenings: 0 }
    }

    /// `None`: it is known well enough.
    pub(super) fn next(&self) -> Option<f64> {
        match (self.held, self.failed) {
            (None, None) => Some(self.start),
            _ if self.widenings > WIDENINGS_MAX => None,
            (Some(held), None) => Some(held * 2.0),
            (None, Some(failed)) => Some(failed / 2.0),
            (Some(held), Some(failed)) if failed / held - 1.0 <= self.precision => None,
            // Halves of the ratio: what matters is how close they are as a share.
            (Some(held), Some(failed)) => Some((held * failed).sqrt()),
        }
    }

    pub(super) fn tell(&mut self, rate: f64, holds: bool) {
        if self.held.is_none() || self.failed.is_none() {
            self.widenings += 1;
        }
        match holds {
            true => self.held = Some(self.held.map_or(rate, |held| held.max(rate))),
            false => self.failed = Some(self.failed.map_or(rate, |failed| failed.min(rate))),
        }
    }

    /// The highest rate that held; 0 where none did.
    pub(super) fn best(&self) -> f64 {
        self.held.unwrap_or(0.0)
    }
}

/// Of the rates of several searches, and the largest difference as a share of the median.
pub(super) fn median_and_spread(rates: impl Iterator<Item = f64>) -> (f64, f64) {
    let mut rates: Vec<f64> = rates.collect();
    rates.sort_by(f64::total_cmp);
    let (Some(first), Some(last)) = (rates.first(), rates.last()) else { return (0.0, 0.0) };
    let median = (rates[(rates.len() - 1) / 2] + rates[rates.len() / 2]) / 2.0;
    (median, if median > 0.0 { (last - first) / median } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_rate_is_found_from_below_and_from_above() {
        for (start, capacity) in [(100.0, 7300.0), (50_000.0, 7300.0), (7300.0, 7300.0), (1.0, 1.01)] {
            let mut search = Bisection::new(start, 0.03);
            let mut steps = 0;
            while let Some(rate) = search.next() {
                search.tell(rate, rate <= capacity);
                steps += 1;
                assert!(steps < 25, "from {start}");
            }
            let best = search.best();
            assert!(best <= capacity && best * 1.03 >= capacity * 0.999, "from {start}: {best} of {capacity}");
        }
    }

    #[test]
    fn a_search_ends_where_nothing_holds_or_nothing_fails() {
        for holds in [true, false] {
            let mut search = Bisection::new(10.0, 0.03);
            let mut steps = 0;
            while let Some(rate) = search.next() {
                search.tell(rate, holds);
                steps += 1;
            }
            assert!(steps <= 13, "{steps}");
            assert_eq!(search.best() > 0.0, holds);
        }
    }

    #[test]
    fn the_spread_is_a_share_of_the_median() {
        let (median, spread) = median_and_spread([110.0, 100.0, 95.0].into_iter());
        assert!((median - 100.0).abs() < 1e-9 && (spread - 0.15).abs() < 1e-9, "{median} {spread}");
        assert_eq!(median_and_spread(std::iter::empty()), (0.0, 0.0));
    }
}
