//! The provider `mailgun`: mails over its Messages API
//! (<https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages>), and its webhooks.

mod form;
mod receipts;

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;

use self::form::Form;
use self::receipts::Reader;
use super::http::{Answer, Api};
use super::mail_api::{Sender, TASK, recipient, text};
use super::mail_headers::extra_headers;
use super::outcome::{self, Form as AnswerForm, Said, Table};
use super::receipts::ReceiptReader;
use super::wire::hex;
use super::{BuildContext, Provider, SharedProvider, options};
use crate::clock::SharedClock;
use crate::config;
use crate::domain::{Channel, Message, Outcome};
use crate::providers::mark::Mark;

/// The keys of `options`.
pub(super) const OPTIONS: &[&str] = &["domain", "region", "test_mode", "unsubscribe_mailto"];

pub(super) struct Mailgun {
    name: String,
    channels: Vec<Channel>,
    api: Api,
    clock: SharedClock,
    mark: Mark,
    table: Table,
    from: String,
    sender: Sender,
    path: String,
    /// Those of every request.
    headers: HeaderMap,
    /// What stands between the fields of a form: nobody who writes a text can know it.
    boundary: String,
    is_test: bool,
    unsubscribe_mailto: Option<String>,
    reader: Option<Reader>,
}

impl Mailgun {
    pub(super) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        let domain = options::text(settings, "domain")?;
        let domain = domain.ok_or("`options.domain` is missing: write the sending domain, \"mg.example.com\"")?;
        if !domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)) {
            return Err(format!("`options.domain` is no domain: `{domain}`"));
        }
        let usual = match options::text(settings, "region")? {
            None | Some("us") => "https://api.mailgun.net",
            Some("eu") => "https://api.eu.mailgun.net",
            Some(region) => return Err(format!("`options.region` is \"us\" or \"eu\", not `{region}`")),
        };
        let sender = Sender::read(settings)?;
        let boundary = boundary()?;
        let table = Table::new("mailgun", &settings.outcomes);
        let mark = Mark::of(&context.public_url);
        let reader = settings.receipt_secret.as_ref().map(|secret| Reader::new(secret, table.clone(), mark.clone()));
        Ok(Arc::new(Self {
            name: settings.name.clone(),
            channels,
            api: Api::new(settings, context, usual)?,
            clock: context.clock.clone(),
            mark,
            table,
            from: settings.from.clone().unwrap_or_default(),
            sender,
            path: format!("/v3/{domain}/messages"),
            headers: headers(settings, &boundary)?,
            boundary,
            is_test: options::switch(settings, "test_mode")?,
            unsubscribe_mailto: options::text(settings, "unsubscribe_mailto")?.map(Into::into),
            reader,
        }))
    }

    fn body(&self, message: &Message, to: &str) -> Vec<u8> {
        let parts = &message.parts;
        let files: usize = message.attachments.iter().map(|file| file.content.len() + 256).sum();
        let size = 2048 + parts.title.len() + parts.body.len() + parts.html.as_deref().map_or(0, str::len) + files;
        let mut form = Form::new(&self.boundary, size);
        form.field("from", &self.from);
        form.field("to", to);
        form.field("subject", &parts.title);
        if let Some(text) = text(message) {
            form.field("text", text);
        }
        if let Some(html) = &parts.html {
            form.field("html", html);
        }
        for (name, value) in extra_headers(message, self.sender.host(), self.unsubscribe_mailto.as_deref()) {
            form.field(&format!("h:{name}"), &value);
        }
        // It comes back with each receipt.
        form.field(&format!("v:{TASK}"), &self.mark.carry(message.task));
        if self.is_test {
            form.field("o:testmode", "yes");
        }
        for file in &message.attachments {
            form.file("attachment", file);
        }
        form.finish()
    }

    fn judge(&self, answer: &Answer) -> Outcome {
        let said: Option<Answered> = serde_json::from_slice(&answer.body).ok();
        let message_id = said.as_ref().map(|said| bare(&said.id));
        if let Some(doubt) = outcome::doubt(answer, message_id.is_some(), &[StatusCode::OK], AnswerForm::Json) {
            return doubt;
        }
        let retry_after = outcome::retry_after(&answer.headers, self.clock.now());
        self.table.judge(&Said { codes: &[], status: answer.status, retry_after, message_id })
    }
}

fn headers(settings: &config::Provider, boundary: &str) -> Result<HeaderMap, String> {
    let key = settings.api_key.as_ref().ok_or("`api_key` is missing: take a sending key of the domain")?;
    let basic = format!("Basic {}", STANDARD.encode(format!("api:{}", key.expose().trim())));
    let mut basic = HeaderValue::from_str(&basic).map_err(|error| error.to_string())?;
    basic.set_sensitive(true);
    let kind = format!("multipart/form-data; boundary={boundary}");
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(AUTHORIZATION, basic);
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(&kind).map_err(|error| error.to_string())?);
    Ok(headers)
}

/// Letters and digits, of 128 random bits.
fn boundary() -> Result<String, String> {
    let mut random = [0; 16];
    SystemRandom::new().fill(&mut random).map_err(|_| "the system gives no random bytes".to_owned())?;
    Ok(hex(&random))
}

/// An id without its angle brackets: the API has them, and the receipts have not.
fn bare(id: &str) -> &str {
    id.trim().trim_start_matches('<').trim_end_matches('>')
}

#[async_trait]
impl Provider for Mailgun {
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
        match self.api.send(Method::POST, &self.path, self.headers.clone(), body).await {
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

#[derive(Deserialize)]
struct Answered {
    id: String,
}

#[cfg(test)]
mod tests;
