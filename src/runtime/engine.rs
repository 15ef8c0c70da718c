//! The engine: builds the supervision tree over the ports, and takes it down in the order of the data.
//!
//! ```text
//! root ─┬─ partitions ── partition[shard]
//!       ├─ channels ──── channel[channel, class] ── sender[i]
//!       ├─ outcomes ──── settler[class], deliveries (where others read the log)
//!       ├─ timers ────── timer[shard]
//!       └─ sweeper ──── audit, brakes, watch, held[lane]
//! ```
//! Everything of the critical class runs on a runtime of its own. Clock, ports, providers and the renderer are parameters, so
//! that the whole engine can be built over others.

mod sending;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ractor::ActorRef;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::sending::attachments;
use super::shards::{Shards, start_with};
use super::supervisor::{Child, Fatal, SupervisorMessage, spawn_supervisor, stop_supervisor};
use crate::brakes::{Brakes, FollowActor, FollowArguments};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::coordination::SharedCoordination;
use crate::dispatch::{Backlog, Class, DispatchHandle, PayloadBudget, Room, Tracking};
use crate::domain::{Priority, millionths};
use crate::intake::{AcceptedKeys, Reading, Seals};
use crate::links::Links;
use crate::log::{Membership, SharedLog};
use crate::outcomes::{
    Cancellations, DeadAddresses, Deliveries, DeliveriesActor, DeliveriesArguments, ReadAgain, Replays, RetryPolicy,
    SettlerActor, SettlerArguments, SettlerHandle,
};
use crate::ownership::{BeatActor, BeatArguments, LeaseKeeper, Ownership, Standing};
use crate::planning::{Budgets, People, Policy};
use crate::providers::{Attachments, SharedProvider};
use crate::rendering::Renderer;
use crate::store::SharedStore;
use crate::timers::{HeldActor, HeldArguments, SweepActor, SweepArguments, TimersHandle};
use crate::users::Directory;

/// The longest a stop waits for others to be told.
const TELL_WAIT_MAX: Duration = Duration::from_secs(5);

/// What an engine is made of.
pub struct EngineParts {
    pub config: Config,
    pub clock: SharedClock,
    pub log: SharedLog,
    pub store: SharedStore,
    pub coordination: SharedCoordination,
    pub renderer: Arc<Renderer>,
    pub policy: Arc<Policy>,
    /// What planning knows of users and addresses.
    pub people: Arc<People>,
    pub brakes: Arc<Brakes>,
    /// What messages may still cost.
    pub budgets: Arc<Budgets>,
    /// Where it is noted which addresses are gone.
    pub users: Arc<Directory>,
    pub accepted_keys: Arc<AcceptedKeys>,
    /// How records of the log are sealed and opened.
    pub seals: Seals,
    /// Every provider twice, for the critical class and the rest: they share no connection.
    pub providers: [Vec<SharedProvider>; 2],
    /// Where the critical class runs.
    pub critical: Handle,
    /// Where nodes share the log: what keeps this node's shards its own.
    pub leases: Option<Arc<LeaseKeeper>>,
    /// Who makes the links in messages; `None`: there are none.
    pub links: Option<Arc<Links>>,
}

/// A running engine.
pub struct Engine {
    pub ownership: Arc<Ownership>,
    pub dispatch: Arc<DispatchHandle>,
    pub cancellations: Arc<Cancellations>,
    pub replays: Arc<Replays>,
    pub fatal: Arc<Fatal>,
    pub store: SharedStore,
    pub log: SharedLog,
    clock: SharedClock,
    settlers: [SettlerHandle; 2],
    pub(super) timers: Arc<TimersHandle>,
    pub(super) deliveries: Option<Arc<Deliveries>>,
    dead_addresses: Arc<DeadAddresses>,
    stop: CancellationToken,
    drain_timeout: Duration,
    shards: Arc<Shards>,
    following: Mutex<Option<JoinHandle<Box<dyn Membership>>>>,
    /// In the order in which they are stopped.
    supervisors: Vec<ActorRef<SupervisorMessage>>,
}

