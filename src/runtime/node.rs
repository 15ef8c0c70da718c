//! A node: builds the engine over the configured backends, serves the API, and stops in order.

use std::sync::Arc;

use anyhow::Context;
use futures_util::future::pending;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::archive::{analytics, archive};
use super::backends::Backends;
use super::brakes::brake_names;
use super::clock::SystemClock;
use super::credentials::{ending, without_receipts};
use super::engine::{Engine, EngineParts};
use super::events::{EventsParts, events, tenants};
use super::links::links;
use super::live::{Door as InboxAdapter, LiveSide, live, with_inbox};
use super::peers::{Door, Peers, beat_address, door, random_hex, random_number};
use super::privacy::privacy;
use super::programs::{ProgramParts, Programs, SubjectFanOuts};
use super::schedules::{SchedulesParts, schedules};
use super::surface::{SurfaceParts, surface_among};
use super::takers::takers;
use super::watch::{Watched, watch};
use crate::api;
use crate::archive::ArchiveWork;
use crate::audience::{EventTopic, EventTopicParts, watch_silence};
use crate::brakes::Brakes;
use crate::campaigns::{CampaignWork, Campaigns, RunnerParts, StoreMembers};
use crate::clock::SharedClock;
use crate::config::{Config, LogBackend, Roles};
use crate::homes::Homes;
use crate::insight::AnalyticsWork;
use crate::intake::{AcceptedKeys, Acceptor, ClusterKeys, Seals};
use crate::ownership::LeaseKeeper;
use crate::planning::{Budgets, People, Policy};
use crate::privacy::ErasureWork;
use crate::providers::{self, BuildContext, Guard, Sandbox, SharedProvider};
use crate::rendering::Renderer;
use crate::schedules::ScheduleWork;
use crate::sealing::{Keyring, SealedStore};
use crate::store::NodeName;
use crate::telemetry::{self, Condition, Health};
use crate::templates::{CompiledTemplates, Templates};
use crate::topics::Desk;
use crate::users::{Changes, Copies, DayAttributes, Directory, LocalChanges, LogChanges};

/// Threads of the critical class: its work is small, and it must not wait for the others'.
const CRITICAL_THREADS: usize = 1;

/// Threads for its reads from the disk.
const CRITICAL_BLOCKING_THREADS: usize = 2;

/// Runs a node until SIGTERM or SIGINT tells it to stop, or until it must.
pub async fn run(config: Config, roles: Roles) -> anyhow::Result<()> {
    if config.log.backend == LogBackend::Embedded && !(roles.api && roles.engine) {
        anyhow::bail!("the embedded backends belong to one process: run it with both roles, `--roles api,engine`");
    }
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let told = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    run_until(config, roles, told).await
}

