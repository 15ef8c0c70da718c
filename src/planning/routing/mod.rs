//! Which ways a notification goes: its channels, in their order, each with its addresses.

mod choice;

use super::gates::{self, CHANNEL_GATES, Case};
use crate::domain::{Address, AddressKind, Channel, Decision, SkipReason, Step, Verdict};
use choice::Choice;

/// Finds the ways, and notes the verdict of every gate on each channel that is tried. At least one way, or the reason why there is
/// none.
pub(super) fn route(case: &Case<'_>, decisions: &mut Vec<Decision>) -> Result<Vec<(Channel, Address)>, SkipReason> {
    let choice = choice::of(case);
    let mut ways = Vec::with_capacity(choice.order().channels().len());
    let mut reasons = Vec::new();
    for channel in choice.order().channels().iter().copied() {
        let note = |step, verdict| decisions.push(Decision { step, channel: Some(channel), verdict });
        match judge(case, channel, note) {
            Ok(()) => gates::add_addresses(case, channel, &mut ways),
            Err(reason) => reasons.push(reason),
        }
        if matches!(choice, Choice::FirstOf(_)) && !ways.is_empty() {
            break;
        }
    }
    if !ways.is_empty() {
        return Ok(ways);
    }
    let reason = match choice {
        // What the caller most likely has to mend.
        Choice::Named(_) => reasons.into_iter().next().unwrap_or(SkipReason::NoAddress),
        Choice::FirstOf(_) => {
            let reason = why_none(case, reasons);
            let verdict = Verdict::Skip(reason.clone());
            decisions.push(Decision { step: Step::Routing, channel: None, verdict });
            reason
        }
    };
    Err(reason)
}

/// Whether [`route`] would find a way.
pub(super) fn has_way(case: &Case<'_>) -> bool {
    let choice = choice::of(case);
    choice.order().channels().iter().any(|channel| judge(case, *channel, |_, _| ()).is_ok())
}

/// The addresses among those that may be used for which suppressions are kept.
pub(super) fn suppressible<'a>(case: &Case<'a>) -> impl Iterator<Item = (AddressKind, &'a str)> {
    let choice = choice::of(case);
    let uses = |channel: Channel| choice.order().channels().contains(&channel) && case.policy.serves(channel);
    let email = uses(Channel::Email).then(|| gates::address_text(case, Channel::Email)).flatten();
    let is_phoned = uses(Channel::Sms) || uses(Channel::Voice);
    let phone = is_phoned.then(|| gates::address_text(case, Channel::Sms)).flatten();
    let email = email.map(|text| (AddressKind::Email, text));
    email.into_iter().chain(phone.map(|text| (AddressKind::Phone, text)))
}

/// Asks the gates of a channel in their order; the first to skip ends it.
fn judge(case: &Case<'_>, channel: Channel, mut note: impl FnMut(Step, Verdict)) -> Result<(), SkipReason> {
    for gate in &CHANNEL_GATES {
        let verdict = (gate.judge)(case, channel);
        note(gate.step, verdict.clone());
        if let Verdict::Skip(reason) = verdict {
            return Err(reason);
        }
    }
    Ok(())
}

/// Of the reasons against each channel that was tried, the one that says most: an address that may not be used before one that
/// nobody delivers to, and that before none at all.
fn why_none(case: &Case<'_>, reasons: Vec<SkipReason>) -> SkipReason {
    let to = &case.request.to;
    let is_given = to.email.is_some() || to.phone.is_some() || to.push_token.is_some() || to.url.is_some();
    let otherwise = if is_given { SkipReason::NoProvider } else { SkipReason::NoAddress };
    reasons.into_iter().find(|reason| *reason != SkipReason::NoAddress).unwrap_or(otherwise)
}

#[cfg(test)]
mod tests;
