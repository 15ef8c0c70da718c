//! Twilio (messages and calls), Amazon SNS and Aliyun: texts and calls to telephone numbers.

use serde_json::{Value, json};

use super::call::{Call, Fields, fields};
use super::signing;
use super::{Delivery, Kind, Said, want};
use crate::mock::http::{Answer, json_answer, retry_after, typed};

/// The longest `Body` of a Twilio message, in characters (error 21617).
const TWILIO_TEXT_MAX: usize = 1600;

pub(super) fn twilio_message(call: &Call<'_>) -> Result<Delivery, Said> {
    let form = twilio_form(call)?;
    want(form.count_of(&["From", "MessagingServiceSid"]) == 1, "21603: From or MessagingServiceSid")?;
    want(form.count_of(&["Body", "MediaUrl", "ContentSid"]) > 0, "21602: Body, MediaUrl or ContentSid")?;
    let length = form.get("Body").unwrap_or_default().chars().count();
    want(length <= TWILIO_TEXT_MAX, "21617: the body is longer than 1600 characters")?;
    if let Some(period) = form.get("ValidityPeriod") {
        want(period.parse().is_ok_and(|seconds: u32| (1..=36_000).contains(&seconds)), "21621: ValidityPeriod")?;
    }
    twilio_delivery(&form)
}

pub(super) fn twilio_call(call: &Call<'_>) -> Result<Delivery, Said> {
    let form = twilio_form(call)?;
    want(form.filled("From").is_some(), "21213: From is required")?;
    want(form.count_of(&["Url", "Twiml", "ApplicationSid"]) == 1, "21205: one of Url, Twiml and ApplicationSid")?;
    if let Some(script) = form.get("Twiml") {
        want(script.chars().count() <= 4000, "21219: the TwiML is longer than 4000 characters")?;
        let script = script.trim_start_matches("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").trim();
        want(script.starts_with("<Response>") && script.ends_with("</Response>"), "12100: the TwiML is no document")?;
    }
    if let Some(seconds) = form.get("Timeout") {
        want(seconds.parse().is_ok_and(|seconds: u32| seconds <= 600), "21217: Timeout")?;
    }
    for event in form.all("StatusCallbackEvent").flat_map(|events| events.split(' ')) {
        let is_known = matches!(event, "initiated" | "ringing" | "answered" | "completed");
        want(is_known, "21218: StatusCallbackEvent")?;
    }
    twilio_delivery(&form)
}

fn twilio_form<'a>(call: &Call<'a>) -> Result<Fields<'a>, Said> {
    match call.basic() {
        Some((user, password)) if (user.starts_with("AC") || user.starts_with("SK")) && !password.is_empty() => {}
        _ => return Said::no_access("Authenticate"),
    }
    want(call.segment(2).starts_with("AC"), "20404: the path names no account")?;
    let form = call.form()?;
    want(form.filled("To").is_some(), "21604: To is required")?;
    Ok(form)
}

fn twilio_delivery(form: &Fields<'_>) -> Result<Delivery, Said> {
    let to = form.get("To").unwrap_or_default();
    let number = to.split_once(':').map_or(to, |(_, number)| number);
    want(is_number(number), "21211: To is no E.164 number")?;
    let callback = form.filled("StatusCallback");
    let is_url = |url: &str| url.starts_with("http://") || url.starts_with("https://");
    want(callback.is_none_or(is_url), "21609: StatusCallback is no URL")?;
    let query = fields(callback.and_then(|url| url.split_once('?')).map_or("", |(_, query)| query));
    let mut delivery = Delivery::to(number, query.filled("task"));
    delivery.callback = callback.map(str::to_owned);
    Ok(delivery)
}

pub(super) fn twilio_says(kind: Kind, said: &Said) -> Answer {
    let error = |status: u16, code: u32, message: &str| {
        let more = format!("https://www.twilio.com/docs/errors/{code}");
        let error = json!({"code": code, "message": message, "more_info": more, "status": status});
        json_answer(status, error.to_string())
    };
    match said {
        Said::Taken(number) => {
            let sid = kind.message_id(*number);
            json_answer(
                201,
                format!(
                    r#"{{"sid":"{sid}","status":"queued","num_segments":"1","price":null,"error_code":null,"error_message":null}}"#
                ),
            )
        }
        Said::Failing => error(503, 20503, "Service unavailable"),
        Said::TooFast(seconds) => retry_after(error(429, 20429, "Too Many Requests"), *seconds),
        Said::TooLarge => error(413, 20413, "Request too large"),
        Said::NoAccess(_) | Said::Stale => error(401, 20003, "Authenticate"),
        Said::Invalid(reason) => {
            let code = reason.split(':').next().and_then(|code| code.parse().ok()).unwrap_or(21612);
            error(if code == 20404 { 404 } else { 400 }, code, reason)
        }
        Said::Dead(roll) => match roll % 3 {
            0 => error(400, 21211, "The 'To' number is not a valid phone number."),
            1 => error(400, 21614, "'To' number is not a valid mobile number"),
            _ => error(400, 21610, "Attempt to send to unsubscribed recipient"),
        },
    }
}

