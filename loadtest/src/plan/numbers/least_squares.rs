//! Ordinary least squares over a few columns: `y = c·x`, with how sure the coefficients are.
//!
//! An interval may rest on two things: on how far the points are from the law (with more points than coefficients), and on how much each
//! point wavered while it was measured. Where both are known the wider one is told. With neither there is no interval.

use super::student;

/// Below this share a column is a mixture of the others: what of it is its own is noise.
const OWN_MIN: f64 = 0.03;

/// One point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) x: Vec<f64>,
    pub(crate) y: f64,
    /// The standard error of `y` and its degrees of freedom, where it was watched for long enough.
    pub(crate) error: Option<(f64, f64)>,
}

/// The law.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fit {
    pub(crate) coefficients: Vec<f64>,
    /// Covariances of the coefficients and degrees of freedom, by the distance of the points from the law.
    by_distance: Option<(Vec<Vec<f64>>, f64)>,
    /// The same by the wavering of each point.
    by_wavering: Option<(Vec<Vec<f64>>, f64)>,
}

/// The law through the points; none with fewer points than columns, with columns that cannot be told apart, or with numbers that are none.
pub(crate) fn least_squares(rows: &[Row]) -> Option<Fit> {
    let columns = rows.first()?.x.len();
    let usable = |row: &Row| row.x.len() == columns && row.y.is_finite() && row.x.iter().all(|value| value.is_finite());
    if columns == 0 || rows.len() < columns || !rows.iter().all(usable) {
        return None;
    }
    let inverse = Triangular::of(rows, columns)?.solver();
    let apply = |weights: &[f64]| -> f64 { weights.iter().zip(rows).map(|(weight, row)| weight * row.y).sum() };
    let coefficients: Vec<f64> = inverse.iter().map(|weights| apply(weights)).collect();
    if !coefficients.iter().all(|value| value.is_finite()) {
        return None;
    }
    let degrees = (rows.len() - columns) as f64;
    let distance: f64 = rows.iter().map(|row| (row.y - dot(&coefficients, &row.x)).powi(2)).sum();
    let by_distance = (degrees > 0.0).then(|| (spread(&inverse, &vec![distance / degrees; rows.len()]), degrees));
    let errors: Option<Vec<(f64, f64)>> = rows.iter().map(|row| row.error).collect();
    let by_wavering = errors.filter(|errors| !errors.is_empty()).map(|errors| {
        let variances: Vec<f64> = errors.iter().map(|(error, _)| error * error).collect();
        let degrees = errors.iter().map(|(_, degrees)| *degrees).fold(f64::INFINITY, f64::min);
        (spread(&inverse, &variances), degrees)
    });
    Some(Fit { coefficients, by_distance, by_wavering })
}

impl Fit {
    /// What the law says at a place.
    pub(crate) fn at(&self, x: &[f64]) -> f64 {
        dot(&self.coefficients, x)
    }

    /// To either side of what a weighted sum of the coefficients comes to: of the law at a place, or of one coefficient.
    pub(crate) fn half_width(&self, weights: &[f64]) -> Option<f64> {
        let half = |(covariance, degrees): &(Vec<Vec<f64>>, f64)| {
            let variance: f64 = weights.iter().zip(covariance).map(|(weight, row)| weight * dot(row, weights)).sum();
            student::quantile(*degrees).map(|reach| reach * variance.max(0.0).sqrt()).filter(|half| half.is_finite())
        };
        let both = [self.by_distance.as_ref().and_then(half), self.by_wavering.as_ref().and_then(half)];
        both.into_iter().flatten().reduce(f64::max)
    }

    /// What the intervals rest on, in words.
    pub(crate) fn basis(&self) -> &'static str {
        match (&self.by_distance, &self.by_wavering) {
            (None, None) => "as many runs as unknowns and no long series: no interval",
            (None, Some(_)) => "as many runs as unknowns: the interval is by their wavering",
            (Some(_), None) => "the interval is by the distance of the runs",
            (Some(_), Some(_)) => "the interval is by the distance and the wavering of the runs",
        }
    }
}

