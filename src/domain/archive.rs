//! The archive: what is asked for, and how far it is.

use super::{Position, ShardId, Timestamp};

/// Names an order: the same however often it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchiveId(pub u128);

/// Where an order is. The numbers are those of the rows and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArchiveState {
    /// Others are before it.
    Waiting = 0,
    Running = 1,
    /// All that could be taken was.
    Done = 2,
    /// It cannot be carried out as the engine is configured; why is said.
    Failed = 3,
}

impl ArchiveState {
    pub const ALL: [ArchiveState; 4] = [Self::Waiting, Self::Running, Self::Done, Self::Failed];

    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    pub fn name(self) -> &'static str {
        ["waiting", "running", "done", "failed"][self as usize]
    }

    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

/// What was done of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ArchiveCounts {
    /// Notifications that stand in files which were read back.
    pub written: u64,
    /// Notifications that are not in the store any more.
    pub dropped: u64,
    pub files: u64,
    /// Of the files, as they lie there.
    pub bytes: u64,
    /// Old enough, and not over yet, or still needed.
    pub left_open: u64,
}

impl ArchiveCounts {
    pub fn add(&mut self, other: Self) {
        self.written += other.written;
        self.dropped += other.dropped;
        self.files += other.files;
        self.bytes += other.bytes;
        self.left_open += other.left_open;
    }
}

/// Notifications that are to be archived and dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveOrder {
    pub id: ArchiveId,
    /// Whose; `None`: everybody's.
    pub tenant: Option<Box<str>>,
    pub made_at: Timestamp,
    /// Those accepted before this.
    pub before: Timestamp,
    pub state: ArchiveState,
    pub counts: ArchiveCounts,
    pub ended_at: Option<Timestamp>,
    /// Why it failed, for people.
    pub error: Option<Box<str>>,
}

/// A part of an order that is carried out as one: what stands in it is written, read back, and only then dropped. It is written down before
/// the first of that, so that whoever goes on after a crash does the very same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivePiece {
    pub order: ArchiveId,
    pub shard: ShardId,
    /// Blocks in order, each with the offsets in it, in order.
    pub picks: Vec<(u64, Vec<u64>)>,
    /// Where the walk through the shard goes on after it; `None`: it is of blocks that were passed before.
    pub next: Option<u64>,
    /// Blocks passed in which something is left.
    pub left: Vec<u64>,
    /// Blocks in which nothing is left any more.
    pub cleared: Vec<u64>,
    /// Its files were read back: only the dropping is to be done.
    pub is_checked: bool,
    /// What is to be added to those of the order.
    pub counts: ArchiveCounts,
}

impl ArchivePiece {
    /// Of all notifications in it, in order.
    pub fn positions(&self) -> Vec<Position> {
        let offsets = self.picks.iter().flat_map(|(_, offsets)| offsets);
        offsets.map(|offset| Position::new(self.shard, *offset)).collect()
    }
}
