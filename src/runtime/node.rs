//! A node: reads the configuration's backends, builds the engine over them, serves the API, and stops in order.
//!
//! The only place where a backend's name is matched.

use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::adapters::{DryRunner, Endpoints, SandboxShelf};
use super::clock::SystemClock;
use super::engine::{Engine, EngineParts};
use super::watch::watch;
use crate::api::{self, ApiParts};
use crate::clock::SharedClock;
use crate::config::{Config, CoordinationBackend, LogBackend, Roles, StoreBackend};
use crate::coordination::{LocalCoordination, SharedCoordination};
use crate::disk::{Disk, DiskSettings, MachineSpace};
use crate::intake::{AcceptedKeys, Acceptor};
use crate::log::{EmbeddedLog, KafkaLog, SharedLog};
use crate::planning::Policy;
use crate::providers::{self, BuildContext, Guard, Sandbox, SharedProvider};
use crate::rendering::Renderer;
use crate::store::{EmbeddedStore, Measured, SharedStore};
use crate::telemetry::{self, Condition, Health};

/// Threads of the critical class: its work is small, and it must not wait for the others'.
const CRITICAL_THREADS: usize = 1;

/// Threads for its reads from the disk.
const CRITICAL_BLOCKING_THREADS: usize = 2;

/// Runs a node until SIGTERM or SIGINT tells it to stop, or until it must.
pub async fn run(config: Config, roles: Roles) -> anyhow::Result<()> {
    if !(roles.api && roles.engine) {
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
    run_until(config, told).await
}

async fn run_until(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let metrics = telemetry::install();
    let health = Health::starting();
    let clock: SharedClock = Arc::new(SystemClock);
    let disk = open_disk(&config, &clock)?;
    let (log, store, coordination) = open_backends(&config, &disk, &clock).await?;
    let renderer = Arc::new(Renderer::new(&config.templates).context("cannot load the templates")?);
    let sandbox = Arc::new(Sandbox::new(clock.clone()));
    let guard = || Guard::new(config.security.allow_private_addresses, clock.clone());
    let context = || BuildContext { clock: clock.clone(), guard: guard(), sandbox: sandbox.clone() };
    // One set for each class: they share no connection, and no queue for the name service.
    let providers: [Vec<SharedProvider>; 2] = [
        providers::build_all(&config.providers, &context()).context("cannot set up the providers")?,
        providers::build_all(&config.providers, &context()).context("cannot set up the providers")?,
    ];
    let policy = Arc::new(Policy::new(&config.dedup, served(&providers[0])));
    let accepted_keys = Arc::new(AcceptedKeys::default());
    let listener = TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("cannot listen on {}: is another process there?", config.http.listen))?;
    let critical = CriticalRuntime::start()?;
    let engine = Engine::start(EngineParts {
        clock: clock.clone(),
        log: log.clone(),
        store: store.clone(),
        coordination,
        renderer: renderer.clone(),
        policy: policy.clone(),
        accepted_keys: accepted_keys.clone(),
        providers,
        critical: critical.handle(),
        config: config.clone(),
    })
    .await?;
    let engine = Arc::new(engine);

    let stop_api = CancellationToken::new();
    let acceptor = Acceptor::new(log.clone(), store.clone(), clock.clone(), accepted_keys);
    let router = api::router(ApiParts {
        http: config.http.clone(),
        clock: clock.clone(),
        log: log.clone(),
        store: store.clone(),
        acceptor: Arc::new(acceptor),
        operations: engine.clone(),
        dry_run: Arc::new(DryRunner { policy, store: store.clone(), renderer: renderer.clone() }),
        sandbox: Arc::new(SandboxShelf(sandbox)),
        endpoints: Arc::new(Endpoints(guard())),
        contents: renderer,
        health: health.clone(),
        metrics: metrics.clone(),
    });
    let serving = tokio::spawn(api::serve(listener, router, clock.clone(), stop_api.clone().cancelled_owned()));
    health.resolve(Condition::Starting);
    tracing::info!(address = %config.http.listen, "ready");
    let keeping_up = tokio::spawn(metrics.keep_up(clock.clone()));
    let watching = tokio::spawn(watch(engine.clone(), log, health.clone()));

    let ended = tokio::select! {
        () = shutdown => Ok(()),
        reason = engine.fatal.declared() => Err(anyhow::anyhow!(reason)),
        error = disk.broken() => Err(anyhow::anyhow!(error)),
    };
    health.report(Condition::Draining, "the node is stopping");
    tracing::info!("stopping: no new requests, and what is in hand is finished");
    stop_api.cancel();
    match serving.await {
        Ok(served) => served.context("the API failed")?,
        Err(error) => tracing::error!(%error, "the API ended with a panic"),
    }
    watching.abort();
    keeping_up.abort();
    if ended.is_ok() {
        engine.drain().await;
    }
    drop(critical);
    tracing::info!("stopped");
    ended
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

fn open_disk(config: &Config, clock: &SharedClock) -> anyhow::Result<Arc<Disk>> {
    let settings = &config.store.embedded;
    let disk = Disk::open(DiskSettings {
        dir: settings.data_dir.clone(),
        cache_bytes: settings.cache.bytes(),
        write_buffer_bytes: settings.write_buffer.bytes(),
        group_commit_max: settings.group_commit,
        min_free_bytes: config.log.embedded.min_free.bytes(),
        free_space: Arc::new(MachineSpace),
        clock: clock.clone(),
    });
    Ok(disk?)
}

async fn open_backends(
    config: &Config,
    disk: &Arc<Disk>,
    clock: &SharedClock,
) -> anyhow::Result<(SharedLog, SharedStore, SharedCoordination)> {
    let log: SharedLog = match config.log.backend {
        LogBackend::Kafka => KafkaLog::open(&config.log).await?,
        LogBackend::Embedded => EmbeddedLog::open(disk.clone(), config.log.partitions)?,
    };
    let store: SharedStore = match config.store.backend {
        StoreBackend::Cql => anyhow::bail!("the store `cql` is not built in"),
        StoreBackend::Embedded => Measured::over(EmbeddedStore::open(disk.clone())?),
    };
    let coordination: SharedCoordination = match config.coordination.backend {
        CoordinationBackend::Redis => anyhow::bail!("the coordination `redis` is not built in"),
        CoordinationBackend::Local => Arc::new(LocalCoordination::new(clock.clone())),
    };
    Ok((log, store, coordination))
}

/// By [`crate::domain::Channel::index`]: whether some provider serves the channel.
fn served(providers: &[SharedProvider]) -> [bool; 7] {
    let mut served = [false; 7];
    for channel in providers.iter().flat_map(|provider| provider.channels()) {
        served[channel.index()] = true;
    }
    served
}
