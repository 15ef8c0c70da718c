//! The group commit: one thread, one batch, one fsync for all that wait.
//!
//! A submission adds its rows on the writing thread (`stage`) and learns there, after the fsync, what became of them
//! (`settle`). A [`Rider`] does the same once for each group, after the submissions: it writes rows that many of them share.
//! Riders settle first, so that whoever is answered finds what the riders publish.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode, Slice};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::DiskError;

/// Rows of one group, so that no single fsync grows without bound.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// What may wait of each kind of traffic, by [`Traffic`]. Each has its own, so that outcomes never wait behind intake, and
/// critical intake not for the room that other intake waits for: of that it finds at most this much before it.
const WAITING_BYTES_MAX: [usize; KINDS] = [4 << 20, 16 << 20, 16 << 20, 16 << 20, 4 << 20];
/// How many kinds of traffic there are.
const KINDS: usize = 5;
/// The unit in which waiting bytes are counted; a smaller submission counts as one.
const UNIT_BYTES: usize = 4 << 10;
/// Intake of a kind that may wait for room; whoever comes beyond is told to come again.
const INTAKE_WAITING_MAX: usize = 4096;

/// What is written: each kind waits in its own queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// What is asked for and critical: records of the log.
    Critical,
    /// What else is asked for.
    Intake,
    /// What is to be done: plans, with their timers.
    Plans,
    /// What came of it: events, retries, cancellations.
    Outcomes,
    /// What others tell of it later: receipts, opens, clicks. However much of it comes, nothing above waits for its room.
    Receipts,
}

/// How soon a submission is to be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// Nobody waits for it: it goes with the next group that somebody waits for, or after [`PATIENT_MAX`] by itself.
    Patient,
    /// It may wait a moment for others, so that they share the fsync.
    Shared,
    /// Critical: what is there goes at once.
    Now,
}

/// From one group to the next, if nobody waits for the next: at most as long as a group commit may take.
const PATIENT_MAX: Duration = Duration::from_millis(4);

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

/// Takes part in every group.
pub(crate) trait Rider: Send + Sync + 'static {
    /// Adds rows, after all submissions of the group. An error is one of the group, and as lasting as that of a write.
    fn stage(&self, rows: &mut Rows) -> Result<(), DiskError>;

    /// Whether the group is durable.
    fn settle(&self, durable: bool);

    /// Adds rows to the last group of all.
    fn close(&self, rows: &mut Rows);
}

type Settle = Box<dyn FnOnce(&Result<(), DiskError>) + Send>;
type Stage = Box<dyn FnOnce(&mut Rows) -> Settle + Send>;

struct Submission {
    urgency: Urgency,
    stage: Stage,
    bytes: usize,
    /// Held until the group is settled: it bounds the memory of what waits.
    permit: OwnedSemaphorePermit,
}

pub(super) struct Committer {
    submissions: Option<SyncSender<Submission>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    riders: Riders,
    broken: watch::Receiver<Option<DiskError>>,
    /// By [`Traffic`], as are those who wait for it.
    room: [Arc<Semaphore>; KINDS],
    waiting: [AtomicUsize; KINDS],
    dir: PathBuf,
}

type Riders = Arc<Mutex<Vec<Arc<dyn Rider>>>>;

impl Committer {
    pub(super) fn start(database: Database, dir: PathBuf, group_commit_max: Duration) -> std::io::Result<Self> {
        // Each submission holds at least one unit, so this many is all there can be and sending never waits.
        let (submissions, receiver) = sync_channel(WAITING_BYTES_MAX.iter().sum::<usize>() / UNIT_BYTES);
        let (breaks, broken) = watch::channel(None);
        let riders = Riders::default();
        let mut writer = Writer {
            database,
            receiver,
            riders: riders.clone(),
            breaks,
            dir: dir.clone(),
            group_commit_max,
            last: Pace { began: Instant::now(), submissions: 1, took: Duration::ZERO },
        };
        let thread = std::thread::Builder::new().name("fanfare-commit".into()).spawn(move || writer.run())?;
        Ok(Self {
            submissions: Some(submissions),
            thread: Mutex::new(Some(thread)),
            riders,
            broken,
            room: WAITING_BYTES_MAX.map(|bytes| Arc::new(Semaphore::new(bytes / UNIT_BYTES))),
            waiting: Default::default(),
            dir,
        })
    }

    pub(super) fn ride(&self, rider: Arc<dyn Rider>) {
        self.riders.lock().unwrap_or_else(PoisonError::into_inner).push(rider);
    }

    /// Waits until the database cannot be written any more; why.
    pub(super) async fn broken(&self) -> DiskError {
        let mut broken = self.broken.clone();
        broken.wait_for(Option::is_some).await.ok().and_then(|error| error.clone()).unwrap_or_else(|| self.gone())
    }

