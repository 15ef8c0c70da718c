use axum::http;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::*;
use crate::domain::{Address, Attachment as File};
use crate::providers::receipts::{Receipt, ReceiptError, ReceiptKind, ReceiptPost};
use crate::providers::testing::{self, NOW, Server, clock, message, provider};

/// Vector 7.2 of the maintainers of its client libraries (sendgrid-go, `helpers/eventwebhook`).
const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
const SIGNED_AT: &str = "1600112502";
const SIGNED: &str = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=";
const EVENTS: &str = concat!(
    r#"[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address","sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA","sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0","smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]"#,
    "\r\n"
);

fn settings(url: &str, more: &str) -> String {
    format!(
        "name = \"mail\"\nkind = \"sendgrid\"\nurl = \"{url}\"\napi_key = \"SG.secret\"\nfrom = \"Shop <shop@example.com>\"\n{more}"
    )
}

fn mail() -> Message {
    message(Channel::Email, Address::Email("alice@example.com".into()))
}

async fn outcome_of(answers: &'static [crate::providers::testing::Said]) -> Outcome {
    let server = Server::answering(answers).await;
    let provider = provider(&settings(&server.url, ""), &clock()).expect("it is built");
    provider.send(&mail()).await
}

#[tokio::test]
async fn a_mail_goes_out_as_the_manual_has_it() {
    let mut server = Server::answering(&[(202, &["X-Message-Id: abc123"], "")]).await;
    let provider = provider(&settings(&server.url, ""), &clock()).expect("it is built");
    let mut mail = mail();
    mail.parts.html = Some("<p>Thank you, Alice.</p>".into());
    mail.unsubscribe = Some("https://notify.example.com/u/x".into());
    let outcome = provider.send(&mail).await;
    assert_eq!(outcome, Outcome::Accepted { message_id: Some("abc123".into()) });
    let asked = server.asked().await;
    assert_eq!(asked.line(), "POST /v3/mail/send HTTP/1.1");
    assert_eq!(asked.header("authorization"), Some("Bearer SG.secret"));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    assert!(asked.header("user-agent").is_some_and(|agent| agent.starts_with("fanfare/")));
    let headers: serde_json::Map<String, Value> = extra_headers(&mail, "example.com", None)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    assert_eq!(headers["List-Unsubscribe"], "<https://notify.example.com/u/x>");
    let body: Value = serde_json::from_str(asked.text()).expect("JSON");
    let expected = json!({
        "personalizations": [{"to": [{"email": "alice@example.com"}]}],
        "from": {"email": "shop@example.com", "name": "Shop"},
        "subject": "Order 12345 is paid",
        "content": [
            {"type": "text/plain", "value": "Thank you, Alice."},
            {"type": "text/html", "value": "<p>Thank you, Alice.</p>"},
        ],
        "headers": headers,
        "custom_args": {"task": testing::carried(&mail)},
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn what_is_configured_goes_along_and_files_as_base64() {
    let mut server = Server::answering(&[(200, &[], "")]).await;
    let options = "[options]\nsandbox_mode = true\nip_pool = \"orders\"\nunsubscribe_group = 7\nunsubscribe_mailto = \"off@example.com\"";
    let provider = provider(&settings(&server.url, options), &clock()).expect("it is built");
    let mut mail = mail();
    mail.unsubscribe = Some("https://notify.example.com/u/x".into());
    mail.attachments = vec![File {
        name: "a.pdf".into(),
        media_type: "application/pdf".into(),
        content: Bytes::from_static(b"%PDF\xff"),
    }];
    assert_eq!(provider.send(&mail).await, Outcome::Accepted { message_id: None });
    let body: Value = serde_json::from_str(server.asked().await.text()).expect("JSON");
    assert_eq!(body["mail_settings"], json!({"sandbox_mode": {"enable": true}}));
    assert_eq!((&body["ip_pool_name"], &body["asm"]), (&json!("orders"), &json!({"group_id": 7})));
    assert_eq!(
        body["attachments"],
        json!([{"content": STANDARD.encode(b"%PDF\xff"), "type": "application/pdf", "filename": "a.pdf", "disposition": "attachment"}])
    );
    assert!(body["headers"]["List-Unsubscribe"].as_str().expect("text").ends_with("<mailto:off@example.com>"));
}

#[tokio::test]
async fn each_answer_has_its_outcome() {
    const REFUSED: &str =
        r#"{"errors":[{"message":"alice@example.com is wrong","field":"personalizations.0.to","help":null}]}"#;
    let refused = outcome_of(&[(400, &[], REFUSED)]).await;
    assert_eq!(refused, Outcome::BadRequest { reason: "the provider answered 400".into() });
    assert_eq!(outcome_of(&[(401, &[], "")]).await.name(), "config");
    assert_eq!(outcome_of(&[(403, &[], "")]).await.name(), "config");
    assert_eq!(outcome_of(&[(413, &[], "")]).await.name(), "bad_request");
    assert_eq!(outcome_of(&[(503, &[], "")]).await.name(), "transient");
    assert_eq!(outcome_of(&[]).await.name(), "unknown");
    // Taken, and its id is lost.
    assert_eq!(outcome_of(&[(202, &[], "")]).await, Outcome::Accepted { message_id: None });
    // Said by somebody on the way.
    assert_eq!(outcome_of(&[(202, &[], "<html>")]).await.name(), "unknown");
    assert_eq!(outcome_of(&[(200, &[], "")]).await.name(), "unknown");
    // One minute after the time of these tests.
    let throttled = outcome_of(&[(429, &["X-RateLimit-Reset: 1795262460"], "")]).await;
    let Outcome::Throttled { retry_after, .. } = throttled else { panic!("{throttled:?}") };
    assert_eq!(retry_after, Some(Duration::from_secs(60)));
}

#[tokio::test]
async fn only_one_address_is_written_to() {
    let provider = provider(&settings("http://127.0.0.1:9", ""), &clock()).expect("it is built");
    for address in ["a@example.com,b@example.com", "a@example.com\r\nBcc: b@example.com", "nobody"] {
        let refused = provider.send(&message(Channel::Email, Address::Email(address.into()))).await;
        assert_eq!(refused, Outcome::BadRequest { reason: "the recipient is no e-mail address".into() });
    }
    let mut mail = mail();
    mail.parts.title = "a\nb".into();
    assert_eq!(provider.send(&mail).await.name(), "bad_request");
}

#[test]
fn settings_that_will_not_do_are_refused_by_the_name_of_their_key() {
    let check = |toml: &str, key: &str| {
        let error = provider(toml, &clock()).err().expect("it is refused");
        assert!(error.contains(&format!("`{key}`")), "{error}");
        assert!(!error.contains("SG.secret"), "{error}");
    };
    check("name = \"mail\"\nkind = \"sendgrid\"\nfrom = \"shop@example.com\"", "api_key");
    check("name = \"mail\"\nkind = \"sendgrid\"\napi_key = \"SG.secret\"", "from");
    check(
        "name = \"mail\"\nkind = \"sendgrid\"\napi_key = \"SG.secret\\nX: y\"\nfrom = \"shop@example.com\"",
        "api_key",
    );
    let with = |more: &str| settings("https://api.sendgrid.com", more);
    check(&with("receipt_secret = \"MFkw\""), "receipt_secret");
    check(&with("[options]\nsandbox_mode = \"yes\""), "options.sandbox_mode");
    check(&with("[options]\nunsubscribe_group = -1"), "options.unsubscribe_group");
    let without = provider(&with(""), &clock()).expect("it is built");
    assert!(without.receipts().is_none(), "without a key nothing can be believed");
}

fn post(timestamp: &str, signature: &str, body: &str, now: Timestamp) -> ReceiptPost {
    let mut headers = http::HeaderMap::new();
    headers.insert("X-Twilio-Email-Event-Webhook-Timestamp", timestamp.parse().expect("a header"));
    headers.insert("X-Twilio-Email-Event-Webhook-Signature", signature.parse().expect("a header"));
    let url = "https://notify.example.com/v1/providers/mail/receipts".into();
    ReceiptPost { url, query: String::new(), headers, body: Bytes::copy_from_slice(body.as_bytes()), now }
}

async fn read(key: &str, post: &ReceiptPost) -> Result<Vec<Receipt>, ReceiptError> {
    let toml = settings("https://api.sendgrid.com", &format!("receipt_secret = \"{key}\""));
    let provider = provider(&toml, &clock()).expect("it is built");
    provider.receipts().expect("it has receipts").read(post).await.map(|read| read.receipts)
}

#[tokio::test]
async fn the_published_example_of_a_signature_is_believed() {
    let now = Timestamp(1_600_112_503_000);
    let receipts = read(KEY, &post(SIGNED_AT, SIGNED, EVENTS, now)).await.expect("it is believed");
    let expected = Receipt {
        task: None,
        provider_message_id: Some("LRzXl_NHStOGhQ4kofSm_A".into()),
        kind: ReceiptKind::Bounced { is_gone: true, is_opt_out: false },
        at: Timestamp(1_600_112_492_000),
        reason: Some("dropped Bounced Address".into()),
        event_id: Some("ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA".into()),
        by_machine: false,
    };
    assert_eq!(receipts, [expected]);
}

#[tokio::test]
async fn what_was_changed_or_signed_long_ago_counts_not() {
    let now = Timestamp(1_600_112_503_000);
    let other = EVENTS.replace("hello@", "other@");
    assert_eq!(read(KEY, &post(SIGNED_AT, SIGNED, &other, now)).await, Err(ReceiptError::Forged));
    assert_eq!(read(KEY, &post("1600112503", SIGNED, EVENTS, now)).await, Err(ReceiptError::Forged));
    assert_eq!(read(KEY, &post(SIGNED_AT, "MEUC", EVENTS, now)).await, Err(ReceiptError::Forged));
    let mut unsigned = post(SIGNED_AT, SIGNED, EVENTS, now);
    unsigned.headers.clear();
    assert_eq!(read(KEY, &unsigned).await, Err(ReceiptError::Forged));
    const SIGNED_AT_MS: u64 = 1_600_112_502_000;
    for now in [SIGNED_AT_MS + 86_401_000, SIGNED_AT_MS - 601_000] {
        assert_eq!(read(KEY, &post(SIGNED_AT, SIGNED, EVENTS, Timestamp(now))).await, Err(ReceiptError::Replayed));
    }
    // We were away for a day, and its clock is ahead.
    for now in [SIGNED_AT_MS + 86_400_000, SIGNED_AT_MS - 600_000] {
        assert!(read(KEY, &post(SIGNED_AT, SIGNED, EVENTS, Timestamp(now))).await.is_ok());
    }
}

#[tokio::test]
async fn each_event_says_what_became_of_the_mail() {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random).expect("a key");
    let head = &STANDARD.decode(KEY).expect("base64")[..26];
    let key = STANDARD.encode([head, pair.public_key().as_ref()].concat());
    let now = Timestamp::parse(NOW).expect("a time");
    let at = now.millis() / 1000;
    let task = mail().task;
    let event = |name: &str, more: Value| {
        let mut event =
            json!({"event": name, "timestamp": at, "email": "alice@example.com", "task": testing::carried(&mail())});
        event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        event
    };
    let none = json!({});
    let events = json!([
        event("processed", none.clone()),
        event("deferred", none.clone()),
        event("delivered", none.clone()),
        event("bounce", json!({"type": "bounce", "status": "5.1.1", "reason": "550 alice@example.com unknown"})),
        event("bounce", json!({"type": "blocked", "status": "5.7.1"})),
        event("dropped", json!({"reason": "Unsubscribed Address"})),
        event("dropped", json!({"reason": "alice@example.com was bad"})),
        {"event": 5, "of": "another kind"},
        event("spamreport", none.clone()),
        event("unsubscribe", none.clone()),
        event("group_unsubscribe", none.clone()),
        event("group_resubscribe", none.clone()),
        event("open", json!({"sg_event_id": "first", "sg_machine_open": true})),
        event("open", json!({"sg_event_id": "second", "sg_machine_open": "yes"})),
        event("click", none.clone()),
    ])
    .to_string();
    let signed = format!("{at}{events}");
    let signature = STANDARD.encode(pair.sign(&random, signed.as_bytes()).expect("it signs"));
    let receipts = read(&key, &post(&at.to_string(), &signature, &events, now)).await.expect("they are believed");
    assert!(receipts.iter().all(|receipt| receipt.task == Some(task) && receipt.at == now));
    let bounced = |is_gone, is_opt_out| ReceiptKind::Bounced { is_gone, is_opt_out };
    let found: Vec<_> = receipts.iter().map(|receipt| (receipt.kind, receipt.reason.as_deref())).collect();
    let expected = [
        (ReceiptKind::Progress, None),
        (ReceiptKind::Progress, None),
        (ReceiptKind::Delivered, None),
        (bounced(true, false), Some("bounce bounce 5.1.1")),
        (bounced(false, false), Some("bounce blocked 5.7.1")),
        (bounced(false, true), Some("dropped Unsubscribed Address")),
        (bounced(false, false), Some("dropped")),
        (ReceiptKind::Complained, None),
        (ReceiptKind::Unsubscribed, None),
        (ReceiptKind::Unsubscribed, None),
        (ReceiptKind::Opened, None),
        (ReceiptKind::Opened, None),
        (ReceiptKind::Clicked, None),
    ];
    assert_eq!(found, expected);
    let opens = receipts.iter().filter(|receipt| receipt.kind == ReceiptKind::Opened);
    let opens: Vec<_> = opens.map(|receipt| (receipt.event_id.as_deref(), receipt.by_machine)).collect();
    assert_eq!(opens, [(Some("first"), true), (Some("second"), false)]);
}
