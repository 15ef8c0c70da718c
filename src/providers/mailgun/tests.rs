use bytes::Bytes;
use ring::hmac;
use serde_json::{Value, json};

use super::*;
use crate::clock::ManualClock;
use crate::domain::{Address, Attachment, Timestamp};
use crate::providers::receipts::{Receipt, ReceiptError, ReceiptKind, ReceiptPost};
use crate::providers::testing::{self, NOW, Server, clock, message, provider};

const SECRET: &str = "webhook-signing-key";

fn settings(url: &str, more: &str) -> String {
    format!(
        "name = \"mail\"\nkind = \"mailgun\"\nurl = \"{url}\"\napi_key = \"key-1\"\nreceipt_secret = \"{SECRET}\"\n\
         from = \"Shop <shop@example.com>\"\n[options]\ndomain = \"mg.example.com\"\n{more}"
    )
}

fn mail() -> Message {
    message(Channel::Email, Address::Email("alice@example.com".into()))
}

async fn outcome_of(answers: &'static [testing::Said]) -> Outcome {
    let server = Server::answering(answers).await;
    provider(&settings(&server.url, ""), &clock()).expect("it is built").send(&mail()).await
}

#[tokio::test]
async fn a_mail_goes_out_as_a_form() {
    let mut server =
        Server::answering(&[(200, &[], r#"{"id":"<2026.1@mg.example.com>","message":"Queued. Thank you."}"#)]).await;
    let provider = provider(&settings(&server.url, "test_mode = true"), &clock()).expect("it is built");
    let mut mail = mail();
    mail.parts.html = Some("<p>Thank you, Alice.</p>".into());
    mail.attachments = vec![Attachment {
        name: "a \"b\".pdf".into(),
        media_type: "application/pdf".into(),
        content: Bytes::from_static(b"%PDF-1"),
    }];
    assert_eq!(provider.send(&mail).await, Outcome::Accepted { message_id: Some("2026.1@mg.example.com".into()) });
    let asked = server.asked().await;
    assert_eq!(asked.line(), "POST /v3/mg.example.com/messages HTTP/1.1");
    assert_eq!(asked.header("authorization"), Some("Basic YXBpOmtleS0x"), "api:key-1");
    let kind = asked.header("content-type").expect("a content type");
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").expect("a form");
    let mut expected = String::new();
    let mut field = |name: &str, value: &str| {
        expected += &format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    };
    field("from", "Shop <shop@example.com>");
    field("to", "alice@example.com");
    field("subject", "Order 12345 is paid");
    field("text", "Thank you, Alice.");
    field("html", "<p>Thank you, Alice.</p>");
    for (name, value) in extra_headers(&mail, "example.com", None) {
        field(&format!("h:{name}"), &value);
    }
    field("v:task", &testing::carried(&mail));
    field("o:testmode", "yes");
    expected += &format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"attachment\"; filename=\"a %22b%22.pdf\"\r\n\
         Content-Type: application/pdf\r\n\r\n%PDF-1\r\n--{boundary}--\r\n"
    );
    assert_eq!(asked.text(), expected);
}

#[tokio::test]
async fn each_answer_has_its_outcome() {
    let refused =
        outcome_of(&[(400, &[], r#"{"message":"to parameter is not a valid address: alice@example.com"}"#)]).await;
    assert_eq!(refused, Outcome::BadRequest { reason: "the provider answered 400".into() });
    assert_eq!(outcome_of(&[(401, &[], "Forbidden")]).await.name(), "config");
    assert_eq!(outcome_of(&[(402, &[], "")]).await.name(), "config");
    assert_eq!(outcome_of(&[(404, &[], "")]).await.name(), "config");
    assert_eq!(
        outcome_of(&[(429, &["Retry-After: 7"], "")]).await,
        Outcome::throttled("the provider answered 429", Some(std::time::Duration::from_secs(7)))
    );
    assert_eq!(outcome_of(&[(500, &[], "")]).await.name(), "transient");
    assert_eq!(outcome_of(&[]).await.name(), "unknown");
    // It was taken, whatever else it said: sent again it would come twice.
    assert_eq!(outcome_of(&[(200, &[], "{}")]).await, Outcome::Accepted { message_id: None });
    // Somebody else's page.
    assert_eq!(outcome_of(&[(200, &[], "<html>")]).await.name(), "unknown");
}

#[test]
fn settings_that_will_not_do_are_refused_by_the_name_of_their_key() {
    let check = |toml: &str, key: &str| {
        let error = provider(toml, &clock()).err().expect("it is refused");
        assert!(error.contains(&format!("`{key}`")), "{error}");
    };
    let head = "name = \"mail\"\nkind = \"mailgun\"\nfrom = \"shop@example.com\"\n";
    check(&format!("{head}api_key = \"key-1\""), "options.domain");
    check(&format!("{head}[options]\ndomain = \"mg.example.com\""), "api_key");
    check(&format!("{head}api_key = \"key-1\"\n[options]\ndomain = \"a/b\""), "options.domain");
    check(&settings("https://api.mailgun.net", "region = \"moon\""), "options.region");
}

fn signed(timestamp: u64, token: &str, event: &Value) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, format!("{timestamp}{token}").as_bytes());
    let signature: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "signature": {"timestamp": timestamp.to_string(), "token": token, "signature": signature},
        "event-data": event,
    })
    .to_string()
}

fn post(body: String) -> ReceiptPost {
    ReceiptPost {
        url: "https://notify.example.com/v1/providers/mail/receipts".into(),
        query: String::new(),
        headers: HeaderMap::new(),
        body: body.into(),
        now: Timestamp::parse(NOW).expect("a time"),
    }
}

fn built() -> SharedProvider {
    let clock: Arc<ManualClock> = clock();
    provider(&settings("https://api.mailgun.net", ""), &clock).expect("it is built")
}

async fn read(provider: &SharedProvider, body: String) -> Result<Vec<Receipt>, ReceiptError> {
    provider.receipts().expect("it has receipts").read(&post(body)).await.map(|read| read.receipts)
}

fn seconds() -> u64 {
    Timestamp::parse(NOW).expect("a time").millis() / 1000
}

#[tokio::test]
async fn each_event_says_what_became_of_the_mail() {
    let provider = built();
    let bounced = |is_gone, is_opt_out| ReceiptKind::Bounced { is_gone, is_opt_out };
    let cases = [
        (json!({"event": "accepted"}), Some((ReceiptKind::Progress, None))),
        (json!({"event": "delivered"}), Some((ReceiptKind::Delivered, None))),
        (
            json!({"event": "failed", "severity": "permanent", "reason": "bounce"}),
            Some((bounced(true, false), Some("failed bounce"))),
        ),
        (
            json!({"event": "failed", "severity": "permanent", "reason": "suppress-unsubscribe"}),
            Some((bounced(false, true), Some("failed suppress-unsubscribe"))),
        ),
        (
            json!({"event": "failed", "severity": "permanent", "reason": "old"}),
            Some((bounced(false, false), Some("failed old"))),
        ),
        (
            json!({"event": "failed", "severity": "permanent", "reason": "no alice@example.com"}),
            Some((bounced(false, false), Some("failed"))),
        ),
        (json!({"event": "failed", "severity": "temporary", "reason": "generic"}), Some((ReceiptKind::Progress, None))),
        (json!({"event": "rejected"}), Some((bounced(false, false), Some("rejected")))),
        (json!({"event": "complained"}), Some((ReceiptKind::Complained, None))),
        (json!({"event": "unsubscribed"}), Some((ReceiptKind::Unsubscribed, None))),
        (json!({"event": "opened"}), Some((ReceiptKind::Opened, None))),
        (json!({"event": "clicked"}), Some((ReceiptKind::Clicked, None))),
        (json!({"event": "stored"}), None),
    ];
    let task = mail().task;
    for (index, (mut event, expected)) in cases.into_iter().enumerate() {
        event["timestamp"] = json!(seconds() as f64 + 0.25);
        event["user-variables"] = json!({"task": testing::carried(&mail()), "more": [1]});
        event["message"] = json!({"headers": {"message-id": "2026.1@mg.example.com", "to": "alice@example.com"}});
        let body = signed(seconds(), &format!("token{index}"), &event);
        let expected: Vec<_> = expected
            .map(|(kind, reason)| Receipt {
                task: Some(task),
                provider_message_id: Some("2026.1@mg.example.com".into()),
                kind,
                at: Timestamp(seconds() * 1000 + 250),
                reason: reason.map(Into::into),
                event_id: None,
                by_machine: false,
            })
            .into_iter()
            .collect();
        assert_eq!(read(&provider, body).await, Ok(expected), "{event}");
    }
}

#[tokio::test]
async fn a_mail_of_somebody_else_on_the_account_has_no_task() {
    let event = json!({"event": "delivered", "timestamp": 1.5, "user-variables": []});
    let receipts = read(&built(), signed(seconds(), "token", &event)).await.expect("it is believed");
    assert_eq!((receipts.len(), receipts[0].task, &receipts[0].provider_message_id), (1, None, &None));
}

#[tokio::test]
async fn a_token_counts_for_one_body_which_may_come_again() {
    let provider = built();
    let delivered = json!({"event": "delivered", "timestamp": 1.5});
    let body = signed(seconds(), "token", &delivered);
    assert!(read(&provider, body.clone()).await.is_ok());
    // Mailgun tries again where we could not keep it.
    assert!(read(&provider, body.clone()).await.is_ok());
    // The signature is not over the event: somebody put another there.
    let other = body.replace("delivered", "complained");
    assert_eq!(read(&provider, other).await, Err(ReceiptError::Replayed));
}

#[tokio::test]
async fn what_is_forged_or_old_counts_not() {
    let provider = built();
    let event = json!({"event": "delivered", "timestamp": 1.5});
    let body = signed(seconds(), "token", &event);
    for (from, to) in [("\"token\":\"token\"", "\"token\":\"other\""), ("\"signature\":\"", "\"signature\":\"0")] {
        assert_eq!(read(&provider, body.replacen(from, to, 1)).await, Err(ReceiptError::Forged), "{to}");
    }
    let old = signed(seconds() - 10 * 60 * 60, "token", &event);
    assert_eq!(read(&provider, old).await, Err(ReceiptError::Replayed));
    let ahead = signed(seconds() + 60 * 60, "token", &event);
    assert_eq!(read(&provider, ahead).await, Err(ReceiptError::Replayed));
    assert!(matches!(read(&provider, "{}".into()).await, Err(ReceiptError::Unreadable(_))));
}
