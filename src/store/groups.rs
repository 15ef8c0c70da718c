//! What stands under the leaders of groups.

use async_trait::async_trait;

use super::StoreError;
use std::collections::{BTreeMap, HashSet};

use crate::domain::{Gathered, Joined, Plan, Position, Timestamp, Told};

/// One row under a leader. Rows are added and never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    pub leader: Position,
    /// When the leader's message is due: the row is kept for longer.
    pub until: Timestamp,
    pub entry: GroupEntry,
}

/// What a row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupEntry {
    /// These joined, in one write and in the order of their offsets; at least one.
    Joined(Vec<Joined>),
    /// This one was taken out again. It may be the leader itself, whose tasks then tell of the others.
    Left(u64),
    /// Nobody joins or leaves any more: from now on this is what the message says, and of whom.
    Closed(Gathered, Told),
}

impl GroupRow {
    /// Its place under the leader: rows written twice are one.
    pub fn place(&self) -> u64 {
        match &self.entry {
            GroupEntry::Joined(joined) => joined.first().map_or(0, |one| one.offset) << 1,
            GroupEntry::Left(offset) => offset << 1 | 1,
            GroupEntry::Closed(..) => i64::MAX as u64,
        }
    }
}

/// Who is in a group, by the rows under its leader: the leader itself, and those who joined; but nobody who left.
pub fn members(leader: &Plan, entries: &[GroupEntry]) -> Vec<Joined> {
    let mut left = HashSet::new();
    let mut joined = BTreeMap::from([(leader.position.offset, leader.joined())]);
    for entry in entries {
        match entry {
            GroupEntry::Joined(all) => joined.extend(all.iter().map(|one| (one.offset, one.clone()))),
            GroupEntry::Left(offset) => drop(left.insert(*offset)),
            GroupEntry::Closed(..) => {}
        }
    }
    joined.into_values().filter(|one| !left.contains(&one.offset)).collect()
}

/// What the message says, once its group is closed.
pub fn closed(entries: &[GroupEntry]) -> Option<&Gathered> {
    entries.iter().find_map(|entry| match entry {
        GroupEntry::Closed(gathered, _) => Some(gathered),
        _ => None,
    })
}

/// Whether the message tells, or will tell, of one who stands under its leader.
pub fn tells_of(entries: &[GroupEntry], offset: u64) -> bool {
    entries.iter().all(|entry| match entry {
        GroupEntry::Closed(_, told) => told.has(offset),
        _ => true,
    })
}

/// The groups of notifications.
#[async_trait]
pub trait Groups: Send + Sync + 'static {
    /// What stands under each leader, in the order asked for; of each first who joined and left, by offset, and last that it
    /// is closed.
    async fn groups(&self, leaders: &[Position]) -> Result<Vec<Vec<GroupEntry>>, StoreError>;
}
