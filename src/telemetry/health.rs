//! Whether this node should be given work, and why not.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// What can keep a node from being ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// Not everything is up yet.
    Starting,
    /// SIGTERM came.
    Draining,
    /// The log takes nothing: the disk is nearly full.
    Disk,
    /// The log takes nothing for another reason: its brokers cannot be reached.
    Log,
    /// The store fails.
    Store,
    /// The leases of this node's shards ran out: it sends nothing.
    Leases,
    /// A shard that is this node's to work cannot be taken over.
    Shards,
    /// No provider of some channel works.
    Providers,
    /// Actors crash faster than they may be restarted.
    Restarts,
}

impl Condition {
    pub fn name(self) -> &'static str {
        match self {
            Condition::Starting => "starting",
            Condition::Draining => "draining",
            Condition::Disk => "disk",
            Condition::Log => "log",
            Condition::Store => "store",
            Condition::Leases => "leases",
            Condition::Shards => "shards",
            Condition::Providers => "providers",
            Condition::Restarts => "restarts",
        }
    }
}

impl Condition {
    /// Whether requests may be taken all the same, where the log has them until it is over.
    pub fn lets_requests_in(self) -> bool {
        matches!(self, Condition::Store | Condition::Leases | Condition::Shards)
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The conditions of this node, shared: any stage sets them, `/readyz` reads them.
#[derive(Debug, Clone, Default)]
pub struct Health {
    reasons: Arc<Mutex<BTreeMap<Condition, String>>>,
}

impl Health {
    /// A node that is not ready because it starts; [`Health::resolve`] that condition when all is up.
    pub fn starting() -> Self {
        let health = Self::default();
        health.report(Condition::Starting, "the engine is starting");
        health
    }

    /// Not ready, and why, in words for people. The latest reason stands.
    pub fn report(&self, condition: Condition, reason: impl Into<String>) {
        self.lock().insert(condition, reason.into());
    }

    /// This is no obstacle any more.
    pub fn resolve(&self, condition: Condition) {
        self.lock().remove(&condition);
    }

    /// Everything that keeps the node from being ready; empty when it is.
    pub fn reasons(&self) -> Vec<(Condition, String)> {
        self.lock().iter().map(|(condition, reason)| (*condition, reason.clone())).collect()
    }

    pub fn is_ready(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Condition, String>> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_once_nothing_stands_against_it() {
        let health = Health::starting();
        health.report(Condition::Disk, "2 MiB are left");
        assert!(!health.is_ready());
        health.resolve(Condition::Starting);
        assert_eq!(health.reasons(), [(Condition::Disk, "2 MiB are left".to_owned())]);
        health.resolve(Condition::Disk);
        assert!(health.is_ready());
    }
}
