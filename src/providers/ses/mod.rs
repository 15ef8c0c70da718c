//! The provider `ses`: mails over Amazon SES, API version 2
//! (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>); its receipts come by SNS.

mod receipts;

use std::sync::Arc;

use async_trait::async_trait;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use self::receipts::Reader;
use super::aws::{Signer, read_signer};
use super::http::{Answer, Api};
use super::mail_api::{Base64, Sender, TASK, recipient, text};
use super::mail_headers::extra_headers;
use super::mark::Mark;
use super::outcome::{self, Form, Said, Table};
use super::receipts::ReceiptReader;
use super::sns_message::SnsMessages;
use super::{BuildContext, Provider, SharedProvider, options};
use crate::clock::SharedClock;
use crate::config;
use crate::domain::{Channel, Message, Outcome};

/// The keys of `options`.
pub(super) const OPTIONS: &[&str] = &["region", "configuration_set", "topic_arn", "sns_url", "unsubscribe_mailto"];

const PATH: &str = "/v2/email/outbound-emails";
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ERROR_TYPE: &str = "x-amzn-errortype";
/// Our id once more: what an identity tells by itself, without a configuration set, carries no tags but may carry headers.
const TASK_HEADER: &str = "X-Fanfare-Task";

pub(super) struct Ses {
    name: String,
    channels: Vec<Channel>,
    api: Api,
    clock: SharedClock,
    signer: Signer,
    mark: Mark,
    table: Table,
    /// As the header `From` has it.
    from: String,
    sender: Sender,
    configuration_set: Option<String>,
    unsubscribe_mailto: Option<String>,
    reader: Option<Reader>,
}

impl Ses {
    pub(super) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        let signer = read_signer(settings, "ses")?;
        let sender = Sender::read(settings)?;
        let table = Table::new("ses", &settings.outcomes);
        let messages = SnsMessages::read(settings, context)?;
        let mark = Mark::of(&context.public_url);
        Ok(Arc::new(Self {
            name: settings.name.clone(),
            channels,
            api: Api::new(settings, context, &signer.usual_url("email"))?,
            clock: context.clock.clone(),
            signer,
            reader: messages.map(|messages| Reader::new(messages, table.clone(), mark.clone())),
            mark,
            table,
            from: sender.encoded(),
            sender,
            configuration_set: options::text(settings, "configuration_set")?.map(Into::into),
            unsubscribe_mailto: options::text(settings, "unsubscribe_mailto")?.map(Into::into),
        }))
    }

    fn body(&self, message: &Message, to: &str) -> Vec<u8> {
        let task = self.mark.carry(message.task);
        let extra = extra_headers(message, self.sender.host(), self.unsubscribe_mailto.as_deref());
        let extra = extra.iter().map(|(name, value)| Named { name, value });
        let attachments = message.attachments.iter().map(|file| Attachment {
            raw_content: Base64(&file.content),
            file_name: &file.name,
            content_type: &file.media_type,
            content_disposition: "ATTACHMENT",
            content_transfer_encoding: "BASE64",
        });
        let request = SendEmail {
            from_email_address: &self.from,
            destination: Destination { to_addresses: [to] },
            content: Content {
                simple: Simple {
                    subject: Data::of(&message.parts.title),
                    body: Body { text: text(message).map(Data::of), html: message.parts.html.as_deref().map(Data::of) },
                    headers: extra.chain([Named { name: TASK_HEADER, value: &task }]).collect(),
                    attachments: attachments.collect(),
                },
            },
            // Letters, digits, `_` and `-` are all that a tag may hold: those of an id do.
            email_tags: [Tag { name: TASK, value: &task }],
            configuration_set_name: self.configuration_set.as_deref(),
        };
        serde_json::to_vec(&request).expect("texts are JSON")
    }

    fn judge(&self, answer: &Answer) -> Outcome {
        let said: Answered = serde_json::from_slice(&answer.body).unwrap_or_default();
        let header = answer.headers.get(ERROR_TYPE).and_then(|value| value.to_str().ok());
        let named = header.or(said.kind.as_deref()).unwrap_or_default();
        // `com.amazonaws.sesv2#MessageRejected`, `MessageRejected:http://…`
        let name = named.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default().trim();
        let sentence = said.message.as_deref().unwrap_or_default().split('.').next().unwrap_or_default().trim();
        // A sentence may name an address: it counts, and is shown, only where the table knows it.
        let exact = Some(format!("{name} {sentence}")).filter(|code| self.table.rule_of(code).is_some());
        let codes: Vec<&str> = exact.as_deref().into_iter().chain([name]).filter(|code| !code.is_empty()).collect();
        let retry_after = outcome::retry_after(&answer.headers, self.clock.now());
        let message_id = said.message_id.as_deref();
        if let Some(doubt) = outcome::doubt(answer, message_id.is_some(), &[StatusCode::OK], Form::Json) {
            return doubt;
        }
        self.table.judge(&Said { codes: &codes, status: answer.status, retry_after, message_id })
    }
}

#[async_trait]
impl Provider for Ses {
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
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(CONTENT_TYPE, JSON);
        let path = self.api.path(PATH);
        let signed = self.signer.sign(&Method::POST, self.api.host(), &path, &mut headers, &body, self.clock.now());
        if let Err(reason) = signed {
            return Outcome::Config { reason: reason.into() };
        }
        match self.api.send(Method::POST, PATH, headers, body).await {
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
#[serde(rename_all = "PascalCase")]
struct SendEmail<'a> {
    from_email_address: &'a str,
    destination: Destination<'a>,
    content: Content<'a>,
    email_tags: [Tag<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration_set_name: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Destination<'a> {
    to_addresses: [&'a str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Content<'a> {
    simple: Simple<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Simple<'a> {
    subject: Data<'a>,
    body: Body<'a>,
    headers: Vec<Named<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Attachment<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Data<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<Data<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Data<'a> {
    data: &'a str,
    charset: &'static str,
}

impl<'a> Data<'a> {
    fn of(data: &'a str) -> Self {
        Self { data, charset: "UTF-8" }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tag<'a> {
    name: &'static str,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Attachment<'a> {
    raw_content: Base64<'a>,
    file_name: &'a str,
    content_type: &'a str,
    content_disposition: &'static str,
    content_transfer_encoding: &'static str,
}

/// An answer, of success or not.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answered {
    #[serde(rename = "MessageId")]
    message_id: Option<String>,
    #[serde(rename = "__type")]
    kind: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

#[cfg(test)]
mod tests;
