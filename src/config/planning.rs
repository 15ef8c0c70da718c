//! The sections about what is sent to whom, through what and when; and what planning is given of them.

mod checks;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, de};

use super::{ByteSize, ChannelName, Config, duration};
use crate::domain::{self, Categories, Priority, SpecialDay, TimeOfDay, Zone};
pub(crate) use checks::quiet_hours;
pub(super) use checks::refuse;

/// What planning goes by where nothing else says so.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planning {
    /// Of requests that name none.
    pub default_category: String,
    /// Of users whose own is not known.
    pub timezone: Named<Zone>,
    /// Memory for what is known of users and addresses.
    pub cache: ByteSize,
    /// How long it is trusted while every change is heard of.
    #[serde(with = "duration")]
    pub cache_age: Duration,
}

/// The hours in which nobody is disturbed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    pub enabled: bool,
    pub from: Named<TimeOfDay>,
    pub to: Named<TimeOfDay>,
}

/// Quiet hours of one category.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CategoryHours {
    pub from: Named<TimeOfDay>,
    pub to: Named<TimeOfDay>,
}

/// How much a user gets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fatigue {
    /// In which a user gets `max` reminders of one type.
    #[serde(with = "duration")]
    pub window: Duration,
    pub max: u32,
    /// The most that a user gets in a day, of all categories that do not ignore caps; none: no bound.
    #[serde(default, deserialize_with = "cap")]
    pub daily_cap: Option<u32>,
}

/// Days on which people are left alone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    pub name: String,
    /// Whose: ranges of languages, `*` for everybody.
    pub locales: Vec<String>,
    pub days: Vec<Named<SpecialDay>>,
}

/// Which channel the engine chooses.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routing {
    /// In this order, for what is critical.
    pub critical: Vec<ChannelName>,
    /// Push first, for users who are online.
    pub push_when_online: bool,
    /// The user's preferred channel before the others.
    pub preferred_first: bool,
    /// Of these the cheapest; in this order where they cost the same.
    pub cheapest: Vec<ChannelName>,
    /// In this order, where none of those reaches the user.
    pub otherwise: Vec<ChannelName>,
}

/// A kind of message.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    pub name: String,
    /// Where a request names none; empty: the engine chooses.
    #[serde(default)]
    pub channels: Vec<ChannelName>,
    /// Of requests that say none.
    #[serde(default = "Category::default_priority")]
    pub priority: Named<Priority>,
    /// Whether it is sent to users who said nothing about it.
    #[serde(default = "Category::yes")]
    pub enabled: bool,
    /// Whether users may switch it off.
    #[serde(default = "Category::yes")]
    pub opt_out: bool,
    #[serde(default)]
    pub ignores_quiet_hours: bool,
    #[serde(default)]
    pub ignores_holidays: bool,
    /// In the place of `[quiet_hours]`.
    #[serde(default)]
    pub quiet_hours: Option<CategoryHours>,
    #[serde(default)]
    pub ignores_caps: bool,
    /// The most of it that a user gets in a day; none: no bound.
    #[serde(default, deserialize_with = "cap")]
    pub daily_cap: Option<u32>,
    /// For so long a fallback waits for a sign that a message arrived before it uses the next channel; none: that it was sent is
    /// enough.
    #[serde(default, with = "duration::option")]
    pub confirm_within: Option<Duration>,
    /// Whether `[fatigue]` bounds how often messages of one type come.
    #[serde(default)]
    pub reminder: bool,
    /// What all its messages together may cost in a day (UTC); none: no bound.
    #[serde(default)]
    pub budget_per_day: Option<f64>,
    /// Of a group the first is sent at once, and the rest is merged.
    #[serde(default)]
    pub first_at_once: bool,
    /// Whether all of a user's are collected until the user's digest hour.
    #[serde(default)]
    pub digest: bool,
    /// The purpose that users must have consented to; none: none.
    #[serde(default)]
    pub requires_consent: Option<String>,
    /// Whether its mails say when they are opened; none: as `[tracking]`, and not where users may not switch the category off.
    #[serde(default)]
    pub track_opens: Option<bool>,
    /// The same of their links.
    #[serde(default)]
    pub track_clicks: Option<bool>,
    /// What recipients read in the place of the name, by language.
    #[serde(default)]
    pub title: BTreeMap<String, String>,
    /// What recipients read below it, by language.
    #[serde(default)]
    pub description: BTreeMap<String, String>,
}

