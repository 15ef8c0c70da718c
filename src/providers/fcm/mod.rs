//! The provider `fcm`: Firebase Cloud Messaging, HTTP v1
//! (<https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages>), one request for each device over HTTP/2.
//!
//! FCM does not tell repeats apart and posts no receipts.

mod account;
mod payload;
mod said;
mod tokens;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Uri};
use tokio::time::Instant;

use self::account::Account;
use self::tokens::{Token, Tokens};
use super::http::{Answer, HttpFailure};
use super::http2::{Http2Client, Http2Options, Origin};
use super::outcome::{self, Table};
use super::push::Suspicion;
use super::{BuildContext, Provider, SharedProvider, push};
use crate::clock::SharedClock;
use crate::config;
use crate::domain::{Address, Channel, Message, Outcome, Platform};

/// The keys of `options`.
pub(super) const OPTIONS: &[&str] = &["connections"];

pub(super) struct Fcm {
    name: String,
    channels: Vec<Channel>,
    platforms: Vec<Platform>,
    client: Http2Client,
    origin: Arc<Origin>,
    uri: Uri,
    tokens: Tokens,
    suspicion: Suspicion,
    table: Table,
    clock: SharedClock,
}

const KIND: &str = "fcm";
const USUAL_URL: &str = "https://fcm.googleapis.com";
/// The largest payload to a device (<https://firebase.google.com/docs/cloud-messaging/concept-options>).
const PAYLOAD_MAX: usize = 4096;
const MIXED_UP: &str =
    "most device tokens are refused as wrong: check that `private_key` is of the project that the apps register with";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Fcm {
    pub(super) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        let missing = "`private_key`: give the JSON file of a service account, as { file = \"…\" }";
        let account = Account::read(settings.private_key.as_ref().ok_or(missing)?)?;
        let options = Http2Options::read(settings, false)?;
        let (client, origin) = Http2Client::of_operator(settings, &context.clock, USUAL_URL, None, options)?;
        let path = format!("/v1/projects/{}/messages:send", account.project);
        let uri = origin.below(&path).map_err(|_| "`private_key`: its `project_id` is none".to_owned())?;
        let platforms = push::platforms(settings, &Platform::ALL);
        let table = Table::new(KIND, &settings.outcomes);
        let tokens = Tokens::new(account, settings, context, table.clone())?;
        let suspicion = Suspicion::default();
        let (name, clock) = (settings.name.clone(), context.clock.clone());
        Ok(Arc::new(Self { name, channels, platforms, client, origin, uri, tokens, suspicion, table, clock }))
    }

    async fn post(&self, token: &Token, body: &Bytes, until: Instant) -> Result<Answer, HttpFailure> {
        let make = || {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = self.uri.clone();
            request.headers_mut().insert(AUTHORIZATION, token.header.clone());
            request.headers_mut().insert(CONTENT_TYPE, JSON);
            request
        };
        self.client.send(&self.origin, until, make).await
    }
}

fn may_be_ours(token: &str) -> bool {
    !push::is_subscription(token) && !push::is_certainly_apples(token)
}

#[async_trait]
impl Provider for Fcm {
    fn name(&self) -> &str {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn takes(&self, address: &Address) -> bool {
        match address {
            Address::Device(platform, token) => self.platforms.contains(platform) && may_be_ours(token),
            Address::PushToken(token) => may_be_ours(token),
            _ => false,
        }
    }

    async fn send(&self, message: &Message) -> Outcome {
        let Some(device) = message.address.push_token() else {
            return Outcome::BadRequest { reason: "a push message needs the token of a device".into() };
        };
        // Said by ourselves, and not by FCM: the token may be good with another service.
        if !may_be_ours(device) {
            return Outcome::BadRequest { reason: "the device token is none of FCM's".into() };
        }
        if payload::size(message) > PAYLOAD_MAX {
            return Outcome::BadRequest { reason: format!("the message has more than {PAYLOAD_MAX} bytes").into() };
        }
        let body = payload::write(message, device, self.clock.now());
        let until = self.client.patience();
        let mut token = match self.tokens.get(until).await {
            Ok(token) => token,
            Err(outcome) => return outcome,
        };
        let mut has_new_token = false;
        loop {
            let answer = match self.post(&token, &body, until).await {
                Ok(answer) => answer,
                Err(failure) => return outcome::no_answer(failure),
            };
            let judged = said::judge(&self.table, &answer, self.clock.now());
            if !judged.asks_for_new_token || has_new_token {
                return self.suspicion.weigh(judged.outcome, answer.status, MIXED_UP);
            }
            has_new_token = true;
            token = match self.tokens.replace(&token, until).await {
                Ok(token) => token,
                Err(outcome) => return outcome,
            };
        }
    }

    async fn check(&self) -> Result<(), String> {
        let fetched = self.tokens.get(self.client.patience()).await;
        fetched.map_err(|outcome| format!("no access token: {}", outcome.reason()))?;
        self.client.reach(&self.origin).await
    }
}
