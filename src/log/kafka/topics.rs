//! The topics: their names, how many partitions they have, and their creation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::contact::{Contact, Plain};
use super::settings::{self, DEAD_LETTER_BYTES_MAX, RECORD_EXTRA_BYTES};
use crate::config::Kafka;
use crate::domain::{Priority, ShardId};
use crate::log::{LogError, Outlet};

/// How long the brokers may take to answer when the log is opened.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long new topics may take to be seen by all brokers.
const CREATION_WAIT_MAX: Duration = Duration::from_secs(20);

/// Changes are heard at once or never: an hour, for people to look.
const CHANGES_KEPT_MS: &str = "3600000";

/// Events of a client that are listened to after a failure.
const EVENTS_MAX: usize = 32;

pub(super) struct Topics {
    generation: u8,
    lanes: [String; 4],
    /// Partitions of each lane. They may grow; records of one key then go to another partition than before.
    partitions: [AtomicU16; 4],
    events: String,
    event_partitions: AtomicU16,
    deliveries: String,
    dead_letters: String,
    changes: String,
}

/// Whether topics are created, or the brokers only asked if they would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Creation {
    Asked,
    Done,
}

/// Answers questions about topics.
pub(super) type Onlooker = BaseConsumer<Plain>;

impl Topics {
    /// Finds the topics, and creates those that are missing. Several nodes may do so at once.
    pub(super) async fn open(kafka: &Kafka, partitions: u16, contact: &Arc<Contact>) -> Result<Self, LogError> {
        let topics = Self::named(kafka);
        let onlooker = Arc::new(onlook(kafka, contact)?);
        let missing = topics.missing(&onlooker, contact).await?;
        if !missing.is_empty() {
            topics.create(kafka, &missing, partitions, contact, Creation::Done).await?;
            topics.wait_until_seen(&onlooker, contact).await?;
        }
        Ok(topics)
    }

    pub(super) fn named(kafka: &Kafka) -> Self {
        Self {
            generation: kafka.generation,
            lanes: Priority::ALL.map(|lane| settings::lane_topic(kafka, lane)),
            partitions: Default::default(),
            events: format!("{}.events", kafka.topic_prefix),
            event_partitions: AtomicU16::default(),
            deliveries: format!("{}.deliveries", kafka.topic_prefix),
            dead_letters: format!("{}.dead-letters", kafka.topic_prefix),
            changes: format!("{}.changes", kafka.topic_prefix),
        }
    }

