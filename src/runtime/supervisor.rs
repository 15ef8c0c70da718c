//! A supervisor: starts its children, starts them anew when they fail, and stops the node when that does not help.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
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
    /// Set when it is wanted no more: if it ends then, it is not started again, and its place is given to another.
    pub(super) stop: CancellationToken,
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

/// The longest a stage may take to end after its last message.
const STOP_WAIT_MAX: Duration = Duration::from_secs(5);

/// Starts a supervisor; that it ends before `stop` is set stops the node.
pub(super) async fn spawn_supervisor(
    name: &'static str,
    children: Vec<Child>,
    clock: &SharedClock,
    fatal: &Arc<Fatal>,
    stop: &CancellationToken,
) -> anyhow::Result<ActorRef<SupervisorMessage>> {
    let arguments = SupervisorArguments { name, children, clock: clock.clone(), fatal: fatal.clone() };
    let spawned = Actor::spawn(None, Supervisor, arguments).await;
    let (supervisor, ended) = spawned.with_context(|| format!("cannot start the {name}"))?;
    let (fatal, stop) = (fatal.clone(), stop.clone());
    tokio::spawn(async move {
        // Nobody stands above a supervisor: if one ends unasked, the node does.
        let _ = ended.await;
        if !stop.is_cancelled() {
            fatal.declare(format!("the supervisor of the {name} failed"));
        }
    });
    Ok(supervisor)
}

/// Stops a supervisor and all it watches.
pub(super) async fn stop_supervisor(supervisor: &ActorRef<SupervisorMessage>) {
    // Children first: a parent that stops kills them without letting them finish.
    supervisor.drain_children_and_wait(Some(STOP_WAIT_MAX)).await;
    // Too late is as good as in time: what is killed is found again at the next start.
    let _ = supervisor.stop_and_wait(None, Some(STOP_WAIT_MAX)).await;
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
}

pub(super) enum SupervisorMessage {
    Restart(usize),
    /// A further child.
    Add(Child),
    /// Takes out the children of this name; answers when they are gone and forgotten.
    Remove(String, oneshot::Sender<()>),
}

pub(super) struct SupervisorState {
    arguments: SupervisorArguments,
    places: Vec<Option<Place>>,
    restarts: VecDeque<Moment>,
}

struct Place {
    child: Child,
    running: Option<ActorCell>,
    /// Told when the child is taken out.
    removed: Option<oneshot::Sender<()>>,
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
        let mut state = SupervisorState { arguments, places: Vec::new(), restarts: VecDeque::new() };
        for child in children {
            let index = state.place(child);
            state.start(index, &myself, false).await?;
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
                let index = state.place(child);
                state.try_start(index, &myself, false).await;
            }
            SupervisorMessage::Remove(name, removed) => state.remove(&name, removed),
            SupervisorMessage::Restart(index) => state.try_start(index, &myself, true).await,
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
        let is_it = |place: &Option<Place>| {
            let running = place.as_ref().and_then(|place| place.running.as_ref());
            running.is_some_and(|running| running.get_id() == cell.get_id())
        };
        if let Some(index) = state.places.iter().position(is_it) {
            state.ended(index, &reason, &myself);
        }
        Ok(())
    }
}

impl SupervisorState {
    /// Gives a child a place, from which it is to be started.
    fn place(&mut self, child: Child) -> usize {
        let index = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
        if index == self.places.len() {
            self.places.push(None);
        }
        self.places[index] = Some(Place { child, running: None, removed: None });
        index
    }

    async fn try_start(&mut self, index: usize, myself: &ActorRef<SupervisorMessage>, reborn: bool) {
        if let Err(error) = self.start(index, myself, reborn).await {
            self.failed(index, &error.to_string(), myself);
        }
    }

    async fn start(
        &mut self,
        index: usize,
        myself: &ActorRef<SupervisorMessage>,
        reborn: bool,
    ) -> Result<(), SpawnErr> {
        let Some(place) = &mut self.places[index] else { return Ok(()) };
        // A place that was given to another child meanwhile has one that runs.
        if place.running.is_some() || place.child.stop.is_cancelled() {
            return Ok(());
        }
        let child = &place.child;
        let starting = (child.start)(myself.get_cell(), reborn);
        let started = child.runtime.spawn(starting).await;
        let cell = started.map_err(|error| SpawnErr::StartupFailed(error.into()))??;
        ACTORS.with([child.kind]).increment(1.0);
        place.running = Some(cell);
        Ok(())
    }

    fn remove(&mut self, name: &str, removed: oneshot::Sender<()>) {
        let is_it = |place: &Option<Place>| place.as_ref().is_some_and(|place| place.child.name == name);
        let Some(index) = self.places.iter().position(is_it) else { return };
        let Some(place) = &mut self.places[index] else { return };
        place.child.stop.cancel();
        match &place.running {
            Some(running) => {
                running.stop(None);
                place.removed = Some(removed);
            }
            None => self.places[index] = None,
        }
    }

    fn ended(&mut self, index: usize, reason: &str, myself: &ActorRef<SupervisorMessage>) {
        let Some(place) = &mut self.places[index] else { return };
        place.running = None;
        ACTORS.with([place.child.kind]).decrement(1.0);
        if place.child.stop.is_cancelled() {
            // Dropped after the child and all that it holds.
            let removed = place.removed.take();
            self.places[index] = None;
            drop(removed);
            return;
        }
        self.failed(index, reason, myself);
    }

    /// A child is gone: it is started anew after a pause, unless this happens too often.
    fn failed(&mut self, index: usize, reason: &str, myself: &ActorRef<SupervisorMessage>) {
        let arguments = &self.arguments;
        let Some(child) = self.places[index].as_ref().map(|place| &place.child) else { return };
        if child.stop.is_cancelled() {
            self.places[index] = None;
            return;
        }
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
