//! What somebody stopped by hand: what is recalled is not sent, what is paused is planned to wait. What has a time of its own is judged
//! when that has come.

use super::Case;
use crate::domain::{
    Address, BrakeVerdict, Channel, Decision, Routing, SkipReason, Step, Timestamp, Verdict, held_until,
};

/// Whether a brake is on that may concern it.
pub(super) fn is_asked(case: &Case<'_>) -> bool {
    case.facts.brakes.as_ref().is_some_and(|brakes| brakes.concerns(&case.request.tenant))
}

/// By category and template.
pub(super) fn judge(case: &Case<'_>) -> Verdict {
    let Some(brakes) = &case.facts.brakes else { return Verdict::Pass };
    verdict(case, brakes.judge_request(case.request))
}

/// By channel and provider: takes out the ways that were recalled, and says of each of the others until when it is held, if it
/// is. Of a fallback only the first is asked for now, the others when their turn comes.
pub(in crate::planning) fn stop_ways(
    case: &Case<'_>,
    ways: &mut Vec<(Channel, Address)>,
    decisions: &mut Vec<Decision>,
) -> Result<Vec<Option<Timestamp>>, SkipReason> {
    let Some(brakes) = case.facts.brakes.as_ref().filter(|_| is_asked(case)) else {
        return Ok(vec![None; ways.len()]);
    };
    let is_fallback = case.request.routing == Routing::Fallback;
    let mut held = Vec::with_capacity(ways.len());
    let mut noted: Vec<Channel> = Vec::new();
    ways.retain(|(channel, _)| {
        let of_channel = brakes.judge_channel(&case.request.tenant, *channel, case.request.accepted_at);
        let is_asked = !is_fallback || held.is_empty() || matches!(of_channel, BrakeVerdict::Recalled(_));
        let verdict = if is_asked { verdict(case, of_channel) } else { Verdict::Pass };
        if verdict != Verdict::Pass && !noted.contains(channel) {
            noted.push(*channel);
            decisions.push(Decision { step: Step::Brakes, channel: Some(*channel), verdict: verdict.clone() });
        }
        match verdict {
            Verdict::Pass => held.push(None),
            Verdict::Hold { until } => held.push(Some(until)),
            Verdict::Skip(_) | Verdict::Merge { .. } => return false,
        }
        true
    });
    if ways.is_empty() { Err(SkipReason::Cancelled) } else { Ok(held) }
}

fn verdict(case: &Case<'_>, verdict: BrakeVerdict) -> Verdict {
    match verdict {
        BrakeVerdict::Recalled(_) => Verdict::Skip(SkipReason::Cancelled),
        BrakeVerdict::Held(_) if case.times.due.is_none() => {
            Verdict::Hold { until: held_until(Some(case.expires_at(None)), case.now) }
        }
        BrakeVerdict::Held(_) | BrakeVerdict::Go => Verdict::Pass,
    }
}
