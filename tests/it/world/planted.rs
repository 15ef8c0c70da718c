//! Texts that are planted somewhere, and looked for wherever anything is written.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use redis::Value;
use scylla::client::session_builder::SessionBuilder;
use scylla::value::{CqlValue, Row};
use xxhash_rust::xxh3::xxh3_64;

use super::Place;
use super::services::Services;

/// The longest that one answer of a service may take.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Texts that are nobody else's.
pub struct Planted(Vec<String>);

impl Planted {
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// A text that occurs nowhere else; letters and digits only.
    pub fn text(&mut self, of: &str) -> String {
        let text = format!("zq{of}{:016x}", fresh());
        self.0.push(text.clone());
        text
    }

    /// Digits of a telephone number.
    pub fn digits(&mut self) -> String {
        let digits = format!("{:09}", fresh() % 1_000_000_000);
        self.0.push(digits.clone());
        digits
    }

    pub fn all(&self) -> &[String] {
        &self.0
    }

    /// Where which of them can be read, of all that stands at a place.
    pub async fn found(&self, place: &Place) -> Vec<String> {
        match place {
            Place::Embedded(dir) => self.found_in_files(dir.path()),
            Place::Services(spot) => {
                let mut found = self.found_in_tables(spot.services, &spot.keyspace).await;
                found.extend(self.found_in_topics(spot.services, &spot.name).await);
                found.extend(self.found_in_redis(spot.services, &spot.name).await);
                found
            }
        }
    }

    fn look(&self, bytes: &[u8], place: &str, found: &mut Vec<String>) {
        for text in self.0.iter().filter(|text| contains(bytes, text.as_bytes())) {
            let line = format!("{text} in {place}");
            if !found.contains(&line) {
                found.push(line);
            }
        }
    }

    fn found_in_files(&self, dir: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => found.extend(self.found_in_files(&path)),
                false => self.look(&std::fs::read(&path).expect("readable"), &path.display().to_string(), &mut found),
            }
        }
        found
    }

    async fn found_in_tables(&self, services: &Services, keyspace: &str) -> Vec<String> {
        let session = SessionBuilder::new().known_node(&services.cql).build().await.expect("the database answers");
        let tables = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
        let tables =
            session.query_unpaged(tables, (keyspace,)).await.expect("listed").into_rows_result().expect("rows");
        let mut found = Vec::new();
        for (table,) in tables.rows::<(String,)>().expect("names").flatten() {
            let all = session.query_unpaged(format!("SELECT * FROM {keyspace}.{table}"), ()).await.expect("read");
            let all = all.into_rows_result().expect("rows");
            for row in all.rows::<Row>().expect("cells").flatten() {
                for cell in row.columns.into_iter().flatten() {
                    match cell {
                        CqlValue::Blob(bytes) => self.look(&bytes, &table, &mut found),
                        CqlValue::Text(text) | CqlValue::Ascii(text) => self.look(text.as_bytes(), &table, &mut found),
                        _ => {}
                    }
                }
            }
        }
        found
    }

    async fn found_in_topics(&self, services: &Services, prefix: &str) -> Vec<String> {
        let (mut client, prefix, texts) = (services.client(), format!("{prefix}."), Self(self.0.clone()));
        client.set("group.id", format!("{prefix}search")).set("enable.auto.commit", "false");
        client.set("enable.partition.eof", "false");
        let reading = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = client.create().expect("a consumer");
            let topics = consumer.fetch_metadata(None, WAIT_MAX).expect("topics are listed");
            let mut found = Vec::new();
            for topic in topics.topics().iter().filter(|topic| topic.name().starts_with(&prefix)) {
                for partition in topic.partitions() {
                    texts.look_in_partition(&consumer, topic.name(), partition.id(), &mut found);
                }
            }
            found
        });
        reading.await.expect("it ends")
    }

    fn look_in_partition(&self, consumer: &BaseConsumer, topic: &str, partition: i32, found: &mut Vec<String>) {
        let (low, high) = consumer.fetch_watermarks(topic, partition, WAIT_MAX).expect("it has an end");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(low)).expect("a place");
        consumer.assign(&list).expect("assigned");
        let mut next = low;
        while next < high {
            let Some(message) = consumer.poll(WAIT_MAX) else {
                panic!("{topic} {partition} ends at {next}, not {high}")
            };
            let message = message.expect("a record");
            next = message.offset() + 1;
            self.look(message.payload().unwrap_or_default(), topic, found);
            self.look(message.key().unwrap_or_default(), topic, found);
            for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
                self.look(header.value.unwrap_or_default(), topic, found);
            }
        }
    }

    async fn found_in_redis(&self, services: &Services, prefix: &str) -> Vec<String> {
        let client = redis::Client::open(format!("redis://{}", services.redis)).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("connected");
        let mut found = Vec::new();
        let keys: Vec<String> =
            redis::cmd("KEYS").arg(format!("{prefix}*")).query_async(&mut connection).await.expect("keys");
        for key in keys {
            self.look(key.as_bytes(), "redis", &mut found);
            let kind: String = redis::cmd("TYPE").arg(&key).query_async(&mut connection).await.expect("a type");
            let read = match &*kind {
                "string" => redis::cmd("GET").arg(&key).to_owned(),
                "hash" => redis::cmd("HGETALL").arg(&key).to_owned(),
                "set" => redis::cmd("SMEMBERS").arg(&key).to_owned(),
                "zset" => redis::cmd("ZRANGE").arg(&key).arg(0).arg(-1).to_owned(),
                "list" => redis::cmd("LRANGE").arg(&key).arg(0).arg(-1).to_owned(),
                _ => continue,
            };
            let value: Value = read.query_async(&mut connection).await.expect("a value");
            self.look_in_value(&value, &mut found);
        }
        found
    }

    fn look_in_value(&self, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::BulkString(bytes) => self.look(bytes, "redis", found),
            Value::SimpleString(text) => self.look(text.as_bytes(), "redis", found),
            Value::Array(values) | Value::Set(values) => values.iter().for_each(|one| self.look_in_value(one, found)),
            Value::Map(pairs) => pairs.iter().for_each(|(key, one)| {
                self.look_in_value(key, found);
                self.look_in_value(one, found);
            }),
            _ => {}
        }
    }
}

/// A number that nobody had before.
fn fresh() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos();
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    xxh3_64(format!("{now} {number} {}", std::process::id()).as_bytes())
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    // By the first byte: a window at each place of megabytes takes long without optimisation.
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == text[0]) {
        rest = &rest[at..];
        if rest.starts_with(text) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}
