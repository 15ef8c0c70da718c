//! A machine that runs a node: its clock, and whether the node runs, stands still or is gone.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fanfare::clock::{Clock, Moment};
use fanfare::domain::Timestamp;
use fanfare::store::NodeName;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending};
use tokio::sync::Notify;
use tokio::time::Instant;

const RUNNING: u8 = 0;
const PAUSED: u8 = 1;
const GONE: u8 = 2;

/// One run of a node. Every call of a port passes its gate before and after, so that a node that was killed does nothing more,
/// and one that was paused goes on where it stood.
pub struct Host {
    /// Counts the runs of all nodes.
    pub number: usize,
    pub name: NodeName,
    start: Instant,
    /// What the wall clock showed at `start`.
    base: Timestamp,
    state: AtomicU8,
    changed: Notify,
    /// When the pause began: who stands still sees no time pass.
    frozen_at: Mutex<Option<Duration>>,
    /// Of the last write, in microseconds of the wall clock: no two are alike.
    last_stamp: AtomicU64,
    /// While any of these lasted, something that was sent could go unrecorded: pauses, the kill, writes that failed.
    troubles: Mutex<Vec<(Duration, Duration)>>,
}

impl Host {
    pub fn new(number: usize, start: Instant, base: Timestamp) -> Arc<Self> {
        Arc::new(Self {
            number,
            name: NodeName(format!("node-{number}").into()),
            start,
            base,
            state: AtomicU8::new(RUNNING),
            changed: Notify::new(),
            frozen_at: Mutex::default(),
            last_stamp: AtomicU64::new(0),
            troubles: Mutex::default(),
        })
    }

    /// Virtual time since the world began, whatever the node sees of it.
    pub fn true_time(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn is_running(&self) -> bool {
        self.state.load(Ordering::SeqCst) == RUNNING
    }

    pub fn is_gone(&self) -> bool {
        self.state.load(Ordering::SeqCst) == GONE
    }

    pub async fn pass(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.state.load(Ordering::SeqCst) {
                RUNNING => return,
                PAUSED => changed.await,
                _ => pending().await,
            }
        }
    }

    pub fn pause(&self) {
        if self.is_running() {
            *self.frozen_at.lock().expect("one thread") = Some(self.true_time());
            self.state.store(PAUSED, Ordering::SeqCst);
        }
    }

    pub fn resume(&self) {
        if self.state.load(Ordering::SeqCst) == PAUSED {
            let frozen_at = self.frozen_at.lock().expect("one thread").take();
            self.trouble(frozen_at.unwrap_or_default(), self.true_time());
            self.state.store(RUNNING, Ordering::SeqCst);
            self.changed.notify_waiters();
        }
    }

    pub fn kill(&self) {
        let now = self.true_time();
        // Who is gone stands still for ever.
        let frozen_at = *self.frozen_at.lock().expect("one thread").get_or_insert(now);
        self.trouble(frozen_at, Duration::MAX);
        self.state.store(GONE, Ordering::SeqCst);
    }

    pub fn trouble(&self, from: Duration, until: Duration) {
        self.troubles.lock().expect("one thread").push((from, until));
    }

    /// Whether something sent at `from` could be unrecorded at `until`.
    pub fn was_in_trouble(&self, from: Duration, until: Duration) -> bool {
        let frozen_at = self.frozen_at.lock().expect("one thread").map(|at| (at, Duration::MAX));
        let troubles = self.troubles.lock().expect("one thread");
        troubles.iter().chain(&frozen_at).any(|(begin, end)| *begin <= until && from <= *end)
    }

    /// A client's timestamp of a write: later than any before.
    pub fn stamp(&self) -> u64 {
        let now = self.now().millis() * 1000;
        let stamp = now.max(self.last_stamp.load(Ordering::SeqCst) + 1);
        self.last_stamp.store(stamp, Ordering::SeqCst);
        stamp
    }

    /// The node's wall clock.
    pub fn now(&self) -> Timestamp {
        self.base + self.seen_time()
    }

    fn seen_time(&self) -> Duration {
        self.frozen_at.lock().expect("one thread").unwrap_or_else(|| self.true_time())
    }
}

/// The clock that a node sees.
pub struct HostClock(pub Arc<Host>);

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn moment(&self) -> Moment {
        Moment(self.0.seen_time())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let host = self.0.clone();
        let sleep = tokio::time::sleep(duration);
        async move {
            sleep.await;
            host.pass().await;
        }
        .boxed()
    }
}
