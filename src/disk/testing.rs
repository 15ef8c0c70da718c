//! A small database for the tests of what stands on it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Disk, DiskSettings, FreeSpace};
use crate::clock::ManualClock;
use crate::domain::Timestamp;

/// As much space as a test says.
pub(crate) struct TestSpace(pub(crate) AtomicU64);

impl FreeSpace for TestSpace {
    fn free_bytes(&self, _: &Path) -> std::io::Result<u64> {
        Ok(self.0.load(Ordering::Relaxed))
    }
}

pub(crate) fn disk(dir: &Path) -> Arc<Disk> {
    disk_with(dir, |_| {})
}

/// Opened with settings that differ from the usual ones.
pub(crate) fn disk_with(dir: &Path, change: impl FnOnce(&mut DiskSettings)) -> Arc<Disk> {
    let mut settings = DiskSettings {
        dir: dir.into(),
        cache_bytes: 4 << 20,
        // Little, so that tables are written out and compacted within a test.
        write_buffer_bytes: 4 << 20,
        group_commit_max: Duration::ZERO,
        min_free_bytes: 0,
        free_space: Arc::new(TestSpace(AtomicU64::new(u64::MAX))),
        clock: ManualClock::starting_at(Timestamp(1_800_000_000_000)),
        kept: Default::default(),
    };
    change(&mut settings);
    Disk::open(settings).expect("the database opens")
}
