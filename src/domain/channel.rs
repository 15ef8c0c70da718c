//! The ways a message reaches a person.

use std::fmt;

/// A way to reach a person. The numbers are those of the rows and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    Email = 0,
    Sms = 1,
    Push = 2,
    InApp = 3,
    Voice = 4,
    Chat = 5,
    Webhook = 6,
}

impl Channel {
    pub const ALL: [Channel; 7] =
        [Channel::Email, Channel::Sms, Channel::Push, Channel::InApp, Channel::Voice, Channel::Chat, Channel::Webhook];

    pub fn index(self) -> usize {
        self as usize
    }

    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    pub fn name(self) -> &'static str {
        ["email", "sms", "push", "in_app", "voice", "chat", "webhook"][self.index()]
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name() == text)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
