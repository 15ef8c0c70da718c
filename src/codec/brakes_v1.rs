//! Version 1 of brakes, frozen: never edit a field here, make a `brakes_v2.rs`. Scope and effect are the row's key.

use bincode::{Decode, Encode};

/// What is known of a brake besides its key.
#[derive(Encode)]
pub(super) struct BrakeOut<'a> {
    pub(super) is_on: bool,
    pub(super) at: u64,
    pub(super) reason: Option<&'a str>,
}

#[derive(Decode)]
pub(super) struct Brake {
    pub(super) is_on: bool,
    pub(super) at: u64,
    pub(super) reason: Option<Box<str>>,
}
