//! What dispatch reports.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::adaptive::Adaptive;
use super::aside::Aside;
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
const CIRCUIT_OPEN: GaugeMetric<1> =
    GaugeMetric::new("fanfare_circuit_open", "1 while a breaker of the provider is open or probing.", ["provider"]);
/// Worry when `failed` or `retried` take a larger share than usual.
const DELIVERIES: CounterMetric<3> = CounterMetric::new(
    "fanfare_deliveries_total",
    "Messages by channel, provider and what came of them.",
    ["channel", "provider", "outcome"],
);
/// The time a message takes through the engine, its provider not included. Worry when critical exceeds a second.
const DELIVERY_LATENCY: HistogramMetric<2> = HistogramMetric::new(
    "fanfare_delivery_latency_seconds",
    "From accepted, or due, to handed to the provider that took it.",
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

/// What a provider bears, as one channel and class of this node learned it.
const RATE_LIMIT: GaugeMetric<3> = GaugeMetric::new(
    "fanfare_provider_rate_limit",
    "Sends a second that the provider's refusals allow this node; infinite while there are none.",
    ["channel", "class", "provider"],
);
/// Worry when it stays far below the configured slots: the provider is slow, silent or refuses.
const CONCURRENCY: GaugeMetric<3> = GaugeMetric::new(
    "fanfare_provider_concurrency",
    "Sends that may be under way to the provider at once, as its answers allow.",
    ["channel", "class", "provider"],
);

/// How many breakers of each provider are open: one per channel and class stands for it, and the gauge for all of them.
#[derive(Debug, Default)]
pub(super) struct Circuits(Mutex<HashMap<Arc<str>, usize>>);

impl Circuits {
    fn change(&self, provider: &Arc<str>, change: impl FnOnce(&mut usize)) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(provider.clone()).or_default();
        change(count);
        CIRCUIT_OPEN.with([provider]).set(if *count > 0 { 1.0 } else { 0.0 });
    }
}

/// One breaker's part in it; taken back when its actor goes.
struct Circuit {
    provider: Arc<str>,
    is_open: bool,
    all: Arc<Circuits>,
}

impl Circuit {
    fn new(provider: Arc<str>, all: Arc<Circuits>) -> Self {
        all.change(&provider, |_| {});
        Self { provider, is_open: false, all }
    }

    fn set(&mut self, is_open: bool) {
        if self.is_open != is_open {
            self.is_open = is_open;
            self.all.change(&self.provider, |count| if is_open { *count += 1 } else { *count -= 1 });
        }
    }
}

impl Drop for Circuit {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// The gauges of one provider; set when something changed.
struct Bears {
    rate: Gauge,
    concurrency: Gauge,
    shown: Option<(Option<f64>, usize)>,
}

impl Bears {
    /// Shown at once: a class that sends nothing for long is not held back to nothing.
    fn new(channel: Channel, class: Class, provider: &ProviderSlots) -> Self {
        let labels = [channel.name(), class.name(), &provider.name];
        let mut bears = Self { rate: RATE_LIMIT.with(labels), concurrency: CONCURRENCY.with(labels), shown: None };
        bears.observe(&provider.adaptive);
        bears
    }

    fn observe(&mut self, adaptive: &Adaptive) {
        let (rate, concurrency) = (adaptive.rate(), adaptive.concurrency());
        if self.shown != Some((rate, concurrency)) {
            self.shown = Some((rate, concurrency));
            self.rate.set(rate.unwrap_or(f64::INFINITY));
            self.concurrency.set(concurrency as f64);
        }
    }
}

/// Gauges of one channel actor. A class observes only its own lanes, so the two actors of a channel do not fight.
pub(super) struct ChannelMetrics {
    lanes: Vec<(Priority, Gauge, Gauge)>,
    breakers: Vec<Circuit>,
    rate_waits: Vec<Histogram>,
    bears: Vec<Bears>,
    pub(super) senders: Mailboxes,
}

impl ChannelMetrics {
    pub(super) fn new(channel: Channel, class: Class, providers: &[ProviderSlots], circuits: &Arc<Circuits>) -> Self {
        let own = Priority::ALL.into_iter().filter(|priority| Class::of(*priority) == class);
        let lanes = own.map(|priority| {
            let labels = [channel.name(), priority.name()];
            (priority, QUEUE_DEPTH.with(labels), IN_FLIGHT.with(labels))
        });
        let breakers = providers.iter().map(|provider| Circuit::new(provider.name.clone(), circuits.clone())).collect();
        let rate_waits = providers.iter().map(|provider| RATE_LIMIT_WAIT.with([channel.name(), &provider.name]));
        let bears = providers.iter().map(|provider| Bears::new(channel, class, provider));
        Self {
            lanes: lanes.collect(),
            breakers,
            rate_waits: rate_waits.collect(),
            bears: bears.collect(),
            senders: Mailboxes::of("sender"),
        }
    }

