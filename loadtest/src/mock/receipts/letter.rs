//! How each provider writes and signs its receipts.

use std::fmt::Write;

use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Map, Value, json};

use super::{Event, ReceiptArgs, What};
use crate::clock::now_us;
use crate::mock::kinds::{Kind, percent_encoded};

/// What stands before the point in the DER form of a P-256 public key (RFC 5480).
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The account that Twilio's receipts name.
const TWILIO_ACCOUNT: &str = "AC00000000000000000000000000000000";

/// A POST, ready to be sent.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

/// What receipts are signed with, and what the engine calls its providers.
pub(super) struct Keys {
    sendgrid: EcdsaKeyPair,
    random: SystemRandom,
    twilio: hmac::Key,
    mailgun: hmac::Key,
    aliyun_secret: String,
    names: Map<String, Value>,
}

impl Keys {
    pub(super) fn new(args: &ReceiptArgs) -> Result<Self> {
        let random = SystemRandom::new();
        let kind = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let document = match &args.sendgrid_key {
            Some(path) => {
                let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
                der(bytes)?
            }
            None => {
                let made = EcdsaKeyPair::generate_pkcs8(kind, &random).map_err(|_| anyhow!("cannot make a key"))?;
                made.as_ref().to_vec()
            }
        };
        let sendgrid = EcdsaKeyPair::from_pkcs8(kind, &document, &random)
            .map_err(|error| anyhow!("the key of SendGrid's receipts is no P-256 key in PKCS8: {error}"))?;
        Ok(Self {
            sendgrid,
            random,
            twilio: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, args.twilio_token.as_bytes()),
            mailgun: hmac::Key::new(hmac::HMAC_SHA256, args.mailgun_key.as_bytes()),
            aliyun_secret: args.aliyun_secret.clone(),
            names: args.receipt_names.clone(),
        })
    }

    pub(super) fn sendgrid_public_key(&self) -> String {
        STANDARD.encode([&SPKI_P256[..], self.sendgrid.public_key().as_ref()].concat())
    }

    /// Writes one letter for receipts of one kind. Only SendGrid and Aliyun put several into one; of the others it is the first.
    pub(super) fn letter(&self, events: &[Event]) -> Result<Letter> {
        let first = events.first().context("a letter has something to say")?;
        match first.kind {
            Kind::Sendgrid => self.sendgrid(events),
            Kind::Mailgun => Ok(self.mailgun(first)),
            Kind::AliyunSms => Ok(self.aliyun(events)),
            _ => self.twilio(first),
        }
    }

    fn path(&self, kind: Kind) -> String {
        let name = self.names.get(kind.name()).and_then(Value::as_str).unwrap_or(kind.name());
        format!("/v1/providers/{name}/receipts")
    }

    fn sendgrid(&self, events: &[Event]) -> Result<Letter> {
        let events: Vec<Value> = events.iter().map(sendgrid_event).collect();
        let body = serde_json::to_vec(&events)?;
        let timestamp = (now_us() / 1_000_000).to_string();
        let signed = [timestamp.as_bytes(), &body].concat();
        let signature = self.sendgrid.sign(&self.random, &signed).map_err(|_| anyhow!("cannot sign"))?;
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-twilio-email-event-webhook-signature", STANDARD.encode(signature)),
            ("x-twilio-email-event-webhook-timestamp", timestamp),
        ];
        Ok(Letter { path: self.path(Kind::Sendgrid), headers, body })
    }

    fn mailgun(&self, event: &Event) -> Letter {
        let timestamp = (now_us() / 1_000_000).to_string();
        // Different for each letter: a receiver remembers it against replays. A doubled receipt is posted as a new letter.
        let nonce = now_us() ^ (u64::from(event.tries) << 56);
        let token = format!("{:016x}{nonce:016x}{:018x}", event.number, event.what as u64);
        let signature = hex(hmac::sign(&self.mailgun, format!("{timestamp}{token}").as_bytes()).as_ref());
        let mut data = json!({
            "id": format!("mock-{}-{}", event.number, event.what as u64),
            "event": match event.what {
                What::Underway => "accepted",
                What::Delivered => "delivered",
                What::Bounced => "failed",
                What::Opened => "opened",
            },
            "timestamp": event.at_s as f64,
            "recipient": event.recipient,
            "message": {"headers": {"message-id": Kind::Mailgun.message_id(event.number).trim_matches(['<', '>'])}},
            "user-variables": {"task": event.task},
        });
        if event.what == What::Bounced {
            data["severity"] = json!("permanent");
            data["reason"] = json!("bounce");
            data["delivery-status"] = json!({"code": 550, "enhanced-code": "5.1.1", "message": "no such user"});
        }
        let signature = json!({"timestamp": timestamp, "token": token, "signature": signature});
        let body = json!({"signature": signature, "event-data": data}).to_string().into_bytes();
        let headers = vec![("content-type", "application/json".to_owned())];
        Letter { path: self.path(Kind::Mailgun), headers, body }
    }

    fn aliyun(&self, events: &[Event]) -> Letter {
        let reports = events.iter().map(|event| {
            let is_delivered = event.what == What::Delivered;
            json!({
                "phone_number": event.recipient.trim_start_matches('+'),
                "send_time": "2026-01-01 08:00:00",
                "report_time": "2026-01-01 08:00:01",
                "success": is_delivered,
                "err_code": if is_delivered { "DELIVERED" } else { "MOBILE_NOT_ON_SERVICE" },
                "err_msg": "",
                "sms_size": "1",
                "biz_id": Kind::AliyunSms.message_id(event.number),
                "out_id": event.task,
            })
        });
        let body = Value::from_iter(reports).to_string().into_bytes();
        let path = format!("{}?secret={}", self.path(Kind::AliyunSms), percent_encoded(&self.aliyun_secret));
        Letter { path, headers: vec![("content-type", "application/json".to_owned())], body }
    }

    /// To the address that came with the message, which is what is signed.
    fn twilio(&self, event: &Event) -> Result<Letter> {
        let url = event.callback.as_deref().context("Twilio posts only where it was asked to")?;
        let sid = event.kind.message_id(event.number);
        let (sid_keys, status_keys): (&[&str], &[&str]) = match event.kind {
            Kind::TwilioVoice => (&["CallSid"], &["CallStatus"]),
            _ => (&["MessageSid", "SmsSid"], &["MessageStatus", "SmsStatus"]),
        };
        let status = match (event.kind, event.what) {
            (Kind::TwilioVoice, What::Underway) => "ringing",
            (Kind::TwilioVoice, What::Bounced) => "failed",
            (Kind::TwilioVoice, _) => "completed",
            (_, What::Underway) => "sent",
            (_, What::Bounced) => "undelivered",
            (_, _) => "delivered",
        };
        let mut form = vec![
            ("AccountSid", TWILIO_ACCOUNT),
            ("ApiVersion", "2010-04-01"),
            ("From", "+15005550006"),
            ("To", &event.recipient),
        ];
        form.extend(sid_keys.iter().map(|key| (*key, sid.as_str())));
        form.extend(status_keys.iter().map(|key| (*key, status)));
        if event.what == What::Bounced {
            form.push(("ErrorCode", "30005"));
        }
        form.sort_unstable();
        let mut signed = url.to_owned();
        for (key, value) in &form {
            signed.push_str(key);
            signed.push_str(value);
        }
        let signature = STANDARD.encode(hmac::sign(&self.twilio, signed.as_bytes()));
        let fields: Vec<String> = form.iter().map(|(key, value)| format!("{key}={}", percent_encoded(value))).collect();
        let headers = vec![
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8".to_owned()),
            ("x-twilio-signature", signature),
        ];
        let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        let path = after_scheme.find('/').map_or("/", |at| &after_scheme[at..]).to_owned();
        Ok(Letter { path, headers, body: fields.join("&").into_bytes() })
    }
}

