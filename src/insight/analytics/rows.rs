//! Where what is counted stands.

use bytes::Bytes;

use crate::codec;
use crate::domain::{BlockSummary, Cell, DATED_KEPT, RollupState, RollupStep, ShardId, Timestamp};
use crate::store::{KeyedKind, KeyedPart, KeyedRow, newest_first};

/// A row's part and name.
pub(super) type Place = (KeyedPart, Box<[u8]>);

/// Behind the block in the name of a row.
const LIVE: u8 = 0;
const FROZEN: u8 = 1;

pub(super) const DAY_MILLIS: u64 = 86_400_000;

/// Blocks of a shard whose summaries are kept in one part.
const PART_BLOCKS: u64 = 4_096;

fn block_place(shard: ShardId, block: u64, kind: u8) -> Place {
    let part = (block / PART_BLOCKS).to_be_bytes();
    let part = KeyedPart::of(KeyedKind::BlockSummary, &[&shard.to_u32().to_be_bytes(), &part]);
    let mut name = block.to_be_bytes().to_vec();
    name.push(kind);
    (part, name.into())
}

/// What a block came to when it was last computed.
pub(super) fn summary_place(shard: ShardId, block: u64) -> Place {
    block_place(shard, block, LIVE)
}

/// What those of a block came to that were dropped since.
pub(super) fn frozen_place(shard: ShardId, block: u64) -> Place {
    block_place(shard, block, FROZEN)
}

pub(super) fn row((part, name): Place, body: Vec<u8>) -> KeyedRow {
    KeyedRow { part, name, body: Some(Bytes::from(body)) }
}

pub(super) fn summary_row(place: Place, summary: &BlockSummary) -> KeyedRow {
    row(place, codec::encode_block_summary(summary))
}

fn source_part(source: u8) -> KeyedPart {
    KeyedPart::of(KeyedKind::Rollup, &[&[source]])
}

/// How far a source is.
pub(super) fn state_place(source: u8) -> Place {
    (source_part(source), Box::from(&b"state"[..]))
}

pub(super) fn state_row(source: u8, state: &RollupState) -> KeyedRow {
    row(state_place(source), codec::encode_rollup_state(state))
}

/// The step that a source carries out.
pub(super) fn step_place(source: u8) -> Place {
    (source_part(source), Box::from(&b"step"[..]))
}

pub(super) fn step_row(source: u8, step: &RollupStep) -> KeyedRow {
    row(step_place(source), codec::encode_rollup_step(step))
}

/// The days of a tenant in the month of a day.
pub(super) fn days_part(tenant: &str, day: u32) -> KeyedPart {
    let date = Timestamp(u64::from(day) * DAY_MILLIS).to_string();
    KeyedPart::of(KeyedKind::RollupDay, &[tenant.as_bytes(), date.as_bytes().get(..7).unwrap_or_default()])
}

/// The day that the name of a row of [`days_part`] says.
pub(super) fn read_day(name: &[u8]) -> Option<u32> {
    name.first_chunk::<4>().map(|day| u32::from_be_bytes(*day))
}

/// The hours of a day.
pub(super) fn hours_part(tenant: &str, day: u32) -> KeyedPart {
    KeyedPart::of(KeyedKind::RollupHour, &[tenant.as_bytes(), &day.to_be_bytes()])
}

/// The rows that a count goes into: that of its day, and that of its hour, as long as those are kept.
pub(super) fn rollup_places(cell: &Cell, source: u8, now: Timestamp) -> Vec<Place> {
    let mut day = cell.day().to_be_bytes().to_vec();
    day.push(source);
    let mut places = vec![(days_part(&cell.tenant, cell.day()), day.into())];
    let start = Cell::start_of(cell.hour);
    if start + DATED_KEPT > now {
        let mut hour = newest_first(start).to_vec();
        hour.push(source);
        places.push((hours_part(&cell.tenant, cell.day()), hour.into()));
    }
    places
}
