use std::sync::Arc;
use std::time::Duration;

use url::form_urlencoded;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::domain::{Death, Parts};
use crate::providers::SharedProvider;
use crate::providers::testing::{Asked, Server, clock, message, provider};

const MADE: &str = r#"{"sid":"SM1","status":"queued","num_segments":"1","error_code":null}"#;

fn sms(url: &str, more: &str, clock: &Arc<ManualClock>) -> Result<SharedProvider, String> {
    let text = format!(
        "name = \"sms\"\nkind = \"twilio_sms\"\nurl = \"{url}\"\nusername = \"AC0123\"\npassword = \"token\"\n{more}"
    );
    provider(&text, clock)
}

fn voice(url: &str, more: &str) -> Result<SharedProvider, String> {
    let text = format!(
        "name = \"calls\"\nkind = \"twilio_voice\"\nurl = \"{url}\"\nusername = \"AC0123\"\npassword = \"token\"\n{more}"
    );
    provider(&text, &clock())
}

fn text(body: &str) -> Message {
    Message {
        parts: Parts { sms: Some(body.into()), ..Parts::default() },
        ..message(Channel::Sms, Address::Phone("+8613812345678".into()))
    }
}

fn form(asked: &Asked) -> Vec<(String, String)> {
    form_urlencoded::parse(&asked.body).into_owned().collect()
}

fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn a_text_is_one_form_with_the_address_for_its_receipts() {
    let mut server = Server::answering(&[(201, &[], MADE)]).await;
    let clock = clock();
    let sms = sms(&server.url, "from = \"+15550001111\"", &clock).expect("it is built");
    let message = Message { expires_at: Some(clock.now() + Duration::from_secs(90)), ..text("Code 1 + 2 & ü") };
    assert_eq!(sms.send(&message).await, Outcome::Accepted { message_id: Some("SM1".into()) });
    let asked = server.asked().await;
    assert_eq!(asked.line(), "POST /2010-04-01/Accounts/AC0123/Messages.json HTTP/1.1");
    assert_eq!(asked.header("authorization"), Some("Basic QUMwMTIzOnRva2Vu"));
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert!(asked.text().contains("&Body=Code+1+%2B+2+%26+%C3%BC&"), "{}", asked.text());
    let callback = format!("https://notify.example.com/v1/providers/sms/receipts?task={}", message.task);
    let expected = [
        ("To", "+8613812345678"),
        ("From", "+15550001111"),
        ("Body", "Code 1 + 2 & ü"),
        ("StatusCallback", &callback),
        ("ValidityPeriod", "90"),
    ];
    assert_eq!(form(&asked), pairs(&expected));
}

#[tokio::test]
async fn an_api_key_needs_the_account_and_a_service_picks_the_number() {
    let mut server = Server::answering(&[(201, &[], MADE)]).await;
    let key = |more: &str| {
        let text = format!(
            "name = \"sms\"\nkind = \"twilio_sms\"\nurl = \"{}\"\nusername = \"SK9\"\npassword = \"secret\"\n{more}",
            server.url
        );
        provider(&text, &clock())
    };
    let error = key("options = { messaging_service_sid = \"MG1\" }").err().expect("refused");
    assert!(error.contains("options.account_sid"), "{error}");
    let sms = key("options = { account_sid = \"AC7\", messaging_service_sid = \"MG1\" }").expect("it is built");
    assert!(sms.receipts().is_none(), "callbacks are signed with the auth token, which is not known");
    sms.send(&text("hello")).await;
    let asked = server.asked().await;
    assert_eq!(asked.line(), "POST /2010-04-01/Accounts/AC7/Messages.json HTTP/1.1");
    let expected = [("To", "+8613812345678"), ("MessagingServiceSid", "MG1"), ("Body", "hello")];
    assert_eq!(form(&asked), pairs(&expected), "nobody is asked to call back where the call could not be checked");
}

#[test]
fn a_text_has_between_a_second_and_ten_hours() {
    let now = clock().now();
    let check = |seconds: u64, expected: u64| {
        assert_eq!(sms::validity_seconds(now + Duration::from_secs(seconds), now), expected);
    };
    check(0, 1);
    check(90, 90);
    check(1 << 30, 36_000);
    assert_eq!(sms::validity_seconds(now - Duration::from_secs(5), now), 1);
}

#[tokio::test]
async fn what_is_too_long_is_refused_before_anything_is_sent() {
    let sms = sms("http://127.0.0.1:1", "from = \"+1555\"", &clock()).expect("it is built");
    let refused = sms.send(&text(&"好".repeat(1601))).await;
    assert_eq!(refused, Outcome::BadRequest { reason: "the text is longer than 1600 characters".into() });
    let longest = sms.send(&text(&"好".repeat(1600))).await;
    assert!(matches!(longest, Outcome::Transient { unreachable: true, .. }), "{longest:?}");
    let calls = voice("http://127.0.0.1:1", "from = \"+1555\"").expect("it is built");
    let refused = calls.send(&text(&"&".repeat(1000))).await;
    assert_eq!(refused.name(), "bad_request");
}