fn sendgrid_event(event: &Event) -> Value {
    let id = Kind::Sendgrid.message_id(event.number);
    let mut json = json!({
        "email": event.recipient,
        "timestamp": event.at_s,
        "smtp-id": format!("<{id}@mock.example>"),
        "event": match event.what {
            What::Underway => "processed",
            What::Delivered => "delivered",
            What::Bounced => "bounce",
            What::Opened => "open",
        },
        // The same of a receipt that comes twice.
        "sg_event_id": format!("mock-{}-{}", event.number, event.what as u64),
        "sg_message_id": format!("{id}.filter-mock-0.0"),
    });
    if let Some(task) = &event.task {
        json["task"] = json!(task);
    }
    if event.what == What::Bounced {
        json["type"] = json!("bounce");
        json["status"] = json!("5.1.1");
        json["reason"] = json!("550 5.1.1 no such user");
    }
    json
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        // A string grows: nothing to fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// PKCS8 in DER, which may stand in PEM.
fn der(bytes: Vec<u8>) -> Result<Vec<u8>> {
    let Some(pem) = std::str::from_utf8(&bytes).ok().filter(|text| text.contains("-----BEGIN")) else {
        return Ok(bytes);
    };
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    STANDARD.decode(base64).context("the PEM holds no base64")
}
