//! The group commit: one thread, one batch, one fsync for all that wait.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode, Slice};
use tokio::sync::{mpsc, oneshot, watch};

use super::DiskError;

/// Submissions that may wait; whoever comes beyond waits to be taken.
const WAITING_MAX: usize = 4096;
/// Rows of one group, so that no single fsync grows without bound.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// Rows of one group, as submissions add to them.
pub(crate) struct Rows {
    batch: OwnedWriteBatch,
    bytes: usize,
}

impl Rows {
    pub(crate) fn insert(&mut self, keyspace: &Keyspace, key: impl Into<Slice>, value: impl Into<Slice>) {
        let (key, value) = (key.into(), value.into());
        self.bytes += key.len() + value.len();
        self.batch.insert(keyspace, key, value);
    }

    pub(crate) fn remove(&mut self, keyspace: &Keyspace, key: impl Into<Slice>) {
        self.batch.remove(keyspace, key.into());
    }
}

/// Adds rows, and returns what to do with the result of the commit.
type Submission = Box<dyn FnOnce(&mut Rows) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<(), DiskError>) + Send>;

pub(super) struct Committer {
    submissions: Option<mpsc::Sender<Submission>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    broken: watch::Receiver<Option<DiskError>>,
    dir: PathBuf,
}

impl Committer {
    pub(super) fn start(database: Database, dir: PathBuf) -> std::io::Result<Self> {
        let (submissions, receiver) = mpsc::channel(WAITING_MAX);
        let (breaks, broken) = watch::channel(None);
        let own_dir = dir.clone();
        let thread = std::thread::Builder::new()
            .name("fanfare-commit".into())
            .spawn(move || commit_all(&database, receiver, &breaks, &own_dir))?;
        Ok(Self { submissions: Some(submissions), thread: Mutex::new(Some(thread)), broken, dir })
    }

    /// Waits until the database cannot be written any more; why.
    pub(super) async fn broken(&self) -> DiskError {
        let gone = || DiskError::Write { dir: self.dir.clone(), reason: "the writing thread ended".into() };
        let mut broken = self.broken.clone();
        broken.wait_for(Option::is_some).await.ok().and_then(|error| error.clone()).unwrap_or_else(gone)
    }

    pub(super) async fn submit<T: Send + 'static>(
        &self,
        rows: impl FnOnce(&mut Rows) -> T + Send + 'static,
    ) -> Result<T, DiskError> {
        let (reply, answered) = oneshot::channel();
        let submission: Submission = Box::new(move |group| {
            let made = rows(group);
            // Whoever went away does not want to know.
            Box::new(move |result| drop(reply.send(result.map(|()| made))))
        });
        let gone = || DiskError::Write { dir: self.dir.clone(), reason: "the writing thread ended".into() };
        let submissions = self.submissions.as_ref().ok_or_else(gone)?;
        submissions.send(submission).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.submissions = None;
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // What it panicked with is in the log already.
            let _ = thread.join();
        }
    }
}

fn commit_all(
    database: &Database,
    mut submissions: mpsc::Receiver<Submission>,
    breaks: &watch::Sender<Option<DiskError>>,
    dir: &Path,
) {
    let mut answers = Vec::new();
    while let Some(first) = submissions.blocking_recv() {
        let mut rows = Rows { batch: database.batch(), bytes: 0 };
        answers.push(first(&mut rows));
        while rows.bytes < GROUP_BYTES_MAX
            && let Ok(next) = submissions.try_recv()
        {
            answers.push(next(&mut rows));
        }
        let broken = breaks.borrow().clone();
        let result = match broken {
            Some(error) => Err(error),
            None => commit(database, rows, dir),
        };
        if let Err(error) = &result {
            // After a write or an fsync that failed nobody knows what is on the disk: only opening it anew tells.
            breaks.send_if_modified(|broken| broken.replace(error.clone()).is_none());
        }
        for answer in answers.drain(..) {
            answer(result.clone());
        }
    }
    if let Err(error) = database.persist(PersistMode::SyncAll) {
        tracing::error!(%error, "cannot sync the database at its end");
    }
}

fn commit(database: &Database, rows: Rows, dir: &Path) -> Result<(), DiskError> {
    let committed = rows.batch.commit().and_then(|()| database.persist(PersistMode::SyncData));
    committed.map_err(|cause| match &cause {
        fjall::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => DiskError::Full { dir: dir.into() },
        _ => DiskError::Write { dir: dir.into(), reason: cause.to_string() },
    })
}
