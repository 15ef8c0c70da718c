//! Shares of a rate: one bucket in Redis for all nodes, and a part of it here while Redis is lost.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use redis::Script;

use super::link::{Link, NoAnswer};
use super::metrics::Operation;
use crate::coordination::memory::{SharedBucket, first_tokens, kept_for_critical, usable};
use crate::coordination::{Lease, Rate};

static LEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("scripts/lease.lua")));

/// How much of its part of a rate a node uses while it is cut off. It does not know how many nodes there are now: a fifth is
/// the room for that.
const ALONE_SHARE: f64 = 0.8;

/// When to ask again after one question without an answer: nothing may be granted for it, since Redis may have counted it.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// This node's own part of a rate. It outlives the outage: where Redis comes and goes, each outage would give a new one.
struct OwnBucket {
    /// After which connection the outage began for which it was last asked.
    outage: u64,
    bucket: SharedBucket,
}

pub(super) struct Leases {
    live_nodes: AtomicUsize,
    alone: Mutex<HashMap<Box<str>, OwnBucket>>,
}

impl Leases {
    pub(super) fn new() -> Self {
        Self { live_nodes: AtomicUsize::new(1), alone: Mutex::default() }
    }

    pub(super) fn set_live_nodes(&self, nodes: usize) {
        self.live_nodes.store(nodes.max(1), Ordering::Relaxed);
    }

    pub(super) async fn lease(&self, link: &Link, name: &str, rate: Rate, wanted: u32, critical: bool) -> Lease {
        let rate = usable(rate);
        let kept = if critical { 0.0 } else { kept_for_critical(rate) };
        let mut script = LEASE.key(link.key("rate", name));
        script.arg(rate.per_second).arg(rate.burst).arg(first_tokens(rate)).arg(kept);
        script.arg(wanted).arg(link.script_time().unwrap_or_default());
        match link.run::<(u32, u64)>(Operation::Lease, &script).await {
            // Never more than was asked for, whatever answers there.
            Ok((granted, micros)) => Lease { granted: granted.min(wanted), retry_after: Duration::from_micros(micros) },
            Err(NoAnswer::Failed) => Lease { granted: 0, retry_after: ASK_AGAIN },
            Err(NoAnswer::Lost) => {
                let now = link.clock.now();
                self.with_own_bucket(link, name, rate, |bucket| bucket.lease(wanted, critical, now))
            }
        }
    }

    /// Works on this node's own part. Each outage begins with small buckets, and with no more than was left in the last one.
    fn with_own_bucket<T>(&self, link: &Link, name: &str, rate: Rate, work: impl FnOnce(&mut SharedBucket) -> T) -> T {
        let share = ALONE_SHARE / self.live_nodes.load(Ordering::Relaxed) as f64;
        let own = Rate { per_second: rate.per_second * share, burst: (rate.burst * share).max(1.0) };
        let (outage, now) = (link.connections(), link.clock.now());
        let mut alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        if !alone.contains_key(name) {
            alone.insert(name.into(), OwnBucket { outage, bucket: SharedBucket::cautious(own, now) });
        }
        let held = alone.get_mut(name).expect("it was just put there");
        held.bucket.set_rate(own);
        if held.outage != outage {
            held.outage = outage;
            held.bucket.begin_again(now);
        }
        work(&mut held.bucket)
    }
}
