//! The universal scalability law (Gunther 1993): what `n` nodes can do, `X(n) = λn / (1 + σ(n − 1) + κn(n − 1))`. λ is what one can, σ the share that only
//! one does at a time, κ what each pair costs by agreeing; with κ above 0 there is a number of nodes beyond which more do less.
//!
//! Fitted by Levenberg's and Marquardt's method in the throughputs themselves, beginning at the straight form `n/X = (1 + σ(n−1) + κn(n−1))/λ`.

use super::least_squares::{Row, least_squares};
use super::student;

/// The law, with how sure its parameters are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scaling {
    pub(crate) lambda: f64,
    pub(crate) sigma: f64,
    pub(crate) kappa: f64,
    /// How many parameters the points decided; the others are taken as known.
    pub(crate) fitted: usize,
    /// Of the fitted ones; none with as many points as parameters.
    covariance: Option<(Vec<Vec<f64>>, f64)>,
}

/// What is taken for σ and κ where points do not decide them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Known {
    pub(crate) sigma: f64,
    pub(crate) kappa: f64,
}

/// More nodes than this are not looked at.
const NODES_MAX: u32 = 10_000;

impl Scaling {
    /// Through points of nodes and throughput. One number of nodes decides λ, two λ and σ (κ is 0 then), three all.
    pub(crate) fn fit(points: &[(f64, f64)], known: Known) -> Option<Self> {
        let points: Vec<(f64, f64)> = points
            .iter()
            .copied()
            .filter(|(nodes, rate)| (1.0..=f64::from(NODES_MAX)).contains(nodes) && rate.is_finite() && *rate > 0.0)
            .collect();
        let mut counts: Vec<f64> = points.iter().map(|(nodes, _)| *nodes).collect();
        counts.sort_by(f64::total_cmp);
        counts.dedup();
        let start = match counts.len() {
            0 => return None,
            1 => vec![Self::lambda(&points, known)],
            2 => Self::straight(&points, 2)?,
            _ => Self::straight(&points, 3)?,
        };
        let known = if counts.len() == 1 { known } else { Known { sigma: 0.0, kappa: 0.0 } };
        let scaling = Self::refined(&points, start, known);
        (scaling.lambda.is_finite() && scaling.lambda > 0.0).then_some(scaling)
    }

    /// What so many nodes can do.
    pub(crate) fn at(&self, nodes: f64) -> f64 {
        throughput(nodes, &self.parameters())
    }

    /// Of λ (0), σ (1) or κ (2).
    pub(crate) fn parameter_half_width(&self, index: usize) -> Option<f64> {
        if index >= self.fitted {
            return None;
        }
        let mut weights = vec![0.0; self.fitted];
        weights[index] = 1.0;
        self.half(&weights)
    }

    /// The same growth, from what another node can do alone.
    pub(crate) fn with_lambda(&self, lambda: f64) -> Self {
        Self { lambda, covariance: None, ..self.clone() }
    }

    /// The fewest nodes that can do this, while so many of them are gone; none if no number can.
    pub(crate) fn nodes_for(&self, rate: f64, gone: u32) -> Option<u32> {
        (1..=NODES_MAX).find(|nodes| self.at(f64::from(*nodes)) >= rate).and_then(|nodes| nodes.checked_add(gone))
    }

    /// The number of nodes that can do the most, and how much that is, among those that are looked at.
    pub(crate) fn most(&self) -> (u32, f64) {
        let best =
            if self.kappa > 0.0 { ((1.0 - self.sigma).max(0.0) / self.kappa).sqrt() } else { f64::from(NODES_MAX) };
        let below = best.clamp(1.0, f64::from(NODES_MAX)).floor();
        let (nodes, rate) = [below, (below + 1.0).min(f64::from(NODES_MAX))]
            .map(|nodes| (nodes, self.at(nodes)))
            .into_iter()
            .fold((1.0, self.at(1.0)), |best, other| if other.1 > best.1 { other } else { best });
        (nodes as u32, rate)
    }

