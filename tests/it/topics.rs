//! The topics as other programs see them: nothing of ours stands between them and Kafka.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fanfare::domain::{Channel, NotificationId, Priority};
use fanfare::log::Foreign;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Headers;
use rdkafka::{Offset, TopicPartitionList};
use tokio::io::AsyncWriteExt;

use crate::world::{NOON, Place, Producer, Spot, TestProvider, World, skipped};

/// The longest that a program waits for what is to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A record as a program reads it.
#[derive(Debug)]
struct Read {
    body: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Read {
    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

async fn on_kafka() -> Option<(Place, Arc<Spot>)> {
    let place = Place::on_services().await?;
    let Place::Services(spot) = &place else { unreachable!("it was asked for") };
    let spot = spot.clone();
    Some((place, spot))
}

/// The first records of a topic of one partition.
async fn read(spot: &Spot, topic: &str, count: usize) -> Vec<Read> {
    let topic = format!("{}.{topic}", spot.name);
    let mut client = spot.services.client();
    client.set("group.id", format!("{}-reader", spot.name)).set("enable.auto.commit", "false");
    let consumer: BaseConsumer = client.create().expect("a consumer");
    let reading = tokio::task::spawn_blocking(move || {
        let mut from_begin = TopicPartitionList::new();
        from_begin.add_partition_offset(&topic, 0, Offset::Beginning).expect("a place");
        consumer.assign(&from_begin).expect("assigned");
        let deadline = Instant::now() + PATIENCE;
        let mut read = Vec::new();
        while read.len() < count {
            assert!(Instant::now() < deadline, "{topic} has {} records only", read.len());
            let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
            let record = record.expect("a record");
            let headers = record.headers().into_iter().flat_map(|headers| headers.iter());
            let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
            read.push(Read {
                body: record.payload().unwrap_or_default().to_vec(),
                headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
            });
        }
        read
    });
    reading.await.expect("it is read")
}

/// A message of a topic of programs, as Kafka has it.
pub(crate) struct Kept {
    pub(crate) key: String,
    pub(crate) body: serde_json::Value,
    pub(crate) headers: BTreeMap<String, String>,
}

/// What a topic of this spot is called.
pub(crate) fn topic_of(spot: &Spot, name: &str) -> String {
    format!("{}.{name}", spot.name)
}

/// So many messages of a topic for a group of Kafka's own, which commits them.
pub(crate) async fn read_group(spot: &Spot, topic: &str, group: &str, count: usize) -> Vec<Kept> {
    let mut client = spot.services.client();
    client.set("group.id", group).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = client.create().expect("a consumer");
    let topic = topic.to_owned();
    let reading = tokio::task::spawn_blocking(move || {
        consumer.subscribe(&[&topic]).expect("subscribed");
        let deadline = Instant::now() + PATIENCE;
        let mut read = Vec::new();
        while read.len() < count {
            assert!(Instant::now() < deadline, "{topic} has {} messages only", read.len());
            let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
            let record = record.expect("a record");
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            let headers = record.headers().into_iter().flat_map(|headers| headers.iter());
            read.push(Kept {
                key: text(record.key()),
                body: serde_json::from_slice(record.payload().unwrap_or_default()).expect("JSON"),
                headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
            });
        }
        consumer.commit_consumer_state(CommitMode::Sync).expect("committed");
        read
    });
    reading.await.expect("it is read")
}

fn request(user: &str) -> String {
    format!(
        r#"{{"user_id":"{user}","to":{{"email":"a@example.com"}},"content":{{"title":"t","body":"b"}},"channels":["email"]}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_writes_as_json_is_sent_and_told_as_cloud_events_and_rubbish_comes_back_byte_for_byte() {
    let Some((place, spot)) = on_kafka().await else { return };
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(place, vec![provider.clone()]).await;
    let program = Producer::new(&spot);
    let at = Foreign { appended_at: NOON, ..Foreign::default() };
    let rubbish = b"\xff\x00 rubbish \x80";
    let spoilt = program.write(Priority::High, rubbish, &at).await;
    let user = world.place.own("alice");
    let good = NotificationId(program.write(Priority::High, request(&user).as_bytes(), &at).await);
    world.until(async || world.story(good).await.map(|_| ())).await;
    world.expect_states(good, &["sent"]).await;
    assert_eq!(provider.taken().len(), 1);

    let told = read(&spot, "deliveries", 2).await;
    let events: Vec<serde_json::Value> = told.iter().map(Read::json).collect();
    assert_eq!(
        events.iter().map(|event| &event["type"]).collect::<Vec<_>>(),
        ["fanfare.task.accepted", "fanfare.task.sent"]
    );
    for event in &events {
        assert_eq!((&event["specversion"], &event["data"]["user_id"]), (&"1.0".into(), &user.as_str().into()));
        assert_eq!(event["data"]["notification_id"], good.to_string());
    }

    let letters = read(&spot, "dead-letters", 1).await;
    assert_eq!(letters[0].body, rubbish);
    let header = |name: &str| {
        let found = letters[0].headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.clone()).unwrap_or_else(|| panic!("no header {name}: {:?}", letters[0].headers))
    };
    assert_eq!(header("source-topic"), format!("{}.notifications.high", spot.name));
    assert_eq!(header("source-partition"), spoilt.shard.partition.to_string());
    assert_eq!(header("source-offset"), spoilt.offset.to_string());
    assert!(!header("error").is_empty());
}

/// One of Kafka's own programs, of the services that `./dev services` keeps.
fn tool(arguments: &[&str]) -> tokio::process::Command {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/services/run.sh");
    let mut command = tokio::process::Command::new(script);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

async fn output(mut command: tokio::process::Command, input: &str) -> String {
    let mut child = command.spawn().expect("the script of the services starts");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).await.expect("it reads");
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends in time");
    let ended = ended.expect("it ends");
    assert!(ended.status.success(), "{}", ended.status);
    String::from_utf8(ended.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn kafkas_own_console_producer_and_consumer_hand_in_notifications_and_see_what_became_of_them() {
    let Some((place, spot)) = on_kafka().await else { return };
    if !output(tool(&["env"]), "").await.contains(&format!("FANFARE_TEST_KAFKA={}", spot.services.kafka)) {
        skipped("a Kafka that ./dev services started");
        return;
    }
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start(place, vec![provider.clone()]).await;
    let topic = |name: &str| format!("{}.{name}", spot.name);
    let users = ["alice", "bob"].map(|user| world.place.own(user));
    let lines: String = users.iter().map(|user| request(user) + "\n").collect();
    output(tool(&["kafka", "produce", "--topic", &topic("notifications.normal")]), &lines).await;
    world.until(async || (provider.taken().len() == 2).then_some(())).await;
    let (from, limit) = ("--from-beginning", ["--max-messages", "4", "--timeout-ms", "20000"]);
    let deliveries = topic("deliveries");
    let seen = output(tool(&[&["kafka", "consume", "--topic", &deliveries, from], &limit[..]].concat()), "").await;
    let events: Vec<serde_json::Value> = seen.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for user in &users {
        let of_user = events.iter().filter(|event| event["data"]["user_id"] == **user);
        let mut kinds: Vec<_> = of_user.map(|event| event["type"].as_str().expect("a type")).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["fanfare.task.accepted", "fanfare.task.sent"]);
    }
}
