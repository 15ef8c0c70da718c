//! Says what is wrong with a body that the typed reading refused: slower, with a pointer to every field that is wrong.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{FieldProblem, Problems, json};
use crate::config::nearest;
use crate::domain::{Channel, Priority, TimeOfDay, Timestamp};

/// What a field takes.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Whole,
    Time,
    TimeOfDay,
    Priority,
    Routing,
    Channels,
    /// Looked at where its value is used.
    Any,
    Object(&'static [Field]),
    Objects(&'static [Field]),
}

#[derive(Clone, Copy)]
struct Field {
    name: &'static str,
    kind: Kind,
    required: bool,
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false }
}

const fn required(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: true }
}

/// The fields of a request: the same as those of `WireRequest`, which a test holds them to.
const REQUEST: &[Field] = &[
    field("user_id", Kind::Text),
    field("to", Kind::Object(TO)),
    field("template", Kind::Text),
    field("content", Kind::Object(CONTENT)),
    field("data", Kind::Any),
    field("category", Kind::Text),
    field("locale", Kind::Text),
    field("priority", Kind::Priority),
    field("channels", Kind::Channels),
    field("routing", Kind::Routing),
    field("delay_seconds", Kind::Whole),
    field("deliver_at", Kind::Time),
    field("local_time", Kind::TimeOfDay),
    field("expires_at", Kind::Time),
    field("dedup_key", Kind::Text),
    field("dedup_window_seconds", Kind::Whole),
    field("aggregate", Kind::Object(AGGREGATE)),
    field("attachments", Kind::Objects(ATTACHMENT)),
    field("collapse_key", Kind::Text),
    field("metadata", Kind::Any),
];

const ATTACHMENT: &[Field] =
    &[required("url", Kind::Text), required("name", Kind::Text), field("media_type", Kind::Text)];

const AGGREGATE: &[Field] =
    &[required("key", Kind::Text), field("actor", Kind::Text), field("window_seconds", Kind::Whole)];

const TO: &[Field] = &[
    field("email", Kind::Text),
    field("phone", Kind::Text),
    field("push_token", Kind::Text),
    field("url", Kind::Text),
    field("chat", Kind::Text),
];

const CONTENT: &[Field] =
    &[required("title", Kind::Text), required("body", Kind::Text), field("html", Kind::Text), field("sms", Kind::Text)];

/// At least one problem; `error` is the typed reading's, for what this reading does not find.
pub(super) fn request(text: &str, error: &serde_json::Error) -> Vec<FieldProblem> {
    let mut problems = Problems::default();
    match fields(text) {
        Err(problem) => problems.0.push(problem),
        Ok(fields) => {
            for (pointer, name) in [("/data", "data"), ("/metadata", "metadata")] {
                json::object(pointer, fields.get(name).copied().filter(|raw| raw.get() != "null"), &mut problems);
            }
            object("", &values(&fields, &mut problems), REQUEST, &mut problems);
        }
    }
    if problems.0.is_empty() {
        // A field that is there twice, which a map does not show.
        problems.add("", error.to_string());
    }
    problems.0
}

/// The fields of a body, each as its text: what is wrong with one must not hide the others.
pub fn fields(text: &str) -> Result<BTreeMap<String, &RawValue>, FieldProblem> {
    serde_json::from_str(text).map_err(|error| {
        let detail = match serde_json::from_str::<&RawValue>(text) {
            Ok(other) if !other.get().starts_with('{') => {
                format!("must be an object, not {}", kind_of_text(other.get()))
            }
            _ => format!("is no JSON: {error}"),
        };
        FieldProblem::new("", detail)
    })
}

/// A field's value, or what keeps it from being read.
pub fn value(raw: &RawValue) -> Result<Value, String> {
    serde_json::from_str(raw.get()).map_err(|error| match json::plain(&error) {
        text if text.starts_with("recursion limit") => "is nested too deep".to_owned(),
        text => text,
    })
}

