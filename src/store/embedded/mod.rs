//! The store in the embedded database.
//!
//! Rows are packed, so that the cost of a row is shared: all plans of one write and block are one row, and so are its events.
//! All numbers in keys are big-endian, so that their order is that of the bytes. Writes are numbered, and the number ends the
//! key of a packed row: no write ever takes the place of another's row, and of two that say something else of the same thing
//! the later one counts.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | plans | shard · first offset · last offset within the block · write | (offset, plan)… |
//! | events | shard · block · write | (offset, event)… |
//! | timers | shard · due · offset · ordinal · attempt | channel, endpoint |
//! | groups | shard · offset of the leader · place | who joined or left, or what was gathered |
//! | claims | key | expiry, claim |
//! | received | hash of tenant and user · shard · offset | expiry, entry |
//! | history | hash of tenant and user · inverted time · shard · offset | – |
//! | dead_letters | hash of tenant · inverted time · shard · offset · ordinal | dead letter; for 30 days |
//! | unindexed | group | rows of plans whose claims and history are not in their tables yet |
//! | shards | shard · kind | books, cursors, or the log's mark |
//! | shards | `openings` | how often the store was opened |
//! | budgets | category · day · process | expiry, total |
//! | users | tenant · user · kind · name | entry |
//! | suppressions | tenant · kind of address · hash of the address | suppression |
//! | brakes | tenant · kind · effect · name | brake |
//! | templates | `t` · tenant | – |
//! | templates | `c` · tenant · number | change |
//! | templates | `b` · tenant · code · body | what was written |
//! | definitions | `t` · tenant | how often it changed something |
//! | definitions | `d` · tenant · kind · name | version, body |
//! | keyed | kind · part · name | body |
//! | dated | as in `keyed`; the name begins with an inverted time | body |
//!
//! Beside the database stands the file `secrets`: see [`secrets`].
//!
//! The books are totals, kept in memory by the writing thread and written with the rows they count, in the same atomic batch. A
//! write that was refused has added nothing; after one that failed the database takes no more writes at all until it is opened
//! again, and then the row tells whether it was counted. So a caller that writes again after an error never counts twice.

mod groups;
mod index;
mod keys;
mod shards;
mod write;
mod read;
mod users;
mod brakes;
mod templates;
mod definitions;
mod keyed;
mod drops;
mod received;
mod secrets;
mod budgets;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::disk::{Disk, DiskError};
use crate::store::StoreError;
use index::Index;
use secrets::Slots;
use shards::Shards;

/// Numbers for a million writes a second over a month between two openings.
const WRITES_BITS: u32 = 42;

/// The store in the embedded database.
pub struct EmbeddedStore {
    disk: Arc<Disk>,
    shards: Arc<Shards>,
    index: Arc<Index>,
    /// Numbers the packed rows; above all that were given before.
    next_write: AtomicU64,
    /// Held while a change of a template is appended or a definition is put: one looks whether its number is free, and then takes it.
    appending: tokio::sync::Mutex<()>,
    slots: Arc<Slots>,
    /// Held while slots are given or destroyed.
    giving_slots: tokio::sync::Mutex<()>,
}

impl EmbeddedStore {
    pub fn open(disk: Arc<Disk>) -> Result<Arc<Self>, StoreError> {
        let shards = Arc::new(Shards::open(&disk)?);
        let next_write = AtomicU64::new(shards::count_opening(&disk)? << WRITES_BITS);
        let index = Index::open(&disk)?;
        disk.ride(index.clone());
        let slots = Slots::open(&disk)?;
        let (appending, giving_slots) = Default::default();
        Ok(Arc::new(Self { disk, shards, index, next_write, appending, slots, giving_slots }))
    }
}

impl From<DiskError> for StoreError {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::Full { dir } => StoreError::Full { path: dir.display().to_string() },
            error => StoreError::Failed(error.to_string()),
        }
    }
}
