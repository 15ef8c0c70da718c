//! What a mock counted, as `GET /stats` answers it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::behaviour::Behaviour;

/// Everything the mock knows.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Stats {
    pub(crate) http: ChannelStats,
    pub(crate) smtp: ChannelStats,
    /// From the time stamped into the message to its receipt; only with `--latency-from-body`.
    pub(crate) latency: Option<LatencyStats>,
    /// How many notifications the webhooks taken stand for, each id counted once; only with `--count-items`.
    pub(crate) items: Option<u64>,
    /// The same of messages whose id had been taken before: they say once more what was said.
    #[serde(default)]
    pub(crate) items_repeated: u64,
    pub(crate) behaviour: Behaviour,
    /// By kind of provider, and by what became of its requests. What was taken is among `http` too, across all kinds.
    #[serde(default)]
    pub(crate) providers: BTreeMap<String, BTreeMap<String, u64>>,
    /// The last request that no real server would have taken, and why.
    #[serde(default)]
    pub(crate) refusal: Option<String>,
    /// What became of receipts; only with `--receipts`.
    #[serde(default)]
    pub(crate) receipts: Option<BTreeMap<String, u64>>,
    pub(crate) listen: Listen,
}

/// Where the mock listens.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Listen {
    pub(crate) http: String,
    pub(crate) smtp: String,
}

/// The counts of one kind of provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChannelStats {
    pub(crate) connections: u64,
    /// Deliveries begun: POSTs, or mails given in full.
    pub(crate) requests: u64,
    /// Deliveries taken: answered with success, or taken and then cut off (`resets`).
    pub(crate) accepted: u64,
    /// Different ids among those taken.
    pub(crate) distinct: u64,
    /// Taken although the id had been taken before.
    pub(crate) duplicates: u64,
    /// Recognized as repeated by the id and answered with success (`--honour-ids`); not among `accepted`.
    pub(crate) deduplicated: u64,
    /// Taken without an id.
    pub(crate) without_id: u64,
    pub(crate) errors_injected: u64,
    pub(crate) throttled: u64,
    pub(crate) rejected: u64,
    pub(crate) hung: u64,
    pub(crate) resets: u64,
    /// Unix times of the first and last delivery taken, in milliseconds; 0 when there was none.
    pub(crate) first_at_ms: u64,
    pub(crate) last_at_ms: u64,
}

/// Quantiles of the time from stamp to receipt, in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct LatencyStats {
    pub(crate) count: u64,
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) max_us: u64,
    /// Received before the stamped time, which for a scheduled message is a fault.
    pub(crate) early: u64,
    pub(crate) early_max_us: u64,
}

impl Stats {
    /// The sum over both kinds; the times are the outermost.
    pub(crate) fn total(&self) -> ChannelStats {
        let (one, other) = (self.http, self.smtp);
        ChannelStats {
            connections: one.connections + other.connections,
            requests: one.requests + other.requests,
            accepted: one.accepted + other.accepted,
            distinct: one.distinct + other.distinct,
            duplicates: one.duplicates + other.duplicates,
            deduplicated: one.deduplicated + other.deduplicated,
            without_id: one.without_id + other.without_id,
            errors_injected: one.errors_injected + other.errors_injected,
            throttled: one.throttled + other.throttled,
            rejected: one.rejected + other.rejected,
            hung: one.hung + other.hung,
            resets: one.resets + other.resets,
            first_at_ms: match (one.first_at_ms, other.first_at_ms) {
                (0, at) | (at, 0) => at,
                (one, other) => one.min(other),
            },
            last_at_ms: one.last_at_ms.max(other.last_at_ms),
        }
    }
}
