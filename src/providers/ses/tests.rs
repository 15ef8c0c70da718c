use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::domain::{Address, Attachment as File, Timestamp};
use crate::providers::receipts::{Receipt, ReceiptError, ReceiptKind};
use crate::providers::sns_message::tests::{Amazon, listening, read, server};
use crate::providers::testing::{self, NOW, Server, clock, message, provider};

fn settings(url: &str, more: &str) -> String {
    format!(
        "name = \"mail\"\nkind = \"ses\"\nurl = \"{url}\"\nusername = \"AKIDEXAMPLE\"\npassword = \"hidden\"\n\
         from = \"Søren <shop@example.com>\"\n{more}\n[options]\nregion = \"eu-west-1\"\n"
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
async fn a_mail_goes_out_signed_as_the_manual_has_it() {
    let mut server = Server::answering(&[(200, &[], r#"{"MessageId":"0102018-1"}"#)]).await;
    let toml = settings(&server.url, "token = \"session\"") + "configuration_set = \"events\"\n";
    let provider = provider(&toml, &clock()).expect("it is built");
    let mut mail = mail();
    mail.parts.html = Some("<p>Thank you, Alice.</p>".into());
    mail.unsubscribe = Some("https://notify.example.com/u/x".into());
    mail.attachments = vec![File {
        name: "a.pdf".into(),
        media_type: "application/pdf".into(),
        content: Bytes::from_static(b"%PDF\xff"),
    }];
    assert_eq!(provider.send(&mail).await, Outcome::Accepted { message_id: Some("0102018-1".into()) });
    let asked = server.asked().await;
    assert_eq!(asked.line(), "POST /v2/email/outbound-emails HTTP/1.1");
    assert_eq!(asked.header("x-amz-date"), Some("20261121T120000Z"));
    assert_eq!(asked.header("x-amz-security-token"), Some("session"));
    let authorization = asked.header("authorization").expect("a signature");
    let scope = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/eu-west-1/ses/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=";
    assert!(authorization.starts_with(scope), "{authorization}");
    assert_eq!(server.url, format!("http://{}", asked.header("host").expect("a host")), "the host that is signed");
    let mut headers: Vec<Value> = extra_headers(&mail, "example.com", None)
        .into_iter()
        .map(|(name, value)| json!({"Name": name, "Value": value}))
        .collect();
    headers.push(json!({"Name": "X-Fanfare-Task", "Value": testing::carried(&mail)}));
    let body: Value = serde_json::from_str(asked.text()).expect("JSON");
    let text = |text: &str| json!({"Data": text, "Charset": "UTF-8"});
    let expected = json!({
        "FromEmailAddress": "=?utf-8?b?U8O4cmVu?= <shop@example.com>",
        "Destination": {"ToAddresses": ["alice@example.com"]},
        "Content": {"Simple": {
            "Subject": text("Order 12345 is paid"),
            "Body": {"Text": text("Thank you, Alice."), "Html": text("<p>Thank you, Alice.</p>")},
            "Headers": headers,
            "Attachments": [{
                "RawContent": STANDARD.encode(b"%PDF\xff"),
                "FileName": "a.pdf",
                "ContentType": "application/pdf",
                "ContentDisposition": "ATTACHMENT",
                "ContentTransferEncoding": "BASE64",
            }],
        }},
        "EmailTags": [{"Name": "task", "Value": testing::carried(&mail)}],
        "ConfigurationSetName": "events",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn each_answer_has_its_outcome() {
    let throttled = |reason: &str, after: u64| Outcome::throttled(reason, Some(Duration::from_secs(after)));
    let daily = outcome_of(&[(
        429,
        &["x-amzn-ErrorType: TooManyRequestsException:http://internal.amazon.com/"],
        r#"{"message":"Daily message quota exceeded."}"#,
    )])
    .await;
    let reason = "the provider answered 429 (TooManyRequestsException Daily message quota exceeded)";
    assert_eq!(daily, throttled(reason, 24 * 60 * 60));
    let rate = outcome_of(&[(
        400,
        &[],
        r#"{"__type":"com.amazon.coral.availability#ThrottlingException","message":"Maximum sending rate exceeded."}"#,
    )])
    .await;
    assert_eq!(rate, throttled("the provider answered 400 (ThrottlingException Maximum sending rate exceeded)", 1));
    // What it says of an address is not repeated.
    let refused = outcome_of(&[(
        400,
        &["x-amzn-ErrorType: MessageRejected"],
        r#"{"message":"Address is blacklisted alice@example.com"}"#,
    )])
    .await;
    assert_eq!(refused, Outcome::BadRequest { reason: "the provider answered 400 (MessageRejected)".into() });
    let check = |status, kind: &'static str| {
        let headers: &'static [&'static str] = Box::leak(Box::new([kind]));
        outcome_of(Box::leak(Box::new([(status, headers, "{}")])))
    };
    assert_eq!(check(400, "x-amzn-ErrorType: LimitExceededException").await.name(), "throttled");
    assert_eq!(check(400, "x-amzn-ErrorType: AccountSuspendedException").await.name(), "config");
    assert_eq!(check(400, "x-amzn-ErrorType: SendingPausedException").await.name(), "config");
    assert_eq!(check(400, "x-amzn-ErrorType: MailFromDomainNotVerifiedException").await.name(), "config");
    assert_eq!(check(404, "x-amzn-ErrorType: NotFoundException").await.name(), "config");
    assert_eq!(check(400, "x-amzn-ErrorType: BadRequestException").await.name(), "bad_request");
    assert_eq!(check(403, "x-amzn-ErrorType: UnrecognizedClientException").await.name(), "config");
    assert_eq!(check(500, "x-amzn-ErrorType: InternalFailure").await.name(), "transient");
    assert_eq!(outcome_of(&[]).await.name(), "unknown");
    assert_eq!(outcome_of(&[(200, &[], "taken")]).await, Outcome::Accepted { message_id: None });
    assert_eq!(outcome_of(&[(200, &[], "<html>")]).await.name(), "unknown");
}

#[test]
fn settings_that_will_not_do_are_refused_by_the_name_of_their_key() {
    let check = |more: &str, key: &str| {
        let head = "name = \"mail\"\nkind = \"ses\"\nfrom = \"shop@example.com\"\n";
        let error = provider(&format!("{head}{more}"), &clock()).err().expect("it is refused");
        assert!(error.contains(&format!("`{key}`")) && !error.contains("hidden"), "{error}");
    };
    check("", "username");
    check("username = \"A\"", "password");
    check("username = \"A\"\npassword = \"hidden\"", "options.region");
    check("username = \"A\"\npassword = \"hidden\"\n[options]\nregion = \"a.b\"", "options.region");
    check(
        "username = \"A\"\npassword = \"hidden\"\n[options]\nregion = \"eu-west-1\"\ntopic_arn = \"mail\"",
        "options.topic_arn",
    );
    let quiet = provider(&settings("https://email.eu-west-1.amazonaws.com", ""), &clock()).expect("it is built");
    assert!(quiet.receipts().is_none(), "no topic is listened to");
}

#[tokio::test]
async fn each_event_says_what_became_of_the_mail() {
    let amazon = Amazon::new();
    let server = server(&amazon).await;
    let provider = listening(&server);
    let task = mail().task;
    let at = Timestamp::parse("2026-11-21T11:59:00.500Z").expect("a time");
    let bounced = |is_gone, is_opt_out| ReceiptKind::Bounced { is_gone, is_opt_out };
    let part = |more: Value| {
        let mut part = json!({"timestamp": "2026-11-21T11:59:00.500Z"});
        part.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        part
    };
    let who = json!([{"emailAddress": "alice@example.com", "status": "5.1.1"}]);
    let cases = [
        (json!({"eventType": "Send", "send": {}}), Some((ReceiptKind::Progress, None))),
        (json!({"eventType": "DeliveryDelay", "deliveryDelay": part(json!({}))}), Some((ReceiptKind::Progress, None))),
        (json!({"eventType": "Delivery", "delivery": part(json!({}))}), Some((ReceiptKind::Delivered, None))),
        (json!({"notificationType": "Delivery", "delivery": part(json!({}))}), Some((ReceiptKind::Delivered, None))),
        (
            json!({"eventType": "Bounce", "bounce": part(json!({"bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": who}))}),
            Some((bounced(true, false), Some("Bounce Permanent General"))),
        ),
        (
            json!({"eventType": "Bounce", "bounce": part(json!({"bounceType": "Transient", "bounceSubType": "MailboxFull"}))}),
            Some((bounced(false, false), Some("Bounce Transient MailboxFull"))),
        ),
        (
            json!({"eventType": "Complaint", "complaint": part(json!({"complaintFeedbackType": "abuse"}))}),
            Some((ReceiptKind::Complained, Some("abuse"))),
        ),
        (json!({"eventType": "Complaint", "complaint": part(json!({"complaintFeedbackType": "not-spam"}))}), None),
        (
            json!({"eventType": "Reject", "reject": {"reason": "Bad content"}}),
            Some((bounced(false, false), Some("Reject"))),
        ),
        (
            json!({"eventType": "Rendering Failure", "failure": {}}),
            Some((bounced(false, false), Some("Rendering Failure"))),
        ),
        (json!({"eventType": "Open", "open": part(json!({}))}), Some((ReceiptKind::Opened, None))),
        (
            json!({"eventType": "Click", "click": part(json!({"link": "https://example.com"}))}),
            Some((ReceiptKind::Clicked, None)),
        ),
        (
            json!({"eventType": "Subscription", "subscription": part(json!({"newTopicPreferences": {"unsubscribeAll": true}}))}),
            Some((ReceiptKind::Unsubscribed, None)),
        ),
        (
            json!({"eventType": "Subscription", "subscription": part(json!({"newTopicPreferences": {"unsubscribeAll": false}}))}),
            None,
        ),
        (json!({"eventType": "Something new"}), None),
    ];
    for (mut event, expected) in cases {
        event["mail"] = json!({
            "timestamp": "2026-11-21T11:59:00.500Z",
            "messageId": "m-1",
            "destination": ["alice@example.com"],
            "tags": {"ses:configuration-set": ["events"], "task": [testing::carried(&mail())]},
        });
        let expected: Vec<_> = expected
            .map(|(kind, reason)| Receipt {
                task: Some(task),
                provider_message_id: Some("m-1".into()),
                kind,
                at,
                reason: reason.map(Into::into),
                event_id: None,
                by_machine: false,
            })
            .into_iter()
            .collect();
        assert_eq!(read(&provider, &amazon.says("2", &event.to_string(), json!({}))).await, Ok(expected), "{event}");
    }
}

#[tokio::test]
async fn the_feedback_of_an_identity_finds_its_task_by_the_header() {
    let amazon = Amazon::new();
    let server = server(&amazon).await;
    let provider = listening(&server);
    let task = mail().task;
    let headers =
        json!([{"name": "From"}, {"value": "x"}, {"name": "X-Fanfare-Task", "value": testing::carried(&mail())}]);
    // Both words at once: they say the same.
    let event = json!({"eventType": "Complaint", "notificationType": "Complaint", "mail": {"headers": headers}, "complaint": {}});
    let receipts = read(&provider, &amazon.says("1", &event.to_string(), json!({}))).await.expect("it is believed");
    assert_eq!((receipts[0].task, receipts[0].kind), (Some(task), ReceiptKind::Complained));
    assert_eq!(receipts[0].at, Timestamp::parse(NOW).expect("a time"), "it says no time");
    // What SES says when the topic is set up.
    let said = amazon.says("1", "Successfully validated SNS topic for Amazon SES event publishing.", json!({}));
    assert_eq!(read(&provider, &said).await, Ok(Vec::new()));
    for unreadable in ["{}", r#"{"eventType": "Bounce"}"#, r#"{"mail": {}}"#, r#"{"eventType": 5, "mail": {}}"#] {
        let read = read(&provider, &amazon.says("1", unreadable, json!({}))).await;
        assert!(matches!(read, Err(ReceiptError::Unreadable(_))), "{unreadable} {read:?}");
    }
}
