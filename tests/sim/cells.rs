//! Rows on three replicas: each version of a row arrives at each replica at a time of its own, or never.

use std::collections::BTreeMap;
use std::time::Duration;

pub const NEVER: Duration = Duration::MAX;

/// When a write arrives at each replica.
pub type Arrivals = [Duration; 3];

/// Two of the three replicas: what a read asks.
pub type Quorum = [usize; 2];

pub const QUORUMS: [Quorum; 3] = [[0, 1], [0, 2], [1, 2]];

#[derive(Debug, Clone)]
struct Version<V> {
    /// The client's timestamp: the highest wins.
    stamp: u64,
    value: V,
    arrivals: Arrivals,
}

/// One row.
#[derive(Debug, Clone)]
pub struct Cell<V>(Vec<Version<V>>);

impl<V> Default for Cell<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> Cell<V> {
    pub fn put(&mut self, stamp: u64, value: V, arrivals: Arrivals) {
        self.0.push(Version { stamp, value, arrivals });
    }

    /// What a read sees that asks these replicas now. Of two with one timestamp the one written last wins.
    pub fn read(&self, quorum: Quorum, now: Duration) -> Option<&V> {
        let seen = self.0.iter().filter(|version| quorum.iter().any(|replica| version.arrivals[*replica] <= now));
        seen.max_by_key(|version| version.stamp).map(|version| &version.value)
    }

    /// The same, and mends what differs: what a read saw is on both replicas from then on, so that the next one sees it too.
    pub fn read_and_repair(&mut self, quorum: Quorum, now: Duration) -> Option<&V> {
        for version in &mut self.0 {
            if quorum.iter().any(|replica| version.arrivals[*replica] <= now) {
                for replica in quorum {
                    version.arrivals[replica] = version.arrivals[replica].min(now);
                }
            }
        }
        self.read(quorum, now)
    }

    /// When the row was first on two replicas: from then on every read sees it.
    pub fn durable_at(&self) -> Duration {
        self.0.iter().map(|version| second(version.arrivals)).min().unwrap_or(NEVER)
    }
}

/// When the second of the three is there.
pub fn second(mut arrivals: Arrivals) -> Duration {
    arrivals.sort();
    arrivals[1]
}

pub type Table<K, V> = BTreeMap<K, Cell<V>>;
