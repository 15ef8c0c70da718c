//! What dispatch reports.

use std::collections::HashMap;
use std::sync::Mutex;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::lanes::Lanes;
use super::ready::Class;
use super::slots::ProviderSlots;
use crate::domain::{Channel, Outcome, Priority, Timestamp};
use crate::outcomes::{Answer, AnswerKind};

/// Gauges of one channel actor. A class observes only its own lanes, so the two actors of a channel do not fight.
pub(super) struct ChannelMetrics {
    lanes: Vec<(Priority, Gauge, Gauge)>,
    breakers: Vec<Gauge>,
}

impl ChannelMetrics {
    pub(super) fn new(channel: Channel, class: Class, providers: &[ProviderSlots]) -> Self {
        let own = Priority::ALL.into_iter().filter(|priority| Class::of(*priority) == class);
        let lanes = own.map(|priority| {
            let labels = [("channel", channel.name()), ("priority", priority.name())];
            (priority, gauge!("fanfare_queue_depth", &labels), gauge!("fanfare_in_flight", &labels))
        });
        let breakers = providers
            .iter()
            .map(|provider| gauge!("fanfare_circuit_open", "provider" => provider.name.to_string()))
            .collect();
        Self { lanes: lanes.collect(), breakers }
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
    series: Mutex<HashMap<(Channel, Priority, std::sync::Arc<str>), Series>>,
}

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

    fn series(&self, channel: Channel, priority: Priority, provider: &std::sync::Arc<str>) -> Series {
        let mut series = self.series.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        series
            .entry((channel, priority, provider.clone()))
            .or_insert_with(|| {
                let provider = provider.to_string();
                Series {
                    sent: counter!("fanfare_deliveries_total",
                        "channel" => channel.name(), "provider" => provider.clone(), "outcome" => "sent"),
                    latency: histogram!("fanfare_delivery_latency_seconds",
                        "channel" => channel.name(), "priority" => priority.name()),
                    provider_latency: histogram!("fanfare_provider_latency_seconds", "provider" => provider),
                }
            })
            .clone()
    }
}
