use std::time::Duration;

use super::*;
use crate::providers::testing::{self, Server, clock, message, provider};

const TAKEN: &str = "<PublishResponse xmlns=\"https://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult>\
    <MessageId>567910cd-659e-55d4-8ccb-5aaf14679dc0</MessageId></PublishResult>\
    <ResponseMetadata><RequestId>d74b8436-ae13-5ab4-a9ff-ce54dfea72a0</RequestId></ResponseMetadata></PublishResponse>";

fn settings(url: &str, more: &str, options: &str) -> String {
    format!(
        "name = \"texts\"\nkind = \"sns_sms\"\nurl = \"{url}\"\nusername = \"AKIDEXAMPLE\"\npassword = \"hidden\"\n{more}\n\
         [options]\nregion = \"us-east-1\"\n{options}"
    )
}

fn text() -> Message {
    message(Channel::Sms, Address::Phone("+491701234567".into()))
}

async fn outcome_of(answers: &'static [testing::Said]) -> Outcome {
    let server = Server::answering(answers).await;
    provider(&settings(&server.url, "", ""), &clock()).expect("it is built").send(&text()).await
}

#[tokio::test]
async fn a_text_goes_out_as_a_signed_form() {
    let mut server = Server::answering(&[(200, &[], TAKEN)]).await;
    let toml = settings(&server.url, "from = \"Shop\"", "max_price = \"0.50\"");
    let provider = provider(&toml, &clock()).expect("it is built");
    let mut text = text();
    text.parts.sms = Some("Paid: 5 € & more".into());
    let outcome = provider.send(&text).await;
    assert_eq!(outcome, Outcome::Accepted { message_id: Some("567910cd-659e-55d4-8ccb-5aaf14679dc0".into()) });
    let asked = server.asked().await;
    assert_eq!(asked.line(), "POST / HTTP/1.1");
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded; charset=utf-8"));
    let authorization = asked.header("authorization").expect("a signature");
    let scope = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/us-east-1/sns/aws4_request, \
                 SignedHeaders=content-type;host;x-amz-date, Signature=";
    assert!(authorization.starts_with(scope), "{authorization}");
    let expected = "Action=Publish&Version=2010-03-31&PhoneNumber=%2B491701234567&Message=Paid%3A+5+%E2%82%AC+%26+more\
        &MessageAttributes.entry.1.Name=AWS.SNS.SMS.SMSType&MessageAttributes.entry.1.Value.DataType=String\
        &MessageAttributes.entry.1.Value.StringValue=Transactional\
        &MessageAttributes.entry.2.Name=AWS.SNS.SMS.SenderID&MessageAttributes.entry.2.Value.DataType=String\
        &MessageAttributes.entry.2.Value.StringValue=Shop\
        &MessageAttributes.entry.3.Name=AWS.SNS.SMS.MaxPrice&MessageAttributes.entry.3.Value.DataType=Number\
        &MessageAttributes.entry.3.Value.StringValue=0.50";
    assert_eq!(asked.text(), expected);
    assert!(provider.receipts().is_none());
}

#[tokio::test]
async fn advertising_and_what_has_time_goes_as_promotional() {
    let taken = (200, &[] as &[&str], TAKEN);
    let mut server = Server::answering(Box::leak(Box::new([taken; 5]))).await;
    let provider = provider(&settings(&server.url, "", "promotional = [\"news\"]"), &clock()).expect("it is built");
    for (category, priority, expected) in [
        ("news", Priority::Normal, "Promotional"),
        ("news", Priority::Critical, "Transactional"),
        ("orders", Priority::High, "Transactional"),
        ("orders", Priority::Low, "Promotional"),
        ("marketing", Priority::Normal, "Transactional"),
    ] {
        let text = Message { category: Some(category.into()), priority, ..text() };
        assert_eq!(provider.send(&text).await.name(), "accepted");
        assert!(server.asked().await.text().ends_with(&format!("StringValue={expected}")), "{category} {priority}");
    }
}

#[tokio::test]
async fn each_answer_has_its_outcome() {
    let check = |status, code: &str| {
        let body = format!(
            "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>Invalid parameter: PhoneNumber Reason: +491701234567 is not valid</Message></Error></ErrorResponse>"
        );
        outcome_of(Box::leak(Box::new([(status, &[] as &[&str], &*body.leak())])))
    };
    let refused = check(400, "InvalidParameter").await;
    assert_eq!(refused, Outcome::BadRequest { reason: "the provider answered 400 (InvalidParameter)".into() });
    assert_eq!(check(400, "ParameterValueInvalid").await.name(), "bad_request");
    assert_eq!(check(400, "EndpointDisabled").await.name(), "dead_recipient");
    let opted_out = check(400, "OptedOut").await;
    assert!(matches!(opted_out, Outcome::DeadRecipient { death, .. } if death.is_opt_out), "{opted_out:?}");
    assert_eq!(check(400, "PlatformApplicationDisabled").await.name(), "config");
    assert_eq!(check(403, "AuthorizationError").await.name(), "config");
    assert_eq!(check(403, "InvalidSecurity").await.name(), "config");
    assert_eq!(check(404, "NotFound").await.name(), "config");
    assert_eq!(check(400, "Throttling").await.name(), "throttled");
    assert_eq!(check(429, "Throttled").await.name(), "throttled");
    assert_eq!(check(400, "KMSThrottling").await.name(), "throttled");
    assert_eq!(check(500, "InternalError").await.name(), "transient");
    let busy = outcome_of(&[(503, &["Retry-After: 3"], "<html>")]).await;
    assert!(
        matches!(busy, Outcome::Transient { retry_after: Some(wait), .. } if wait == Duration::from_secs(3)),
        "{busy:?}"
    );
    assert_eq!(outcome_of(&[]).await.name(), "unknown");
    assert_eq!(outcome_of(&[(200, &[], "taken")]).await, Outcome::Accepted { message_id: None });
    assert_eq!(outcome_of(&[(200, &["Content-Type: text/html"], "Sign in")]).await.name(), "unknown");
}

#[tokio::test]
async fn a_number_that_is_not_e_164_is_not_sent_to() {
    let provider = provider(&settings("http://127.0.0.1:9", "", ""), &clock()).expect("it is built");
    for number in ["01701234567", "+0491701234", "+49 170 1234567", "+123456", "+1234567890123456", ""] {
        let outcome = provider.send(&message(Channel::Sms, Address::Phone(number.into()))).await;
        assert_eq!(outcome.name(), "bad_request", "{number}");
    }
}

#[test]
fn settings_that_will_not_do_are_refused_by_the_name_of_their_key() {
    let check = |more: &str, options: &str, key: &str| {
        let error = provider(&settings("https://example.com", more, options), &clock()).err().expect("it is refused");
        assert!(error.contains(&format!("`{key}`")) && !error.contains("hidden"), "{error}");
    };
    check("from = \"A shop with a long name\"", "", "from");
    check("from = \"12345\"", "", "from");
    check("", "max_price = 1", "options.max_price");
    check("", "max_price = \"a lot\"", "options.max_price");
    check("", "promotional = 5", "options.promotional");
    assert!(provider(&settings("https://example.com", "from = \"+12065550100\"", ""), &clock()).is_ok());
}
