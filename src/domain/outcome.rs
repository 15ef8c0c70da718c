//! What a provider's answer means. Every adapter speaks in these seven words and nothing else.

use std::time::Duration;

use super::Timestamp;

/// The meaning of one send. Reasons are for people: they carry no address, no secret, and at most a few hundred bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took it, which is not yet delivery.
    Accepted { message_id: Option<Box<str>> },
    /// The address, number or token is gone or has opted out: stop, and try the next channel of a fallback.
    DeadRecipient { reason: Box<str>, death: Death },
    /// Our payload or parameters are wrong: stop, never retry.
    BadRequest { reason: Box<str> },
    /// Credential, permission or sender is wrong: stop this provider, not the message.
    Config { reason: Box<str> },
    /// A rate or quota was hit: wait, and spend no attempt.
    Throttled { reason: Box<str>, retry_after: Option<Duration>, whose: Whose },
    /// Certainly not sent, and worth another try. `unreachable`: nobody answered at all (no connection, no name), which counts
    /// against the provider's breaker; an answer that says "later" does not.
    Transient { reason: Box<str>, retry_after: Option<Duration>, unreachable: bool },
    /// The bytes went out and no answer came: the provider may have sent it.
    Unknown { reason: Box<str> },
}

/// What is known of an address that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Death {
    /// Since when, by the provider's clock: a token that was registered later lives. `None`: when the provider was asked.
    pub since: Option<Timestamp>,
    /// Somebody there asked for nothing more, as opposed to nobody being there.
    pub is_opt_out: bool,
}

/// Whose rate was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Ours with the provider: it rests.
    Account,
    /// That of this one recipient: others may go on.
    Recipient,
}

impl Outcome {
    /// Gone, with nothing more known.
    pub fn dead(reason: impl Into<Box<str>>) -> Self {
        Outcome::DeadRecipient { reason: reason.into(), death: Death::default() }
    }

    /// Our rate with the provider was hit.
    pub fn throttled(reason: impl Into<Box<str>>, retry_after: Option<Duration>) -> Self {
        Outcome::Throttled { reason: reason.into(), retry_after, whose: Whose::Account }
    }

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
            Outcome::DeadRecipient { reason, .. }
            | Outcome::BadRequest { reason }
            | Outcome::Config { reason }
            | Outcome::Throttled { reason, .. }
            | Outcome::Transient { reason, .. }
            | Outcome::Unknown { reason } => reason,
        }
    }
}
