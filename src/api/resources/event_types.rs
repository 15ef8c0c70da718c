//! `/v1/event-types`: what may happen, and what the data of it is.

use super::definitions::Shelf;
use crate::domain::DefinitionKind;

pub(in crate::api) struct EventTypes;

impl Shelf for EventTypes {
    const KIND: DefinitionKind = DefinitionKind::EventType;
    const PATH: &'static str = "/v1/event-types";
    const RESERVED: &'static [&'static str] = &[];
}
