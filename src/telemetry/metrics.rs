//! How a stage declares and counts: a metric is a constant with its name, its meaning and its labels, and a handle is
//! resolved from it once, for the label values that occur. Counting through a handle is an atomic addition.
//!
//! ```
//! use fanfare::telemetry::CounterMetric;
//!
//! /// Messages by what came of them. Worry when `failed` grows faster than usual.
//! const DELIVERIES: CounterMetric<2> = CounterMetric::new(
//!     "fanfare_deliveries_total",
//!     "Messages by channel and by what came of them.",
//!     ["channel", "outcome"],
//! );
//!
//! let sent = DELIVERIES.with(["email", "sent"]);
//! sent.increment(512);
//! ```

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, SharedString, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::process;
use crate::clock::Clock;

/// Counts up. Its name ends in `_total`.
#[derive(Debug)]
pub struct CounterMetric<const LABELS: usize>(Declaration<LABELS>);

/// Goes up and down.
#[derive(Debug)]
pub struct GaugeMetric<const LABELS: usize>(Declaration<LABELS>);

/// Times in seconds, over [`BUCKETS`].
#[derive(Debug)]
pub struct HistogramMetric<const LABELS: usize>(Declaration<LABELS>);

#[derive(Debug)]
struct Declaration<const LABELS: usize> {
    name: &'static str,
    meaning: &'static str,
    labels: [&'static str; LABELS],
}

/// Upper bounds in seconds: from a group commit to a provider's timeout, so close that a quantile is known to within a
/// third, and to within a tenth around the promises (50 ms, 200 ms, 1 s, 3 s).
const BUCKETS: [f64; 26] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15,
    0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 10.0, 60.0, 300.0,
];

/// Upper bounds of what is counted in pieces.
const COUNTS: [f64; 12] = [1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 10_000.0];

/// How often samples of histograms are folded into their buckets when nobody asks for the page: until then each takes
/// 8 bytes.
const UPKEEP: Duration = Duration::from_secs(1);

const METADATA: Metadata<'static> = Metadata::new("fanfare", Level::INFO, None);

impl<const LABELS: usize> CounterMetric<LABELS> {
    pub const fn new(name: &'static str, meaning: &'static str, labels: [&'static str; LABELS]) -> Self {
        Self(Declaration { name, meaning, labels })
    }

    /// The counter for these label values, in the order of the labels.
    pub fn with(&self, values: [&str; LABELS]) -> Counter {
        metrics::with_recorder(|recorder| {
            recorder.describe_counter(KeyName::from(self.0.name), None, SharedString::from(self.0.meaning));
            recorder.register_counter(&self.0.key(values), &METADATA)
        })
    }
}

impl<const LABELS: usize> GaugeMetric<LABELS> {
    pub const fn new(name: &'static str, meaning: &'static str, labels: [&'static str; LABELS]) -> Self {
        Self(Declaration { name, meaning, labels })
    }

    /// The gauge for these label values, in the order of the labels.
    pub fn with(&self, values: [&str; LABELS]) -> Gauge {
        metrics::with_recorder(|recorder| {
            recorder.describe_gauge(KeyName::from(self.0.name), None, SharedString::from(self.0.meaning));
            recorder.register_gauge(&self.0.key(values), &METADATA)
        })
    }
}

impl<const LABELS: usize> HistogramMetric<LABELS> {
    pub const fn new(name: &'static str, meaning: &'static str, labels: [&'static str; LABELS]) -> Self {
        Self(Declaration { name, meaning, labels })
    }

    /// The histogram for these label values, in the order of the labels.
    pub fn with(&self, values: [&str; LABELS]) -> Histogram {
        metrics::with_recorder(|recorder| {
            let name = KeyName::from(self.0.name);
            let unit = if self.0.name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count };
            recorder.describe_histogram(name, Some(unit), SharedString::from(self.0.meaning));
            recorder.register_histogram(&self.0.key(values), &METADATA)
        })
    }
}

impl<const LABELS: usize> Declaration<LABELS> {
    fn key(&self, values: [&str; LABELS]) -> Key {
        let pairs = self.labels.iter().zip(values);
        Key::from_parts(self.name, pairs.map(|(label, value)| Label::new(*label, value.to_owned())).collect::<Vec<_>>())
    }
}

/// What `/metrics` answers.
#[derive(Debug, Clone)]
pub struct MetricsPage(PrometheusHandle);

/// Starts the recorder of this process; called again it gives the same page. Handles that were resolved before count
/// nothing, so this comes first.
pub fn install() -> MetricsPage {
    // The one global besides the log: the `metrics` crate keeps its recorder in one.
    static INSTALLED: Mutex<Option<MetricsPage>> = Mutex::new(None);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(page) = &*installed {
        return page.clone();
    }
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_items".to_owned()), &COUNTS))
        .expect("neither list of buckets is empty");
    let recorder = builder.build_recorder();
    let page = MetricsPage(recorder.handle());
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another metrics recorder is installed in this process: /metrics stays empty");
    }
    *installed = Some(page.clone());
    page
}

impl MetricsPage {
    /// The page in the text format of Prometheus.
    pub fn render(&self) -> String {
        let mut page = self.0.render();
        process::append(&mut page);
        page
    }

    /// Keeps the memory of histograms bounded while nobody asks for the page; runs until it is dropped.
    pub async fn keep_up(self, clock: std::sync::Arc<dyn Clock>) {
        loop {
            clock.sleep(UPKEEP).await;
            self.0.run_upkeep();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_stands_on_the_page_with_its_meaning() {
        const COUNTED: CounterMetric<1> = CounterMetric::new("test_counted_total", "Things counted.", ["kind"]);
        const TIMED: HistogramMetric<0> = HistogramMetric::new("test_timed_seconds", "Things timed.", []);
        let page = install();
        COUNTED.with(["a"]).increment(3);
        COUNTED.with(["a"]).increment(4);
        TIMED.with([]).record(0.04);
        let text = page.render();
        for expected in [
            "# HELP test_counted_total Things counted.",
            "test_counted_total{kind=\"a\"} 7",
            "test_timed_seconds_bucket{le=\"0.03\"} 0",
            "test_timed_seconds_bucket{le=\"0.04\"} 1",
            "process_resident_memory_bytes",
            "process_cpu_seconds_total",
        ] {
            assert!(text.contains(expected), "`{expected}` is not in:\n{text}");
        }
    }
}
