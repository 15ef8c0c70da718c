//! The provider `twilio_voice`: calls, and reads the text aloud.

use std::sync::Arc;

use async_trait::async_trait;
use url::form_urlencoded::Serializer;

use super::{Account, callbacks, number};
use crate::config;
use crate::domain::{Channel, Message, Outcome};
use crate::providers::{BuildContext, Provider, ReceiptReader, SharedProvider, needs, options};

pub(in crate::providers) struct TwilioVoice {
    account: Account,
    from: String,
    /// `<Response><Say language="en-US">`
    opening: String,
    /// How long it rings.
    ring_seconds: String,
}

const CLOSING: &str = "</Say></Response>";
/// `Twiml`: "up to 4,000 characters".
const TWIML_MAX: usize = 4000;
/// `Timeout`: 60 seconds where nothing is said, 600 at most.
const RING_SECONDS: i64 = 60;
const RING_SECONDS_MAX: i64 = 600;

impl TwilioVoice {
    pub(in crate::providers) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        let from = needs::text(settings.from.as_ref(), "from", "the number that calls, as +15551234567")?.to_owned();
        let ring_seconds = options::number(settings, "ring_seconds", 5..=RING_SECONDS_MAX)?.unwrap_or(RING_SECONDS);
        let mut opening = String::from("<Response><Say");
        for (key, attribute, usual) in [("language", "language", Some("en-US")), ("voice", "voice", None)] {
            if let Some(value) = options::text(settings, key)?.or(usual) {
                opening.push_str(&format!(" {attribute}=\""));
                put_xml(&mut opening, value);
                opening.push('"');
            }
        }
        opening.push('>');
        let account = Account::new("twilio_voice", "Calls.json", callbacks::OF_CALL, settings, channels, context)?;
        Ok(Arc::new(Self { account, from, opening, ring_seconds: ring_seconds.to_string() }))
    }

    fn twiml(&self, text: &str) -> String {
        let mut twiml = String::with_capacity(self.opening.len() + text.len() + 64);
        twiml.push_str(&self.opening);
        put_xml(&mut twiml, text);
        twiml.push_str(CLOSING);
        twiml
    }

    fn form(&self, message: &Message, number: &str, twiml: &str) -> String {
        let mut form = Serializer::new(String::with_capacity(512 + twiml.len()));
        form.append_pair("To", number).append_pair("From", &self.from).append_pair("Twiml", twiml);
        form.append_pair("Timeout", &self.ring_seconds);
        if let Some(callback) = self.account.callback(message) {
            // The last event of every call, however it ended; what comes before says nothing of the message.
            form.append_pair("StatusCallback", &callback).append_pair("StatusCallbackEvent", "completed");
        }
        form.finish()
    }
}

/// Text within XML 1.0, which has no place for most control characters (section 2.2).
fn put_xml(xml: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\n' | '\t' => xml.push(letter),
            '\u{fffe}' | '\u{ffff}' => {}
            letter if letter.is_control() => {}
            letter => xml.push(letter),
        }
    }
}

#[async_trait]
impl Provider for TwilioVoice {
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
        let twiml = self.twiml(message.parts.voice_text());
        if twiml.chars().count() > TWIML_MAX {
            return Outcome::BadRequest { reason: "what is spoken is longer than 4000 characters".into() };
        }
        self.account.create(self.form(message, number, &twiml)).await
    }

    fn receipts(&self) -> Option<&dyn ReceiptReader> {
        self.account.callbacks.as_ref().map(|callbacks| callbacks as &dyn ReceiptReader)
    }

    async fn check(&self) -> Result<(), String> {
        self.account.api.reach().await
    }
}
