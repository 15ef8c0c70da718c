//! A supervisor: starts its children, starts them anew when they fail, and stops the node when that does not help.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::clock::{Moment, SharedClock};
use crate::telemetry::{CounterMetric, GaugeMetric};

/// Actors that run. Worry when it falls.
const ACTORS: GaugeMetric<1> = GaugeMetric::new("fanfare_actors", "Supervised actors that run, by kind.", ["kind"]);
/// Worry about any: something panicked.
const RESTARTS: CounterMetric<1> =
    CounterMetric::new("fanfare_actor_restarts_total", "Actors that failed and were started anew, by kind.", ["kind"]);

/// Starts a child linked to the given supervisor; `true` when it is not the first time.
pub(super) type Start = Arc<dyn Fn(ActorCell, bool) -> BoxFuture<'static, Result<ActorCell, SpawnErr>> + Send + Sync>;

/// A child, as its supervisor starts it.
pub(super) struct Child {
    /// What sort of actor it is; a metric label.
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) start: Start,
    /// Where it runs; its own children run there too.
    pub(super) runtime: Handle,
}

/// Says that the node must stop, and why.
#[derive(Debug, Default)]
pub struct Fatal {
    token: CancellationToken,
    reason: Mutex<Option<String>>,
}

impl Fatal {
    /// The first reason given is kept.
    pub fn declare(&self, reason: String) {
        tracing::error!(reason, "the node stops");
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.token.cancel();
    }

    /// Waits until the node must stop; the reason.
    pub async fn declared(&self) -> String {
        self.token.cancelled().await;
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }
}

/// Restarts within [`STORM_WINDOW`] that stop the node: what fails this often is not mended by starting it again.
const STORM: usize = 10;
const STORM_WINDOW: Duration = Duration::from_secs(60);
/// The pause before the first restart; it doubles with each within the window.
const RESTART_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub(super) struct Supervisor;

pub(super) struct SupervisorArguments {
    pub(super) name: &'static str,
    pub(super) children: Vec<Child>,
    pub(super) clock: SharedClock,
    pub(super) fatal: Arc<Fatal>,
    /// Set when the node stops: children that end are not started again.
    pub(super) stop: CancellationToken,
}

pub(super) enum SupervisorMessage {
    Restart(usize),
    /// A further child.
    Add(Child),
}

pub(super) struct SupervisorState {
    arguments: SupervisorArguments,
    running: Vec<Option<ActorCell>>,
    restarts: VecDeque<Moment>,
}

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = SupervisorState;
    type Arguments = SupervisorArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<SupervisorMessage>,
        mut arguments: SupervisorArguments,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        let children = std::mem::take(&mut arguments.children);
        let mut state = SupervisorState { arguments, running: Vec::new(), restarts: VecDeque::new() };
        for child in children {
            state.add(child, &myself).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMessage>,
        message: SupervisorMessage,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMessage::Add(child) => {
                if let Err(error) = state.add(child, &myself).await {
                    state.failed(state.running.len() - 1, &error.to_string(), &myself);
                }
            }
            SupervisorMessage::Restart(index) => {
                if let Err(error) = state.start(index, &myself, true).await {
                    state.failed(index, &error.to_string(), &myself);
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMessage>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, reason) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, error.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, reason) => (cell, reason.unwrap_or_else(|| "it ended".into())),
            _ => return Ok(()),
        };
        let ended = |running: &Option<ActorCell>| running.as_ref().is_some_and(|child| child.get_id() == cell.get_id());
        if let Some(index) = state.running.iter().position(ended) {
            state.running[index] = None;
            let kind = state.arguments.children[index].kind;
            ACTORS.with([kind]).decrement(1.0);
            state.failed(index, &reason, &myself);
        }
        Ok(())
    }
}

impl SupervisorState {
    async fn add(&mut self, child: Child, myself: &ActorRef<SupervisorMessage>) -> Result<(), SpawnErr> {
        self.arguments.children.push(child);
        self.running.push(None);
        self.start(self.running.len() - 1, myself, false).await
    }

    async fn start(
        &mut self,
        index: usize,
        myself: &ActorRef<SupervisorMessage>,
        reborn: bool,
    ) -> Result<(), SpawnErr> {
        let child = &self.arguments.children[index];
        let starting = (child.start)(myself.get_cell(), reborn);
        let started = child.runtime.spawn(starting).await;
        let cell = started.map_err(|error| SpawnErr::StartupFailed(error.into()))??;
        ACTORS.with([child.kind]).increment(1.0);
        self.running[index] = Some(cell);
        Ok(())
    }

    /// A child is gone: it is started anew after a pause, unless the node stops or this happens too often.
    fn failed(&mut self, index: usize, reason: &str, myself: &ActorRef<SupervisorMessage>) {
        let arguments = &self.arguments;
        if arguments.stop.is_cancelled() {
            return;
        }
        let child = &arguments.children[index];
        let now = arguments.clock.moment();
        self.restarts.retain(|at| now.since(*at) < STORM_WINDOW);
        self.restarts.push_back(now);
        RESTARTS.with([child.kind]).increment(1);
        if self.restarts.len() > STORM {
            arguments.fatal.declare(format!(
                "{} {} children of `{}` failed within {:?}; the last was {}: {reason}",
                self.restarts.len(),
                child.kind,
                arguments.name,
                STORM_WINDOW,
                child.name,
            ));
            return;
        }
        tracing::error!(kind = child.kind, name = child.name, reason, "an actor failed: starting it anew");
        let sleep = arguments.clock.sleep(RESTART_PAUSE * (1 << (self.restarts.len() - 1)));
        let myself = myself.clone();
        tokio::spawn(async move {
            sleep.await;
            let _ = myself.cast(SupervisorMessage::Restart(index));
        });
    }
}
