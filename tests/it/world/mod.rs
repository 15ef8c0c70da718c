//! What every test shares: an engine where the test takes place, providers that do as they are told, and a clock to move.

mod api;
mod others;
mod people;
mod place;
mod planted;
mod process;
mod provider;
mod secrets;
mod services;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use fanfare::archive::ArchiveWork;
use fanfare::brakes::Brakes;
use fanfare::campaigns::{CampaignWork, Campaigns, RunnerParts, StoreMembers};
use fanfare::clock::{Clock, ManualClock, SharedClock};
use fanfare::config::{self, Config, Secret};
use fanfare::disk::FreeSpace;
use fanfare::domain::{
    Channel, Content, NotificationId, NotificationRequest, Priority, Recipient, Routing, Source, Story, Timestamp,
};
use fanfare::homes::Homes;
use fanfare::intake::{AcceptedKeys, Acceptor, Seals};
use fanfare::links::Links;
use fanfare::log::SharedLog;
use fanfare::ownership::WRITE_WAIT_MAX;
use fanfare::planning::{Budgets, People, Policy};
use fanfare::providers::{BuildContext, Guard, Sandbox, SharedProvider, build_all};
use fanfare::realtime::{Live, Running as Living};
use fanfare::rendering::Renderer;
use fanfare::runtime::{
    Engine, EngineParts, EventsParts, InboxAdapter, LiveSide, ProgramParts, Programs, SchedulesParts, SubjectFanOuts,
    SurfaceParts, archive, brake_names, events, live, schedules, surface, takers, with_inbox,
};
use fanfare::schedules::ScheduleWork;
use fanfare::sealing::{Keyring, SealedStore};
use fanfare::store::{BookColumn, Cursors, DeadLetter, SharedStore};
use fanfare::telemetry::{self, Health};
use fanfare::templates::Templates;
use fanfare::topics::Desk;
use fanfare::users::{Copies, DayAttributes, Directory, LocalChanges};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub use others::{Others, Producer, Trouble};
pub use place::{Place, Ports, Spot};
pub(crate) use place::{on_both, on_both_in_turn};
pub use planted::Planted;
pub use process::{LEASE, Process, eventually};
pub use provider::{SIGNATURE, Script, TestProvider};
pub use secrets::TestSecrets;
pub use services::skipped;

/// Noon of a day in 2026.
pub const NOON: Timestamp = Timestamp(1_795_262_400_000);

/// What links begin with.
pub const PUBLIC_URL: &str = "https://notify.example.com";

/// The longest that anything may take in a test.
const PATIENCE: Duration = Duration::from_secs(30);

/// A disk that is full when a test says so; the engine asks about it when the clock has moved.
#[derive(Default)]
pub struct Space {
    is_full: AtomicBool,
}

impl Space {
    pub fn fill(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::SeqCst);
    }
}

impl FreeSpace for Space {
    fn free_bytes(&self, _: &Path) -> std::io::Result<u64> {
        Ok(if self.is_full.load(Ordering::SeqCst) { 0 } else { u64::MAX })
    }
}

/// A running engine and what a test holds of it.
pub struct World {
    pub clock: Arc<ManualClock>,
    pub store: SharedStore,
    pub log: SharedLog,
    pub engine: Arc<Engine>,
    pub acceptor: Arc<Acceptor>,
    pub space: Arc<Space>,
    /// What is known of users and addresses.
    pub users: Arc<Directory>,
    /// What was stopped by hand, as this node knows it.
    pub brakes: Arc<Brakes>,
    /// What was saved of templates, as this node knows it; nobody follows them unless a test does.
    pub templates: Arc<Templates>,
    /// The programs that share the log, if there are any.
    pub others: Option<Arc<Others>>,
    pub place: Place,
    /// The API of this node.
    router: Router,
    pub secrets: Arc<TestSecrets>,
    /// What is asked for and known of campaigns.
    pub campaigns: Arc<Campaigns>,
    pub live: Arc<Live>,
    living: Option<(CancellationToken, Living)>,
    programs: Option<Programs>,
    providers: Vec<Arc<TestProvider>>,
    config: Config,
}

