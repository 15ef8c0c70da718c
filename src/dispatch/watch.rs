//! Looks after what providers do not say in an answer: whether receipts came of what they took, and when their credentials end.
//!
//! One for the node, started and watched by the supervisor of the sweeper, and stopped with it. It keeps nothing; each look reads a
//! bounded sample of stories, together.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::late::has_receipt;
use super::ready::DispatchHandle;
use crate::clock::SharedClock;
use crate::config::LateReceipts;
use crate::domain::{Position, Timestamp};
use crate::store::SharedStore;
use crate::telemetry::{Gauge, GaugeMetric};

/// Worry when it nears the configured share: messages are taken and not delivered, or the receipts do not reach us.
const LATE: GaugeMetric<1> = GaugeMetric::new(
    "fanfare_provider_late_receipts_ratio",
    "Of a sample of what the provider took, the share without a receipt in time.",
    ["provider"],
);
/// Worry below 30 days.
const CREDENTIALS: GaugeMetric<1> = GaugeMetric::new(
    "fanfare_provider_credentials_seconds",
    "How long the provider's credentials are still good for; below 0 they have ended.",
    ["provider"],
);

/// How often it looks at least, and at most.
const LOOK_MAX: Duration = Duration::from_secs(60);
const LOOK_MIN: Duration = Duration::from_secs(1);

/// What is to be looked after of a provider.
#[derive(Debug, Clone)]
pub struct WatchedProvider {
    pub name: Box<str>,
    /// `None`: it sends no receipts, or nobody asked for it.
    pub late_receipts: Option<LateReceipts>,
    /// When its credentials end, where that is known.
    pub credentials_end: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub struct WatchActor;

/// What it is started with.
#[derive(Clone)]
pub struct WatchArguments {
    pub providers: Vec<WatchedProvider>,
    pub clock: SharedClock,
    pub store: SharedStore,
    pub dispatch: Arc<DispatchHandle>,
}

#[derive(Debug)]
pub enum WatchMessage {
    Look,
}

pub struct WatchState {
    arguments: WatchArguments,
    interval: Duration,
    gauges: Vec<(Option<Gauge>, Option<Gauge>)>,
}

impl Actor for WatchActor {
    type Msg = WatchMessage;
    type State = WatchState;
    type Arguments = WatchArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<WatchMessage>,
        arguments: WatchArguments,
    ) -> Result<WatchState, ActorProcessingErr> {
        let (mut interval, mut gauges) = (LOOK_MAX, Vec::new());
        for provider in &arguments.providers {
            if let Some(rule) = provider.late_receipts {
                arguments.dispatch.receipts().watch(&provider.name, rule);
                interval = interval.min(rule.within / 4).max(LOOK_MIN);
            }
            let late = provider.late_receipts.map(|_| LATE.with([&provider.name]));
            gauges.push((late, provider.credentials_end.map(|_| CREDENTIALS.with([&provider.name]))));
        }
        myself.cast(WatchMessage::Look)?;
        Ok(WatchState { arguments, interval, gauges })
    }

    async fn handle(
        &self,
        myself: ActorRef<WatchMessage>,
        _: WatchMessage,
        state: &mut WatchState,
    ) -> Result<(), ActorProcessingErr> {
        state.look().await;
        let sleep = state.arguments.clock.sleep(state.interval);
        tokio::spawn(async move {
            sleep.await;
            let _ = myself.cast(WatchMessage::Look);
        });
        Ok(())
    }
}

impl WatchState {
    async fn look(&self) {
        let now = self.arguments.clock.now();
        for (provider, (late, credentials)) in self.arguments.providers.iter().zip(&self.gauges) {
            if let (Some(gauge), Some(end)) = (credentials, provider.credentials_end) {
                gauge.set((end.0 as f64 - now.0 as f64) / 1000.0);
            }
            if let Some(gauge) = late
                && let Some(ratio) = self.look_at_receipts(&provider.name, now).await
            {
                gauge.set(ratio);
            }
        }
    }

    /// The share without a receipt, if enough were looked at. What cannot be read counts neither way.
    async fn look_at_receipts(&self, provider: &str, now: Timestamp) -> Option<f64> {
        let receipts = self.arguments.dispatch.receipts();
        let due = receipts.due(provider, now);
        if due.is_empty() {
            return None;
        }
        let positions: Vec<Position> = due.iter().map(|task| task.position).collect();
        let stories = match self.arguments.store.stories(&positions).await {
            Ok(stories) => stories,
            Err(error) => {
                tracing::warn!(%error, provider, "cannot read whether receipts came: the sample is dropped");
                return None;
            }
        };
        let (mut total, mut late) = (0, 0);
        for (task, story) in due.into_iter().zip(stories) {
            let Some(story) = story else { continue };
            total += 1;
            late += usize::from(!has_receipt(&story, task));
        }
        receipts.looked(provider, total, late)
    }
}
