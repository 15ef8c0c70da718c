//! Sources that come with requests, compiled once and kept for a while.
//!
//! A sender that sends the same text to many gives the same source again and again. The programs are kept in shards by
//! the hash of their source, each with a lock of its own that is held for a look-up only; every shard is bounded in
//! entries and bytes and gives up what was not used for longest.

use std::sync::{Arc, Mutex, PoisonError};

use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::error::SyntaxProblem;
use super::program::Program;

const SHARDS: usize = 16;

/// Per shard; 1,024 sources in all.
const ENTRIES_MAX: usize = 64;

/// Per shard; 16 MiB in all.
const BYTES_MAX: usize = 1 << 20;

/// What a compiled program takes for each byte within its tags, by estimate: `{{a}}` becomes a node of 300 bytes.
const BYTES_PER_TAG_BYTE: usize = 60;

/// The compiled sources in use.
#[derive(Default)]
pub(super) struct InlineCache {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    entries: FxHashMap<u64, Entry>,
    bytes: usize,
    /// Counts the look-ups: the clock of `last_used`.
    uses: u64,
}

struct Entry {
    /// Compared on every hit: a hash alone must not decide whose text is sent.
    source: Box<str>,
    program: Arc<Program>,
    last_used: u64,
}

impl InlineCache {
    /// The program of a source, compiled now if it is not at hand.
    pub(super) fn program(&self, source: &str) -> Result<Arc<Program>, SyntaxProblem> {
        let hash = xxh3_64(source.as_bytes());
        let shard = &self.shards[hash as usize % SHARDS];
        // A shard is whole after every step, so a panic elsewhere has not harmed it.
        if let Some(program) = shard.lock().unwrap_or_else(PoisonError::into_inner).find(hash, source) {
            return Ok(program);
        }
        let program = Arc::new(Program::compile(source)?);
        shard.lock().unwrap_or_else(PoisonError::into_inner).keep(hash, source, Arc::clone(&program));
        Ok(program)
    }
}

impl Shard {
    fn find(&mut self, hash: u64, source: &str) -> Option<Arc<Program>> {
        self.uses += 1;
        let entry = self.entries.get_mut(&hash).filter(|entry| *entry.source == *source)?;
        entry.last_used = self.uses;
        Some(Arc::clone(&entry.program))
    }

    fn keep(&mut self, hash: u64, source: &str, program: Arc<Program>) {
        let bytes = weight(source);
        if bytes > BYTES_MAX {
            return;
        }
        self.forget(hash);
        while self.entries.len() >= ENTRIES_MAX || self.bytes + bytes > BYTES_MAX {
            let Some(oldest) = self.entries.iter().min_by_key(|(_, entry)| entry.last_used).map(|(hash, _)| *hash)
            else {
                break;
            };
            self.forget(oldest);
        }
        self.bytes += bytes;
        self.entries.insert(hash, Entry { source: source.into(), program, last_used: self.uses });
    }

    fn forget(&mut self, hash: u64) {
        if let Some(entry) = self.entries.remove(&hash) {
            self.bytes -= weight(&entry.source);
        }
    }
}

/// The bytes that a kept source takes, by estimate: the text is there twice.
fn weight(source: &str) -> usize {
    let inside = |after: &str| after.find("}}").unwrap_or(after.len()) + 4;
    2 * source.len() + BYTES_PER_TAG_BYTE * source.split("{{").skip(1).map(inside).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_compiled_once() {
        let cache = InlineCache::default();
        let first = cache.program("Hello {{name}}").expect("a template");
        let second = cache.program("Hello {{name}}").expect("a template");
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn what_cannot_be_compiled_is_refused_every_time() {
        let cache = InlineCache::default();
        assert!(cache.program("Hello {{name").is_err());
        assert!(cache.program("Hello {{name").is_err());
    }

    #[test]
    fn a_hit_is_the_source_itself_and_not_only_its_hash() {
        let mut shard = Shard::default();
        shard.keep(1, "Hello {{name}}", Arc::new(Program::Literal("one".into())));
        assert!(shard.find(1, "Hello {{name}}").is_some());
        assert!(shard.find(1, "Dear {{name}}").is_none());
    }

    #[test]
    fn a_shard_gives_up_what_was_not_used_for_longest() {
        let mut shard = Shard::default();
        let program = || Arc::new(Program::Literal("".into()));
        for hash in 0..ENTRIES_MAX as u64 {
            shard.keep(hash, &hash.to_string(), program());
            shard.uses += 1;
        }
        assert!(shard.find(0, "0").is_some());
        shard.keep(1000, "1000", program());
        assert!(shard.find(0, "0").is_some());
        assert!(shard.find(1, "1").is_none());
        assert_eq!(shard.entries.len(), ENTRIES_MAX);
    }

    #[test]
    fn a_shard_is_bounded_in_bytes() {
        let mut shard = Shard::default();
        let large = "x".repeat(BYTES_MAX / 6);
        for hash in 0..10 {
            shard.keep(hash, &format!("{hash}{large}"), Arc::new(Program::Literal("".into())));
            shard.uses += 1;
            assert!(shard.bytes <= BYTES_MAX);
        }
        assert_eq!(shard.entries.len(), 2);
        shard.keep(99, &large.repeat(6), Arc::new(Program::Literal("".into())));
        assert!(shard.find(99, &large.repeat(6)).is_none());
        shard.entries.keys().copied().collect::<Vec<_>>().into_iter().for_each(|hash| shard.forget(hash));
        assert_eq!(shard.bytes, 0);
    }
}
