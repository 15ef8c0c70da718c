//! The one embedded database under log and store, and its group commit.
//!
//! In: submissions, each a set of rows that belong together. Out: an answer once they are durable. Promise: one thread writes;
//! all that waits shares one batch and one fsync; a failed write is answered as failed, to everybody, and once the database
//! cannot be trusted any more every later write fails loudly too. Memory is bounded by settings.

mod committer;
mod expiry;
mod space;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions};

pub(crate) use committer::Rows;
pub use space::{FreeSpace, MachineSpace};

use committer::Committer;
use expiry::ExpiryFactory;
use space::SpaceGuard;

use crate::clock::SharedClock;

/// How the database is opened.
pub struct DiskSettings {
    pub dir: PathBuf,
    pub cache_bytes: u64,
    /// All write buffers together.
    pub write_buffer_bytes: u64,
    /// Below this much free space the log takes nothing more.
    pub min_free_bytes: u64,
    pub free_space: Arc<dyn FreeSpace>,
    pub clock: SharedClock,
}

/// Why the disk did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DiskError {
    #[error("cannot open the data directory `{dir}`: {reason}")]
    Open { dir: PathBuf, reason: String },
    #[error("the disk under `{dir}` is full")]
    Full { dir: PathBuf },
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
    committer: Committer,
}

/// One keyspace for each table; what is in it is described where it is used.
#[derive(Clone)]
pub(crate) struct Keyspaces {
    pub(crate) log: Keyspace,
    pub(crate) log_marks: Keyspace,
    pub(crate) plans: Keyspace,
    pub(crate) events: Keyspace,
    pub(crate) timers: Keyspace,
    pub(crate) claims: Keyspace,
    pub(crate) history: Keyspace,
    pub(crate) dead_letters: Keyspace,
    pub(crate) shards: Keyspace,
}

/// Values of `claims` begin with the time they expire, for the filter that drops them.
const EXPIRING: &str = "claims";
/// Journals together; fjall's least. They are the disk's, not memory's.
const JOURNAL_BYTES: u64 = 128 << 20;
/// Flushes and compactions; one thread leaves the other core to the traffic.
const WORKERS: usize = 1;

impl Disk {
    /// Opens the database, creating it if there is none. Another process that has it open is an error.
    pub fn open(settings: DiskSettings) -> Result<Arc<Self>, DiskError> {
        let dir = settings.dir.clone();
        let error = |reason: String| DiskError::Open { dir: dir.clone(), reason };
        std::fs::create_dir_all(&dir).map_err(|cause| error(cause.to_string()))?;
        let clock = settings.clock.clone();
        let expiry = Arc::new(ExpiryFactory::new(clock));
        let database = Database::builder(&dir)
            .cache_size(settings.cache_bytes)
            .max_journaling_size(JOURNAL_BYTES)
            .manual_journal_persist(true)
            .worker_threads(WORKERS)
            .with_compaction_filter_factories(Arc::new(move |name| {
                (name == EXPIRING).then(|| expiry.clone() as Arc<dyn fjall::compaction::filter::Factory>)
            }))
            .open()
            .map_err(|cause| match cause {
                fjall::Error::Locked => error("another process has it open".into()),
                cause => error(cause.to_string()),
            })?;
        let keyspaces =
            Keyspaces::open(&database, settings.write_buffer_bytes).map_err(|cause| error(cause.to_string()))?;
        Ok(Arc::new(Self {
            committer: Committer::start(database, dir.clone()).map_err(|cause| error(cause.to_string()))?,
            space: SpaceGuard::new(settings),
            keyspaces,
            dir,
        }))
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes rows, and waits until they are durable. `rows` runs on the writing thread, in the order of the submissions; what it
    /// returns is given back. Dropping the future does not take the rows back.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        rows: impl FnOnce(&mut Rows) -> T + Send + 'static,
    ) -> Result<T, DiskError> {
        self.committer.submit(rows).await
    }

    /// Waits until the database cannot be written any more; why. Only opening it anew can mend that.
    pub async fn broken(&self) -> DiskError {
        self.committer.broken().await
    }

    /// Whether the log may take more.
    pub(crate) fn has_room(&self) -> bool {
        self.space.has_room()
    }

    pub(crate) fn read_error(&self, cause: &fjall::Error) -> DiskError {
        DiskError::Read { dir: self.dir.clone(), reason: cause.to_string() }
    }
}

impl Keyspaces {
    fn open(database: &Database, write_buffer_bytes: u64) -> fjall::Result<Self> {
        // The busy ones fill in turn: half of the whole each would be too much, an eighth is flushed too often.
        let busy = (write_buffer_bytes / 6).max(1 << 20);
        let quiet = (write_buffer_bytes / 24).max(1 << 20);
        let open = |name: &str, bytes: u64| {
            database.keyspace(name, || {
                KeyspaceCreateOptions::default().max_memtable_size(bytes).manual_journal_persist(true)
            })
        };
        Ok(Self {
            log: open("log", busy)?,
            log_marks: open("log_marks", quiet)?,
            plans: open("plans", busy)?,
            events: open("events", busy)?,
            timers: open("timers", quiet)?,
            claims: open(EXPIRING, busy)?,
            history: open("history", busy)?,
            dead_letters: open("dead_letters", quiet)?,
            shards: open("shards", quiet)?,
        })
    }
}