    /// Queues rows of about `bytes` bytes, and waits for what `stage` returned, made on the writing thread, and for the fsync.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        traffic: Traffic,
        urgency: Urgency,
        bytes: usize,
        stage: impl FnOnce(&mut Rows) -> T + Send + 'static,
    ) -> Result<T, DiskError> {
        let permit = self.permit(traffic, bytes).await?;
        let (reply, answered) = oneshot::channel();
        let stage: Stage = Box::new(move |rows| {
            let made = stage(rows);
            // Whoever went away does not want to know.
            Box::new(move |result| drop(reply.send(result.clone().map(|()| made))))
        });
        let submissions = self.submissions.as_ref().ok_or_else(|| self.gone())?;
        submissions.try_send(Submission { urgency, stage, bytes, permit }).map_err(|_| self.gone())?;
        answered.await.map_err(|_| self.gone())?
    }

    async fn permit(&self, traffic: Traffic, bytes: usize) -> Result<OwnedSemaphorePermit, DiskError> {
        let room = &self.room[traffic as usize];
        let units_max = WAITING_BYTES_MAX[traffic as usize] / UNIT_BYTES;
        let units = bytes.div_ceil(UNIT_BYTES).clamp(1, units_max) as u32;
        if let Ok(permit) = room.clone().try_acquire_many_owned(units) {
            return Ok(permit);
        }
        let _waiting = match traffic {
            Traffic::Critical | Traffic::Intake => {
                Some(Waiting::enter(&self.waiting[traffic as usize]).ok_or(DiskError::Busy)?)
            }
            Traffic::Plans | Traffic::Outcomes | Traffic::Receipts => None,
        };
        room.clone().acquire_many_owned(units).await.map_err(|_| self.gone())
    }

    fn gone(&self) -> DiskError {
        DiskError::Write { dir: self.dir.clone(), reason: "the writing thread ended".into() }
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

/// One place among those that wait; left when dropped, also by whoever gives up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize) -> Option<Self> {
        let entered = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < INTAKE_WAITING_MAX).then_some(entered)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The writing thread.
struct Writer {
    database: Database,
    receiver: Receiver<Submission>,
    riders: Riders,
    breaks: watch::Sender<Option<DiskError>>,
    dir: PathBuf,
    group_commit_max: Duration,
    last: Pace,
}

/// How the last group went.
struct Pace {
    began: Instant,
    submissions: usize,
    took: Duration,
}

impl Writer {
    fn run(&mut self) {
        while let Ok(first) = self.receiver.recv() {
            let group = self.gather(first);
            let started = Instant::now();
            let submissions = group.len();
            self.write(group);
            self.last = Pace { began: started, submissions, took: started.elapsed() };
        }
        self.close();
    }

    /// Takes all that waits, and waits for more as long as the most urgent of it allows.
    fn gather(&self, first: Submission) -> Vec<Submission> {
        let mut urgency = first.urgency;
        let mut since = Instant::now();
        let mut bytes = first.bytes;
        let mut group = Vec::with_capacity(self.last.submissions.max(4));
        group.push(first);
        while bytes < GROUP_BYTES_MAX {
            let next = match self.receiver.try_recv() {
                Ok(next) => next,
                Err(_) => match self.receiver.recv_timeout(self.patience(urgency, since, group.len())) {
                    Ok(next) => next,
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                },
            };
            if next.urgency > urgency {
                urgency = next.urgency;
                since = Instant::now();
            }
            bytes += next.bytes;
            group.push(next);
        }
        group
    }

    /// How long a group of this size waits for more. If the last group was shared, those who shared it are about to come back:
    /// then it waits for as many, but no longer than the last commit took, since waiting longer would cost more than the fsync it
    /// saves. Who comes alone never waits.
    fn patience(&self, urgency: Urgency, since: Instant, submissions: usize) -> Duration {
        match urgency {
            Urgency::Patient => PATIENT_MAX.saturating_sub(self.last.began.elapsed()),
            Urgency::Shared if submissions < self.last.submissions => {
                self.last.took.min(self.group_commit_max).saturating_sub(since.elapsed())
            }
            Urgency::Shared | Urgency::Now => Duration::ZERO,
        }
    }

    fn write(&self, group: Vec<Submission>) {
        let riders = self.riders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut rows = self.rows();
        let mut settles = Vec::with_capacity(group.len());
        for Submission { stage, permit, .. } in group {
            settles.push((stage(&mut rows), permit));
        }
        let staged = riders.iter().try_for_each(|rider| rider.stage(&mut rows));
        let result = self.commit(staged.map(|()| rows));
        riders.iter().for_each(|rider| rider.settle(result.is_ok()));
        for (settle, permit) in settles {
            settle(&result);
            drop(permit);
        }
    }

    fn rows(&self) -> Rows {
        // Nobody reads a row before it is durable: it is put into the tables after the fsync.
        Rows { batch: self.database.batch().durability(Some(PersistMode::SyncData)), bytes: 0 }
    }

    fn commit(&self, rows: Result<Rows, DiskError>) -> Result<(), DiskError> {
        if let Some(error) = self.breaks.borrow().clone() {
            return Err(error);
        }
        let result = rows.and_then(|rows| rows.batch.commit().map_err(|cause| write_error(&self.dir, &cause)));
        if let Err(error) = &result {
            // After a write or an fsync that failed nobody knows what is on the disk: only opening it anew tells.
            tracing::error!(%error, "cannot write any more");
            self.breaks.send_replace(Some(error.clone()));
        }
        result
    }

    fn close(&self) {
        let riders = std::mem::take(&mut *self.riders.lock().unwrap_or_else(PoisonError::into_inner));
        let mut rows = self.rows();
        riders.iter().for_each(|rider| rider.close(&mut rows));
        // What failed before was told already; a row of a rider that is lost here is work done twice, no more.
        let _ = self.commit(Ok(rows));
    }
}

fn write_error(dir: &Path, cause: &fjall::Error) -> DiskError {
    match cause {
        fjall::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => DiskError::Full { dir: dir.into() },
        cause => DiskError::Write { dir: dir.into(), reason: cause.to_string() },
    }
}
