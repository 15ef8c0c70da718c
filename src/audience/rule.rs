//! A rule: which events make which notification for whom.

mod making;
mod trial;

use serde_json::{Map, Value};

use super::KnownType;
use super::condition::Condition;
use super::event_type::{FEEDS_ITSELF, is_own};
use super::fill::FillText;
use super::json::{below, kind_of, object, refuse_unknown, text};
use crate::domain::{EVENT_TYPE_RULE, is_event_type};
use crate::intake::{FieldProblem, limits};

pub(super) use making::{event_data, made, message_for_followers, placed};
pub(super) use trial::{example_event, example_request, unfit_content};

/// Users of one rule: more are an audience of their own.
const USERS_MAX: usize = 1000;
const NAME_BYTES_MAX: usize = 64;

const FIELDS: &[&str] = &["event", "when", "audience", "send", "active", "description"];
const SEND: &[&str] = &[
    "template",
    "content",
    "category",
    "priority",
    "channels",
    "routing",
    "delay_seconds",
    "expires_after_seconds",
    "locale",
    "dedup_key",
    "dedup_window_seconds",
    "aggregate",
    "collapse_key",
    "to",
];
/// Of a request, and said by the event or by when it comes.
const OF_EVENTS: &[&str] = &["user_id", "data", "metadata", "deliver_at", "local_time", "expires_at"];
/// Texts that are filled from the event.
const FILLED: &[&str] = &["locale", "dedup_key", "collapse_key"];
const FILLED_WITHIN: &[(&str, &[&str])] =
    &[("aggregate", &["key", "actor"]), ("to", &["email", "phone", "push_token", "url", "chat"])];

/// A rule as it is in force.
#[derive(Debug)]
pub struct KnownRule {
    pub name: Box<str>,
    /// The type of the events that it is for.
    pub event: Box<str>,
    pub is_active: bool,
    pub(super) when: Option<Condition>,
    pub(super) audience: Audience,
    pub(super) send: Notice,
}

/// Who is told.
#[derive(Debug)]
pub(super) enum Audience {
    /// Whom it happened to.
    User,
    Users(Vec<Box<str>>),
    /// Those who follow the subject of the event, each on the channel of their choice.
    Subscribers,
}

/// The notification, as far as the rule says it.
#[derive(Debug)]
pub(super) struct Notice {
    /// Fields of a request, in no order.
    fields: Vec<(Box<str>, Part)>,
    delay_seconds: Option<u64>,
    /// From the time on at which it is to be sent.
    expires_after_seconds: Option<u64>,
}

/// The value of a field.
#[derive(Debug)]
enum Part {
    /// JSON text.
    Fixed(Box<str>),
    Filled(FillText),
    Object(Vec<(Box<str>, Part)>),
}

impl KnownRule {
    /// From the JSON of its definition; `event_type` finds what is declared. Its content is not tried: see [`unfit_content`].
    pub(super) fn read<'a>(
        name: &str,
        body: &str,
        event_type: impl Fn(&str) -> Result<&'a KnownType, String>,
    ) -> Result<Self, Vec<FieldProblem>> {
        let mut problems = Vec::new();
        if !is_rule_name(name) {
            problems.push(FieldProblem::new("/name", "must have 1 to 64 characters of a-z, 0-9, -, _ and ."));
        }
        let fields = object(body).map_err(|problem| vec![problem])?;
        refuse_unknown("", &fields, FIELDS, &mut problems);
        _ = text(&fields, "description", &mut problems);
        let event = event(&fields, &mut problems);
        let known = event.as_deref().and_then(|event| match event_type(event) {
            Ok(known) => Some(known),
            Err(detail) => {
                problems.push(FieldProblem::new("/event", detail));
                None
            }
        });
        let schema = known.and_then(|known| known.schema.as_ref());
        let when = match fields.get("when").filter(|when| !when.is_null()) {
            None => None,
            Some(when) => match Condition::read(when, "/when", schema) {
                Ok(condition) => Some(condition),
                Err(found) => {
                    problems.extend(found);
                    None
                }
            },
        };
        let audience = audience(fields.get("audience"), &mut problems);
        let is_active = match fields.get("active") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(is_active)) => *is_active,
            Some(other) => {
                problems.push(FieldProblem::new("/active", format!("must be true or false, not {}", kind_of(other))));
                false
            }
        };
        let send = send(fields.get("send"), schema, &mut problems);
        if let (Some(Audience::Subscribers), Some(send)) = (&audience, &send) {
            send.refuse_what_followers_say(&mut problems);
        }
        match (event, audience, send) {
            (Some(event), Some(audience), Some(send)) if problems.is_empty() => {
                Ok(Self { name: name.into(), event, is_active, when, audience, send })
            }
            _ => Err(problems),
        }
    }
}

impl Notice {
    /// Where each is told is the follower's choice.
    fn refuse_what_followers_say(&self, problems: &mut Vec<FieldProblem>) {
        for (name, _) in self.fields.iter().filter(|(name, _)| ["channels", "to"].contains(&&**name)) {
            let detail = "is said by each subscription: a rule for subscribers cannot say it";
            problems.push(FieldProblem::new(below("/send", name), detail));
        }
    }
}

fn is_rule_name(name: &str) -> bool {
    let fits = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(fits)
}

/// `None` only together with a problem, as below.
fn event(fields: &Map<String, Value>, problems: &mut Vec<FieldProblem>) -> Option<Box<str>> {
    let detail = match fields.get("event") {
        None | Some(Value::Null) => "is required: the type of the events that the rule is for".to_owned(),
        Some(Value::String(event)) if is_own(event) => FEEDS_ITSELF.to_owned(),
        Some(Value::String(event)) if !is_event_type(event) => EVENT_TYPE_RULE.to_owned(),
        Some(Value::String(event)) => return Some(event.as_str().into()),
        Some(other) => format!("must be a text, not {}", kind_of(other)),
    };
    problems.push(FieldProblem::new("/event", detail));
    None
}

