//! Preferences: what a user wants to hear, on which channel, and when.

use std::collections::BTreeSet;

use serde_json::Value;
use serde_json::value::RawValue;

use super::fields::{Fields, Problems, Said};
use crate::config::{self, nearest};
use crate::domain::{Categories, Channel, QuietChoice, TimeOfDay, User, UserEntry, cut};
use crate::intake::limits;

/// Of one body: more than there are categories and channels.
const PREFERENCES_MAX: usize = 1000;

/// What a body says.
#[derive(Debug, Default)]
pub(in crate::api) struct Preferences {
    /// By category and channel; `None` takes it back.
    switches: Vec<(Box<str>, Channel, Option<bool>)>,
    quiet_hours: Option<QuietChoice>,
    digest_hour: Said<u8>,
    preferred_channel: Said<Channel>,
}

impl Preferences {
    /// Switches alone, of categories that are known and can be switched so.
    pub(in crate::api) fn of(switches: Vec<(Box<str>, Channel, Option<bool>)>) -> Self {
        Self { switches, ..Self::default() }
    }

    pub(in crate::api) fn read(fields: &mut Fields<'_>, categories: &Categories, problems: &mut Problems) -> Self {
        Self {
            switches: switches(fields, categories, problems),
            quiet_hours: quiet_hours(fields, problems),
            digest_hour: digest_hour(fields, problems),
            preferred_channel: fields.text("preferred_channel", problems, channel),
        }
    }

    /// What changes with it of what is known of a user.
    pub(in crate::api) fn entries(&self, user: &User) -> Vec<UserEntry> {
        let mut entries = Vec::new();
        for (category, channel, enabled) in &self.switches {
            if user.preference(category, *channel) != *enabled {
                let (category, channel, enabled) = (category.clone(), *channel, *enabled);
                entries.push(UserEntry::Preference { category, channel, enabled });
            }
        }
        entries.extend(self.quiet_hours.filter(|choice| *choice != user.quiet_hours).map(UserEntry::QuietHours));
        entries.extend(self.digest_hour.filter(|hour| *hour != user.digest_hour).map(UserEntry::DigestHour));
        let preferred = self.preferred_channel.filter(|channel| *channel != user.preferred_channel);
        entries.extend(preferred.map(UserEntry::PreferredChannel));
        entries
    }
}

fn channel(text: &str) -> Result<Channel, String> {
    let names = || Channel::ALL.map(Channel::name).join(", ");
    Channel::parse(text).ok_or_else(|| format!("`{}` is no channel: use one of {}", cut(text, 40), names()))
}

fn switches(
    fields: &mut Fields<'_>,
    categories: &Categories,
    problems: &mut Problems,
) -> Vec<(Box<str>, Channel, Option<bool>)> {
    let at = fields.pointer("preferences");
    let Some(raw) = fields.take("preferences") else { return Vec::new() };
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        problems.add(&at, "must be a list of {\"category\", \"channel\", \"enabled\"}");
        return Vec::new();
    };
    if items.len() > PREFERENCES_MAX {
        problems.add(&at, format!("must have at most {PREFERENCES_MAX} entries"));
        return Vec::new();
    }
    let mut switches = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, item) in items.into_iter().enumerate() {
        let at = format!("{at}/{index}");
        let Some(switch) = switch(item, &at, categories, problems) else { continue };
        if seen.insert((switch.0.clone(), switch.1)) {
            switches.push(switch);
        } else {
            problems.add(&at, "this category and channel are there twice");
        }
    }
    switches
}

/// `None` only together with a problem.
fn switch(
    raw: &RawValue,
    at: &str,
    categories: &Categories,
    problems: &mut Problems,
) -> Option<(Box<str>, Channel, Option<bool>)> {
    let mut fields = Fields::read(raw.get(), at).map_err(|problem| problems.push(problem)).ok()?;
    let category = fields.required("category", problems, |text| category(text, categories));
    let channel = fields.required("channel", problems, channel);
    let pointer = fields.pointer("enabled");
    let enabled = match fields.value("enabled", problems) {
        Some(Value::Bool(enabled)) => Some(Some(enabled)),
        Some(Value::Null) => Some(None),
        other => {
            let detail = if other.is_some() { "must be true, false or null" } else { "is required" };
            problems.add(&pointer, detail);
            None
        }
    };
    fields.end(problems);
    let (category, channel, enabled) = (category?, channel?, enabled?);
    let may_switch_off = categories.get(&category).is_some_and(|category| category.opt_out);
    if enabled == Some(false) && !may_switch_off {
        problems.add(&pointer, format!("users may not switch off `{category}`"));
        return None;
    }
    Some((category, channel, enabled))
}

fn category(text: &str, categories: &Categories) -> Result<Box<str>, String> {
    if categories.get(text).is_some() {
        return Ok(text.into());
    }
    let shown = cut(text, limits::CATEGORY_BYTES_MAX);
    let hint = nearest(shown, &categories.names()).map(|near| format!(": did you mean `{near}`?"));
    Err(format!("`{shown}` is no category that is configured{}", hint.unwrap_or_default()))
}

fn quiet_hours(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<QuietChoice> {
    let at = fields.pointer("quiet_hours");
    let raw = fields.take("quiet_hours")?;
    match raw.get() {
        "null" => return Some(QuietChoice::Usual),
        "\"never\"" => return Some(QuietChoice::Never),
        text if text.starts_with('{') => {}
        _ => {
            problems.add(&at, "must be {\"from\": \"22:00\", \"to\": \"08:00\"}, \"never\", or null for what is usual");
            return None;
        }
    }
    let mut window = Fields::read(raw.get(), &at).map_err(|problem| problems.push(problem)).ok()?;
    let time = |text: &str| TimeOfDay::parse(text).ok_or("must be a time of day from 00:00 to 23:59, as `22:00`");
    let from = window.required("from", problems, time);
    let to = window.required("to", problems, time);
    window.end(problems);
    let (from, to) = (from?, to?);
    problems.check(&at, config::quiet_hours(from, to)).map(QuietChoice::Own)
}

fn digest_hour(fields: &mut Fields<'_>, problems: &mut Problems) -> Said<u8> {
    let at = fields.pointer("digest_hour");
    match fields.value("digest_hour", problems)? {
        Value::Null => Some(None),
        value => match value.as_u64().and_then(|hour| u8::try_from(hour).ok()).filter(|hour| *hour < 24) {
            Some(hour) => Some(Some(hour)),
            None => {
                problems.add(&at, "must be an hour from 0 to 23");
                None
            }
        },
    }
}
