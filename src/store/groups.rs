//! What stands under the leaders of groups.

use async_trait::async_trait;

use super::StoreError;
use std::collections::{BTreeMap, HashSet};

use crate::domain::{Gathered, Joined, Owner, Plan, Position, Timestamp, Told, UserKey};

/// One row under a leader. Rows are added and never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    pub leader: Position,
    /// When the leader's message is due: the row is kept for longer.
    pub until: Timestamp,
    /// Under whose secret what is personal of it is to be sealed; backends do not look at it.
    pub owner: Option<Owner>,
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
    /// One of the others, as it stands in its row. Only those see this who write rows and who open them.
    Sealed(Box<SealedEntry>),
}

/// What is to be seen of a row whose actors and data are sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedEntry {
    /// Without actors and data; never sealed itself.
    pub bare: GroupEntry,
    pub owner: UserKey,
    /// All of the entry.
    pub bytes: Box<[u8]>,
}

impl GroupRow {
    /// Its place under the leader: rows written twice are one.
    pub fn place(&self) -> u64 {
        self.entry.place()
    }
}

impl GroupEntry {
    /// As [`GroupRow::place`].
    pub fn place(&self) -> u64 {
        match self {
            GroupEntry::Joined(joined) => joined.first().map_or(0, |one| one.offset) << 1,
            GroupEntry::Left(offset) => offset << 1 | 1,
            GroupEntry::Closed(..) => i64::MAX as u64,
            GroupEntry::Sealed(entry) => entry.bare.place(),
        }
    }

    /// Whether somebody's name or data is in it.
    pub fn is_personal(&self) -> bool {
        match self {
            GroupEntry::Joined(joined) => joined.iter().any(|one| one.actor.is_some() || one.data.is_some()),
            GroupEntry::Left(_) | GroupEntry::Sealed(_) => false,
            GroupEntry::Closed(gathered, _) => !gathered.actors.is_empty() || !gathered.items.is_empty(),
        }
    }

    /// Without actors and data, but with all numbers.
    pub fn bare(&self) -> Self {
        match self {
            GroupEntry::Joined(joined) => {
                let bare = |one: &Joined| Joined { offset: one.offset, actor: None, data: None };
                GroupEntry::Joined(joined.iter().map(bare).collect())
            }
            GroupEntry::Left(offset) => GroupEntry::Left(*offset),
            GroupEntry::Closed(gathered, told) => {
                let Gathered { count, actor_count, .. } = *gathered;
                let gathered = Gathered { count, actor_count, ..Gathered::default() };
                GroupEntry::Closed(gathered, told.clone())
            }
            GroupEntry::Sealed(entry) => entry.bare.clone(),
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
            GroupEntry::Closed(..) | GroupEntry::Sealed(_) => {}
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
