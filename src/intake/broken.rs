//! A rule of intake that the simulation breaks on purpose, to see that it would notice. Only with the feature `simulation`.

#[cfg(feature = "simulation")]
use std::sync::atomic::{AtomicBool, Ordering};

/// What was planned before is not taken up when its record is read again.
#[cfg(feature = "simulation")]
pub static REPLAYED_IS_SKIPPED: AtomicBool = AtomicBool::new(false);

#[cfg(feature = "simulation")]
pub(super) fn skips_replayed() -> bool {
    REPLAYED_IS_SKIPPED.load(Ordering::Relaxed)
}

#[cfg(not(feature = "simulation"))]
pub(super) fn skips_replayed() -> bool {
    false
}
