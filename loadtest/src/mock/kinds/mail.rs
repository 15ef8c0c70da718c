//! SendGrid v3, Amazon SES v2 and Mailgun.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use serde_json::{Value, json};

use super::call::Call;
use super::signing;
use super::{Delivery, Kind, Said, want};
use crate::mock::http::{Answer, json_answer, retry_after, status_only, typed};

/// The largest message of SendGrid, attachments included (its "Limitations" page).
const SENDGRID_BYTES_MAX: usize = 30 << 20;
/// The largest message of SES v2, once encoded (its quotas page).
const SES_BYTES_MAX: usize = 40 << 20;
/// The largest message of Mailgun (its API page).
const MAILGUN_BYTES_MAX: usize = 25 << 20;

/// Headers that SendGrid refuses to be given: it writes them itself.
const RESERVED: [&str; 12] = [
    "x-sg-id",
    "x-sg-eid",
    "received",
    "dkim-signature",
    "content-type",
    "content-transfer-encoding",
    "to",
    "from",
    "subject",
    "reply-to",
    "cc",
    "bcc",
];

pub(super) fn sendgrid(call: &Call<'_>) -> Result<Delivery, Said> {
    if call.authorization("bearer").is_none() {
        return Said::no_access("The provided authorization grant is invalid, expired, or revoked");
    }
    if call.body.len() > SENDGRID_BYTES_MAX {
        return Err(Said::TooLarge);
    }
    let mail = call.json()?;
    let people = list(&mail, "/personalizations");
    want((1..=1000).contains(&people.len()), "personalizations: from 1 to 1000")?;
    for person in people {
        let to = list(person, "/to");
        want(!to.is_empty() && to.iter().all(|to| is_address(text(to, "/email"))), "to: at least one address")?;
    }
    want(is_address(text(&mail, "/from/email")), "from: an address is required")?;
    let has_template = !text(&mail, "/template_id").is_empty();
    let subject = text(&mail, "/subject");
    let has_subject = people.iter().all(|person| !text(person, "/subject").is_empty() || !subject.is_empty());
    want(has_subject || has_template, "subject: at least one character")?;
    let content = list(&mail, "/content");
    want(!content.is_empty() || has_template, "content: required without a template")?;
    want(content.iter().all(|part| !text(part, "/value").is_empty()), "content: a value is empty")?;
    let plain_at = content.iter().position(|part| text(part, "/type") == "text/plain");
    want(plain_at.is_none_or(|at| at == 0), "content: text/plain comes first")?;
    for place in ["/headers", "/personalizations/0/headers"] {
        for (name, value) in mail.pointer(place).and_then(Value::as_object).into_iter().flatten() {
            want(!RESERVED.contains(&name.to_ascii_lowercase().as_str()), format!("headers: `{name}` is reserved"))?;
            want(value.is_string(), format!("headers: `{name}` is no text"))?;
        }
    }
    for place in ["/custom_args", "/personalizations/0/custom_args"] {
        let args = mail.pointer(place).and_then(Value::as_object);
        want(args.is_none_or(|args| args.values().all(Value::is_string)), "custom_args: all values are texts")?;
    }
    attachments(list(&mail, "/attachments"), "/content", "/filename")?;
    want(list(&mail, "/categories").len() <= 10, "categories: at most 10")?;
    let person = &people[0];
    let task =
        [text(person, "/custom_args/task"), text(&mail, "/custom_args/task")].into_iter().find(|t| !t.is_empty());
    let mut delivery = Delivery::to(text(person, "/to/0/email"), task);
    delivery.is_trial = mail.pointer("/mail_settings/sandbox_mode/enable") == Some(&Value::Bool(true));
    Ok(delivery)
}

pub(super) fn sendgrid_says(said: &Said, delivery: &Delivery) -> Answer {
    let error = |status, message: &str| {
        json_answer(status, json!({"errors": [{"message": message, "field": null, "help": null}]}).to_string())
    };
    match said {
        Said::Taken(_) if delivery.is_trial => status_only(200),
        Said::Taken(number) => {
            let mut answer = status_only(202);
            if let Ok(id) = HeaderValue::try_from(Kind::Sendgrid.message_id(*number)) {
                answer.headers_mut().insert("x-message-id", id);
            }
            answer
        }
        Said::Failing => error(503, "service unavailable"),
        Said::TooFast(seconds) => retry_after(error(429, "too many requests"), *seconds),
        Said::TooLarge => error(413, "the message is too large"),
        Said::NoAccess(reason) => error(401, reason),
        Said::Stale => error(401, "The provided authorization grant is invalid, expired, or revoked"),
        Said::Invalid(reason) => error(400, reason),
        // Not said here: the receipt tells.
        Said::Dead(_) => error(400, "Does not contain a valid address."),
    }
}