pub(super) async fn run_until(
    mut config: Config,
    roles: Roles,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    with_inbox(&mut config);
    let metrics = telemetry::install();
    let health = Health::starting();
    let clock: SharedClock = Arc::new(SystemClock);
    let backends = Backends::open(&config, &clock).await?;
    let log = backends.log.clone();
    let renderer = Arc::new(renderer(&config)?);
    let sandbox = Arc::new(Sandbox::new(clock.clone()));
    let changes: Arc<dyn Changes> = match log.is_shared() {
        true => LogChanges::start(log.clone(), clock.clone(), random_number()?),
        false => Arc::new(LocalChanges::default()),
    };
    let keyring = Keyring::new(backends.secrets.clone(), clock.clone(), changes.clone());
    let store = SealedStore::over(backends.store.clone(), keyring.clone());
    let days = DayAttributes::new(&config.users.day_attributes);
    let (cache, cache_age) = (config.planning.cache.as_usize(), config.planning.cache_age);
    let copies = Copies::new(cache, cache_age, clock.clone(), changes.clone());
    let users = Directory::new(store.clone(), changes.clone()).with_days(days.clone()).with_copies(copies.clone());
    let users = Arc::new(users);
    let live = live(
        LiveSide {
            store: store.clone(),
            log: log.clone(),
            clock: clock.clone(),
            users: users.clone(),
            categories: Arc::new(config.categories().context("no category is the default one")?),
            coordination: backends.coordination.clone(),
            node: random_hex(8)?,
        },
        &config,
    );
    let guard = || Guard::new(config.security.allow_private_addresses, clock.clone());
    let context = || BuildContext {
        clock: clock.clone(),
        guard: guard(),
        public_url: config.http.public_url.trim_end_matches('/').to_owned(),
        sandbox: sandbox.clone(),
        inbox: Some(Arc::new(InboxAdapter(live.inbox().clone()))),
    };
    // One set for each class: they share no connection, and no queue for the name service.
    let providers: [Vec<SharedProvider>; 2] = [
        providers::build_all(&config.providers, &context()).context("cannot set up the providers")?,
        providers::build_all(&config.providers, &context()).context("cannot set up the providers")?,
    ];
    for warning in ending(&config, &providers[0], clock.now()).iter().chain(&without_receipts(&config, &providers[0])) {
        tracing::warn!("{warning}");
    }
    let policy = Policy::new(&config, costs(&config, &providers[0])).with_takers(takers(&providers[0]));
    let policy = Arc::new(policy);
    let people = Arc::new(People::new(store.clone(), store.clone(), copies));
    let brakes =
        Brakes::open(store.clone(), brake_names(&policy, &providers[0])).await.context("cannot read the brakes")?;
    let templates = Templates::open(store.clone(), renderer.clone(), clock.clone()).await;
    let templates = templates.context("cannot read the templates")?;
    let accepted_keys = Arc::new(AcceptedKeys::default());
    let seals = match log.is_shared() {
        true => Seals::new(keyring).or_unsealed(clock.clone()),
        false => Seals::new(keyring),
    };
    let listener = TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("cannot listen on {}: is another process there?", config.http.listen))?;
    let (cluster, secret) = Cluster::of(&config, &backends, &clock, roles)?;
    let critical = CriticalRuntime::start()?;
    let links = links(&config, log.is_shared())?;
    // Receipts come to whoever takes requests, engine or not.
    let receipts_of = providers[0].clone();
    let engine = match roles.engine {
        true => Some(Arc::new(
            Engine::start(EngineParts {
                clock: clock.clone(),
                log: log.clone(),
                store: store.clone(),
                coordination: backends.coordination.clone(),
                renderer: renderer.clone(),
                policy: policy.clone(),
                people: people.clone(),
                brakes: brakes.clone(),
                users: users.clone(),
                budgets: Arc::new(Budgets::new(store.clone(), random_number()?)),
                accepted_keys: accepted_keys.clone(),
                seals: seals.clone(),
                providers,
                critical: critical.handle(),
                leases: cluster.keeper.clone(),
                links: links.clone(),
                config: config.clone(),
            })
            .await?,
        )),
        false => None,
    };

    let stop_api = CancellationToken::new();
    let mut acceptor = Acceptor::new(log.clone(), store.clone(), clock.clone(), accepted_keys).sealing(seals);
    if log.is_shared() {
        let (coordination, process) = (backends.coordination.clone(), random_number()?);
        let window = config.dedup.idempotency;
        acceptor = acceptor.among(ClusterKeys::new(coordination, store.clone(), clock.clone(), window, process));
    }
    let acceptor = Arc::new(acceptor);
    let homes = Arc::new(Homes::default());
    let campaigns = Arc::new(Campaigns::new(store.clone(), clock.clone()));
    let campaign_work = CampaignWork::new(RunnerParts {
        campaigns: campaigns.clone(),
        acceptor: acceptor.clone(),
        members: Arc::new(StoreMembers::new(store.clone())),
        brakes: brakes.clone(),
        clock: clock.clone(),
        kept_for: config.campaigns.kept_for,
    });
    let analytics = analytics(&config, &store, &clock)?;
    let archive = archive(&config, (log.clone(), store.clone()), campaigns.clone(), clock.clone())?;
    let topics = Desk::new(store.clone(), clock.clone(), homes.clone(), log.outside(), random_number()?);
    let event_parts = EventsParts {
        config: config.clone(),
        store: store.clone(),
        clock: clock.clone(),
        contents: renderer.clone(),
        policy: policy.clone(),
        acceptor: acceptor.clone(),
        fan_outs: Arc::new(SubjectFanOuts { campaigns: campaigns.clone(), clock: clock.clone() }),
    };
    let (definitions, event_door) = events(event_parts).await?;
    let topic_parts = EventTopicParts {
        log: log.clone(),
        store: store.clone(),
        door: event_door.clone(),
        clock: clock.clone(),
        body_max: config.http.max_body.as_usize(),
    };
    let schedules = schedules(SchedulesParts {
        definitions: definitions.clone(),
        store: store.clone(),
        events: event_door.clone(),
        campaigns: campaigns.clone(),
        archive: archive.clone(),
        contents: renderer.clone(),
        categories: Arc::new(policy.categories.clone()),
        days,
        clock: clock.clone(),
    });
    let indexed = users.clone();
    let parts = SurfaceParts {
        config: config.clone(),
        clock: clock.clone(),
        log: log.clone(),
        store,
        secrets: backends.secrets.clone(),
        users,
        people,
        policy,
        renderer,
        acceptor,
        definitions: definitions.clone(),
        events: event_door.clone(),
        schedules: schedules.clone(),
        campaigns,
        live: live.clone(),
        brakes,
        templates: templates.clone(),
        providers: receipts_of,
        process: random_number()?,
        links,
        topics: topics.clone(),
        stopping: stop_api.clone(),
        engine: engine.clone(),
        takes_requests: roles.api,
        sandbox: roles.engine.then_some(sandbox),
        health: health.clone(),
        metrics: metrics.clone(),
    };
    let peers = cluster.peers()?;
    let privacy = privacy(&parts, peers.clone());
    let erasures = ErasureWork::new(privacy.clone());
    let mut router = surface_among(parts, privacy, peers);
    if let Some(engine) = engine.clone().filter(|_| cluster.keeper.is_some()) {
        router = router.merge(door(Door { secret, engine, topics: topics.clone() }));
    }
    let serving = tokio::spawn(api::serve(listener, router, clock.clone(), stop_api.clone().cancelled_owned()));
    health.resolve(Condition::Starting);
    tracing::info!(address = %config.http.listen, %roles, "ready");
    let keeping_up = tokio::spawn(metrics.keep_up(clock.clone()));
    let stop_live = CancellationToken::new();
    let living = live.start(&stop_live);
    let following = [
        tokio::spawn(templates.follow()),
        tokio::spawn(definitions.clone().follow()),
        tokio::spawn(watch_silence(definitions, event_door.heard(), tenants(&config))),
        tokio::spawn(index_users(indexed, clock.clone())),
    ];
    // Only an engine works at homes.
    let programs = match &engine {
        Some(engine) => Some(
            Programs::start(ProgramParts {
                clock: clock.clone(),
                keeper: cluster.keeper.clone(),
                homes,
                works: vec![
                    Arc::new(campaign_work),
                    Arc::new(ScheduleWork::new(schedules)),
                    Arc::new(ArchiveWork::new(archive)),
                    Arc::new(erasures),
                    Arc::new(AnalyticsWork::new(analytics)),
                ],
                topics,
                fatal: engine.fatal.clone(),
            })
            .await?,
        ),
        None => None,
    };
    // Only an engine reads topics.
    let event_topic = (roles.engine && log.is_shared()).then(|| EventTopic::start(topic_parts));
    let watching = tokio::spawn(watch(Watched {
        engine: engine.clone(),
        log,
        keeper: cluster.keeper,
        health: health.clone(),
        clock,
    }));

    let must_end = async {
        match &engine {
            Some(engine) => engine.fatal.declared().await,
            None => pending().await,
        }
    };
    let ended = tokio::select! {
        () = shutdown => Ok(()),
        reason = must_end => Err(anyhow::anyhow!(reason)),
        error = backends.broken() => Err(anyhow::anyhow!(error)),
    };
    health.report(Condition::Draining, "the node is stopping");
    tracing::info!("stopping: no new requests, and what is in hand is finished");
    stop_api.cancel();
    match serving.await {
        Ok(served) => served.context("the API failed")?,
        Err(error) => tracing::error!(%error, "the API ended with a panic"),
    }
    // Those who are connected are told to go elsewhere.
    live.emptied().await;
    watching.abort();
    keeping_up.abort();
    for following in following {
        following.abort();
        // It holds the store, which somebody may open again.
        let _ = following.await;
    }
    // While the log still takes what comes of it.
    if let Some(programs) = programs {
        programs.drain().await;
    }
    // While the log still takes what comes of the events in hand.
    if let Some(event_topic) = event_topic {
        event_topic.drain().await;
    }
    if let Some(engine) = engine.filter(|_| ended.is_ok()) {
        engine.drain().await;
    }
    // What the last messages in the product were is still told to other nodes.
    stop_live.cancel();
    living.ended().await;
    drop(critical);
    tracing::info!("stopped");
    ended
}

