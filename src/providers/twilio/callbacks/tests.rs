use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::domain::{Address, Channel, TaskId};
use crate::providers::testing;

const TOKEN: &str = "12345";

fn callbacks(words: StatusReader, kind: &'static str) -> Callbacks {
    Callbacks::new(TOKEN, Table::new(kind, &BTreeMap::new()), words)
}

fn post(url: &str, body: &str, signature: &str) -> ReceiptPost {
    ReceiptPost {
        url: url.to_owned(),
        query: url.split_once('?').map_or("", |(_, query)| query).to_owned(),
        headers: HeaderMap::from_iter([(SIGNATURE.parse().expect("a name"), signature.parse().expect("a value"))]),
        body: Bytes::copy_from_slice(body.as_bytes()),
        now: Timestamp::parse(testing::NOW).expect("a time"),
    }
}

/// Signs as the documentation says, apart from the code above.
fn sign(url: &str, fields: &[(&str, &str)]) -> String {
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    let text: String = sorted.iter().map(|(name, value)| format!("{name}{value}")).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, TOKEN.as_bytes());
    STANDARD.encode(hmac::sign(&key, format!("{url}{text}").as_bytes()))
}

fn task() -> TaskId {
    testing::message(Channel::Sms, Address::Provider).task
}

async fn receipt(callbacks: &Callbacks, fields: &[(&str, &str)]) -> Receipt {
    let url = format!("https://notify.example.com/v1/providers/sms/receipts?task={}", task());
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let read = callbacks.read(&post(&url, &body, &sign(&url, fields))).await;
    read.expect("it is signed").receipts.remove(0)
}

#[test]
fn the_published_signature_is_good_with_and_without_a_port() {
    let fields = "CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234&From=%2B12349013030&To=%2B18005551212";
    let signature = "0/KCTR6DLpKmkAf8muzZqo1nDgQ=";
    let callbacks = callbacks(OF_CALL, "twilio_voice");
    let is_good = |url: &str, fields: &str| callbacks.fields(&post(url, fields, signature)).is_ok();
    assert!(is_good("https://mycompany.com/myapp.php?foo=1&bar=2", fields));
    assert!(is_good("https://mycompany.com:443/myapp.php?foo=1&bar=2", fields));
    assert!(!is_good("https://mycompany.com/myapp.php?foo=1&bar=3", fields));
    assert!(!is_good("https://mycompany.com/myapp.php?foo=1&bar=2", &fields.replace("1234&", "1235&")));
    assert!(!is_good("https://other.com/myapp.php?foo=1&bar=2", fields));
}

#[test]
fn a_port_is_added_and_taken_away() {
    let check = |url: &str, without: &str, with: &str| {
        assert_eq!((&*without_port(url), &*with_port(url)), (without, with));
    };
    check("https://a.example/b?c", "https://a.example/b?c", "https://a.example:443/b?c");
    check("http://a.example", "http://a.example", "http://a.example:80");
    check("https://a.example:8443?b", "https://a.example?b", "https://a.example:8443?b");
    check("https://[::1]/b", "https://[::1]/b", "https://[::1]:443/b");
    check("https://[::1]:8443/b", "https://[::1]/b", "https://[::1]:8443/b");
    check("nothing", "nothing", "nothing");
}

#[tokio::test]
async fn what_nobody_signed_is_forged() {
    let callbacks = callbacks(OF_MESSAGE, "twilio_sms");
    let url = "https://notify.example.com/r?task=x";
    let body = "MessageStatus=delivered";
    for signature in ["", "x", "0/KCTR6DLpKmkAf8muzZqo1nDgQ="] {
        assert_eq!(callbacks.read(&post(url, body, signature)).await.unwrap_err(), ReceiptError::Forged);
    }
    let mut bare = post(url, body, "");
    bare.headers.clear();
    assert_eq!(callbacks.read(&bare).await.unwrap_err(), ReceiptError::Forged);
}

