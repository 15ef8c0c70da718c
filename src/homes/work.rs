//! The work actor: does one kind of work at one home, turn by turn.
//!
//! Started and watched by the homes' supervisor for as long as the home is this node's. What it has in memory may be lost: each
//! incarnation begins from the rows.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::Notify;

use super::Tenure;
use crate::clock::SharedClock;
use crate::store::StoreError;

/// The pause after the store failed; it doubles up to the other.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A kind of work that is done at homes.
#[async_trait]
pub trait Work: Send + Sync + 'static {
    /// What the actors are called; a metric label.
    fn kind(&self) -> &'static str;

    /// Takes up what is to be done at a home.
    async fn begin(&self, tenure: Tenure) -> Result<Box<dyn Turns>, StoreError>;

    /// Who is told when there may be something to do before its time.
    fn wake(&self) -> &Wake;
}

/// Work at one home, a piece at a time.
#[async_trait]
pub trait Turns: Send {
    /// Does a piece of at most a second or so; how long to wait until the next, unless somebody wakes it. It must not write once the
    /// tenure holds no more.
    async fn turn(&mut self) -> Result<Duration, StoreError>;
}

/// Wakes the work of all homes of this node.
#[derive(Debug, Default)]
pub struct Wake(Notify);

impl Wake {
    pub fn wake(&self) {
        self.0.notify_waiters();
    }
}

#[derive(Debug, Default)]
pub struct WorkActor;

#[derive(Clone)]
pub struct WorkArguments {
    pub work: Arc<dyn Work>,
    pub tenure: Tenure,
    pub clock: SharedClock,
}

#[derive(Debug)]
pub enum WorkMessage {
    Next,
}

pub struct WorkState {
    arguments: WorkArguments,
    turns: Option<Box<dyn Turns>>,
    pause: Duration,
}

impl Actor for WorkActor {
    type Msg = WorkMessage;
    type State = WorkState;
    type Arguments = WorkArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<WorkMessage>,
        arguments: WorkArguments,
    ) -> Result<WorkState, ActorProcessingErr> {
        myself.cast(WorkMessage::Next)?;
        Ok(WorkState { arguments, turns: None, pause: FIRST_PAUSE })
    }

    async fn handle(
        &self,
        myself: ActorRef<WorkMessage>,
        _: WorkMessage,
        state: &mut WorkState,
    ) -> Result<(), ActorProcessingErr> {
        let tenure = state.arguments.tenure.clone();
        if tenure.ended.is_cancelled() {
            myself.stop(None);
            return Ok(());
        }
        let work = state.arguments.work.clone();
        let mut woken = Box::pin(async move { work.wake().0.notified().await });
        // From here on it hears of what comes while it works.
        _ = futures_util::poll!(&mut woken);
        let pause = if tenure.holds() { state.turn().await } else { FIRST_PAUSE };
        let sleep = state.arguments.clock.sleep(pause);
        tokio::spawn(async move {
            tokio::select! {
                () = sleep => {}
                () = woken => {}
                () = tenure.ended.cancelled() => {}
            }
            let _ = myself.cast(WorkMessage::Next);
        });
        Ok(())
    }
}

impl WorkState {
    /// One piece; how long to wait for the next.
    async fn turn(&mut self) -> Duration {
        match self.try_turn().await {
            Ok(pause) => {
                self.pause = FIRST_PAUSE;
                pause
            }
            Err(error) => {
                let WorkArguments { work, tenure, .. } = &self.arguments;
                tracing::warn!(%error, work = work.kind(), home = tenure.home, "work stands still: trying again");
                // What memory has may be ahead of the rows.
                self.turns = None;
                let pause = self.pause;
                self.pause = (pause * 2).min(PAUSE_MAX);
                pause
            }
        }
    }

    async fn try_turn(&mut self) -> Result<Duration, StoreError> {
        if self.turns.is_none() {
            let WorkArguments { work, tenure, .. } = &self.arguments;
            self.turns = Some(work.begin(tenure.clone()).await?);
        }
        match &mut self.turns {
            Some(turns) => turns.turn().await,
            None => Ok(FIRST_PAUSE),
        }
    }
}
