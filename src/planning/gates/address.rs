//! Where to: the addresses of a channel. Those in the request count before the user's own.

use std::cmp::Reverse;

use super::Case;
use crate::domain::{Address, Channel, Device, SkipReason, Verdict};

pub(super) fn judge(case: &Case<'_>, channel: Channel) -> Verdict {
    let exists = match channel {
        Channel::Chat => true,
        Channel::Push => case.request.to.push_token.is_some() || devices(case).next().is_some(),
        _ => text(case, channel).is_some(),
    };
    if exists { Verdict::Pass } else { Verdict::Skip(SkipReason::NoAddress) }
}

/// Devices that one notification is pushed to, those used last; with the other channels they stay below
/// [`crate::domain::TASKS_MAX`].
const DEVICES_MAX: usize = 16;

/// Adds every address that the channel would use, each with it.
pub(in crate::planning) fn add(case: &Case<'_>, channel: Channel, ways: &mut Vec<(Channel, Address)>) {
    if channel == Channel::Push && case.request.to.push_token.is_none() {
        let mut active: Vec<&Device> = devices(case).collect();
        // The sort keeps the order of their ids.
        active.sort_by_key(|device| Reverse(device.seen_at));
        let tokens = active.into_iter().take(DEVICES_MAX).map(|device| Address::PushToken(device.token.clone()));
        ways.extend(tokens.map(|token| (channel, token)));
        return;
    }
    let Some(text) = text(case, channel).map(Box::from) else {
        ways.extend((channel == Channel::Chat).then_some((channel, Address::Provider)));
        return;
    };
    let address = match channel {
        Channel::Email => Address::Email(text),
        Channel::Sms | Channel::Voice => Address::Phone(text),
        Channel::Push => Address::PushToken(text),
        Channel::InApp => Address::User(text),
        Channel::Chat | Channel::Webhook => Address::Url(text),
    };
    ways.push((channel, address));
}

/// The one address of a channel, where it has one besides devices.
pub(in crate::planning) fn text<'a>(case: &Case<'a>, channel: Channel) -> Option<&'a str> {
    let (to, user) = (&case.request.to, case.user());
    match channel {
        Channel::Email => to.email.as_deref().or_else(|| user?.email.as_deref()),
        Channel::Sms | Channel::Voice => to.phone.as_deref().or_else(|| user?.phone.as_deref()),
        Channel::Push => to.push_token.as_deref(),
        Channel::InApp => case.request.user_id.as_deref(),
        Channel::Chat | Channel::Webhook => to.url.as_deref(),
    }
}

/// The user's devices that messages are pushed to.
fn devices<'a>(case: &Case<'a>) -> impl Iterator<Item = &'a Device> {
    let now = case.now;
    let all = case.user().into_iter().flat_map(|user| user.devices.values());
    all.filter(move |device| device.is_active(now))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{NotificationRequest, Platform, Recipient, Timestamp, UserEntry};
    use crate::planning::CandidateFacts;
    use crate::planning::testing::{NOW, known, policy, request};

    fn addresses(request: &NotificationRequest, facts: &CandidateFacts, channel: Channel) -> Vec<Address> {
        let policy = policy();
        let case = Case::new(request, facts, &policy, NOW);
        let mut ways = Vec::new();
        add(&case, channel, &mut ways);
        assert_eq!(judge(&case, channel) == Verdict::Pass, !ways.is_empty(), "{channel}");
        assert!(ways.iter().all(|(used, _)| *used == channel));
        ways.into_iter().map(|(_, address)| address).collect()
    }

    fn nowhere() -> NotificationRequest {
        NotificationRequest { to: Recipient::default(), user_id: None, ..request() }
    }

    fn everywhere() -> NotificationRequest {
        let to = Recipient {
            email: Some("a@example.com".into()),
            phone: Some("+15550100".into()),
            push_token: Some("token".into()),
            url: Some("https://hooks.example.com".into()),
        };
        NotificationRequest { to, user_id: Some("alice".into()), ..request() }
    }

    fn device(id: &str, seen_before: Duration) -> UserEntry {
        let seen_at = NOW - seen_before;
        let token = format!("token of {id}").into();
        let device = Device { platform: Platform::Ios, token, registered_at: seen_at, seen_at, dead_since: None };
        UserEntry::Device { id: id.into(), device: Some(device) }
    }

    #[test]
    fn each_channel_uses_its_own_kind_of_address() {
        let check = |channel, expected| {
            assert_eq!(addresses(&everywhere(), &CandidateFacts::default(), channel), [expected], "{channel}");
        };
        check(Channel::Email, Address::Email("a@example.com".into()));
        check(Channel::Sms, Address::Phone("+15550100".into()));
        check(Channel::Voice, Address::Phone("+15550100".into()));
        check(Channel::Push, Address::PushToken("token".into()));
        check(Channel::InApp, Address::User("alice".into()));
        check(Channel::Webhook, Address::Url("https://hooks.example.com".into()));
        check(Channel::Chat, Address::Url("https://hooks.example.com".into()));
    }

    #[test]
    fn a_chat_without_an_address_is_the_one_in_the_configuration_and_every_other_channel_has_none() {
        for channel in Channel::ALL {
            let expected = if channel == Channel::Chat { vec![Address::Provider] } else { Vec::new() };
            assert_eq!(addresses(&nowhere(), &CandidateFacts::default(), channel), expected, "{channel}");
        }
    }

    #[test]
    fn the_users_own_addresses_are_used_where_the_request_has_none() {
        let facts = known([
            UserEntry::Email(Some("own@example.com".into())),
            UserEntry::Phone(Some("+15550111".into())),
            device("phone", Duration::ZERO),
        ]);
        let check = |request: &NotificationRequest, channel, expected: &str| {
            let found = addresses(request, &facts, channel);
            assert_eq!(found.iter().map(Address::as_str).collect::<Vec<_>>(), [expected], "{channel}");
        };
        check(&nowhere(), Channel::Email, "own@example.com");
        check(&nowhere(), Channel::Sms, "+15550111");
        check(&nowhere(), Channel::Push, "token of phone");
        check(&everywhere(), Channel::Email, "a@example.com");
        check(&everywhere(), Channel::Voice, "+15550100");
        check(&everywhere(), Channel::Push, "token");
    }

    #[test]
    fn every_active_device_is_pushed_to_the_one_used_last_first() {
        let (hour, month) = (Duration::from_secs(3600), Duration::from_secs(30 * 24 * 3600));
        let dead = Device {
            platform: Platform::Web,
            token: "dead".into(),
            registered_at: Timestamp(1),
            seen_at: NOW,
            dead_since: Some(Timestamp(2)),
        };
        let facts = known([
            device("older", hour * 2),
            device("newer", hour),
            device("idle", month),
            UserEntry::Device { id: "dead".into(), device: Some(dead) },
        ]);
        let found = addresses(&nowhere(), &facts, Channel::Push);
        assert_eq!(found.iter().map(Address::as_str).collect::<Vec<_>>(), ["token of newer", "token of older"]);
        let many = known((0..40).map(|number| device(&number.to_string(), Duration::ZERO)));
        assert_eq!(addresses(&nowhere(), &many, Channel::Push).len(), DEVICES_MAX);
    }
}
