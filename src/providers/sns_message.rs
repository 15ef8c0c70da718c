//! Messages that Amazon SNS posts: whether they are its own, and of a topic that we listen to
//! (<https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html>).
//!
//! The certificate that a message names is fetched from Amazon's own hosts only, one at a time, and kept: who posts nonsense makes us
//! call nobody else, and seldom at all.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::{HeaderMap, Method};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Public};
use openssl::sign::Verifier;
use openssl::x509::X509;
use serde::Deserialize;
use tokio::sync::Semaphore;
use url::{Host, Url};

use super::http::HttpClient;
use super::receipts::{ReceiptError, ReceiptPost};
use super::tls::client_tls;
use super::{BuildContext, Guard, options};
use crate::config;
use crate::domain::Timestamp;

/// What was published longer ago counts no more. The signature is over the message, and a receipt that comes twice changes nothing:
/// what came while we were away is not to be lost. SNS tries for about an hour by itself, and longer where the topic says so.
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How far its clock may be ahead.
const AHEAD_MAX: Duration = Duration::from_secs(10 * 60);
/// Amazon uses one for months; more than these are never in use.
const CERTIFICATES_MAX: usize = 16;
/// How long Amazon may take to answer.
const FETCH_MAX: Duration = Duration::from_secs(10);
/// Smaller keys are none of Amazon's.
const KEY_BITS_MIN: u32 = 2048;

/// Reads the messages of some topics.
pub(super) struct SnsMessages {
    client: HttpClient,
    /// Whom to ask in the place of Amazon's hosts: a proxy, or a stand-in for tests.
    stand_in: Option<Url>,
    topics: Vec<String>,
    /// The oldest first.
    certificates: Mutex<VecDeque<Certificate>>,
    fetching: Semaphore,
}

/// The address under which Amazon shows it, and its key.
type Certificate = (Box<str>, Arc<PKey<Public>>);

impl SnsMessages {
    /// Reads `options.topic_arn` and `options.sns_url`. `None`: no topic is listened to.
    pub(super) fn read(settings: &config::Provider, context: &BuildContext) -> Result<Option<Self>, String> {
        let topics = options::texts(settings, "topic_arn")?;
        if let Some(topic) = topics.iter().find(|topic| !topic.starts_with("arn:")) {
            return Err(format!("`options.topic_arn` is no topic: `{topic}`; write it as \"arn:aws:sns:eu-west-1:…\""));
        }
        if topics.is_empty() {
            return Ok(None);
        }
        let stand_in = options::text(settings, "sns_url")?.map(Url::parse).transpose();
        let stand_in = stand_in.map_err(|_| "`options.sns_url` is not a valid URL".to_owned())?;
        let guard = match stand_in {
            // The operator chose it, and it may stand within the own network.
            Some(_) => Guard::new(true, context.clock.clone()),
            None => context.guard.clone(),
        };
        let tls = client_tls(settings.ca_file.as_deref(), None, &[])?;
        let client = HttpClient::new(guard, context.clock.clone(), tls, 1);
        let (certificates, fetching) = (Mutex::default(), Semaphore::new(1));
        Ok(Some(Self { client, stand_in, topics, certificates, fetching }))
    }

