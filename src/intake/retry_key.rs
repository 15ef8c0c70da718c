//! The retry key that a caller gives with a request, as a claim: the same one whichever door the request came through.

use ring::digest::{Context, SHA256};
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::{ClaimKey, Idempotency};

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
