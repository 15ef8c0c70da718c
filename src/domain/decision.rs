//! Why a notification was sent, held or skipped: the verdicts of the gates, kept with the plan and shown to the caller.

use super::{Channel, NotificationId, Timestamp};

/// One gate's verdict. The order of a plan's decisions is the order in which they were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub step: Step,
    /// Set where the verdict is about one channel only.
    pub channel: Option<Channel>,
    pub verdict: Verdict,
}

/// What a gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// Not to be sent, and why.
    Skip(SkipReason),
    /// Not before `until`.
    Hold {
        until: Timestamp,
    },
    /// Told by the message of another one.
    Merge {
        into: NotificationId,
    },
}

/// The gates and the routing steps. The numbers are those of the rows and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    Cancelled = 0,
    Expiry = 1,
    Idempotency = 2,
    Dedup = 3,
    Routing = 4,
    Address = 5,
    SendTime = 6,
    /// What the user wants to hear, on each channel.
    Consent = 7,
    Suppression = 8,
    QuietHours = 9,
    Holidays = 10,
    /// How often the user got a message of this type.
    Fatigue = 11,
    /// How much the user got in a day.
    Caps = 12,
    /// Whether the user was erased after it was accepted.
    Erased = 13,
    /// What its category may cost in a day.
    Budget = 14,
    /// Whether somebody stopped it by hand.
    Brakes = 15,
    /// Whether it joins others of its group.
    Aggregation = 16,
    /// Whether its user is one of those who get nothing, so that one sees what sending does.
    Experiment = 17,
}

impl Step {
    pub const ALL: [Step; 18] = [
        Step::Cancelled,
        Step::Expiry,
        Step::Idempotency,
        Step::Dedup,
        Step::Routing,
        Step::Address,
        Step::SendTime,
        Step::Consent,
        Step::Suppression,
        Step::QuietHours,
        Step::Holidays,
        Step::Fatigue,
        Step::Caps,
        Step::Erased,
        Step::Budget,
        Step::Brakes,
        Step::Aggregation,
        Step::Experiment,
    ];

    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    pub fn name(self) -> &'static str {
        [
            "cancelled",
            "expiry",
            "idempotency",
            "dedup",
            "routing",
            "address",
            "send_time",
            "consent",
            "suppression",
            "quiet_hours",
            "holidays",
            "fatigue",
            "caps",
            "erased",
            "budget",
            "brakes",
            "aggregation",
            "experiment",
        ][self as usize]
    }
}

/// Why a notification or one of its channels was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkipReason {
    /// The same notification was accepted before, as `of`.
    Duplicate { of: NotificationId },
    /// Its `expires_at` had passed, or passes before it may be sent.
    Expired,
    /// The caller cancelled it before it was planned.
    Cancelled,
    /// Neither the request nor the user has an address for the channel.
    NoAddress,
    /// No provider is configured for the channel.
    NoProvider,
    /// A channel before it in the fallback order took the message.
    DeliveredElsewhere,
    /// The user does not want messages of its category on the channel.
    NoConsent,
    /// Nothing is sent to the address, whoever asks.
    Suppressed,
    /// The user got as many messages of this type as they may in the time.
    Fatigue,
    /// The user got as much of its category, or of all, as they may in a day.
    DailyCap,
    /// The user was erased after it was accepted.
    Erased,
    /// Its category has cost as much as it may in a day.
    Budget,
    /// The experiment of its template has nothing for the user.
    HeldBack,
}

impl SkipReason {
    /// What a word means as the reason of a task that was planned and then skipped.
    pub fn of_task(word: &str) -> Option<Self> {
        let reasons = [
            SkipReason::DeliveredElsewhere,
            SkipReason::NoAddress,
            SkipReason::NoConsent,
            SkipReason::Suppressed,
            SkipReason::Erased,
        ];
        reasons.into_iter().find(|reason| reason.name() == word)
    }

    /// The word of this reason in the API, the books and the metrics.
    pub fn name(&self) -> &'static str {
        match self {
            SkipReason::Duplicate { .. } => "duplicate",
            SkipReason::Expired => "expired",
            SkipReason::Cancelled => "cancelled",
            SkipReason::NoAddress => "no_address",
            SkipReason::NoProvider => "no_provider",
            SkipReason::DeliveredElsewhere => "delivered_elsewhere",
            SkipReason::NoConsent => "no_consent",
            SkipReason::Suppressed => "suppressed",
            SkipReason::Fatigue => "fatigue",
            SkipReason::DailyCap => "daily_cap",
            SkipReason::Erased => "erased",
            SkipReason::Budget => "budget",
            SkipReason::HeldBack => "held_back",
        }
    }
}