    /// What was published, checked. `None`: it was about the subscription itself, which is confirmed by now.
    pub(super) async fn open(&self, post: &ReceiptPost) -> Result<Option<String>, ReceiptError> {
        let envelope: Envelope = serde_json::from_slice(&post.body)
            .map_err(|_| ReceiptError::Unreadable("it is no message of SNS: is raw delivery switched on?"))?;
        if !self.topics.contains(&envelope.topic_arn) {
            return Err(ReceiptError::Forged);
        }
        // With a query there would be as many addresses of one certificate as anybody likes.
        let is_file = |url: &Url| url.path().ends_with(".pem") && url.query().is_none();
        let signing = amazons(&envelope.signing_cert_url).filter(is_file);
        let signing = signing.ok_or(ReceiptError::Forged)?;
        let at = Timestamp::parse(&envelope.timestamp).ok_or(ReceiptError::Unreadable("its timestamp is none"))?;
        if post.now.since(at) > AGE_MAX || at.since(post.now) > AHEAD_MAX {
            return Err(ReceiptError::Replayed);
        }
        let key = self.key(&signing).await?;
        if !envelope.is_signed_by(&key) {
            return Err(ReceiptError::Forged);
        }
        match (envelope.kind.as_str(), &envelope.subscribe_url) {
            ("Notification", _) => Ok(Some(envelope.message)),
            ("SubscriptionConfirmation", Some(url)) => {
                let url = amazons(url).ok_or(ReceiptError::Forged)?;
                self.fetch(&url).await.ok_or(ReceiptError::Later("the subscription could not be confirmed"))?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    async fn key(&self, url: &Url) -> Result<Arc<PKey<Public>>, ReceiptError> {
        if let Some((_, key)) = lock(&self.certificates).iter().find(|(known, _)| **known == *url.as_str()) {
            return Ok(key.clone());
        }
        const LATER: ReceiptError = ReceiptError::Later("the certificate of SNS could not be fetched");
        // Whoever comes meanwhile comes again.
        let _one = self.fetching.try_acquire().map_err(|_| LATER)?;
        let pem = self.fetch(url).await.ok_or(LATER)?;
        let key = Arc::new(public_key(&pem).ok_or(ReceiptError::Forged)?);
        let mut certificates = lock(&self.certificates);
        if certificates.len() >= CERTIFICATES_MAX {
            certificates.pop_front();
        }
        certificates.push_back((url.as_str().into(), key.clone()));
        Ok(key)
    }

    /// `None`: there was no answer, or none that is a success.
    async fn fetch(&self, url: &Url) -> Option<Bytes> {
        let url = match &self.stand_in {
            None => url.clone(),
            Some(stand_in) => {
                let mut other = stand_in.clone();
                other.set_path(url.path());
                other.set_query(url.query());
                other
            }
        };
        let target = self.client.target(url.as_str()).ok()?;
        let path = target.path().parse().ok()?;
        let asked = self.client.request(&target, Method::GET, path, HeaderMap::new(), Bytes::new());
        let answer = tokio::time::timeout(FETCH_MAX, asked).await.ok()?.ok()?;
        answer.status.is_success().then_some(answer.body)
    }
}

/// What SNS posts.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    #[serde(rename = "Type")]
    kind: String,
    message_id: String,
    topic_arn: String,
    message: String,
    subject: Option<String>,
    timestamp: String,
    signature_version: String,
    signature: String,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: String,
    #[serde(rename = "SubscribeURL")]
    subscribe_url: Option<String>,
    token: Option<String>,
}

impl Envelope {
    /// What is signed: names and values, each in a line of its own, in the order of the names.
    fn signed(&self) -> String {
        let subscribe = self.subscribe_url.as_deref();
        let subject = self.subject.as_deref();
        let token = self.token.as_deref();
        let is_notification = self.kind == "Notification";
        let lines = [
            ("Message", Some(self.message.as_str())),
            ("MessageId", Some(&self.message_id)),
            ("Subject", subject.filter(|_| is_notification)),
            ("SubscribeURL", subscribe.filter(|_| !is_notification)),
            ("Timestamp", Some(&self.timestamp)),
            ("Token", token.filter(|_| !is_notification)),
            ("TopicArn", Some(&self.topic_arn)),
            ("Type", Some(&self.kind)),
        ];
        let mut text = String::with_capacity(self.message.len() + 512);
        for (name, value) in lines {
            if let Some(value) = value {
                text.extend([name, "\n", value, "\n"]);
            }
        }
        text
    }

    fn is_signed_by(&self, key: &PKey<Public>) -> bool {
        let digest = match self.signature_version.as_str() {
            "1" => MessageDigest::sha1(),
            "2" => MessageDigest::sha256(),
            _ => return false,
        };
        let Ok(signature) = STANDARD.decode(&self.signature) else { return false };
        let check = || Verifier::new(digest, key)?.verify_oneshot(&signature, self.signed().as_bytes());
        check().unwrap_or(false)
    }
}

/// An address of SNS itself: `^sns\.[a-zA-Z0-9\-]{3,}\.amazonaws\.com(\.cn)?$`, as Amazon's validator has it, over TLS.
fn amazons(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let Some(Host::Domain(host)) = url.host() else { return None };
    let host = host.strip_suffix(".cn").unwrap_or(host);
    let region = host.strip_prefix("sns.")?.strip_suffix(".amazonaws.com")?;
    let is_region = region.len() >= 3 && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_plain =
        url.scheme() == "https" && url.port().is_none() && url.username().is_empty() && url.password().is_none();
    (is_region && is_plain && url.fragment().is_none()).then_some(url)
}

/// The key of a certificate that signs for Amazon.
fn public_key(pem: &[u8]) -> Option<PKey<Public>> {
    let key = X509::from_pem(pem).ok()?.public_key().ok()?;
    (key.rsa().is_ok() && key.bits() >= KEY_BITS_MIN).then_some(key)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests;