/// The values that are looked at here; null for the others, and for those that cannot be read.
fn values(fields: &BTreeMap<String, &RawValue>, problems: &mut Problems) -> Map<String, Value> {
    let mut read = |name: &str, raw: &RawValue| {
        let is_looked_at = |field: &Field| field.name == name && !matches!(field.kind, Kind::Any);
        if !REQUEST.iter().any(is_looked_at) {
            return Value::Null;
        }
        value(raw).unwrap_or_else(|detail| {
            problems.add(format!("/{name}"), detail);
            Value::Null
        })
    };
    fields.iter().map(|(name, raw)| (name.clone(), read(name, raw))).collect()
}

fn object(at: &str, fields: &Map<String, Value>, known: &[Field], problems: &mut Problems) {
    for (name, value) in fields {
        let pointer = format!("{at}/{}", escaped(name));
        match known.iter().find(|field| field.name == name) {
            Some(field) if value.is_null() && !field.required => {}
            Some(field) => check(pointer, value, field.kind, problems),
            None => {
                let names: Vec<&str> = known.iter().map(|field| field.name).collect();
                let hint = nearest(name, &names).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
                problems.add(pointer, format!("is no field that is known here{hint}"));
            }
        }
    }
    for missing in known.iter().filter(|field| field.required && !fields.contains_key(field.name)) {
        problems.add(format!("{at}/{}", missing.name), "is required");
    }
}

fn check(pointer: String, value: &Value, kind: Kind, problems: &mut Problems) {
    match kind {
        Kind::Any => {}
        Kind::Object(known) => match value {
            Value::Object(fields) => object(&pointer, fields, known, problems),
            other => problems.add(pointer, format!("must be an object, not {}", kind_of(other))),
        },
        Kind::Objects(known) => match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    check(format!("{pointer}/{index}"), item, Kind::Object(known), problems);
                }
            }
            other => problems.add(pointer, format!("must be a list of objects, not {}", kind_of(other))),
        },
        Kind::Channels => match value {
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let known = |text: &str| Channel::parse(text).is_some();
                    word(format!("{pointer}/{index}"), item, known, &Channel::ALL.map(Channel::name), problems);
                }
            }
            other => problems.add(pointer, format!("must be a list of channels, not {}", kind_of(other))),
        },
        Kind::Priority => {
            let known = |text: &str| Priority::parse(text).is_some();
            word(pointer, value, known, &Priority::ALL.map(Priority::name), problems);
        }
        Kind::Routing => {
            word(pointer, value, |text| matches!(text, "all" | "fallback"), &["all", "fallback"], problems)
        }
        Kind::Text if value.is_string() => {}
        Kind::Text => problems.add(pointer, format!("must be a text, not {}", kind_of(value))),
        Kind::Whole if value.is_u64() => {}
        Kind::Whole => problems.add(pointer, "must be a whole number of seconds, not below 0"),
        Kind::TimeOfDay if value.as_str().and_then(TimeOfDay::parse).is_some() => {}
        Kind::TimeOfDay => problems.add(pointer, "must be a time of day from \"00:00\" to \"23:59\""),
        Kind::Time if value.as_str().and_then(Timestamp::parse).is_some() => {}
        Kind::Time => {
            problems.add(pointer, "must be a time from 1970 on as RFC 3339 writes it: \"2027-01-31T09:00:00Z\"")
        }
    }
}

fn word(pointer: String, value: &Value, known: impl Fn(&str) -> bool, words: &[&str], problems: &mut Problems) {
    match value {
        Value::String(text) if known(text) => {}
        Value::String(text) => {
            let shown: String = text.chars().take(40).collect();
            problems.add(pointer, format!("`{shown}` is unknown: use {}", words.join(", ")));
        }
        other => problems.add(pointer, format!("must be one of {}, not {}", words.join(", "), kind_of(other))),
    }
}

/// The same of the text of a value.
fn kind_of_text(text: &str) -> &'static str {
    match text.bytes().next() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "true or false",
        Some(b'"') => "a text",
        Some(b'[') => "a list",
        Some(b'{') => "an object",
        _ => "a number",
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A field's name as a JSON pointer writes it (RFC 6901, 3), cut where somebody put a document there.
pub(super) fn escaped(name: &str) -> String {
    let short: String = name.chars().take(80).collect();
    short.replace('~', "~0").replace('/', "~1")
}
