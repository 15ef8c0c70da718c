//! What topics count.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::ask::TopicName;
use crate::telemetry::{Counter, CounterMetric, Gauge, GaugeMetric};

/// Topics that have series of their own, on one node: their names are made by users.
const SHOWN_MAX: usize = 100;
/// What the others are called together.
const OTHER: &str = "other";

/// Messages of a topic; worry when it comes near the topic's bound.
const MESSAGES: GaugeMetric<1> = GaugeMetric::new("fanfare_topic_messages", "Messages that a topic holds.", ["topic"]);
/// Worry when it grows: a group of the topic is not read, or not fast enough.
const OLDEST: GaugeMetric<1> = GaugeMetric::new(
    "fanfare_topic_oldest_unacknowledged_seconds",
    "Age of the oldest message that a group of a topic has not acknowledged.",
    ["topic"],
);
const PUBLISHED: CounterMetric<1> =
    CounterMetric::new("fanfare_topic_published_total", "Messages that came into a topic.", ["topic"]);
const ACKNOWLEDGED: CounterMetric<1> =
    CounterMetric::new("fanfare_topic_acknowledged_total", "Messages that groups acknowledged.", ["topic"]);
/// Worry when it grows as fast as what is acknowledged: readers fail, or take longer than they said.
const REDELIVERED: CounterMetric<1> = CounterMetric::new(
    "fanfare_topic_redelivered_total",
    "Messages that were handed out again, because nobody acknowledged them in time.",
    ["topic"],
);

/// Worry when it grows: nothing is written outside, `GET /v1/topics/{topic}` says why.
const BEHIND: GaugeMetric<1> = GaugeMetric::new(
    "fanfare_topic_kafka_lag",
    "Messages of a topic that its topic of Kafka does not have yet.",
    ["topic"],
);
const WRITTEN: CounterMetric<1> = CounterMetric::new(
    "fanfare_topic_kafka_written_total",
    "Messages that were written into topics of Kafka.",
    ["topic"],
);

/// Which topics of this node are shown by name: the first ones, for as long as the process is there, since their series are, too.
#[derive(Debug, Default)]
pub(super) struct Shown(Mutex<BTreeSet<Box<str>>>);

impl Shown {
    pub(super) fn of(&self, name: &TopicName) -> TopicMetrics {
        let (label, own) = self.label(name);
        let text = &*label;
        TopicMetrics {
            published: PUBLISHED.with([text]),
            acknowledged: ACKNOWLEDGED.with([text]),
            redelivered: REDELIVERED.with([text]),
            gauges: own.then(|| (MESSAGES.with([text]), OLDEST.with([text]))),
        }
    }

    /// Of a topic that is written outside as well.
    pub(super) fn of_copy(&self, name: &TopicName) -> CopyMetrics {
        let (label, own) = self.label(name);
        CopyMetrics { written: WRITTEN.with([&*label]), behind: own.then(|| BEHIND.with([&*label])) }
    }

    /// What a topic is called, and whether it is called so alone.
    fn label(&self, name: &TopicName) -> (Box<str>, bool) {
        let label: Box<str> = format!("{}/{}", name.tenant, name.name).into();
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = shown.len() < SHOWN_MAX && shown.insert(label.clone()) || shown.contains(&label);
        if own { (label, true) } else { (OTHER.into(), false) }
    }
}

/// The series of one topic that is written outside.
pub(super) struct CopyMetrics {
    written: Counter,
    /// `None`: one of the others.
    behind: Option<Gauge>,
}

impl CopyMetrics {
    pub(super) fn written(&self, count: usize) {
        self.written.increment(count as u64);
    }

    pub(super) fn behind(&self, count: u64) {
        if let Some(behind) = &self.behind {
            behind.set(count as f64);
        }
    }
}

/// The series of one topic.
pub(super) struct TopicMetrics {
    published: Counter,
    acknowledged: Counter,
    redelivered: Counter,
    /// `None`: one of the others.
    gauges: Option<(Gauge, Gauge)>,
}

impl TopicMetrics {
    pub(super) fn published(&self, count: usize) {
        self.published.increment(count as u64);
    }

    pub(super) fn acknowledged(&self, count: usize) {
        self.acknowledged.increment(count as u64);
    }

    pub(super) fn redelivered(&self, count: usize) {
        self.redelivered.increment(count as u64);
    }

    pub(super) fn is_shown(&self) -> bool {
        self.gauges.is_some()
    }

    pub(super) fn state(&self, messages: u64, oldest: Duration) {
        if let Some((count, age)) = &self.gauges {
            count.set(messages as f64);
            age.set(oldest.as_secs_f64());
        }
    }

    /// The topic is another node's by now, or no more.
    pub(super) fn end(&self) {
        self.state(0, Duration::ZERO);
    }
}
