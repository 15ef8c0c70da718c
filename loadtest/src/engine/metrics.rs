//! What the engine's `/metrics` say, in the Prometheus text format: latencies between two scrapes, and memory.

use std::collections::BTreeMap;

/// From accepted to handed to the provider.
const DELIVERY_LATENCY: &str = "fanfare_delivery_latency_seconds_bucket";
const RESIDENT_BYTES: &str = "process_resident_memory_bytes";

/// A histogram's buckets, cumulative, as upper bound in seconds and count; the last bound is infinite.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Buckets {
    bounds: Vec<(f64, f64)>,
}

/// The buckets of each priority, all channels together.
pub(crate) type Latencies = BTreeMap<String, Buckets>;

/// A quantile, as exact as the buckets allow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Quantile {
    Seconds(f64),
    /// It lies in the last bucket, which has no upper bound.
    Above(f64),
}

/// The latency histograms in a scrape; empty when there are none.
pub(crate) fn delivery_latencies(scrape: &str) -> Latencies {
    let mut latencies = Latencies::new();
    for line in scrape.lines() {
        let Some(rest) = line.strip_prefix(DELIVERY_LATENCY).and_then(|rest| rest.strip_prefix('{')) else { continue };
        let Some((labels, value)) = rest.rsplit_once('}') else { continue };
        let Some(bound) = label(labels, "le").and_then(|bound| bound.parse().ok()) else { continue };
        let Some(count) = value.split_whitespace().next().and_then(|count| count.parse().ok()) else { continue };
        let priority = label(labels, "priority").unwrap_or("all");
        latencies.entry(priority.to_owned()).or_default().add(bound, count);
    }
    latencies
}

/// The engine's resident memory in a scrape.
pub(crate) fn resident_bytes(scrape: &str) -> Option<u64> {
    let line = scrape.lines().find(|line| line.starts_with(RESIDENT_BYTES))?;
    line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|bytes| bytes as u64)
}

/// The value of a label; values with a quote in them do not occur in those that are read here.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split(',').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key.trim() == name).then(|| value.trim().trim_matches('"'))
    })
}

