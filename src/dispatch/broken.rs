//! A rule of dispatch that the simulation breaks on purpose, to see that it would notice. Only with the feature `simulation`.

#[cfg(feature = "simulation")]
use std::sync::atomic::{AtomicBool, Ordering};

/// A group whose message is about to be sent is read without being closed to others first.
#[cfg(feature = "simulation")]
pub static GROUPS_STAY_OPEN: AtomicBool = AtomicBool::new(false);

#[cfg(feature = "simulation")]
pub(super) fn leaves_groups_open() -> bool {
    GROUPS_STAY_OPEN.load(Ordering::Relaxed)
}

#[cfg(not(feature = "simulation"))]
pub(super) fn leaves_groups_open() -> bool {
    false
}
