//! Version 1 of what is known of the archive, frozen: never edit a field here, make an `archive_v2.rs`.

use bincode::{Decode, Encode};

use super::{CodecError, decode, encode};
use crate::domain::{
    ArchiveCounts, ArchiveId, ArchiveOrder, ArchivePiece, ArchiveState, BLOCK_OFFSETS, ShardId, Timestamp,
};

#[derive(Encode, Decode)]
struct Counts {
    written: u64,
    dropped: u64,
    files: u64,
    bytes: u64,
    left_open: u64,
}

impl Counts {
    fn of(counts: &ArchiveCounts) -> Self {
        let ArchiveCounts { written, dropped, files, bytes, left_open } = *counts;
        Self { written, dropped, files, bytes, left_open }
    }

    fn into_domain(self) -> ArchiveCounts {
        let Self { written, dropped, files, bytes, left_open } = self;
        ArchiveCounts { written, dropped, files, bytes, left_open }
    }
}

#[derive(Encode, Decode)]
struct Order {
    tenant: Option<Box<str>>,
    made_at: u64,
    before: u64,
    state: u8,
    counts: Counts,
    ended_at: Option<u64>,
    error: Option<Box<str>>,
}

#[derive(Encode, Decode)]
struct Piece {
    order: u128,
    shard: u32,
    /// Blocks with the offsets within them.
    picks: Vec<(u64, Vec<u16>)>,
    next: Option<u64>,
    left: Vec<u64>,
    cleared: Vec<u64>,
    is_checked: bool,
    counts: Counts,
}

/// An order; its id is the row's name.
pub fn encode_archive_order(order: &ArchiveOrder) -> Vec<u8> {
    let row = Order {
        tenant: order.tenant.clone(),
        made_at: order.made_at.millis(),
        before: order.before.millis(),
        state: order.state as u8,
        counts: Counts::of(&order.counts),
        ended_at: order.ended_at.map(Timestamp::millis),
        error: order.error.clone(),
    };
    let mut bytes = Vec::with_capacity(80);
    encode(&row, &mut bytes);
    bytes
}

/// Reads what [`encode_archive_order`] wrote.
pub fn decode_archive_order(id: ArchiveId, bytes: &[u8]) -> Result<ArchiveOrder, CodecError> {
    let row: Order = decode(bytes)?;
    let state = ArchiveState::from_index(usize::from(row.state));
    Ok(ArchiveOrder {
        id,
        tenant: row.tenant,
        made_at: Timestamp(row.made_at),
        before: Timestamp(row.before),
        state: state.ok_or_else(|| CodecError::Damaged("it has a state that nobody knows".to_owned()))?,
        counts: row.counts.into_domain(),
        ended_at: row.ended_at.map(Timestamp),
        error: row.error,
    })
}

/// A piece that is being carried out.
pub fn encode_archive_piece(piece: &ArchivePiece) -> Vec<u8> {
    let within = |offsets: &Vec<u64>| offsets.iter().map(|offset| (offset % BLOCK_OFFSETS) as u16).collect();
    let row = Piece {
        order: piece.order.0,
        shard: piece.shard.to_u32(),
        picks: piece.picks.iter().map(|(block, offsets)| (*block, within(offsets))).collect(),
        next: piece.next,
        left: piece.left.clone(),
        cleared: piece.cleared.clone(),
        is_checked: piece.is_checked,
        counts: Counts::of(&piece.counts),
    };
    let mut bytes = Vec::with_capacity(128 + 3 * piece.picks.iter().map(|(_, offsets)| offsets.len()).sum::<usize>());
    encode(&row, &mut bytes);
    bytes
}

/// Reads what [`encode_archive_piece`] wrote.
pub fn decode_archive_piece(bytes: &[u8]) -> Result<ArchivePiece, CodecError> {
    let row: Piece = decode(bytes)?;
    let shard = ShardId::from_u32(row.shard).ok_or_else(|| CodecError::Damaged("it has no shard".to_owned()))?;
    let offsets = |block: u64, within: Vec<u16>| {
        let offset = |within| block.saturating_mul(BLOCK_OFFSETS).saturating_add(u64::from(within) % BLOCK_OFFSETS);
        within.into_iter().map(offset).collect()
    };
    Ok(ArchivePiece {
        order: ArchiveId(row.order),
        shard,
        picks: row.picks.into_iter().map(|(block, within)| (block, offsets(block, within))).collect(),
        next: row.next,
        left: row.left,
        cleared: row.cleared,
        is_checked: row.is_checked,
        counts: row.counts.into_domain(),
    })
}
