//! Where a test takes place: on the embedded backends, or on a real Kafka, Cassandra and Redis.
//!
//! All tests of a process share one keyspace, since making its tables takes seconds. They are kept apart by what each has of
//! its own: topics, group and prefix in Redis by name, and rows of shards by the topics' generation, which is part of every
//! shard. Only claims and lists are keyed by what a test says: [`Place::own`] makes such words its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fanfare::clock::SharedClock;
use fanfare::config::{Config, Secret};
use fanfare::coordination::{LocalCoordination, RedisCoordination, SharedCoordination};
use fanfare::disk::{Disk, DiskSettings, FreeSpace};
use fanfare::domain::ShardId;
use fanfare::log::{EmbeddedLog, KafkaLog, SharedLog};
use fanfare::ownership::LeaseKeeper;
use fanfare::store::{CqlStore, EmbeddedStore, Measured, NodeName, SharedStore, UserSecrets};

use super::services::Services;

/// Defines each test twice, and the second is skipped where a service is missing.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(crate::world::Place::embedded()).await;
            })*
        }

        mod on_services {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                if let Some(place) = crate::world::Place::on_services().await {
                    super::$name(place).await;
                }
            })*
        }
    };
}
pub(crate) use on_both;

/// Defines each test on the embedded backends, and one that runs all of them on the services, one after the other: what works at
/// homes needs a keyspace of its own, and making one takes longer than any of them. Each takes a place and stops what it started.
macro_rules! on_both_in_turn {
    ($($name:ident)*) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(crate::world::Place::embedded()).await;
            })*
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn on_services_in_turn() {
            if let Some(place) = crate::world::Place::on_services_alone().await {
                $($name(place.clone()).await;)*
            }
        }
    };
}
pub(crate) use on_both_in_turn;

/// Where one test takes place. A node that is started again, or another node, finds what was there.
#[derive(Clone)]
pub enum Place {
    Embedded(Arc<tempfile::TempDir>),
    Services(Arc<Spot>),
}

/// What one test has of the real services.
pub struct Spot {
    pub services: &'static Services,
    /// Of its topics, its group and its keys.
    pub name: String,
    pub keyspace: String,
    pub generation: u8,
    nodes: AtomicU32,
}

/// The ports of one node.
pub struct Ports {
    pub log: SharedLog,
    pub store: SharedStore,
    pub secrets: Arc<dyn UserSecrets>,
    pub coordination: SharedCoordination,
    pub leases: Option<Arc<LeaseKeeper>>,
}

impl Place {
    pub fn embedded() -> Self {
        Self::Embedded(Arc::new(tempfile::tempdir().expect("a temporary directory")))
    }

    /// `None`: a service is missing, and that was said.
    pub async fn on_services() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let services = Services::of_this_process().await?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let generation = u8::try_from(number).expect("one process has fewer tests than there are generations");
        let (name, keyspace) = (format!("{}_{number}", services.name), services.keyspace.clone());
        Some(Self::Services(Arc::new(Spot { services, name, keyspace, generation, nodes: AtomicU32::new(0) })))
    }

    /// The same with a keyspace of its own: nodes that ask each other take all that give signs of life there for their like.
    pub async fn on_services_alone() -> Option<Self> {
        let Self::Services(mut spot) = Self::on_services().await? else { unreachable!("it was asked for") };
        let alone = Arc::get_mut(&mut spot).expect("nobody has it yet");
        alone.keyspace = alone.name.clone();
        alone.services.make_tables(&alone.keyspace).await;
        Some(Self::Services(spot))
    }

    pub fn is_embedded(&self) -> bool {
        matches!(self, Self::Embedded(_))
    }

    /// Whether no other test sees rows of this one: what works at homes takes up whatever it finds in its keyspace.
    pub fn is_alone(&self) -> bool {
        match self {
            Self::Embedded(_) => true,
            Self::Services(spot) => spot.keyspace == spot.name,
        }
    }

    /// A user, or a key, that no other test has.
    pub fn own(&self, word: &str) -> String {
        match self {
            Self::Embedded(_) => word.into(),
            Self::Services(spot) => format!("{}-{word}", spot.name),
        }
    }

    /// Whether a shard is of this test.
    pub fn has(&self, shard: ShardId) -> bool {
        match self {
            Self::Embedded(_) => true,
            Self::Services(spot) => shard.generation == spot.generation,
        }
    }

    /// The configuration, here.
    pub fn configure(&self, config: &mut Config) {
        let Self::Services(spot) = self else { return };
        spot.services.configure(config, &spot.keyspace);
        config.log.kafka.topic_prefix = spot.name.clone();
        config.log.kafka.group = spot.name.clone();
        config.log.kafka.generation = spot.generation;
        config.coordination.redis.prefix = spot.name.clone();
        // A member that is alone learns sooner that another came.
        config.log.kafka.options.insert("heartbeat.interval.ms".into(), Secret::new("200"));
        config.log.kafka.options.insert("session.timeout.ms".into(), Secret::new("6000"));
    }

    /// The ports of a node that starts here.
    pub async fn open(&self, config: &Config, clock: &SharedClock, space: Arc<dyn FreeSpace>) -> Ports {
        match self {
            Self::Embedded(dir) => embedded(dir.path(), config, clock, space),
            Self::Services(spot) => spot.open(config, clock).await,
        }
    }
}

fn embedded(dir: &Path, config: &Config, clock: &SharedClock, space: Arc<dyn FreeSpace>) -> Ports {
    let disk = Disk::open(DiskSettings {
        dir: dir.into(),
        cache_bytes: 4 << 20,
        write_buffer_bytes: 8 << 20,
        group_commit_max: Duration::ZERO,
        min_free_bytes: 4,
        free_space: space,
        clock: clock.clone(),
        kept: config.retention.dated(),
    })
    .expect("the database opens");
    let log = EmbeddedLog::open(disk.clone(), config.log.partitions).expect("the log opens");
    let store = EmbeddedStore::open(disk).expect("the store opens");
    Ports {
        log,
        store: Measured::over(store.clone()),
        secrets: store,
        coordination: Arc::new(LocalCoordination::new(clock.clone())),
        leases: None,
    }
}

impl Spot {
    /// The keeper of the leases goes by the clock of the test, as the engine does: a lease is good or not by one reading of one
    /// clock, and with two it would hold for ever or never. So time that a test moves by more than a lease is to the node as if
    /// it had stood still for so long: it sends nothing until it has taken its leases anew.
    async fn open(&self, config: &Config, clock: &SharedClock) -> Ports {
        let log = KafkaLog::open(&config.log).await.expect("the log opens");
        let store = CqlStore::open(&config.store.cql, clock.clone()).await.expect("the store opens");
        let redis = RedisCoordination::start(&config.coordination.redis, clock.clone()).await;
        // Another name at each start, as a node has.
        let number = self.nodes.fetch_add(1, Ordering::Relaxed);
        let node = NodeName(format!("{}-{number}", self.name).into());
        let keeper = LeaseKeeper::new(store.clone(), clock.clone(), node, "".into(), config.cluster.lease);
        Ports {
            log,
            store: Measured::over(store.clone()),
            secrets: store,
            coordination: Arc::new(redis.expect("the address is understood")),
            leases: Some(Arc::new(keeper)),
        }
    }
}
