//! What users said of consent, all of it: a row for each time, which is never changed. What counts of a purpose stands with the user.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::codec;
use crate::domain::{Consent, UserKey};
use crate::store::{KeyedKind, KeyedPart, KeyedRow, NamedRow, StoreError, newest_first};

/// Behind the purpose in the name of a row; no purpose has it.
const END: u8 = 0;

/// A record, and of which purpose.
pub type ConsentRecord = (Box<str>, Consent);

/// The records of a user: by purpose, the latest first.
pub fn consent_part(user: &UserKey) -> KeyedPart {
    KeyedPart::of(KeyedKind::Consents, &[user.tenant.as_bytes(), user.user_id.as_bytes()])
}

/// The row of a record; the same again is the same row.
pub(super) fn consent_row(user: &UserKey, purpose: &str, consent: &Consent) -> KeyedRow {
    let body = codec::encode_consent(purpose, consent);
    let mut name = purpose.as_bytes().to_vec();
    name.push(END);
    name.extend(newest_first(consent.at));
    name.extend(newest_first(consent.recorded_at));
    name.extend(xxh3_64(&body).to_be_bytes());
    KeyedRow { part: consent_part(user), name: name.into(), body: Some(Bytes::from(body)) }
}

/// Between which names the records of one purpose are.
pub fn consents_of(purpose: &str) -> (Vec<u8>, Vec<u8>) {
    let bound = |last| [purpose.as_bytes(), &[last]].concat();
    (bound(END), bound(END + 1))
}

/// Reads a row of [`consent_part`].
pub fn read_consent((_, body): &NamedRow) -> Result<ConsentRecord, StoreError> {
    Ok(codec::decode_consent(body)?)
}
