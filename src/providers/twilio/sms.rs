//! The provider `twilio_sms`.

use std::sync::Arc;

use async_trait::async_trait;
use url::form_urlencoded::Serializer;

use super::{Account, callbacks, number};
use crate::config;
use crate::domain::{Channel, Message, Outcome, Timestamp};
use crate::providers::{BuildContext, Provider, ReceiptReader, SharedProvider, options};

pub(in crate::providers) struct TwilioSms {
    account: Account,
    sender: Sender,
}

enum Sender {
    /// A number, a short code or a name.
    From(String),
    /// Twilio picks the number.
    Service(String),
}

/// `Body`: "up to 1,600 characters".
const TEXT_MAX: usize = 1600;
/// `ValidityPeriod`: "1 to 36,000" seconds, in which it is tried; the longest where nothing is said.
const VALIDITY_MAX_SECONDS: u64 = 36_000;

impl TwilioSms {
    pub(in crate::providers) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        let sender = match (&settings.from, options::text(settings, "messaging_service_sid")?) {
            (Some(from), None) => Sender::From(from.clone()),
            (None, Some(service)) => Sender::Service(service.into()),
            (None, None) => {
                return Err("nobody sends: write `from` (a number) or `options.messaging_service_sid` (MG…)".into());
            }
            (Some(_), Some(_)) => {
                return Err("`from` and `options.messaging_service_sid` exclude each other: leave one away".into());
            }
        };
        let account = Account::new("twilio_sms", "Messages.json", callbacks::OF_MESSAGE, settings, channels, context)?;
        Ok(Arc::new(Self { account, sender }))
    }

    fn form(&self, message: &Message, number: &str) -> String {
        let text = message.parts.sms_text();
        let mut form = Serializer::new(String::with_capacity(512 + text.len()));
        form.append_pair("To", number);
        match &self.sender {
            Sender::From(from) => form.append_pair("From", from),
            Sender::Service(service) => form.append_pair("MessagingServiceSid", service),
        };
        form.append_pair("Body", text);
        if let Some(callback) = self.account.callback(message) {
            form.append_pair("StatusCallback", &callback);
        }
        if let Some(expires_at) = message.expires_at {
            let seconds = validity_seconds(expires_at, self.account.clock.now());
            form.append_pair("ValidityPeriod", &seconds.to_string());
        }
        form.finish()
    }
}

/// What has expired is not handed on at all; in the moment since, it may have.
pub(super) fn validity_seconds(expires_at: Timestamp, now: Timestamp) -> u64 {
    expires_at.since(now).as_secs().clamp(1, VALIDITY_MAX_SECONDS)
}

#[async_trait]
impl Provider for TwilioSms {
    fn name(&self) -> &str {
        &self.account.name
    }

    fn channels(&self) -> &[Channel] {
        &self.account.channels
    }

    async fn send(&self, message: &Message) -> Outcome {
        let number = match number(message) {
            Ok(number) => number,
            Err(refused) => return refused,
        };
        if message.parts.sms_text().chars().count() > TEXT_MAX {
            return Outcome::BadRequest { reason: "the text is longer than 1600 characters".into() };
        }
        self.account.create(self.form(message, number)).await
    }

    fn receipts(&self) -> Option<&dyn ReceiptReader> {
        self.account.callbacks.as_ref().map(|callbacks| callbacks as &dyn ReceiptReader)
    }

    async fn check(&self) -> Result<(), String> {
        self.account.api.reach().await
    }
}
