//! What kind of message it is, and which rules that kind has.

use std::time::Duration;

use super::{Channel, Priority, QuietHours, User};

/// A kind of message, as the configuration describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    pub name: Box<str>,
    /// Used where a request names none; empty: the engine chooses.
    pub channels: Vec<Channel>,
    /// Of a request that says none.
    pub priority: Priority,
    /// Whether it is sent to a user who said nothing about it.
    pub is_on: bool,
    /// Whether users may switch it off.
    pub opt_out: bool,
    /// Whether it comes at night as well.
    pub ignores_quiet_hours: bool,
    /// Whether it comes on holidays as well.
    pub ignores_holidays: bool,
    /// In the place of those in the configuration, for users without their own.
    pub quiet_hours: Option<QuietHours>,
    /// Whether it comes however much the user got already, and counts for nothing.
    pub ignores_caps: bool,
    /// The most of it that a user gets in a day; `None`: no bound.
    pub daily_cap: Option<u32>,
    /// For so long a fallback waits for a sign that a message arrived before it uses the next channel; `None`: that it was sent is
    /// enough.
    pub confirm_within: Option<Duration>,
    /// Whether messages of one type are reminders of each other, of which a user gets few.
    pub is_reminder: bool,
    /// What all its messages together may cost in a day, in millionths; `None`: no bound.
    pub budget_per_day: Option<u64>,
    /// Of a group the first is sent at once, and only the rest is merged.
    pub first_at_once: bool,
    /// Whether all of a user's are collected until the user's hour for it.
    pub is_digest: bool,
    /// The purpose that a user must have consented to; `None`: none.
    pub requires_consent: Option<Box<str>>,
}

impl Category {
    /// Whether a message of this kind may be sent on a channel that the user switched on or off, or said nothing about.
    pub fn is_wanted(&self, said: Option<bool>) -> bool {
        !self.opt_out || said.unwrap_or(self.is_on)
    }

    /// Whether the user consented to what it requires, if it requires something. Of whom nothing is known did not.
    pub fn has_consent(&self, user: Option<&User>) -> bool {
        let purpose = self.requires_consent.as_deref();
        purpose.is_none_or(|purpose| user.is_some_and(|user| user.has_consented(purpose)))
    }

    /// Whether a user gets it on a channel, by what they said of it and consented to.
    pub fn is_for(&self, user: &User, channel: Channel) -> bool {
        self.has_consent(Some(user)) && self.is_wanted(user.preference(&self.name, channel))
    }
}

/// An amount of money as it is counted: sums of fractions would drift.
pub fn millionths(amount: f64) -> u64 {
    // Below nothing is nothing, and above all is all.
    (amount * 1e6).round() as u64
}

/// All categories there are, and the one of a request that names none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Categories {
    all: Vec<Category>,
    default: usize,
}

impl Categories {
    /// `None`: the default is not among them.
    pub fn new(all: Vec<Category>, default: &str) -> Option<Self> {
        let default = all.iter().position(|category| *category.name == *default)?;
        Some(Self { all, default })
    }

    pub fn get(&self, name: &str) -> Option<&Category> {
        self.all.iter().find(|category| *category.name == *name)
    }

    /// The category of a request. One that is not there any more, since the request was accepted, has the default's rules.
    pub fn of(&self, name: Option<&str>) -> &Category {
        name.and_then(|name| self.get(name)).unwrap_or(&self.all[self.default])
    }

    /// In the order of the configuration.
    pub fn all(&self) -> &[Category] {
        &self.all
    }

    /// In the order of the configuration.
    pub fn names(&self) -> Vec<&str> {
        self.all.iter().map(|category| &*category.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn category(name: &str, opt_out: bool, is_on: bool) -> Category {
        Category {
            name: name.into(),
            channels: Vec::new(),
            priority: Priority::Normal,
            is_on,
            opt_out,
            ignores_quiet_hours: false,
            ignores_holidays: false,
            quiet_hours: None,
            ignores_caps: false,
            daily_cap: None,
            confirm_within: None,
            is_reminder: false,
            budget_per_day: None,
            first_at_once: false,
            is_digest: false,
            requires_consent: None,
        }
    }

    #[test]
    fn what_a_user_said_counts_where_users_may_say_something() {
        let check = |opt_out, is_on, said, expected| {
            let category = category("social", opt_out, is_on);
            assert_eq!(category.is_wanted(said), expected, "opt_out {opt_out}, on {is_on}, said {said:?}");
        };
        check(true, true, None, true);
        check(true, true, Some(false), false);
        check(true, false, None, false);
        check(true, false, Some(true), true);
        check(false, true, Some(false), true);
    }

    #[test]
    fn a_request_that_names_no_category_or_none_that_is_there_has_the_default_one() {
        let all = vec![category("social", true, true), category("security", false, true)];
        let categories = Categories::new(all.clone(), "security").expect("it is there");
        assert_eq!(&*categories.of(None).name, "security");
        assert_eq!(&*categories.of(Some("social")).name, "social");
        assert_eq!(&*categories.of(Some("gone")).name, "security");
        assert_eq!(categories.get("gone"), None);
        assert_eq!(Categories::new(all, "gone"), None);
    }
}