impl World {
    /// An engine with one provider for each channel named.
    pub async fn start(place: Place, providers: Vec<Arc<TestProvider>>) -> Self {
        let mut config = config::defaults();
        config.log.partitions = if place.is_embedded() { 2 } else { 1 };
        config.retry.jitter = 0.0;
        Self::start_with(place, config, providers).await
    }

    pub async fn start_with(place: Place, config: Config, providers: Vec<Arc<TestProvider>>) -> Self {
        Self::open(config, providers, ManualClock::starting_at(NOON), place, None).await
    }

    /// The same on a log that other programs write to and read.
    pub async fn start_shared(place: Place, providers: Vec<Arc<TestProvider>>) -> (Self, Arc<Others>) {
        let mut config = config::defaults();
        config.log.partitions = 1;
        config.retry.jitter = 0.0;
        let others = Arc::new(Others::new(&place));
        let clock = ManualClock::starting_at(NOON);
        (Self::open(config, providers, clock, place, Some(others.clone())).await, others)
    }

    async fn open(
        config: Config,
        providers: Vec<Arc<TestProvider>>,
        clock: Arc<ManualClock>,
        place: Place,
        others: Option<Arc<Others>>,
    ) -> Self {
        let world = Self::join(config, providers, clock, place, others).await;
        let shards = usize::from(world.config.log.partitions) * Priority::ALL.len();
        world.until(async || (world.engine.ownership.shards().len() == shards).then_some(())).await;
        world
    }

