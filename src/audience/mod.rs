//! From what happened to who is told of it: event types, and the rules that make notifications of events.
//!
//! In: events of other programs, through the API or the topic of events, and what people defined ([`Definitions`]). Out: requests, at the
//! one door for notifications. Promise: what comes of an event is durable before it is answered; an event that comes again under its id
//! makes nothing twice; and one that cannot be used is refused with the reason.

mod book;
mod counted;
mod event_type;
mod fan_out;
mod rule;
mod condition;
mod segment;
mod fill;
mod field;
mod declared;
pub(crate) mod json;
mod shipped;
mod definitions;
mod door;
mod read;
mod replay;
mod silence;
mod topic;

#[cfg(test)]
mod testing;

use async_trait::async_trait;

pub use book::{Draft, Drafted, RuleBook, Rulings};
pub use counted::CountedDoor;
pub use definitions::{DefinitionError, Definitions, Known, Origin, Saved};
pub use door::{RuleContents, RuleDoor};
pub use event_type::KnownType;
pub use fan_out::{FanOut, FanOuts};
pub use read::{EVENT_NAME_BYTES_MAX, EventReading, read_event};
pub use replay::EventReplays;
pub use rule::KnownRule;
pub use segment::Segment;
pub use shipped::{ShippedError, shipped};
pub use silence::watch_silence;
pub use topic::{EventTopic, EventTopicParts};

use crate::domain::{CampaignId, DomainEvent, NotificationId};
use crate::intake::{AcceptError, FieldProblem};

/// Takes events in.
#[async_trait]
pub trait EventDoor: Send + Sync + 'static {
    /// What became of each event, in their order. All that comes of them is durable on return; after an error some of it may be, and
    /// the same events may be handed in again.
    async fn take(&self, events: Vec<DomainEvent>) -> Result<Vec<Taken>, AcceptError>;
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    Used(Vec<Applied>),
    Refused(Refusal),
}

/// What a rule for the type of an event made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub rule: Box<str>,
    pub outcome: RuleOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleOutcome {
    /// One notification for each of its audience.
    Made { id: NotificationId, repeated: bool },
    /// Those who follow the subject are told by a campaign; the same event again is the same one.
    FannedOut { id: CampaignId },
    /// It holds, and nobody follows the subject who wants to be told.
    NobodyFollows,
    /// Its condition does not hold.
    ConditionFails,
    /// It holds, but no notification can be made: the event says of no user, or data is missing that the template needs.
    Impossible(Vec<FieldProblem>),
}

/// Why an event cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody declared its type.
    UnknownType { event_type: Box<str>, near: Option<Box<str>> },
    /// Its data is not what its type declares.
    Invalid(Vec<FieldProblem>),
}
