//! FCM (HTTP v1), APNs and Web Push.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::Version;
use hyper::header::HeaderValue;
use serde_json::{Value, json};

use super::call::Call;
use super::mail::text;
use super::token::{Signed, Tokens};
use super::{Delivery, Kind, Said, want};
use crate::clock::now_us;
use crate::mock::http::{Answer, json_answer, retry_after, status_only, typed};

/// The largest payload of FCM and APNs, and that of a VoIP push (both vendors' pages).
const PAYLOAD_BYTES_MAX: usize = 4096;
const VOIP_BYTES_MAX: usize = 5120;

/// What encryption adds to a Web Push message: header (salt, record size, key) and tag (RFC 8291 section 4).
const ENCRYPTED_BYTES_MIN: usize = 86 + 17;

/// How long a provider token of APNs counts (Apple: "no more than once every 20 minutes, and at least once an hour").
const APNS_TOKEN_AGE_MAX_S: u64 = 3600;

pub(super) fn fcm(call: &Call<'_>, tokens: &Tokens) -> Result<Delivery, Said> {
    tokens.check_access(call.authorization("bearer"))?;
    let request = call.json()?;
    let message = &request["message"];
    want(message.is_object(), "message is required")?;
    let targets = ["token", "topic", "condition"].map(|target| message[target].as_str()).into_iter().flatten();
    let targets: Vec<&str> = targets.collect();
    let [target] = targets[..] else { return Said::invalid("one of token, topic and condition") };
    let mut bytes = 0;
    if let Some(data) = message.get("data") {
        let Some(data) = data.as_object() else { return Said::invalid("data is no object") };
        for (name, value) in data {
            let Some(value) = value.as_str() else { return Said::invalid(format!("data.{name} is no text")) };
            let is_reserved =
                name == "from" || name == "message_type" || name.starts_with("google.") || name.starts_with("gcm.");
            want(!is_reserved, format!("data.{name} is reserved"))?;
            bytes += name.len() + value.len();
        }
    }
    for part in ["/notification/title", "/notification/body"] {
        bytes += text(message, part).len();
    }
    if bytes > PAYLOAD_BYTES_MAX {
        return Err(Said::TooLarge);
    }
    let priority = message.pointer("/android/priority").and_then(Value::as_str);
    want(
        priority.is_none_or(|word| matches!(word.to_ascii_uppercase().as_str(), "HIGH" | "NORMAL")),
        "android.priority",
    )?;
    if let Some(ttl) = message.pointer("/android/ttl") {
        let seconds = ttl.as_str().and_then(|ttl| ttl.strip_suffix('s')?.parse::<f64>().ok());
        want(seconds.is_some_and(|seconds| (0.0..=2_419_200.0).contains(&seconds)), "android.ttl")?;
    }
    let fingerprint = call.fingerprint();
    let task = ["/data/_task", "/data/task", "/data/task_id"].into_iter().map(|place| text(message, place));
    let task = task.into_iter().find(|task| !task.is_empty()).unwrap_or(&fingerprint);
    let mut delivery = Delivery::to(target, Some(task));
    delivery.is_trial = request["validate_only"] == true;
    Ok(delivery)
}

pub(super) fn fcm_says(said: &Said) -> Answer {
    let error = |http: u16, status: &str, code: &str| {
        let details = match code {
            "" => json!([]),
            _ => json!([{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}]),
        };
        let error = json!({"code": http, "message": status, "status": status, "details": details});
        json_answer(http, json!({ "error": error }).to_string())
    };
    match said {
        Said::Taken(number) => {
            let id = Kind::Fcm.message_id(*number);
            json_answer(200, format!(r#"{{"name":"projects/mock/messages/{id}"}}"#))
        }
        Said::Failing => error(503, "UNAVAILABLE", "UNAVAILABLE"),
        Said::TooFast(seconds) => retry_after(error(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), *seconds),
        // Here the real one says so without details.
        Said::TooLarge => error(400, "INVALID_ARGUMENT", ""),
        Said::NoAccess(_) | Said::Stale => error(401, "UNAUTHENTICATED", ""),
        Said::Invalid(reason) => {
            let fcm = json!({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "INVALID_ARGUMENT"});
            let violation = json!({"field": "message.data", "description": reason});
            let field = json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]});
            let error = json!({"code": 400, "message": reason, "status": "INVALID_ARGUMENT", "details": [fcm, field]});
            json_answer(400, json!({ "error": error }).to_string())
        }
        Said::Dead(_) => error(404, "NOT_FOUND", "UNREGISTERED"),
    }
}

