//! Version 1 of definitions, frozen: never edit a field here, make a `definition_v2.rs`. Kind, name and version are the row's key and its
//! version.

use bincode::{Decode, Encode};

#[derive(Encode)]
pub(super) struct DefinitionOut<'a> {
    pub(super) body: Option<&'a str>,
    pub(super) changed_at: u64,
}

#[derive(Decode)]
pub(super) struct Definition {
    pub(super) body: Option<Box<str>>,
    pub(super) changed_at: u64,
}
