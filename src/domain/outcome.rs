//! What a provider's answer means. Every adapter speaks in these seven words and nothing else.

use std::time::Duration;

/// The meaning of one send. Reasons are for people: they carry no address, no secret, and at most a few hundred bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took it, which is not yet delivery.
    Accepted { message_id: Option<Box<str>> },
    /// The address, number or token is gone or has opted out: stop, and try the next channel of a fallback.
    DeadRecipient { reason: Box<str> },
    /// Our payload or parameters are wrong: stop, never retry.
    BadRequest { reason: Box<str> },
    /// Credential, permission or sender is wrong: stop this provider, not the message.
    Config { reason: Box<str> },
    /// A rate or quota was hit: wait, and spend no attempt.
    Throttled { reason: Box<str>, retry_after: Option<Duration> },
    /// Certainly not sent, and worth another try. `unreachable`: nobody answered at all (no connection, no name), which counts
    /// against the provider's breaker; an answer that says "later" does not.
    Transient { reason: Box<str>, retry_after: Option<Duration>, unreachable: bool },
    /// The bytes went out and no answer came: the provider may have sent it.
    Unknown { reason: Box<str> },
}

impl Outcome {
    /// The word of this outcome in metrics and in the story of a task.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Accepted { .. } => "accepted",
            Outcome::DeadRecipient { .. } => "dead_recipient",
            Outcome::BadRequest { .. } => "bad_request",
            Outcome::Config { .. } => "config",
            Outcome::Throttled { .. } => "throttled",
            Outcome::Transient { .. } => "transient",
            Outcome::Unknown { .. } => "unknown",
        }
    }

    /// Why, for people; empty when accepted.
    pub fn reason(&self) -> &str {
        match self {
            Outcome::Accepted { .. } => "",
            Outcome::DeadRecipient { reason }
            | Outcome::BadRequest { reason }
            | Outcome::Config { reason }
            | Outcome::Throttled { reason, .. }
            | Outcome::Transient { reason, .. }
            | Outcome::Unknown { reason } => reason,
        }
    }
}
