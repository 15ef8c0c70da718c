//! Robots and apps of chats: DingTalk, WeCom, Feishu and Slack. Most of them answer 200 and say in the body what went wrong.

use serde_json::{Value, json};

use super::call::Call;
use super::mail::text;
use super::signing;
use super::token::Tokens;
use super::{Delivery, Said, want};
use crate::clock::now_us;
use crate::mock::http::{Answer, json_answer, retry_after, typed};

/// The largest messages (the vendors' pages for robots).
const DINGTALK_BYTES_MAX: usize = 20_000;
const WECOM_TEXT_BYTES_MAX: usize = 2048;
const WECOM_MARKDOWN_BYTES_MAX: usize = 4096;
const FEISHU_BYTES_MAX: usize = 20 << 10;

/// How far a robot's clock may be off: an hour.
const SKEW_MAX_MS: u64 = 3_600_000;

pub(super) fn dingtalk(call: &Call<'_>) -> Result<Delivery, Said> {
    let query = call.query();
    let Some(token) = query.filled("access_token") else { return Err(Said::Dead(0)) };
    match (query.get("timestamp"), query.get("sign")) {
        (None, None) => {}
        (Some(at), Some(sign)) => {
            let at_ms = at.parse::<u64>().unwrap_or_default();
            if at_ms.abs_diff(now_us() / 1000) > SKEW_MAX_MS {
                return Said::no_access("invalid timestamp");
            }
            signing::dingtalk(call, at, sign)?;
        }
        _ => return Said::no_access("timestamp and sign belong together"),
    }
    let message = call.json()?;
    if call.body.len() > DINGTALK_BYTES_MAX {
        return Err(Said::TooLarge);
    }
    let filled = |place: &str| !text(&message, place).is_empty();
    let is_whole = match text(&message, "/msgtype") {
        "text" => filled("/text/content"),
        "markdown" => filled("/markdown/title") && filled("/markdown/text"),
        "link" | "actionCard" | "feedCard" => true,
        _ => false,
    };
    want(is_whole, "the message has no text")?;
    Ok(Delivery::to(token, Some(&call.fingerprint())))
}

pub(super) fn dingtalk_says(said: &Said) -> Answer {
    match said {
        Said::Taken(_) => code(0, "ok"),
        Said::Failing => code(-1, "system busy"),
        Said::TooFast(_) => code(130_101, "send too fast, exceed 20 times per minute"),
        Said::TooLarge => code(460_101, "message too long, exceed 20000 bytes"),
        Said::NoAccess(_) | Said::Stale => code(310_000, "sign not match"),
        Said::Invalid(reason) => code(40_035, reason),
        Said::Dead(_) => code(300_001, "token is not exist"),
    }
}

pub(super) fn wecom(call: &Call<'_>) -> Result<Delivery, Said> {
    let query = call.query();
    let Some(key) = query.filled("key") else { return Err(Said::Dead(0)) };
    wecom_message(&call.json()?)?;
    Ok(Delivery::to(key, Some(&call.fingerprint())))
}

fn wecom_message(message: &Value) -> Result<(), Said> {
    let (content, bytes_max) = match text(message, "/msgtype") {
        "text" => (text(message, "/text/content"), WECOM_TEXT_BYTES_MAX),
        "markdown" => (text(message, "/markdown/content"), WECOM_MARKDOWN_BYTES_MAX),
        "image" | "news" | "file" | "template_card" | "textcard" => return Ok(()),
        _ => return Said::invalid("invalid message type"),
    };
    want(!content.is_empty(), "empty content")?;
    if content.len() > bytes_max { Err(Said::TooLarge) } else { Ok(()) }
}

pub(super) fn wecom_says(said: &Said) -> Answer {
    match said {
        Said::Taken(_) => code(0, "ok"),
        Said::Failing => code(-1, "system busy"),
        Said::TooFast(_) => code(45_009, "api freq out of limit"),
        Said::TooLarge => code(45_002, "message content size out of limit"),
        Said::NoAccess(_) | Said::Stale => code(60_020, "not allow to access from your ip"),
        Said::Invalid(reason) => code(40_058, reason),
        Said::Dead(_) => code(93_000, "invalid webhook url, hint: the robot is gone"),
    }
}

pub(super) fn wecom_app(call: &Call<'_>, tokens: &Tokens) -> Result<Delivery, Said> {
    let query = call.query();
    tokens.check_access(query.filled("access_token"))?;
    let message = call.json()?;
    let to = ["/touser", "/toparty", "/totag"].into_iter().map(|place| text(&message, place));
    let Some(to) = to.into_iter().find(|to| !to.is_empty()) else { return Said::invalid("no receiver") };
    want(message["agentid"].as_u64().is_some(), "40056: invalid agentid")?;
    wecom_message(&message)?;
    let mut delivery = Delivery::to(to, Some(&call.fingerprint()));
    delivery.is_once = message["enable_duplicate_check"] == 1;
    Ok(delivery)
}

