//! What cannot be of these sections, looked at once, at start; and what quiet hours may be, whoever says them.

use std::collections::HashSet;
use std::time::Duration;

use super::{Calendar, Category, Routing};
use crate::config::{ByteSize, ChannelName, Config};
use crate::domain::{self, TimeOfDay, canonical_locale};

const DAY_MINUTES: u16 = 24 * 60;
/// The longest that quiet hours may be: what is held until they end must have a time to come.
const QUIET_MINUTES_MAX: u16 = 23 * 60;

/// The rule for quiet hours, of the configuration and of users. `Err`: what is wrong with them, for people.
pub(crate) fn quiet_hours(from: TimeOfDay, to: TimeOfDay) -> Result<domain::QuietHours, String> {
    let minutes = (to.minutes() + DAY_MINUTES - from.minutes()) % DAY_MINUTES;
    let hours = domain::QuietHours::new(from, to).filter(|_| minutes <= QUIET_MINUTES_MAX);
    hours.ok_or_else(|| {
        format!("from {from} to {to} is the whole day or nearly: leave an hour, in which what was held can come")
    })
}

/// The longest that a fallback waits for a confirmation: a message that is read a week later was no matter for a fallback.
const CONFIRM_MAX: Duration = Duration::from_secs(7 * 86_400);

/// What cannot be with these sections, in words.
pub(in crate::config) fn refuse(config: &Config) -> Result<(), String> {
    categories(&config.categories)?;
    if config.categories().is_none() {
        return Err(format!(
            "`planning.default_category` is `{}`, which is none of `categories`: a file that names any category replaces \
             the whole list",
            config.planning.default_category
        ));
    }
    let quiet = &config.quiet_hours;
    if quiet.enabled {
        quiet_hours(quiet.from.0, quiet.to.0).map_err(|detail| format!("`quiet_hours`: {detail}"))?;
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
    routing(&config.routing)
}

fn categories(categories: &[Category]) -> Result<(), String> {
    let mut seen = HashSet::new();
    for category in categories {
        let name = &category.name;
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
        if !(1..=64).contains(&name.len()) || !name.chars().all(is_plain) {
            return Err(format!("category `{name}`: a name must have 1 to 64 letters, digits, _, - or ."));
        }
        if !seen.insert(name) {
            return Err(format!("two categories are called `{name}`"));
        }
        if let Some(purpose) = &category.requires_consent
            && (!(1..=64).contains(&purpose.len()) || !purpose.chars().all(is_plain))
        {
            return Err(format!("category `{name}`: `requires_consent` must have 1 to 64 letters, digits, _, - or ."));
        }
        if let Some(hours) = &category.quiet_hours {
            let wrong = |detail| format!("category `{name}`: `quiet_hours`: {detail}");
            quiet_hours(hours.from.0, hours.to.0).map_err(wrong)?;
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
    Ok(())
}

fn routing(routing: &Routing) -> Result<(), String> {
    if routing.critical.is_empty() && routing.cheapest.is_empty() && routing.otherwise.is_empty() {
        return Err(
            "`routing.critical`, `routing.cheapest` and `routing.otherwise` are all empty, and no channel could be \
                    chosen: write the channels that you have, as [\"email\", \"sms\"]"
                .to_owned(),
        );
    }
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

/// All days of a year that a calendar may name; one with more holds messages for ever.
const DAYS_MAX: usize = 200;

fn calendars(calendars: &[Calendar]) -> Result<(), String> {
    for calendar in calendars {
        let name = &calendar.name;
        if calendar.locales.is_empty() {
            return Err(format!("calendar `{name}`: `locales` is empty: it is nobody's; write [\"*\"] for everybody"));
        }
        // Locales are kept with hyphens, and ranges are held against those.
        let is_range = |text: &String| text == "*" || (!text.contains('_') && canonical_locale(text).is_some());
        if let Some(wrong) = calendar.locales.iter().find(|locale| !is_range(locale)) {
            return Err(format!("calendar `{name}`: `{wrong}` is no language: write it as \"de\", \"de-AT\" or \"*\""));
        }
        if !(1..=DAYS_MAX).contains(&calendar.days.len()) {
            return Err(format!(
                "calendar `{name}`: `days` must have 1 to {DAYS_MAX} entries, as [\"12-25\", \"2027-03-26\"]"
            ));
        }
    }
    Ok(())
}

fn once_each(channels: &[ChannelName]) -> Result<(), domain::Channel> {
    let mut seen = HashSet::new();
    channels.iter().find(|channel| !seen.insert(channel.0)).map_or(Ok(()), |channel| Err(channel.0))
}
