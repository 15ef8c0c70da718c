//! Homes: what work that belongs to no shard of the log is divided into. Each home is one node's at a time; what is kept under a key is
//! worked on by whoever has the home of that key.
//!
//! In: leases, as they come and go. Out: a [`Tenure`] for each home that is this node's, and turns of the work that is done there.
//! Promise: two nodes never hold one home at the same time, as far as leases hold; whoever takes one over finds all there is to know in
//! rows.

mod work;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

pub use work::{Turns, Wake, Work, WorkActor, WorkArguments, WorkMessage};

use crate::clock::SharedClock;
use crate::domain::ShardId;
use crate::ownership::{Standing, WRITE_WAIT_MAX};

/// So many there are: some for each node of a cluster, and few enough that each may have actors of its own. Rows say it: never changed.
pub const HOMES: u16 = 16;

/// The home of a key.
pub fn home_of(key: &[u8]) -> u16 {
    (xxh3_64(key) % u64::from(HOMES)) as u16
}

/// A home that is this node's, until it is not.
#[derive(Clone)]
pub struct Tenure {
    pub home: u16,
    /// Set when it ends.
    pub ended: CancellationToken,
    standing: Arc<Standing>,
    clock: SharedClock,
}

impl Tenure {
    pub fn new(home: u16, ended: CancellationToken, standing: Arc<Standing>, clock: SharedClock) -> Self {
        Self { home, ended, standing, clock }
    }

    /// Whether the home is still this node's for as long as a write may take.
    pub fn holds(&self) -> bool {
        let shard = ShardId::of_home(self.home);
        !self.ended.is_cancelled() && self.standing.holds_for(shard, &*self.clock, WRITE_WAIT_MAX)
    }
}

/// The homes of this node.
#[derive(Default)]
pub struct Homes {
    held: watch::Sender<BTreeMap<u16, Tenure>>,
}

impl Homes {
    /// The home, if it is this node's.
    pub fn tenure(&self, home: u16) -> Option<Tenure> {
        self.held.borrow().get(&home).filter(|tenure| tenure.holds()).cloned()
    }

    pub fn has(&self, home: u16) -> bool {
        self.held.borrow().contains_key(&home)
    }

    /// How many are this node's.
    pub fn count(&self) -> usize {
        self.held.borrow().len()
    }

    /// Those that are this node's, in order.
    pub fn all(&self) -> Vec<Tenure> {
        self.held.borrow().values().cloned().collect()
    }

    /// It is this node's from now on.
    pub fn insert(&self, tenure: Tenure) {
        self.held.send_modify(|held| drop(held.insert(tenure.home, tenure)));
    }

    /// It is to be let go: what works there ends.
    pub fn end(&self, home: u16) {
        self.held.send_modify(|held| {
            if let Some(tenure) = held.remove(&home) {
                tenure.ended.cancel();
            }
        });
    }
}
