//! Where the rows of inboxes are, and what is in them. Pure.

use bytes::Bytes;

use crate::codec;
use crate::domain::{InboxEntry, InboxPlace, Position, ShardId, TaskId, UserKey};
use crate::store::{KeyedKind, KeyedPart, KeyedRow, StoreError, newest_first, read_newest_first};

/// What a row holds that says only that it is there.
const THERE: &[u8] = &[1];

pub(super) fn part(kind: KeyedKind, user: &UserKey) -> KeyedPart {
    KeyedPart::of(kind, &[user.tenant.as_bytes(), user.user_id.as_bytes()])
}

/// Inverted time, shard, offset, ordinal.
pub(super) fn name(place: InboxPlace) -> Box<[u8]> {
    let mut name = newest_first(place.at).to_vec();
    name.extend(place.task.position.shard.to_u32().to_be_bytes());
    name.extend(place.task.position.offset.to_be_bytes());
    name.push(place.task.ordinal);
    name.into()
}

pub(super) fn read_name(name: &[u8]) -> Result<InboxPlace, StoreError> {
    let read = || {
        let at = read_newest_first(name)?;
        let (shard, rest) = name.get(8..)?.split_first_chunk::<4>()?;
        let (offset, rest) = rest.split_first_chunk::<8>()?;
        let [ordinal] = *rest else { return None };
        let shard = ShardId::from_u32(u32::from_be_bytes(*shard))?;
        let position = Position::new(shard, u64::from_be_bytes(*offset));
        Some(InboxPlace { at, task: TaskId { position, ordinal } })
    };
    read().ok_or_else(|| StoreError::Unreadable("the name of an entry of an inbox".to_owned()))
}

pub(super) fn entry(kind: KeyedKind, user: &UserKey, entry: &InboxEntry) -> KeyedRow {
    let body = Bytes::from(codec::encode_inbox_entry(entry));
    KeyedRow { part: part(kind, user), name: name(entry.place), body: Some(body) }
}

pub(super) fn read_entry(name: &[u8], body: &[u8]) -> Result<InboxEntry, StoreError> {
    Ok(codec::decode_inbox_entry(read_name(name)?, body)?)
}

/// A row that says only that it is there.
pub(super) fn flag(kind: KeyedKind, user: &UserKey, place: InboxPlace) -> KeyedRow {
    KeyedRow { part: part(kind, user), name: name(place), body: Some(Bytes::from_static(THERE)) }
}

pub(super) fn gone(kind: KeyedKind, user: &UserKey, place: InboxPlace) -> KeyedRow {
    KeyedRow { part: part(kind, user), name: name(place), body: None }
}
