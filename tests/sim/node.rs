//! A node: the engine itself, over simulated ports.

use std::sync::Arc;
use std::time::Duration;

use fanfare::brakes::Brakes;
use fanfare::clock::SharedClock;
use fanfare::config::{self, Config};
use fanfare::domain::{Channel, Gathered, Timestamp};
use fanfare::intake::{AcceptedKeys, Seals};
use fanfare::log::SharedLog;
use fanfare::ownership::LeaseKeeper;
use fanfare::planning::{Budgets, People, Policy};
use fanfare::providers::SharedProvider;
use fanfare::rendering::Renderer;
use fanfare::runtime::{Engine, EngineParts, brake_names};
use fanfare::store::SharedStore;
use fanfare::users::{Copies, Directory, LocalChanges};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::coordination::SimCoordination;
use super::host::{Host, HostClock};
use super::leases::SimLeases;
use super::log::{SimLog, Told};
use super::merging;
use super::provider::SimProvider;
use super::store::SimStore;
use super::variant::Variant;
use super::world::World;

/// What of a node is the same in all worlds: made once, since it takes long.
pub struct Kit {
    config: Config,
    renderer: Arc<Renderer>,
}

/// Less than a lease, by more than a write may take.
const SEND_TIMEOUT: &str = "6s";

impl Kit {
    pub fn new() -> anyhow::Result<Self> {
        let mut config = config::defaults();
        config.log.partitions = 2;
        // All of them: who is told of is read off the messages.
        config.aggregation.shown_items = Gathered::ITEMS_MAX;
        config.retry.delays = [2, 4, 6, 8, 8, 8, 8, 8, 8, 8].map(Duration::from_secs).to_vec();
        config.dispatch.drain_timeout = Duration::from_secs(10);
        let provider = |name| {
            toml::from_str(&format!(
                "name = \"{name}\"\nkind = \"test\"\nmax_in_flight = 8\ntimeout = \"{SEND_TIMEOUT}\""
            ))
        };
        config.providers = vec![provider("mail")?, provider("text")?];
        let renderer = Arc::new(Renderer::new(&config.templates, config.planning.timezone.0.clone())?);
        Ok(Self { config, renderer })
    }

    /// How long a node that is not heard of keeps its shards.
    pub fn lease(&self) -> Duration {
        self.config.cluster.lease
    }
}

/// A node that runs, or ran.
pub struct Node {
    pub host: Arc<Host>,
    pub engine: Arc<Engine>,
    pub brakes: Arc<Brakes>,
    changes: mpsc::Sender<Told>,
}

/// Changes that a node has not taken note of yet.
const CHANGES_MAX: usize = 256;

impl Node {
    pub async fn start(world: &Arc<World>, kit: &Kit, base: Timestamp, with_sweep: bool) -> anyhow::Result<Self> {
        let host = {
            let mut hosts = world.hosts.lock().expect("one thread");
            let host = Host::new(hosts.len(), world.start, base);
            hosts.push(host.clone());
            host
        };
        let clock: SharedClock = Arc::new(HostClock(host.clone()));
        let (changes, told) = mpsc::channel(CHANGES_MAX);
        let log: SharedLog =
            Arc::new(SimLog { world: world.clone(), host: host.clone(), changes: std::sync::Mutex::new(Some(told)) });
        let mut config = kit.config.clone();
        let interval = if with_sweep { Duration::from_secs(20) } else { Duration::from_secs(86_400) };
        config.compensation.interval = interval;
        config.aggregation.max_items = world.extras.items_max;
        for category in config.categories.iter_mut().filter(|category| category.name == merging::CATEGORY) {
            category.first_at_once = world.extras.first_at_once;
        }
        let provider = |name, channel| -> SharedProvider {
            Arc::new(SimProvider { world: world.clone(), host: host.clone(), name, channels: [channel] })
        };
        let providers = vec![provider("mail", Channel::Email), provider("text", Channel::Sms)];
        let mut costs = [None; 7];
        for channel in [Channel::Email, Channel::Sms] {
            costs[channel.index()] = Some(0.0);
        }
        let keeper = || {
            let rows = SimLeases::new(world.clone(), host.clone());
            Arc::new(LeaseKeeper::new(rows, clock.clone(), host.name.clone(), "".into(), kit.lease()))
        };
        let store: SharedStore = SimStore::new(world.clone(), host.clone());
        let users = Arc::new(Directory::new(store.clone(), Arc::new(LocalChanges::default())));
        let copies = Copies::new(0, Duration::ZERO, clock.clone(), Arc::new(LocalChanges::default()));
        let policy = Arc::new(Policy::new(&config, costs));
        // A node that cannot read them does not start: this is one that could.
        let brakes = Brakes::with(store.clone(), brake_names(&policy, &providers), world.tables().brakes(world.now()));
        let engine = Engine::start(EngineParts {
            clock: clock.clone(),
            log,
            store: store.clone(),
            coordination: SimCoordination::new(world.clone(), host.clone()),
            renderer: kit.renderer.clone(),
            policy,
            brakes: brakes.clone(),
            people: Arc::new(People::new(store.clone(), store.clone(), copies)),
            users,
            budgets: Arc::new(Budgets::new(store.clone(), 0)),
            accepted_keys: Arc::new(AcceptedKeys::default()),
            seals: Seals::default(),
            providers: [providers.clone(), providers],
            critical: Handle::current(),
            links: None,
            leases: (world.variant != Variant::NoLease).then(keeper),
            config,
        })
        .await?;
        Ok(Self { host, engine: Arc::new(engine), brakes, changes })
    }

    /// The log tells the node of a change.
    pub fn tell(&self, told: Told) {
        // Who is gone hears nothing.
        let _ = self.changes.try_send(told);
    }
}
