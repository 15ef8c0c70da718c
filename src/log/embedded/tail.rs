//! The newest groups of a partition, in memory. Pure.

use std::collections::VecDeque;

use bytes::Bytes;

use super::groups::unpack;
use crate::log::ReadLimit;

/// Records that were written together, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) start: u64,
    pub(super) count: u64,
    pub(super) packed: Bytes,
}

impl Group {
    pub(super) fn end(&self) -> u64 {
        self.start + self.count
    }
}

/// The last groups up to the end of the partition, without a gap.
pub(super) struct Tail {
    groups: VecDeque<Group>,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { groups: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub(super) fn push(&mut self, group: Group) {
        self.bytes += group.packed.len();
        self.groups.push_back(group);
        while self.bytes > self.bytes_max {
            self.pop();
        }
    }

    /// Lets go of groups that lie whole below `offset`.
    pub(super) fn forget_below(&mut self, offset: u64) {
        while self.groups.front().is_some_and(|group| group.end() <= offset) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(oldest) = self.groups.pop_front() {
            self.bytes -= oldest.packed.len();
        }
    }

    /// The groups that hold the records from `from` on, as many as a read may need; `None` if some of them are not held.
    pub(super) fn groups_from(&self, from: u64, limit: ReadLimit) -> Option<Vec<Group>> {
        self.groups.front().filter(|group| group.start <= from)?;
        let behind = self.groups.partition_point(|group| group.end() <= from);
        let mut groups = Vec::new();
        let (mut records, mut bytes) = (0, 0);
        for group in self.groups.iter().skip(behind) {
            if records >= limit.records || bytes >= limit.bytes {
                break;
            }
            // Of the first group only the rest counts: at least one record of it does.
            records += group.end().saturating_sub(from.max(group.start)) as usize;
            bytes += if group.start >= from { group.packed.len() } else { 1 };
            groups.push(group.clone());
        }
        Some(groups)
    }
}

/// Gathers what one read returns.
pub(super) struct Page {
    from: u64,
    limit: ReadLimit,
    bytes: usize,
    bodies: Vec<(u64, Bytes)>,
}

impl Page {
    pub(super) fn new(from: u64, limit: ReadLimit) -> Self {
        Self { from, limit, bytes: 0, bodies: Vec::new() }
    }

    /// Adds the records of a group that lie within the page; whether there is room for more.
    pub(super) fn add(&mut self, start: u64, packed: Bytes) -> bool {
        for (index, body) in unpack(packed).enumerate() {
            let offset = start + index as u64;
            if offset < self.from {
                continue;
            }
            let is_full = self.bodies.len() >= self.limit.records || self.bytes >= self.limit.bytes;
            if is_full && !self.bodies.is_empty() {
                return false;
            }
            self.bytes += body.len();
            self.bodies.push((offset, body));
        }
        true
    }

    pub(super) fn done(self) -> Vec<(u64, Bytes)> {
        self.bodies
    }
}
