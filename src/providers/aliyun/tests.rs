use bytes::Bytes;
use url::form_urlencoded;

use super::*;
use crate::domain::{Death, Timestamp, Whose};
use crate::providers::testing::{self, NOW, Server, clock, message, provider};
use crate::providers::{Receipt, ReceiptError, ReceiptKind, ReceiptPost};

const TEMPLATES: &str = "templates = { order_paid = { code = \"SMS_1\", params = [\"order_id\", \"count\"] }, \
                         default = { code = \"SMS_2\" } }";

fn sms(url: &str, options: &str) -> Result<SharedProvider, String> {
    let text = format!(
        "name = \"sms-cn\"\nkind = \"aliyun_sms\"\nurl = \"{url}\"\nusername = \"key-id\"\npassword = \"key-secret\"\n\
         from = \"阿里云\"\nreceipt_secret = \"s3cret\"\n[options]\n{options}"
    );
    provider(&text, &clock())
}

fn text() -> Message {
    Message {
        template: Some("order_paid".into()),
        data: "{\"order_id\":\"12 345\",\"count\":2,\"other\":{}}".into(),
        ..message(Channel::Sms, Address::Phone("+8613812345678".into()))
    }
}

#[tokio::test]
async fn a_text_is_a_template_with_the_parameters_it_asks_for() {
    let mut server =
        Server::answering(&[(200, &[], r#"{"Code":"OK","Message":"OK","BizId":"9^0","RequestId":"R"}"#)]).await;
    let sms = sms(&server.url, TEMPLATES).expect("it is built");
    let message = text();
    assert_eq!(sms.send(&message).await, Outcome::Accepted { message_id: Some("9^0".into()) });
    let asked = server.asked().await;
    let line = asked.line();
    let query = line.strip_prefix("POST /?").and_then(|rest| rest.strip_suffix(" HTTP/1.1")).expect(line);
    let fields: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let field = |name: &str| fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    assert_eq!(field("OutId"), Some(testing::carried(&message).as_str()));
    assert_eq!(field("PhoneNumbers"), Some("8613812345678"));
    assert_eq!(field("SignName"), Some("阿里云"));
    assert_eq!(field("TemplateCode"), Some("SMS_1"));
    assert_eq!(field("TemplateParam"), Some("{\"count\":\"2\",\"order_id\":\"12 345\"}"));
    assert!(query.contains("12%20345"), "a space is %20 and no plus: {query}");
    assert!(fields.is_sorted(), "the query is signed as it is sent");
    assert_eq!(asked.header("x-acs-action"), Some("SendSms"));
    assert_eq!(asked.header("x-acs-version"), Some("2017-05-25"));
    assert_eq!(asked.header("x-acs-date"), Some("2026-11-21T12:00:00Z"));
    let authorization = asked.header("authorization").expect("signed");
    assert!(authorization.starts_with("ACS3-HMAC-SHA256 Credential=key-id,SignedHeaders=host;x-acs-action;"));
    // What was signed is what was sent.
    let signer = Signer::new("key-id", "key-secret");
    let request = signature::Request {
        method: "POST",
        path: "/",
        query,
        host: asked.header("host").expect("a host"),
        action: "SendSms",
        version: "2017-05-25",
        date: "2026-11-21T12:00:00Z",
        nonce: asked.header("x-acs-signature-nonce").expect("a nonce"),
        body: &asked.body,
    };
    let headers = signer.headers(&request).expect("headers");
    assert_eq!(authorization, headers["authorization"]);
}

#[tokio::test]
async fn a_template_that_is_not_named_has_the_default_one_or_none() {
    let mut server = Server::answering(&[(200, &[], r#"{"Code":"OK","BizId":"1"}"#)]).await;
    let with_default = sms(&server.url, TEMPLATES).expect("it is built");
    let inline = Message { template: None, ..text() };
    assert_eq!(with_default.send(&inline).await.name(), "accepted");
    let asked = server.asked().await;
    assert!(asked.line().contains("TemplateCode=SMS_2&TemplateParam=%7B%7D"), "{}", asked.line());
    let without = sms(&server.url, "templates = { order_paid = { code = \"SMS_1\" } }").expect("it is built");
    assert_eq!(without.send(&inline).await.name(), "bad_request");
    let lacking = Message { data: "{\"order_id\":\"1\"}".into(), ..text() };
    let refused = with_default.send(&lacking).await;
    let expected = "`data` has no text `count`, which the provider's template asks for";
    assert_eq!(refused, Outcome::BadRequest { reason: expected.into() });
}

#[tokio::test]
async fn each_code_means_what_the_table_says_though_the_status_is_200() {
    let server = Server::answering(&[
        (200, &[], r#"{"Code":"isv.BUSINESS_LIMIT_CONTROL","Message":"x"}"#),
        (200, &[], r#"{"Code":"isv.MOBILE_NUMBER_ILLEGAL"}"#),
        (200, &[], r#"{"Code":"isv.SMS_SIGNATURE_ILLEGAL"}"#),
        (200, &[], r#"{"Code":"isv.SMS_TEMPLATE_ILLEGAL"}"#),
        (200, &[], r#"{"Code":"isv.TEMPLATE_MISSING_PARAMETERS"}"#),
        (200, &[], r#"{"Code":"isp.SYSTEM_ERROR"}"#),
        (200, &[], r#"{"Code":"isv.NEVER_HEARD_OF"}"#),
        (400, &[], r#"{"Code":"Throttling.User"}"#),
        (400, &[], r#"{"Code":"SignatureDoesNotMatch"}"#),
        (503, &[], ""),
        (200, &[], "<html>"),
    ])
    .await;
    let sms = sms(&server.url, TEMPLATES).expect("it is built");
    let mut outcomes = Vec::new();
    for _ in 0..11 {
        outcomes.push(sms.send(&text()).await);
    }
    let names: Vec<_> = outcomes.iter().map(Outcome::name).collect();
    let expected = [
        "throttled",
        "dead_recipient",
        "config",
        "bad_request",
        "bad_request",
        "transient",
        "bad_request",
        "throttled",
        "config",
        "transient",
        "unknown",
    ];
    assert_eq!(names, expected);
    assert!(matches!(outcomes[0], Outcome::Throttled { whose: Whose::Recipient, retry_after: Some(_), .. }));
    assert!(matches!(outcomes[7], Outcome::Throttled { whose: Whose::Account, .. }));
    assert!(matches!(outcomes[1], Outcome::DeadRecipient { death: Death { is_opt_out: false, .. }, .. }));
}

#[test]
fn settings_that_cannot_work_name_their_key() {
    for options in ["", "templates = {}", "templates = { a = { code = \"\" } }", "templates = { a = \"SMS_1\" }"] {
        let error = sms("http://127.0.0.1:1", options).err().expect("refused");
        assert!(error.contains("options.templates"), "{error}");
    }
}

fn post(query: &str, body: &str) -> ReceiptPost {
    ReceiptPost {
        url: format!("https://notify.example.com/v1/providers/sms-cn/receipts?{query}"),
        query: query.into(),
        headers: Default::default(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        now: Timestamp::parse(NOW).expect("a time"),
    }
}

#[tokio::test]
async fn reports_are_read_behind_their_secret() {
    let sms = sms("http://127.0.0.1:1", TEMPLATES).expect("it is built");
    let reader = sms.receipts().expect("it reads receipts");
    let (task, carried) = (text().task, testing::carried(&text()));
    let report = |success: bool, code: &str| {
        format!(
            r#"{{"phone_number":"13812345678","send_time":"2026-11-21 19:59:00","report_time":"2026-11-21 19:59:30",
               "success":{success},"err_code":"{code}","err_msg":"x","sms_size":"1","biz_id":"9^0","out_id":"{carried}"}}"#
        )
    };
    let body = format!(
        "[{},{},{},{}]",
        report(true, "DELIVERED"),
        report(false, "MOBILE_NOT_ON_SERVICE"),
        report(false, "MOBILE_IN_BLACK"),
        report(false, "MK:0001").replace(&carried, "another system's"),
    );
    let read = reader.read(&post("secret=s3cret", &body)).await.expect("it is read");
    assert_eq!(read.answer, Some(r#"{"code":0,"msg":"ok"}"#));
    let expected = Receipt {
        task: Some(task),
        provider_message_id: Some("9^0".into()),
        kind: ReceiptKind::Delivered,
        at: Timestamp::parse("2026-11-21T11:59:30Z").expect("a time"),
        reason: None,
        event_id: None,
        by_machine: false,
    };
    assert_eq!(read.receipts[0], expected);
    assert_eq!(read.receipts[1].kind, ReceiptKind::Bounced { is_gone: true, is_opt_out: false });
    assert_eq!(read.receipts[2].kind, ReceiptKind::Bounced { is_gone: false, is_opt_out: true });
    assert_eq!((read.receipts[3].task, read.receipts[3].reason.as_deref()), (None, Some("MK:0001")));
    for query in ["", "secret=", "secret=s3cre", "secret=s3cret2", "Secret=s3cret"] {
        assert_eq!(reader.read(&post(query, &body)).await.unwrap_err(), ReceiptError::Forged, "{query}");
    }
    assert!(matches!(reader.read(&post("secret=s3cret", "{}")).await, Err(ReceiptError::Unreadable(_))));
}
