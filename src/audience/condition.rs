//! Conditions on events, as data: read once when they are saved, and only compared when an event comes.

mod read;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::field::{Field, Found, Seen};

/// What must hold of an event.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    Test { field: Field, test: Test },
}

/// What is asked of one field. A field that is missing fails all but `Exists(false)` and `IsNot`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    Is(Value),
    IsNot(Value),
    In(Vec<Value>),
    Above(Number),
    AtLeast(Number),
    Below(Number),
    AtMost(Number),
    /// A text within a text, or an item of a list.
    Contains(Box<str>),
    StartsWith(Box<str>),
    Exists(bool),
}

impl Condition {
    /// Reads one, with the schema of the data where there is one.
    pub(super) fn read(
        value: &Value,
        at: &str,
        schema: Option<&Value>,
    ) -> Result<Self, Vec<crate::intake::FieldProblem>> {
        read::condition(value, at, schema)
    }

    pub(super) fn holds<'a>(&self, seen: impl Into<Seen<'a>>) -> bool {
        let seen = seen.into();
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(seen)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(seen)),
            Self::Not(part) => !part.holds(seen),
            Self::Test { field, test } => test.holds(field.of(seen)),
        }
    }

    /// Shows every field that it tests.
    pub(super) fn each_field<'a>(&'a self, show: &mut impl FnMut(&'a Field)) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.each_field(show)),
            Self::Not(part) => part.each_field(show),
            Self::Test { field, .. } => show(field),
        }
    }
}

impl Test {
    fn holds(&self, found: Option<Found<'_>>) -> bool {
        let Some(found) = found else { return matches!(self, Self::IsNot(_) | Self::Exists(false)) };
        match self {
            Self::Is(wanted) => is(found, wanted),
            Self::IsNot(unwanted) => !is(found, unwanted),
            Self::In(wanted) => wanted.iter().any(|wanted| is(found, wanted)),
            Self::Above(bound) => compared(found, bound).is_some_and(Ordering::is_gt),
            Self::AtLeast(bound) => compared(found, bound).is_some_and(Ordering::is_ge),
            Self::Below(bound) => compared(found, bound).is_some_and(Ordering::is_lt),
            Self::AtMost(bound) => compared(found, bound).is_some_and(Ordering::is_le),
            Self::Contains(part) => match found {
                Found::Value(Value::Array(items)) => items.iter().any(|item| item.as_str() == Some(part)),
                found => text(found).is_some_and(|text| text.contains(&**part)),
            },
            Self::StartsWith(start) => text(found).is_some_and(|text| text.starts_with(&**start)),
            Self::Exists(wanted) => *wanted,
        }
    }
}

fn text(found: Found<'_>) -> Option<&str> {
    match found {
        Found::Text(text) => Some(text),
        Found::Value(value) => value.as_str(),
    }
}

fn is(found: Found<'_>, wanted: &Value) -> bool {
    match (found, wanted) {
        (Found::Value(Value::Number(number)), Value::Number(wanted)) => {
            compare(number, wanted).is_some_and(Ordering::is_eq)
        }
        (Found::Value(value), wanted) => value == wanted,
        (Found::Text(text), wanted) => wanted.as_str() == Some(text),
    }
}

fn compared(found: Found<'_>, bound: &Number) -> Option<Ordering> {
    match found {
        Found::Value(Value::Number(number)) => compare(number, bound),
        _ => None,
    }
}

/// Whole numbers are compared as such: above 2^53 a double would call neighbours equal.
fn compare(number: &Number, other: &Number) -> Option<Ordering> {
    match (whole(number), whole(other)) {
        (Some(number), Some(other)) => Some(number.cmp(&other)),
        _ => number.as_f64()?.partial_cmp(&other.as_f64()?),
    }
}

fn whole(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}
