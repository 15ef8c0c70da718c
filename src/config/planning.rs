//! The sections about what is sent to whom, through what and when; and what planning is given of them.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, de};

use super::{ByteSize, ChannelName, Config, duration};
use crate::domain::{self, Categories, Priority, SpecialDay, TimeOfDay, Zone};

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
    #[serde(default)]
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
    #[serde(default)]
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
}

impl Category {
    fn default_priority() -> Named<Priority> {
        Named(Priority::Normal)
    }

    fn yes() -> bool {
        true
    }
}

/// The longest that a fallback waits for a confirmation: a message that is read a week later was no matter for a fallback.
const CONFIRM_MAX: Duration = Duration::from_secs(7 * 86_400);

/// What cannot be with these sections, in words.
pub(super) fn refuse(config: &Config) -> Result<(), String> {
    let mut seen = HashSet::new();
    for category in &config.categories {
        let name = &category.name;
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
        if !(1..=64).contains(&name.len()) || !name.chars().all(is_plain) {
            return Err(format!("category `{name}`: a name must have 1 to 64 letters, digits, _, - or ."));
        }
        if !seen.insert(name) {
            return Err(format!("two categories are called `{name}`"));
        }
        if let Some(hours) = &category.quiet_hours
            && hours.hours().is_none()
        {
            return Err(format!("category `{name}`: {}", whole_day("quiet_hours", hours.from.0)));
        }
        if !category.opt_out && !category.enabled {
            return Err(format!("category `{name}`: nobody would ever get it with `enabled` and `opt_out` both false"));
        }
        if category.daily_cap == Some(0) {
            return Err(format!("category `{name}`: with a `daily_cap` of 0 nobody would ever get it; leave it out"));
        }
        if category.ignores_caps && (category.daily_cap.is_some() || category.reminder) {
            return Err(format!("category `{name}`: it cannot ignore caps and have `daily_cap` or `reminder`"));
        }
        if category.confirm_within.is_some_and(|within| within.is_zero() || within > CONFIRM_MAX) {
            return Err(format!(
                "category `{name}`: `confirm_within` must be above 0 and at most \"7d\"; leave it out"
            ));
        }
        if category.budget_per_day.is_some_and(|budget| !(budget.is_finite() && domain::millionths(budget) > 0)) {
            return Err(format!(
                "category `{name}`: `budget_per_day` must be an amount of money above 0; leave it out for no bound"
            ));
        }
        if category.digest && category.first_at_once {
            return Err(format!("category `{name}`: a digest cannot send its first at once: leave out one of them"));
        }
        once_each(&category.channels).map_err(|twice| format!("category `{name}`: `channels` has {twice} twice"))?;
    }
    if config.categories().is_none() {
        return Err(format!(
            "`planning.default_category` is `{}`, which is none of `categories`: a file that names any category replaces \
             the whole list",
            config.planning.default_category
        ));
    }
    let quiet = &config.quiet_hours;
    if quiet.enabled && domain::QuietHours::new(quiet.from.0, quiet.to.0).is_none() {
        return Err(whole_day("quiet_hours", quiet.from.0));
    }
    if config.planning.cache < ByteSize(1 << 20) {
        return Err("`planning.cache` must be at least \"1 MiB\"".to_owned());
    }
    let fatigue = &config.fatigue;
    if fatigue.max == 0 || fatigue.window.is_zero() || fatigue.daily_cap == Some(0) {
        return Err("`fatigue.window`, `fatigue.max` and `fatigue.daily_cap` must be above 0".to_owned());
    }
    let aggregation = &config.aggregation;
    let (second, week) = (Duration::from_secs(1), Duration::from_secs(7 * 86_400));
    if !(second..=week).contains(&aggregation.window) {
        return Err("`aggregation.window` must be from \"1s\" to \"7d\"".to_owned());
    }
    if !(1..=domain::Gathered::ITEMS_MAX).contains(&aggregation.shown_items) {
        return Err(format!("`aggregation.shown_items` must be from 1 to {}", domain::Gathered::ITEMS_MAX));
    }
    if aggregation.max_items.is_some_and(|max| max < 2) {
        return Err("`aggregation.max_items` must be at least 2: with less nothing is merged".to_owned());
    }
    if aggregation.digest_hour > 23 {
        return Err("`aggregation.digest_hour` must be from 0 to 23".to_owned());
    }
    calendars(&config.calendars)?;
    let routing = &config.routing;
    for (name, channels) in
        [("critical", &routing.critical), ("cheapest", &routing.cheapest), ("otherwise", &routing.otherwise)]
    {
        once_each(channels).map_err(|twice| format!("`routing.{name}` has {twice} twice"))?;
        if channels.iter().any(|channel| channel.0 == domain::Channel::Chat) {
            return Err(format!("`routing.{name}` has chat: its room is not the user's, so it is used by name only"));
        }
    }
    Ok(())
}

fn whole_day(key: &str, from: TimeOfDay) -> String {
    format!("`{key}` begin and end at {from}: that would be the whole day; make `from` and `to` differ")
}

/// All days of a year that a calendar may name; one with more holds messages for ever.
const DAYS_MAX: usize = 200;

fn calendars(calendars: &[Calendar]) -> Result<(), String> {
    for calendar in calendars {
        let name = &calendar.name;
        if calendar.locales.is_empty() {
            return Err(format!("calendar `{name}`: `locales` is empty: it is nobody's; write [\"*\"] for everybody"));
        }
        let is_range = |text: &String| {
            text == "*" || text.split('-').all(|part| (1..=8).contains(&part.len()) && is_alphanumeric(part))
        };
        if let Some(wrong) = calendar.locales.iter().find(|locale| !is_range(locale)) {
            return Err(format!("calendar `{name}`: `{wrong}` is no language: write it as \"de\", \"de-AT\" or \"*\""));
        }
        if calendar.days.len() > DAYS_MAX {
            return Err(format!("calendar `{name}`: `days` must have at most {DAYS_MAX} entries"));
        }
    }
    Ok(())
}

fn is_alphanumeric(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn once_each(channels: &[ChannelName]) -> Result<(), domain::Channel> {
    let mut seen = HashSet::new();
    channels.iter().find(|channel| !seen.insert(channel.0)).map_or(Ok(()), |channel| Err(channel.0))
}

impl CategoryHours {
    fn hours(&self) -> Option<domain::QuietHours> {
        domain::QuietHours::new(self.from.0, self.to.0)
    }
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
        });
        Categories::new(all.collect(), &self.planning.default_category)
    }

    /// `None`: there are none.
    pub fn usual_quiet_hours(&self) -> Option<domain::QuietHours> {
        let quiet = &self.quiet_hours;
        domain::QuietHours::new(quiet.from.0, quiet.to.0).filter(|_| quiet.enabled)
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
