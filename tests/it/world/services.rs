//! The real services, as far as the environment names them; `./dev services env` prints the addresses.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use fanfare::config::{self, Config, CoordinationBackend, LogBackend, Secret, StoreBackend};
use fanfare::runtime::SystemClock;
use fanfare::store::apply_schema;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use scylla::client::session_builder::SessionBuilder;
use tokio::sync::OnceCell;

/// Topics and keyspaces of these tests begin so; when their process began follows, in seconds since 1970.
const MARK: &str = "fanfare_it_";

/// What is older than this is of a process that has ended.
const STALE: Duration = Duration::from_secs(1800);

/// What the tests of this process share.
pub struct Services {
    pub kafka: String,
    pub cql: String,
    pub redis: String,
    /// Every name of a test begins with it.
    pub name: String,
    /// That most tests share.
    pub keyspace: String,
}

impl Services {
    /// `None`: one is missing, and that was said.
    pub async fn of_this_process() -> Option<&'static Self> {
        static SHARED: OnceCell<Services> = OnceCell::const_new();
        // The first that is missing is named: a test that is skipped is counted by its one line.
        let (kafka, cql, redis) =
            (service("FANFARE_TEST_KAFKA")?, service("FANFARE_TEST_CQL")?, service("FANFARE_TEST_REDIS")?);
        Some(SHARED.get_or_init(|| Self::prepare(kafka, cql, redis)).await)
    }

    async fn prepare(kafka: String, cql: String, redis: String) -> Self {
        let name = format!("{MARK}{}_{}", seconds(), std::process::id());
        let services = Self { kafka, cql, redis, keyspace: name.clone(), name };
        services.clear_away().await;
        services.make_tables(&services.keyspace).await;
        services
    }

    pub async fn make_tables(&self, keyspace: &str) {
        let mut config = config::defaults();
        self.configure(&mut config, keyspace);
        apply_schema(&config.store.cql, Arc::new(SystemClock)).await.expect("the tables are made");
    }

    /// The configuration of a node on these services.
    pub fn configure(&self, config: &mut Config, keyspace: &str) {
        config.log.backend = LogBackend::Kafka;
        config.log.kafka.brokers = self.kafka.clone();
        config.store.backend = StoreBackend::Cql;
        config.store.cql.nodes = vec![self.cql.clone()];
        config.store.cql.keyspace = keyspace.to_owned();
        // Tables are made beside what is measured.
        config.store.cql.timeout = Duration::from_secs(15);
        config.coordination.backend = CoordinationBackend::Redis;
        config.coordination.redis.url = Secret::new(format!("redis://{}", self.redis));
    }

    /// Deletes what earlier processes left. Nobody else does: a test process does not know which of its tests is the last.
    async fn clear_away(&self) {
        let session = SessionBuilder::new().known_node(&self.cql).build().await.expect("the database answers");
        let listed = session.query_unpaged("SELECT keyspace_name FROM system_schema.keyspaces", ()).await;
        let listed = listed.expect("keyspaces are listed").into_rows_result().expect("rows");
        for (name,) in listed.rows::<(String,)>().expect("names").flatten().filter(|(name,)| is_stale(name)) {
            // Another process may be clearing away as well.
            let _ = session.query_unpaged(format!("DROP KEYSPACE IF EXISTS {name}"), ()).await;
        }
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("a client");
        let topics = tokio::task::spawn_blocking(move || {
            let metadata = admin.inner().fetch_metadata(None, Duration::from_secs(10)).expect("topics are listed");
            let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
            (admin, names.filter(|name| is_stale(name)).collect::<Vec<_>>())
        });
        let (admin, topics) = topics.await.expect("it ends");
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        if !names.is_empty() {
            let _ = admin.delete_topics(&names, &AdminOptions::new()).await;
        }
    }

    /// What talks to the broker as any program does.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.kafka);
        config
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs()
}

fn is_stale(name: &str) -> bool {
    let began = name.strip_prefix(MARK).and_then(|rest| rest.split('_').next()).and_then(|began| began.parse().ok());
    began.is_some_and(|began: u64| began + STALE.as_secs() < seconds())
}

/// Where tests that could not run are noted down, one line each, for `./dev test` to count.
const SKIPS: &str = "FANFARE_TEST_SKIPS";

/// The address of a service from the environment; `None` where it is not set, and then this test is noted down as skipped. The
/// same as `src/testing.rs` does for the tests inside the crate.
fn service(name: &str) -> Option<String> {
    let address = std::env::var(name).ok().filter(|address| !address.is_empty());
    if address.is_none() {
        skipped(name);
    }
    address
}

/// Notes this test down as skipped for want of `needed`.
pub fn skipped(needed: &str) {
    let thread = std::thread::current();
    let line = format!("{}::{} needs {needed}\n", env!("CARGO_CRATE_NAME"), thread.name().unwrap_or("a test"));
    eprint!("test-skipped: {line}");
    if let Some(path) = std::env::var_os(SKIPS) {
        // Tests run side by side, and a line must stay whole.
        static WRITING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("a skipped test must be counted");
    }
}
