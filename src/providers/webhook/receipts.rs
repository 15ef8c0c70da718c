//! What becomes of messages behind a webhook, in a format of our own: for gateways that no adapter knows. Signed as what is sent
//! to them is (Standard Webhooks).
//!
//! `{"receipts":[{"task_id":"tsk_…","status":"delivered","at":"2026-11-21T12:00:00Z","reason":"…"}]}`

use std::time::Duration;

use async_trait::async_trait;
use axum::http::{HeaderMap, HeaderName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde::Deserialize;

use super::{ID, SIGNATURE, TIMESTAMP};
use crate::config::OutcomeWord;
use crate::domain::Timestamp;
use crate::providers::outcome::Table;
use crate::providers::wire::is_code;
use crate::providers::{Receipt, ReceiptError, ReceiptKind, ReceiptPost, ReceiptReader, Receipts};

pub(super) struct Inbox {
    /// Several while a secret is being changed: any of them may have signed.
    keys: Vec<hmac::Key>,
    table: Table,
}

#[derive(Deserialize)]
struct Posted {
    receipts: Vec<PostedReceipt>,
}

#[derive(Deserialize)]
struct PostedReceipt {
    task_id: Box<str>,
    status: Status,
    #[serde(default)]
    at: Option<Box<str>>,
    #[serde(default)]
    reason: Option<Box<str>>,
    /// What tells one open or click from the others.
    #[serde(default)]
    id: Option<Box<str>>,
    #[serde(default)]
    by_machine: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Delivered,
    Bounced,
    Complained,
    Unsubscribed,
    Opened,
    Clicked,
    /// What a later version may say is no reason to refuse the rest.
    #[serde(other)]
    Other,
}

/// How far the clocks may be apart: "five minutes" in the libraries of Standard Webhooks.
const TOLERANCE: Duration = Duration::from_secs(300);

impl Inbox {
    pub(super) fn new(keys: Vec<hmac::Key>, table: Table) -> Self {
        Self { keys, table }
    }

    fn check(&self, post: &ReceiptPost) -> Result<(), ReceiptError> {
        let id = header(&post.headers, &ID)?;
        let timestamp = header(&post.headers, &TIMESTAMP)?;
        let signatures = header(&post.headers, &SIGNATURE)?;
        let mut signed = Vec::with_capacity(id.len() + timestamp.len() + post.body.len() + 2);
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", &post.body] {
            signed.extend_from_slice(part);
        }
        let is_ours = |signature: &str| {
            let Some(Ok(signature)) = signature.strip_prefix("v1,").map(|text| STANDARD.decode(text)) else {
                return false;
            };
            self.keys.iter().any(|key| hmac::verify(key, &signed, &signature).is_ok())
        };
        if !signatures.split_ascii_whitespace().take(SIGNATURES_MAX).any(is_ours) {
            return Err(ReceiptError::Forged);
        }
        let seconds: u64 =
            timestamp.parse().map_err(|_| ReceiptError::Unreadable("`webhook-timestamp` is no number"))?;
        let at = Timestamp(seconds.saturating_mul(1000));
        let apart = post.now.since(at).max(at.since(post.now));
        if apart > TOLERANCE { Err(ReceiptError::Replayed) } else { Ok(()) }
    }

    /// `id`: of the post, which a retry keeps.
    fn receipt(&self, posted: PostedReceipt, id: &str, now: Timestamp) -> Receipt {
        // What does not look like a code may quote an address, and is left away.
        let reason = posted.reason.filter(|reason| is_code(reason));
        let kind = match posted.status {
            Status::Delivered => ReceiptKind::Delivered,
            Status::Complained => ReceiptKind::Complained,
            Status::Unsubscribed => ReceiptKind::Unsubscribed,
            Status::Opened => ReceiptKind::Opened,
            Status::Clicked => ReceiptKind::Clicked,
            Status::Other => ReceiptKind::Progress,
            Status::Bounced => {
                // With the word before it: a reason of theirs is no status of HTTP.
                let rule = reason.as_deref().and_then(|reason| self.table.rule_of(&format!("bounced {reason}")));
                let rule = rule.map(|rule| rule.outcome);
                ReceiptKind::Bounced {
                    is_gone: rule == Some(OutcomeWord::DeadRecipient),
                    is_opt_out: rule == Some(OutcomeWord::OptedOut),
                }
            }
        };
        let at = posted.at.as_deref().and_then(Timestamp::parse);
        Receipt {
            task: posted.task_id.parse().ok(),
            provider_message_id: None,
            kind,
            at: at.unwrap_or(now),
            reason,
            event_id: posted.id.or_else(|| at.is_none().then(|| id.into())),
            by_machine: posted.by_machine,
        }
    }
}

/// Each costs a digest for each key.
const SIGNATURES_MAX: usize = 8;

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, ReceiptError> {
    headers.get(name).and_then(|value| value.to_str().ok()).ok_or(ReceiptError::Forged)
}

#[async_trait]
impl ReceiptReader for Inbox {
    async fn read(&self, post: &ReceiptPost) -> Result<Receipts, ReceiptError> {
        self.check(post)?;
        let posted: Posted = serde_json::from_slice(&post.body)
            .map_err(|_| ReceiptError::Unreadable("it is not {\"receipts\": [{\"task_id\", \"status\", \"at\"}]}"))?;
        let id = header(&post.headers, &ID)?;
        let receipts = posted.receipts.into_iter().map(|posted| self.receipt(posted, id, post.now)).collect();
        Ok(Receipts { receipts, answer: None })
    }
}

#[cfg(test)]
mod tests;
