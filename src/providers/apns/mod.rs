//! The provider `apns`: the Apple Push Notification service
//! (<https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>), one request for each
//! device over HTTP/2.
//!
//! APNs does not tell repeats apart and posts no receipts.

mod payload;
mod signer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri};
use openssl::asn1::Asn1Time;
use openssl::x509::X509;
use serde::Deserialize;
use tokio::time::Instant;

use self::signer::Signer;
use super::http::Answer;
use super::http2::{Http2Client, Http2Options, Origin};
use super::outcome::{self, Form, Said, Table};
use super::push::Suspicion;
use super::{BuildContext, Provider, SharedProvider, options, push};
use crate::clock::SharedClock;
use crate::config::{self, Secret};
use crate::domain::{Address, Channel, Message, Outcome, Platform, TaskId, Timestamp};

/// The keys of `options`.
pub(super) const OPTIONS: &[&str] = &["connections", "environment", "key_id", "sound", "team_id", "topic"];

pub(super) struct Apns {
    name: String,
    channels: Vec<Channel>,
    platforms: Vec<Platform>,
    client: Http2Client,
    origin: Arc<Origin>,
    /// None: the certificate of the connection says who we are.
    signer: Option<Signer>,
    /// What every request carries.
    headers: HeaderMap,
    /// Empty: none.
    sound: String,
    suspicion: Suspicion,
    credentials_end: Option<Timestamp>,
    table: Table,
    clock: SharedClock,
}

const KIND: &str = "apns";
const PRODUCTION_URL: &str = "https://api.push.apple.com";
const SANDBOX_URL: &str = "https://api.sandbox.push.apple.com";
/// The largest payload but for VoIP (Apple, "Generating a remote notification").
const PAYLOAD_MAX: usize = 4096;
/// The longest `apns-collapse-id`, by the same page.
const COLLAPSE_ID_MAX: usize = 64;
const MIXED_UP: &str = "most device tokens are refused as wrong: check `options.environment` and `options.topic`";
const ID: HeaderName = HeaderName::from_static("apns-id");
const TOPIC: HeaderName = HeaderName::from_static("apns-topic");
const PUSH_TYPE: HeaderName = HeaderName::from_static("apns-push-type");
const PRIORITY: HeaderName = HeaderName::from_static("apns-priority");
const EXPIRATION: HeaderName = HeaderName::from_static("apns-expiration");
const COLLAPSE_ID: HeaderName = HeaderName::from_static("apns-collapse-id");

impl Apns {
    pub(super) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        let key = settings.private_key.as_ref().ok_or(
            "`private_key`: give the .p8 file of a key, or a certificate with its key as PEM, as { file = \"…\" }",
        )?;
        let topic = options::text(settings, "topic")?.ok_or("`options.topic`: write the app's bundle id")?;
        let usual = match options::text(settings, "environment")? {
            Some("production") | None => PRODUCTION_URL,
            Some("sandbox") => SANDBOX_URL,
            Some(_) => return Err("`options.environment`: write \"production\" or \"sandbox\"".into()),
        };
        let is_certificate = key.expose().contains("BEGIN CERTIFICATE");
        let signer = if is_certificate { None } else { Some(Signer::new(key, settings)?) };
        let identity = is_certificate.then_some(key);
        // With a token, APNs allows one stream until a request with a valid one was accepted.
        let options = Http2Options::read(settings, signer.is_some())?;
        let (client, origin) = Http2Client::of_operator(settings, &context.clock, usual, identity, options)?;
        let mut headers = HeaderMap::with_capacity(16);
        let topic = HeaderValue::from_str(topic).map_err(|_| "`options.topic` is no bundle id")?;
        headers.insert(TOPIC, topic);
        headers.insert(PUSH_TYPE, HeaderValue::from_static("alert"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Arc::new(Self {
            name: settings.name.clone(),
            channels,
            platforms: push::platforms(settings, &[Platform::Ios]),
            client,
            origin,
            signer,
            headers,
            sound: options::text_or_none(settings, "sound")?.unwrap_or("default").to_owned(),
            suspicion: Suspicion::default(),
            credentials_end: identity.map(certificate_end).transpose()?,
            table: Table::new(KIND, &settings.outcomes),
            clock: context.clock.clone(),
        }))
    }

