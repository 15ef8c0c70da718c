//! Twilio: text messages and calls. One form is posted for each message; what became of it is posted back.
//!
//! <https://www.twilio.com/docs/messaging/api/message-resource>, <https://www.twilio.com/docs/voice/api/call-resource>

mod sms;
mod voice;
mod callbacks;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use url::{Host, Url};

pub(super) use sms::TwilioSms;
pub(super) use voice::TwilioVoice;

use self::callbacks::{Callbacks, StatusReader};
use super::http::{Answer, Api};
use super::outcome::{self, Form, Said, Table};
use super::{BuildContext, needs, options};
use crate::clock::SharedClock;
use crate::config;
use crate::domain::{Address, Channel, Message, Outcome};

const USUAL_URL: &str = "https://api.twilio.com";
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// What texts and calls have in common: an account, and a resource of it that is posted to.
struct Account {
    name: String,
    channels: Vec<Channel>,
    api: Api,
    clock: SharedClock,
    table: Table,
    /// `/2010-04-01/Accounts/{sid}/Messages.json`
    path: String,
    headers: HeaderMap,
    /// Where receipts are posted, up to the task's id.
    callback: Option<String>,
    callbacks: Option<Callbacks>,
}

/// A resource that was made, or an error: what of them is read.
#[derive(Default, Deserialize)]
struct Resource {
    #[serde(default)]
    sid: Option<String>,
    /// Only errors have one.
    #[serde(default)]
    code: Option<u32>,
}

impl Account {
    fn new(
        kind: &'static str,
        resource: &str,
        statuses: StatusReader,
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<Self, String> {
        let user =
            needs::text(settings.username.as_ref(), "username", "the account's SID (AC…) or an API key's (SK…)")?;
        let password =
            needs::secret(settings.password.as_ref(), "password", "the auth token, or the API key's secret")?;
        let is_account = user.starts_with("AC");
        let account = match options::text(settings, "account_sid")? {
            Some(account) => account,
            None if is_account => user,
            None => {
                return Err(needs::missing(
                    "options.account_sid",
                    "the account's SID (AC…): `username` is an API key's",
                ));
            }
        };
        if !account.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err("`options.account_sid` is no SID: it is `AC` and 32 digits".into());
        }
        let mut authorization =
            HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
                .map_err(|_| "`password` cannot stand in a header".to_owned())?;
        authorization.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, authorization), (CONTENT_TYPE, FORM)]);
        let table = Table::new(kind, &settings.outcomes);
        // Callbacks are signed with the auth token, and never with the secret of an API key.
        let token = settings.receipt_secret.as_ref().map(|secret| secret.expose());
        let token = token.or(is_account.then_some(password));
        let callbacks = token.map(|token| Callbacks::new(token, table.clone(), statuses));
        let is_reachable = callbacks.is_some() && is_public(&context.public_url);
        let callback =
            is_reachable.then(|| format!("{}/v1/providers/{}/receipts?task=", context.public_url, settings.name));
        Ok(Self {
            name: settings.name.clone(),
            channels,
            api: Api::new(settings, context, USUAL_URL)?,
            clock: context.clock.clone(),
            table,
            path: format!("/2010-04-01/Accounts/{account}/{resource}"),
            headers,
            callback,
            callbacks,
        })
    }

    /// Where this message's receipts go.
    fn callback(&self, message: &Message) -> Option<String> {
        self.callback.as_ref().map(|url| format!("{url}{}", message.task))
    }

    /// Posts the form, once.
    async fn create(&self, form: String) -> Outcome {
        match self.api.send(Method::POST, &self.path, self.headers.clone(), form).await {
            Ok(answer) => self.judge(&answer),
            Err(failure) => outcome::no_answer(failure),
        }
    }

    fn judge(&self, answer: &Answer) -> Outcome {
        let resource: Resource = serde_json::from_slice(&answer.body).unwrap_or_default();
        // 201 means that it was made, whatever else the JSON says.
        if let Some(doubt) = outcome::doubt(answer, resource.sid.is_some(), &[StatusCode::CREATED], Form::Json) {
            return doubt;
        }
        let code = resource.code.map(|code| code.to_string());
        self.table.judge(&Said {
            codes: code.as_deref().as_slice(),
            status: answer.status,
            retry_after: outcome::retry_after(&answer.headers, self.clock.now()),
            message_id: resource.sid.as_deref(),
        })
    }
}

/// Twilio refuses to call back where it cannot reach anybody.
fn is_public(url: &str) -> bool {
    match Url::parse(url).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name != "localhost",
        Some(Host::Ipv4(address)) => !address.is_loopback(),
        Some(Host::Ipv6(address)) => !address.is_loopback(),
        None => false,
    }
}

fn number(message: &Message) -> Result<&str, Outcome> {
    match &message.address {
        Address::Phone(number) => Ok(number),
        _ => Err(Outcome::BadRequest { reason: "the address is no phone number".into() }),
    }
}

#[cfg(test)]
mod tests;