    /// Every topic of the engine.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        let others = [&self.events, &self.deliveries, &self.dead_letters, &self.changes];
        self.lanes.iter().chain(others).map(String::as_str)
    }

    pub(super) fn lane(&self, lane: Priority) -> &str {
        &self.lanes[lane.index()]
    }

    pub(super) fn events(&self) -> &str {
        &self.events
    }

    /// The topic that a shard is a partition of.
    pub(super) fn of(&self, shard: ShardId) -> &str {
        if shard.is_events() { &self.events } else { self.lane(shard.lane) }
    }

    pub(super) fn outlet(&self, outlet: Outlet) -> &str {
        match outlet {
            Outlet::Deliveries => &self.deliveries,
            Outlet::DeadLetters => &self.dead_letters,
            Outlet::Changes => &self.changes,
        }
    }

    pub(super) fn partitions(&self, lane: Priority) -> u16 {
        self.partitions[lane.index()].load(Ordering::Relaxed)
    }

    /// Where records of a key go.
    pub(super) fn choose(&self, lane: Priority, key: u64) -> ShardId {
        let partitions = u64::from(self.partitions(lane)).max(1);
        ShardId { generation: self.generation, lane, partition: (key % partitions) as u16 }
    }

    /// The shard that a topic's partition is; none for a topic that is neither a lane nor that of events.
    pub(super) fn shard(&self, topic: &str, partition: i32) -> Option<ShardId> {
        if topic == self.events {
            return Some(ShardId::of_events(u16::try_from(partition).ok()?));
        }
        let lane = Priority::ALL.into_iter().find(|lane| self.lane(*lane) == topic)?;
        Some(ShardId { generation: self.generation, lane, partition: u16::try_from(partition).ok()? })
    }

    /// Whether there is such a shard.
    pub(super) fn has(&self, shard: ShardId) -> bool {
        shard.generation == self.generation && shard.partition < self.partitions(shard.lane)
    }

    /// The partitions of the topic of events.
    pub(super) fn event_shards(&self) -> impl Iterator<Item = ShardId> + '_ {
        (0..self.event_partitions.load(Ordering::Relaxed)).map(ShardId::of_events)
    }

    /// Every shard of a lane.
    pub(super) fn shards(&self) -> impl Iterator<Item = ShardId> + '_ {
        let of = move |lane| {
            let shard = move |partition| ShardId { generation: self.generation, lane, partition };
            (0..self.partitions(lane)).map(shard)
        };
        Priority::ALL.into_iter().flat_map(of)
    }

    /// Asks how many partitions there are now, waiting for `wait` at most. Blocks.
    pub(super) fn refresh(&self, onlooker: &Onlooker, wait: Duration) -> Result<(), KafkaError> {
        for lane in Priority::ALL {
            let found = count_partitions(onlooker, self.lane(lane), wait)?;
            // Fewer are seen for a moment while a topic is being created.
            self.partitions[lane.index()].fetch_max(found, Ordering::Relaxed);
        }
        let found = count_partitions(onlooker, &self.events, wait)?;
        self.event_partitions.fetch_max(found, Ordering::Relaxed);
        Ok(())
    }

    /// The topics that are not there; the partitions of the others are counted.
    pub(super) async fn missing(&self, onlooker: &Arc<Onlooker>, contact: &Contact) -> Result<Vec<String>, LogError> {
        let mut missing = Vec::new();
        for topic in self.all() {
            let (onlooker, name) = (onlooker.clone(), topic.to_owned());
            let counted = blocking(move || count_partitions(&onlooker, &name, ANSWER_WAIT_MAX)).await?;
            match counted.map_err(|error| unreachable(&error, contact))? {
                0 => missing.push(topic.to_owned()),
                found => {
                    if let Some(shard) = self.shard(topic, 0) {
                        let count = match shard.is_events() {
                            true => &self.event_partitions,
                            false => &self.partitions[shard.lane.index()],
                        };
                        count.store(found, Ordering::Relaxed);
                    }
                }
            }
        }
        Ok(missing)
    }

    /// Creates topics, or only asks whether they could be. Those that another node created meanwhile are as good.
    pub(super) async fn create(
        &self,
        kafka: &Kafka,
        names: &[String],
        partitions: u16,
        contact: &Arc<Contact>,
        creation: Creation,
    ) -> Result<(), LogError> {
        let admin = AdminClient::from_config_and_context(&settings::onlooker(kafka), Plain(contact.clone()))
            .map_err(|error| settings::failed("set up a client", &error))?;
        let dead_letter_bytes = (DEAD_LETTER_BYTES_MAX + RECORD_EXTRA_BYTES).to_string();
        let topics: Vec<NewTopic<'_>> = names
            .iter()
            .map(|name| {
                let replication = TopicReplication::Fixed(i32::from(kafka.replication));
                // One: whoever follows knows by what it hears that it has missed nothing before.
                let partitions = if *name == self.changes { 1 } else { partitions };
                let mut topic = NewTopic::new(name, i32::from(partitions), replication);
                if *name == self.changes {
                    topic = topic.set("retention.ms", CHANGES_KEPT_MS);
                }
                if *name == self.dead_letters {
                    topic = topic.set("max.message.bytes", &dead_letter_bytes);
                }
                // With three copies one broker may be down; with one acknowledged copy it could take records with it.
                if kafka.replication > 2 { topic.set("min.insync.replicas", "2") } else { topic }
            })
            .collect();
        let options = AdminOptions::new()
            .request_timeout(Some(ANSWER_WAIT_MAX))
            .operation_timeout(Some(ANSWER_WAIT_MAX))
            .validate_only(creation == Creation::Asked);
        let outcomes = admin.create_topics(&topics, &options).await;
        for outcome in outcomes.map_err(|error| unreachable(&error, contact))? {
            if let Err((topic, code)) = outcome
                && code != RDKafkaErrorCode::TopicAlreadyExists
            {
                return Err(LogError::Failed(not_created(&topic, code, kafka.replication)));
            }
        }
        Ok(())
    }

    /// Waits until each topic has its partitions.
    pub(super) async fn wait_until_seen(&self, onlooker: &Arc<Onlooker>, contact: &Contact) -> Result<(), LogError> {
        let deadline = Instant::now() + CREATION_WAIT_MAX;
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        loop {
            looks.tick().await;
            let missing = self.missing(onlooker, contact).await?;
            if missing.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let names = missing.join("`, `");
                return Err(LogError::Failed(format!(
                    "the topics `{names}` were created and are not seen: look at the brokers"
                )));
            }
        }
    }
}

