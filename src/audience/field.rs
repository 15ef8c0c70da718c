//! Where in an event something stands, and what an event holds there.

use serde_json::Value;

use crate::domain::DomainEvent;

/// Bytes of a path.
const PATH_BYTES_MAX: usize = 256;

/// An event whose data was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Happened<'a> {
    pub(super) event: &'a DomainEvent,
    pub(super) data: &'a Value,
}

/// What fields are looked up in: an event, or what is known of a user.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) user_id: Option<&'a str>,
    pub(super) subject: Option<&'a str>,
    pub(super) data: &'a Value,
}

impl<'a> From<Happened<'a>> for Seen<'a> {
    fn from(happened: Happened<'a>) -> Self {
        let Happened { event, data } = happened;
        Self { user_id: event.user_id.as_deref(), subject: event.subject.as_deref(), data }
    }
}

/// A place in an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    /// Names of fields, and numbers of items, from `data` on.
    Data(Box<[Box<str>]>),
    UserId,
    Subject,
}

/// What stands at a place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found<'a> {
    Value(&'a Value),
    Text(&'a str),
}

impl Field {
    /// As conditions write it: `order.total`, `/user_id`, `/subject`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "/user_id" => Ok(Self::UserId),
            "/subject" => Ok(Self::Subject),
            _ if text.starts_with('/') => {
                Err("must be a path below the data as in `order.total`, or /user_id, or /subject".into())
            }
            _ => Self::below_data(text),
        }
    }

    /// A path with dots below `data`.
    pub(super) fn below_data(path: &str) -> Result<Self, String> {
        if path.len() > PATH_BYTES_MAX {
            return Err(format!("must have at most {PATH_BYTES_MAX} bytes"));
        }
        if path.split('.').any(|step| step.trim().is_empty() || step.trim() != step) {
            return Err("must be names with dots between them, as in `order.total`".into());
        }
        Ok(Self::Data(path.split('.').map(Box::from).collect()))
    }

    /// `None`: there is nothing.
    pub(super) fn of<'a>(&self, seen: impl Into<Seen<'a>>) -> Option<Found<'a>> {
        let seen = seen.into();
        match self {
            Self::UserId => seen.user_id.map(Found::Text),
            Self::Subject => seen.subject.map(Found::Text),
            Self::Data(path) => path.iter().try_fold(seen.data, |value, step| below(value, step)).map(Found::Value),
        }
    }

    /// A JSON pointer into the event.
    pub(super) fn pointer(&self) -> String {
        match self {
            Self::UserId => "/user_id".to_owned(),
            Self::Subject => "/subject".to_owned(),
            Self::Data(path) => path.iter().fold("/data".to_owned(), |at, step| super::json::below(&at, step)),
        }
    }
}

fn below<'a>(value: &'a Value, step: &str) -> Option<&'a Value> {
    match value {
        Value::Object(fields) => fields.get(step),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    }
}
