//! The gates: each says whether a notification may go on, and why not. One file a gate; a new one is a file and a line
//! in [`GATES`].

mod cancelled;
mod expiry;
mod idempotency;
mod dedup;

use super::{CandidateFacts, Policy};
use crate::domain::{NotificationRequest, Step, Timestamp, Verdict};

/// All that a gate may look at.
pub(super) struct Case<'a> {
    pub(super) request: &'a NotificationRequest,
    pub(super) facts: &'a CandidateFacts,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
}

pub(super) struct Gate {
    pub(super) step: Step,
    pub(super) judge: fn(&Case<'_>) -> Verdict,
    /// Whether the verdict rests on who holds a claim. The others are asked before anything is claimed.
    needs_claims: bool,
}

/// The gates in the order in which they are asked; the first to skip has the word.
pub(super) const GATES: [Gate; 4] = [
    Gate { step: Step::Cancelled, judge: cancelled::judge, needs_claims: false },
    Gate { step: Step::Expiry, judge: expiry::judge, needs_claims: false },
    Gate { step: Step::Idempotency, judge: idempotency::judge, needs_claims: true },
    Gate { step: Step::Dedup, judge: dedup::judge, needs_claims: true },
];

/// Whether every gate that needs no claims lets the notification pass.
pub(super) fn pass_without_claims(case: &Case<'_>) -> bool {
    GATES.iter().filter(|gate| !gate.needs_claims).all(|gate| (gate.judge)(case) == Verdict::Pass)
}