impl Category {
    fn default_priority() -> Named<Priority> {
        Named(Priority::Normal)
    }

    fn yes() -> bool {
        true
    }
}

impl CategoryHours {
    fn hours(&self) -> Option<domain::QuietHours> {
        quiet_hours(self.from.0, self.to.0).ok()
    }
}

/// The most of something that a user gets. A number out of its range is told with the range, not with the name of a type.
fn cap<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let number = i64::deserialize(deserializer)?;
    u32::try_from(number).map(Some).map_err(|_| {
        de::Error::custom(format!("`{number}` is no cap: write a number from 1 to {}, or leave it out", u32::MAX))
    })
}

impl Config {
    /// `None` only where the default is not among them, which is refused at start.
    pub fn categories(&self) -> Option<Categories> {
        let all = self.categories.iter().map(|category| domain::Category {
            name: category.name.as_str().into(),
            channels: category.channels.iter().map(|channel| channel.0).collect(),
            priority: category.priority.0,
            is_on: category.enabled,
            opt_out: category.opt_out,
            ignores_quiet_hours: category.ignores_quiet_hours,
            ignores_holidays: category.ignores_holidays,
            quiet_hours: category.quiet_hours.as_ref().and_then(CategoryHours::hours),
            ignores_caps: category.ignores_caps,
            daily_cap: category.daily_cap,
            confirm_within: category.confirm_within,
            is_reminder: category.reminder,
            budget_per_day: category.budget_per_day.map(domain::millionths),
            first_at_once: category.first_at_once,
            is_digest: category.digest,
            requires_consent: category.requires_consent.as_deref().map(Into::into),
        });
        Categories::new(all.collect(), &self.planning.default_category)
    }

    /// `None`: there are none.
    pub fn usual_quiet_hours(&self) -> Option<domain::QuietHours> {
        let quiet = &self.quiet_hours;
        quiet_hours(quiet.from.0, quiet.to.0).ok().filter(|_| quiet.enabled)
    }

    pub fn special_days(&self) -> Vec<domain::Calendar> {
        let calendar = |calendar: &Calendar| domain::Calendar {
            locales: calendar.locales.iter().map(|locale| locale.as_str().into()).collect(),
            days: calendar.days.iter().map(|day| day.0).collect(),
        };
        self.calendars.iter().map(calendar).collect()
    }
}

/// A value that is written as a text with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named<T>(pub T);

/// What can be read from such a text.
pub trait FromName: Sized {
    /// What is wrong with a text that is none, and how to write one.
    const HINT: &'static str;

    fn from_name(text: &str) -> Option<Self>;
}

impl FromName for Zone {
    const HINT: &'static str = "is no time zone: write it as \"Europe/Berlin\" or \"UTC\"";

    fn from_name(text: &str) -> Option<Self> {
        Zone::parse(text)
    }
}

impl FromName for TimeOfDay {
    const HINT: &'static str = "is no time of day: write it as \"22:00\"";

    fn from_name(text: &str) -> Option<Self> {
        TimeOfDay::parse(text)
    }
}

impl FromName for SpecialDay {
    const HINT: &'static str = "is no day: write it as \"12-25\", or as \"2027-03-26\" for one year only";

    fn from_name(text: &str) -> Option<Self> {
        SpecialDay::parse(text)
    }
}

impl FromName for Priority {
    const HINT: &'static str = "is no priority: use critical, high, normal or low";

    fn from_name(text: &str) -> Option<Self> {
        Priority::parse(text)
    }
}

impl<'de, T: FromName> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names<T>(PhantomData<T>);

        impl<T: FromName> Visitor<'_> for Names<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Named<T>, E> {
                T::from_name(text).map(Named).ok_or_else(|| E::custom(format!("`{text}` {}", T::HINT)))
            }
        }

        deserializer.deserialize_str(Names(PhantomData))
    }
}