fn audience(value: Option<&Value>, problems: &mut Vec<FieldProblem>) -> Option<Audience> {
    let mut refuse = |pointer: String, detail: String| problems.push(FieldProblem::new(pointer, detail));
    match value {
        None | Some(Value::Null) => Some(Audience::User),
        Some(Value::String(word)) if word == "user" => Some(Audience::User),
        Some(Value::String(word)) if word == "subscribers" => Some(Audience::Subscribers),
        Some(Value::Array(users)) => {
            if !(1..=USERS_MAX).contains(&users.len()) {
                refuse("/audience".into(), format!("must have 1 to {USERS_MAX} users"));
                return None;
            }
            let mut ids: Vec<Box<str>> = Vec::with_capacity(users.len());
            for (index, user) in users.iter().enumerate() {
                let at = format!("/audience/{index}");
                match user.as_str() {
                    Some(id) if ids.iter().any(|other| **other == *id) => refuse(at, "is there twice".into()),
                    Some(id) if is_user_id(id) => ids.push(id.into()),
                    Some(_) => refuse(at, format!("must be one line of 1 to {} bytes", limits::USER_ID_BYTES_MAX)),
                    None => refuse(at, format!("must be the id of a user, not {}", kind_of(user))),
                }
            }
            (ids.len() == users.len()).then_some(Audience::Users(ids))
        }
        Some(_) => {
            let detail =
                "must be \"user\" (the user of the event), \"subscribers\" (of its subject) or a list of user ids";
            refuse("/audience".into(), detail.into());
            None
        }
    }
}

fn is_user_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= limits::USER_ID_BYTES_MAX && !id.chars().any(char::is_control)
}

fn send(value: Option<&Value>, schema: Option<&Value>, problems: &mut Vec<FieldProblem>) -> Option<Notice> {
    let fields = match value {
        Some(Value::Object(fields)) => fields,
        None | Some(Value::Null) => {
            problems.push(FieldProblem::new("/send", "is required: the fields of the notification"));
            return None;
        }
        Some(other) => {
            problems.push(FieldProblem::new("/send", format!("must be an object, not {}", kind_of(other))));
            return None;
        }
    };
    let mut known = Map::new();
    for (name, value) in fields {
        match OF_EVENTS.contains(&name.as_str()) {
            true => problems.push(FieldProblem::new(below("/send", name), of_events(name))),
            false => _ = known.insert(name.clone(), value.clone()),
        }
    }
    refuse_unknown("/send", &known, SEND, problems);
    let delay_seconds = seconds(&known, "delay_seconds", 0, problems);
    let expires_after_seconds = seconds(&known, "expires_after_seconds", 1, problems);
    let mut parts = Vec::new();
    for (name, value) in known.iter().filter(|(name, value)| !name.ends_with("_seconds") && !value.is_null()) {
        parts.push((name.as_str().into(), part(name, value, &below("/send", name), schema, problems)));
    }
    if let Some(window) = known.get("dedup_window_seconds").filter(|window| !window.is_null()) {
        parts.push(("dedup_window_seconds".into(), fixed(window)));
    }
    Some(Notice { fields: parts, delay_seconds, expires_after_seconds })
}

fn of_events(name: &str) -> &'static str {
    match name {
        "user_id" => "is said by the rule's `audience`",
        "data" | "metadata" => "is made of the event",
        "expires_at" => "is a time of one event: give `expires_after_seconds`",
        _ => "is a time of one event: give `delay_seconds`, or `deliver_at` with the event",
    }
}

fn part(name: &str, value: &Value, at: &str, schema: Option<&Value>, problems: &mut Vec<FieldProblem>) -> Part {
    let within = FILLED_WITHIN.iter().find(|(outer, _)| *outer == name).map(|(_, names)| *names);
    match value {
        Value::String(text) if FILLED.contains(&name) => filled(text, at, schema, problems),
        Value::Object(fields) => match within {
            None => fixed(value),
            Some(names) => {
                let inner = fields.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| {
                    let part = match value {
                        Value::String(text) if names.contains(&name.as_str()) => {
                            filled(text, &below(at, name), schema, problems)
                        }
                        other => fixed(other),
                    };
                    (name.as_str().into(), part)
                });
                Part::Object(inner.collect())
            }
        },
        other => fixed(other),
    }
}

/// A text without braces is the same for every event.
fn filled(text: &str, at: &str, schema: Option<&Value>, problems: &mut Vec<FieldProblem>) -> Part {
    if !text.contains("{{") {
        return fixed(&Value::from(text));
    }
    FillText::read(text, schema).map(Part::Filled).unwrap_or_else(|detail| {
        problems.push(FieldProblem::new(at.to_owned(), detail));
        fixed(&Value::Null)
    })
}

fn fixed(value: &Value) -> Part {
    Part::Fixed(value.to_string().into())
}

fn seconds(fields: &Map<String, Value>, name: &str, min: u64, problems: &mut Vec<FieldProblem>) -> Option<u64> {
    let value = fields.get(name).filter(|value| !value.is_null())?;
    let seconds = value.as_u64().filter(|seconds| (min..=limits::AHEAD_SECONDS_MAX).contains(seconds));
    if seconds.is_none() {
        let detail = format!("must be a whole number of seconds, {min} to {} (365 days)", limits::AHEAD_SECONDS_MAX);
        problems.push(FieldProblem::new(below("/send", name), detail));
    }
    seconds
}
