//! What Twilio posts back: one form for each change of a message's or call's status.
//!
//! <https://www.twilio.com/docs/usage/security#validating-requests>; the details (a port that comes and goes, JSON) are those of
//! Twilio's own libraries (`client/request_validator.go` in twilio-go).

use std::borrow::Cow;

use async_trait::async_trait;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac};
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use crate::config::OutcomeWord;
use crate::domain::Timestamp;
use crate::providers::outcome::Table;
use crate::providers::wire::{hex, is_code};
use crate::providers::{Receipt, ReceiptError, ReceiptKind, ReceiptPost, ReceiptReader, Receipts};

/// What the words of one resource mean.
#[derive(Clone, Copy)]
pub(super) struct StatusReader {
    status: &'static str,
    sid: &'static str,
    read: fn(&str) -> Status,
}

/// Where a status stands. The ends are told apart from the way there, so that order of arrival does not matter.
enum Status {
    Progress,
    Delivered,
    Opened,
    Failed,
}

/// `MessageStatus`: accepted, scheduled, queued, sending, sent, delivered, undelivered, failed, read, partially_delivered, canceled.
pub(super) const OF_MESSAGE: StatusReader = StatusReader {
    status: "MessageStatus",
    sid: "MessageSid",
    read: |status| match status {
        "delivered" => Status::Delivered,
        "read" => Status::Opened,
        "undelivered" | "failed" | "canceled" => Status::Failed,
        _ => Status::Progress,
    },
};

/// `CallStatus`: queued, initiated, ringing, in-progress, completed, busy, no-answer, failed, canceled.
pub(super) const OF_CALL: StatusReader = StatusReader {
    status: "CallStatus",
    sid: "CallSid",
    read: |status| match status {
        "completed" => Status::Delivered,
        "busy" | "no-answer" | "failed" | "canceled" => Status::Failed,
        _ => Status::Progress,
    },
};

pub(super) struct Callbacks {
    key: hmac::Key,
    table: Table,
    words: StatusReader,
}

const SIGNATURE: &str = "x-twilio-signature";
const BODY_HASH: &str = "bodySHA256";

type Fields<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

impl Callbacks {
    pub(super) fn new(token: &str, table: Table, words: StatusReader) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.as_bytes()), table, words }
    }

    /// The fields of a post that Twilio signed.
    fn fields<'a>(&self, post: &'a ReceiptPost) -> Result<Fields<'a>, ReceiptError> {
        let signature = signature(&post.headers).ok_or(ReceiptError::Forged)?;
        let hash = form_urlencoded::parse(post.query.as_bytes()).find(|(name, _)| name == BODY_HASH);
        let Some((_, hash)) = hash else {
            let mut fields: Fields<'a> = form_urlencoded::parse(&post.body).collect();
            fields.sort_unstable();
            fields.dedup();
            return if self.is_signed(&post.url, &fields, &signature) { Ok(fields) } else { Err(ReceiptError::Forged) };
        };
        let found = hex(digest::digest(&digest::SHA256, &post.body).as_ref());
        let is_body = bool::from(found.as_bytes().ct_eq(hash.to_ascii_lowercase().as_bytes()));
        if !is_body || !self.is_signed(&post.url, &[], &signature) {
            return Err(ReceiptError::Forged);
        }
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(&post.body).map_err(|_| ReceiptError::Unreadable("the body is no JSON object"))?;
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(object.into_iter().map(|(name, value)| (name.into(), text(value).into())).collect())
    }

    /// Twilio signs the address as it was called: with its port, or without.
    fn is_signed(&self, url: &str, fields: &[(Cow<'_, str>, Cow<'_, str>)], signature: &[u8]) -> bool {
        [without_port(url), with_port(url)].iter().any(|url| {
            let mut text = String::with_capacity(url.len() + 512);
            text.push_str(url);
            for (name, value) in fields {
                text.push_str(name);
                text.push_str(value);
            }
            hmac::verify(&self.key, text.as_bytes(), signature).is_ok()
        })
    }

    fn kind(&self, status: &str, code: Option<&str>) -> ReceiptKind {
        match (self.words.read)(status) {
            Status::Progress => ReceiptKind::Progress,
            Status::Delivered => ReceiptKind::Delivered,
            Status::Opened => ReceiptKind::Opened,
            Status::Failed => {
                let rule = code.and_then(|code| self.table.rule_of(code)).or_else(|| self.table.rule_of(status));
                let word = rule.map(|rule| rule.outcome);
                ReceiptKind::Bounced {
                    is_gone: word == Some(OutcomeWord::DeadRecipient),
                    is_opt_out: word == Some(OutcomeWord::OptedOut),
                }
            }
        }
    }
}

#[async_trait]
impl ReceiptReader for Callbacks {
    async fn read(&self, post: &ReceiptPost) -> Result<Receipts, ReceiptError> {
        let fields = self.fields(post)?;
        let field = |name: &str| fields.iter().find(|(found, _)| found == name).map(|(_, value)| &**value);
        let status = field(self.words.status).ok_or(ReceiptError::Unreadable("it has no status"))?;
        let code = field("ErrorCode").filter(|code| is_code(code) && *code != "0");
        let task = form_urlencoded::parse(post.query.as_bytes())
            .find(|(name, _)| name == "task")
            .and_then(|(_, id)| id.parse().ok());
        let kind = self.kind(status, code);
        let reason = match kind {
            ReceiptKind::Bounced { .. } => code.or(Some(status).filter(|status| is_code(status))).map(Into::into),
            _ => None,
        };
        let receipt = Receipt {
            task,
            provider_message_id: field(self.words.sid).map(Into::into),
            kind,
            at: field("Timestamp").and_then(rfc_2822).unwrap_or(post.now),
            reason,
            event_id: None,
            by_machine: false,
        };
        Ok(Receipts { receipts: vec![receipt], answer: None })
    }
}

/// `Fri, 21 Nov 2026 12:00:00 +0000`: calls say when it was, messages do not.
fn rfc_2822(text: &str) -> Option<Timestamp> {
    let millis = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond();
    u64::try_from(millis).ok().map(Timestamp)
}

fn signature(headers: &HeaderMap) -> Option<Vec<u8>> {
    STANDARD.decode(headers.get(SIGNATURE)?.as_bytes()).ok()
}

/// Scheme with `://`, host, port, and the rest.
fn taken_apart(url: &str) -> Option<(&str, &str, Option<&str>, &str)> {
    let host_start = url.find("://")? + 3;
    let host_end = url[host_start..].find(['/', '?', '#']).map_or(url.len(), |at| host_start + at);
    let (authority, rest) = (&url[host_start..host_end], &url[host_end..]);
    // A colon within brackets is one of an IPv6 address.
    let colon = authority.rfind(':').filter(|colon| authority.rfind(']').is_none_or(|bracket| bracket < *colon));
    let (host, port) = colon.map_or((authority, None), |colon| (&authority[..colon], Some(&authority[colon + 1..])));
    Some((&url[..host_start], host, port, rest))
}

fn without_port(url: &str) -> Cow<'_, str> {
    match taken_apart(url) {
        Some((scheme, host, Some(_), rest)) => format!("{scheme}{host}{rest}").into(),
        _ => url.into(),
    }
}

fn with_port(url: &str) -> Cow<'_, str> {
    match taken_apart(url) {
        Some((scheme, host, None, rest)) => {
            let port = if scheme == "http://" { 80 } else { 443 };
            format!("{scheme}{host}:{port}{rest}").into()
        }
        _ => url.into(),
    }
}

#[cfg(test)]
mod tests;