#[tokio::test]
async fn each_code_means_what_the_table_says() {
    let server = Server::answering(&[
        (429, &["Retry-After: 3"], r#"{"code":20429,"message":"Too many","status":429}"#),
        (401, &[], r#"{"code":20003,"message":"Authenticate","status":401}"#),
        (400, &[], r#"{"code":21211,"message":"'To' +8613812345678 is not valid","status":400}"#),
        (400, &[], r#"{"code":21610,"message":"unsubscribed","status":400}"#),
        (400, &[], r#"{"code":21612,"message":"no route","status":400}"#),
        (400, &[], r#"{"code":99999,"message":"new","status":400}"#),
        (503, &[], "down"),
        (302, &["Location: http://169.254.169.254/"], ""),
        (201, &[], "<html>"),
        (201, &[], "{\"sid\":7}"),
        (200, &[], "{}"),
    ])
    .await;
    let sms = sms(&server.url, "from = \"+1555\"", &clock()).expect("it is built");
    let mut outcomes = Vec::new();
    for _ in 0..11 {
        outcomes.push(sms.send(&text("hello")).await);
    }
    let names: Vec<_> = outcomes.iter().map(Outcome::name).collect();
    let expected = [
        "throttled",
        "config",
        "dead_recipient",
        "dead_recipient",
        "bad_request",
        "bad_request",
        "transient",
        "config",
        "unknown",
        "accepted",
        "unknown",
    ];
    assert_eq!(names, expected);
    assert!(matches!(outcomes[0], Outcome::Throttled { retry_after: Some(_), .. }));
    assert_eq!(outcomes[2].reason(), "the provider answered 400 (21211)");
    assert!(matches!(outcomes[3], Outcome::DeadRecipient { death: Death { is_opt_out: true, .. }, .. }));
    assert_eq!(outcomes[9], Outcome::Accepted { message_id: None });
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_form_leaves_it_in_doubt() {
    let server = Server::answering(&[]).await;
    let sms = sms(&server.url, "from = \"+1555\"", &clock()).expect("it is built");
    assert_eq!(sms.send(&text("hello")).await.name(), "unknown");
}

#[tokio::test]
async fn a_call_says_the_text_with_its_markup_taken_as_text() {
    let mut server = Server::answering(&[(201, &[], r#"{"sid":"CA1","status":"queued"}"#)]).await;
    let more = "from = \"+15550001111\"\noptions = { language = \"zh-CN\", ring_seconds = 30 }";
    let calls = voice(&server.url, more).expect("it is built");
    let message = Message {
        parts: Parts { voice: Some("1 < 2 & \"x\"\u{7}</Say>".into()), ..Parts::default() },
        ..message(Channel::Voice, Address::Phone("+8613812345678".into()))
    };
    assert_eq!(calls.send(&message).await, Outcome::Accepted { message_id: Some("CA1".into()) });
    let asked = server.asked().await;
    assert_eq!(asked.line(), "POST /2010-04-01/Accounts/AC0123/Calls.json HTTP/1.1");
    let twiml = "<Response><Say language=\"zh-CN\">1 &lt; 2 &amp; &quot;x&quot;&lt;/Say&gt;</Say></Response>";
    let callback = format!("https://notify.example.com/v1/providers/calls/receipts?task={}", message.task);
    let expected = [
        ("To", "+8613812345678"),
        ("From", "+15550001111"),
        ("Twiml", twiml),
        ("Timeout", "30"),
        ("StatusCallback", &callback),
        ("StatusCallbackEvent", "completed"),
    ];
    assert_eq!(form(&asked), pairs(&expected));
}

#[test]
fn settings_that_cannot_work_name_their_key() {
    let check = |more: &str, key: &str| {
        let error = sms("http://127.0.0.1:1", more, &clock()).err().expect("refused");
        assert!(error.contains(key) && !error.contains("token\""), "{error}");
    };
    check("", "from");
    check("from = \"+1\"\noptions = { messaging_service_sid = \"MG1\" }", "messaging_service_sid");
    check("options = { messaging_service_sid = 5 }", "messaging_service_sid");
    check("from = \"+1\"\noptions = { account_sid = \"../x\" }", "account_sid");
    check("from = \"+1\"\noptions = { accountsid = \"AC1\" }", "accountsid");
    let error = voice("http://127.0.0.1:1", "from = \"+1\"\noptions = { ring_seconds = 601 }").err().expect("refused");
    assert!(error.contains("ring_seconds"), "{error}");
}

#[test]
fn nobody_is_asked_to_call_back_to_this_machine() {
    assert!(is_public("https://notify.example.com"));
    assert!(is_public("https://192.0.2.1:8443"));
    for url in ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080", "nothing"] {
        assert!(!is_public(url), "{url}");
    }
}
