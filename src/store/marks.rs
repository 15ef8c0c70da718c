//! Marks of what changed: which blocks of events were written, by the minute in which they were. Whoever adds something up from the rows of
//! blocks reads them to know which to read again.
//!
//! A mark is there before its events, or with them, and once more when they came later than its minute. It says when the block was last
//! marked, so that who reads it again sees whether there was more.

use std::collections::BTreeSet;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::{KeyedKind, KeyedPart, KeyedRow, NamedRow, newest_first};
use crate::codec;
use crate::domain::{Event, EventKind, ShardId, Timestamp};

/// Into so many parts the shards are divided, so that as many may follow them. Rows say it: never changed.
pub const SOURCES: u8 = 4;

/// Of the minutes by which marks are kept.
pub const MINUTE_MILLIS: u64 = 60_000;

/// The part of a shard.
pub fn source_of(shard: ShardId) -> u8 {
    (xxh3_64(&shard.to_u32().to_be_bytes()) % u64::from(SOURCES)) as u8
}

/// The marks of a source in a minute, counted since 1970.
pub fn touched_part(source: u8, minute: u64) -> KeyedPart {
    KeyedPart::of(KeyedKind::Touched, &[&[source], &minute.to_be_bytes()])
}

/// The mark of a block that is written at this time.
pub fn touched_row(shard: ShardId, block: u64, at: Timestamp) -> KeyedRow {
    let minute = at.millis() / MINUTE_MILLIS;
    let mut name = newest_first(Timestamp(minute * MINUTE_MILLIS)).to_vec();
    name.extend(shard.to_u32().to_be_bytes());
    name.extend(block.to_be_bytes());
    let body = Some(Bytes::from(codec::encode_mark(at.millis())));
    KeyedRow { part: touched_part(source_of(shard), minute), name: name.into(), body }
}

/// Which block a mark is of, and when it was marked last; `None`: it is no mark.
pub fn read_touched((name, body): &NamedRow) -> Option<(ShardId, u64, Timestamp)> {
    let shard = ShardId::from_u32(u32::from_be_bytes(*name.get(8..)?.first_chunk::<4>()?))?;
    let block = u64::from_be_bytes(*name.get(12..)?.first_chunk::<8>()?);
    Some((shard, block, Timestamp(codec::decode_mark(body).ok()?)))
}

/// The blocks of events that may change what is counted. What was planned, and what was merged or left out in planning, does not.
pub fn touched_blocks(events: &[Event]) -> BTreeSet<u64> {
    let counts = |event: &&Event| !matches!(event.kind, EventKind::Accepted | EventKind::Merged | EventKind::Skipped);
    events.iter().filter(counts).map(|event| event.task.position.block()).collect()
}
