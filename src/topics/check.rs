//! What may be asked of topics: names, sizes and bounds, each refused with where it stands.

use std::time::Duration;

use serde::de::IgnoredAny;

use super::ask::{Ask, NewMessage, Receive, Settle, TopicName, TopicSettings};
use super::error::TopicError;

/// Bytes of the data of one message.
pub const DATA_BYTES_MAX: usize = 256 * 1024;
/// Messages of one call.
pub const PUBLISH_MAX: usize = 1000;
/// Bytes of all messages of one call.
pub const PUBLISH_BYTES_MAX: usize = 8 << 20;
/// Messages that are received at once.
pub const RECEIVE_MAX: usize = 100;
/// The longest that a reader waits in one call.
pub const RECEIVE_WAIT_MAX: Duration = Duration::from_secs(30);
/// The longest that a message is in one reader's hand, or comes again later.
pub const VISIBILITY_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// How far ahead a message may be delayed.
const DELAY_MAX_DAYS: u64 = 366;
/// Bytes of names of topics and groups.
const NAME_BYTES_MAX: usize = 100;
/// Bytes of a key, and of an attribute's name or value.
const TEXT_BYTES_MAX: usize = 255;
const ATTRIBUTES_MAX: usize = 16;
/// Messages that are settled at once.
const SETTLE_MAX: usize = 1000;
const RETENTION_SECONDS: std::ops::RangeInclusive<u64> = 60..=10 * 366 * 24 * 60 * 60;
const MESSAGES: std::ops::RangeInclusive<u64> = 1..=100_000_000;

/// The longest delay of a message.
pub(super) fn delay_max() -> Duration {
    Duration::from_secs(DELAY_MAX_DAYS * 24 * 60 * 60)
}

pub(super) fn check(name: &TopicName, ask: &Ask) -> Result<(), TopicError> {
    word(&name.name, "/name")?;
    match ask {
        Ask::Create(settings) => check_settings(settings),
        Ask::Publish(messages) => check_messages(messages),
        Ask::Receive(receive) => check_receive(receive),
        Ask::Settle { group, settle, which } => {
            word(group, "/group")?;
            if which.len() > SETTLE_MAX {
                return Err(TopicError::invalid("/ids", format!("are too many: at most {SETTLE_MAX} at once")));
            }
            match settle {
                Settle::Ack => Ok(()),
                Settle::Nack(delay) if *delay <= VISIBILITY_MAX => Ok(()),
                Settle::Nack(_) => Err(TopicError::invalid("/delay_seconds", "must be 0 to 43200")),
                Settle::Extend(visibility) => check_visibility(*visibility),
            }
        }
        Ask::DeleteGroup(group) => word(group, "/group"),
        Ask::Delete | Ask::Show | Ask::Cancel(_) => Ok(()),
    }
}

fn word(text: &str, pointer: &str) -> Result<(), TopicError> {
    let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits = (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().next().is_some_and(small)
        && text.bytes().all(|byte| small(byte) || b"._-".contains(&byte));
    let rule = "must be 1 to 100 of a-z, 0-9, `.`, `_` and `-`, and begin with a letter or a digit";
    if fits { Ok(()) } else { Err(TopicError::invalid(pointer, rule)) }
}

fn check_settings(settings: &TopicSettings) -> Result<(), TopicError> {
    if !RETENTION_SECONDS.contains(&settings.retention_seconds) {
        return Err(TopicError::invalid("/retention_seconds", "must be 60 to 316224000"));
    }
    if !MESSAGES.contains(&settings.messages_max) {
        return Err(TopicError::invalid("/messages_max", "must be 1 to 100000000"));
    }
    Ok(())
}

fn check_messages(messages: &[NewMessage]) -> Result<(), TopicError> {
    if !(1..=PUBLISH_MAX).contains(&messages.len()) {
        return Err(TopicError::invalid("/messages", format!("must be 1 to {PUBLISH_MAX} messages")));
    }
    if messages.iter().map(|message| message.data.len()).sum::<usize>() > PUBLISH_BYTES_MAX {
        return Err(TopicError::invalid("/messages", "have more than 8 MiB of data: publish fewer at once"));
    }
    let one = messages.len() == 1;
    for (index, message) in messages.iter().enumerate() {
        check_message(message).map_err(|(field, detail)| {
            let pointer = if one { field.to_owned() } else { format!("/messages/{index}{field}") };
            TopicError::invalid(pointer, detail)
        })?;
    }
    Ok(())
}

fn check_message(message: &NewMessage) -> Result<(), (&'static str, &'static str)> {
    if message.data.len() > DATA_BYTES_MAX {
        return Err(("/data", "is larger than 256 KiB: publish where it can be read"));
    }
    if serde_json::from_str::<IgnoredAny>(&message.data).is_err() {
        return Err(("/data", "must be JSON"));
    }
    if message.key.as_ref().is_some_and(|key| key.len() > TEXT_BYTES_MAX) {
        return Err(("/key", "must have at most 255 bytes"));
    }
    let too_long = |(name, value): (&String, &String)| name.len().max(value.len()) > TEXT_BYTES_MAX;
    if message.attributes.len() > ATTRIBUTES_MAX || message.attributes.iter().any(too_long) {
        return Err(("/attributes", "must be at most 16, with names and values of at most 255 bytes"));
    }
    Ok(())
}

fn check_receive(receive: &Receive) -> Result<(), TopicError> {
    word(&receive.group, "/group")?;
    if !(1..=RECEIVE_MAX).contains(&receive.max) {
        return Err(TopicError::invalid("/max", format!("must be 1 to {RECEIVE_MAX}")));
    }
    if receive.wait > RECEIVE_WAIT_MAX {
        return Err(TopicError::invalid("/wait_seconds", "must be 0 to 30"));
    }
    check_visibility(receive.visibility)
}

fn check_visibility(visibility: Duration) -> Result<(), TopicError> {
    if (Duration::from_secs(1)..=VISIBILITY_MAX).contains(&visibility) {
        return Ok(());
    }
    Err(TopicError::invalid("/visibility_seconds", "must be 1 to 43200"))
}