impl Engine {
    /// Starts everything. On return every partition of a log that is this node's alone is being worked on; those of one that nodes
    /// share come when they are assigned.
    pub async fn start(parts: EngineParts) -> anyhow::Result<Self> {
        Builder::new(parts)?.start().await
    }

    /// Stops in the order of the data: intake, then sends in flight, then their outcomes, then cursors. What cannot end in
    /// time is found again at the next start.
    pub async fn drain(&self) {
        self.stop.cancel();
        let mut supervisors = self.supervisors.iter();
        if let Some(partitions) = supervisors.next() {
            stop_supervisor(partitions).await;
        }
        let drained = tokio::time::timeout(self.drain_timeout, self.dispatch.drain()).await;
        if drained.is_err() {
            tracing::warn!(
                "sends in flight did not end in time: they are in doubt, and are sent again at the next start"
            );
        }
        for settler in &self.settlers {
            if tokio::time::timeout(self.drain_timeout, settler.flush()).await.is_err() {
                tracing::error!("outcomes could not be written in time: their tasks are sent again at the next start");
            }
        }
        if let Some(deliveries) = &self.deliveries
            && tokio::time::timeout(TELL_WAIT_MAX, deliveries.done()).await.is_err()
        {
            tracing::warn!("others could not be told of everything in time: the next start tells them");
        }
        for supervisor in supervisors {
            stop_supervisor(supervisor).await;
        }
        self.dead_addresses.close().await;
        self.shards.release_all().await;
        let following = self.following.lock().await.take();
        if let Some(following) = following
            && let Ok(membership) = following.await
        {
            // Last: who takes the partitions over finds everything written and let go.
            drop(membership);
        }
    }

    /// Why some shard that was assigned to this node is not worked on, if one is not.
    pub fn stuck(&self) -> Option<String> {
        self.shards.stuck.borrow().values().next().cloned()
    }

    /// The clock the engine runs by.
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }
}

struct Builder {
    parts: EngineParts,
    ownership: Arc<Ownership>,
    dispatch: Arc<DispatchHandle>,
    timers: Arc<TimersHandle>,
    settlers: [SettlerHandle; 2],
    cancellations: Arc<Cancellations>,
    dead_addresses: Arc<DeadAddresses>,
    reading: Arc<Reading>,
    /// None where nobody else reads the log.
    deliveries: Option<Arc<Deliveries>>,
    /// Of each class its own.
    attachments: [Arc<Attachments>; 2],
    tracking: Arc<Tracking>,
    fatal: Arc<Fatal>,
    stop: CancellationToken,
}

impl Builder {
    fn new(parts: EngineParts) -> anyhow::Result<Self> {
        let settings = &parts.config.dispatch;
        let room = Room {
            backlog: Backlog::new(settings.backlog_max),
            payloads: PayloadBudget::new(settings.payload_cache.as_usize()),
        };
        let standing = parts.leases.as_ref().map(|keeper| keeper.standing().clone());
        let ownership = Arc::new(Ownership::new(standing.unwrap_or_else(|| Arc::new(Standing::for_ever()))));
        let dispatch = Arc::new(DispatchHandle::new(room));
        let reading = Arc::new(Reading {
            contents: parts.renderer.clone(),
            categories: Arc::new(parts.policy.categories.clone()),
            body_max: parts.config.http.max_body.as_usize(),
        });
        let deliveries = parts.log.is_shared().then(|| Deliveries::new(ownership.clone()));
        let cancellations = Cancellations::new(
            parts.store.clone(),
            parts.clock.clone(),
            ownership.clone(),
            dispatch.clone(),
            deliveries.clone(),
        );
        let dead_addresses = DeadAddresses::start(parts.users.clone());
        let attachments = [attachments(&parts)?, attachments(&parts)?];
        Ok(Self {
            tracking: Arc::new(Tracking::new(&parts.config)),
            parts,
            attachments,
            dead_addresses,
            ownership,
            dispatch,
            timers: Arc::default(),
            settlers: [SettlerHandle::new(), SettlerHandle::new()],
            cancellations,
            reading,
            deliveries,
            fatal: Arc::default(),
            stop: CancellationToken::new(),
        })
    }

