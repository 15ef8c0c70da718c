//! The event webhook: an array of events, signed by ECDSA over the time and the raw body
//! (<https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features>).

use std::borrow::Cow;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::config::Secret;
use crate::domain::Timestamp;
use crate::providers::mail_api::{bounced, word};
use crate::providers::mark::Mark;
use crate::providers::outcome::Table;
use crate::providers::receipts::{Receipt, ReceiptError, ReceiptKind, ReceiptPost, ReceiptReader, Receipts};

const SIGNATURE: &str = "x-twilio-email-event-webhook-signature";
const TIMESTAMP: &str = "x-twilio-email-event-webhook-timestamp";
/// What was signed longer ago counts no more. SendGrid tries for a day; the signature is over the body, and a receipt that comes twice
/// changes nothing, so that strictness would only lose what came while we were away.
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How far its clock may be ahead.
const AHEAD_MAX: Duration = Duration::from_secs(10 * 60);
/// What stands before the point of a P-256 key (RFC 5480): the sequence, both object identifiers, the head of the bit string.
const SPKI_HEAD: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point: 4, and both coordinates.
const POINT_BYTES: usize = 65;

pub(super) struct Reader {
    key: UnparsedPublicKey<Vec<u8>>,
    table: Table,
    mark: Mark,
}

impl Reader {
    /// `secret` is the verification key that SendGrid shows: public, but it decides what is believed.
    pub(super) fn new(secret: &Secret, table: Table, mark: Mark) -> Result<Self, String> {
        let wrong = || "`receipt_secret` is no verification key: copy the one of the signed event webhook, MFkw…";
        let der = STANDARD.decode(secret.expose().trim()).map_err(|_| wrong())?;
        let point = der.strip_prefix(SPKI_HEAD).filter(|point| point.len() == POINT_BYTES).ok_or_else(wrong)?;
        Ok(Self { key: UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point.to_vec()), table, mark })
    }

    fn verify(&self, post: &ReceiptPost) -> Result<(), ReceiptError> {
        let header = |name: &str| post.headers.get(name).and_then(|value| value.to_str().ok());
        let (Some(signature), Some(timestamp)) = (header(SIGNATURE), header(TIMESTAMP)) else {
            return Err(ReceiptError::Forged);
        };
        let signature = STANDARD.decode(signature).map_err(|_| ReceiptError::Forged)?;
        let signed = [timestamp.as_bytes(), &post.body].concat();
        self.key.verify(&signed, &signature).map_err(|_| ReceiptError::Forged)?;
        let seconds: u64 = timestamp.parse().map_err(|_| ReceiptError::Unreadable("its timestamp is no number"))?;
        let at = Timestamp(seconds.saturating_mul(1000));
        if post.now.since(at) > AGE_MAX || at.since(post.now) > AHEAD_MAX {
            return Err(ReceiptError::Replayed);
        }
        Ok(())
    }

    /// `None`: nothing that we keep.
    fn receipt(&self, event: &Event<'_>) -> Option<Receipt> {
        let (kind, reason) = match &*event.event {
            "processed" | "deferred" => (ReceiptKind::Progress, None),
            "delivered" => (ReceiptKind::Delivered, None),
            "bounce" => {
                let kind = word(event.kind.as_deref()).unwrap_or("bounce");
                let status = word(event.status.as_deref());
                let whole = format!("bounce {kind}");
                let exact = status.map(|status| format!("{whole} {status}"));
                let codes: Vec<String> = exact.clone().into_iter().chain([whole.clone()]).collect();
                (bounced(&self.table, &codes), Some(exact.unwrap_or(whole)))
            }
            "dropped" => {
                // Its reasons are sentences: shown are only those that the table knows.
                let code = format!("dropped {}", event.reason.as_deref().unwrap_or_default());
                let shown = if self.table.rule_of(&code).is_some() { code.clone() } else { "dropped".into() };
                (bounced(&self.table, &[code]), Some(shown))
            }
            "spamreport" => (ReceiptKind::Complained, None),
            "unsubscribe" | "group_unsubscribe" => (ReceiptKind::Unsubscribed, None),
            "open" => (ReceiptKind::Opened, None),
            "click" => (ReceiptKind::Clicked, None),
            _ => return None,
        };
        let message = event.sg_message_id.as_deref().and_then(|id| id.split('.').next());
        Some(Receipt {
            task: event.task.as_deref().and_then(|carried| self.mark.task(carried)),
            provider_message_id: message.filter(|id| !id.is_empty()).map(Into::into),
            kind,
            at: Timestamp(event.timestamp.saturating_mul(1000)),
            reason: reason.map(Into::into),
            event_id: event.sg_event_id.as_deref().filter(|id| !id.is_empty()).map(Into::into),
            by_machine: event.sg_machine_open.unwrap_or_default(),
        })
    }
}

#[async_trait]
impl ReceiptReader for Reader {
    async fn read(&self, post: &ReceiptPost) -> Result<Receipts, ReceiptError> {
        self.verify(post)?;
        let events: Vec<&RawValue> =
            serde_json::from_slice(&post.body).map_err(|_| ReceiptError::Unreadable("it is no array of events"))?;
        // One event that cannot be read does not take the others with it.
        let events = events.iter().filter_map(|event| serde_json::from_str::<Event<'_>>(event.get()).ok());
        let receipts = events.filter_map(|event| self.receipt(&event)).collect();
        Ok(Receipts { receipts, answer: None })
    }
}

/// What is said in another way says nothing, and costs no event.
fn is_true<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(Value::deserialize(deserializer)?.as_bool())
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    /// Seconds since 1970.
    timestamp: u64,
    #[serde(borrow)]
    sg_message_id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sg_event_id: Option<Cow<'a, str>>,
    /// Apple's Mail Privacy Protection loaded the image, and not who reads it.
    #[serde(default, deserialize_with = "is_true")]
    sg_machine_open: Option<bool>,
    /// What we gave along: [`crate::providers::mail_api::TASK`].
    #[serde(borrow)]
    task: Option<Cow<'a, str>>,
}
