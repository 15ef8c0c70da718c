//! The gates: each says whether a notification may go on, on which channels, and when; and why not. One file a gate; a new one is
//! a file and a line in one of the lists here.

mod cancelled;
mod brakes;
mod expiry;
mod idempotency;
mod erased;
mod dedup;
mod experiment;
mod provider;
mod consent;
mod address;
mod suppression;
mod quiet_hours;
mod holidays;
mod fatigue;
mod caps;
mod budget;

pub(super) use address::{add as add_addresses, text as address_text};
pub(super) use brakes::stop_ways;

use std::time::Duration;

use super::send_time::{self, Times};
use super::{CandidateFacts, Policy};
use crate::domain::{Category, Channel, NotificationRequest, Step, Timestamp, User, Verdict, Zone};

/// How long a notification is worth sending, from its send time on, where the request does not say.
pub(super) const LIFETIME: Duration = Duration::from_secs(72 * 3600);

/// All that a gate may look at.
pub(super) struct Case<'a> {
    pub(super) request: &'a NotificationRequest,
    pub(super) facts: &'a CandidateFacts,
    pub(super) policy: &'a Policy,
    pub(super) category: &'a Category,
    pub(super) now: Timestamp,
    /// When it would go out, and what holds it until then.
    pub(super) times: Times,
}

impl<'a> Case<'a> {
    pub(super) fn new(
        request: &'a NotificationRequest,
        facts: &'a CandidateFacts,
        policy: &'a Policy,
        now: Timestamp,
    ) -> Self {
        let category = policy.category(request);
        let mut case = Self { request, facts, policy, category, now, times: Times::default() };
        case.times = send_time::find(&case);
        case
    }

    /// When it is worth nothing any more. Nothing waits for ever: what nobody could deliver for three days is no news any more.
    /// `leads`: when its group closes, if it leads one.
    pub(super) fn expires_at(&self, leads: Option<Timestamp>) -> Timestamp {
        let request = self.request;
        let start =
            leads.or(self.times.due).or(request.deliver_at).unwrap_or(request.accepted_at).max(request.accepted_at);
        request.expires_at.unwrap_or(start + LIFETIME)
    }

    pub(super) fn user(&self) -> Option<&'a User> {
        self.facts.user.as_deref()
    }
}

/// A gate for the notification as a whole.
pub(super) struct Gate {
    pub(super) step: Step,
    pub(super) judge: fn(&Case<'_>) -> Verdict,
    /// Whether there is anything to judge.
    pub(super) is_asked: fn(&Case<'_>) -> bool,
    /// Whether the verdict rests on who holds a claim. The others are asked before anything is claimed.
    needs_claims: bool,
}

/// A gate for one of its channels.
pub(super) struct ChannelGate {
    pub(super) step: Step,
    pub(super) judge: fn(&Case<'_>, Channel) -> Verdict,
}

/// A gate that holds it for a time: at an instant, until when.
pub(super) struct HoldGate {
    pub(super) step: Step,
    pub(super) until: fn(&Case<'_>, &Zone, Timestamp) -> Option<Timestamp>,
}

/// The gates in the order in which they are asked; the first to skip has the word.
pub(super) const GATES: [Gate; 10] = [
    Gate { step: Step::Cancelled, judge: cancelled::judge, is_asked: always, needs_claims: false },
    Gate { step: Step::Expiry, judge: expiry::judge, is_asked: is_readable, needs_claims: false },
    Gate { step: Step::Idempotency, judge: idempotency::judge, is_asked: leads_nobody, needs_claims: true },
    Gate { step: Step::Erased, judge: erased::judge, is_asked: erased::is_asked, needs_claims: false },
    Gate { step: Step::Brakes, judge: brakes::judge, is_asked: brakes::is_asked, needs_claims: false },
    Gate { step: Step::Dedup, judge: dedup::judge, is_asked: leads_nobody, needs_claims: true },
    Gate { step: Step::Experiment, judge: experiment::judge, is_asked: experiment::is_asked, needs_claims: false },
    Gate { step: Step::Fatigue, judge: fatigue::judge, is_asked: fatigue::is_asked, needs_claims: false },
    Gate { step: Step::Caps, judge: caps::judge, is_asked: caps::is_asked, needs_claims: false },
    Gate { step: Step::Budget, judge: budget::judge, is_asked: budget::is_asked, needs_claims: false },
];

fn always(_: &Case<'_>) -> bool {
    true
}

/// When it is worth nothing any more stands in what cannot be read.
fn is_readable(case: &Case<'_>) -> bool {
    !case.facts.is_unreadable
}

/// Others stand under one that is planned again, and may have been planned so: were it a duplicate now, nobody would tell of them.
fn leads_nobody(case: &Case<'_>) -> bool {
    !case.facts.leads
}

/// Those that each channel is asked for, in this order.
pub(super) const CHANNEL_GATES: [ChannelGate; 4] = [
    ChannelGate { step: Step::Routing, judge: provider::judge },
    ChannelGate { step: Step::Consent, judge: consent::judge },
    ChannelGate { step: Step::Address, judge: address::judge },
    ChannelGate { step: Step::Suppression, judge: suppression::judge },
];

/// Those that hold. They are asked again and again until none of them holds any longer.
pub(super) const HOLD_GATES: [HoldGate; 2] = [
    HoldGate { step: Step::QuietHours, until: quiet_hours::until },
    HoldGate { step: Step::Holidays, until: holidays::until },
];

/// What may have changed on a channel since it was planned: the gates that ask what is known of the user and the address.
pub(super) fn judge_again(case: &Case<'_>, channel: Channel) -> Verdict {
    let verdicts = [erased::judge(case), consent::judge(case, channel), suppression::judge(case, channel)];
    verdicts.into_iter().find(|verdict| *verdict != Verdict::Pass).unwrap_or(Verdict::Pass)
}

/// Whether the gates that count what the user got let the notification pass.
pub(super) fn pass_counts(case: &Case<'_>) -> bool {
    let counts = GATES.iter().filter(|gate| matches!(gate.step, Step::Fatigue | Step::Caps));
    counts.into_iter().all(|gate| !(gate.is_asked)(case) || (gate.judge)(case) == Verdict::Pass)
}

/// Whether every gate lets the notification pass.
pub(super) fn pass_all(case: &Case<'_>) -> bool {
    GATES.iter().all(|gate| !(gate.is_asked)(case) || !matches!((gate.judge)(case), Verdict::Skip(_)))
}

/// Whether no gate that needs no claims keeps the notification from being sent.
pub(super) fn pass_without_claims(case: &Case<'_>) -> bool {
    GATES
        .iter()
        .filter(|gate| !gate.needs_claims)
        .all(|gate| !(gate.is_asked)(case) || !matches!((gate.judge)(case), Verdict::Skip(_)))
}
