//! What a program of a user shows instead of a key: who it is, until when, and whose presence it may see.

use super::token::text;
use crate::domain::Timestamp;

/// What a pass begins with, so that it is not taken for a key.
pub const PASS_PREFIX: &str = "fup_";

/// Users that a pass may name.
pub const PASS_USERS_MAX: usize = 100;

/// The first byte; another form has another.
const VERSION: u8 = 1;
const NOBODY: u8 = 0;
const EVERYBODY: u8 = 1;
const THESE: u8 = 2;

/// A user of a tenant, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    pub tenant: Box<str>,
    pub user_id: Box<str>,
    pub expires_at: Timestamp,
    pub may_see: MaySee,
}

/// Whose coming and going somebody may see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum MaySee {
    #[default]
    Nobody,
    Everybody,
    These(Vec<Box<str>>),
}

impl MaySee {
    pub fn may(&self, user_id: &str) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::These(users) => users.iter().any(|user| **user == *user_id),
        }
    }
}

/// Why a pass does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    #[error("this token was not made here: make one with POST /v1/users/{{id}}/ws-token")]
    Unknown,
    #[error("this token has expired: make another with POST /v1/users/{{id}}/ws-token")]
    Expired,
}

/// `None`: it says more than fits.
pub(super) fn write(pass: &Pass, bytes: &mut Vec<u8>) -> Option<()> {
    let (seen, users): (u8, &[Box<str>]) = match &pass.may_see {
        MaySee::Nobody => (NOBODY, &[]),
        MaySee::Everybody => (EVERYBODY, &[]),
        MaySee::These(users) => (THESE, users),
    };
    if users.len() > PASS_USERS_MAX {
        return None;
    }
    bytes.extend_from_slice(&[VERSION, seen, u8::try_from(users.len()).ok()?]);
    bytes.extend_from_slice(&pass.expires_at.millis().to_be_bytes());
    for text in [&pass.tenant, &pass.user_id].into_iter().chain(users) {
        bytes.extend_from_slice(&u16::try_from(text.len()).ok()?.to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    Some(())
}

pub(super) fn read(bytes: &[u8]) -> Option<Pass> {
    let (&[version, seen, count], rest) = bytes.split_first_chunk()?;
    let (expires_at, mut rest) = rest.split_first_chunk::<8>()?;
    if version != VERSION {
        return None;
    }
    let (tenant, user_id) = (text(&mut rest)?, text(&mut rest)?);
    let users = (0..count).map(|_| text(&mut rest)).collect::<Option<Vec<_>>>()?;
    let may_see = match seen {
        NOBODY => MaySee::Nobody,
        EVERYBODY => MaySee::Everybody,
        THESE => MaySee::These(users),
        _ => return None,
    };
    let expires_at = Timestamp(u64::from_be_bytes(*expires_at));
    rest.is_empty().then_some(Pass { tenant, user_id, expires_at, may_see })
}
