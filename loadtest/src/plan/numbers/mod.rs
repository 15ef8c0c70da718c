//! The numerics of the planner: straight lines, a curve and a queue through measured points, each with how sure it is. Points come in, laws
//! go out; nothing here knows what is measured. Promised: nothing panics on numbers that make no sense, and what cannot be told apart from the
//! points is `None`, never a guess.
//!
//! All intervals are of 95 %.

mod least_squares;
mod queue;
mod scaling;
mod student;

pub(crate) use least_squares::{Fit, Row, least_squares};
pub(crate) use queue::QueueLaw;
#[cfg(test)]
pub(crate) use queue::waiting;
pub(crate) use scaling::{Known, Scaling};

/// How far a mean of a sequence may be from the truth, one standard error, with neighbours being alike: by the means of blocks. Gives the
/// degrees of freedom too; none where there are fewer than four blocks.
pub(crate) fn standard_error(values: &[f64], block: usize) -> Option<(f64, f64)> {
    let means: Vec<f64> = values
        .chunks_exact(block.max(1))
        .map(|block| block.iter().sum::<f64>() / block.len() as f64)
        .filter(|mean| mean.is_finite())
        .collect();
    if means.len() < 4 {
        return None;
    }
    let count = means.len() as f64;
    let mean = means.iter().sum::<f64>() / count;
    let variance = means.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    Some(((variance / count).sqrt(), count - 1.0))
}

#[cfg(test)]
pub(crate) mod noise {
    //! Noise by a seed, for tests.

    use crate::random::Dice;

    /// A number by chance of the normal distribution (Box and Muller).
    pub(crate) fn normal(dice: &Dice) -> f64 {
        let (radius, angle) = (1.0 - dice.share(), dice.share());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// What no measurement should be, and what a careless one may be.
    pub(crate) const NONSENSE: [f64; 9] =
        [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 1e-300, 1e300];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Dice;

    #[test]
    fn the_error_of_a_mean_shrinks_with_the_root_of_how_much_there_is() {
        let dice = Dice::new(1);
        let values: Vec<f64> = (0..6400).map(|_| noise::normal(&dice)).collect();
        let (error, degrees) = standard_error(&values, 10).expect("enough");
        assert!((error - 1.0 / 80.0).abs() < 0.002, "{error}");
        assert_eq!(degrees, 639.0);
        assert_eq!(standard_error(&values[..39], 10), None);
        assert_eq!(standard_error(&[], 0), None);
    }
}
