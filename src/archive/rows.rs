//! Where what the archive knows stands: orders, the piece that is carried out, and of each scope (a tenant, or everybody) how far each
//! shard was walked through and which blocks behind that still hold something.

use bytes::Bytes;

use crate::codec;
use crate::domain::{ArchiveId, ArchiveOrder, ArchivePiece, ShardId, Timestamp};
use crate::store::{KeyedKind, KeyedPart, KeyedRow};

/// In the place of a tenant: everybody. No tenant has such a name.
const EVERYBODY: &[u8] = &[0];
const PIECE: &[u8] = b"piece";

fn part(words: &[&[u8]]) -> KeyedPart {
    KeyedPart::of(KeyedKind::Archive, words)
}

/// Every order, in the order in which they were made.
pub(super) fn orders() -> KeyedPart {
    part(&[b"orders"])
}

/// Those that are not over, by the same names.
pub(super) fn open_orders() -> KeyedPart {
    part(&[b"open"])
}

pub(super) fn order_name(made_at: Timestamp, id: ArchiveId) -> Box<[u8]> {
    let mut name = made_at.millis().to_be_bytes().to_vec();
    name.extend(id.0.to_be_bytes());
    name.into()
}

/// Whose order a name is.
pub(super) fn read_order_name(name: &[u8]) -> Option<ArchiveId> {
    name.get(8..)?.first_chunk::<16>().map(|id| ArchiveId(u128::from_be_bytes(*id)))
}

pub(super) fn order_row(order: &ArchiveOrder) -> KeyedRow {
    let body = Some(Bytes::from(codec::encode_archive_order(order)));
    KeyedRow { part: orders(), name: order_name(order.made_at, order.id), body }
}

pub(super) fn open_row(order: &ArchiveOrder) -> KeyedRow {
    let body = (!order.state.is_over()).then(mark);
    KeyedRow { part: open_orders(), name: order_name(order.made_at, order.id), body }
}

fn mark() -> Bytes {
    Bytes::from(codec::encode_mark(1))
}

/// The piece that is carried out: one at a time.
pub(super) fn piece_place() -> (KeyedPart, Box<[u8]>) {
    (part(&[PIECE]), PIECE.into())
}

/// `None`: it is done.
pub(super) fn piece_row(piece: Option<&ArchivePiece>) -> KeyedRow {
    let (part, name) = piece_place();
    KeyedRow { part, name, body: piece.map(|piece| Bytes::from(codec::encode_archive_piece(piece))) }
}

fn scope(tenant: Option<&str>) -> &[u8] {
    tenant.map_or(EVERYBODY, str::as_bytes)
}

/// Where the walk through a shard goes on.
pub(super) fn next_place(tenant: Option<&str>, shard: ShardId) -> (KeyedPart, Box<[u8]>) {
    (part(&[b"next", scope(tenant)]), Box::from(shard.to_u32().to_be_bytes()))
}

pub(super) fn next_row(tenant: Option<&str>, shard: ShardId, block: u64) -> KeyedRow {
    let (part, name) = next_place(tenant, shard);
    KeyedRow { part, name, body: Some(Bytes::from(codec::encode_mark(block))) }
}

/// Blocks that were passed and still hold something.
pub(super) fn left(tenant: Option<&str>, shard: ShardId) -> KeyedPart {
    part(&[b"left", scope(tenant), &shard.to_u32().to_be_bytes()])
}

pub(super) fn left_row(tenant: Option<&str>, shard: ShardId, block: u64, is_left: bool) -> KeyedRow {
    KeyedRow { part: left(tenant, shard), name: Box::from(block.to_be_bytes()), body: is_left.then(mark) }
}

pub(super) fn read_left_name(name: &[u8]) -> Option<u64> {
    name.first_chunk::<8>().map(|block| u64::from_be_bytes(*block))
}
