//! A node over Kafka and a database, each of which goes away and comes back. The brokers are in this process, so that it is sure
//! when; the database is real, behind a wire that can be cut.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::node::run_until;
use crate::config::{self, Config, LogBackend, Roles, Secret, StoreBackend};
use crate::domain::NotificationId;
use crate::store::CqlPlace;
use crate::testing::Wire;

type Brokers = MockCluster<'static, DefaultProducerContext>;

/// The longest that anything may take here: leases that ran out are waited for, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn brokers() -> Brokers {
    let brokers = MockCluster::new(1).expect("a cluster");
    let lanes = ["critical", "high", "normal", "low"].map(|lane| format!("fanfare.notifications.{lane}"));
    let others = ["events", "deliveries", "dead-letters", "changes"].map(|name| format!("fanfare.{name}"));
    for topic in lanes.iter().chain(&others) {
        brokers.create_topic(topic, 1, 1).expect("a topic");
    }
    brokers
}

struct Node {
    http: reqwest::Client,
    base: String,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
    sent: u32,
}

impl Node {
    fn start(place: &CqlPlace, brokers: &Brokers, wire: &Wire) -> Self {
        let mut config = settings(brokers);
        config.store.cql.nodes = vec![wire.address.clone()];
        config.store.cql.keyspace = place.settings.keyspace.clone();
        let base = format!("http://{}", config.http.listen);
        let stop = CancellationToken::new();
        let running = tokio::spawn(run_until(config, Roles::default(), stop.clone().cancelled_owned()));
        Self { http: reqwest::Client::new(), base, stop, running, sent: 0 }
    }

    /// Another notification each time.
    async fn post(&mut self, key: Option<&str>) -> Result<NotificationId, StatusCode> {
        self.sent += 1;
        let body = json!({
            "user_id": format!("user-{}", self.sent),
            "to": {"email": "alice@example.com"},
            "content": {"title": "hello", "body": "{{number}}"},
            "data": {"number": self.sent},
            "channels": ["email"],
        });
        let call = self.http.post(format!("{}/v1/notifications", self.base)).bearer_auth("dev").json(&body);
        let call = match key {
            Some(key) => call.header("idempotency-key", key),
            None => call,
        };
        let answer = call.send().await.expect("the node answers");
        if answer.status() != StatusCode::ACCEPTED {
            return Err(answer.status());
        }
        let body: Value = answer.json().await.expect("JSON");
        Ok(body["id"].as_str().expect("an id").parse().expect("an id of ours"))
    }

    async fn several(&mut self, count: usize) -> Vec<NotificationId> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.post(None).await.expect("accepted"));
        }
        ids
    }

    async fn get(&self, path: &str) -> Option<(StatusCode, Value)> {
        let answer = self.http.get(format!("{}{path}", self.base)).bearer_auth("dev").send().await.ok()?;
        Some((answer.status(), answer.json().await.ok()?))
    }

    async fn is_sent(&self, id: NotificationId) -> bool {
        let Some((_, story)) = self.get(&format!("/v1/notifications/{id}")).await else { return false };
        matches!(story["tasks"][0]["status"].as_str(), Some("sent" | "delivered"))
    }

    async fn until_sent(&self, ids: &[NotificationId]) {
        for id in ids {
            self.until(&format!("{id} is sent"), async || self.is_sent(*id).await).await;
        }
    }

    async fn until_ready(&self, status: &str) {
        self.until(status, async || {
            self.get("/readyz").await.is_some_and(|(_, ready)| ready["status"].as_str() == Some(status))
        })
        .await;
    }

    async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let began = Instant::now();
        while !is_so().await {
            assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
            assert!(!self.running.is_finished(), "the node ended, waiting for: {what}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.expect("no panic").expect("it ended in order");
    }
}

fn settings(brokers: &Brokers) -> Config {
    let mut config = config::defaults();
    // A port that is free now.
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    config.http.listen = listener.local_addr().expect("bound");
    config.log.backend = LogBackend::Kafka;
    config.log.partitions = 1;
    config.log.kafka.brokers = brokers.bootstrap_servers();
    config.log.kafka.options.insert("message.timeout.ms".into(), Secret::new("2000"));
    // A member that beats often asks to join again while its first request waits, and librdkafka's broker dies of that.
    config.log.kafka.options.insert("heartbeat.interval.ms".into(), Secret::new("4000"));
    config.store.backend = StoreBackend::Cql;
    config.store.cql.timeout = Duration::from_secs(2);
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_taken_while_the_log_or_the_store_is_up_and_all_of_them_are_sent() {
    // As the program does at its start.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Some(place) = CqlPlace::new().await else { return };
    let database = place.settings.nodes[0].clone();
    let wire = Wire::lay(&database, "127.0.0.1:0").await;
    let brokers = brokers();
    let mut node = Node::start(&place, &brokers, &wire);
    node.until_ready("ready").await;
    let before = node.several(3).await;
    assert!(before.iter().all(|id| !id.0.shard.is_spill()));
    node.until_sent(&before).await;

    brokers.broker_down(1).expect("down");
    node.until_ready("degraded").await;
    let mut spilled = node.several(20).await;
    let keyed = node.post(Some("one")).await.expect("accepted");
    spilled.push(keyed);
    assert!(spilled.iter().all(|id| id.0.shard.is_spill()));
    // The engine sends them while the brokers are out.
    node.until_sent(&spilled).await;

    wire.cut.cancel();
    node.until("both are gone", async || {
        matches!(node.get("/readyz").await, Some((StatusCode::SERVICE_UNAVAILABLE, _)))
    })
    .await;
    assert_eq!(node.post(None).await.expect_err("nobody can take it"), StatusCode::SERVICE_UNAVAILABLE);

    brokers.broker_up(1).expect("up");
    node.until_ready("degraded").await;
    let mut waiting = node.several(20).await;
    let began = Instant::now();
    waiting.push(node.post(Some("two")).await.expect("accepted"));
    assert!(began.elapsed() < Duration::from_secs(5), "it waited for the store: {:?}", began.elapsed());
    assert!(waiting.iter().all(|id| !id.0.shard.is_spill()), "the log has them");
    // Longer than its leases hold.
    tokio::time::sleep(Duration::from_secs(25)).await;
    waiting.extend(node.several(5).await);

    let _wire = Wire::lay(&database, &wire.address).await;
    node.until_sent(&waiting).await;
    node.until_ready("ready").await;
    let after = node.several(3).await;
    assert!(after.iter().all(|id| !id.0.shard.is_spill()));
    node.until_sent(&after).await;
    // Each of them once, and no other.
    let all = before.len() + spilled.len() + waiting.len() + after.len();
    let (_, books) = node.get("/v1/accounting").await.expect("the node answers");
    let total = &books["total"];
    assert_eq!((&total["in"], &total["sent"], &books["unaccounted"]), (&json!(all), &json!(all), &json!(0)), "{books}");
    node.stop().await;
}
