//! What a link to the page of preferences says: whose they are, since when it is there, and until when it counts.

use super::token::text;
use crate::domain::Timestamp;

/// The first byte; another form has another.
const VERSION: u8 = 1;

/// Whose preferences a link opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChoicesLink {
    pub tenant: Box<str>,
    pub user_id: Box<str>,
    /// Who was erased since is another.
    pub made_at: Timestamp,
    pub expires_at: Timestamp,
}

/// Why a link does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    #[error("this link was not made here")]
    Unknown,
    #[error("this link has expired")]
    Expired,
}

/// `None`: a text is longer than its length can say.
pub(super) fn write(link: &ChoicesLink, bytes: &mut Vec<u8>) -> Option<()> {
    bytes.push(VERSION);
    for time in [link.made_at, link.expires_at] {
        bytes.extend_from_slice(&time.millis().to_be_bytes());
    }
    for text in [&link.tenant, &link.user_id] {
        bytes.extend_from_slice(&u16::try_from(text.len()).ok()?.to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    Some(())
}

pub(super) fn read(bytes: &[u8]) -> Option<ChoicesLink> {
    let (&[version], rest) = bytes.split_first_chunk()?;
    let (made_at, rest) = rest.split_first_chunk::<8>()?;
    let (expires_at, mut rest) = rest.split_first_chunk::<8>()?;
    if version != VERSION {
        return None;
    }
    let (tenant, user_id) = (text(&mut rest)?, text(&mut rest)?);
    let [made_at, expires_at] = [made_at, expires_at].map(|time| Timestamp(u64::from_be_bytes(*time)));
    rest.is_empty().then_some(ChoicesLink { tenant, user_id, made_at, expires_at })
}
