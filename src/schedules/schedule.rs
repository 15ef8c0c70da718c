//! A schedule as it is defined: read from its JSON, with everything that is wrong. What it begins is checked in [`super::making`].

use std::time::Duration;

use serde_json::{Map, Value};

use super::Timetable;
use crate::archive::AGE_MIN;
use crate::audience::Segment;
use crate::audience::json::{below, kind_of, object, refuse_unknown, text};
use crate::config::duration;
use crate::domain::Timestamp;
use crate::intake::{FieldProblem, addresses, limits};

const FIELDS: &[&str] =
    &["cron", "timezone", "active", "description", "catch_up", "scan", "event", "campaign", "archive"];
const SCAN: &[&str] = &["attribute", "days_ahead", "where", "send"];
/// Of a notification, as far as it is the same for everybody and at every run.
const SEND: &[&str] = &[
    "template",
    "content",
    "category",
    "priority",
    "channels",
    "routing",
    "data",
    "metadata",
    "locale",
    "local_time",
    "delay_seconds",
    "expires_after_seconds",
    "dedup_window_seconds",
    "aggregate",
    "collapse_key",
    "attachments",
];
const EVENT: &[&str] = &["type", "subject", "user_id", "data"];
const ARCHIVE: &[&str] = &["older_than"];
const ACTIONS: &[&str] = &["scan", "event", "campaign", "archive"];

/// Reminders of one scan: each reads a day of the index.
const DAYS_MAX: usize = 16;
/// How far a day may be from today, either way: behind it are those who might come back.
const DAY_MAX: i64 = 3650;
/// As of an event's names.
const ATTRIBUTE_BYTES_MAX: usize = 256;

/// A schedule that can be used.
#[derive(Debug, Clone)]
pub struct Schedule {
    pub name: Box<str>,
    pub timetable: Timetable,
    pub is_active: bool,
    pub catch_up: CatchUp,
    pub(super) action: Action,
}

/// What becomes of a due time that passed while nobody ran it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    /// The latest of them is run.
    Once,
    /// None is.
    Skip,
}

/// What a run does.
#[derive(Debug, Clone)]
pub(super) enum Action {
    Scan(Scan),
    /// The event's fields.
    Event(Map<String, Value>),
    /// JSON text: what would be asked of the API for a campaign.
    Campaign(Box<str>),
    /// What is over and older is archived and dropped.
    Archive(Duration),
}

/// Users whose attribute falls on a day.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    pub(super) attribute: Box<str>,
    /// From the day of the run on; below 0 they are past.
    pub(super) days_ahead: Vec<i32>,
    /// JSON text, over their attributes.
    pub(super) condition: Option<Box<str>>,
    /// The fields of the notification.
    pub(super) send: Map<String, Value>,
}

impl Schedule {
    /// From the JSON of its definition; `now` is when it is looked whether it ever fires.
    pub fn read(name: &str, body: &str, now: Timestamp) -> Result<Self, Vec<FieldProblem>> {
        let mut problems = Vec::new();
        let fields = object(body).map_err(|problem| vec![problem])?;
        refuse_unknown("", &fields, FIELDS, &mut problems);
        _ = text(&fields, "description", &mut problems);
        let timetable = timetable(&fields, now, &mut problems);
        let is_active = match fields.get("active") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(is_active)) => *is_active,
            Some(other) => {
                problems.push(FieldProblem::new("/active", format!("must be true or false, not {}", kind_of(other))));
                false
            }
        };
        let catch_up = match text(&fields, "catch_up", &mut problems) {
            None | Some("once") => CatchUp::Once,
            Some("skip") => CatchUp::Skip,
            Some(_) => {
                problems.push(FieldProblem::new("/catch_up", "must be \"once\" or \"skip\""));
                CatchUp::Skip
            }
        };
        let action = action(&fields, &mut problems);
        match (timetable, action) {
            (Some(timetable), Some(action)) if problems.is_empty() => {
                Ok(Self { name: name.into(), timetable, is_active, catch_up, action })
            }
            _ => Err(problems),
        }
    }
}

/// `None` only together with a problem, as below.
fn timetable(fields: &Map<String, Value>, now: Timestamp, problems: &mut Vec<FieldProblem>) -> Option<Timetable> {
    let zone = text(fields, "timezone", problems).unwrap_or("UTC");
    match fields.get("cron") {
        Some(Value::String(cron)) => Timetable::read(cron, zone, now).map_err(|found| problems.extend(found)).ok(),
        None | Some(Value::Null) => {
            problems.push(FieldProblem::new("/cron", "is required: when it runs, as in `0 9 * * MON-FRI`"));
            None
        }
        Some(other) => {
            problems.push(FieldProblem::new("/cron", format!("must be a text, not {}", kind_of(other))));
            None
        }
    }
}

fn action(fields: &Map<String, Value>, problems: &mut Vec<FieldProblem>) -> Option<Action> {
    let said: Vec<&str> =
        ACTIONS.iter().copied().filter(|name| fields.get(*name).is_some_and(|action| !action.is_null())).collect();
    let [only] = said[..] else {
        let detail = match said.is_empty() {
            true => "says nothing that is to be done: give one of `scan`, `event`, `campaign` and `archive`".to_owned(),
            false => format!("has {} things to do: give one of `scan`, `event`, `campaign` and `archive`", said.len()),
        };
        problems.push(FieldProblem::new("", detail));
        return None;
    };
    let Value::Object(action) = &fields[only] else {
        let detail = format!("must be an object, not {}", kind_of(&fields[only]));
        problems.push(FieldProblem::of_field(only, detail));
        return None;
    };
    match only {
        "scan" => scan(action, problems).map(Action::Scan),
        "event" => {
            refuse_unknown("/event", action, EVENT, problems);
            Some(Action::Event(action.clone()))
        }
        "archive" => archive(action, problems).map(Action::Archive),
        _ => Some(Action::Campaign(Value::Object(action.clone()).to_string().into())),
    }
}

