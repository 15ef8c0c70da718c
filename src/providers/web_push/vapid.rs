//! Says to a push service who we are: a token for each, signed with our key (RFC 8292).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::HeaderValue;
use serde::Serialize;

use crate::config;
use crate::domain::Timestamp;
use crate::providers::jwt::Es256;
use crate::providers::options;

pub(super) struct Vapid {
    key: Es256,
    /// As base64url.
    public: String,
    /// Whom a push service turns to when something is wrong with us.
    subject: String,
    signed: Mutex<HashMap<Box<str>, Signed>>,
}

struct Signed {
    header: HeaderValue,
    at: Timestamp,
}

/// Half of what may be (RFC 8292 section 2: at most 24 hours), since clocks differ.
const HOLDS: Duration = Duration::from_secs(12 * 3600);
/// A token is replaced when it is so old.
const REPLACED_AFTER: Duration = Duration::from_secs(11 * 3600);
/// Origins come with subscriptions: so many are remembered.
const REMEMBERED_MAX: usize = 256;

#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    exp: u64,
    sub: &'a str,
}

impl Vapid {
    pub(super) fn new(settings: &config::Provider) -> Result<Self, String> {
        let key = settings
            .private_key
            .as_ref()
            .ok_or("`private_key`: give the private key for VAPID, as PEM or as base64url")?;
        let text = key.expose();
        let read = if text.contains("-----BEGIN") { Es256::from_pem(text) } else { Es256::from_base64url(text) };
        let key = read.map_err(|error| format!("`private_key`: {error}"))?;
        let subject = options::text(settings, "subject")?
            .filter(|subject| subject.starts_with("mailto:") || subject.starts_with("https:"))
            .ok_or("`options.subject`: write where you are reached, as \"mailto:…\" or \"https:…\"")?;
        let public = URL_SAFE_NO_PAD.encode(key.public());
        Ok(Self { key, public, subject: subject.to_owned(), signed: Mutex::default() })
    }

    /// `vapid t=…, k=…` for the service at an origin.
    pub(super) fn authorization(&self, origin: &str, now: Timestamp) -> Result<HeaderValue, String> {
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(present) = signed.get(origin)
            && now >= present.at
            && now.since(present.at) < REPLACED_AFTER
        {
            return Ok(present.header.clone());
        }
        let claims = Claims { aud: origin, exp: (now + HOLDS).millis() / 1000, sub: &self.subject };
        let token = self.key.sign(&Header { typ: "JWT", alg: "ES256" }, &claims)?;
        let mut header = HeaderValue::from_str(&format!("vapid t={token}, k={}", self.public))
            .map_err(|_| "the token is no header".to_owned())?;
        header.set_sensitive(true);
        if signed.len() >= REMEMBERED_MAX {
            signed.clear();
        }
        signed.insert(origin.into(), Signed { header: header.clone(), at: now });
        Ok(header)
    }
}
