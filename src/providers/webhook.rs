//! The provider `webhook`: a POST of the message as JSON, signed as the Standard Webhooks specification 1.0 says
//! (<https://github.com/standard-webhooks/standard-webhooks>).

mod receipts;

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use ring::hmac;

use self::receipts::Inbox;
use super::http::{Answer, HttpClient};
use super::outcome::{self, Said, Table};
use super::tls::client_tls;
use super::{BuildContext, Provider, ReceiptReader, SharedProvider};
use crate::clock::SharedClock;
use crate::config;
use crate::domain::{Address, Channel, Message, Outcome, Timestamp};

pub(super) struct Webhook {
    name: String,
    channels: Vec<Channel>,
    client: HttpClient,
    clock: SharedClock,
    table: Table,
    inbox: Option<Inbox>,
    /// Several while a secret is being changed: the receiver may check any of them.
    keys: Vec<hmac::Key>,
}

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// "24 to 64 bytes" (Standard Webhooks, symmetric signatures).
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

impl Webhook {
    pub(super) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        let keys = read_secrets("signing_secret", settings.signing_secret.as_ref())?;
        // Not `signing_secret`: whoever receives our messages has it, and could write receipts of them with it.
        let keys_of_receipts = read_secrets("receipt_secret", settings.receipt_secret.as_ref())?;
        let table = Table::new("webhook", &settings.outcomes);
        let inbox = (!keys_of_receipts.is_empty()).then(|| Inbox::new(keys_of_receipts, table.clone()));
        let client = HttpClient::new(
            context.guard.clone(),
            context.clock.clone(),
            client_tls(settings.ca_file.as_deref(), None, &[])?,
            settings.max_in_flight,
        )
        .within(settings.timeout);
        let name = settings.name.clone();
        Ok(Arc::new(Self { name, channels, client, clock: context.clock.clone(), table, inbox, keys }))
    }

    /// The status decides, and nothing of what the endpoint says besides.
    fn judge(&self, answer: &Answer, now: Timestamp) -> Outcome {
        let retry_after = outcome::retry_after(&answer.headers, now);
        self.table.judge(&Said { codes: &[], status: answer.status, retry_after, message_id: None })
    }

    fn headers(&self, id: &str, seconds: u64, body: &[u8]) -> Result<HeaderMap, String> {
        let text = |text: &str| HeaderValue::from_str(text).map_err(|error| error.to_string());
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(ID, text(id)?);
        let timestamp = seconds.to_string();
        if !self.keys.is_empty() {
            headers.insert(SIGNATURE, text(&self.sign(id, &timestamp, body))?);
        }
        headers.insert(TIMESTAMP, text(&timestamp)?);
        Ok(headers)
    }

    /// `v1,<base64 of HMAC-SHA256 over id.timestamp.body>`, one for each secret, separated by spaces.
    fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut signatures = String::with_capacity(48 * self.keys.len());
        for key in &self.keys {
            let mut context = hmac::Context::with_key(key);
            for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
                context.update(part);
            }
            if !signatures.is_empty() {
                signatures.push(' ');
            }
            signatures.push_str("v1,");
            STANDARD.encode_string(context.sign(), &mut signatures);
        }
        signatures
    }
}

/// One, or several with spaces between them.
fn read_secrets(name: &str, secrets: Option<&config::Secret>) -> Result<Vec<hmac::Key>, String> {
    let secrets = secrets.map_or("", |secrets| secrets.expose());
    secrets.split_whitespace().map(|secret| read_secret(name, secret)).collect()
}

fn read_secret(name: &str, text: &str) -> Result<hmac::Key, String> {
    let secret = text.strip_prefix("whsec_").unwrap_or(text);
    let bytes = STANDARD.decode(secret).map_err(|_| format!("`{name}` is not `whsec_` and base64"))?;
    if !SECRET_BYTES.contains(&bytes.len()) {
        return Err(format!("`{name}` has {} bytes: take 24 to 64", bytes.len()));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[async_trait]
impl Provider for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    async fn send(&self, message: &Message) -> Outcome {
        let Address::Url(url) = &message.address else {
            return Outcome::BadRequest { reason: "a webhook needs a URL".into() };
        };
        let target = match self.client.target(url) {
            Ok(target) => target,
            Err(failure) => return outcome::no_answer(failure),
        };
        let id = message.task.to_string();
        let body = body(message, &id);
        let now = self.clock.now();
        let headers = match self.headers(&id, now.millis() / 1000, &body) {
            Ok(headers) => headers,
            Err(reason) => return Outcome::BadRequest { reason: reason.into() },
        };
        match self.client.post(&target, headers, body).await {
            Ok(answer) => self.judge(&answer, now),
            Err(failure) => outcome::no_answer(failure),
        }
    }

    fn receipts(&self) -> Option<&dyn ReceiptReader> {
        self.inbox.as_ref().map(|inbox| inbox as &dyn ReceiptReader)
    }

    async fn check(&self) -> Result<(), String> {
        // Each message brings its own address; there is nothing to reach beforehand.
        Ok(())
    }
}

/// `{id, task_id, title, body, data, metadata}`; the last two are JSON already.
fn body(message: &Message, task_id: &str) -> Bytes {
    let parts = &message.parts;
    let size = 160 + parts.title.len() + parts.body.len() + message.data.len() + message.metadata.len();
    let mut body = BytesMut::with_capacity(size);
    body.put_slice(b"{\"id\":\"");
    body.put_slice(message.task.notification().to_string().as_bytes());
    body.put_slice(b"\",\"task_id\":\"");
    body.put_slice(task_id.as_bytes());
    body.put_slice(b"\",\"title\":");
    put_json(&mut body, &parts.title);
    body.put_slice(b",\"body\":");
    put_json(&mut body, &parts.body);
    body.put_slice(b",\"data\":");
    body.put_slice(message.data.as_bytes());
    body.put_slice(b",\"metadata\":");
    body.put_slice(message.metadata.as_bytes());
    body.put_u8(b'}');
    body.freeze()
}

fn put_json(body: &mut BytesMut, text: &str) {
    let written = serde_json::to_writer(body.writer(), text);
    written.expect("text is JSON, and a buffer takes all bytes");
}

#[cfg(test)]
mod tests;
