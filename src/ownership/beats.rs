//! The beat actor: gives this node's signs of life, which keep its leases.
//!
//! Started and watched by the root. A crash costs a beat or two, of which a lease has several to spare.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::LeaseKeeper;
use crate::clock::SharedClock;
use crate::telemetry::{Counter, CounterMetric, Gauge, GaugeMetric};

/// Worry when it falls, or when nodes do not agree on it.
const NODES: GaugeMetric<0> =
    GaugeMetric::new("fanfare_nodes", "Engine nodes that this one hears of, itself included.", []);
/// Worry when it grows: after some in a row nothing is sent until one succeeds.
const FAILED: CounterMetric<0> =
    CounterMetric::new("fanfare_failed_beats_total", "Signs of life that could not be given.", []);

#[derive(Debug, Default)]
pub struct BeatActor;

#[derive(Clone)]
pub struct BeatArguments {
    pub keeper: Arc<LeaseKeeper>,
    pub clock: SharedClock,
    /// Told how many nodes there are, whenever somebody may want to know.
    pub on_nodes: Arc<dyn Fn(usize) + Send + Sync>,
}

#[derive(Debug)]
pub enum BeatMessage {
    Beat,
}

pub struct BeatState {
    arguments: BeatArguments,
    nodes: Gauge,
    failed: Counter,
}

impl Actor for BeatActor {
    type Msg = BeatMessage;
    type State = BeatState;
    type Arguments = BeatArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<BeatMessage>,
        arguments: BeatArguments,
    ) -> Result<BeatState, ActorProcessingErr> {
        myself.cast(BeatMessage::Beat)?;
        Ok(BeatState { arguments, nodes: NODES.with([]), failed: FAILED.with([]) })
    }

    async fn handle(
        &self,
        myself: ActorRef<BeatMessage>,
        _: BeatMessage,
        state: &mut BeatState,
    ) -> Result<(), ActorProcessingErr> {
        let BeatArguments { keeper, clock, on_nodes } = &state.arguments;
        // From its beginning to the next one's: a slow store makes beats no rarer than it must.
        let sleep = clock.sleep(keeper.beat_interval());
        match keeper.beat().await {
            Ok(()) => {
                let nodes = keeper.live_nodes();
                state.nodes.set(nodes as f64);
                on_nodes(nodes);
            }
            Err(error) => {
                state.failed.increment(1);
                tracing::warn!(%error, "cannot give a sign of life: sends stop when the leases end");
            }
        }
        tokio::spawn(async move {
            sleep.await;
            let _ = myself.cast(BeatMessage::Beat);
        });
        Ok(())
    }
}
