//! Which ways a notification goes: its channels, in their order, each with an address.

mod choice;
mod address;

use super::Policy;
use crate::domain::{Address, Channel, Decision, NotificationRequest, SkipReason, Step, Verdict};

/// Finds the ways, and notes a verdict for every channel: first whether it is served, then whether there is an address.
/// At least one way, or the first reason why there is none.
pub(super) fn route(
    request: &NotificationRequest,
    policy: &Policy,
    decisions: &mut Vec<Decision>,
) -> Result<Vec<(Channel, Address)>, SkipReason> {
    let first = decisions.len();
    let channels = match choice::channels(request, policy) {
        Ok(channels) => channels,
        Err(reason) => {
            decisions.push(Decision { step: Step::Routing, channel: None, verdict: Verdict::Skip(reason.clone()) });
            return Err(reason);
        }
    };
    for channel in choice::once_each(channels) {
        let verdict = if policy.serves(channel) { Verdict::Pass } else { Verdict::Skip(SkipReason::NoProvider) };
        decisions.push(Decision { step: Step::Routing, channel: Some(channel), verdict });
    }
    let mut ways = Vec::with_capacity(channels.len());
    for channel in choice::once_each(channels).filter(|channel| policy.serves(*channel)) {
        let address = address::of(channel, request);
        let verdict = if address.is_some() { Verdict::Pass } else { Verdict::Skip(SkipReason::NoAddress) };
        decisions.push(Decision { step: Step::Address, channel: Some(channel), verdict });
        ways.extend(address.map(|address| (channel, address)));
    }
    if ways.is_empty() { Err(first_reason(&decisions[first..], channels)) } else { Ok(ways) }
}

/// Whether [`route`] would find a way.
pub(super) fn has_way(request: &NotificationRequest, policy: &Policy) -> bool {
    choice::channels(request, policy).is_ok_and(|channels| {
        channels.iter().any(|channel| policy.serves(*channel) && address::exists(*channel, request))
    })
}

/// The reason that the first channel failed by: what the caller most likely has to mend.
fn first_reason(decisions: &[Decision], channels: &[Channel]) -> SkipReason {
    let first = channels.first().copied();
    let skip = decisions.iter().find_map(|decision| match &decision.verdict {
        Verdict::Skip(reason) if decision.channel == first => Some(reason.clone()),
        _ => None,
    });
    skip.unwrap_or(SkipReason::NoAddress)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::testing::{policy, request};

    /// `to` has an e-mail address and a URL; in-app and voice have no provider.
    fn check(channels: &[Channel], expected: Result<&[Channel], SkipReason>, verdicts: &[(Step, Channel, &str)]) {
        let mut request = request();
        request.to.email = Some("alice@example.com".into());
        request.to.url = Some("https://hooks.example.com/a".into());
        request.to.phone = None;
        request.to.push_token = None;
        request.user_id = Some("alice".into());
        request.channels = channels.to_vec();
        let mut policy = policy();
        policy.has_provider[Channel::InApp.index()] = false;
        policy.has_provider[Channel::Voice.index()] = false;
        let mut decisions = Vec::new();
        let ways = route(&request, &policy, &mut decisions);
        assert_eq!(has_way(&request, &policy), ways.is_ok(), "{channels:?}");
        let ways = ways.map(|ways| ways.into_iter().map(|(channel, _)| channel).collect::<Vec<_>>());
        assert_eq!(ways, expected.map(<[Channel]>::to_vec), "{channels:?}");
        let noted: Vec<_> = decisions
            .iter()
            .map(|decision| {
                let word = match &decision.verdict {
                    Verdict::Skip(reason) => reason.name(),
                    _ => "pass",
                };
                (decision.step, decision.channel.expect("about one channel"), word)
            })
            .collect();
        assert_eq!(noted, verdicts, "{channels:?}");
    }

    use Channel::*;

    #[test]
    fn every_named_channel_that_has_a_provider_and_an_address_gets_a_message_in_the_order_named() {
        check(
            &[Webhook, Email],
            Ok(&[Webhook, Email]),
            &[
                (Step::Routing, Webhook, "pass"),
                (Step::Routing, Email, "pass"),
                (Step::Address, Webhook, "pass"),
                (Step::Address, Email, "pass"),
            ],
        );
    }

    #[test]
    fn a_channel_without_an_address_or_a_provider_is_left_out_and_the_others_go() {
        check(
            &[Sms, InApp, Email],
            Ok(&[Email]),
            &[
                (Step::Routing, Sms, "pass"),
                (Step::Routing, InApp, "no_provider"),
                (Step::Routing, Email, "pass"),
                (Step::Address, Sms, "no_address"),
                (Step::Address, Email, "pass"),
            ],
        );
    }

    #[test]
    fn where_no_channel_remains_the_reason_is_that_of_the_first() {
        let sms_first =
            [(Step::Routing, Sms, "pass"), (Step::Routing, Voice, "no_provider"), (Step::Address, Sms, "no_address")];
        check(&[Sms, Voice], Err(SkipReason::NoAddress), &sms_first);
        let voice_first =
            [(Step::Routing, Voice, "no_provider"), (Step::Routing, Sms, "pass"), (Step::Address, Sms, "no_address")];
        check(&[Voice, Sms], Err(SkipReason::NoProvider), &voice_first);
    }

    #[test]
    fn a_channel_named_twice_gets_one_message() {
        check(&[Email, Email], Ok(&[Email]), &[(Step::Routing, Email, "pass"), (Step::Address, Email, "pass")]);
    }

    #[test]
    fn where_none_is_named_the_engine_chooses_one() {
        check(&[], Ok(&[Email]), &[(Step::Routing, Email, "pass"), (Step::Address, Email, "pass")]);
    }
}