    fn headers(&self, message: &Message) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.insert(ID, text_value(&uuid(message.task)));
        headers.insert(PRIORITY, HeaderValue::from_static(push::apns_priority(message.priority)));
        headers.insert(EXPIRATION, HeaderValue::from(push::ends_at(message)));
        if let Some(key) = message.collapse_key.as_deref() {
            let is_plain = key.len() <= COLLAPSE_ID_MAX && key.bytes().all(|byte| byte.is_ascii_graphic());
            headers.insert(COLLAPSE_ID, if is_plain { text_value(key) } else { text_value(&push::topic(key)) });
        }
        headers
    }

    fn judge(&self, answer: &Answer) -> (Outcome, bool) {
        let message_id = answer.headers.get(ID).and_then(|id| id.to_str().ok());
        let refused: Option<Refused> =
            if answer.status == StatusCode::OK { None } else { serde_json::from_slice(&answer.body).ok() };
        let codes = refused.as_ref().map(|refused| &*refused.reason);
        let codes: &[&str] = codes.as_slice();
        let retry_after = outcome::retry_after(&answer.headers, self.clock.now());
        let said = Said { codes, status: answer.status, retry_after, message_id };
        let asks_for_new_token = self.table.asks_for_new_credentials(&said);
        if let Some(doubt) = outcome::doubt(answer, message_id.is_some(), &[StatusCode::OK], Form::Json) {
            return (doubt, asks_for_new_token);
        }
        let mut outcome = self.table.judge(&said);
        if let Outcome::DeadRecipient { death, .. } = &mut outcome {
            death.since = refused.as_ref().and_then(|refused| refused.timestamp).map(Timestamp);
        }
        // A token of the other environment is refused as a wrong one, and so is every token when the two are mixed up.
        (self.suspicion.weigh(outcome, answer.status, MIXED_UP), asks_for_new_token)
    }

    async fn post(
        &self,
        uri: &Uri,
        headers: HeaderMap,
        body: &Bytes,
        authorization: Option<HeaderValue>,
        until: Instant,
    ) -> Result<Answer, Outcome> {
        let make = || {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = headers.clone();
            if let Some(authorization) = &authorization {
                request.headers_mut().insert(AUTHORIZATION, authorization.clone());
            }
            request
        };
        self.client.send(&self.origin, until, make).await.map_err(outcome::no_answer)
    }

    fn authorization(&self, refused: Option<&HeaderValue>) -> Result<Option<HeaderValue>, Outcome> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let token = signer.token(self.clock.now(), refused);
        token.map(Some).map_err(|reason| Outcome::Config { reason: reason.into() })
    }
}

/// `{"reason": "Unregistered", "timestamp": 1629000000000}`
#[derive(Deserialize)]
struct Refused {
    reason: String,
    /// With 410: since when the token is not active, in milliseconds.
    timestamp: Option<u64>,
}

/// A UUID of version 8 (RFC 9562 section 5.8) that is the id of the task: the same for each try.
fn uuid(task: TaskId) -> String {
    let offset = task.position.offset & 0xffff_ffff_ffff;
    let shard = task.position.shard.to_u32();
    format!("{:08x}-{:04x}-80{:02x}-8000-{shard:08x}0000", offset >> 16, offset & 0xffff, task.ordinal)
}

fn text_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("it was written here, or checked to be printable ASCII")
}

fn certificate_end(pem: &Secret) -> Result<Timestamp, String> {
    let wrong = |_| "`private_key`: the certificate is no PEM".to_owned();
    let certificate = X509::from_pem(pem.expose().as_bytes()).map_err(wrong)?;
    let begin = Asn1Time::from_unix(0).map_err(wrong)?;
    let until = begin.diff(certificate.not_after()).map_err(wrong)?;
    let seconds = i64::from(until.days) * 86_400 + i64::from(until.secs);
    Ok(Timestamp(u64::try_from(seconds).unwrap_or_default() * 1000))
}

#[async_trait]
impl Provider for Apns {
    fn name(&self) -> &str {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    fn takes(&self, address: &Address) -> bool {
        match address {
            // FCM's tokens are no hexadecimal numbers: an iPhone that has one of them is FCM's.
            Address::Device(platform, token) => self.platforms.contains(platform) && push::is_apples(token),
            Address::PushToken(token) => push::is_apples(token),
            _ => false,
        }
    }

    async fn send(&self, message: &Message) -> Outcome {
        let Some(device) = message.address.push_token() else {
            return Outcome::BadRequest { reason: "a push message needs the token of a device".into() };
        };
        // Said by ourselves, and not by Apple: the token may be good with another service.
        if !push::is_apples(device) {
            return Outcome::BadRequest { reason: "the device token is none of Apple's: it is not hexadecimal".into() };
        }
        let body = payload::write(message, &self.sound);
        if body.len() > PAYLOAD_MAX {
            return Outcome::BadRequest { reason: format!("the message has more than {PAYLOAD_MAX} bytes").into() };
        }
        let uri = match self.origin.below(&format!("/3/device/{device}")) {
            Ok(uri) => uri,
            Err(failure) => return outcome::no_answer(failure),
        };
        let until = self.client.patience();
        let sending = async {
            let authorization = self.authorization(None)?;
            let answer = self.post(&uri, self.headers(message), &body, authorization.clone(), until).await?;
            let (outcome, asks_for_new_token) = self.judge(&answer);
            if !asks_for_new_token || authorization.is_none() {
                return Ok(outcome);
            }
            let renewed = self.authorization(authorization.as_ref())?;
            if renewed == authorization {
                return Ok(outcome);
            }
            let answer = self.post(&uri, self.headers(message), &body, renewed, until).await?;
            Ok(self.judge(&answer).0)
        };
        sending.await.unwrap_or_else(|outcome: Outcome| outcome)
    }

    fn credentials_end(&self) -> Option<Timestamp> {
        self.credentials_end
    }

    async fn check(&self) -> Result<(), String> {
        self.authorization(None).map_err(|outcome| outcome.reason().to_owned())?;
        self.client.reach(&self.origin).await
    }
}
