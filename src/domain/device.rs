//! A device of a user that messages can be pushed to.

use std::time::Duration;

use super::Timestamp;

/// Nobody has used a device for this long: it is not pushed to any more.
pub const DEVICE_IDLE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a device runs, and so which service its messages go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Platform {
    Ios = 0,
    Android = 1,
    Web = 2,
}

impl Platform {
    pub const ALL: [Platform; 3] = [Platform::Ios, Platform::Android, Platform::Web];

    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    pub fn name(self) -> &'static str {
        ["ios", "android", "web"][self as usize]
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.name() == text)
    }
}

/// One device, as the app on it registered itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub platform: Platform,
    /// What the push service knows it by; for the web the subscription, as JSON text.
    pub token: Box<str>,
    /// When this token was first given.
    pub registered_at: Timestamp,
    /// When the app last said that it is there.
    pub seen_at: Timestamp,
    /// When a provider said that the token is dead.
    pub dead_since: Option<Timestamp>,
}

impl Device {
    /// Whether messages are pushed to it. A token that was given again after it was called dead lives.
    pub fn is_active(&self, now: Timestamp) -> bool {
        let is_dead = self.dead_since.is_some_and(|since| self.registered_at <= since);
        !is_dead && now.since(self.seen_at) < DEVICE_IDLE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600 * 1000;

    fn check(dead_since: Option<u64>, registered_at: u64, now: u64, expected: bool) {
        let device = Device {
            platform: Platform::Ios,
            token: "token".into(),
            registered_at: Timestamp(registered_at),
            seen_at: Timestamp(registered_at),
            dead_since: dead_since.map(Timestamp),
        };
        assert_eq!(device.is_active(Timestamp(now)), expected, "dead since {dead_since:?}, now {now}");
    }

    #[test]
    fn a_device_is_active_until_its_token_is_called_dead_or_nobody_used_it_for_thirty_days() {
        check(None, DAY, 2 * DAY, true);
        check(None, DAY, 31 * DAY - 1, true);
        check(None, DAY, 31 * DAY, false);
        check(Some(2 * DAY), DAY, 3 * DAY, false);
    }

    #[test]
    fn a_token_registered_after_it_was_called_dead_lives() {
        check(Some(DAY), DAY + 1, 2 * DAY, true);
        check(Some(DAY), DAY, 2 * DAY, false);
    }
}
