//! Dates and times, in the zone of the user and as the language of the message writes them.

use handlebars::RenderError;
use icu_time::zone::{UtcOffset, ZoneNameTimestamp};
use jiff::civil;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::super::locale::{LocalTime, Style, TimeFields, TimeFormat};
use super::{Args, Made};

/// Numbers from here on are milliseconds: as seconds they would lie in the year 5138, as milliseconds in 1973.
const MILLIS_MIN: f64 = 1e11;

/// `{{format_date at "long"}}`
pub(super) fn format_date(args: &Args<'_, '_>) -> Made {
    written(args, TimeFields::Date)
}

/// `{{format_time at zone="Europe/Berlin"}}`
pub(super) fn format_time(args: &Args<'_, '_>) -> Made {
    written(args, TimeFields::Time)
}

pub(super) fn format_datetime(args: &Args<'_, '_>) -> Made {
    written(args, TimeFields::DateTime)
}

/// What a value says about time.
enum When {
    /// A day, wherever one is.
    Day(civil::Date),
    Instant(jiff::Timestamp),
}

fn written(args: &Args<'_, '_>, fields: TimeFields) -> Made {
    let value = args.value(0)?;
    let Some(when) = when(value) else {
        return args.refuse("takes a time: RFC 3339 with an offset, a date such as 2026-11-22, or seconds since 1970");
    };
    let style = style(args, fields)?;
    let zone = zone(args)?;
    let time = match when {
        When::Instant(instant) => local(instant, &zone),
        When::Day(day) if fields == TimeFields::Date => {
            // Noon in UTC: any zone would do, for the date is taken as it is.
            day.at(12, 0, 0, 0).to_zoned(TimeZone::UTC).ok().and_then(|noon| local(noon.timestamp(), &TimeZone::UTC))
        }
        When::Day(_) => return args.refuse("takes a time; a date has no time of day"),
    };
    let locale = args.setting()?.locale;
    let written = time.and_then(|time| locale.time(&time, TimeFormat { fields, style }));
    args.formatted(written).map(Value::String)
}

fn style(args: &Args<'_, '_>, fields: TimeFields) -> Result<Style, RenderError> {
    let default = if fields == TimeFields::Time { Style::Short } else { Style::Medium };
    if args.count() < 2 {
        return Ok(default);
    }
    match args.value(1)?.as_str() {
        Some("short") => Ok(Style::Short),
        Some("medium") => Ok(Style::Medium),
        Some("long") => Ok(Style::Long),
        Some("full") => Ok(Style::Full),
        _ => args.refuse("takes `short`, `medium`, `long` or `full` as its second value"),
    }
}

/// `zone=`, or the user's.
fn zone(args: &Args<'_, '_>) -> Result<TimeZone, RenderError> {
    match args.named("zone") {
        None => Ok(args.setting()?.zone.time_zone().clone()),
        Some(Value::String(name)) if let Ok(zone) = TimeZone::get(name) => Ok(zone),
        Some(_) => args.refuse("takes a zone of the IANA database, such as Europe/Berlin, for `zone=`"),
    }
}

fn when(value: &Value) -> Option<When> {
    match value {
        Value::String(text) => {
            let text = text.trim();
            if text.len() == 10 {
                return text.parse().ok().map(When::Day);
            }
            text.parse().ok().map(When::Instant)
        }
        Value::Number(number) => {
            let number = number.as_f64()?;
            let millis = if number.abs() >= MILLIS_MIN { number } else { number * 1000.0 };
            jiff::Timestamp::from_millisecond(millis.round() as i64).ok().map(When::Instant)
        }
        _ => None,
    }
}

fn local(instant: jiff::Timestamp, zone: &TimeZone) -> Option<LocalTime> {
    let offset = zone.to_offset(instant);
    let local = offset.to_datetime(instant);
    let date = icu_calendar::Date::try_new_iso(i32::from(local.year()), local.month() as u8, local.day() as u8).ok()?;
    let time = icu_time::Time::try_new(local.hour() as u8, local.minute() as u8, local.second() as u8, 0).ok()?;
    let id = icu_time::TimeZone::from_iana_id(zone.iana_name().unwrap_or("Etc/UTC"));
    let offset = UtcOffset::try_from_seconds(offset.seconds()).ok();
    let zone =
        id.with_offset(offset).with_zone_name_timestamp(ZoneNameTimestamp::from_epoch_seconds(instant.as_second()));
    Some(LocalTime { date, time, zone })
}