pub(super) fn apns(call: &Call<'_>, tokens: &Tokens) -> Result<Delivery, Said> {
    want(call.head.version == Version::HTTP_2, "the real server speaks HTTP/2 only")?;
    let Some(token) = call.authorization("bearer") else { return Said::no_access("MissingProviderToken") };
    let signed = Signed::parse(token);
    let signed = signed.filter(|signed| signed.header["alg"] == "ES256" && signed.header["kid"].is_string());
    let Some(signed) = signed.filter(|signed| signed.claims["iss"].is_string()) else {
        return Said::no_access("InvalidProviderToken");
    };
    let Some(made_at) = signed.claims["iat"].as_u64() else { return Said::no_access("InvalidProviderToken") };
    tokens.check_made_at(made_at, APNS_TOKEN_AGE_MAX_S)?;
    let device = call.segment(2);
    let is_device = (64..=200).contains(&device.len()) && device.bytes().all(|byte| byte.is_ascii_hexdigit());
    want(is_device, "BadDeviceToken")?;
    want(call.header("apns-topic").is_some_and(|topic| !topic.is_empty()), "MissingTopic")?;
    let kind = call.header("apns-push-type").unwrap_or("alert");
    let is_known = matches!(
        kind,
        "alert"
            | "background"
            | "voip"
            | "complication"
            | "fileprovider"
            | "mdm"
            | "location"
            | "liveactivity"
            | "pushtotalk"
    );
    want(is_known, "InvalidPushType")?;
    let priority = call.header("apns-priority").unwrap_or("10");
    want(matches!(priority, "10" | "5" | "1") && (kind != "background" || priority == "5"), "BadPriority")?;
    want(call.header("apns-expiration").is_none_or(|at| at.parse::<u64>().is_ok()), "BadExpirationDate")?;
    want(call.header("apns-collapse-id").is_none_or(|id| id.len() <= 64), "BadCollapseId")?;
    let id = call.header("apns-id");
    want(id.is_none_or(is_uuid), "BadMessageId")?;
    want(!call.body.is_empty(), "PayloadEmpty")?;
    if call.body.len() > if kind == "voip" { VOIP_BYTES_MAX } else { PAYLOAD_BYTES_MAX } {
        return Err(Said::TooLarge);
    }
    let payload: Value = serde_json::from_slice(call.body).or_else(|_| Said::invalid("PayloadEmpty"))?;
    want(payload["aps"].is_object(), "PayloadEmpty")?;
    let fingerprint = call.fingerprint();
    Ok(Delivery::to(device, id.or(Some(&fingerprint))))
}

pub(super) fn apns_says(said: &Said, delivery: &Delivery) -> Answer {
    let error = |status: u16, reason: &str| json_answer(status, json!({ "reason": reason }).to_string());
    match said {
        Said::Taken(_) => {
            let mut answer = status_only(200);
            let id = delivery.id.as_deref().and_then(|id| HeaderValue::from_bytes(id).ok());
            if let Some(id) = id {
                answer.headers_mut().insert("apns-id", id);
            }
            answer
        }
        Said::Failing => error(503, "ServiceUnavailable"),
        Said::TooFast(seconds) => retry_after(error(429, "TooManyRequests"), *seconds),
        Said::TooLarge => error(413, "PayloadTooLarge"),
        Said::NoAccess(reason) if !reason.is_empty() => error(403, reason),
        Said::NoAccess(_) => error(403, "InvalidProviderToken"),
        Said::Stale => error(403, "ExpiredProviderToken"),
        Said::Invalid(reason) if reason.is_empty() => error(400, "BadCollapseId"),
        Said::Invalid(reason) => error(400, reason),
        Said::Dead(roll) => {
            let reason = if roll % 8 == 0 { "ExpiredToken" } else { "Unregistered" };
            json_answer(410, json!({"reason": reason, "timestamp": now_us() / 1000}).to_string())
        }
    }
}

