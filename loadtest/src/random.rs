//! Randomness from a seed, so that a run can be repeated.

use std::sync::atomic::{AtomicU64, Ordering};

/// A sequence of numbers fixed by its seed, shared by all threads without a lock (SplitMix64, Steele et al. 2014).
pub(crate) struct Dice {
    state: AtomicU64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }

    /// The next number.
    pub(crate) fn roll(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.state.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next number as a share: at least 0, below 1.
    pub(crate) fn share(&self) -> f64 {
        (self.roll() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_numbers() {
        let (one, other) = (Dice::new(7), Dice::new(7));
        for _ in 0..100 {
            assert_eq!(one.roll(), other.roll());
        }
    }

    #[test]
    fn shares_are_spread_evenly() {
        let dice = Dice::new(1);
        let below = (0..10_000).filter(|_| dice.share() < 0.1).count();
        assert!((900..1100).contains(&below), "{below}");
    }
}