pub(super) fn ses(call: &Call<'_>) -> Result<Delivery, Said> {
    signing::aws(call, "ses")?;
    if call.body.len() > SES_BYTES_MAX {
        return Err(Said::TooLarge);
    }
    let mail = call.json()?;
    want(text(&mail, "/FromEmailAddress").contains('@'), "FromEmailAddress is required")?;
    let to = list(&mail, "/Destination/ToAddresses");
    want((1..=50).contains(&to.len()), "Destination: from 1 to 50 recipients")?;
    let forms = ["/Content/Simple", "/Content/Raw", "/Content/Template"];
    let given: Vec<&str> = forms.into_iter().filter(|form| mail.pointer(form).is_some_and(Value::is_object)).collect();
    match given[..] {
        ["/Content/Simple"] => {
            want(!text(&mail, "/Content/Simple/Subject/Data").is_empty(), "Subject is required")?;
            let bodies = ["/Content/Simple/Body/Text/Data", "/Content/Simple/Body/Html/Data"];
            want(bodies.into_iter().any(|body| !text(&mail, body).is_empty()), "Body is required")?;
            attachments(list(&mail, "/Content/Simple/Attachments"), "/RawContent", "/FileName")?;
            for header in list(&mail, "/Content/Simple/Headers") {
                let (name, value) = (text(header, "/Name"), text(header, "/Value"));
                want(
                    (1..=126).contains(&name.len()) && (1..=870).contains(&value.len()),
                    "Headers: too long or empty",
                )?;
            }
        }
        ["/Content/Raw"] => {
            want(
                STANDARD.decode(text(&mail, "/Content/Raw/Data")).is_ok_and(|mail| !mail.is_empty()),
                "Raw: no base64",
            )?;
        }
        ["/Content/Template"] => {}
        _ => return Said::invalid("Content: one of Simple, Raw and Template"),
    }
    let mut task = None;
    for tag in list(&mail, "/EmailTags") {
        let (name, value) = (text(tag, "/Name"), text(tag, "/Value"));
        let is_legal = |text: &str| {
            let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'@');
            (1..=256).contains(&text.len()) && text.bytes().all(is_known)
        };
        want(is_legal(name) && is_legal(value), "EmailTags: letters, digits, `_`, `-`, `.` and `@` only")?;
        if name == "task" {
            task = Some(value);
        }
    }
    Ok(Delivery::to(to[0].as_str().unwrap_or_default(), task))
}

pub(super) fn ses_says(said: &Said) -> Answer {
    let error = |status, kind: &'static str, message: &str| {
        let mut answer = json_answer(status, json!({ "message": message }).to_string());
        answer.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(kind));
        answer
    };
    match said {
        Said::Taken(number) => json_answer(200, format!(r#"{{"MessageId":"{}"}}"#, Kind::Ses.message_id(*number))),
        Said::Failing => error(500, "InternalServiceErrorException", "internal failure"),
        Said::TooFast(seconds) => {
            retry_after(error(429, "TooManyRequestsException", "Maximum sending rate exceeded."), *seconds)
        }
        Said::TooLarge => error(400, "BadRequestException", "Message length is more than the limit"),
        Said::NoAccess(reason) => error(403, "UnrecognizedClientException", reason),
        Said::Stale => error(403, "ExpiredTokenException", "The security token included in the request is expired"),
        Said::Invalid(reason) => error(400, "BadRequestException", reason),
        Said::Dead(_) => error(400, "MessageRejected", "Address blacklisted."),
    }
}

pub(super) fn mailgun(call: &Call<'_>) -> Result<Delivery, Said> {
    match call.basic() {
        Some((user, key)) if user == "api" && !key.is_empty() => {}
        _ => return Said::no_access("Forbidden"),
    }
    if call.body.len() > MAILGUN_BYTES_MAX {
        return Err(Said::TooLarge);
    }
    let form = call.form()?;
    for name in ["from", "to"] {
        want(form.get(name).is_some_and(|value| value.contains('@')), format!("{name} parameter is missing"))?;
    }
    want(form.filled("subject").is_some() || form.filled("template").is_some(), "subject parameter is missing")?;
    let bodies = form.count_of(&["text", "html", "template", "amp-html"]);
    want(bodies > 0, "Need at least one of 'text', 'html', 'amp-html' or 'template' parameters specified")?;
    Ok(Delivery::to(form.get("to").unwrap_or_default(), form.filled("v:task")))
}

pub(super) fn mailgun_says(said: &Said) -> Answer {
    let message = |status, message: &str| json_answer(status, json!({ "message": message }).to_string());
    match said {
        Said::Taken(number) => {
            let id = Kind::Mailgun.message_id(*number);
            json_answer(200, format!(r#"{{"id":"{id}","message":"Queued. Thank you."}}"#))
        }
        Said::Failing => message(500, "Internal Server Error"),
        Said::TooFast(seconds) => retry_after(message(429, "Too many requests"), *seconds),
        Said::TooLarge => message(413, "Request Entity Too Large"),
        Said::NoAccess(_) | Said::Stale => typed(401, "text/plain", "Forbidden"),
        Said::Invalid(reason) => message(400, reason),
        Said::Dead(_) => message(400, "'to' parameter is not a valid address. please check documentation"),
    }
}

fn attachments(files: &[Value], content: &str, name: &str) -> Result<(), Said> {
    for file in files {
        want(!text(file, name).is_empty(), "attachments: a file has no name")?;
        want(STANDARD.decode(text(file, content)).is_ok_and(|bytes| !bytes.is_empty()), "attachments: no base64")?;
    }
    Ok(())
}

fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, host)| !local.is_empty() && host.contains('.') && !text.contains(' '))
}

/// The text at this place, or nothing.
pub(super) fn text<'v>(value: &'v Value, place: &str) -> &'v str {
    value.pointer(place).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, place: &str) -> &'v [Value] {
    value.pointer(place).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
