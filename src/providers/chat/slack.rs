//! The provider `slack`: incoming webhooks (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>). The room of
//! the configuration, or one that comes with the message.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use hyper::{Method, StatusCode};
use serde::Serialize;
use url::{Host, Url};

use super::text::{Format, cut, joined, plain};
use super::{
    Address, Answer, Api, BuildContext, Channel, Message, Outcome, Provider, Said, SharedClock, SharedProvider, Table,
    config, is_room, json_headers, outcome,
};
use crate::domain::Whose;
use crate::providers::outcome::Form;

pub(in crate::providers) struct Slack {
    name: String,
    channels: Vec<Channel>,
    api: Api,
    clock: SharedClock,
    table: Table,
    /// The secret is in it; `None`: every message brings its own.
    path: Option<String>,
    format: Format,
}

const HOST: &str = "hooks.slack.com";
const USUAL_URL: &str = "https://hooks.slack.com";
/// "Text longer than 40,000 characters is truncated" (chat.postMessage).
const TEXT_MAX: usize = 40_000;

#[derive(Serialize)]
struct Body<'a> {
    text: &'a str,
    mrkdwn: bool,
}

impl Slack {
    pub(in crate::providers) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        let path = match settings.token.as_ref().map(|token| token.expose().trim()) {
            None => None,
            Some(token) => Some(path(token).ok_or("`token` is no T…/B…/X…: write what stands behind `/services/`")?),
        };
        Ok(Arc::new(Self {
            name: settings.name.clone(),
            channels,
            api: Api::new(settings, context, USUAL_URL)?,
            clock: context.clock.clone(),
            table: Table::new("slack", &settings.outcomes),
            path,
            format: Format::read(settings)?,
        }))
    }

    /// Where a message goes; `None`: not by this provider.
    fn path<'a>(&'a self, address: &Address) -> Option<Cow<'a, str>> {
        match address {
            Address::Url(url) => recipients_path(url).map(Cow::Owned),
            address if is_room(address, &self.name) => self.path.as_deref().map(Cow::Borrowed),
            _ => None,
        }
    }

    fn body(&self, message: &Message) -> serde_json::Result<Vec<u8>> {
        let text = match self.format {
            Format::Text => escaped(joined(&message.parts, "", "\n")),
            Format::Markdown if message.parts.title.is_empty() => message.parts.body.as_str().into(),
            Format::Markdown => joined(&message.parts, "*", "*\n"),
        };
        let text = cut(text, TEXT_MAX, plain);
        serde_json::to_vec(&Body { text: &text, mrkdwn: self.format == Format::Markdown })
    }

    fn judge(&self, answer: &Answer) -> Outcome {
        if let Some(doubt) = outcome::doubt(answer, false, &[StatusCode::OK], Form::Json) {
            return doubt;
        }
        // One word of plain text.
        let word = std::str::from_utf8(&answer.body).unwrap_or_default().trim();
        self.table.judge(&Said {
            codes: if answer.status.is_success() { &[] } else { std::slice::from_ref(&word) },
            status: answer.status,
            retry_after: outcome::retry_after(&answer.headers, self.clock.now()),
            message_id: None,
        })
    }
}

/// Behind `/services/`: `T…/B…/X…`.
fn path(token: &str) -> Option<String> {
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let fits = token.split('/').count() == 3 && token.split('/').all(is_part);
    fits.then(|| format!("/services/{token}"))
}

/// That of a webhook which came with the message: at Slack only.
fn recipients_path(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let is_slack = url.scheme() == "https" && url.host() == Some(Host::Domain(HOST)) && url.port().is_none();
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    url.path().strip_prefix("/services/").filter(|_| is_slack && is_plain).and_then(path)
}

/// Three letters mean something in every text there (<https://docs.slack.dev/messaging/formatting-message-text#escaping>).
fn escaped(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>']) {
        return text;
    }
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").into()
}

/// The address of a recipient is a secret of theirs: that it is refused, or is in a hurry, says nothing of our own room.
fn of_recipient(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Config { reason } => Outcome::BadRequest { reason },
        Outcome::Throttled { reason, retry_after, .. } => {
            Outcome::Throttled { reason, retry_after, whose: Whose::Recipient }
        }
        outcome => outcome,
    }
}

#[async_trait]
impl Provider for Slack {
    fn name(&self) -> &str {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn takes(&self, address: &Address) -> bool {
        self.path(address).is_some()
    }

    async fn send(&self, message: &Message) -> Outcome {
        let Some(path) = self.path(&message.address) else {
            return Outcome::BadRequest {
                reason: "the address is neither this room nor an incoming webhook of Slack".into(),
            };
        };
        let Ok(body) = self.body(message) else {
            return Outcome::BadRequest { reason: "the text cannot be written as JSON".into() };
        };
        let outcome = match self.api.send(Method::POST, &path, json_headers(), body).await {
            Ok(answer) => self.judge(&answer),
            Err(failure) => outcome::no_answer(failure),
        };
        if matches!(message.address, Address::Url(_)) { of_recipient(outcome) } else { outcome }
    }

    async fn check(&self) -> Result<(), String> {
        self.api.reach().await
    }
}
