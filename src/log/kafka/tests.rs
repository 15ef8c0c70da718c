//! Against a real broker, whose address is in `FANFARE_TEST_KAFKA`; what brokers do that go away, against one in this process.

mod groups;
mod operators;
mod foreign;
mod outages;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::config::FromClientConfigAndContext;

use super::contact::Plain;
use super::*;
use crate::domain::Priority;
use crate::log::conformance::{LogBackend, log_conformance};
use crate::log::{OwnershipChange, PartitionReader, ReadLimit, SharedLog};
use crate::testing::service;

/// Topics and a group of their own on the broker of the tests.
pub(super) struct OnBroker {
    pub(super) settings: config::Log,
}

impl OnBroker {
    /// None where there is no broker.
    pub(super) fn new() -> Option<Self> {
        service("FANFARE_TEST_KAFKA").map(|address| Self::at(&address))
    }

    pub(super) fn at(address: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let name = format!("t{}-{}", since.as_millis(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut settings = crate::config::defaults().log;
        settings.kafka.brokers = address.to_owned();
        settings.kafka.topic_prefix = name.clone();
        settings.kafka.group = name;
        // A member that is alone learns sooner that another came.
        settings.kafka.options.insert("heartbeat.interval.ms".into(), config::Secret::new("200"));
        settings.kafka.options.insert("session.timeout.ms".into(), config::Secret::new("6000"));
        Self { settings }
    }

    pub(super) async fn log(&self, partitions: u16) -> Arc<KafkaLog> {
        let settings = config::Log { partitions, ..self.settings.clone() };
        KafkaLog::open(&settings).await.expect("the log opens")
    }

    pub(super) fn admin(&self) -> AdminClient<Plain> {
        AdminClient::from_config_and_context(&settings::onlooker(&self.settings.kafka), Plain(Arc::default()))
            .expect("a client")
    }

    pub(super) fn lane(&self, lane: Priority) -> String {
        settings::lane_topic(&self.settings.kafka, lane)
    }
}

#[async_trait]
impl LogBackend for OnBroker {
    /// Partitions are added as an operator adds them.
    async fn open(&self, partitions: u16) -> SharedLog {
        let log = self.log(partitions).await;
        if log.parts.topics.partitions(Priority::Normal) >= partitions {
            return log;
        }
        drop(log);
        let lanes = Priority::ALL.map(|lane| self.lane(lane));
        let more = lanes.iter().map(|lane| NewPartitions::new(lane, usize::from(partitions))).collect::<Vec<_>>();
        self.admin().create_partitions(&more, &AdminOptions::new()).await.expect("partitions are added");
        loop {
            let log = self.log(partitions).await;
            if Priority::ALL.into_iter().all(|lane| log.parts.topics.partitions(lane) == partitions) {
                return log;
            }
        }
    }
}

log_conformance!(OnBroker::new());

const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

/// The longest that anything may take in a test.
const PATIENCE: Duration = Duration::from_secs(40);

fn numbered(lane: Priority, numbers: std::ops::Range<u64>) -> Vec<NewRecord> {
    numbers.map(|key| NewRecord { lane, key, body: Bytes::from(key.to_string()) }).collect()
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} took too long"))
}

/// The next change, which must be an assignment.
async fn assigned(membership: &mut dyn Membership) -> Box<dyn PartitionReader> {
    match in_time("an assignment", membership.next()).await {
        Some(OwnershipChange::Assigned(reader)) => reader,
        Some(OwnershipChange::Revoked(shard) | OwnershipChange::Lost(shard)) => panic!("{shard} went"),
        None => panic!("the membership ended"),
    }
}

/// As many readers.
async fn several(membership: &mut dyn Membership, count: usize) -> Vec<Box<dyn PartitionReader>> {
    let mut readers = Vec::new();
    while readers.len() < count {
        readers.push(assigned(membership).await);
    }
    readers
}