pub(super) fn web_push(call: &Call<'_>, tokens: &Tokens) -> Result<Delivery, Said> {
    vapid(call, tokens)?;
    want(call.header("ttl").is_some_and(|ttl| ttl.parse::<u32>().is_ok()), "TTL is required")?;
    want(call.header("content-encoding") == Some("aes128gcm"), "Content-Encoding: aes128gcm")?;
    let urgency = call.header("urgency").unwrap_or("normal");
    want(matches!(urgency, "very-low" | "low" | "normal" | "high"), "Urgency")?;
    let is_legal = |topic: &str| {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=32).contains(&topic.len()) && topic.bytes().all(is_known)
    };
    want(call.header("topic").is_none_or(is_legal), "Topic")?;
    if call.body.len() > PAYLOAD_BYTES_MAX {
        return Err(Said::TooLarge);
    }
    // Salt, record size, length of the key, and the key, an uncompressed point (RFC 8188 section 2.1).
    let is_encrypted = call.body.len() >= ENCRYPTED_BYTES_MIN && call.body[20] == 65 && call.body[21] == 4;
    want(is_encrypted, "the body is no encrypted record")?;
    Ok(Delivery::to(call.path(), Some(&call.fingerprint())))
}

/// The sender's own token (RFC 8292): signed with the key beside it, for not more than a day.
fn vapid(call: &Call<'_>, tokens: &Tokens) -> Result<(), Said> {
    let Some(parts) = call.authorization("vapid") else { return Said::no_access("there is no VAPID token") };
    let part = |name: &str| parts.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    let (token, key) = (part("t").unwrap_or_default(), part("k").unwrap_or_default());
    let key = URL_SAFE_NO_PAD.decode(key).unwrap_or_default();
    let Some(signed) = Signed::parse(token) else { return Said::no_access("the VAPID token is no JWT") };
    let end = signed.claims["exp"].as_u64().unwrap_or_default();
    let now_s = now_us() / 1_000_000;
    let audience = signed.claims["aud"].as_str().unwrap_or_default();
    let subject = signed.claims["sub"].as_str().unwrap_or_default();
    let is_subject = subject.starts_with("mailto:") || subject.starts_with("https:");
    let is_origin = audience.starts_with("http") && !audience.ends_with('/');
    if end <= now_s || end > now_s + 86_400 || !is_origin || !is_subject {
        return Said::no_access("the VAPID claims are wrong");
    }
    if !tokens.check_signature(token, &key) {
        return Said::no_access("the VAPID signature is wrong");
    }
    Ok(())
}

pub(super) fn web_push_says(said: &Said) -> Answer {
    match said {
        Said::Taken(number) => {
            let mut answer = status_only(201);
            if let Ok(place) = HeaderValue::try_from(format!("/m/{}", Kind::WebPush.message_id(*number))) {
                answer.headers_mut().insert("location", place);
            }
            answer
        }
        Said::Failing => typed(503, "text/plain", "service unavailable"),
        Said::TooFast(seconds) => retry_after(typed(429, "text/plain", "too many requests"), *seconds),
        Said::TooLarge => typed(413, "text/plain", "payload too large"),
        // What the dice reject must be the message's fault, and 400 is the sender's.
        Said::Invalid(reason) if reason.is_empty() => typed(413, "text/plain", "payload too large"),
        Said::Invalid(reason) => typed(400, "text/plain", reason.to_string()),
        Said::NoAccess(reason) => typed(401, "text/plain", reason.to_string()),
        Said::Stale => typed(403, "text/plain", "the token has expired"),
        Said::Dead(roll) => status_only(if roll % 4 == 0 { 404 } else { 410 }),
    }
}

fn is_uuid(text: &str) -> bool {
    let is_dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let is_legal = |(at, byte): (usize, u8)| if is_dash(at) { byte == b'-' } else { byte.is_ascii_hexdigit() };
    text.len() == 36 && text.bytes().enumerate().all(is_legal)
}