    /// Starts in the reverse order of the data, so that whoever hands something on finds somebody there.
    async fn start(self) -> anyhow::Result<Engine> {
        let outcomes = self.supervise("outcomes", self.outcomes()).await?;
        let channels = self.supervise("channels", self.channels()).await?;
        let timers = self.supervise("timers", Vec::new()).await?;
        let watchers = Priority::ALL.into_iter().map(|lane| self.held(lane));
        let watchers = [self.sweeper(), self.brakes(), self.watch()].into_iter().chain(watchers).collect();
        let sweeper = self.supervise("sweeper", watchers).await?;
        let partitions = self.supervise("partitions", Vec::new()).await?;
        let mut supervisors = vec![partitions.clone(), channels, outcomes, timers.clone(), sweeper];
        if let Some(keeper) = self.parts.leases.clone() {
            supervisors.push(self.supervise("leases", vec![self.beats(keeper)]).await?);
        }
        let membership = self.parts.log.join().await.context("cannot join the consumers of the log")?;
        let parts = &self.parts;
        let replays = Replays::new(
            parts.store.clone(),
            parts.log.clone(),
            parts.clock.clone(),
            self.ownership.clone(),
            self.timers.clone(),
            self.deliveries.clone(),
            self.read_again(),
        );
        let (store, log, clock) = (parts.store.clone(), parts.log.clone(), parts.clock.clone());
        let drain_timeout = parts.config.dispatch.drain_timeout;
        let (taken, mut all_taken) = watch::channel(0);
        let shards = Arc::new(Shards {
            keeper: self.parts.leases.clone(),
            parts: self.parts,
            ownership: self.ownership.clone(),
            dispatch: self.dispatch.clone(),
            timers: self.timers.clone(),
            reading: self.reading,
            deliveries: self.deliveries.clone(),
            fatal: self.fatal.clone(),
            stop: self.stop.clone(),
            partitions,
            timer_actors: timers,
            taking_over: Shards::take_overs(),
            taken,
            stuck: watch::Sender::default(),
        });
        let following = tokio::spawn(shards.clone().follow(membership));
        if !log.is_shared() {
            let count = usize::from(shards.parts.config.log.partitions) * 4;
            tokio::select! {
                taken = all_taken.wait_for(|taken| *taken >= count) => drop(taken?),
                reason = self.fatal.declared() => anyhow::bail!(reason),
            }
        }
        Ok(Engine {
            ownership: self.ownership,
            dispatch: self.dispatch,
            cancellations: self.cancellations,
            replays,
            fatal: self.fatal,
            store,
            log,
            clock,
            settlers: self.settlers,
            timers: self.timers,
            deliveries: self.deliveries,
            dead_addresses: self.dead_addresses,
            stop: self.stop,
            drain_timeout,
            shards,
            following: Mutex::new(Some(following)),
            supervisors,
        })
    }

    fn read_again(&self) -> ReadAgain {
        let (reading, clock, seals) = (self.reading.clone(), self.parts.clock.clone(), self.parts.seals.clone());
        Arc::new(move |letter, lane| {
            let (request, seals) = (reading.read_again(letter, lane, clock.now()), seals.clone());
            Box::pin(async move {
                let Some(request) = request else { return Ok(None) };
                Ok(seals.records(&[&request]).await?.pop())
            })
        })
    }

    async fn supervise(&self, name: &'static str, children: Vec<Child>) -> anyhow::Result<ActorRef<SupervisorMessage>> {
        spawn_supervisor(name, children, &self.parts.clock, &self.fatal, &self.stop).await
    }

    fn runtime(&self, class: Class) -> Handle {
        match class {
            Class::Critical => self.parts.critical.clone(),
            Class::Bulk => Handle::current(),
        }
    }

    fn outcomes(&self) -> Vec<Child> {
        let settlers = Class::ALL.into_iter().map(|class| self.settler(class));
        settlers.chain(self.deliveries.as_ref().map(|deliveries| self.deliveries(deliveries))).collect()
    }

