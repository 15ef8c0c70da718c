//! What dispatch reports.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::lanes::Lanes;
use super::ready::Class;
use super::slots::ProviderSlots;
use crate::domain::{Channel, Outcome, Priority, Timestamp};
use crate::outcomes::{Answer, AnswerKind};
use crate::telemetry::{Counter, CounterMetric, Gauge, GaugeMetric, Histogram, HistogramMetric, Mailboxes};

/// Tasks that wait for a slot, a token or an endpoint. Worry when it grows for minutes.
const QUEUE_DEPTH: GaugeMetric<2> = GaugeMetric::new(
    "fanfare_queue_depth",
    "Tasks ready to be sent, by channel and priority.",
    ["channel", "priority"],
);
/// Sends under way. At the configured maximum the provider is what everything waits for.
const IN_FLIGHT: GaugeMetric<2> =
    GaugeMetric::new("fanfare_in_flight", "Sends under way, by channel and priority.", ["channel", "priority"]);
/// Worry about any 1: the provider cannot be reached, does not answer, or refuses our credentials.
const CIRCUIT_OPEN: GaugeMetric<2> =
    GaugeMetric::new("fanfare_circuit_open", "1 while a provider's breaker is open.", ["provider", "class"]);
/// Worry when `failed` or `retried` take a larger share than usual.
const DELIVERIES: CounterMetric<3> = CounterMetric::new(
    "fanfare_deliveries_total",
    "Messages by channel, provider and what came of them.",
    ["channel", "provider", "outcome"],
);
/// The time a message takes through the engine, its provider included. Worry when critical exceeds a second.
const DELIVERY_LATENCY: HistogramMetric<2> = HistogramMetric::new(
    "fanfare_delivery_latency_seconds",
    "From accepted, or due, to taken by the provider.",
    ["channel", "priority"],
);
/// Worry when it nears the provider's timeout.
const PROVIDER_LATENCY: HistogramMetric<1> = HistogramMetric::new(
    "fanfare_provider_latency_seconds",
    "From the call to the provider to its answer.",
    ["provider"],
);

/// Each pause of a provider because its rate was spent. The sum's growth is the share of the time in which the rate is the limit.
const RATE_LIMIT_WAIT: HistogramMetric<2> = HistogramMetric::new(
    "fanfare_rate_limit_wait_seconds",
    "Pauses of a provider until its rate had tokens again.",
    ["channel", "provider"],
);

/// Gauges of one channel actor. A class observes only its own lanes, so the two actors of a channel do not fight.
pub(super) struct ChannelMetrics {
    lanes: Vec<(Priority, Gauge, Gauge)>,
    breakers: Vec<Gauge>,
    rate_waits: Vec<Histogram>,
    pub(super) senders: Mailboxes,
}

impl ChannelMetrics {
    pub(super) fn new(channel: Channel, class: Class, providers: &[ProviderSlots]) -> Self {
        let own = Priority::ALL.into_iter().filter(|priority| Class::of(*priority) == class);
        let lanes = own.map(|priority| {
            let labels = [channel.name(), priority.name()];
            (priority, QUEUE_DEPTH.with(labels), IN_FLIGHT.with(labels))
        });
        let breakers = providers.iter().map(|provider| CIRCUIT_OPEN.with([&provider.name, class.name()])).collect();
        let rate_waits = providers.iter().map(|provider| RATE_LIMIT_WAIT.with([channel.name(), &provider.name]));
        Self { lanes: lanes.collect(), breakers, rate_waits: rate_waits.collect(), senders: Mailboxes::of("sender") }
    }

    /// A provider pauses for want of tokens.
    pub(super) fn waits_for_rate(&self, index: usize, wait: Duration) {
        if let Some(waits) = self.rate_waits.get(index) {
            waits.record(wait.as_secs_f64());
        }
    }

    pub(super) fn observe(&self, lanes: &Lanes, in_flight: &[usize; 4], providers: &[ProviderSlots]) {
        for (priority, depth, flying) in &self.lanes {
            let waiting = lanes.depth(*priority);
            depth.set(waiting as f64);
            flying.set(in_flight[priority.index()] as f64);
        }
        for (gauge, provider) in self.breakers.iter().zip(providers) {
            gauge.set(if provider.breaker.is_closed() { 0.0 } else { 1.0 });
        }
    }
}

/// What senders count, with the handles resolved once per series.
#[derive(Default)]
pub(super) struct SendMetrics {
    series: Mutex<HashMap<SeriesKey, Series>>,
}

/// Channel, priority and the provider's name.
type SeriesKey = (Channel, Priority, Arc<str>);

#[derive(Clone)]
struct Series {
    sent: Counter,
    latency: Histogram,
    provider_latency: Histogram,
}

impl SendMetrics {
    /// One answer to a send that began at `began`.
    pub(super) fn observe(&self, answer: &Answer, began: Timestamp) {
        let AnswerKind::Outcome(outcome) = &answer.kind else { return };
        let Some(spec) = answer.plan.tasks().get(usize::from(answer.task.ordinal)) else { return };
        let series = self.series(spec.channel, answer.plan.priority(), &answer.provider);
        series.provider_latency.record(answer.at.since(began).as_secs_f64());
        if let Outcome::Accepted { .. } = outcome {
            series.sent.increment(1);
            let due = spec.due.unwrap_or(answer.plan.accepted_at).max(answer.plan.accepted_at);
            series.latency.record(answer.at.since(due).as_secs_f64());
        }
    }

    fn series(&self, channel: Channel, priority: Priority, provider: &Arc<str>) -> Series {
        let mut series = self.series.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        series
            .entry((channel, priority, provider.clone()))
            .or_insert_with(|| Series {
                sent: DELIVERIES.with([channel.name(), provider, "sent"]),
                latency: DELIVERY_LATENCY.with([channel.name(), priority.name()]),
                provider_latency: PROVIDER_LATENCY.with([provider]),
            })
            .clone()
    }
}
