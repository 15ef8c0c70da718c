//! A subscription as a browser hands it out: `PushSubscription.toJSON()`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

/// Padded or not: libraries write both.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) struct Subscription<'a> {
    endpoint: Cow<'a, str>,
    /// The browser's public key, uncompressed.
    public: Vec<u8>,
    auth: Vec<u8>,
}

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    endpoint: Cow<'a, str>,
    #[serde(borrow)]
    keys: Keys<'a>,
}

#[derive(Deserialize)]
struct Keys<'a> {
    #[serde(borrow)]
    p256dh: Cow<'a, str>,
    #[serde(borrow)]
    auth: Cow<'a, str>,
}

/// RFC 8291 sections 3.1 and 3.2.
const PUBLIC_BYTES: usize = 65;
const AUTH_BYTES: usize = 16;

impl<'a> Subscription<'a> {
    /// The error says what is wrong with it, and nothing of what it holds.
    pub(super) fn read(token: &'a str) -> Result<Self, &'static str> {
        let written: Written = serde_json::from_str(token).map_err(|_| "the token is no subscription of a browser")?;
        let key = |text: &str, length: usize| {
            let bytes = BASE64URL.decode(text).ok();
            bytes.filter(|bytes| bytes.len() == length).ok_or("the subscription's keys are no keys")
        };
        let public = key(&written.keys.p256dh, PUBLIC_BYTES)?;
        let auth = key(&written.keys.auth, AUTH_BYTES)?;
        Ok(Self { endpoint: written.endpoint, public, auth })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The body of the request, with `aes128gcm`. A new key is made for each message; it takes about a tenth of a millisecond.
    pub(super) fn encrypt(&self, plaintext: &[u8]) -> Result<Vec<u8>, &'static str> {
        ece::encrypt(&self.public, &self.auth, plaintext).map_err(|_| "the subscription's keys are no keys")
    }
}
