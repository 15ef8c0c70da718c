//! Version 8 of the record of a request, frozen: whose it is and what must be known without its contents, in clear, and behind that the
//! sealed bytes of the request in a version before.

use bincode::{Decode, Encode};

use super::v1::{self, Text};
use super::{CodecError, REQUEST_SEALED, decode_prefix, encode_as};
use crate::domain::{CampaignId, ClaimKey, Idempotency, NotificationRequest, RequestHead, Timestamp, UserKey};

#[derive(Encode)]
struct HeadOut<'a> {
    tenant: &'a str,
    user_id: &'a str,
    is_of_user: bool,
    source: u8,
    accepted_at: u64,
    campaign: Option<u128>,
    /// The key, the hash of the body, the key of the batch.
    idempotency: Option<(u128, u64, Option<u128>)>,
}

#[derive(Decode)]
struct Head {
    tenant: Text,
    user_id: Text,
    is_of_user: bool,
    source: u8,
    accepted_at: u64,
    campaign: Option<u128>,
    idempotency: Option<(u128, u64, Option<u128>)>,
}

/// Begins the record of a request of `owner`: the sealed bytes are appended to it, and all that is before them is their place.
pub fn encode_request_head(owner: &UserKey, request: &NotificationRequest, bytes: &mut Vec<u8>) {
    let key = |retry: Idempotency| (retry.key.0, retry.body_hash, retry.batch.map(|batch| batch.0));
    let head = HeadOut {
        tenant: &owner.tenant,
        user_id: &owner.user_id,
        is_of_user: request.user_id.is_some(),
        source: request.source.index() as u8,
        accepted_at: request.accepted_at.millis(),
        campaign: request.campaign.map(|campaign| campaign.0),
        idempotency: request.idempotency.map(key),
    };
    encode_as(REQUEST_SEALED, &head, bytes);
}

/// The head of a record, and where its sealed bytes begin; `None`: it is not sealed.
pub fn decode_request_head(bytes: &[u8]) -> Result<Option<(RequestHead, usize)>, CodecError> {
    let Some((&REQUEST_SEALED, rest)) = bytes.split_first() else { return Ok(None) };
    let (Head { tenant, user_id, is_of_user, source, accepted_at, campaign, idempotency }, read) =
        decode_prefix::<Head>(rest)?;
    let key = |(key, body_hash, batch): (u128, u64, Option<u128>)| Idempotency {
        key: ClaimKey(key),
        body_hash,
        batch: batch.map(ClaimKey),
    };
    let head = RequestHead {
        owner: UserKey { tenant, user_id },
        is_of_user,
        source: v1::source(source)?,
        accepted_at: Timestamp(accepted_at),
        campaign: campaign.map(CampaignId),
        idempotency: idempotency.map(key),
    };
    Ok(Some((head, 1 + read)))
}
