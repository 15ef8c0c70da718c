//! The one door for everything that waits.
