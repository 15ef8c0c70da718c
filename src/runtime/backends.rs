//! The backends as the configuration names them: the only place where their names are matched.

use std::sync::Arc;

use futures_util::future::pending;

use super::peers::random_hex;
use crate::clock::SharedClock;
use crate::config::{Config, CoordinationBackend, LogBackend, StoreBackend};
use crate::coordination::{LocalCoordination, RedisCoordination, SharedCoordination};
use crate::disk::{Disk, DiskSettings, MachineSpace};
use crate::log::{EmbeddedLog, KafkaLog, SharedLog, SpillingLog};
use crate::store::{CqlStore, EmbeddedStore, LeaseRows, Measured, SharedStore, UserSecrets};

/// The ports of a node.
pub(super) struct Backends {
    pub(super) log: SharedLog,
    pub(super) store: SharedStore,
    /// What is written of people is sealed under these.
    pub(super) secrets: Arc<dyn UserSecrets>,
    pub(super) coordination: SharedCoordination,
    /// Where nodes share the log: who has which of its shards.
    pub(super) leases: Option<Arc<dyn LeaseRows>>,
    /// Under the embedded ones.
    disk: Option<Arc<Disk>>,
}

impl Backends {
    pub(super) async fn open(config: &Config, clock: &SharedClock) -> anyhow::Result<Self> {
        let coordination: SharedCoordination = match config.coordination.backend {
            CoordinationBackend::Redis => {
                Arc::new(RedisCoordination::start(&config.coordination.redis, clock.clone()).await?)
            }
            CoordinationBackend::Local => Arc::new(LocalCoordination::new(clock.clone())),
        };
        // Other pairs were refused with the configuration.
        match (config.log.backend, config.store.backend) {
            (LogBackend::Embedded, StoreBackend::Embedded) => {
                let disk = open_disk(config, clock)?;
                let log: SharedLog = EmbeddedLog::open(disk.clone(), config.log.partitions)?;
                let store = EmbeddedStore::open(disk.clone())?;
                let secrets = store.clone();
                Ok(Self { log, store: Measured::over(store), secrets, coordination, leases: None, disk: Some(disk) })
            }
            (LogBackend::Kafka, StoreBackend::Cql) => {
                let store = CqlStore::open(&config.store.cql, clock.clone()).await?;
                store.keep(config.retention.dated());
                let kafka: SharedLog = KafkaLog::open(&config.log).await?;
                let log = SpillingLog::over(kafka, store.clone(), clock.clone(), &random_hex(16)?);
                let leases: Arc<dyn LeaseRows> = store.clone();
                let secrets = store.clone();
                Ok(Self { log, store: Measured::over(store), secrets, coordination, leases: Some(leases), disk: None })
            }
            _ => anyhow::bail!("`log.backend` and `store.backend` do not go together"),
        }
    }

    /// Waits until a backend can never work again.
    pub(super) async fn broken(&self) -> anyhow::Error {
        match &self.disk {
            Some(disk) => disk.broken().await.into(),
            None => pending().await,
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
        kept: config.retention.dated(),
    });
    Ok(disk?)
}
