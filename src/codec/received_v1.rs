//! Version 1 of what a user was planned to get, frozen: three numbers, of eight bytes each.

use super::CodecError;
use crate::domain::{Position, Timestamp};
use crate::store::ReceivedEntry;

const VERSION: u8 = 1;

/// Without its position, which is in the row's key.
pub fn encode_received(entry: &ReceivedEntry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(25);
    bytes.push(VERSION);
    for number in [entry.at.millis(), entry.message_type, entry.category] {
        bytes.extend(number.to_be_bytes());
    }
    bytes
}

pub fn decode_received(position: Position, bytes: &[u8]) -> Result<ReceivedEntry, CodecError> {
    let Some((VERSION, rest)) = bytes.split_first().map(|(version, rest)| (*version, rest)) else {
        return Err(CodecError::Damaged("it holds nothing that a user got".to_owned()));
    };
    let number = |place: usize| {
        let bytes = rest.get(place * 8..)?.first_chunk::<8>()?;
        Some(u64::from_be_bytes(*bytes))
    };
    match (number(0), number(1), number(2)) {
        (Some(at), Some(message_type), Some(category)) => {
            Ok(ReceivedEntry { position, at: Timestamp(at), message_type, category })
        }
        _ => Err(CodecError::Damaged("it ends early".to_owned())),
    }
}