/// A consumer that belongs to no group.
pub(super) fn onlook(kafka: &Kafka, contact: &Arc<Contact>) -> Result<Onlooker, LogError> {
    Onlooker::from_config_and_context(&settings::onlooker(kafka), Plain(contact.clone()))
        .map_err(|error| settings::failed("set up a consumer", &error))
}

/// 0: there is no such topic.
pub(super) fn count_partitions(onlooker: &Onlooker, topic: &str, wait: Duration) -> Result<u16, KafkaError> {
    let metadata = onlooker.fetch_metadata(Some(topic), wait).inspect_err(|_| {
        // What was heard of the connections meanwhile says why.
        for _ in 0..EVENTS_MAX {
            let _ = onlooker.poll(Duration::from_millis(1));
        }
    })?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(0) };
    match found.error().map(RDKafkaErrorCode::from) {
        None => Ok(u16::try_from(found.partitions().len()).unwrap_or(u16::MAX)),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(0),
        // Created, and without a leader yet.
        Some(RDKafkaErrorCode::LeaderNotAvailable) => Ok(0),
        Some(code) => Err(KafkaError::MetadataFetch(code)),
    }
}

/// Runs what waits for a broker off the threads of the runtime.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, LogError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(|_| LogError::Failed("a question to the brokers ended with a panic".to_owned()))
}

/// Why a first question found no answer, with what was heard of the connection.
pub(super) fn unreachable(error: &KafkaError, contact: &Contact) -> LogError {
    let heard = contact.connection();
    let (said, advice) = match (error.rdkafka_error_code(), heard.as_ref().map(|(code, _)| *code)) {
        (Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed), _) => {
            ("the brokers refuse the user of `log.kafka.options`", "give it the right to the topics")
        }
        (_, Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed)) => {
            ("the brokers refuse the credentials", "check the `sasl.` settings in `log.kafka.options`")
        }
        (_, Some(RDKafkaErrorCode::SSL)) => {
            ("no TLS connection to the brokers comes about", "check the `ssl.` settings in `log.kafka.options`")
        }
        (_, Some(RDKafkaErrorCode::UnsupportedFeature)) => {
            ("the brokers are too old", "they must be Kafka 1.0 or later")
        }
        _ => ("the brokers do not answer", "check `log.kafka.brokers` and `log.kafka.options`"),
    };
    let why = heard.map_or_else(|| settings::reason(error), |(_, text)| text);
    LogError::Failed(format!("{said} ({why}): {advice}"))
}

pub(super) fn not_created(topic: &str, code: RDKafkaErrorCode, replication: u16) -> String {
    let advice = match code {
        RDKafkaErrorCode::InvalidReplicationFactor => {
            format!("the cluster has fewer than {replication} brokers: lower `log.kafka.replication`")
        }
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "the user may not: give it the right, or create the topics with `fanfare kafka-topics create` as one who may"
                .into()
        }
        code => code.to_string(),
    };
    format!("cannot create the topic `{topic}`: {advice}")
}
