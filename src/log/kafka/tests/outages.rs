//! Brokers that go away and come back; in this process, so that it is sure when.

use std::time::Instant;

use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;

fn cluster() -> (MockCluster<'static, rdkafka::producer::DefaultProducerContext>, OnBroker) {
    let cluster = MockCluster::new(1).expect("a cluster");
    let mut broker = OnBroker::at(&cluster.bootstrap_servers());
    broker.settings.kafka.options.insert("message.timeout.ms".into(), config::Secret::new("1500"));
    for topic in topics::Topics::named(&broker.settings.kafka).all() {
        cluster.create_topic(topic, 2, 1).expect("a topic");
    }
    (cluster, broker)
}

#[tokio::test]
async fn an_append_fails_in_bounded_time_without_brokers_and_works_again_by_itself() {
    let (cluster, broker) = cluster();
    let log = broker.log(2).await;
    log.append(numbered(Priority::Normal, 0..10)).await.expect("appended");
    log.writable().expect("a broker is there");

    cluster.broker_down(1).expect("down");
    let began = Instant::now();
    for lane in [Priority::Critical, Priority::Normal] {
        let error = log.append(numbered(lane, 0..10)).await.expect_err("there is no broker");
        assert!(matches!(error, LogError::Failed(_)), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(log.writable().is_err_and(|error| error.to_string().contains("no broker answers")));

    cluster.broker_up(1).expect("up");
    in_time("coming back", async {
        while log.writable().is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    in_time("appending again", async { while log.append(numbered(Priority::Normal, 0..10)).await.is_err() {} }).await;
}

#[tokio::test]
async fn more_than_the_queue_holds_is_refused_at_once() {
    let (cluster, broker) = cluster();
    let log = broker.log(2).await;
    cluster.broker_down(1).expect("down");
    let waiting = tokio::spawn({
        let log = log.clone();
        async move { log.append(numbered(Priority::Low, 0..90_000)).await }
    });
    tokio::task::yield_now().await;
    let refused = in_time("a full queue", async {
        loop {
            match log.append(numbered(Priority::Low, 0..60_000)).await {
                Err(LogError::Busy) => return,
                _ => tokio::task::yield_now().await,
            }
        }
    });
    refused.await;
    assert!(waiting.await.expect("ended").is_err());
}

#[tokio::test]
async fn a_log_without_brokers_says_what_to_check() {
    let broker = OnBroker::at("127.0.0.1:1");
    let error = KafkaLog::open(&broker.settings).await.err().expect("nobody is there").to_string();
    assert!(error.contains("log.kafka.brokers"), "{error}");
}

#[tokio::test]
async fn a_setting_that_is_refused_is_named_without_its_value() {
    let mut broker = OnBroker::at("127.0.0.1:1");
    broker.settings.kafka.options.insert("sasl.mechanism".into(), config::Secret::new("hunter2"));
    broker.settings.kafka.options.insert("session.timeout.ms".into(), config::Secret::new("hunter2"));
    let error = KafkaLog::open(&broker.settings).await.err().expect("it is refused").to_string();
    assert!(!error.contains("hunter2") && error.contains("log.kafka.options"), "{error}");
}

#[tokio::test]
async fn partitions_whose_offsets_cannot_be_asked_for_are_given_to_the_engine_later() {
    let (cluster, mut broker) = cluster();
    // A member that beats often asks to join again while its first request waits, and librdkafka's broker dies of that.
    for (option, value) in [("heartbeat.interval.ms", "20000"), ("session.timeout.ms", "60000")] {
        broker.settings.kafka.options.insert(option.into(), config::Secret::new(value));
    }
    let log = broker.log(2).await;
    log.append(numbered(Priority::Normal, 0..10)).await.expect("appended");
    let refusals = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 4];
    cluster.request_errors(RDKafkaApiKey::OffsetFetch, &refusals);
    let mut membership = log.join().await.expect("joined");
    // On a busy machine it may deal the partitions out again meanwhile: what one reader cannot read another can.
    in_time("reading", async {
        loop {
            let Some(OwnershipChange::Assigned(mut reader)) = membership.next().await else { continue };
            if reader.shard().lane != Priority::Normal {
                continue;
            }
            if let Ok(records) = reader.read(0, ALL).await {
                assert_eq!(records[0].position.offset, 0);
                return;
            }
        }
    })
    .await;
}
