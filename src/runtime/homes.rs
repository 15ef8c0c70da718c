//! The homes of this node as they come and go: takes as many as are its share, starts the work there, and lets them go when more
//! nodes come.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use ractor::ActorRef;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::shards::start_with;
use super::supervisor::{Child, Fatal, SupervisorMessage, spawn_supervisor, stop_supervisor};
use crate::clock::SharedClock;
use crate::domain::ShardId;
use crate::homes::{HOMES, Homes, Tenure, Work, WorkActor, WorkArguments};
use crate::ownership::{LeaseKeeper, Standing};

/// How often a node looks whether it has its share.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What the homes of a node are made of.
pub struct HomesParts {
    pub homes: Arc<Homes>,
    /// What is done at each.
    pub works: Vec<Arc<dyn Work>>,
    /// `None`: nobody else could have them.
    pub keeper: Option<Arc<LeaseKeeper>>,
    pub clock: SharedClock,
    pub fatal: Arc<Fatal>,
}

/// The running work of a node's homes.
pub struct RunningHomes {
    stop: CancellationToken,
    keeping: JoinHandle<()>,
}

struct Keeping {
    parts: HomesParts,
    supervisor: ActorRef<SupervisorMessage>,
    standing: Arc<Standing>,
    stop: CancellationToken,
    /// Homes that are waited for.
    taking: FuturesUnordered<BoxFuture<'static, u16>>,
    awaited: BTreeSet<u16>,
}

impl RunningHomes {
    pub async fn start(parts: HomesParts) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let supervisor = spawn_supervisor("homes", Vec::new(), &parts.clock, &parts.fatal, &stop).await?;
        let standing = parts.keeper.as_ref().map(|keeper| keeper.standing().clone());
        let standing = standing.unwrap_or_else(|| Arc::new(Standing::for_ever()));
        let mut keeping = Keeping {
            parts,
            supervisor,
            standing,
            stop: stop.clone(),
            taking: FuturesUnordered::new(),
            awaited: BTreeSet::new(),
        };
        if keeping.parts.keeper.is_none() {
            (0..HOMES).for_each(|home| keeping.begin(home));
        }
        let keeping = tokio::spawn(async move { keeping.run().await });
        Ok(Self { stop, keeping })
    }

    /// Ends the work, and lets the homes go.
    pub async fn drain(self) {
        self.stop.cancel();
        if let Err(error) = self.keeping.await {
            tracing::error!(%error, "the homes ended with a panic");
        }
    }
}

impl Keeping {
    async fn run(&mut self) {
        while !self.stop.is_cancelled() {
            if let Some(keeper) = self.parts.keeper.clone() {
                self.look(&keeper).await;
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = self.parts.clock.sleep(LOOK_INTERVAL) => {}
                Some(home) = self.taking.next() => {
                    self.awaited.remove(&home);
                    self.begin(home);
                }
            }
        }
        self.taking.clear();
        for tenure in self.parts.homes.all() {
            self.let_go(tenure.home).await;
        }
        stop_supervisor(&self.supervisor).await;
    }

    /// Lets go what is another's, or too many, and waits for more where there are too few.
    async fn look(&mut self, keeper: &Arc<LeaseKeeper>) {
        for tenure in self.parts.homes.all() {
            if self.standing.is_lost(ShardId::of_home(tenure.home)) {
                tracing::info!(home = tenure.home, "another node has the home by now");
                self.let_go(tenure.home).await;
            }
        }
        let share = usize::from(HOMES).div_ceil(keeper.peers().len() + 1);
        while self.parts.homes.count() > share
            && let Some(tenure) = self.parts.homes.all().last()
        {
            self.let_go(tenure.home).await;
        }
        if self.parts.homes.count() < share {
            return self.take_more(keeper);
        }
        // Whatever of them became this node's meanwhile is let go by its keeper.
        (self.taking, self.awaited) = (FuturesUnordered::new(), BTreeSet::new());
    }

    /// Waits for every home that is not this node's: who has it may be gone, which is known only when it was silent for long enough.
    fn take_more(&mut self, keeper: &Arc<LeaseKeeper>) {
        for home in 0..HOMES {
            if self.parts.homes.has(home) || !self.awaited.insert(home) {
                continue;
            }
            let keeper = keeper.clone();
            self.taking.push(Box::pin(async move {
                keeper.acquire(ShardId::of_home(home)).await;
                home
            }));
        }
    }

    fn begin(&mut self, home: u16) {
        let ended = self.stop.child_token();
        let tenure = Tenure::new(home, ended, self.standing.clone(), self.parts.clock.clone());
        for work in &self.parts.works {
            let arguments =
                WorkArguments { work: work.clone(), tenure: tenure.clone(), clock: self.parts.clock.clone() };
            let child = Child {
                kind: work.kind(),
                name: child_name(home, &**work),
                start: start_with::<WorkActor>(move |_| arguments.clone()),
                runtime: Handle::current(),
                stop: tenure.ended.child_token(),
            };
            if self.supervisor.cast(SupervisorMessage::Add(child)).is_err() {
                tracing::error!(home, "the work of a home cannot be started");
            }
        }
        self.parts.homes.insert(tenure);
    }

    /// Ends what works there, and lets others have it.
    async fn let_go(&mut self, home: u16) {
        self.parts.homes.end(home);
        for work in &self.parts.works {
            let (removed, gone) = oneshot::channel();
            let remove = SupervisorMessage::Remove(child_name(home, &**work), removed);
            if self.supervisor.cast(remove).is_ok() {
                // It is dropped, not sent.
                let _ = gone.await;
            }
        }
        if let Some(keeper) = &self.parts.keeper {
            keeper.release(ShardId::of_home(home)).await;
        }
    }
}

fn child_name(home: u16, work: &dyn Work) -> String {
    format!("{}/{home}", work.kind())
}
