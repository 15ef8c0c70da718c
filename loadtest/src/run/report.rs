//! What `run` found, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::engine::{Latencies, Quantile, Resident};
use crate::mock::LatencyStats;
use crate::text::{Megabytes, millis};

/// Times are in milliseconds, memory in bytes, rates per second.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) offered: u64,
    pub(crate) offered_rate: f64,
    pub(crate) accepted: u64,
    /// By status; `item`: single items of a batch.
    pub(crate) refused: BTreeMap<String, u64>,
    pub(crate) unanswered: u64,
    pub(crate) first_error: Option<String>,
    /// From the intended start to the answer.
    pub(crate) accept_latency: AcceptLatency,
    /// What the mock has seen; none when nobody waited for it.
    pub(crate) deliveries: Option<Deliveries>,
    /// By priority, from the engine's own metrics.
    pub(crate) delivery_latency: BTreeMap<String, DeliveryLatency>,
    /// From the stamp (intended start, or the due time of a scheduled one) to receipt; only if the mock keeps it.
    pub(crate) stamp_to_receipt: Option<LatencyStats>,
    pub(crate) resident: Option<Resident>,
}

#[derive(Debug, Serialize)]
pub(crate) struct AcceptLatency {
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Deliveries {
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    /// What was received; fewer than delivered where notifications were merged.
    pub(crate) messages: u64,
    /// By how much messages stand for more notifications than were accepted.
    pub(crate) too_many: u64,
    /// The first few of the lost by name.
    pub(crate) lost_ids: Vec<String>,
    pub(crate) duplicates: u64,
    /// Repeated, but recognized by a mock that honours ids.
    pub(crate) deduplicated: u64,
    /// From the first POST to the last delivery.
    pub(crate) rate: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct DeliveryLatency {
    pub(crate) count: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// The 99th percentile lies above the last bucket, so `p99_ms` is its lower bound.
    pub(crate) p99_above: bool,
}

impl AcceptLatency {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        let quantile = |share| histogram.value_at_quantile(share) as f64 / 1000.0;
        Self {
            p50_ms: quantile(0.5),
            p90_ms: quantile(0.9),
            p99_ms: quantile(0.99),
            p999_ms: quantile(0.999),
            max_ms: histogram.max() as f64 / 1000.0,
        }
    }
}

/// What was added between two scrapes, by priority.
pub(crate) fn delivery_latency(before: &Latencies, after: &Latencies) -> BTreeMap<String, DeliveryLatency> {
    let mut latencies = BTreeMap::new();
    for (priority, buckets) in after {
        let buckets = buckets.since(before.get(priority));
        let (Some(p50), Some(p99)) = (buckets.quantile(0.5), buckets.quantile(0.99)) else { continue };
        let milliseconds = |quantile| match quantile {
            Quantile::Seconds(seconds) | Quantile::Above(seconds) => seconds * 1000.0,
        };
        let latency = DeliveryLatency {
            count: buckets.count(),
            p50_ms: milliseconds(p50),
            p99_ms: milliseconds(p99),
            p99_above: matches!(p99, Quantile::Above(_)),
        };
        latencies.insert(priority.clone(), latency);
    }
    latencies
}

impl Report {
    /// What was to be shown holds.
    pub(crate) fn holds(&self) -> bool {
        self.deliveries.as_ref().is_none_or(|deliveries| deliveries.lost == 0 && deliveries.too_many == 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "offered      {} ({:.0}/s)", self.offered, self.offered_rate)?;
        writeln!(f, "accepted     {}", self.accepted)?;
        let refused: u64 = self.refused.values().sum();
        write!(f, "refused      {refused}")?;
        for (status, count) in &self.refused {
            write!(f, "  {status}: {count}")?;
        }
        writeln!(f)?;
        if let Some(error) = &self.first_error {
            writeln!(f, "unanswered   {} (first: {error})", self.unanswered)?;
        }
        let accept = &self.accept_latency;
        writeln!(
            f,
            "accept       P50 {}  P90 {}  P99 {}  P99.9 {}  max {}",
            millis(accept.p50_ms),
            millis(accept.p90_ms),
            millis(accept.p99_ms),
            millis(accept.p999_ms),
            millis(accept.max_ms)
        )?;
        for (priority, latency) in &self.delivery_latency {
            let above = if latency.p99_above { "above " } else { "" };
            let (p50, p99) = (millis(latency.p50_ms), millis(latency.p99_ms));
            writeln!(f, "handed over  P50 {p50}  P99 {above}{p99}  ({priority}, {})", latency.count)?;
        }
        if let Some(latency) = &self.stamp_to_receipt {
            let ms = |us: u64| millis(us as f64 / 1000.0);
            let (p50, p99, p999) = (ms(latency.p50_us), ms(latency.p99_us), ms(latency.p999_us));
            write!(f, "received     P50 {p50}  P99 {p99}  P99.9 {p999}  max {}", ms(latency.max_us))?;
            writeln!(f, "  early {} (by up to {})", latency.early, ms(latency.early_max_us))?;
        }
        if let Some(resident) = &self.resident {
            writeln!(f, "memory       {}", Megabytes(resident))?;
        }
        let Some(deliveries) = &self.deliveries else { return Ok(()) };
        writeln!(f, "delivered    {} ({:.0}/s from the first POST on)", deliveries.delivered, deliveries.rate)?;
        if deliveries.messages != deliveries.delivered + deliveries.duplicates {
            writeln!(f, "messages     {}", deliveries.messages)?;
        }
        if deliveries.too_many > 0 {
            writeln!(f, "too many     {}: some are in two messages", deliveries.too_many)?;
        }
        writeln!(f, "lost         {}", deliveries.lost)?;
        for id in &deliveries.lost_ids {
            writeln!(f, "             {id}")?;
        }
        write!(f, "duplicates   {}", deliveries.duplicates)?;
        match deliveries.deduplicated {
            0 => writeln!(f),
            count => writeln!(f, ", and {count} recognized by their ids"),
        }
    }
}