    /// A node, which need not have any shard yet.
    async fn join(
        mut config: Config,
        providers: Vec<Arc<TestProvider>>,
        clock: Arc<ManualClock>,
        place: Place,
        others: Option<Arc<Others>>,
    ) -> Self {
        show_logs();
        let shared: SharedClock = clock.clone();
        let space = Arc::new(Space::default());
        config.providers = providers.iter().map(|provider| provider.settings()).collect();
        place.configure(&mut config);
        with_inbox(&mut config);
        let Ports { log, store, secrets, coordination, leases } = place.open(&config, &shared, space.clone()).await;
        let log: SharedLog = match &others {
            Some(others) => Arc::new(others::OthersLog { inner: log, others: others.clone() }),
            None => log,
        };
        let mut costs = [None; 7];
        for provider in &providers {
            for channel in provider.served() {
                costs[channel.index()] = Some(provider.cost);
            }
        }
        costs[Channel::InApp.index()].get_or_insert(0.0);
        let changes = Arc::new(LocalChanges::default());
        let secrets = TestSecrets::over(secrets);
        let keyring = Keyring::new(secrets.clone(), shared.clone(), changes.clone());
        let store = SealedStore::over(store, keyring.clone());
        let users = Arc::new(
            Directory::new(store.clone(), changes.clone()).with_days(DayAttributes::new(&config.users.day_attributes)),
        );
        let seals = Seals::new(keyring);
        let copies = Copies::new(config.planning.cache.as_usize(), config.planning.cache_age, shared.clone(), changes);
        let accepted_keys = Arc::new(AcceptedKeys::default());
        let live = live(
            LiveSide {
                store: store.clone(),
                log: log.clone(),
                clock: shared.clone(),
                users: users.clone(),
                categories: Arc::new(config.categories().expect("a default category")),
                coordination: coordination.clone(),
                node: format!("node-{}", random_process()),
            },
            &config,
        );
        let stop_live = CancellationToken::new();
        let living = live.start(&stop_live);
        let mut as_shared: Vec<SharedProvider> =
            providers.iter().cloned().map(|provider| provider as SharedProvider).collect();
        let context = BuildContext {
            clock: shared.clone(),
            guard: Guard::new(true, shared.clone()),
            public_url: PUBLIC_URL.to_owned(),
            sandbox: Arc::new(Sandbox::new(shared.clone())),
            inbox: Some(Arc::new(InboxAdapter(live.inbox().clone()))),
        };
        let added: Vec<_> = config.providers.iter().filter(|provider| provider.kind == "inbox").cloned().collect();
        as_shared.extend(build_all(&added, &context).expect("they can be built"));
        let renderer =
            Arc::new(Renderer::new(&config.templates, config.planning.timezone.0.clone()).expect("the templates load"));
        let policy = Arc::new(Policy::new(&config, costs).with_takers(takers(&as_shared)));
        let people = Arc::new(People::new(store.clone(), store.clone(), copies));
        let brakes = Brakes::open(store.clone(), brake_names(&policy, &as_shared)).await.expect("the store reads");
        let templates =
            Templates::open(store.clone(), renderer.clone(), shared.clone()).await.expect("the store reads");
        let secret = Secret::new("of the tests, and long enough for links");
        let links = Arc::new(Links::new(PUBLIC_URL, &secret, &[]).expect("long enough"));
        let surface_providers = as_shared.clone();
        let engine = Engine::start(EngineParts {
            clock: shared.clone(),
            log: log.clone(),
            store: store.clone(),
            coordination,
            renderer: renderer.clone(),
            policy: policy.clone(),
            brakes: brakes.clone(),
            people: people.clone(),
            users: users.clone(),
            budgets: Arc::new(Budgets::new(store.clone(), random_process())),
            accepted_keys: accepted_keys.clone(),
            seals: seals.clone(),
            providers: [as_shared.clone(), as_shared],
            critical: Handle::current(),
            leases: leases.clone(),
            links: Some(links.clone()),
            config: config.clone(),
        })
        .await
        .expect("the engine starts");
        let engine = Arc::new(engine);
        let acceptor = Acceptor::new(log.clone(), store.clone(), shared.clone(), accepted_keys).sealing(seals);
        let acceptor = Arc::new(acceptor);
        let campaigns = Arc::new(Campaigns::new(store.clone(), shared.clone()));
        let event_parts = EventsParts {
            config: config.clone(),
            store: store.clone(),
            clock: shared.clone(),
            contents: renderer.clone(),
            policy: policy.clone(),
            acceptor: acceptor.clone(),
            fan_outs: Arc::new(SubjectFanOuts { campaigns: campaigns.clone(), clock: shared.clone() }),
        };
        let (definitions, event_door) = events(event_parts).await.expect("the store reads");
        let archive = archive(&config, (log.clone(), store.clone()), campaigns.clone(), shared.clone())
            .expect("the configuration names a place that can be");
        let schedules = schedules(SchedulesParts {
            archive: archive.clone(),
            definitions: definitions.clone(),
            store: store.clone(),
            events: event_door.clone(),
            campaigns: campaigns.clone(),
            contents: renderer.clone(),
            categories: Arc::new(policy.categories.clone()),
            days: DayAttributes::new(&config.users.day_attributes),
            clock: shared.clone(),
        });
        let homes = Arc::new(Homes::default());
        let campaign_work = CampaignWork::new(RunnerParts {
            campaigns: campaigns.clone(),
            acceptor: acceptor.clone(),
            members: Arc::new(StoreMembers::new(store.clone())),
            brakes: brakes.clone(),
            clock: shared.clone(),
            kept_for: config.campaigns.kept_for,
        });
        let topics = Desk::new(store.clone(), shared.clone(), homes.clone(), log.outside(), random_process());
        let programs = ProgramParts {
            clock: shared.clone(),
            keeper: leases,
            homes,
            topics: topics.clone(),
            works: vec![
                Arc::new(campaign_work),
                Arc::new(ScheduleWork::new(schedules.clone())),
                Arc::new(ArchiveWork::new(archive)),
            ],
            fatal: engine.fatal.clone(),
        };
        let programs = match place.is_alone() {
            true => Some(Programs::start(programs).await.expect("the work starts")),
            false => None,
        };
        let router = surface(SurfaceParts {
            process: 7,
            campaigns: campaigns.clone(),
            live: live.clone(),
            config: config.clone(),
            clock: shared,
            log: log.clone(),
            store: store.clone(),
            secrets: secrets.clone(),
            users: users.clone(),
            people,
            policy,
            renderer,
            brakes: brakes.clone(),
            templates: templates.clone(),
            acceptor: acceptor.clone(),
            definitions,
            events: event_door,
            schedules,
            providers: surface_providers,
            links: Some(links),
            topics,
            stopping: CancellationToken::new(),
            engine: Some(engine.clone()),
            takes_requests: true,
            sandbox: None,
            health: Health::default(),
            metrics: telemetry::install(),
        });
        Self {
            clock,
            store,
            log,
            engine,
            acceptor,
            space,
            users,
            brakes,
            templates,
            others,
            place,
            router,
            secrets,
            campaigns,
            live,
            living: Some((stop_live, living)),
            programs,
            providers,
            config,
        }
    }

