//! How often each id was seen.

use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ids::ShortId;

/// Shards of a table. A growing hash table moves all its entries at once; in 256 parts that is well below a
/// millisecond each even with tens of millions of ids, so it is not felt in a latency.
pub(super) const SHARDS: usize = 256;

/// The most ids a table holds: about 2.5 GB. Further ones are refused, not forgotten.
const IDS_MAX: u64 = 50_000_000;

/// Counts ids exactly. About 40 bytes an id.
pub(super) struct IdTable {
    shards: Vec<Mutex<Shard>>,
    distinct: AtomicU64,
}

#[derive(Default)]
struct Shard {
    short: HashMap<ShortId, u32>,
    /// Those that do not fit a [`ShortId`].
    long: HashMap<Box<[u8]>, u32>,
}

impl IdTable {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), distinct: AtomicU64::new(0) }
    }

    /// Counts `id` once more; answers how often it was seen, this time included. `None` when the table is full.
    pub(super) fn add(&self, id: &[u8]) -> Option<u32> {
        let mut shard = locked(&self.shards[shard_of(id)]);
        let known = match ShortId::new(id) {
            Some(short) => shard.short.get_mut(&short),
            None => shard.long.get_mut(id),
        };
        if let Some(count) = known {
            *count = count.saturating_add(1);
            return Some(*count);
        }
        if self.distinct.load(Ordering::Relaxed) >= IDS_MAX {
            return None;
        }
        self.distinct.fetch_add(1, Ordering::Relaxed);
        match ShortId::new(id) {
            Some(short) => shard.short.insert(short, 1),
            None => shard.long.insert(id.into(), 1),
        };
        Some(1)
    }

    /// How many different ids were seen.
    pub(super) fn distinct(&self) -> u64 {
        self.distinct.load(Ordering::Relaxed)
    }

    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = locked(shard);
            let removed = shard.short.len() + shard.long.len();
            *shard = Shard::default();
            self.distinct.fetch_sub(removed as u64, Ordering::Relaxed);
        }
    }

    /// The ids of one shard as text, one `id count` a line.
    pub(super) fn lines(&self, shard: usize) -> Vec<u8> {
        let shard = locked(&self.shards[shard]);
        let mut lines = Vec::with_capacity(28 * (shard.short.len() + shard.long.len()));
        let short = shard.short.iter().map(|(id, count)| (id.as_bytes(), count));
        let long = shard.long.iter().map(|(id, count)| (&id[..], count));
        for (id, count) in short.chain(long) {
            lines.extend_from_slice(id);
            // Writing to a vector does not fail.
            let _ = writeln!(lines, " {count}");
        }
        lines
    }
}

/// The end of an id decides (FNV-1a): ids are positions, and their beginnings are all alike.
fn shard_of(id: &[u8]) -> usize {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in id.iter().rev().take(8) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    (hash >> 32) as usize % SHARDS
}

/// A table is whole after every statement, so a panic elsewhere does not spoil it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_lines(table: &IdTable) -> Vec<String> {
        let mut lines: Vec<String> = (0..SHARDS)
            .flat_map(|shard| {
                String::from_utf8_lossy(&table.lines(shard)).lines().map(String::from).collect::<Vec<_>>()
            })
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn an_id_seen_again_is_counted_but_not_distinct() {
        let table = IdTable::new();
        assert_eq!(table.add(b"tsk_a"), Some(1));
        assert_eq!(table.add(b"tsk_b"), Some(1));
        assert_eq!(table.add(b"tsk_a"), Some(2));
        assert_eq!(table.distinct(), 2);
        assert_eq!(all_lines(&table), ["tsk_a 2", "tsk_b 1"]);
    }

    #[test]
    fn a_long_id_is_kept_exactly_too() {
        let table = IdTable::new();
        let (one, other) = ("x".repeat(100), "x".repeat(101));
        table.add(one.as_bytes());
        table.add(other.as_bytes());
        table.add(other.as_bytes());
        assert_eq!(all_lines(&table), [format!("{one} 1"), format!("{other} 2")]);
    }

    #[test]
    fn clearing_forgets_everything() {
        let table = IdTable::new();
        table.add(b"tsk_a");
        table.clear();
        assert_eq!(table.distinct(), 0);
        assert_eq!(table.add(b"tsk_a"), Some(1));
    }

    #[test]
    fn ids_spread_over_the_shards() {
        let table = IdTable::new();
        for number in 0..25_600 {
            table.add(format!("tsk_04g0000000000000{number:04x}").as_bytes());
        }
        let fullest = (0..SHARDS).map(|shard| locked(&table.shards[shard]).short.len()).max();
        assert!(fullest < Some(200), "{fullest:?}");
    }
}
