//! Version 1 of what is sealed, frozen: whose it is, in clear, and the sealed bytes. The first byte is no version of any value.

use bincode::{Decode, Encode};

use super::{CodecError, decode, decode_prefix, encode};
use crate::domain::UserKey;

/// The first byte of what is sealed.
pub(super) const SEALED: u8 = 0xF5;

#[derive(Encode)]
struct OwnerOut<'a> {
    tenant: &'a str,
    user_id: &'a str,
}

#[derive(Decode)]
struct Owner {
    tenant: Box<str>,
    user_id: Box<str>,
}

/// Begins a sealed value: the sealed bytes are appended to it.
pub fn encode_sealed_owner(owner: &UserKey, bytes: &mut Vec<u8>) {
    super::encode_as(SEALED, &OwnerOut { tenant: &owner.tenant, user_id: &owner.user_id }, bytes);
}

/// Whose a value is, and its sealed bytes; `None`: it is not sealed.
pub fn decode_sealed(bytes: &[u8]) -> Result<Option<(UserKey, &[u8])>, CodecError> {
    let Some((&SEALED, rest)) = bytes.split_first() else { return Ok(None) };
    let (Owner { tenant, user_id }, read) = decode_prefix::<Owner>(rest)?;
    Ok(Some((UserKey { tenant, user_id }, &rest[read..])))
}

/// To which file of secrets a database belongs: the file's number, and how many of its slots were given out.
pub fn encode_secret_file(number: u64, given: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    encode(&(number, given), &mut bytes);
    bytes
}

/// Reads what [`encode_secret_file`] wrote.
pub fn decode_secret_file(bytes: &[u8]) -> Result<(u64, u64), CodecError> {
    decode(bytes)
}

/// The slots of a user's secrets.
pub fn encode_secret_slots(slots: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + 5 * slots.len());
    encode(&slots, &mut bytes);
    bytes
}

/// Reads what [`encode_secret_slots`] wrote.
pub fn decode_secret_slots(bytes: &[u8]) -> Result<Vec<u64>, CodecError> {
    decode(bytes)
}
