use bytes::Bytes;

use super::*;
use crate::domain::{Address, Channel};
use crate::providers::testing::{self, NOW};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn inbox(secrets: &[&str]) -> Inbox {
    let keys = secrets.iter().map(|secret| super::super::read_secret("receipt_secret", secret).expect("a secret"));
    Inbox::new(keys.collect(), Table::new("webhook", &Default::default()))
}

fn post(id: &str, seconds: u64, body: &str, signature: &str) -> ReceiptPost {
    let headers = [(ID, id.to_owned()), (TIMESTAMP, seconds.to_string()), (SIGNATURE, signature.to_owned())];
    ReceiptPost {
        url: "https://notify.example.com/v1/providers/hooks/receipts".into(),
        query: String::new(),
        headers: headers.into_iter().map(|(name, value)| (name, value.parse().expect("a value"))).collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        now: Timestamp::parse(NOW).expect("a time"),
    }
}

/// Signed as the specification says, at a time so many seconds from now.
fn signed(secret: &str, off: i64, body: &str) -> ReceiptPost {
    let seconds = (Timestamp::parse(NOW).expect("a time").millis() / 1000).saturating_add_signed(off);
    let key = super::super::read_secret("receipt_secret", secret).expect("a secret");
    let signature = STANDARD.encode(hmac::sign(&key, format!("msg_1.{seconds}.{body}").as_bytes()));
    post("msg_1", seconds, body, &format!("v1a,AAAA v1,{signature}"))
}

#[test]
fn the_published_signature_is_good() {
    let body = "{\"test\": 2432232314}";
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let mut post = post("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body, signature);
    post.now = Timestamp(1_614_265_330_000);
    assert_eq!(inbox(&[SECRET]).check(&post), Ok(()));
    assert_eq!(inbox(&[OTHER, SECRET]).check(&post), Ok(()), "while a secret is being changed both are good");
    assert_eq!(inbox(&[OTHER]).check(&post), Err(ReceiptError::Forged));
    post.now = Timestamp(1_614_265_631_000);
    assert_eq!(inbox(&[SECRET]).check(&post), Err(ReceiptError::Replayed));
    post.body = Bytes::from_static(b"{\"test\": 2432232315}");
    assert_eq!(inbox(&[SECRET]).check(&post), Err(ReceiptError::Forged));
    post.headers.remove(&SIGNATURE);
    assert_eq!(inbox(&[SECRET]).check(&post), Err(ReceiptError::Forged));
}

#[tokio::test]
async fn what_is_older_or_newer_than_five_minutes_is_not_read() {
    let inbox = inbox(&[SECRET]);
    let body = "{\"receipts\":[]}";
    for off in [-300, 0, 300] {
        assert!(inbox.read(&signed(SECRET, off, body)).await.is_ok(), "{off}");
    }
    for off in [-301, 301] {
        assert_eq!(inbox.read(&signed(SECRET, off, body)).await.unwrap_err(), ReceiptError::Replayed, "{off}");
    }
}

#[tokio::test]
async fn each_status_is_read_and_a_reason_only_where_it_is_a_code() {
    let task = testing::message(Channel::Webhook, Address::Provider).task;
    let body = format!(
        r#"{{"receipts":[
            {{"task_id":"{task}","status":"delivered","at":"2026-11-21T11:59:00Z"}},
            {{"task_id":"{task}","status":"bounced","reason":"gone"}},
            {{"task_id":"{task}","status":"bounced","reason":"opted_out"}},
            {{"task_id":"{task}","status":"bounced","reason":"alice@example.com is unknown"}},
            {{"task_id":"{task}","status":"complained"}},
            {{"task_id":"{task}","status":"unsubscribed"}},
            {{"task_id":"{task}","status":"opened"}},
            {{"task_id":"{task}","status":"clicked"}},
            {{"task_id":"theirs","status":"a later word"}}]}}"#
    );
    let read = inbox(&[SECRET]).read(&signed(SECRET, 0, &body)).await.expect("it is read");
    let kinds: Vec<_> = read.receipts.iter().map(|receipt| receipt.kind).collect();
    let bounced = |is_gone, is_opt_out| ReceiptKind::Bounced { is_gone, is_opt_out };
    let expected = [
        ReceiptKind::Delivered,
        bounced(true, false),
        bounced(false, true),
        bounced(false, false),
        ReceiptKind::Complained,
        ReceiptKind::Unsubscribed,
        ReceiptKind::Opened,
        ReceiptKind::Clicked,
        ReceiptKind::Progress,
    ];
    assert_eq!(kinds, expected);
    assert_eq!(read.receipts[0].task, Some(task));
    assert_eq!(read.receipts[0].at.to_string(), "2026-11-21T11:59:00.000Z");
    assert_eq!(read.receipts[1].reason.as_deref(), Some("gone"));
    assert_eq!(read.receipts[3].reason, None);
    assert_eq!(read.receipts[8].task, None);
}

#[tokio::test]
async fn a_reason_of_theirs_is_no_status_of_http() {
    let task = testing::message(Channel::Webhook, Address::Provider).task;
    let body = format!(r#"{{"receipts":[{{"task_id":"{task}","status":"bounced","reason":"410"}}]}}"#);
    let read = inbox(&[SECRET]).read(&signed(SECRET, 0, &body)).await.expect("it is read");
    assert_eq!(read.receipts[0].kind, ReceiptKind::Bounced { is_gone: false, is_opt_out: false });
    let own = toml::from_str("\"bounced 410\" = \"dead_recipient\"\n").expect("rules");
    let key = super::super::read_secret("receipt_secret", SECRET).expect("a secret");
    let inbox = Inbox::new(vec![key], Table::new("webhook", &own));
    let read = inbox.read(&signed(SECRET, 0, &body)).await.expect("it is read");
    assert_eq!(read.receipts[0].kind, ReceiptKind::Bounced { is_gone: true, is_opt_out: false });
}

#[tokio::test]
async fn what_is_no_list_of_receipts_is_unreadable() {
    let read = inbox(&[SECRET]).read(&signed(SECRET, 0, "[]")).await;
    assert!(matches!(read, Err(ReceiptError::Unreadable(_))), "{read:?}");
}

#[test]
fn receipts_are_read_where_there_is_a_secret_for_them() {
    let built = |more: &str| {
        let text = format!("name = \"hooks\"\nkind = \"webhook\"\n{more}");
        testing::provider(&text, &testing::clock()).expect("it is built")
    };
    assert!(built("").receipts().is_none());
    // Whoever receives our messages has it.
    assert!(built(&format!("signing_secret = \"{SECRET}\"")).receipts().is_none());
    assert!(built(&format!("receipt_secret = \"{SECRET}\"")).receipts().is_some());
}