/// What this node is among others.
struct Cluster {
    /// `None`: it is alone.
    keeper: Option<Arc<LeaseKeeper>>,
}

impl Cluster {
    /// The node's place, and the secret that opens its door to the others.
    fn of(config: &Config, backends: &Backends, clock: &SharedClock, roles: Roles) -> anyhow::Result<(Self, String)> {
        let Some(leases) = backends.leases.clone() else { return Ok((Self { keeper: None }, String::new())) };
        // Another name at each start: a node must not take its former self for itself.
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let name = NodeName(format!("{host}-{}", random_hex(6)?).into());
        let secret = random_hex(16)?;
        let address = match roles.engine {
            true => beat_address(&secret, &advertised(config)?),
            false => "".into(),
        };
        tracing::info!(node = %name, "this node's name among others");
        let keeper = LeaseKeeper::new(leases, clock.clone(), name, address, config.cluster.lease);
        Ok((Self { keeper: Some(Arc::new(keeper)) }, secret))
    }

    fn peers(&self) -> anyhow::Result<Option<Arc<Peers>>> {
        Ok(self.keeper.clone().map(Peers::new).transpose()?.map(Arc::new))
    }
}

/// Where the other nodes reach this one.
fn advertised(config: &Config) -> anyhow::Result<String> {
    match &config.cluster.advertise {
        Some(address) => Ok(address.clone()),
        None if config.http.listen.ip().is_unspecified() => anyhow::bail!(
            "`http.listen` is {}, which no other node can call: say in `cluster.advertise` where they reach this one",
            config.http.listen
        ),
        None => Ok(config.http.listen.to_string()),
    }
}

