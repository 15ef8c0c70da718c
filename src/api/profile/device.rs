//! Devices: what an app registers.

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::Value;
use url::Url;

use super::fields::{Fields, Problems};
use crate::domain::{Device, Platform, Timestamp, User, UserEntry};
use crate::intake::limits;

/// Devices of a user: each is sent to. More are registered by an app that makes up a new id at each start.
pub(in crate::api) const DEVICES_MAX: usize = 100;

/// Shorter is no token: APNs' are 32 bytes, as 64 digits, and FCM's longer.
const TOKEN_BYTES_MIN: usize = 32;
const APNS_DIGITS_MIN: usize = 64;
/// Of a token of FCM after its colon: those in use have 140.
const FCM_REST_BYTES_MIN: usize = 100;
/// The two keys of a subscription (RFC 8291, 3.1 and 3.2): a point of P-256, and a secret.
const P256DH_BYTES: usize = 65;
const AUTH_BYTES: usize = 16;

/// What a body says of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::api) struct DeviceSaid {
    pub(in crate::api) platform: Platform,
    pub(in crate::api) token: Box<str>,
}

impl DeviceSaid {
    /// `None` only together with a problem.
    pub(in crate::api) fn read(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Self> {
        let platform = fields.required("platform", problems, |text| {
            let names = || Platform::ALL.map(Platform::name).join(", ");
            Platform::parse(text).ok_or_else(|| format!("must be one of {}", names()))
        });
        let pointer = fields.pointer("token");
        let Some(value) = fields.value("token", problems).filter(|value| !value.is_null()) else {
            problems.add(&pointer, "is required");
            return None;
        };
        let platform = platform?;
        let token = match (platform, value) {
            (Platform::Web, Value::String(text)) => {
                let parsed = serde_json::from_str(&text).map_err(|_| NO_SUBSCRIPTION);
                parsed.and_then(|value: Value| subscription(&value))
            }
            (Platform::Web, value) => subscription(&value),
            (platform, Value::String(text)) => token(platform, &text),
            _ => Err("must be a text"),
        };
        Some(Self { platform, token: problems.check(&pointer, token)? })
    }
}

fn token(platform: Platform, text: &str) -> Result<Box<str>, &'static str> {
    if text.len() < TOKEN_BYTES_MIN || text.len() > limits::PUSH_TOKEN_BYTES_MAX {
        return Err("cannot be a push token: one has 32 to 4096 letters");
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-:.%+/=|~".contains(&byte)) {
        return Err("cannot be a push token: it has a character that none has");
    }
    // An app for iOS that uses Firebase has one of FCM.
    if platform != Platform::Ios || is_of_fcm(text) {
        return Ok(text.into());
    }
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex || text.len() < APNS_DIGITS_MIN || !text.len().is_multiple_of(2) {
        return Err("cannot be a token of APNs: one has 64 or more hexadecimal digits, two for each byte");
    }
    Ok(text.to_ascii_lowercase().into())
}

/// Those of FCM have the id of the installation before a colon, and more than a hundred letters after it; those of APNs are digits
/// to the base of sixteen, and so cannot be mistaken for them.
fn is_of_fcm(text: &str) -> bool {
    text.split_once(':').is_some_and(|(id, rest)| !id.is_empty() && rest.len() >= FCM_REST_BYTES_MIN)
}

const NO_SUBSCRIPTION: &str = "must be the subscription as the browser gives it: {\"endpoint\": \"https://…\", \"keys\": \
                               {\"p256dh\": \"…\", \"auth\": \"…\"}}";

/// A browser's subscription, as JSON text of what is needed of it.
fn subscription(value: &Value) -> Result<Box<str>, &'static str> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).ok_or(NO_SUBSCRIPTION);
    let (endpoint, p256dh, auth) = (text("/endpoint")?, text("/keys/p256dh")?, text("/keys/auth")?);
    let is_address = endpoint.len() <= limits::URL_BYTES_MAX
        && Url::parse(endpoint).is_ok_and(|url| url.scheme() == "https" && url.has_host());
    if !is_address {
        return Err("its `endpoint` must be an https address");
    }
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text)).unwrap_or_default();
    let point = decoded(p256dh);
    if point.len() != P256DH_BYTES || point.first() != Some(&4) {
        return Err("its `keys.p256dh` must be a point of P-256: 65 bytes in base64url");
    }
    if decoded(auth).len() != AUTH_BYTES {
        return Err("its `keys.auth` must be 16 bytes in base64url");
    }
    let needed = serde_json::json!({"endpoint": endpoint, "keys": {"p256dh": p256dh, "auth": auth}});
    Ok(needed.to_string().into())
}

/// What changes when a user's device is registered, or registered again. Devices that are not pushed to any more go with
/// it, so that no user gathers them. `Err`: there are too many.
pub(in crate::api) fn device_entries(
    user: &User,
    id: &str,
    said: &DeviceSaid,
    now: Timestamp,
) -> Result<Vec<UserEntry>, String> {
    let held = user.devices.get(id);
    // A token that lived on is the one that was given first; one that was called dead is given anew.
    let lives_on =
        held.filter(|held| held.token == said.token && held.platform == said.platform && held.dead_since.is_none());
    let device = Device {
        platform: said.platform,
        token: said.token.clone(),
        registered_at: lives_on.map_or(now, |held| held.registered_at),
        seen_at: now,
        dead_since: None,
    };
    let (active, idle): (Vec<_>, Vec<_>) =
        user.devices.iter().filter(|(other, _)| ***other != *id).partition(|(_, device)| device.is_active(now));
    if held.is_none() && active.len() >= DEVICES_MAX {
        return Err(format!(
            "a user may have {DEVICES_MAX} devices: remove one, or use the same id for the same device"
        ));
    }
    let mut entries: Vec<UserEntry> =
        idle.into_iter().map(|(id, _)| UserEntry::Device { id: id.clone(), device: None }).collect();
    if held != Some(&device) {
        entries.push(UserEntry::Device { id: id.into(), device: Some(device) });
    }
    Ok(entries)
}
