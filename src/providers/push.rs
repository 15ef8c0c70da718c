//! What the push services share: whose devices they take, how long a message is kept, and what takes the place of what.

mod suspicion;

pub(super) use suspicion::Suspicion;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use serde::ser::{SerializeMap, Serializer};

use crate::config;
use crate::domain::{Message, Platform, Priority, Timestamp};

/// The longest that FCM and the web's services keep a message: four weeks (both document 2,419,200 seconds).
const KEPT_MAX_S: u64 = 2_419_200;

/// The digits of Apple's tokens: 64 for years, and "don't make assumptions about the size" (Apple, "Registering your app with APNs").
const APPLES_MIN: usize = 64;
const APPLES_MAX: usize = 400;

/// The name under which an application finds our id of the message; not written where the message has data of that name.
pub(super) const TASK_KEY: &str = "task_id";

/// The platforms whose devices it pushes to: as configured, or else `usual`.
pub(super) fn platforms(settings: &config::Provider, usual: &[Platform]) -> Vec<Platform> {
    match settings.platforms.as_slice() {
        [] => usual.into(),
        named => named.iter().map(|platform| platform.0).collect(),
    }
}

/// Whether a token is a subscription of a browser, and not a name for a device.
pub(super) fn is_subscription(token: &str) -> bool {
    token.starts_with('{')
}

/// Whether a token is one of Apple's: bytes in hexadecimal.
pub(super) fn is_apples(token: &str) -> bool {
    (1..=APPLES_MAX).contains(&token.len()) && is_hexadecimal(token)
}

/// Whether a token can be none of FCM's: theirs have letters beyond `f`, and Apple's 32 bytes or more are nothing else.
pub(super) fn is_certainly_apples(token: &str) -> bool {
    token.len() >= APPLES_MIN && is_hexadecimal(token)
}

fn is_hexadecimal(token: &str) -> bool {
    token.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// How many seconds it is worth delivering, at most four weeks; so many as well where it has no end.
pub(super) fn seconds_left(message: &Message, now: Timestamp) -> u64 {
    match message.expires_at {
        Some(end) => end.since(now).as_secs().min(KEPT_MAX_S),
        None => KEPT_MAX_S,
    }
}

/// When it is not worth delivering any more, in seconds since 1970: the same for each try.
pub(super) fn ends_at(message: &Message) -> u64 {
    let last = message.accepted_at.millis() / 1000 + KEPT_MAX_S;
    message.expires_at.map_or(last, |end| (end.millis() / 1000).min(last))
}

/// A key as a `Topic` of RFC 8030 (at most 32 characters of base64url), which APNs takes as well: 192 bits of its hash.
pub(super) fn topic(key: &str) -> String {
    let hash = digest::digest(&digest::SHA256, key.as_bytes());
    URL_SAFE_NO_PAD.encode(&hash.as_ref()[..24])
}

/// The data of a push message with our id, each as an entry of a JSON object. `is_free` says of a name whether it may be written.
pub(super) fn write_data<M: SerializeMap>(
    map: &mut M,
    message: &Message,
    task: &str,
    is_free: impl Fn(&str) -> bool,
) -> Result<(), M::Error> {
    let mut has_task = false;
    for (name, value) in data(message).filter(|(name, _)| is_free(name)) {
        has_task |= name == TASK_KEY;
        map.serialize_entry(name, value)?;
    }
    if has_task { Ok(()) } else { map.serialize_entry(TASK_KEY, task) }
}

/// What the application is handed, by name.
pub(super) fn data(message: &Message) -> impl Iterator<Item = (&str, &str)> {
    let entries = message.parts.push.as_ref().map_or(&[][..], |push| &push.data);
    entries.iter().map(|(name, value)| (&**name, value.as_str()))
}

/// The data of a push message with our id as a JSON object of its own.
pub(super) struct Data<'a> {
    pub(super) message: &'a Message,
    pub(super) task: &'a str,
}

impl serde::Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        write_data(&mut map, self.message, self.task, |_| true)?;
        map.end()
    }
}

/// `apns-priority`: 10 at once, 5 when the device's battery allows, 1 without waking the device (Apple, "Sending notification requests
/// to APNs").
pub(super) fn apns_priority(priority: Priority) -> &'static str {
    match priority {
        Priority::Critical | Priority::High => "10",
        Priority::Normal => "5",
        Priority::Low => "1",
    }
}

/// `Urgency` (RFC 8030 section 5.3).
pub(super) fn web_urgency(priority: Priority) -> &'static str {
    match priority {
        Priority::Critical | Priority::High => "high",
        Priority::Normal => "normal",
        Priority::Low => "low",
    }
}
