//! Version 2 of what is known of users and addresses: where it is sealed. Frozen: never edit a field here, make a `users_v3.rs`.
//!
//! Types named `…Out` borrow what they write.

use bincode::{Decode, Encode};

use super::CodecError;
use super::users_v1::damaged;
use crate::domain::{self, SuppressionCause, Timestamp};

/// An entry of a user by its slot, and its sealed bytes.
#[derive(Encode)]
pub(super) struct EntryOut<'a> {
    kind: u8,
    name: &'a str,
    sealed: &'a [u8],
}

#[derive(Decode)]
pub(super) struct Entry {
    kind: u8,
    name: Box<str>,
    sealed: Box<[u8]>,
}

impl<'a> From<&'a domain::SealedEntry> for EntryOut<'a> {
    fn from(entry: &'a domain::SealedEntry) -> Self {
        Self { kind: entry.kind, name: &entry.name, sealed: &entry.sealed }
    }
}

impl Entry {
    pub(super) fn into_domain(self) -> domain::SealedEntry {
        let Self { kind, name, sealed } = self;
        domain::SealedEntry { kind, name, sealed }
    }
}

/// A suppression that holds, with the sealed bytes of its address; what it is of is the row's key.
#[derive(Encode)]
pub(super) struct SuppressionOut<'a> {
    sealed_address: &'a [u8],
    cause: u8,
    since: u64,
    until: Option<u64>,
}

#[derive(Decode)]
pub(super) struct Suppression {
    sealed_address: Box<[u8]>,
    cause: u8,
    since: u64,
    until: Option<u64>,
}

impl<'a> SuppressionOut<'a> {
    pub(super) fn new(suppression: &domain::Suppression, sealed_address: &'a [u8]) -> Self {
        Self {
            sealed_address,
            cause: suppression.cause as u8,
            since: suppression.since.millis(),
            until: suppression.until.map(Timestamp::millis),
        }
    }
}

impl Suppression {
    pub(super) fn into_domain(self) -> Result<domain::Suppression, CodecError> {
        let Self { sealed_address, cause, since, until } = self;
        let cause = SuppressionCause::from_index(usize::from(cause)).ok_or_else(|| damaged("cause"))?;
        let (since, until) = (Timestamp(since), until.map(Timestamp));
        Ok(domain::Suppression { address: None, sealed_address: Some(sealed_address), cause, since, until })
    }
}

#[cfg(test)]
mod tests {
    use crate::codec::tests::check_golden;
    use crate::codec::{decode_suppression, decode_user_entry, encode_suppression, encode_user_entry};
    use crate::domain::{SealedEntry, Suppression, SuppressionCause, Timestamp, UserEntry};

    #[test]
    fn what_version_2_wrote_of_users_is_read_and_written_the_same() {
        let entry = SealedEntry { kind: 5, name: "tier".into(), sealed: [7; 40].into() };
        let entry = UserEntry::Sealed(entry);
        let golden = check_golden("user_entry_sealed_v2.bin", &encode_user_entry(&entry));
        assert_eq!(decode_user_entry(&golden), Ok(entry));
        let suppression = Suppression {
            address: None,
            sealed_address: Some([9; 40].into()),
            cause: SuppressionCause::Complaint,
            since: Timestamp(1_800_000_000_000),
            until: Some(Timestamp(1_800_000_060_000)),
        };
        let bytes = check_golden("suppression_sealed_v2.bin", &encode_suppression(Some(&suppression)));
        assert_eq!(decode_suppression(&bytes), Ok(Some(suppression)));
        for end in 0..golden.len() {
            assert!(decode_user_entry(&golden[..end]).is_err(), "cut at {end}");
        }
        for end in 0..bytes.len() {
            assert!(decode_suppression(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}
