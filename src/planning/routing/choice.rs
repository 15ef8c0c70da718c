//! Which channels: those named, or the one that the engine chooses.

use super::{Policy, address};
use crate::domain::{Channel, NotificationRequest, SkipReason};

/// The channels named in the request, or the first of the priority's order that has a provider and an address. Named ones
/// may still turn out to have neither.
pub(super) fn channels<'a>(request: &'a NotificationRequest, policy: &'a Policy) -> Result<&'a [Channel], SkipReason> {
    if !request.channels.is_empty() {
        return Ok(&request.channels);
    }
    let order = policy.order(request.priority);
    let usable = |channel: &&Channel| policy.serves(**channel) && address::exists(**channel, request);
    order.iter().find(usable).map(std::slice::from_ref).ok_or_else(|| why_none(request))
}

/// The channels in their order, each at its first place only.
pub(super) fn once_each(channels: &[Channel]) -> impl Iterator<Item = Channel> {
    let is_first = |index: usize, channel: Channel| !channels[..index].contains(&channel);
    channels
        .iter()
        .copied()
        .enumerate()
        .filter(move |(index, channel)| is_first(*index, *channel))
        .map(|(_, channel)| channel)
}

fn why_none(request: &NotificationRequest) -> SkipReason {
    let to = &request.to;
    let is_given = to.email.is_some() || to.phone.is_some() || to.push_token.is_some() || to.url.is_some();
    if is_given { SkipReason::NoProvider } else { SkipReason::NoAddress }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Priority, Recipient};
    use crate::planning::testing::{policy, request};

    fn everything() -> Recipient {
        Recipient {
            email: Some("alice@example.com".into()),
            phone: Some("+15550100".into()),
            push_token: Some("token".into()),
            url: Some("https://hooks.example.com".into()),
        }
    }

    fn check(priority: Priority, to: Recipient, missing: &[Channel], expected: Result<Channel, SkipReason>) {
        let mut request = request();
        request.priority = priority;
        request.user_id = Some("alice".into());
        request.to = to;
        request.channels.clear();
        let mut policy = policy();
        for channel in missing {
            policy.has_provider[channel.index()] = false;
        }
        let chosen = channels(&request, &policy).map(|channels| channels.to_vec());
        assert_eq!(chosen, expected.map(|channel| vec![channel]), "{priority}, without providers for {missing:?}");
    }

    #[test]
    fn the_engine_chooses_a_text_for_what_is_critical_and_a_push_for_the_rest() {
        check(Priority::Critical, everything(), &[], Ok(Channel::Sms));
        check(Priority::High, everything(), &[], Ok(Channel::Push));
        check(Priority::Low, everything(), &[], Ok(Channel::Push));
    }

    #[test]
    fn the_engine_passes_over_channels_without_an_address_or_a_provider() {
        check(Priority::Normal, Recipient { push_token: None, ..everything() }, &[], Ok(Channel::Email));
        check(Priority::Normal, everything(), &[Channel::Push, Channel::Email], Ok(Channel::Sms));
        let url_only = Recipient { url: everything().url, ..Recipient::default() };
        check(Priority::Critical, url_only, &[], Ok(Channel::Webhook));
    }

    #[test]
    fn the_engine_calls_people_only_when_it_is_critical_and_never_writes_to_a_chat_by_itself() {
        let phone_only = Recipient { phone: everything().phone, ..Recipient::default() };
        let others = [Channel::Sms, Channel::InApp];
        check(Priority::Critical, phone_only.clone(), &others, Ok(Channel::Voice));
        check(Priority::High, phone_only, &others, Err(SkipReason::NoProvider));
        check(Priority::High, Recipient::default(), &[Channel::InApp], Err(SkipReason::NoAddress));
    }

    #[test]
    fn a_user_without_addresses_is_reached_within_the_product() {
        check(Priority::Normal, Recipient::default(), &[], Ok(Channel::InApp));
    }
}
