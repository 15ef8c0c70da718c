//! Where the rows are, and what is in them. Pure.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::codec;
use crate::domain::Subscription;
use crate::store::{KeyedKind, KeyedPart, KeyedRow, StoreError};

/// The parts of a subject: ten million followers are some 160,000 in each. Rows say it: never changed.
pub const SPREADS: u16 = 64;

/// In which part of a subject a user is.
pub fn spread_of(user_id: &str) -> u16 {
    (xxh3_64(user_id.as_bytes()) % u64::from(SPREADS)) as u16
}

/// Some of the followers of a subject: the names of the rows are the ids of users, what they hold is for [`read_subscription`].
/// `spread` is below [`SPREADS`].
pub fn subscriber_part(tenant: &str, subject: &str, spread: u16) -> KeyedPart {
    KeyedPart::of(KeyedKind::Subscribers, &[tenant.as_bytes(), subject.as_bytes(), &spread.to_be_bytes()])
}

/// What a user follows: the names of the rows are subjects, and they hold the same.
pub fn subscriptions_part(tenant: &str, user_id: &str) -> KeyedPart {
    KeyedPart::of(KeyedKind::SubscriptionsOf, &[tenant.as_bytes(), user_id.as_bytes()])
}

/// Reads the body of a row of either.
pub fn read_subscription(body: &[u8]) -> Result<Subscription, StoreError> {
    Ok(codec::decode_subscription(body)?)
}

/// A part, and the name of a row of it.
pub(super) type Place = (KeyedPart, Box<[u8]>);

/// The row under the subject.
pub(super) fn of_subject(tenant: &str, subject: &str, user_id: &str) -> Place {
    (subscriber_part(tenant, subject, spread_of(user_id)), user_id.as_bytes().into())
}

/// The row under the user.
pub(super) fn of_user(tenant: &str, subject: &str, user_id: &str) -> Place {
    (subscriptions_part(tenant, user_id), subject.as_bytes().into())
}

/// A row to be written; without a subscription it is taken away.
pub(super) fn row((part, name): Place, subscription: Option<&Subscription>) -> KeyedRow {
    KeyedRow { part, name, body: subscription.map(|one| Bytes::from(codec::encode_subscription(one))) }
}

/// The name of a row.
pub(super) fn text(name: &[u8]) -> Result<Box<str>, StoreError> {
    let text = std::str::from_utf8(name);
    text.map(Box::from).map_err(|_| StoreError::Unreadable("the name of a subscription is no text".to_owned()))
}
