//! The settings of librdkafka.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use crate::config::Kafka;
use crate::domain::Priority;
use crate::log::LogError;

/// The largest record that goes to the dead letters: what came, byte for byte.
pub(super) const DEAD_LETTER_BYTES_MAX: usize = 16 << 20;

/// Room for the key and the headers of such a record.
pub(super) const RECORD_EXTRA_BYTES: usize = 64 << 10;

/// How long a record may wait for its acknowledgement: the caller of the API is told 503 after that.
const ACKNOWLEDGEMENT_WAIT_MAX_MS: u32 = 10_000;

/// How long brokers take a node for alive that they do not hear of; see docs/decisions/0013-kafka.md.
const SESSION_MS: u32 = 12_000;

/// How often a member asks whether the partitions are being dealt out anew. A partition is without an owner for two such rounds
/// when nodes come and go.
const HEARTBEAT_MS: u32 = 300;

/// Memory for what was fetched and is not read yet, of all partitions of all lanes.
const PREFETCH_BYTES: usize = 48 << 20;

/// The longest that a request to a broker may take.
const REQUEST_WAIT_MAX_MS: u32 = 10_000;

/// What goes to the cluster of `kafka`, before what is particular to a producer or a consumer.
fn client(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &kafka.brokers)
        .set("client.id", "fanfare")
        .set("socket.timeout.ms", REQUEST_WAIT_MAX_MS.to_string())
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "2000")
        .set_log_level(RDKafkaLogLevel::Notice);
    config
}

/// Lays the operator's own settings over ours.
fn with_options(mut config: ClientConfig, kafka: &Kafka) -> ClientConfig {
    for (name, value) in &kafka.options {
        config.set(name, value.expose());
    }
    config
}

/// A producer that keeps at most so many records and KiB that are not acknowledged yet.
pub(super) fn producer(kafka: &Kafka, records_max: usize, kib_max: usize) -> ClientConfig {
    let mut config = client(kafka);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "1")
        .set("message.timeout.ms", ACKNOWLEDGEMENT_WAIT_MAX_MS.to_string())
        .set("message.max.bytes", (DEAD_LETTER_BYTES_MAX + RECORD_EXTRA_BYTES).to_string())
        .set("queue.buffering.max.messages", records_max.to_string())
        .set("queue.buffering.max.kbytes", kib_max.to_string())
        // As the Java producer chooses, for what is told to others.
        .set("partitioner", "murmur2_random");
    with_options(config, kafka)
}

/// A member of a group. What all members of a node prefetch is bounded for `partitions` partitions together.
pub(super) fn member(kafka: &Kafka, group: String, partitions: usize) -> ClientConfig {
    // A partition holds up to the bound and one fetch more. Small records are bounded by their number: each costs librdkafka
    // some 300 bytes besides.
    let prefetch_kib = (PREFETCH_BYTES / 2 / 1024 / partitions.max(1)).clamp(128, 4096);
    let mut config = client(kafka);
    config
        .set("group.id", group)
        .set("group.protocol", "classic")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", SESSION_MS.to_string())
        .set("heartbeat.interval.ms", HEARTBEAT_MS.to_string())
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        // The bounds are per partition where partitions have queues of their own.
        .set("queued.min.messages", (prefetch_kib * 4).to_string())
        .set("queued.max.messages.kbytes", prefetch_kib.to_string())
        .set("max.partition.fetch.bytes", (prefetch_kib * 1024).to_string())
        // A full queue is looked at again after this; the default of one second would be a second without records.
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.wait.max.ms", "100")
        // New partitions are found this soon.
        .set("topic.metadata.refresh.interval.ms", "30000");
    with_options(config, kafka)
}

/// A consumer that joins no group: for look-ups, and for questions about topics.
pub(super) fn onlooker(kafka: &Kafka) -> ClientConfig {
    let mut config = client(kafka);
    config
        // It never joins; an assignment by hand needs a name.
        .set("group.id", group(kafka))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("allow.auto.create.topics", "false")
        .set("topic.metadata.refresh.interval.ms", "10000")
        // The next look-up goes behind the fetch under way.
        .set("fetch.wait.max.ms", "2")
        .set("fetch.error.backoff.ms", "50")
        .set("queued.max.messages.kbytes", "1024")
        .set("max.partition.fetch.bytes", "65536");
    with_options(config, kafka)
}

/// A consumer that hears at once what comes, and asks seldom while nothing does.
pub(super) fn follower(kafka: &Kafka) -> ClientConfig {
    let mut config = onlooker(kafka);
    config.set("fetch.wait.max.ms", "500");
    with_options(config, kafka)
}

/// The group's name. Committed offsets mean nothing for topics that were made anew, so each generation has its own.
pub(super) fn group(kafka: &Kafka) -> String {
    of_generation(kafka, kafka.group.clone())
}

/// The name of the group that reads the topic of events.
pub(super) fn events_group(kafka: &Kafka) -> String {
    of_generation(kafka, format!("{}-events", kafka.group))
}

fn of_generation(kafka: &Kafka, group: String) -> String {
    match kafka.generation {
        0 => group,
        generation => format!("{group}.g{generation}"),
    }
}

/// The topic of a lane.
pub(super) fn lane_topic(kafka: &Kafka, lane: Priority) -> String {
    format!("{}.notifications.{lane}", kafka.topic_prefix)
}

/// An error of librdkafka in the words of the port. The value of a setting is never part of it: it may be a password.
pub(super) fn failed(tried: &str, error: &KafkaError) -> LogError {
    LogError::Failed(format!("cannot {tried}: {}", reason(error)))
}

/// Why, in librdkafka's words.
pub(super) fn reason(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, key, _) => {
            format!("librdkafka does not take the value of `{key}`: check `log.kafka.options`")
        }
        KafkaError::ClientCreation(text) => format!("{text}: check `log.kafka.options`"),
        error => match error.rdkafka_error_code() {
            Some(code) => code.to_string(),
            None => error.to_string(),
        },
    }
}
