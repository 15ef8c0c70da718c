//! Where to: the address of a channel, from the request.

use crate::domain::{Address, Channel, NotificationRequest};

/// The address that the channel would use; `None`: there is none.
pub(super) fn of(channel: Channel, request: &NotificationRequest) -> Option<Address> {
    let Some(text) = text(channel, request) else {
        return (channel == Channel::Chat).then_some(Address::Provider);
    };
    let text = text.into();
    Some(match channel {
        Channel::Email => Address::Email(text),
        Channel::Sms | Channel::Voice => Address::Phone(text),
        Channel::Push => Address::PushToken(text),
        Channel::InApp => Address::User(text),
        Channel::Chat | Channel::Webhook => Address::Url(text),
    })
}

/// Whether [`of`] would find one.
pub(super) fn exists(channel: Channel, request: &NotificationRequest) -> bool {
    channel == Channel::Chat || text(channel, request).is_some()
}

fn text(channel: Channel, request: &NotificationRequest) -> Option<&str> {
    match channel {
        Channel::Email => request.to.email.as_deref(),
        Channel::Sms | Channel::Voice => request.to.phone.as_deref(),
        Channel::Push => request.to.push_token.as_deref(),
        Channel::InApp => request.user_id.as_deref(),
        Channel::Chat | Channel::Webhook => request.to.url.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Recipient;
    use crate::planning::testing::request;

    fn check(channel: Channel, given: bool, expected: Option<Address>) {
        let mut request = request();
        request.to = Recipient::default();
        request.user_id = None;
        if given {
            request.user_id = Some("alice".into());
            request.to = Recipient {
                email: Some("a@example.com".into()),
                phone: Some("+15550100".into()),
                push_token: Some("token".into()),
                url: Some("https://hooks.example.com".into()),
            };
        }
        assert_eq!(of(channel, &request), expected, "{channel}");
        assert_eq!(exists(channel, &request), expected.is_some(), "{channel}");
    }

    #[test]
    fn each_channel_uses_its_own_kind_of_address() {
        check(Channel::Email, true, Some(Address::Email("a@example.com".into())));
        check(Channel::Sms, true, Some(Address::Phone("+15550100".into())));
        check(Channel::Voice, true, Some(Address::Phone("+15550100".into())));
        check(Channel::Push, true, Some(Address::PushToken("token".into())));
        check(Channel::InApp, true, Some(Address::User("alice".into())));
        check(Channel::Webhook, true, Some(Address::Url("https://hooks.example.com".into())));
        check(Channel::Chat, true, Some(Address::Url("https://hooks.example.com".into())));
    }

    #[test]
    fn a_chat_without_an_address_is_the_one_in_the_configuration_and_every_other_channel_has_none() {
        for channel in Channel::ALL {
            check(channel, false, (channel == Channel::Chat).then_some(Address::Provider));
        }
    }
}