pub(super) fn wecom_app_says(said: &Said, delivery: &Delivery) -> Answer {
    match said {
        Said::Taken(number) => json_answer(200, format!(r#"{{"errcode":0,"errmsg":"ok","msgid":"mock-{number}"}}"#)),
        // Every other one is answered as a success that names whom it did not reach.
        Said::Dead(roll) if roll % 2 == 0 => {
            let answer = json!({"errcode": 0, "errmsg": "ok", "invaliduser": delivery.recipient, "msgid": "mock"});
            json_answer(200, answer.to_string())
        }
        Said::Dead(_) => code(81_013, "user & party & tag all invalid"),
        Said::Stale => code(42_001, "access_token expired"),
        Said::NoAccess(reason) if reason.is_empty() => code(60_020, "not allow to access from your ip"),
        Said::NoAccess(reason) if reason.contains("no access token") => code(41_001, "access_token missing"),
        Said::NoAccess(_) => code(40_014, "invalid access_token"),
        Said::Invalid(reason) if reason.starts_with("40056") => code(40_056, "invalid agentid"),
        _ => wecom_says(said),
    }
}

pub(super) fn feishu(call: &Call<'_>) -> Result<Delivery, Said> {
    let message = call.json()?;
    if call.body.len() > FEISHU_BYTES_MAX {
        return Err(Said::TooLarge);
    }
    if let Some(sign) = message.get("sign") {
        let at = text(&message, "/timestamp");
        let at_s = at.parse::<u64>().unwrap_or_default();
        if at_s.abs_diff(now_us() / 1_000_000) > SKEW_MAX_MS / 1000 {
            return Said::no_access("timestamp is not within one hour from current time");
        }
        signing::feishu(call, at, sign.as_str().unwrap_or_default())?;
    }
    let kind = text(&message, "/msg_type");
    let is_whole = match kind {
        "text" => !text(&message, "/content/text").is_empty(),
        "post" => message.pointer("/content/post").is_some_and(Value::is_object),
        "interactive" => message["card"].is_object(),
        "image" | "share_chat" => message["content"].is_object(),
        _ => false,
    };
    want(is_whole, "params error, msg_type or content")?;
    // The time and the signature differ in every try: the content alone says whether it is the same.
    let content = if kind == "interactive" { &message["card"] } else { &message["content"] };
    let bytes = content.to_string();
    let content = Call { head: call.head, body: bytes.as_bytes(), secret: None };
    Ok(Delivery::to(call.segment(4), Some(&content.fingerprint())))
}

pub(super) fn feishu_says(said: &Said) -> Answer {
    let code = |status: u16, code: i64, message: &str| {
        json_answer(status, json!({"code": code, "msg": message, "data": {}}).to_string())
    };
    match said {
        Said::Taken(_) => code(200, 0, "success"),
        Said::Failing => code(500, 2200, "internal error"),
        Said::TooFast(seconds) => retry_after(code(200, 11_232, "frequency limited"), *seconds),
        Said::TooLarge => code(200, 9499, "too large"),
        Said::NoAccess(_) | Said::Stale => code(200, 19_021, "sign match fail or timestamp is not within one hour"),
        Said::Invalid(reason) => code(200, 9499, reason),
        Said::Dead(_) => code(200, 19_001, "param invalid: incoming webhook access token invalid"),
    }
}

pub(super) fn slack(call: &Call<'_>) -> Result<Delivery, Said> {
    let secret: Vec<&str> = call.path().split('/').skip(2).collect();
    let is_secret =
        matches!(secret[..], [team, hook, key] if team.starts_with('T') && hook.starts_with('B') && !key.is_empty());
    if !is_secret {
        return Err(Said::Dead(0));
    }
    let message = call.json().or_else(|_| Said::invalid("invalid_payload"))?;
    let has_text =
        !text(&message, "/text").is_empty() || message["blocks"].as_array().is_some_and(|list| !list.is_empty());
    want(has_text, "no_text")?;
    want(text(&message, "/text").chars().count() <= 40_000, "msg_too_long")?;
    Ok(Delivery::to(call.path(), Some(&call.fingerprint())))
}

pub(super) fn slack_says(said: &Said) -> Answer {
    let word = |status, word: String| typed(status, "text/html", word);
    match said {
        Said::Taken(_) => word(200, "ok".into()),
        Said::Failing => word(500, "rollup_error".into()),
        Said::TooFast(seconds) => retry_after(word(429, "rate_limited".into()), *seconds),
        Said::NoAccess(_) | Said::Stale => word(403, "action_prohibited".into()),
        Said::TooLarge => word(400, "invalid_payload".into()),
        Said::Invalid(reason) if reason.is_empty() => word(400, "invalid_payload".into()),
        Said::Invalid(reason) => word(400, reason.to_string()),
        Said::Dead(roll) => match roll % 3 {
            0 => word(404, "no_service".into()),
            1 => word(404, "channel_not_found".into()),
            _ => word(410, "channel_is_archived".into()),
        },
    }
}

/// `errcode` and `errmsg`, always with status 200.
fn code(code: i64, message: &str) -> Answer {
    json_answer(200, json!({"errcode": code, "errmsg": message}).to_string())
}
