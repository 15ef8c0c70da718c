//! Who calls: `Authorization: Bearer KEY`.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

use super::problem::{Kind, Problem};
use super::rate::RateLimit;
use crate::clock::SharedClock;
use crate::config::{ApiKey, Scope};
use crate::links::{PASS_PREFIX, Pass};

/// The tenant in whose name a request comes.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) tenant: Arc<str>,
    pub(super) is_admin: bool,
    /// That of the key, for the record of who did what.
    pub(super) name: Arc<str>,
    /// The one user that this caller may ask about: it is a program of theirs. `None`: all of the tenant.
    pub(super) only: Option<Arc<str>>,
    /// What the key may do; a pass says it by where it may be shown.
    pub(super) scopes: Arc<[Scope]>,
}

impl Caller {
    /// A program of the user who was given the pass.
    pub(super) fn of(pass: &Pass) -> Self {
        let (tenant, only) = ((*pass.tenant).into(), Some((*pass.user_id).into()));
        Self { tenant, is_admin: false, name: "user".into(), only, scopes: Arc::default() }
    }
}

/// The keys that are known: their hashes only.
pub(super) struct Keys {
    keys: Vec<Key>,
    clock: SharedClock,
}

struct Key {
    hash: [u8; 32],
    caller: Caller,
    rate: Option<RateLimit>,
}

impl Keys {
    pub(super) fn new(keys: &[ApiKey], clock: SharedClock) -> Self {
        let now = clock.now();
        let keys = keys.iter().enumerate().map(|(index, key)| Key {
            hash: hash(key.key.expose().as_bytes()),
            caller: Caller {
                tenant: key.tenant.as_str().into(),
                is_admin: key.scopes.contains(&Scope::Admin),
                name: key.name.clone().unwrap_or_else(|| format!("key {}", index + 1)).into(),
                only: None,
                scopes: key.scopes.as_slice().into(),
            },
            rate: key.rate_per_second.map(|per_second| RateLimit::new(per_second, now)),
        });
        Self { keys: keys.collect(), clock }
    }

    /// The caller, if the key is known, may do this (`None`: whatever it may do) and is within its rate.
    pub(super) fn authorize(&self, headers: &HeaderMap, scope: Option<Scope>) -> Result<Caller, Problem> {
        let presented = bearer(headers).ok_or_else(|| {
            Problem::new(Kind::Unauthorized, "send the header `Authorization: Bearer KEY` with a key of `http.keys`")
        })?;
        let key = self.find(presented).ok_or_else(|| Problem::new(Kind::Unauthorized, "this key is not known here"))?;
        if let Some(scope) = scope.filter(|scope| !key.caller.scopes.contains(scope)) {
            let detail = format!("the key lacks the scope `{}`", scope_name(scope));
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        if let Some(rate) = &key.rate {
            rate.take(self.clock.now())
                .map_err(|wait| Problem::new(Kind::TooMany, "the key is over its request rate").retry_after(wait))?;
        }
        Ok(key.caller.clone())
    }

    /// Looks at every key, and at every byte of its hash, so that the time says nothing about how close a guess was.
    fn find(&self, presented: &[u8]) -> Option<&Key> {
        let presented = hash(presented);
        let mut found = None;
        for key in &self.keys {
            if bool::from(key.hash.ct_eq(&presented)) {
                found = Some(key);
            }
        }
        found
    }
}

fn hash(key: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, key).as_ref());
    bytes
}

/// The pass in the place of a key, if there is one.
pub(super) fn presented_pass(headers: &HeaderMap) -> Option<&str> {
    std::str::from_utf8(bearer(headers)?).ok().filter(|text| text.starts_with(PASS_PREFIX))
}

/// The credentials of the header; the scheme's name is read in either case (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| key.trim_ascii())
}

/// The word of the configuration.
pub(super) fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Send => "send",
        Scope::Read => "read",
        Scope::Admin => "admin",
    }
}
