//! The provider `sendgrid`: mails over the Mail Send API, version 3
//! (<https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send>), and its event webhook.

mod receipts;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use serde::{Serialize, Serializer};

use self::receipts::Reader;
use super::http::{Answer, Api};
use super::mail_api::{Base64, Sender, recipient, text};
use super::mail_headers::extra_headers;
use super::mark::Mark;
use super::outcome::{self, Form, Said, Table};
use super::receipts::ReceiptReader;
use super::{BuildContext, Provider, SharedProvider, options};
use crate::clock::SharedClock;
use crate::config;
use crate::domain::{Channel, Message, Outcome, Timestamp};

/// The keys of `options`.
pub(super) const OPTIONS: &[&str] = &["sandbox_mode", "ip_pool", "unsubscribe_group", "unsubscribe_mailto"];

const USUAL: &str = "https://api.sendgrid.com";
const PATH: &str = "/v3/mail/send";
/// Its own id of a mail: receipts begin theirs with it.
const MESSAGE_ID: &str = "x-message-id";
/// When its rate is given anew, in seconds since 1970.
const RATE_RESET: &str = "x-ratelimit-reset";

pub(super) struct SendGrid {
    name: String,
    channels: Vec<Channel>,
    api: Api,
    clock: SharedClock,
    mark: Mark,
    table: Table,
    sender: Sender,
    /// Those of every request.
    headers: HeaderMap,
    ip_pool: Option<String>,
    unsubscribe_group: Option<i64>,
    unsubscribe_mailto: Option<String>,
    is_sandbox: bool,
    reader: Option<Reader>,
}

impl SendGrid {
    pub(super) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        let key = settings.api_key.as_ref().ok_or("`api_key` is missing: make one that may send mails (Mail Send)")?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", key.expose().trim()));
        let mut bearer = bearer.map_err(|_| "`api_key` has characters that no key has".to_owned())?;
        bearer.set_sensitive(true);
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(AUTHORIZATION, bearer);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let table = Table::new("sendgrid", &settings.outcomes);
        let secret = settings.receipt_secret.as_ref();
        let mark = Mark::of(&context.public_url);
        let reader = secret.map(|secret| Reader::new(secret, table.clone(), mark.clone())).transpose()?;
        Ok(Arc::new(Self {
            name: settings.name.clone(),
            channels,
            api: Api::new(settings, context, USUAL)?,
            clock: context.clock.clone(),
            mark,
            table,
            sender: Sender::read(settings)?,
            headers,
            ip_pool: options::text(settings, "ip_pool")?.map(Into::into),
            unsubscribe_group: options::number(settings, "unsubscribe_group", 1..=i64::MAX)?,
            unsubscribe_mailto: options::text(settings, "unsubscribe_mailto")?.map(Into::into),
            is_sandbox: options::switch(settings, "sandbox_mode")?,
            reader,
        }))
    }

    fn body(&self, message: &Message, to: &str) -> Vec<u8> {
        let plain = text(message).map(|value| Content { kind: "text/plain", value });
        let html = message.parts.html.as_deref().map(|value| Content { kind: "text/html", value });
        let attachments = message.attachments.iter().map(|file| Attachment {
            content: Base64(&file.content),
            kind: &file.media_type,
            filename: &file.name,
            disposition: "attachment",
        });
        let mail = Mail {
            personalizations: [Personalization { to: [Person { email: to, name: None }] }],
            from: Person { email: self.sender.address(), name: self.sender.name() },
            subject: &message.parts.title,
            content: [plain, html].into_iter().flatten().collect(),
            attachments: attachments.collect(),
            headers: extra_headers(message, self.sender.host(), self.unsubscribe_mailto.as_deref()),
            custom_args: CustomArgs { task: self.mark.carry(message.task) },
            ip_pool_name: self.ip_pool.as_deref(),
            asm: self.unsubscribe_group.map(|group_id| Asm { group_id }),
            mail_settings: self.is_sandbox.then_some(MailSettings { sandbox_mode: Switch { enable: true } }),
        };
        serde_json::to_vec(&mail).expect("texts and numbers are JSON")
    }

    fn judge(&self, answer: &Answer) -> Outcome {
        let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
        // 200 means that it was looked at, and is not delivered.
        let usual = if self.is_sandbox { StatusCode::OK } else { StatusCode::ACCEPTED };
        if let Some(doubt) = outcome::doubt(answer, header(MESSAGE_ID).is_some(), &[usual], Form::Json) {
            return doubt;
        }
        let now = self.clock.now();
        let reset = || Some(Timestamp(header(RATE_RESET)?.trim().parse::<u64>().ok()?.checked_mul(1000)?).since(now));
        let retry_after = outcome::retry_after(&answer.headers, now)
            .or_else(|| if answer.status.as_u16() == 429 { reset() } else { None })
            .filter(|wait| *wait > Duration::ZERO);
        self.table.judge(&Said { codes: &[], status: answer.status, retry_after, message_id: header(MESSAGE_ID) })
    }
}

#[async_trait]
impl Provider for SendGrid {
    fn name(&self) -> &str {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    async fn send(&self, message: &Message) -> Outcome {
        let to = match recipient(message) {
            Ok(to) => to,
            Err(refused) => return refused,
        };
        let body = self.body(message, to);
        match self.api.send(Method::POST, PATH, self.headers.clone(), body).await {
            Ok(answer) => self.judge(&answer),
            Err(failure) => outcome::no_answer(failure),
        }
    }

    fn receipts(&self) -> Option<&dyn ReceiptReader> {
        self.reader.as_ref().map(|reader| reader as &dyn ReceiptReader)
    }

    async fn check(&self) -> Result<(), String> {
        self.api.reach().await
    }
}

#[derive(Serialize)]
struct Mail<'a> {
    personalizations: [Personalization<'a>; 1],
    from: Person<'a>,
    subject: &'a str,
    /// The text first: "text/plain must be first".
    content: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Attachment<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_object")]
    headers: Vec<(&'static str, String)>,
    /// They come back with each receipt.
    custom_args: CustomArgs,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_pool_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asm: Option<Asm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mail_settings: Option<MailSettings>,
}

#[derive(Serialize)]
struct Personalization<'a> {
    to: [Person<'a>; 1],
}

#[derive(Serialize)]
struct Person<'a> {
    email: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    value: &'a str,
}

#[derive(Serialize)]
struct Attachment<'a> {
    content: Base64<'a>,
    #[serde(rename = "type")]
    kind: &'a str,
    filename: &'a str,
    disposition: &'static str,
}

#[derive(Serialize)]
struct CustomArgs {
    /// [`super::mail_api::TASK`]
    task: String,
}

#[derive(Serialize)]
struct Asm {
    group_id: i64,
}

#[derive(Serialize)]
struct MailSettings {
    sandbox_mode: Switch,
}

#[derive(Serialize)]
struct Switch {
    enable: bool,
}

fn as_object<S: Serializer>(headers: &[(&'static str, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|(name, value)| (name, value)))
}

#[cfg(test)]
mod tests;
