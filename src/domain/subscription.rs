//! That somebody follows a subject: a series, a team, a product.

use super::{Channel, Timestamp};

/// How a follower is told of what happens to the subject. The numbers are those of the rows and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubscriptionChannel {
    /// In the app: pushed to the user's devices, and in the inbox where one is served.
    App = 0,
    Email = 1,
    Sms = 2,
    /// Follows, and is told nothing.
    None = 3,
}

impl SubscriptionChannel {
    pub const ALL: [SubscriptionChannel; 4] = [Self::App, Self::Email, Self::Sms, Self::None];

    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    pub fn name(self) -> &'static str {
        ["app", "email", "sms", "none"][self as usize]
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name() == text)
    }

    /// Where a message for the follower goes; a channel that nobody serves is passed over when it is planned.
    pub fn channels(self) -> &'static [Channel] {
        match self {
            Self::App => &[Channel::Push, Channel::InApp],
            Self::Email => &[Channel::Email],
            Self::Sms => &[Channel::Sms],
            Self::None => &[],
        }
    }
}

/// What is known of one user who follows one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription {
    pub channel: SubscriptionChannel,
    /// One that is not active is kept, and tells nothing.
    pub is_active: bool,
    /// When the user began to follow; it stays while the rest changes.
    pub since: Timestamp,
    pub changed_at: Timestamp,
}

impl Subscription {
    /// Where a message for the follower goes; empty: nowhere.
    pub fn told_on(&self) -> &'static [Channel] {
        if self.is_active { self.channel.channels() } else { &[] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_active_or_chose_no_channel_is_told_nothing() {
        let at = Timestamp(1);
        let one = |channel, is_active| Subscription { channel, is_active, since: at, changed_at: at };
        assert_eq!(one(SubscriptionChannel::Email, true).told_on(), [Channel::Email]);
        assert_eq!(one(SubscriptionChannel::App, true).told_on(), [Channel::Push, Channel::InApp]);
        assert!(one(SubscriptionChannel::Email, false).told_on().is_empty());
        assert!(one(SubscriptionChannel::None, true).told_on().is_empty());
        for channel in SubscriptionChannel::ALL {
            assert_eq!(SubscriptionChannel::parse(channel.name()), Some(channel));
            assert_eq!(SubscriptionChannel::from_index(channel as usize), Some(channel));
        }
    }
}