    /// A provider pauses for want of tokens.
    pub(super) fn waits_for_rate(&self, index: usize, wait: Duration) {
        if let Some(waits) = self.rate_waits.get(index) {
            waits.record(wait.as_secs_f64());
        }
    }

    pub(super) fn observe(
        &mut self,
        lanes: &Lanes,
        aside: &Aside,
        in_flight: &[usize; 4],
        providers: &[ProviderSlots],
    ) {
        for (priority, depth, flying) in &self.lanes {
            let waiting = lanes.depth(*priority) + aside.depth(*priority);
            depth.set(waiting as f64);
            flying.set(in_flight[priority.index()] as f64);
        }
        for (circuit, provider) in self.breakers.iter_mut().zip(providers) {
            circuit.set(!provider.breaker.is_closed());
        }
        for (bears, provider) in self.bears.iter_mut().zip(providers) {
            bears.observe(&provider.adaptive);
        }
    }
}

/// What a sender counts, with the handles resolved once per series.
#[derive(Default)]
pub(super) struct SendMetrics {
    /// A handful: one for each provider and priority of the channel.
    series: Vec<Series>,
}

struct Series {
    priority: Priority,
    provider: Arc<str>,
    sent: Counter,
    latency: Histogram,
    provider_latency: Histogram,
}

impl SendMetrics {
    /// One answer to a send that began at `began`.
    pub(super) fn observe(&mut self, answer: &Answer, began: Timestamp) {
        let AnswerKind::Outcome(outcome) = &answer.kind else { return };
        let Some(spec) = answer.plan.tasks().get(usize::from(answer.task.ordinal)) else { return };
        let series = self.series(spec.channel, answer.plan.priority(), &answer.provider);
        series.provider_latency.record(answer.at.since(began).as_secs_f64());
        if let Outcome::Accepted { .. } = outcome {
            series.sent.increment(1);
            let due = spec.due.unwrap_or(answer.plan.accepted_at).max(answer.plan.accepted_at);
            series.latency.record(began.since(due).as_secs_f64());
        }
    }

    fn series(&mut self, channel: Channel, priority: Priority, provider: &Arc<str>) -> &Series {
        let is_it = |series: &Series| series.priority == priority && Arc::ptr_eq(&series.provider, provider);
        let index = self.series.iter().position(is_it).unwrap_or_else(|| {
            self.series.push(Series {
                priority,
                provider: provider.clone(),
                sent: DELIVERIES.with([channel.name(), provider, "sent"]),
                latency: DELIVERY_LATENCY.with([channel.name(), priority.name()]),
                provider_latency: PROVIDER_LATENCY.with([provider]),
            });
            self.series.len() - 1
        });
        &self.series[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Address, Disposition, Position, ShardId, TaskSpec};
    use crate::store::conformance::plan;
    use crate::telemetry;

    #[test]
    fn a_delivery_takes_from_accepted_to_the_call_of_the_provider() {
        let page = telemetry::install();
        let shard = ShardId { generation: 0, lane: Priority::Low, partition: 0 };
        let mut plan = plan(Position::new(shard, 1));
        let address = Address::Phone("+491701234567".into());
        plan.disposition =
            Disposition::Tasks(vec![TaskSpec { channel: Channel::Voice, address, due: None, endpoint: 0 }]);
        let accepted_at = plan.accepted_at;
        let began = accepted_at + std::time::Duration::from_secs(2);
        let answer = Answer {
            task: plan.task_id(0),
            attempt: 1,
            plan: Arc::new(plan),
            was_scheduled: false,
            provider: "slow".into(),
            asked_at: began,
            at: began + std::time::Duration::from_secs(8),
            kind: AnswerKind::Outcome(Outcome::Accepted { message_id: None }),
        };
        SendMetrics::default().observe(&answer, began);
        let text = page.render();
        for expected in [
            r#"fanfare_delivery_latency_seconds_sum{channel="voice",priority="low"} 2"#,
            r#"fanfare_provider_latency_seconds_sum{provider="slow"} 8"#,
        ] {
            assert!(text.contains(expected), "`{expected}` is not in:\n{text}");
        }
    }

    #[test]
    fn a_provider_has_one_circuit_which_is_open_while_any_of_its_breakers_is() {
        let page = telemetry::install();
        let all = Arc::new(Circuits::default());
        let [mut critical, mut bulk] = [(); 2].map(|()| Circuit::new("twice".into(), all.clone()));
        let check = |expected: u8| {
            let expected = format!(r#"fanfare_circuit_open{{provider="twice"}} {expected}"#);
            assert!(page.render().contains(&expected), "`{expected}` is not in:\n{}", page.render());
        };
        check(0);
        critical.set(true);
        bulk.set(true);
        critical.set(false);
        check(1);
        drop(bulk);
        check(0);
    }
}
