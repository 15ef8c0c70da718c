//! The actor that tells others. Started and watched by the outcomes' supervisor; what it is at stays in the queue outside it
//! until it is done.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::queue::Step;
use super::{Deliveries, cloud_event};
use crate::clock::{Moment, SharedClock};
use crate::domain::Story;
use crate::log::{SharedLog, Told};
use crate::store::SharedStore;
use crate::telemetry::{Counter, CounterMetric};

/// Worry when it stands still while tasks are sent.
const TOLD: CounterMetric<0> =
    CounterMetric::new("fanfare_deliveries_told_total", "Events of tasks that were told to others.", []);

/// The pause after the first failure; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How often a failure is said: it lasts for as long as the log is out, and other events may be told in between.
const SAY_INTERVAL: Duration = Duration::from_secs(300);

/// There is something to tell.
#[derive(Debug)]
pub struct TellOthers;

#[derive(Debug, Default)]
pub struct DeliveriesActor;

#[derive(Clone)]
pub struct DeliveriesArguments {
    pub deliveries: Arc<Deliveries>,
    pub log: SharedLog,
    pub store: SharedStore,
    pub clock: SharedClock,
}

pub struct DeliveriesState {
    arguments: DeliveriesArguments,
    pause: Duration,
    /// When a failure was said last.
    said_at: Option<Moment>,
    told: Counter,
}

impl Actor for DeliveriesActor {
    type Msg = TellOthers;
    type State = DeliveriesState;
    type Arguments = DeliveriesArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<TellOthers>,
        arguments: DeliveriesArguments,
    ) -> Result<DeliveriesState, ActorProcessingErr> {
        arguments.deliveries.actor.store(Some(Arc::new(myself.clone())));
        myself.cast(TellOthers)?;
        Ok(DeliveriesState { arguments, pause: PAUSE, said_at: None, told: TOLD.with([]) })
    }

    async fn handle(
        &self,
        myself: ActorRef<TellOthers>,
        _: TellOthers,
        state: &mut DeliveriesState,
    ) -> Result<(), ActorProcessingErr> {
        let deliveries = state.arguments.deliveries.clone();
        deliveries.told.store(false, Ordering::Release);
        if let Err(reason) = state.step().await {
            let now = state.arguments.clock.moment();
            if state.said_at.is_none_or(|at| now.since(at) >= SAY_INTERVAL) {
                tracing::warn!(reason, "cannot tell others of what happened to tasks: trying again");
                state.said_at = Some(now);
            }
            // Nobody else wakes it meanwhile.
            deliveries.told.store(true, Ordering::Release);
            arrange(myself, state.arguments.clock.sleep(state.pause));
            state.pause = (state.pause * 2).min(PAUSE_MAX);
            return Ok(());
        }
        state.pause = PAUSE;
        let queue = deliveries.queue();
        deliveries.show(&queue);
        let is_done = queue.is_empty();
        drop(queue);
        match is_done {
            true => deliveries.is_done.notify_waiters(),
            false => deliveries.wake(),
        }
        Ok(())
    }
}

fn arrange(myself: ActorRef<TellOthers>, pause: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(async move {
        pause.await;
        // A closed mailbox means a restart, and the next incarnation looks by itself.
        let _ = myself.cast(TellOthers);
    });
}

impl DeliveriesState {
    async fn step(&self) -> Result<(), String> {
        let DeliveriesArguments { deliveries, log, store, .. } = &self.arguments;
        let step = deliveries.queue().step(render);
        match step {
            Step::Nothing => {}
            Step::Read(shard, block) => {
                let read = store.block(shard, block).await;
                let mut queue = deliveries.queue();
                match read {
                    Ok(stories) => queue.was_read(stories),
                    Err(error) => {
                        queue.was_not_read();
                        return Err(format!("the block {block} of {shard}: {error}"));
                    }
                }
            }
            Step::Tell(events) => {
                log.tell(events.to_vec()).await.map_err(|error| error.to_string())?;
                let count = deliveries.queue().was_told();
                self.told.increment(count as u64);
            }
        }
        Ok(())
    }
}

fn render(story: &Story) -> Vec<Told> {
    story.histories().iter().map(|event| cloud_event::told(&story.plan, event)).collect()
}