pub(super) fn sns(call: &Call<'_>) -> Result<Delivery, Said> {
    signing::aws(call, "sns")?;
    let form = call.form()?;
    want(form.get("Action") == Some("Publish"), "Action: Publish")?;
    want(form.get("Version") == Some("2010-03-31"), "Version: 2010-03-31")?;
    let targets = ["PhoneNumber", "TargetArn", "TopicArn"];
    want(form.count_of(&targets) == 1, "one of PhoneNumber, TargetArn and TopicArn")?;
    want(form.filled("Message").is_some(), "Message: Empty message")?;
    let number = form.get("PhoneNumber");
    want(number.is_none_or(is_number), "PhoneNumber is no E.164 number")?;
    let mut task = None;
    for entry in 1.. {
        let field = |part: &str| form.filled(&format!("MessageAttributes.entry.{entry}.{part}"));
        let Some(name) = field("Name") else { break };
        let is_typed = matches!(field("Value.DataType"), Some("String" | "Number"));
        want(is_typed && field("Value.StringValue").is_some(), format!("MessageAttributes: `{name}` has no value"))?;
        if name == "AWS.SNS.SMS.SMSType" {
            let kind = field("Value.StringValue");
            want(matches!(kind, Some("Promotional" | "Transactional")), "AWS.SNS.SMS.SMSType")?;
        }
        if name == "task" {
            task = field("Value.StringValue");
        }
    }
    let to = targets.into_iter().find_map(|target| form.filled(target)).unwrap_or_default();
    let fingerprint = call.fingerprint();
    Ok(Delivery::to(to, task.or(Some(&fingerprint))))
}

pub(super) fn sns_says(said: &Said) -> Answer {
    const SPACE: &str = "http://sns.amazonaws.com/doc/2010-03-31/";
    let error = |status: u16, code: &str, message: &str| {
        let party = if status < 500 { "Sender" } else { "Receiver" };
        let error = format!("<Error><Type>{party}</Type><Code>{code}</Code><Message>{message}</Message></Error>");
        let request = "<RequestId>00000000-0000-4000-8000-000000000000</RequestId>";
        typed(status, "text/xml", format!("<ErrorResponse xmlns=\"{SPACE}\">{error}{request}</ErrorResponse>"))
    };
    match said {
        Said::Taken(number) => {
            let id = Kind::SnsSms.message_id(*number);
            let result = format!("<PublishResult><MessageId>{id}</MessageId></PublishResult>");
            let request = format!("<ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata>");
            let answer = format!("<PublishResponse xmlns=\"{SPACE}\">{result}{request}</PublishResponse>");
            typed(200, "text/xml", answer)
        }
        Said::Failing => error(500, "InternalError", "internal failure"),
        Said::TooFast(seconds) => retry_after(error(429, "Throttled", "Rate exceeded"), *seconds),
        Said::TooLarge => error(400, "InvalidParameter", "Invalid parameter: Message too long"),
        Said::NoAccess(reason) => error(403, "InvalidSecurity", reason),
        Said::Stale => error(403, "AuthorizationError", "the token is expired"),
        Said::Invalid(reason) => error(400, "InvalidParameter", reason),
        Said::Dead(_) => error(400, "EndpointDisabled", "Endpoint is disabled"),
    }
}

pub(super) fn aliyun(call: &Call<'_>) -> Result<Delivery, Said> {
    signing::acs(call)?;
    want(call.header("x-acs-action") == Some("SendSms"), "the action is not SendSms")?;
    want(call.header("x-acs-version") == Some("2017-05-25"), "the version is not 2017-05-25")?;
    let query = call.query();
    let numbers = query.filled("PhoneNumbers").unwrap_or_default();
    want(!numbers.is_empty() && numbers.split(',').count() <= 1000, "isv.MOBILE_COUNT_OVER_LIMIT: PhoneNumbers")?;
    let is_number = |number: &str| {
        let digits = number.trim_start_matches('+');
        (5..=16).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !numbers.split(',').all(is_number) {
        return Err(Said::Dead(0));
    }
    want(query.filled("SignName").is_some(), "isv.SMS_SIGNATURE_ILLEGAL: SignName")?;
    want(query.filled("TemplateCode").is_some(), "isv.SMS_TEMPLATE_ILLEGAL: TemplateCode")?;
    if let Some(values) = query.filled("TemplateParam") {
        let is_object = serde_json::from_str::<Value>(values).is_ok_and(|values| values.is_object());
        want(is_object, "isv.INVALID_JSON_PARAM: TemplateParam")?;
    }
    let fingerprint = query.filled("TemplateParam").map(|values| format!("{numbers} {values}"));
    Ok(Delivery::to(numbers, query.filled("OutId").or(fingerprint.as_deref())))
}

pub(super) fn aliyun_says(said: &Said) -> Answer {
    let code = |status: u16, code: &str, message: &str| {
        let answer = json!({"Code": code, "Message": message, "RequestId": "00000000-0000-4000-8000-000000000000"});
        json_answer(status, answer.to_string())
    };
    match said {
        Said::Taken(number) => {
            let id = Kind::AliyunSms.message_id(*number);
            json_answer(200, format!(r#"{{"Code":"OK","Message":"OK","BizId":"{id}","RequestId":"{id}"}}"#))
        }
        Said::Failing => code(200, "isp.SYSTEM_ERROR", "system error"),
        Said::TooFast(seconds) => retry_after(code(400, "Throttling.User", "denied due to flow control"), *seconds),
        Said::TooLarge => code(200, "isv.PARAM_LENGTH_LIMIT", "too long"),
        Said::NoAccess(reason) if !reason.is_empty() => code(400, reason, reason),
        Said::NoAccess(_) | Said::Stale => code(200, "isp.RAM_PERMISSION_DENY", "permission denied"),
        Said::Invalid(reason) => {
            let word = reason.split(':').next().filter(|word| word.starts_with("isv.") || word.starts_with("isp."));
            code(200, word.unwrap_or("isv.TEMPLATE_MISSING_PARAMETERS"), reason)
        }
        Said::Dead(_) => code(200, "isv.MOBILE_NUMBER_ILLEGAL", "illegal mobile number"),
    }
}

/// E.164: a plus and up to 15 digits, the first not 0.
fn is_number(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    (5..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}
