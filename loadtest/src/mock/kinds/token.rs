//! Tokens: the access tokens that the mock gives out and takes back, and the signed ones that senders make (JWT, RFC 7519).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};

use super::call::Call;
use super::{Kind, Said, want};
use crate::clock::now_us;
use crate::mock::http::{Answer, json_answer};

/// What an access token of the mock begins with; its generation follows.
const ACCESS: &str = "mock-access-";

/// The most signatures remembered as checked. A sender uses one for hours, for each origin.
const CHECKED_MAX: usize = 64;

/// What is known about tokens; shared by all deliveries.
#[derive(Default)]
pub(crate) struct Tokens {
    /// Raised by `POST /expire`: access tokens of before are stale from then on.
    generation: AtomicU64,
    /// Written by `POST /expire`: signed tokens made before this Unix time are stale.
    signed_since: AtomicU64,
    /// `Authorization` headers whose signature was found right.
    checked: Mutex<Vec<Box<str>>>,
}

/// A signed token, as far as it says anything itself.
pub(super) struct Signed {
    pub(super) header: Value,
    pub(super) claims: Value,
}

impl Tokens {
    /// Makes all tokens stale: access tokens, and signed ones made before this second.
    pub(crate) fn expire(&self) {
        self.generation.fetch_add(1, Relaxed);
        self.signed_since.store(now_us() / 1_000_000, Relaxed);
    }

    /// Whether an access token is of the mock's making and still good.
    pub(super) fn check_access(&self, token: Option<&str>) -> Result<(), Said> {
        let Some(token) = token else { return Said::no_access("there is no access token") };
        match token.strip_prefix(ACCESS).and_then(|number| number.parse::<u64>().ok()) {
            Some(generation) if generation == self.generation.load(Relaxed) => Ok(()),
            Some(_) => Err(Said::Stale),
            None => Said::no_access("the access token is none of ours"),
        }
    }

    /// Whether a signed token was made at a time that counts.
    pub(super) fn check_made_at(&self, made_at_s: u64, age_max_s: u64) -> Result<(), Said> {
        let now_s = now_us() / 1_000_000;
        if made_at_s < self.signed_since.load(Relaxed) || made_at_s + age_max_s < now_s {
            return Err(Said::Stale);
        }
        Ok(())
    }

    /// Whether a token is signed with the key (ES256). What was right once is not computed again.
    pub(super) fn check_signature(&self, token: &str, key: &[u8]) -> bool {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.iter().any(|known| **known == *token) {
            return true;
        }
        let Some((signed, signature)) = token.rsplit_once('.') else { return false };
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key);
        let is_right = key.verify(signed.as_bytes(), &signature).is_ok();
        if is_right {
            if checked.len() >= CHECKED_MAX {
                checked.remove(0);
            }
            checked.push(token.into());
        }
        is_right
    }

    /// Gives out an access token to a call that asks for one.
    pub(crate) fn give(&self, kind: Kind, call: &Call<'_>) -> Answer {
        let token = format!("{ACCESS}{}", self.generation.load(Relaxed));
        if kind == Kind::WecomApp {
            let query = call.query();
            return match query.count_of(&["corpid", "corpsecret"]) {
                2 => json_answer(
                    200,
                    json!({"errcode": 0, "errmsg": "ok", "access_token": token, "expires_in": 7200}).to_string(),
                ),
                _ => json_answer(200, json!({"errcode": 40001, "errmsg": "invalid credential"}).to_string()),
            };
        }
        match assertion(call) {
            Ok(()) => {
                json_answer(200, json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}).to_string())
            }
            Err(said) => json_answer(
                400,
                json!({"error": "invalid_grant", "error_description": format!("{said:?}")}).to_string(),
            ),
        }
    }
}

/// What Google's token endpoint wants (RFC 7523; section 3 of its OAuth documents for service accounts).
fn assertion(call: &Call<'_>) -> Result<(), Said> {
    let form = call.form()?;
    let grant = form.get("grant_type");
    want(grant == Some("urn:ietf:params:oauth:grant-type:jwt-bearer"), "the grant type is not jwt-bearer")?;
    let signed = Signed::parse(form.get("assertion").unwrap_or_default());
    let Some(signed) = signed else { return Said::invalid("the assertion is no JWT") };
    want(signed.header["alg"] == "RS256", "the assertion is not signed with RS256")?;
    for claim in ["iss", "scope", "aud"] {
        want(signed.claims[claim].is_string(), format!("the assertion has no `{claim}`"))?;
    }
    let (Some(made_at), Some(end)) = (signed.claims["iat"].as_u64(), signed.claims["exp"].as_u64()) else {
        return Said::invalid("the assertion has no `iat` and `exp`");
    };
    want(end > now_us() / 1_000_000, "the assertion has ended")?;
    want(end.saturating_sub(made_at) <= 3600, "the assertion lives for more than an hour")
}

impl Signed {
    pub(super) fn parse(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let mut object = || -> Option<Value> {
            let bytes = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
            serde_json::from_slice(&bytes).ok().filter(Value::is_object)
        };
        let (header, claims) = (object()?, object()?);
        let has_signature = parts.next().is_some_and(|signature| URL_SAFE_NO_PAD.decode(signature).is_ok());
        (has_signature && parts.next().is_none()).then_some(Self { header, claims })
    }
}