#[tokio::test]
async fn a_delivered_text_finds_its_task_by_the_address_it_was_posted_to() {
    let callbacks = callbacks(OF_MESSAGE, "twilio_sms");
    let fields = [("MessageSid", "SM1"), ("MessageStatus", "delivered"), ("To", "+8613812345678"), ("New", "")];
    let expected = Receipt {
        task: Some(task()),
        provider_message_id: Some("SM1".into()),
        kind: ReceiptKind::Delivered,
        at: Timestamp::parse(testing::NOW).expect("a time"),
        reason: None,
        event_id: None,
        by_machine: false,
    };
    assert_eq!(receipt(&callbacks, &fields).await, expected);
}

#[tokio::test]
async fn a_code_says_whether_the_number_is_gone_or_wants_nothing() {
    let callbacks = callbacks(OF_MESSAGE, "twilio_sms");
    for (status, code, is_gone, is_opt_out) in [
        ("undelivered", "30005", true, false),
        ("failed", "21610", false, true),
        ("undelivered", "30003", false, false),
        ("failed", "99999", false, false),
    ] {
        let fields = [("MessageSid", "SM1"), ("MessageStatus", status), ("ErrorCode", code)];
        let receipt = receipt(&callbacks, &fields).await;
        assert_eq!(receipt.kind, ReceiptKind::Bounced { is_gone, is_opt_out }, "{code}");
        assert_eq!(receipt.reason.as_deref(), Some(code));
    }
}

#[tokio::test]
async fn the_way_is_told_from_its_end() {
    let messages = callbacks(OF_MESSAGE, "twilio_sms");
    for (status, expected) in [
        ("accepted", ReceiptKind::Progress),
        ("sent", ReceiptKind::Progress),
        ("partially_delivered", ReceiptKind::Progress),
        ("delivered", ReceiptKind::Delivered),
        ("read", ReceiptKind::Opened),
        ("canceled", ReceiptKind::Bounced { is_gone: false, is_opt_out: false }),
    ] {
        assert_eq!(receipt(&messages, &[("MessageStatus", status)]).await.kind, expected, "{status}");
    }
}

#[tokio::test]
async fn a_call_that_nobody_took_has_its_reason_and_its_time() {
    let calls = callbacks(OF_CALL, "twilio_voice");
    let fields = [("CallSid", "CA1"), ("CallStatus", "no-answer"), ("Timestamp", "Sat, 21 Nov 2026 11:59:00 +0000")];
    let missed = receipt(&calls, &fields).await;
    assert_eq!(missed.kind, ReceiptKind::Bounced { is_gone: false, is_opt_out: false });
    assert_eq!(missed.reason.as_deref(), Some("no-answer"));
    assert_eq!(missed.at.to_string(), "2026-11-21T11:59:00.000Z");
    assert_eq!(receipt(&calls, &[("CallStatus", "completed")]).await.kind, ReceiptKind::Delivered);
    assert_eq!(receipt(&calls, &[("CallStatus", "ringing")]).await.kind, ReceiptKind::Progress);
}

#[tokio::test]
async fn json_is_checked_by_its_digest_in_the_signed_address() {
    let callbacks = callbacks(OF_MESSAGE, "twilio_sms");
    let body = r#"{"MessageSid":"SM1","MessageStatus":"delivered","Segments":1}"#;
    let hash = hex(digest::digest(&digest::SHA256, body.as_bytes()).as_ref());
    let url = format!("https://notify.example.com/r?task={}&bodySHA256={hash}", task());
    let read = callbacks.read(&post(&url, body, &sign(&url, &[]))).await.expect("it is signed");
    assert_eq!((read.receipts[0].kind, read.receipts[0].task), (ReceiptKind::Delivered, Some(task())));
    let changed = body.replace("SM1", "SM2");
    assert_eq!(callbacks.read(&post(&url, &changed, &sign(&url, &[]))).await.unwrap_err(), ReceiptError::Forged);
}

#[tokio::test]
async fn a_message_of_another_system_has_no_task() {
    let callbacks = callbacks(OF_MESSAGE, "twilio_sms");
    let url = "https://notify.example.com/r";
    let signature = sign(url, &[("MessageStatus", "delivered")]);
    let read = callbacks.read(&post(url, "MessageStatus=delivered", &signature)).await.expect("it is signed");
    assert_eq!(read.receipts[0].task, None);
}
