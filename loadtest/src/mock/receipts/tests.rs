//! Letters as an engine would check them.

use clap::Parser;
use ring::hmac;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: ReceiptArgs,
}

fn keys(options: &str) -> Keys {
    let cli = Cli::parse_from(std::iter::once("mock").chain(options.split_whitespace()));
    Keys::new(&cli.args).expect("keys")
}

fn event(kind: Kind, what: What) -> Event {
    Event {
        due: Instant::now(),
        kind,
        what,
        number: 7,
        task: Some("tsk_1".into()),
        recipient: "+15551234".into(),
        callback: Some("https://engine.example/v1/providers/sms-main/receipts?task=tsk_1".into()),
        at_s: 1_700_000_000,
        tries: 0,
    }
}

fn header<'l>(letter: &'l letter::Letter, name: &str) -> &'l str {
    letter.headers.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
}

#[test]
fn sendgrid_signs_the_time_and_the_body() {
    let keys = keys("--receipt-names sendgrid=mail-main");
    let events = [event(Kind::Sendgrid, What::Delivered), event(Kind::Sendgrid, What::Bounced)];
    let letter = keys.letter(&events).expect("written");
    assert_eq!(letter.path, "/v1/providers/mail-main/receipts");
    let time = header(&letter, "x-twilio-email-event-webhook-timestamp");
    let signature = STANDARD.decode(header(&letter, "x-twilio-email-event-webhook-signature")).expect("base64");
    let spki = STANDARD.decode(keys.sendgrid_public_key()).expect("base64");
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &spki[26..]);
    assert!(key.verify(&[time.as_bytes(), &letter.body].concat(), &signature).is_ok());
    let body: Value = serde_json::from_slice(&letter.body).expect("JSON");
    assert_eq!((&body[0]["event"], &body[0]["task"]), (&"delivered".into(), &"tsk_1".into()));
    assert_eq!((&body[1]["event"], &body[1]["type"]), (&"bounce".into(), &"bounce".into()));
}

#[test]
fn twilio_signs_the_address_that_it_was_given_with_the_sorted_fields() {
    let letter = keys("--twilio-token 12345").letter(&[event(Kind::TwilioSms, What::Delivered)]).expect("written");
    assert_eq!(letter.path, "/v1/providers/sms-main/receipts?task=tsk_1");
    let sid = Kind::TwilioSms.message_id(7);
    let fields = format!(
        "AccountSidAC00000000000000000000000000000000ApiVersion2010-04-01From+15005550006MessageSid{sid}MessageStatusdeliveredSmsSid{sid}SmsStatusdeliveredTo+15551234"
    );
    let signed = format!("https://engine.example/v1/providers/sms-main/receipts?task=tsk_1{fields}");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"12345");
    let signature = STANDARD.decode(header(&letter, "x-twilio-signature")).expect("base64");
    assert!(hmac::verify(&key, signed.as_bytes(), &signature).is_ok());
    assert!(String::from_utf8_lossy(&letter.body).contains("To=%2B15551234"));
}

#[test]
fn mailgun_signs_the_time_and_a_token_used_once() {
    let keys = keys("--mailgun-key secret");
    let letter = keys.letter(&[event(Kind::Mailgun, What::Bounced)]).expect("written");
    let body: Value = serde_json::from_slice(&letter.body).expect("JSON");
    let part = |name: &str| body["signature"][name].as_str().expect("a text").to_owned();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
    let expected = hmac::sign(&key, (part("timestamp") + &part("token")).as_bytes());
    let hex: String = expected.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!((part("signature"), part("token").len()), (hex, 50));
    assert_eq!(body["event-data"]["severity"], "permanent");
    assert_eq!(body["event-data"]["user-variables"]["task"], "tsk_1");
}

#[test]
fn aliyun_has_its_secret_in_the_address() {
    let letter = keys("--aliyun-secret s/1").letter(&[event(Kind::AliyunSms, What::Delivered)]).expect("written");
    assert_eq!(letter.path, "/v1/providers/aliyun_sms/receipts?secret=s%2F1");
    let body: Value = serde_json::from_slice(&letter.body).expect("JSON");
    assert_eq!((&body[0]["success"], &body[0]["out_id"]), (&true.into(), &"tsk_1".into()));
}
