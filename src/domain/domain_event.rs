//! What happened in a business, as somebody told it.

use super::{Source, Timestamp};

/// Something that happened. Its texts were checked: bounded, and no control characters in names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainEvent {
    pub tenant: Box<str>,
    /// Given by whoever tells it, or made: an event that comes again under one id of a tenant is the same event.
    pub id: Box<str>,
    /// `user.registered`: see [`is_event_type`].
    pub event_type: Box<str>,
    /// Where it happened, as CloudEvents say it; nothing is decided by it.
    pub source: Option<Box<str>>,
    /// What it is about: a series, a team, a product.
    pub subject: Option<Box<str>>,
    /// Whom it happened to.
    pub user_id: Option<Box<str>>,
    /// JSON text of an object.
    pub data: Box<str>,
    /// When it happened.
    pub at: Timestamp,
    /// `deliver_at` and `delay_seconds`, made one: what comes of it waits until then; `None`: at once.
    pub deliver_at: Option<Timestamp>,
    /// Which door it came through.
    pub told_by: Source,
    pub accepted_at: Timestamp,
}

/// Bytes of an event type.
pub const EVENT_TYPE_BYTES_MAX: usize = 128;

/// What an event type may be, for people.
pub const EVENT_TYPE_RULE: &str =
    "must be words of a-z, 0-9 and _ with dots between them, each beginning with a letter: user.registered";

/// Whether this can be the type of an event.
pub fn is_event_type(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|letter: char| letter.is_ascii_lowercase())
            && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    };
    name.len() <= EVENT_TYPE_BYTES_MAX && name.split('.').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_type_is_words_with_dots_between() {
        for good in ["user.registered", "scheduler.task_failed", "a", "a.b.c2"] {
            assert!(is_event_type(good), "{good}");
        }
        for bad in ["", ".", "user.", "User.registered", "user registered", "2fa.sent", "user..x", &"a".repeat(129)] {
            assert!(!is_event_type(bad), "{bad}");
        }
    }
}