fn archive(fields: &Map<String, Value>, problems: &mut Vec<FieldProblem>) -> Option<Duration> {
    refuse_unknown("/archive", fields, ARCHIVE, problems);
    let age = fields.get("older_than").and_then(Value::as_str).and_then(duration::parse);
    match age {
        Some(age) if age >= AGE_MIN => return Some(age),
        Some(_) => {
            let detail = "is too young: at least \"1d\", so that what comes late finds what it belongs to";
            problems.push(FieldProblem::new("/archive/older_than", detail));
        }
        None => {
            let detail = "is required: the age from which on notifications are archived, as in \"30d\" or \"48h\"";
            problems.push(FieldProblem::new("/archive/older_than", detail));
        }
    }
    None
}

fn scan(fields: &Map<String, Value>, problems: &mut Vec<FieldProblem>) -> Option<Scan> {
    refuse_unknown("/scan", fields, SCAN, problems);
    let attribute = match fields.get("attribute") {
        Some(Value::String(name))
            if (1..=ATTRIBUTE_BYTES_MAX).contains(&name.len()) && addresses::one_line(name).is_ok() =>
        {
            Some(name.as_str().into())
        }
        _ => {
            let detail =
                "is required: the name of an attribute of users that is a day or a time, membership_expires_at";
            problems.push(FieldProblem::new("/scan/attribute", detail));
            None
        }
    };
    let days_ahead = days_ahead(fields.get("days_ahead"), problems);
    let condition = fields.get("where").filter(|condition| !condition.is_null());
    let read = condition.map(|condition| Segment::read(&condition.to_string()));
    let misread = read.and_then(Result::err).unwrap_or_default();
    problems.extend(misread.into_iter().map(|problem| problem.below("/scan/where")));
    let send = match fields.get("send") {
        Some(Value::Object(send)) => Some(said(send, problems)),
        _ => {
            problems.push(FieldProblem::new("/scan/send", "is required: the fields of the notification"));
            None
        }
    };
    let condition = condition.map(|condition| condition.to_string().into());
    Some(Scan { attribute: attribute?, days_ahead: days_ahead?, condition, send: send? })
}

fn days_ahead(value: Option<&Value>, problems: &mut Vec<FieldProblem>) -> Option<Vec<i32>> {
    let mut days: Vec<i32> = Vec::new();
    let items = value.and_then(Value::as_array).filter(|items| (1..=DAYS_MAX).contains(&items.len()));
    let Some(items) = items else {
        let detail = format!("is required: a list of 1 to {DAYS_MAX} numbers of days, as in [7, 3, 1]");
        problems.push(FieldProblem::new("/scan/days_ahead", detail));
        return None;
    };
    for (index, item) in items.iter().enumerate() {
        let day = item.as_i64().filter(|day| (-DAY_MAX..=DAY_MAX).contains(day)).map(|day| day as i32);
        let detail = match day {
            Some(day) if days.contains(&day) => "is there twice".to_owned(),
            Some(day) => {
                days.push(day);
                continue;
            }
            None => format!("must be a whole number of days, -{DAY_MAX} to {DAY_MAX}"),
        };
        problems.push(FieldProblem::new(format!("/scan/days_ahead/{index}"), detail));
    }
    (days.len() == items.len()).then_some(days)
}

/// The fields of the notification, without those that are null.
fn said(send: &Map<String, Value>, problems: &mut Vec<FieldProblem>) -> Map<String, Value> {
    let mut known = Map::new();
    for (name, value) in send.iter().filter(|(_, value)| !value.is_null()) {
        match of_the_run(name) {
            Some(detail) => problems.push(FieldProblem::new(below("/scan/send", name), detail)),
            None => _ = known.insert(name.clone(), value.clone()),
        }
    }
    refuse_unknown("/scan/send", &known, SEND, problems);
    for name in ["delay_seconds", "expires_after_seconds"] {
        let is_wrong = |value: &&Value| value.as_u64().is_none_or(|seconds| seconds > limits::AHEAD_SECONDS_MAX);
        if known.get(name).filter(is_wrong).is_some() {
            let detail = format!("must be a whole number of seconds, at most {} (365 days)", limits::AHEAD_SECONDS_MAX);
            problems.push(FieldProblem::new(below("/scan/send", name), detail));
        }
    }
    known
}

/// Why a field of a notification is none of a scan's.
fn of_the_run(name: &str) -> Option<&'static str> {
    match name {
        "user_id" | "to" => Some("is whoever the scan finds"),
        "deliver_at" => Some("is a time of one run: give `delay_seconds` or `local_time`"),
        "expires_at" => Some("is a time of one run: give `expires_after_seconds`"),
        "dedup_key" => {
            Some("is not taken: everybody is told once for each of the days, and would be told once altogether")
        }
        _ => None,
    }
}