    fn parameters(&self) -> [f64; 3] {
        [self.lambda, self.sigma, self.kappa]
    }

    fn half(&self, weights: &[f64]) -> Option<f64> {
        let (covariance, degrees) = self.covariance.as_ref()?;
        let variance: f64 = weights
            .iter()
            .zip(covariance)
            .map(|(weight, row)| weight * row.iter().zip(weights).map(|(a, b)| a * b).sum::<f64>())
            .sum();
        student::quantile(*degrees).map(|reach| reach * variance.max(0.0).sqrt()).filter(|half| half.is_finite())
    }

    fn lambda(points: &[(f64, f64)], known: Known) -> f64 {
        let each = |(nodes, rate): &(f64, f64)| rate / throughput(*nodes, &[1.0, known.sigma, known.kappa]);
        points.iter().map(each).sum::<f64>() / points.len() as f64
    }

    /// The straight form, with so many parameters.
    fn straight(points: &[(f64, f64)], parameters: usize) -> Option<Vec<f64>> {
        let row = |(nodes, rate): &(f64, f64)| {
            let x = [1.0, nodes - 1.0, nodes * (nodes - 1.0)];
            Row { x: x[..parameters].to_vec(), y: nodes / rate, error: None }
        };
        let fit = least_squares(&points.iter().map(row).collect::<Vec<Row>>()).or_else(|| {
            // All at numbers so close that only their mean can be told.
            let mean = points.iter().map(|(nodes, rate)| nodes / rate).sum::<f64>() / points.len() as f64;
            let row = Row { x: vec![1.0], y: mean, error: None };
            least_squares(&[row])
        })?;
        let scale = *fit.coefficients.first().filter(|scale| **scale > 0.0)?;
        let mut start = vec![1.0 / scale];
        start.extend(
            (1..parameters).map(|index| fit.coefficients.get(index).map_or(0.0, |value| (value / scale).max(0.0))),
        );
        Some(start)
    }

    /// Levenberg's and Marquardt's steps from a start; σ and κ stay at 0 or above.
    fn refined(points: &[(f64, f64)], start: Vec<f64>, known: Known) -> Self {
        let fitted = start.len();
        let whole = |some: &[f64]| -> [f64; 3] {
            let rest = [0.0, known.sigma, known.kappa];
            std::array::from_fn(|index| some.get(index).copied().unwrap_or(rest[index]))
        };
        let distance = |some: &[f64]| -> f64 {
            points.iter().map(|(nodes, rate)| ((rate - throughput(*nodes, &whole(some))) / rate).powi(2)).sum()
        };
        let (mut best, mut damping) = (start, 1e-3);
        for _ in 0..200 {
            let Some(step) = damped_step(points, &whole(&best), fitted, damping) else { break };
            let mut next: Vec<f64> = best.iter().zip(&step).map(|(value, change)| (value + change).max(0.0)).collect();
            next[0] = next[0].max(best[0] / 10.0);
            let (before, after) = (distance(&best), distance(&next));
            if after < before {
                let is_done = before - after <= 1e-14 * before;
                (best, damping) = (next, (damping / 10.0).max(1e-12));
                if is_done {
                    break;
                }
            } else {
                damping *= 10.0;
                if damping > 1e12 {
                    break;
                }
            }
        }
        let degrees = points.len() as f64 - fitted as f64;
        let covariance = (degrees > 0.0)
            .then(|| inverse(&normal_matrix(points, &whole(&best), fitted)))
            .flatten()
            .map(|inverse| (times(&inverse, distance(&best) / degrees), degrees));
        let [lambda, sigma, kappa] = whole(&best);
        Self { lambda, sigma, kappa, fitted, covariance }
    }
}

