//! The token that says who we are: signed here, shared by all connections, and not signed anew too often.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::header::HeaderValue;
use serde::Serialize;

use crate::config::{self, Secret};
use crate::domain::Timestamp;
use crate::providers::jwt::Es256;
use crate::providers::options;

pub(super) struct Signer {
    key: Es256,
    key_id: String,
    team_id: String,
    minted: Mutex<Option<Minted>>,
}

struct Minted {
    header: HeaderValue,
    at: Timestamp,
}

/// "Refresh your token no more than once every 20 minutes and no less than once every 60 minutes" (Apple, "Establishing a token-based
/// connection to APNs").
const YOUNGEST_REPLACED: Duration = Duration::from_secs(20 * 60);
const REPLACED_AFTER: Duration = Duration::from_secs(45 * 60);

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: u64,
}

impl Signer {
    pub(super) fn new(key: &Secret, settings: &config::Provider) -> Result<Self, String> {
        let key = Es256::from_pem(key.expose()).map_err(|error| format!("`private_key`: {error}"))?;
        let wanted = |name: &str, what: &str| {
            let found = options::text(settings, name)?;
            found.map(str::to_owned).ok_or_else(|| format!("`options.{name}`: write {what}"))
        };
        let key_id = wanted("key_id", "the id of the key, ten characters")?;
        let team_id = wanted("team_id", "the id of the team, ten characters")?;
        Ok(Self { key, key_id, team_id, minted: Mutex::default() })
    }

    /// `bearer …`. Where `refused` is the present one, it is replaced, unless it is so young that another one would not help
    /// and be counted against us.
    pub(super) fn token(&self, now: Timestamp, refused: Option<&HeaderValue>) -> Result<HeaderValue, String> {
        let mut minted = self.minted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(present) = &*minted {
            let age_max = if refused == Some(&present.header) { YOUNGEST_REPLACED } else { REPLACED_AFTER };
            // A clock that was set back makes a token from the future.
            if now >= present.at && now.since(present.at) < age_max {
                return Ok(present.header.clone());
            }
        }
        let header = Header { alg: "ES256", kid: &self.key_id };
        let token = self.key.sign(&header, &Claims { iss: &self.team_id, iat: now.millis() / 1000 })?;
        let mut header = HeaderValue::from_str(&format!("bearer {token}")).map_err(|_| "the token is no header")?;
        header.set_sensitive(true);
        *minted = Some(Minted { header: header.clone(), at: now });
        Ok(header)
    }
}
