//! The one embedded database under log and store, and its group commit.
//!
//! In: submissions, each a set of rows that belong together. Out: an answer once they are durable. Promise: one thread writes;
//! all that waits shares one batch and one fsync, and nobody reads a row before; a failed write is answered as failed, to
//! everybody, and since nobody knows then what is on the disk, every later write fails too, loudly, until the database is
//! opened again. So whoever writes again after an error never writes twice. Memory is bounded by settings.

mod committer;
mod filters;
mod keyspaces;
mod space;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fjall::compaction::filter::Factory;
use fjall::{CompressionType, Database};

pub(crate) use committer::{Rider, Rows, Traffic, Urgency};
pub(crate) use filters::Floors;
pub(crate) use keyspaces::Keyspaces;
pub use space::{FreeSpace, MachineSpace};

use committer::Committer;
use filters::{Age, Expiry, behind_a_hash, behind_a_part};
use space::SpaceGuard;

use crate::clock::SharedClock;
use crate::domain::{DatedKept, Timestamp};

/// How the database is opened.
pub struct DiskSettings {
    pub dir: PathBuf,
    pub cache_bytes: u64,
    /// All write buffers together.
    pub write_buffer_bytes: u64,
    /// The longest that a write waits for others to share its fsync. Who writes alone never waits.
    pub group_commit_max: Duration,
    /// Below this much free space the log takes nothing more; the store goes on nearly to the end.
    pub min_free_bytes: u64,
    pub free_space: Arc<dyn FreeSpace>,
    pub clock: SharedClock,
    /// How long rows with a date are kept.
    pub kept: DatedKept,
}

/// Why the disk did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DiskError {
    #[error("cannot open the data directory `{dir}`: {reason}")]
    Open { dir: PathBuf, reason: String },
    #[error("the disk under `{dir}` is full")]
    Full { dir: PathBuf },
    #[error("more is being written than the disk takes: slow down")]
    Busy,
    #[error("cannot write to `{dir}`: {reason}")]
    Write { dir: PathBuf, reason: String },
    #[error("cannot read from `{dir}`: {reason}")]
    Read { dir: PathBuf, reason: String },
}

/// The open database. Dropped, it waits for what was submitted.
pub struct Disk {
    dir: PathBuf,
    space: SpaceGuard,
    pub(crate) keyspaces: Keyspaces,
    /// Timers below are dropped.
    pub(crate) timer_floors: Floors,
    committer: Committer,
    clock: SharedClock,
}

/// How long dead letters are kept, as in a CQL database.
pub(crate) const DEAD_LETTERS_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// Journals together. They are the disk's, not memory's; less makes small tables be written out early, only so that a
/// journal can go.
const JOURNAL_BYTES: u64 = 256 << 20;
/// Flushes and compactions. With more than one, fjall's first worker turns a queued compaction round and round for as long
/// as the others compact, which takes a core.
const WORKERS: usize = 1;

impl Disk {
    /// Opens the database, creating it if there is none. Another process that has it open is an error.
    pub fn open(settings: DiskSettings) -> Result<Arc<Self>, DiskError> {
        let dir = settings.dir.clone();
        let error = |reason: String| DiskError::Open { dir: dir.clone(), reason };
        std::fs::create_dir_all(&dir).map_err(|cause| error(cause.to_string()))?;
        let timer_floors = Floors::default();
        let database = open_database(&settings, &timer_floors).map_err(|cause| match cause {
            fjall::Error::Locked => error("another process has it open".into()),
            cause => error(cause.to_string()),
        })?;
        let keyspaces =
            Keyspaces::open(&database, settings.write_buffer_bytes).map_err(|cause| error(cause.to_string()))?;
        let committer = Committer::start(database, dir.clone(), settings.group_commit_max);
        Ok(Arc::new(Self {
            committer: committer.map_err(|cause| error(cause.to_string()))?,
            clock: settings.clock.clone(),
            space: SpaceGuard::new(settings),
            keyspaces,
            timer_floors,
            dir,
        }))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn clock(&self) -> SharedClock {
        self.clock.clone()
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes rows of about `bytes` bytes, and waits until they are durable. `rows` runs on the writing thread, in the order of
    /// the submissions; what it returns is given back. Dropping the future does not take the rows back.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        traffic: Traffic,
        urgency: Urgency,
        bytes: usize,
        rows: impl FnOnce(&mut Rows) -> T + Send + 'static,
    ) -> Result<T, DiskError> {
        self.has_room(traffic)?;
        self.committer.submit(traffic, urgency, bytes, rows).await
    }

    /// Lets `rider` take part in every group from now on.
    pub(crate) fn ride(&self, rider: Arc<dyn Rider>) {
        self.committer.ride(rider);
    }

    /// Waits until the database cannot be written any more; why. Only opening it anew can mend that.
    pub async fn broken(&self) -> DiskError {
        self.committer.broken().await
    }

    /// Whether there is space for more.
    pub(crate) fn has_room(&self, traffic: Traffic) -> Result<(), DiskError> {
        if self.space.has_room(traffic) { Ok(()) } else { Err(DiskError::Full { dir: self.dir.clone() }) }
    }

    pub(crate) fn read_error(&self, cause: &fjall::Error) -> DiskError {
        DiskError::Read { dir: self.dir.clone(), reason: cause.to_string() }
    }
}

fn open_database(settings: &DiskSettings, timer_floors: &Floors) -> fjall::Result<Database> {
    let expiry: Arc<dyn Factory> = Arc::new(Expiry::new(settings.clock.clone()));
    let floors: Arc<dyn Factory> = Arc::new(timer_floors.clone());
    let ages = settings.kept;
    // Their keys begin with the number of their kind.
    let kept = move |key: &[u8]| key.first().and_then(|kind| ages.of_kind(*kind));
    let dated: Arc<dyn Factory> = Arc::new(Age::new(settings.clock.clone(), Arc::new(kept), behind_a_part));
    let kept = |_: &[u8]| Some(DEAD_LETTERS_KEPT);
    let letters: Arc<dyn Factory> = Arc::new(Age::new(settings.clock.clone(), Arc::new(kept), behind_a_hash));
    Database::builder(&settings.dir)
        .cache_size(settings.cache_bytes)
        .max_journaling_size(JOURNAL_BYTES)
        .journal_compression(CompressionType::None)
        .manual_journal_persist(true)
        .worker_threads(WORKERS)
        .with_compaction_filter_factories(Arc::new(move |name| match name {
            keyspaces::CLAIMS | keyspaces::RECEIVED | keyspaces::BUDGETS => Some(expiry.clone()),
            keyspaces::TIMERS => Some(floors.clone()),
            keyspaces::DATED => Some(dated.clone()),
            keyspaces::DEAD_LETTERS => Some(letters.clone()),
            _ => None,
        }))
        .open()
}