/// Covariances of sums of `y` with these weights, of a variance each.
fn spread(inverse: &[Vec<f64>], variances: &[f64]) -> Vec<Vec<f64>> {
    let entry = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).zip(variances).map(|((a, b), variance)| a * b * variance).sum()
    };
    inverse.iter().map(|a| inverse.iter().map(|b| entry(a, b)).collect()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The columns as orthogonal directions of length 1 and the triangle that mixes them (Gram and Schmidt, modified).
struct Triangular {
    directions: Vec<Vec<f64>>,
    /// Of each column: its part along each direction up to its own.
    triangle: Vec<Vec<f64>>,
}

impl Triangular {
    fn of(rows: &[Row], columns: usize) -> Option<Self> {
        let (mut directions, mut triangle) = (Vec::<Vec<f64>>::new(), Vec::new());
        for column in 0..columns {
            let mut rest: Vec<f64> = rows.iter().map(|row| row.x[column]).collect();
            let whole = dot(&rest, &rest).sqrt();
            let mut parts = Vec::new();
            for direction in &directions {
                let part = dot(direction, &rest);
                rest.iter_mut().zip(direction).for_each(|(value, along)| *value -= part * along);
                parts.push(part);
            }
            let own = dot(&rest, &rest).sqrt();
            if !whole.is_normal() || own / whole < OWN_MIN || !own.is_normal() {
                return None;
            }
            parts.push(own);
            rest.iter_mut().for_each(|value| *value /= own);
            triangle.push(parts);
            directions.push(rest);
        }
        Some(Self { directions, triangle })
    }

    /// The weights of each `y` in each coefficient: from the last one back, less what later ones are of it.
    fn solver(&self) -> Vec<Vec<f64>> {
        let columns = self.directions.len();
        let mut weights: Vec<Vec<f64>> = self.directions.clone();
        for column in (0..columns).rev() {
            for later in column + 1..columns {
                let (known, part) = (weights[later].clone(), self.triangle[later][column]);
                weights[column].iter_mut().zip(known).for_each(|(weight, known)| *weight -= part * known);
            }
            let own = self.triangle[column][column];
            weights[column].iter_mut().for_each(|weight| *weight /= own);
        }
        weights
    }
}

#[cfg(test)]
mod tests {
    use super::super::noise::{NONSENSE, normal};
    use super::*;
    use crate::random::Dice;

    fn row(x: &[f64], y: f64) -> Row {
        Row { x: x.to_vec(), y, error: None }
    }

    #[test]
    fn coefficients_without_noise_are_found_exactly() {
        let dice = Dice::new(3);
        for columns in 1..=5 {
            let truth: Vec<f64> = (0..columns).map(|_| dice.share() * 10.0 - 5.0).collect();
            let rows: Vec<Row> = (0..columns + 3)
                .map(|_| {
                    let x: Vec<f64> = (0..columns).map(|_| dice.share()).collect();
                    row(&x, dot(&truth, &x))
                })
                .collect();
            let fit = least_squares(&rows).expect("independent columns");
            for (found, truth) in fit.coefficients.iter().zip(&truth) {
                assert!((found - truth).abs() < 1e-9, "{found} {truth}");
            }
        }
    }

    #[test]
    fn the_truth_lies_in_19_of_20_intervals() {
        let dice = Dice::new(11);
        let (mut within, tries) = ([0; 3], 2000);
        for _ in 0..tries {
            let rows: Vec<Row> = (1..=6)
                .map(|load| row(&[1.0, f64::from(load)], 0.5 + 0.2 * f64::from(load) + 0.05 * normal(&dice)))
                .collect();
            let fit = least_squares(&rows).expect("six loads");
            let looks = [([1.0, 0.0], 0.5), ([0.0, 1.0], 0.2), ([1.0, 9.0], 2.3)];
            for (count, (weights, truth)) in within.iter_mut().zip(looks) {
                let half = fit.half_width(&weights).expect("more points than coefficients");
                *count += usize::from((fit.at(&weights) - truth).abs() <= half);
            }
        }
        for count in within {
            assert!((0.935..=0.965).contains(&(count as f64 / f64::from(tries))), "{count} of {tries}");
        }
    }

    #[test]
    fn two_points_have_an_interval_by_their_wavering_only() {
        let mut rows = vec![row(&[1.0, 3.0], 1.0), row(&[1.0, 6.0], 2.0)];
        let bare = least_squares(&rows).expect("two loads");
        assert_eq!(bare.half_width(&[1.0, 9.0]), None);
        rows.iter_mut().for_each(|row| row.error = Some((0.01, 20.0)));
        let fit = least_squares(&rows).expect("two loads");
        assert!((fit.at(&[1.0, 9.0]) - 3.0).abs() < 1e-9);
        // At 9 the nearer point counts twice, the farther one once: 0.01·√5, times Student's 2.086.
        let half = fit.half_width(&[1.0, 9.0]).expect("both were watched");
        assert!((half - 0.01 * 5f64.sqrt() * 2.086).abs() < 1e-6, "{half}");
    }

    #[test]
    fn columns_that_cannot_be_told_apart_are_refused() {
        let mixed = [row(&[10.0, 1.0], 3.0), row(&[20.0, 2.001], 6.0), row(&[30.0, 3.0], 9.0)];
        assert_eq!(least_squares(&mixed), None);
        assert_eq!(least_squares(&[row(&[1.0, 5.0], 1.0)]), None);
        assert_eq!(least_squares(&[]), None);
        assert_eq!(least_squares(&[row(&[], 1.0)]), None);
        assert_eq!(least_squares(&[row(&[1.0], 1.0), row(&[1.0, 2.0], 1.0)]), None);
    }

    #[test]
    fn nonsense_gives_no_law_or_a_finite_one() {
        for a in NONSENSE {
            for b in NONSENSE {
                let rows = [row(&[1.0, a], b), row(&[1.0, b], a), row(&[a, 1.0], 1.0)];
                if let Some(fit) = least_squares(&rows) {
                    assert!(fit.coefficients.iter().all(|value| value.is_finite()), "{a} {b}");
                }
            }
        }
    }
}
