//! Where to: the addresses of a channel. Those in the request count before the user's own.

use std::cmp::Reverse;

use super::Case;
use crate::domain::{Address, Channel, Device, SkipReason, Verdict};

pub(super) fn judge(case: &Case<'_>, channel: Channel) -> Verdict {
    let pass = |holds: bool, reason: SkipReason| if holds { Verdict::Pass } else { Verdict::Skip(reason) };
    if goes_to_devices(case, channel) {
        return match devices(case).next() {
            Some(_) => pass(served_devices(case).next().is_some(), SkipReason::NoProvider),
            None => Verdict::Skip(SkipReason::NoAddress),
        };
    }
    match channel {
        Channel::Push | Channel::Chat => match only(case, channel) {
            None => Verdict::Skip(SkipReason::NoAddress),
            Some(address) => {
                let reason = if address == Address::Provider { SkipReason::NoAddress } else { SkipReason::NoProvider };
                pass(case.policy.takers.take(channel, &address), reason)
            }
        },
        // All providers of these take the same.
        _ => pass(text(case, channel).is_some(), SkipReason::NoAddress),
    }
}

/// Devices that one notification is pushed to, those used last; with the other channels they stay below
/// [`crate::domain::TASKS_MAX`].
const DEVICES_MAX: usize = 16;

/// Adds every address that the channel would use, each with it.
pub(in crate::planning) fn add(case: &Case<'_>, channel: Channel, ways: &mut Vec<(Channel, Address)>) {
    if goes_to_devices(case, channel) {
        let mut active: Vec<(&Device, Address)> = served_devices(case).collect();
        // The sort keeps the order of their ids.
        active.sort_by_key(|(device, _)| Reverse(device.seen_at));
        ways.extend(active.into_iter().take(DEVICES_MAX).map(|(_, address)| (channel, address)));
    } else if judge(case, channel) == Verdict::Pass {
        ways.extend(only(case, channel).map(|address| (channel, address)));
    }
}

/// Whether it is pushed to what the user has registered: no token came with the request.
fn goes_to_devices(case: &Case<'_>, channel: Channel) -> bool {
    channel == Channel::Push && case.request.to.push_token.is_none()
}

/// The one address of a channel besides devices, whoever takes it.
fn only(case: &Case<'_>, channel: Channel) -> Option<Address> {
    let Some(text) = text(case, channel).map(Box::from) else {
        return (channel == Channel::Chat).then_some(Address::Provider);
    };
    Some(match channel {
        Channel::Email => Address::Email(text),
        Channel::Sms | Channel::Voice => Address::Phone(text),
        Channel::Push => Address::PushToken(text),
        Channel::InApp => Address::User(text),
        Channel::Chat if case.request.to.chat.is_some() => Address::Chat(text),
        Channel::Chat | Channel::Webhook => Address::Url(text),
    })
}

/// The one address of a channel, where it has one besides devices.
pub(in crate::planning) fn text<'a>(case: &Case<'a>, channel: Channel) -> Option<&'a str> {
    let (to, user) = (&case.request.to, case.user());
    match channel {
        Channel::Email => to.email.as_deref().or_else(|| user?.email.as_deref()),
        Channel::Sms | Channel::Voice => to.phone.as_deref().or_else(|| user?.phone.as_deref()),
        Channel::Push => to.push_token.as_deref(),
        Channel::InApp => case.request.user_id.as_deref(),
        Channel::Chat => to.chat.as_deref().or(to.url.as_deref()),
        Channel::Webhook => to.url.as_deref(),
    }
}

/// Those of them that somebody pushes to, with their addresses.
fn served_devices<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'a Device, Address)> {
    let takers = &case.policy.takers;
    let addressed = devices(case).map(|device| (device, Address::Device(device.platform, device.token.clone())));
    addressed.filter(|(_, address)| takers.take(Channel::Push, address))
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
    use crate::planning::testing::{NOW, known, policy, request};
    use crate::planning::{CandidateFacts, Takers};

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
            chat: None,
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
    fn addresses_that_no_provider_takes_are_left_out() {
        let takers = Takers::new(|channel, address| match address {
            Address::Device(platform, _) => channel == Channel::Push && *platform == Platform::Ios,
            Address::PushToken(token) => !token.starts_with('{'),
            Address::Chat(chat) => **chat == *"ops-room" || chat.starts_with("company:"),
            Address::Url(url) => channel == Channel::Chat && url.starts_with("https://rooms.example.com/"),
            _ => false,
        });
        let policy = policy().with_takers(takers);
        let on = |id: &str, platform| match device(id, Duration::ZERO) {
            UserEntry::Device { id, device: Some(device) } => {
                UserEntry::Device { id, device: Some(Device { platform, ..device }) }
            }
            other => other,
        };
        let check = |request: &NotificationRequest, facts: &CandidateFacts, channel, verdict, expected: &[&str]| {
            let case = Case::new(request, facts, &policy, NOW);
            let mut ways = Vec::new();
            add(&case, channel, &mut ways);
            assert_eq!(ways.iter().map(|(_, address)| address.as_str()).collect::<Vec<_>>(), expected);
            assert_eq!(judge(&case, channel), verdict);
        };
        let no_provider = Verdict::Skip(SkipReason::NoProvider);
        let both = known([on("a", Platform::Ios), on("b", Platform::Android)]);
        check(&nowhere(), &both, Channel::Push, Verdict::Pass, &["token of a"]);
        let android = known([on("b", Platform::Android)]);
        check(&nowhere(), &android, Channel::Push, no_provider.clone(), &[]);
        let none = CandidateFacts::default();
        check(&nowhere(), &none, Channel::Push, Verdict::Skip(SkipReason::NoAddress), &[]);
        check(&nowhere(), &none, Channel::Chat, Verdict::Skip(SkipReason::NoAddress), &[]);
        let chat = |name: &str| {
            let to = Recipient { chat: Some(name.into()), ..Recipient::default() };
            NotificationRequest { to, ..nowhere() }
        };
        check(&chat("ops-room"), &none, Channel::Chat, Verdict::Pass, &["ops-room"]);
        check(&chat("company:alice"), &none, Channel::Chat, Verdict::Pass, &["company:alice"]);
        for nobodys in ["nobody:alice", "ops-room:alice", "company"] {
            check(&chat(nobodys), &none, Channel::Chat, no_provider.clone(), &[]);
        }
        let url = |url: &str| {
            let to = Recipient { url: Some(url.into()), ..Recipient::default() };
            NotificationRequest { to, ..nowhere() }
        };
        let (room, other) = ("https://rooms.example.com/1", "https://hooks.example.com/1");
        check(&url(room), &none, Channel::Chat, Verdict::Pass, &[room]);
        check(&url(other), &none, Channel::Chat, no_provider.clone(), &[]);
        check(&url(other), &none, Channel::Webhook, Verdict::Pass, &[other]);
        let token = |token: &str| {
            let to = Recipient { push_token: Some(token.into()), ..Recipient::default() };
            NotificationRequest { to, ..nowhere() }
        };
        check(&token("of a phone"), &none, Channel::Push, Verdict::Pass, &["of a phone"]);
        check(&token("{}"), &none, Channel::Push, no_provider, &[]);
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
