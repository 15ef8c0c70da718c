//! What all parts of a simulated world share: chance, time, the trace, and what there is outside the nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::hash::Hasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fanfare::domain::{Brake, ClaimKey, NotificationId, Position, TaskId};
use rustc_hash::FxHasher;
use tokio::time::Instant;

use super::cells::{Cell, NEVER, QUORUMS};
use super::host::Host;
use super::log::Topics;
use super::merging::Told;
use super::rng::Rng;
use super::tables::Tables;
use super::variant::Variant;

/// A provider took a message.
#[derive(Debug, Clone)]
pub struct Sent {
    pub task: TaskId,
    pub host: usize,
    pub at: Duration,
    /// The node may have learned nothing of it.
    pub in_doubt: bool,
    /// The node stood still between its last look at its lease and this.
    pub delayed: bool,
    /// Whether the node had the shard's lease.
    pub had_lease: bool,
    /// Told from the one before by the provider, which keeps track of its keys.
    pub recognised: bool,
    /// Of whom a merged message tells.
    pub told: Option<Told>,
}

/// A cancellation that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Cancelled {
    pub id: NotificationId,
    pub at: Duration,
    pub too_late: usize,
}

fn is_on(cell: &Cell<Brake>, at: Duration) -> bool {
    QUORUMS.iter().any(|quorum| cell.read(*quorum, at).is_some_and(|brake| brake.is_on))
}

/// Who holds a claim in coordination, and until when.
pub type ClaimTable = BTreeMap<ClaimKey, (Position, Duration)>;

/// What some worlds have and others do not.
#[derive(Debug, Clone, Copy)]
pub struct Extras {
    /// Some requests are merged.
    pub merges: bool,
    /// So many close a group.
    pub items_max: Option<u32>,
    pub first_at_once: bool,
    /// A category is paused now and then.
    pub brakes: bool,
}

impl Extras {
    fn draw(rng: &mut Rng) -> Self {
        Self {
            merges: rng.chance(0.5),
            items_max: rng.chance(0.4).then(|| rng.between(2, 4) as u32),
            first_at_once: rng.chance(0.2),
            brakes: rng.chance(0.3),
        }
    }
}

pub struct World {
    pub variant: Variant,
    pub start: Instant,
    /// Whether anything may fail.
    pub is_rough: AtomicBool,
    /// Nobody reaches the store before this; by node: this one does not.
    pub outages: Mutex<BTreeMap<Option<usize>, Duration>>,
    /// Whether providers tell repeats by the task's id.
    pub keyed_providers: bool,
    /// What of the newer things happens here. Drawn apart, so that a world without them is what it was before.
    pub extras: Extras,
    pub tables: Mutex<Tables>,
    pub topics: Topics,
    pub claims: Mutex<ClaimTable>,
    pub sent: Mutex<Vec<Sent>>,
    pub cancelled: Mutex<Vec<Cancelled>>,
    /// Tasks of which something was written long after it was decided: by a node that stood still, or by a slow write.
    pub late: Mutex<BTreeSet<TaskId>>,
    pub hosts: Mutex<Vec<Arc<Host>>>,
    /// Broken promises that were seen while the world ran.
    pub broken: Mutex<Vec<String>>,
    rng: Mutex<Rng>,
    /// For [`Extras`] alone.
    extra_rng: Mutex<Rng>,
    trace: Mutex<Trace>,
}

/// Everything that happened, as a hash; printed as well when asked for.
struct Trace {
    hasher: FxHasher,
    is_printed: bool,
    events: u64,
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.hasher.write(text.as_bytes());
        Ok(())
    }
}

impl World {
    pub fn new(seed: u64, variant: Variant, is_printed: bool) -> Self {
        let mut rng = Rng::new(seed);
        let mut extra_rng = Rng::new(!seed);
        Self {
            variant,
            start: Instant::now(),
            is_rough: AtomicBool::new(true),
            outages: Mutex::default(),
            keyed_providers: rng.chance(0.3) && !variant.is_broken(),
            extras: Extras::draw(&mut extra_rng),
            tables: Mutex::default(),
            topics: Topics::default(),
            claims: Mutex::default(),
            sent: Mutex::default(),
            cancelled: Mutex::default(),
            late: Mutex::default(),
            hosts: Mutex::default(),
            broken: Mutex::default(),
            rng: Mutex::new(rng),
            extra_rng: Mutex::new(extra_rng),
            trace: Mutex::new(Trace { hasher: FxHasher::default(), is_printed, events: 0 }),
        }
    }

    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn rng(&self) -> MutexGuard<'_, Rng> {
        self.rng.lock().expect("one thread")
    }

    pub fn extra_rng(&self) -> MutexGuard<'_, Rng> {
        self.extra_rng.lock().expect("one thread")
    }

    pub fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().expect("one thread")
    }

    pub fn is_rough(&self) -> bool {
        self.is_rough.load(Ordering::SeqCst)
    }

    /// Whether something that goes wrong so often goes wrong now.
    pub fn fails(&self, share: f64) -> bool {
        self.is_rough() && self.rng().chance(share)
    }

    /// Whether the node cannot reach the store now.
    pub fn is_cut_off(&self, host: usize) -> bool {
        let (now, outages) = (self.now(), self.outages.lock().expect("one thread"));
        [None, Some(host)].iter().any(|who| outages.get(who).is_some_and(|until| now < *until))
    }

    /// Whether a brake is on, or will be once every write has arrived.
    pub fn is_braked(&self) -> bool {
        let tables = self.tables();
        let in_the_end = NEVER - Duration::from_nanos(1);
        tables.brakes.values().any(|cell| [in_the_end, self.now()].iter().any(|at| is_on(cell, *at)))
    }

    pub fn note(&self, what: fmt::Arguments<'_>) {
        let now = self.now();
        let mut trace = self.trace.lock().expect("one thread");
        trace.events += 1;
        trace.hasher.write_u64(now.as_micros() as u64);
        // Hashing cannot fail.
        let _ = trace.write_fmt(what);
        if trace.is_printed {
            println!("{:>9.3} {what}", now.as_secs_f64());
        }
    }

    /// Equal for equal runs.
    pub fn trace_hash(&self) -> u64 {
        let trace = self.trace.lock().expect("one thread");
        trace.hasher.finish() ^ trace.events
    }

    pub fn broke(&self, what: String) {
        self.note(format_args!("BROKEN {what}"));
        self.broken.lock().expect("one thread").push(what);
    }
}
