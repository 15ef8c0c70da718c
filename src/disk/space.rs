//! How much room is left on the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{DiskSettings, Traffic};
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

/// Asks now and then, not at each write.
pub(super) struct SpaceGuard {
    dir: PathBuf,
    /// By [`Traffic`]: below this much nothing more is taken. Of what may be sent it must be possible to write what came of
    /// it, so planning stops before outcomes do, and the rest stays in the log.
    least: [u64; 5],
    free_space: Arc<dyn FreeSpace>,
    clock: SharedClock,
    asked_at: AtomicU64,
    free: AtomicU64,
}

/// At 100 MB/s a disk fills by 20 MB between two questions.
const ASK_EVERY_MILLIS: u64 = 200;
/// Kept from outcomes too: what is in memory must still find room, and a write that fails halfway stops the database until it is
/// opened again, while a refusal ends as soon as there is room.
const RESERVE_BYTES_MAX: u64 = 64 << 20;

impl SpaceGuard {
    pub(super) fn new(settings: DiskSettings) -> Self {
        let reserve = (settings.min_free_bytes / 4).min(RESERVE_BYTES_MAX);
        let between = (settings.min_free_bytes + reserve) / 2;
        Self {
            dir: settings.dir,
            // What others tell may be told again, and must not take the room of what was sent.
            least: [settings.min_free_bytes, settings.min_free_bytes, between, reserve, between],
            free_space: settings.free_space,
            clock: settings.clock,
            asked_at: AtomicU64::new(0),
            free: AtomicU64::new(u64::MAX),
        }
    }

    pub(super) fn has_room(&self, traffic: Traffic) -> bool {
        let now = self.clock.now().millis();
        let asked_at = self.asked_at.load(Ordering::Relaxed);
        if now.abs_diff(asked_at) >= ASK_EVERY_MILLIS
            && self.asked_at.compare_exchange(asked_at, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            // A file system that does not answer is as good as full: what is not known is not promised.
            let free = self.free_space.free_bytes(&self.dir).unwrap_or(0);
            self.free.store(free, Ordering::Relaxed);
        }
        self.free.load(Ordering::Relaxed) >= self.least[traffic as usize]
    }
}
