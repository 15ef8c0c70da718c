//! Version 2 of events, frozen: version 1, and which of several times it is, whether a program did it, and what it cost. An event with
//! none of it is still written in version 1.

use bincode::{Decode, Encode};

use super::{CodecError, v1};
use crate::domain::{self, Position};

#[derive(Encode)]
pub(super) struct EventOut<'a> {
    event: v1::EventOut<'a>,
    occasion: u64,
    by_machine: bool,
    cost: u64,
}

impl<'a> EventOut<'a> {
    /// `None`: version 1 says it all.
    pub(super) fn new(event: &'a domain::Event) -> Option<Self> {
        let domain::Event { occasion, by_machine, cost, .. } = *event;
        let says_more = occasion != 0 || by_machine || cost != 0;
        says_more.then(|| Self { event: event.into(), occasion, by_machine, cost })
    }
}

#[derive(Decode)]
pub(super) struct Event {
    event: v1::Event,
    occasion: u64,
    by_machine: bool,
    cost: u64,
}

impl Event {
    pub(super) fn into_domain(self, position: Position) -> Result<domain::Event, CodecError> {
        let Self { occasion, by_machine, cost, .. } = self;
        Ok(domain::Event { occasion, by_machine, cost, ..self.event.into_domain(position)? })
    }
}
