//! The retry key that a caller gives with a request, as a claim: the same one whichever door the request came through.

use ring::digest::{Context, SHA256};
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::{CampaignId, ClaimKey, Idempotency};

/// What a single notification is for, in its retry key: a key that was used at the API counts in the log as well.
pub const NOTIFY: &str = "POST /v1/notifications";

/// A key, hashed with whose it is and what it is for: 128 bits, so that no personal datum is in a claim.
pub fn hashed_key(tenant: &str, call: &str, key: &[u8]) -> u128 {
    let mut context = Context::new(&SHA256);
    for part in [tenant.as_bytes(), call.as_bytes(), key] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut hash = [0; 16];
    hash.copy_from_slice(&context.finish().as_ref()[..16]);
    u128::from_be_bytes(hash)
}

/// The key of one notification that came by itself.
pub(super) fn of_notification(tenant: &str, key: &[u8], body: &[u8]) -> Idempotency {
    Idempotency { key: ClaimKey(hashed_key(tenant, NOTIFY, key)), body_hash: xxh3_64(body), batch: None }
}

/// The business key (`dedup_key`) of one of several who are told the same: it is the tenant's, so each has one of their own, and a member
/// of a campaign the same as who is told at once.
pub fn dedup_key_of(key: &str, member: &str) -> Box<str> {
    // No user id has a line break.
    format!("{key}\n{member}").into()
}

/// The key of what one member of a campaign is told, by the name that the member has there; for a user it is their id. What the
/// member is told counts for nothing: whoever is there twice is told once.
pub fn campaign_key(tenant: &str, campaign: CampaignId, member: &str) -> Idempotency {
    let key = [&campaign.0.to_be_bytes()[..], member.as_bytes()].concat();
    Idempotency { key: ClaimKey(hashed_key(tenant, "member of a campaign", &key)), body_hash: 0, batch: None }
}