fn throughput(nodes: f64, [lambda, sigma, kappa]: &[f64; 3]) -> f64 {
    lambda * nodes / (1.0 + sigma * (nodes - 1.0) + kappa * nodes * (nodes - 1.0))
}

/// By how much the throughput changes with each parameter.
fn slopes(nodes: f64, parameters: &[f64; 3]) -> [f64; 3] {
    let rate = throughput(nodes, parameters);
    let below = 1.0 + parameters[1] * (nodes - 1.0) + parameters[2] * nodes * (nodes - 1.0);
    [rate / parameters[0], -rate * (nodes - 1.0) / below, -rate * nodes * (nodes - 1.0) / below]
}

/// What each pair of parameters does together, over the points, each by its share.
fn normal_matrix(points: &[(f64, f64)], parameters: &[f64; 3], fitted: usize) -> Vec<Vec<f64>> {
    let mut matrix = vec![vec![0.0; fitted]; fitted];
    for (nodes, rate) in points {
        let slope = slopes(*nodes, parameters).map(|slope| slope / rate);
        for (row, line) in matrix.iter_mut().enumerate() {
            line.iter_mut().enumerate().for_each(|(column, value)| *value += slope[row] * slope[column]);
        }
    }
    matrix
}

fn damped_step(points: &[(f64, f64)], parameters: &[f64; 3], fitted: usize, damping: f64) -> Option<Vec<f64>> {
    let mut matrix = normal_matrix(points, parameters, fitted);
    for (index, row) in matrix.iter_mut().enumerate() {
        row[index] += damping * row[index].max(f64::MIN_POSITIVE);
    }
    let inverse = inverse(&matrix)?;
    let mut pull = vec![0.0; fitted];
    for (nodes, rate) in points {
        let slope = slopes(*nodes, parameters);
        let miss = (rate - throughput(*nodes, parameters)) / rate;
        pull.iter_mut().zip(slope).for_each(|(pull, slope)| *pull += slope / rate * miss);
    }
    Some(inverse.iter().map(|row| row.iter().zip(&pull).map(|(a, b)| a * b).sum()).collect())
}

fn times(matrix: &[Vec<f64>], factor: f64) -> Vec<Vec<f64>> {
    matrix.iter().map(|row| row.iter().map(|value| value * factor).collect()).collect()
}

/// Gauss's and Jordan's, of a small matrix, after scaling its diagonal to 1; none if it has no inverse.
fn inverse(matrix: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
    let size = matrix.len();
    let scale: Vec<f64> = (0..size).map(|index| matrix[index][index].sqrt()).collect();
    if !scale.iter().all(|scale| scale.is_normal()) {
        return None;
    }
    let mut left: Vec<Vec<f64>> = (0..size)
        .map(|row| (0..size).map(|column| matrix[row][column] / scale[row] / scale[column]).collect())
        .collect();
    let mut right: Vec<Vec<f64>> =
        (0..size).map(|row| (0..size).map(|column| f64::from(u8::from(row == column))).collect()).collect();
    for column in 0..size {
        let pivot = (column..size).max_by(|a, b| left[*a][column].abs().total_cmp(&left[*b][column].abs()))?;
        if !left[pivot][column].is_finite() || left[pivot][column].abs() < 1e-12 {
            return None;
        }
        left.swap(column, pivot);
        right.swap(column, pivot);
        let divisor = left[column][column];
        for side in [&mut left, &mut right] {
            side[column].iter_mut().for_each(|value| *value /= divisor);
        }
        for row in (0..size).filter(|row| *row != column) {
            let factor = left[row][column];
            for side in [&mut left, &mut right] {
                let source = side[column].clone();
                side[row].iter_mut().zip(source).for_each(|(value, along)| *value -= factor * along);
            }
        }
    }
    Some(
        (0..size)
            .map(|row| (0..size).map(|column| right[row][column] / scale[row] / scale[column]).collect())
            .collect(),
    )
}

#[cfg(test)]
#[path = "scaling_tests.rs"]
mod tests;