impl Buckets {
    fn add(&mut self, bound: f64, count: f64) {
        match self.bounds.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, sum)) => *sum += count,
            None => {
                self.bounds.push((bound, count));
                self.bounds.sort_by(|one, other| one.0.total_cmp(&other.0));
            }
        }
    }

    /// What was added since `before`. A counter that went back was started anew: everything is new then.
    pub(crate) fn since(&self, before: Option<&Self>) -> Self {
        let Some(before) = before else { return self.clone() };
        if self.count() < before.count() {
            return self.clone();
        }
        let earlier = |bound| before.bounds.iter().find(|(known, _)| *known == bound).map_or(0.0, |(_, count)| *count);
        Self { bounds: self.bounds.iter().map(|(bound, count)| (*bound, count - earlier(*bound))).collect() }
    }

    pub(crate) fn count(&self) -> f64 {
        self.bounds.last().map_or(0.0, |(_, count)| *count)
    }

    /// Adds what another one has.
    pub(crate) fn merge(&mut self, other: &Self) {
        other.bounds.iter().for_each(|(bound, count)| self.add(*bound, *count));
    }

    /// How many lie within so many seconds, interpolated within the bucket.
    pub(crate) fn within(&self, seconds: f64) -> f64 {
        let (mut bound_below, mut count_below) = (0.0, 0.0);
        for (bound, count) in &self.bounds {
            if *bound >= seconds {
                let share = if bound.is_infinite() { 1.0 } else { (seconds - bound_below) / (bound - bound_below) };
                return count_below + (count - count_below) * share;
            }
            (bound_below, count_below) = (*bound, *count);
        }
        count_below
    }

    /// Interpolates within the bucket, as Prometheus' `histogram_quantile` does. `None` when nothing was recorded.
    pub(crate) fn quantile(&self, share: f64) -> Option<Quantile> {
        let rank = share * self.count();
        if self.count() <= 0.0 {
            return None;
        }
        let (mut bound_below, mut count_below) = (0.0, 0.0);
        for (bound, count) in &self.bounds {
            if *count >= rank {
                if bound.is_infinite() {
                    return Some(Quantile::Above(bound_below));
                }
                let within = if *count > count_below { (rank - count_below) / (count - count_below) } else { 1.0 };
                return Some(Quantile::Seconds(bound_below + (bound - bound_below) * within));
            }
            (bound_below, count_below) = (*bound, *count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"
# TYPE fanfare_delivery_latency_seconds histogram
fanfare_delivery_latency_seconds_bucket{channel="webhook",priority="normal",le="0.01"} 5
fanfare_delivery_latency_seconds_bucket{channel="webhook",priority="normal",le="0.1"} 10
fanfare_delivery_latency_seconds_bucket{channel="webhook",priority="normal",le="+Inf"} 10
fanfare_delivery_latency_seconds_sum{channel="webhook",priority="normal"} 0.2
fanfare_delivery_latency_seconds_count{channel="webhook",priority="normal"} 10
process_resident_memory_bytes 1.5e+08
"#;

    const AFTER: &str = r#"
fanfare_delivery_latency_seconds_bucket{channel="webhook",priority="normal",le="0.01"} 85
fanfare_delivery_latency_seconds_bucket{channel="webhook",priority="normal",le="0.1"} 100
fanfare_delivery_latency_seconds_bucket{channel="webhook",priority="normal",le="+Inf"} 101
fanfare_delivery_latency_seconds_bucket{channel="email",priority="normal",le="0.01"} 0
fanfare_delivery_latency_seconds_bucket{channel="email",priority="normal",le="0.1"} 9
fanfare_delivery_latency_seconds_bucket{channel="email",priority="normal",le="+Inf"} 9
fanfare_delivery_latency_seconds_bucket{channel="email",priority="critical",le="+Inf"} 2 1700000000
"#;

    #[test]
    fn only_what_was_recorded_between_two_scrapes_counts() {
        let (before, after) = (delivery_latencies(BEFORE), delivery_latencies(AFTER));
        let normal = after["normal"].since(before.get("normal"));
        assert_eq!(normal.bounds, [(0.01, 80.0), (0.1, 99.0), (f64::INFINITY, 100.0)]);
        let critical = after["critical"].since(before.get("critical"));
        assert_eq!(critical.count(), 2.0);
    }

    #[test]
    fn a_quantile_is_interpolated_within_its_bucket() {
        let normal = delivery_latencies(AFTER)["normal"].since(delivery_latencies(BEFORE).get("normal"));
        let close = |quantile, expected: f64| match quantile {
            Some(Quantile::Seconds(seconds)) => (seconds - expected).abs() < 1e-9,
            _ => false,
        };
        assert!(close(normal.quantile(0.4), 0.005));
        assert!(close(normal.quantile(0.8), 0.01));
        assert!(close(normal.quantile(0.895), 0.055));
        assert!(close(normal.quantile(0.99), 0.1));
        assert_eq!(normal.quantile(0.999), Some(Quantile::Above(0.1)));
    }

    #[test]
    fn how_many_are_in_time_is_interpolated_too() {
        let normal = delivery_latencies(AFTER)["normal"].since(delivery_latencies(BEFORE).get("normal"));
        assert!((normal.within(0.005) - 40.0).abs() < 1e-9 && (normal.within(0.055) - 89.5).abs() < 1e-9);
        let mut both = normal.clone();
        both.merge(&normal);
        assert!((both.within(0.01) - 160.0).abs() < 1e-9 && (both.within(9.0) - both.count()).abs() < 1e-9);
    }

    #[test]
    fn nothing_recorded_has_no_quantile() {
        let scrape = delivery_latencies(BEFORE);
        assert_eq!(scrape["normal"].since(scrape.get("normal")).quantile(0.5), None);
        assert!(delivery_latencies("nothing to see\n").is_empty());
    }

    #[test]
    fn a_restarted_engine_begins_at_zero() {
        let (before, after) = (delivery_latencies(AFTER), delivery_latencies(BEFORE));
        assert_eq!(after["normal"].since(before.get("normal")), after["normal"]);
    }

    #[test]
    fn resident_memory_is_read() {
        assert_eq!(resident_bytes(BEFORE), Some(150_000_000));
        assert_eq!(resident_bytes(AFTER), None);
    }
}
