//! The provider `sns_sms`: text messages over Amazon SNS
//! (<https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>). What became of them stands in Amazon's logs alone: there are no
//! receipts.

use std::sync::Arc;

use async_trait::async_trait;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use url::form_urlencoded::Serializer;

use super::aws::{Signer, read_signer};
use super::http::{Answer, Api};
use super::outcome::{self, Form, Said, Table};
use super::{BuildContext, Provider, SharedProvider, options};
use crate::clock::SharedClock;
use crate::config;
use crate::domain::{Address, Channel, Message, Outcome, Priority};

/// The keys of `options`.
pub(super) const OPTIONS: &[&str] = &["region", "max_price", "promotional"];

const PATH: &str = "/";
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
/// The categories that are advertising where `options.promotional` names none.
const PROMOTIONAL: &str = "marketing";
/// "Up to 11 alphanumeric characters", one of them a letter.
const SENDER_ID_MAX: usize = 11;
/// The digits of a number (E.164).
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

pub(super) struct SnsSms {
    name: String,
    channels: Vec<Channel>,
    api: Api,
    clock: SharedClock,
    signer: Signer,
    table: Table,
    /// The name of its attribute, and who it comes from.
    from: Option<(&'static str, String)>,
    /// In dollars; the most that one message may cost.
    max_price: Option<String>,
    promotional: Vec<String>,
}

impl SnsSms {
    pub(super) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        let signer = read_signer(settings, "sns")?;
        let max_price = options::text(settings, "max_price")?;
        if max_price.is_some_and(|price| !price.parse::<f64>().is_ok_and(|price| price > 0.0 && price.is_finite())) {
            return Err("`options.max_price` is an amount in dollars: write it as \"0.50\"".into());
        }
        let promotional = match settings.options.get("promotional") {
            None => vec![PROMOTIONAL.to_owned()],
            Some(_) => options::texts(settings, "promotional")?,
        };
        Ok(Arc::new(Self {
            name: settings.name.clone(),
            channels,
            api: Api::new(settings, context, &signer.usual_url("sns"))?,
            clock: context.clock.clone(),
            signer,
            table: Table::new("sns_sms", &settings.outcomes),
            from: settings.from.as_deref().map(read_from).transpose()?,
            max_price: max_price.map(Into::into),
            promotional,
        }))
    }

    fn body(&self, message: &Message, phone: &str) -> String {
        let attributes = [
            Some(("AWS.SNS.SMS.SMSType", "String", self.kind(message))),
            self.from.as_ref().map(|(name, from)| (*name, "String", from.as_str())),
            self.max_price.as_deref().map(|price| ("AWS.SNS.SMS.MaxPrice", "Number", price)),
        ];
        let mut form = Serializer::new(String::with_capacity(512 + 3 * message.parts.sms_text().len()));
        form.append_pair("Action", "Publish").append_pair("Version", "2010-03-31");
        form.append_pair("PhoneNumber", phone).append_pair("Message", message.parts.sms_text());
        for (index, (name, kind, value)) in attributes.into_iter().flatten().enumerate() {
            let entry = format!("MessageAttributes.entry.{}", index + 1);
            form.append_pair(&format!("{entry}.Name"), name);
            form.append_pair(&format!("{entry}.Value.DataType"), kind);
            form.append_pair(&format!("{entry}.Value.StringValue"), value);
        }
        form.finish()
    }

    /// Amazon sends what is transactional over better and dearer routes. What is urgent is that whatever its category says, and what
    /// has time never is.
    fn kind(&self, message: &Message) -> &'static str {
        let category = message.category.as_deref();
        let is_promotional = match message.priority {
            Priority::Critical => false,
            Priority::Low => true,
            Priority::High | Priority::Normal => self.promotional.iter().any(|name| category == Some(name)),
        };
        if is_promotional { "Promotional" } else { "Transactional" }
    }

    fn judge(&self, answer: &Answer) -> Outcome {
        let text = String::from_utf8_lossy(&answer.body);
        let code = if answer.status.is_success() { None } else { element(&text, "Code") };
        let retry_after = outcome::retry_after(&answer.headers, self.clock.now());
        let message_id = element(&text, "MessageId");
        if let Some(doubt) = outcome::doubt(answer, message_id.is_some(), &[StatusCode::OK], Form::Xml) {
            return doubt;
        }
        self.table.judge(&Said { codes: code.as_slice(), status: answer.status, retry_after, message_id })
    }
}

#[async_trait]
impl Provider for SnsSms {
    fn name(&self) -> &str {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    async fn send(&self, message: &Message) -> Outcome {
        let Address::Phone(phone) = &message.address else {
            return Outcome::BadRequest { reason: "a text message needs a phone number".into() };
        };
        if !is_e164(phone) {
            return Outcome::BadRequest { reason: "the number is not written as +491701234567 (E.164)".into() };
        }
        let body = self.body(message, phone);
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(CONTENT_TYPE, FORM);
        let (path, now) = (self.api.path(PATH), self.clock.now());
        let signed = self.signer.sign(&Method::POST, self.api.host(), &path, &mut headers, body.as_bytes(), now);
        if let Err(reason) = signed {
            return Outcome::Config { reason: reason.into() };
        }
        match self.api.send(Method::POST, PATH, headers, body).await {
            Ok(answer) => self.judge(&answer),
            Err(failure) => outcome::no_answer(failure),
        }
    }

    async fn check(&self) -> Result<(), String> {
        self.api.reach().await
    }
}

fn read_from(text: &str) -> Result<(&'static str, String), String> {
    if is_e164(text) {
        return Ok(("AWS.MM.SMS.OriginationNumber", text.to_owned()));
    }
    let is_name = (1..=SENDER_ID_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    if !is_name {
        return Err(format!(
            "`from` is no sender: `{text}`; write a name of up to 11 letters and digits, or a number as +1…"
        ));
    }
    Ok(("AWS.SNS.SMS.SenderID", text.to_owned()))
}

fn is_e164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    DIGITS.contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// What stands within an element of a reply; those that are looked for hold plain text and stand there once.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
