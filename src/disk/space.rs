//! How much room is left on the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::DiskSettings;
use crate::clock::SharedClock;

/// Says how many bytes are free where a directory is.
pub trait FreeSpace: Send + Sync + 'static {
    fn free_bytes(&self, dir: &Path) -> std::io::Result<u64>;
}

/// What the file system says.
#[derive(Debug, Default, Clone, Copy)]
pub struct MachineSpace;

impl FreeSpace for MachineSpace {
    fn free_bytes(&self, dir: &Path) -> std::io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Asks now and then, not at each append.
pub(super) struct SpaceGuard {
    dir: PathBuf,
    min_free_bytes: u64,
    free_space: Arc<dyn FreeSpace>,
    clock: SharedClock,
    asked_at: AtomicU64,
    has_room: AtomicBool,
}

/// At 100 MB/s a disk fills by 20 MB between two questions.
const ASK_EVERY_MILLIS: u64 = 200;

impl SpaceGuard {
    pub(super) fn new(settings: DiskSettings) -> Self {
        Self {
            dir: settings.dir,
            min_free_bytes: settings.min_free_bytes,
            free_space: settings.free_space,
            clock: settings.clock,
            asked_at: AtomicU64::new(0),
            has_room: AtomicBool::new(true),
        }
    }

    pub(super) fn has_room(&self) -> bool {
        let now = self.clock.now().millis();
        let asked_at = self.asked_at.load(Ordering::Relaxed);
        if now.abs_diff(asked_at) >= ASK_EVERY_MILLIS
            && self.asked_at.compare_exchange(asked_at, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            // A file system that does not answer is as good as full: what is not known is not promised.
            let free = self.free_space.free_bytes(&self.dir).unwrap_or(0);
            self.has_room.store(free >= self.min_free_bytes, Ordering::Relaxed);
        }
        self.has_room.load(Ordering::Relaxed)
    }
}