    /// Another node at the same place and by the same clock, which need not have any shard yet.
    pub async fn another(&self) -> Self {
        Self::join(
            self.config.clone(),
            self.providers.clone(),
            self.clock.clone(),
            self.place.clone(),
            self.others.clone(),
        )
        .await
    }

    /// Stops in order and starts again over the same data.
    pub async fn restart(self) -> Self {
        let providers = self.providers.clone();
        self.restart_with(providers, Duration::ZERO).await
    }

    /// The same with another configuration.
    pub async fn restart_with_config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self.restart().await
    }

    /// The same with other providers.
    pub async fn restart_with_providers(self, providers: Vec<Arc<TestProvider>>) -> Self {
        self.restart_with(providers, Duration::ZERO).await
    }

    /// Stops in order, and starts again over the same data when so much time has passed.
    pub async fn restart_after(self, pause: Duration) -> Self {
        let providers = self.providers.clone();
        self.restart_with(providers, pause).await
    }

    async fn restart_with(self, providers: Vec<Arc<TestProvider>>, pause: Duration) -> Self {
        let (clock, place, others, config) = self.end().await;
        clock.advance(pause);
        Self::open(config, providers, clock, place, others).await
    }

    /// Stops in order: another node at its place finds what was there.
    pub async fn stop(self) {
        self.end().await;
    }

    async fn end(self) -> (Arc<ManualClock>, Place, Option<Arc<Others>>, Config) {
        let Self {
            clock,
            store,
            log,
            engine,
            acceptor,
            space: _,
            users,
            brakes,
            templates,
            others,
            place,
            router,
            secrets,
            campaigns,
            live,
            living,
            programs,
            providers: _,
            config,
        } = self;
        if let Some(programs) = programs {
            programs.drain().await;
        }
        engine.drain().await;
        if let Some((stop, living)) = living {
            stop.cancel();
            living.ended().await;
        }
        // The database is one process's, and one opening's: everything that holds it goes.
        drop((engine, store, secrets, log, acceptor, users, brakes, templates, router, campaigns, live));
        (clock, place, others, config)
    }

    pub async fn send(&self, request: NotificationRequest) -> NotificationId {
        let accepted = self.acceptor.accept(vec![request]).await.expect("accepted");
        accepted[0].id
    }

    pub async fn story(&self, id: NotificationId) -> Option<Story> {
        self.store.stories(&[id.0]).await.expect("the store reads").pop().flatten()
    }

    /// The names of the states of a notification's tasks once `wanted` says yes to them.
    pub async fn states_when(&self, id: NotificationId, wanted: impl Fn(&[&str]) -> bool) -> Vec<&'static str> {
        let mut last = Vec::new();
        let reached = self.in_time(async || {
            let story = self.story(id).await?;
            last = story.states().iter().map(|state| state.name()).collect();
            wanted(&last).then_some(())
        });
        assert!(reached.await.is_some(), "the states stay {last:?}");
        last
    }

    /// The states once they are these.
    pub async fn expect_states(&self, id: NotificationId, expected: &[&str]) {
        self.states_when(id, |states| states == expected).await;
    }

    /// Asks again until there is an answer. The engine works in real time even where its clock stands still.
    pub async fn until<T>(&self, ask: impl AsyncFnMut() -> Option<T>) -> T {
        self.in_time(ask).await.expect("what the test waits for happens")
    }

    pub async fn in_time<T>(&self, mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
        let asking = async {
            loop {
                if let Some(answer) = ask().await {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.ok()
    }

    /// Moves the clock, and waits until the node has its leases by it: a clock that is moved on and on while the services answer in
    /// real time would leave it none to work in.
    pub async fn advance(&self, duration: Duration) {
        self.clock.advance(duration);
        tokio::task::yield_now().await;
        let held = self.engine.ownership.standing().until_holds(&*self.clock, WRITE_WAIT_MAX);
        tokio::time::timeout(PATIENCE, held).await.expect("the node gets its leases back");
    }

    /// By how much the books do not balance once all is quiet.
    pub async fn unaccounted(&self) -> i64 {
        let books = fanfare::insight::accounting(&self.engine.store, &self.engine.log, &self.engine.ownership).await;
        books.expect("the store reads").unaccounted
    }

    /// Waits until the books balance: a row is counted when it is durable, and its task let go a moment later.
    pub async fn balances(&self) {
        self.until(async || (self.unaccounted().await == 0).then_some(())).await;
    }

    /// One column of the books, of all shards.
    pub async fn column(&self, column: BookColumn) -> i64 {
        let mut total = 0;
        for shard in self.engine.ownership.shards() {
            let books = self.store.books(shard.id()).await.expect("the store reads");
            total += Source::ALL.iter().map(|source| books.get(*source, column)).sum::<i64>();
        }
        total
    }

    /// The dead letters of a tenant that are of this test, newest first.
    /// A tenant's once there are any. Where a batch is not atomic they are there a moment after the state that tells of them.
    pub async fn some_dead_letters(&self, tenant: &str) -> Vec<DeadLetter> {
        self.until(async || Some(self.dead_letters(tenant).await).filter(|all| !all.is_empty())).await
    }

    pub async fn dead_letters(&self, tenant: &str) -> Vec<DeadLetter> {
        let letters = self.store.dead_letters(tenant, None, 1000).await.expect("the store reads");
        letters.into_iter().filter(|letter| self.place.has(letter.key.task.position.shard)).collect()
    }

    /// Up to where the work of a notification's shard is known to be done.
    pub fn cursors(&self, id: NotificationId) -> Cursors {
        self.engine.ownership.shard(id.0.shard).expect("this node owns every shard").cursors()
    }

    /// How many slots one endpoint may hold.
    pub fn endpoint_in_flight(&self) -> usize {
        self.config.dispatch.endpoint_in_flight
    }

    /// The API, to be served.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Shows the engine's logs if `FANFARE_TEST_LOG` says which, as `telemetry.log_filter` does.
fn show_logs() {
    if let Ok(filter) = std::env::var("FANFARE_TEST_LOG") {
        let settings = config::Telemetry { log_filter: filter, ..config::defaults().telemetry };
        fanfare::telemetry::start_logs(&settings).expect("a filter");
    }
}

/// A mail to somebody, at once.
pub fn mail() -> NotificationRequest {
    NotificationRequest {
        campaign: None,
        tenant: "default".into(),
        user_id: None,
        to: Recipient { email: Some("a@example.com".into()), ..Recipient::default() },
        content: Content::Inline { title: "Hello".into(), body: "World".into(), html: None, sms: None },
        data: "{}".into(),
        category: None,
        locale: None,
        priority: Priority::Normal,
        channels: vec![Channel::Email],
        routing: Routing::All,
        deliver_at: None,
        local_time: None,
        expires_at: None,
        dedup_key: None,
        dedup_window_seconds: None,
        aggregate: None,
        attachments: Vec::new(),
        collapse_key: None,
        idempotency: None,
        metadata: "{}".into(),
        source: Source::Http,
        accepted_at: NOON,
    }
}

/// Another number for every engine of every run.
fn random_process() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    u64::from(std::process::id()) << 32 | COUNT.fetch_add(1, Ordering::Relaxed)
}