/// The runtime of the critical class. A runtime that is dropped inside another waits for its threads, which panics there:
/// this one lets them end by themselves, on whatever way the node ends.
struct CriticalRuntime(Option<Runtime>);

impl CriticalRuntime {
    fn start() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(CRITICAL_THREADS)
            .thread_name("fanfare-critical")
            .max_blocking_threads(CRITICAL_BLOCKING_THREADS)
            .enable_all()
            .build();
        runtime.map(|runtime| Self(Some(runtime))).context("cannot start the runtime of the critical class")
    }

    fn handle(&self) -> Handle {
        self.0.as_ref().expect("it is taken only when dropped").handle().clone()
    }
}

impl Drop for CriticalRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// By [`crate::domain::Channel::index`]: what a message costs with the cheapest provider of the channel; `None`: it has none.
fn costs(config: &Config, providers: &[SharedProvider]) -> [Option<f64>; 7] {
    let mut costs: [Option<f64>; 7] = [None; 7];
    for provider in providers {
        let settings = config.providers.iter().find(|settings| settings.name == provider.name());
        let cost = settings.map_or(0.0, |settings| settings.cost);
        for channel in provider.channels() {
            let cheapest = &mut costs[channel.index()];
            *cheapest = Some(cheapest.map_or(cost, |other| other.min(cost)));
        }
    }
    costs
}

/// The templates that nobody saved. One of a category that is not configured is of the default one, and the log says so.
fn renderer(config: &Config) -> anyhow::Result<Renderer> {
    let zone = config.planning.timezone.0.clone();
    let renderer = Renderer::new(&config.templates, zone).context("cannot load the templates")?;
    let Some(categories) = config.categories() else { return Ok(renderer) };
    for built_in in renderer.built_ins() {
        let (code, category) = (&built_in.source.code, built_in.source.category.as_deref());
        if let Some(category) = category.filter(|category| categories.get(category).is_none()) {
            tracing::warn!(%code, category, "a template has a category that is not among `categories`: it counts as none");
        }
    }
    Ok(renderer.among(categories))
}

/// Writes the users into the indexes that come from before there were any, beside all else.
async fn index_users(users: Arc<Directory>, clock: SharedClock) {
    if let Some(count) = users.build_index(&*clock).await {
        tracing::info!(count, "all users stand in the indexes");
    }
}