    fn deliveries(&self, deliveries: &Arc<Deliveries>) -> Child {
        let arguments = DeliveriesArguments {
            deliveries: deliveries.clone(),
            log: self.parts.log.clone(),
            store: self.parts.store.clone(),
            clock: self.parts.clock.clone(),
        };
        Child {
            kind: "deliveries",
            name: "all".into(),
            start: start_with::<DeliveriesActor>(move |_| arguments.clone()),
            runtime: Handle::current(),
            stop: self.stop.child_token(),
        }
    }

    fn settler(&self, class: Class) -> Child {
        let arguments = SettlerArguments {
            handle: self.settlers[class as usize].clone(),
            policy: Arc::new(RetryPolicy::new(&self.parts.config.retry)),
            categories: Arc::new(self.parts.policy.categories.clone()),
            costs: self.costs(),
            store: self.parts.store.clone(),
            clock: self.parts.clock.clone(),
            ownership: self.ownership.clone(),
            dispatch: self.dispatch.clone(),
            timers: self.timers.clone(),
            brakes: self.parts.brakes.clone(),
            dead_addresses: self.dead_addresses.clone(),
            deliveries: self.deliveries.clone(),
        };
        Child {
            kind: "settler",
            name: class.name().into(),
            start: start_with::<SettlerActor>(move |_| arguments.clone()),
            runtime: self.runtime(class),
            stop: self.stop.child_token(),
        }
    }

    /// What each provider takes for a message.
    fn costs(&self) -> Arc<HashMap<Box<str>, u64>> {
        let providers = self.parts.config.providers.iter();
        let costs = providers.map(|provider| (Box::from(&*provider.name), millionths(provider.cost)));
        Arc::new(costs.collect())
    }

    fn sweeper(&self) -> Child {
        let arguments = SweepArguments {
            interval: self.parts.config.compensation.interval,
            clock: self.parts.clock.clone(),
            store: self.parts.store.clone(),
            ownership: self.ownership.clone(),
            dispatch: self.dispatch.clone(),
        };
        Child {
            kind: "sweeper",
            name: "audit".into(),
            start: start_with::<SweepActor>(move |_| arguments.clone()),
            runtime: Handle::current(),
            stop: self.stop.child_token(),
        }
    }

    /// Reads what other nodes stopped by hand.
    fn brakes(&self) -> Child {
        let arguments = FollowArguments { brakes: self.parts.brakes.clone(), clock: self.parts.clock.clone() };
        Child {
            kind: "brakes",
            name: "all".into(),
            start: start_with::<FollowActor>(move |_| arguments.clone()),
            runtime: self.parts.critical.clone(),
            stop: self.stop.child_token(),
        }
    }

    /// Frees what a brake held in a lane.
    fn held(&self, lane: Priority) -> Child {
        let arguments = HeldArguments {
            lane,
            brakes: self.parts.brakes.clone(),
            clock: self.parts.clock.clone(),
            store: self.parts.store.clone(),
            ownership: self.ownership.clone(),
            dispatch: self.dispatch.clone(),
        };
        Child {
            kind: "held",
            name: lane.name().into(),
            start: start_with::<HeldActor>(move |_| arguments.clone()),
            runtime: self.runtime(Class::of(lane)),
            stop: self.stop.child_token(),
        }
    }

    /// Gives this node's signs of life, beside everything else so that nothing delays them.
    fn beats(&self, keeper: Arc<LeaseKeeper>) -> Child {
        let coordination = self.parts.coordination.clone();
        let on_nodes = Arc::new(move |nodes| coordination.set_live_nodes(nodes));
        let arguments = BeatArguments { keeper, clock: self.parts.clock.clone(), on_nodes };
        Child {
            kind: "beat",
            name: "beat".into(),
            start: start_with::<BeatActor>(move |_| arguments.clone()),
            runtime: self.parts.critical.clone(),
            stop: self.stop.child_token(),
        }
    }
}
