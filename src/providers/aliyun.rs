//! The provider `aliyun_sms`: Alibaba Cloud SMS (Dysmsapi 2017-05-25, SendSms). Texts are templates that were approved there: a
//! message is the code of one and its parameters.
//!
//! <https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature>

mod receipts;
mod signature;
mod templates;

use std::sync::Arc;

use async_trait::async_trait;
use hyper::Method;
use serde::Deserialize;

use self::receipts::Reports;
use self::signature::{Signer, percent_encoded};
use self::templates::Templates;
use super::http::{Answer, Api};
use super::outcome::{self, Said, Table};
use super::{BuildContext, Provider, ReceiptReader, SharedProvider, needs};
use crate::clock::SharedClock;
use crate::config;
use crate::domain::{Address, Channel, Message, Outcome};
use crate::providers::mark::Mark;

pub(super) struct AliyunSms {
    name: String,
    channels: Vec<Channel>,
    api: Api,
    clock: SharedClock,
    mark: Mark,
    table: Table,
    signer: Signer,
    /// The signature that was approved for the account, in the words of the place: who the text comes from.
    sign_name: String,
    templates: Templates,
    reports: Option<Reports>,
}

const USUAL_URL: &str = "https://dysmsapi.aliyuncs.com";

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Said200 {
    code: Option<String>,
    biz_id: Option<String>,
}

impl AliyunSms {
    pub(super) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        let key_id = needs::text(settings.username.as_ref(), "username", "the AccessKey's id")?;
        let secret = needs::secret(settings.password.as_ref(), "password", "the AccessKey's secret")?;
        let sign_name = needs::text(settings.from.as_ref(), "from", "the approved signature (SignName)")?.to_owned();
        let table = Table::new("aliyun_sms", &settings.outcomes);
        let secret_of_reports =
            settings.receipt_secret.as_ref().map(|secret| secret.expose()).filter(|secret| !secret.is_empty());
        let mark = Mark::of(&context.public_url);
        Ok(Arc::new(Self {
            name: settings.name.clone(),
            channels,
            api: Api::new(settings, context, USUAL_URL)?,
            clock: context.clock.clone(),
            signer: Signer::new(key_id, secret),
            sign_name,
            templates: Templates::read(settings.options.get("templates"))?,
            reports: secret_of_reports.map(|secret| Reports::new(secret, table.clone(), mark.clone())),
            mark,
            table,
        }))
    }

    /// The query, sorted by name as it is signed.
    fn query(&self, message: &Message, number: &str) -> Result<String, Box<str>> {
        let (template, parameters) = self.templates.filled(message)?;
        let fields = [
            ("OutId", self.mark.carry(message.task)),
            // Numbers go without the plus: 8613…, 852….
            ("PhoneNumbers", number.trim_start_matches('+').to_owned()),
            ("SignName", self.sign_name.clone()),
            ("TemplateCode", template.to_owned()),
            ("TemplateParam", parameters),
        ];
        let mut query = String::with_capacity(384);
        for (name, value) in &fields {
            if !query.is_empty() {
                query.push('&');
            }
            query.push_str(name);
            query.push('=');
            percent_encoded(value, &mut query);
        }
        Ok(query)
    }

    fn judge(&self, answer: &Answer) -> Outcome {
        let said: Said200 = serde_json::from_slice(&answer.body).unwrap_or_default();
        // Failures too come with 200: without a code nobody knows, and to send again would be to send twice.
        if answer.status.is_success() && said.code.is_none() {
            return Outcome::Unknown { reason: "the provider's answer has no code".into() };
        }
        self.table.judge(&Said {
            codes: said.code.as_deref().as_slice(),
            status: answer.status,
            retry_after: outcome::retry_after(&answer.headers, self.clock.now()),
            message_id: said.biz_id.as_deref(),
        })
    }
}

#[async_trait]
impl Provider for AliyunSms {
    fn name(&self) -> &str {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    async fn send(&self, message: &Message) -> Outcome {
        let Address::Phone(number) = &message.address else {
            return Outcome::BadRequest { reason: "the address is no phone number".into() };
        };
        let query = match self.query(message, number) {
            Ok(query) => query,
            Err(reason) => return Outcome::BadRequest { reason },
        };
        let now = self.clock.now();
        // No two requests have the same, and nothing of chance is needed for that.
        let nonce = signature::nonce(&format!("{} {} {}", message.task, message.attempt, now.millis()));
        let request = signature::Request {
            method: "POST",
            path: &self.api.path("/"),
            query: &query,
            host: self.api.host(),
            action: "SendSms",
            version: "2017-05-25",
            date: &signature::date(now),
            nonce: &nonce,
            body: b"",
        };
        let headers = match self.signer.headers(&request) {
            Ok(headers) => headers,
            Err(reason) => return Outcome::Config { reason: reason.into() },
        };
        match self.api.send(Method::POST, &format!("/?{query}"), headers, "").await {
            Ok(answer) => self.judge(&answer),
            Err(failure) => outcome::no_answer(failure),
        }
    }

    fn receipts(&self) -> Option<&dyn ReceiptReader> {
        self.reports.as_ref().map(|reports| reports as &dyn ReceiptReader)
    }

    async fn check(&self) -> Result<(), String> {
        self.api.reach().await
    }
}

#[cfg(test)]
mod tests;
