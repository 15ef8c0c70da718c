//! Mailgun's webhooks: one event each, signed by HMAC
//! (<https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks>).
//!
//! The signature is over a time and a random token, not over the event. A token therefore counts for one body only: the same post
//! once more is Mailgun trying again, which changes nothing, and another body under a token that was seen is somebody else.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ring::{digest, hmac};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::bare;
use crate::config::Secret;
use crate::domain::Timestamp;
use crate::providers::mail_api::{bounced, word};
use crate::providers::mark::Mark;
use crate::providers::outcome::Table;
use crate::providers::receipts::{Receipt, ReceiptError, ReceiptKind, ReceiptPost, ReceiptReader, Receipts};

/// What was signed longer ago counts no more. Mailgun tries for eight hours, and asks not to be strict here.
const AGE_MAX: Duration = Duration::from_secs(9 * 60 * 60);
/// How far its clock may be ahead.
const AHEAD_MAX: Duration = Duration::from_secs(10 * 60);
/// Tokens that are remembered: about six megabytes.
const TOKENS_MAX: usize = 64 << 10;
/// Its tokens have 50 characters.
const TOKEN_CHARS_MAX: usize = 128;

pub(super) struct Reader {
    key: hmac::Key,
    table: Table,
    mark: Mark,
    seen: Mutex<Seen>,
}

/// The tokens that came, and what came with each.
#[derive(Default)]
struct Seen {
    bodies: HashMap<[u8; 32], [u8; 32]>,
    /// The oldest first.
    order: VecDeque<[u8; 32]>,
}

impl Seen {
    /// Whether the token is new, or came with this very body.
    fn admit(&mut self, token: [u8; 32], body: [u8; 32]) -> bool {
        if let Some(known) = self.bodies.get(&token) {
            return *known == body;
        }
        if self.order.len() >= TOKENS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.bodies.remove(&oldest);
        }
        self.order.push_back(token);
        self.bodies.insert(token, body);
        true
    }
}

impl Reader {
    pub(super) fn new(secret: &Secret, table: Table, mark: Mark) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().trim().as_bytes());
        Self { key, table, mark, seen: Mutex::default() }
    }

    fn verify(&self, signature: &Signature<'_>, event: &RawValue, now: Timestamp) -> Result<(), ReceiptError> {
        // A number or a text; as it came, it was signed.
        let seconds = signature.timestamp.get().trim_matches('"');
        let tag = unhex(&signature.signature).ok_or(ReceiptError::Forged)?;
        let signed = [seconds, &signature.token].concat();
        hmac::verify(&self.key, signed.as_bytes(), &tag).map_err(|_| ReceiptError::Forged)?;
        let seconds: u64 = seconds.parse().map_err(|_| ReceiptError::Unreadable("its timestamp is no number"))?;
        let at = Timestamp(seconds.saturating_mul(1000));
        if now.since(at) > AGE_MAX || at.since(now) > AHEAD_MAX || signature.token.len() > TOKEN_CHARS_MAX {
            return Err(ReceiptError::Replayed);
        }
        // By time and token together: where one ends and the other begins is not signed.
        let (token, body) = (sha256(signed.as_bytes()), sha256(event.get().as_bytes()));
        let is_new = self.seen.lock().unwrap_or_else(PoisonError::into_inner).admit(token, body);
        if is_new { Ok(()) } else { Err(ReceiptError::Replayed) }
    }

    /// `None`: nothing that we keep.
    fn receipt(&self, event: &Event<'_>) -> Option<Receipt> {
        let mut reason = None;
        let kind = match &*event.event {
            "accepted" => ReceiptKind::Progress,
            "delivered" => ReceiptKind::Delivered,
            "failed" if event.severity.as_deref() == Some("temporary") => ReceiptKind::Progress,
            failed @ ("failed" | "rejected") => {
                let why = word(event.reason.as_deref());
                let code = why.map_or_else(|| failed.to_owned(), |why| format!("{failed} {why}"));
                reason = Some(code.as_str().into());
                bounced(&self.table, &[code])
            }
            "complained" => ReceiptKind::Complained,
            "unsubscribed" => ReceiptKind::Unsubscribed,
            "opened" => ReceiptKind::Opened,
            "clicked" => ReceiptKind::Clicked,
            _ => return None,
        };
        // Whoever shares the account may keep anything there.
        let variables = event.variables.and_then(|raw| serde_json::from_str::<Variables<'_>>(raw.get()).ok());
        let task = variables.and_then(|variables| variables.task);
        let id = event.message.as_ref().and_then(|message| message.headers.as_ref()?.message_id.as_deref());
        Some(Receipt {
            task: task.and_then(|carried| self.mark.task(&carried)),
            provider_message_id: id.map(bare).filter(|id| !id.is_empty()).map(Into::into),
            kind,
            at: Timestamp((event.timestamp.max(0.0) * 1000.0) as u64),
            reason,
            event_id: event.id.as_deref().filter(|id| !id.is_empty()).map(Into::into),
            by_machine: false,
        })
    }
}

#[async_trait]
impl ReceiptReader for Reader {
    async fn read(&self, post: &ReceiptPost) -> Result<Receipts, ReceiptError> {
        let read: Post<'_> = serde_json::from_slice(&post.body)
            .map_err(|_| ReceiptError::Unreadable("it is no webhook of Mailgun, or one of its old format"))?;
        self.verify(&read.signature, read.event, post.now)?;
        let event: Event<'_> =
            serde_json::from_str(read.event.get()).map_err(|_| ReceiptError::Unreadable("its event cannot be read"))?;
        Ok(Receipts { receipts: self.receipt(&event).into_iter().collect(), answer: None })
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let text = text.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

#[derive(Deserialize)]
struct Post<'a> {
    #[serde(borrow)]
    signature: Signature<'a>,
    #[serde(borrow, rename = "event-data")]
    event: &'a RawValue,
}

#[derive(Deserialize)]
struct Signature<'a> {
    #[serde(borrow)]
    timestamp: &'a RawValue,
    #[serde(borrow)]
    token: Cow<'a, str>,
    #[serde(borrow)]
    signature: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    /// Seconds since 1970, with their fraction.
    timestamp: f64,
    #[serde(borrow)]
    severity: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "user-variables")]
    variables: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<Described<'a>>,
}

#[derive(Deserialize)]
struct Variables<'a> {
    /// [`crate::providers::mail_api::TASK`]
    #[serde(borrow)]
    task: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Described<'a> {
    #[serde(borrow)]
    headers: Option<Headers<'a>>,
}

#[derive(Deserialize)]
struct Headers<'a> {
    #[serde(borrow, rename = "message-id")]
    message_id: Option<Cow<'a, str>>,
}
