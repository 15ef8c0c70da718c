//! The provider `web_push`: messages to browsers through the service that each browser names (RFC 8030), encrypted for it (RFC 8291)
//! and signed with our key (VAPID, RFC 8292).
//!
//! The services do not tell repeats apart and post no receipts. A subscription's address comes from whoever registered it, so
//! it is guarded as a webhook's is.

mod subscription;
mod vapid;

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use hyper::{Method, Request, StatusCode};
use serde::Serialize;
use std::sync::Arc;

use self::subscription::Subscription;
use self::vapid::Vapid;
use super::http::HttpFailure;
use super::http2::{Http2Client, Http2Options, PROTOCOLS};
use super::outcome::{self, Form, Said, Table};
use super::push::{self, Data};
use super::tls::client_tls;
use super::{BuildContext, Provider, SharedProvider};
use crate::clock::SharedClock;
use crate::config;
use crate::domain::{Address, Channel, Message, Outcome, Platform};

/// The keys of `options`.
pub(super) const OPTIONS: &[&str] = &["connections", "subject"];

pub(super) struct WebPush {
    name: String,
    channels: Vec<Channel>,
    platforms: Vec<Platform>,
    client: Http2Client,
    vapid: Vapid,
    table: Table,
    clock: SharedClock,
}

const KIND: &str = "web_push";
/// What a service must take is a body of 4096 bytes (RFC 8030 section 7.2). A header of 86 and a tag of 16 (RFC 8188) leave 3994, and
/// the text is padded to the next multiple of 128, with one byte at least, so that its length says little: 31 * 128 - 1.
const PLAINTEXT_MAX: usize = 3967;
/// Of what a service calls a message.
const MESSAGE_ID_MAX: usize = 128;
/// 201 by RFC 8030 section 5; some services say 200, and 202 where receipts could be asked for.
const TAKEN: &[StatusCode] = &[StatusCode::CREATED, StatusCode::OK, StatusCode::ACCEPTED];
const TTL: HeaderName = HeaderName::from_static("ttl");
const URGENCY: HeaderName = HeaderName::from_static("urgency");
const TOPIC: HeaderName = HeaderName::from_static("topic");

/// What our script in the browser reads.
#[derive(Serialize)]
struct Payload<'a> {
    title: &'a str,
    body: &'a str,
    data: Data<'a>,
}

impl WebPush {
    pub(super) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        if settings.url.is_some() {
            return Err("`url`: each subscription brings its own address; take the line out".into());
        }
        let options = Http2Options::read(settings, false)?;
        let tls = client_tls(settings.ca_file.as_deref(), None, PROTOCOLS)?;
        Ok(Arc::new(Self {
            name: settings.name.clone(),
            channels,
            platforms: push::platforms(settings, &[Platform::Web]),
            client: Http2Client::new(context.guard.clone(), context.clock.clone(), tls, options),
            vapid: Vapid::new(settings)?,
            table: Table::new(KIND, &settings.outcomes),
            clock: context.clock.clone(),
        }))
    }

    fn headers(&self, message: &Message, authorization: HeaderValue) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(TTL, HeaderValue::from(push::seconds_left(message, self.clock.now())));
        headers.insert(URGENCY, HeaderValue::from_static(push::web_urgency(message.priority)));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(AUTHORIZATION, authorization);
        if let Some(key) = message.collapse_key.as_deref() {
            let topic = HeaderValue::from_str(&push::topic(key)).map_err(|error| error.to_string())?;
            headers.insert(TOPIC, topic);
        }
        Ok(headers)
    }

    async fn send_to(&self, subscription: &Subscription<'_>, message: &Message) -> Result<Outcome, Outcome> {
        let endpoint = self.client.endpoint(subscription.endpoint()).map_err(outcome::no_answer)?;
        let path = endpoint.path.clone();
        let origin = self.client.origin(endpoint).map_err(outcome::no_answer)?;
        let uri = origin.uri(&path).map_err(outcome::no_answer)?;
        let body = Bytes::from(subscription.encrypt(&plaintext(message)?).map_err(bad)?);
        let signed = self.vapid.authorization(origin.name(), self.clock.now());
        let config = |reason: String| Outcome::Config { reason: reason.into() };
        let headers = self.headers(message, signed.map_err(config)?).map_err(config)?;
        let make = || {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = headers.clone();
            request
        };
        let answer = match self.client.send(&origin, self.client.patience(), make).await {
            Ok(answer) => answer,
            // The address is somebody else's: that nobody is there says nothing of the other services.
            Err(HttpFailure::Unreachable(reason)) => {
                return Err(Outcome::Transient { reason: reason.into(), retry_after: None, unreachable: false });
            }
            Err(failure) => return Err(outcome::no_answer(failure)),
        };
        let retry_after = outcome::retry_after(&answer.headers, self.clock.now());
        let message_id = answer.headers.get(LOCATION).and_then(|location| message_id(location.to_str().ok()?));
        if let Some(doubt) = outcome::doubt(&answer, message_id.is_some(), TAKEN, Form::Json) {
            return Ok(doubt);
        }
        Ok(self.table.judge(&Said { codes: &[], status: answer.status, retry_after, message_id }))
    }
}

/// Said by ourselves, and by no service: nobody is called dead for it.
fn bad(reason: &str) -> Outcome {
    Outcome::BadRequest { reason: reason.into() }
}

/// The service's name for a message is the last part of its address.
fn message_id(location: &str) -> Option<&str> {
    location.rsplit('/').next().filter(|id| (1..=MESSAGE_ID_MAX).contains(&id.len()))
}

fn plaintext(message: &Message) -> Result<Vec<u8>, Outcome> {
    let parts = &message.parts;
    let task = message.task.to_string();
    let payload = Payload { title: parts.push_title(), body: parts.push_body(), data: Data { message, task: &task } };
    let text = serde_json::to_vec(&payload).expect("texts are JSON, and a vector takes all bytes");
    if text.len() > PLAINTEXT_MAX {
        return Err(Outcome::BadRequest { reason: format!("the message has more than {PLAINTEXT_MAX} bytes").into() });
    }
    Ok(text)
}

#[async_trait]
impl Provider for WebPush {
    fn name(&self) -> &str {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn takes(&self, address: &Address) -> bool {
        match address {
            Address::Device(platform, token) => self.platforms.contains(platform) && push::is_subscription(token),
            Address::PushToken(token) => push::is_subscription(token),
            _ => false,
        }
    }

    async fn send(&self, message: &Message) -> Outcome {
        let Some(token) = message.address.push_token() else {
            return Outcome::BadRequest { reason: "a push message needs the subscription of a browser".into() };
        };
        match Subscription::read(token) {
            Ok(subscription) => match self.send_to(&subscription, message).await {
                Ok(outcome) | Err(outcome) => outcome,
            },
            Err(reason) => bad(reason),
        }
    }

    async fn check(&self) -> Result<(), String> {
        // Each subscription brings its own address; there is nothing to reach beforehand but that the key signs.
        self.vapid.authorization("https://push.example.net", self.clock.now()).map(drop)
    }
}
