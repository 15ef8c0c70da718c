//! Whole nodes, each a process: what they ask of each other, and what is left when one is killed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::routing::post;
use axum::{Json, Router};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::{LEASE, Place, Process, Spot, eventually};

/// Of each lane.
const PARTITIONS: u16 = 2;
const SHARDS: usize = PARTITIONS as usize * 4;
/// Requests at a time, and how many times.
const WAVE: usize = 40;
const WAVES: usize = 10;

/// Two nodes that have some of the shards each.
async fn two_nodes() -> Option<(Arc<Spot>, [Process; 2])> {
    let place = Place::on_services_alone().await?;
    let Place::Services(spot) = place else { unreachable!("it was asked for") };
    let nodes: [Process; 2] = tokio::join!(Process::start(&spot, PARTITIONS), Process::start(&spot, PARTITIONS)).into();
    eventually("both have shards", async || {
        let shards = [nodes[0].shards().await, nodes[1].shards().await];
        (shards.iter().sum::<usize>() == SHARDS && shards.iter().all(|count| *count > 0)).then_some(())
    })
    .await;
    Some((spot, nodes))
}

/// Takes webhooks, and counts them by their notification.
#[derive(Default)]
struct Receiver {
    received: Mutex<BTreeMap<String, usize>>,
}

impl Receiver {
    async fn start() -> (Arc<Self>, SocketAddr) {
        let receiver = Arc::<Self>::default();
        let taking = receiver.clone();
        let take = move |Json(body): Json<Value>| async move {
            let id = body["id"].as_str().expect("a webhook has an id").to_owned();
            *taking.received.lock().expect("not poisoned").entry(id).or_default() += 1;
            StatusCode::OK
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/{user}", post(take))).await });
        (receiver, address)
    }

    fn received(&self) -> BTreeMap<String, usize> {
        self.received.lock().expect("not poisoned").clone()
    }
}

/// Each to an endpoint and a user of its own, so that all partitions have some.
fn webhook(spot: &Spot, to: SocketAddr, number: usize) -> Value {
    json!({
        "user_id": format!("{}-user{number}", spot.name),
        "to": {"url": format!("http://{to}/{number}")},
        "content": {"title": "t", "body": "b"},
        "channels": ["webhook"],
    })
}

async fn state(node: &Process, id: &str) -> Option<String> {
    let (status, answer) = node.try_call(Method::GET, &format!("/v1/notifications/{id}"), None).await.ok()?;
    (status == StatusCode::OK).then(|| answer["tasks"][0]["status"].as_str().unwrap_or_default().to_owned())
}

async fn total(node: &Process) -> Value {
    let books = node.call(Method::GET, "/v1/accounting", None).await;
    let total = &books["total"];
    let columns = ["in", "sent", "cancelled", "open"].map(|column| total[column].clone());
    json!([columns, books["unaccounted"]])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_and_the_books_may_be_asked_of_any_node_whoever_has_the_shard() {
    let Some((spot, [first, second])) = two_nodes().await else { return };
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let mut ids = Vec::new();
    for number in 0..20 {
        let mut request = webhook(&spot, nowhere, number);
        request["delay_seconds"] = 3600.into();
        let accepted = first.call(Method::POST, "/v1/notifications", Some(&request)).await;
        ids.push(accepted["id"].as_str().expect("an id").to_owned());
    }
    for id in &ids {
        eventually("it is scheduled", async || (state(&first, id).await? == "scheduled").then_some(())).await;
    }
    for node in [&first, &second] {
        eventually("all is open", async || (total(node).await == json!([[20, 0, 0, 20], 0])).then_some(())).await;
    }
    for (id, node) in ids.iter().zip([&first, &second].into_iter().cycle()) {
        let cancelled = node.call(Method::DELETE, &format!("/v1/notifications/{id}"), None).await;
        assert_eq!(cancelled["status"], "cancelled", "{cancelled}");
    }
    for node in [&first, &second] {
        eventually("all is cancelled", async || (total(node).await == json!([[20, 0, 20, 0], 0])).then_some(())).await;
    }
}

/// Topics are asked of either node, whoever has their homes.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_on_one_node_is_received_on_the_other_and_a_group_goes_on_when_one_dies() {
    let Some((_, [first, second])) = two_nodes().await else { return };
    let topics: Vec<String> = (0..8).map(|number| format!("orders-{number}")).collect();
    for topic in &topics {
        asked(&first, Method::POST, "/v1/topics", &json!({"name": topic})).await;
    }
    for topic in &topics {
        let messages = format!("/v1/topics/{topic}/groups/billing/messages");
        let long_poll = received(&second, format!("{messages}?wait_seconds=20"));
        let publishing = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            asked(
                &first,
                Method::POST,
                &format!("/v1/topics/{topic}/messages"),
                &json!({"messages": [{"data": 1}, {"data": 2}]}),
            )
            .await
        };
        let (received, published) = tokio::join!(long_poll, publishing);
        let ids = |answer: &Value| {
            answer["messages"].as_array().expect("a list").iter().map(|one| one["id"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&received), ids(&published), "{topic}");
        let settled =
            asked(&second, Method::POST, &format!("/v1/topics/{topic}/groups/billing/ack"), &json!({"numbers": [0]}))
                .await;
        assert_eq!(settled["settled"], 1, "{settled}");
    }
    first.kill();
    for topic in &topics {
        let again = received(
            &second,
            format!("/v1/topics/{topic}/groups/billing/messages?wait_seconds=5&visibility_seconds=60"),
        )
        .await;
        assert_eq!(again["messages"][0]["number"], 1, "what was acknowledged does not come again: {again}");
    }
}

/// Asks again while the node says that it cannot answer at the moment.
async fn asked(node: &Process, method: Method, path: &str, body: &Value) -> Value {
    eventually(path, async || {
        let (status, answer) = node.try_call(method.clone(), path, Some(body)).await.expect("the node answers");
        assert!(status.is_success() || status == StatusCode::SERVICE_UNAVAILABLE, "{path}: {status} {answer}");
        status.is_success().then_some(answer)
    })
    .await
}

/// The same, until the answer has messages.
async fn received(node: &Process, path: String) -> Value {
    eventually(&path, async || {
        let (status, answer) = node.try_call(Method::GET, &path, None).await.expect("the node answers");
        assert!(status.is_success() || status == StatusCode::SERVICE_UNAVAILABLE, "{path}: {status} {answer}");
        answer["messages"].as_array().is_some_and(|messages| !messages.is_empty()).then_some(answer)
    })
    .await
}

/// Whether a campaign's home is this node's: each home has a series of its own.
async fn works_on_a_campaign(node: &Process) -> bool {
    let page = node.call(Method::GET, "/metrics", None).await;
    let mut lines = page.as_str().expect("text").lines();
    lines.any(|line| line.starts_with("fanfare_open_campaigns{") && line.ends_with(" 1"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_whose_home_dies_in_the_middle_is_ended_by_the_other_node_with_one_message_for_each() {
    const MEMBERS: usize = 300;
    let Some((_, nodes)) = two_nodes().await else { return };
    let (receiver, address) = Receiver::start().await;
    let lines: String = (0..MEMBERS).map(|number| format!("{{\"url\":\"http://{address}/{number}\"}}\n")).collect();
    let list = nodes[0].upload("/v1/lists", lines).await;
    let campaign = json!({
        "audience": {"list": list["id"]}, "content": {"title": "t", "body": "b"}, "channels": ["webhook"], "rate_per_second": 60,
    });
    let begun = nodes[1].call(Method::POST, "/v1/campaigns", Some(&campaign)).await;
    let path = format!("/v1/campaigns/{}", begun["id"].as_str().expect("an id"));
    eventually("a third is sent", async || (receiver.received().len() >= MEMBERS / 3).then_some(())).await;
    let [first, second] = &nodes;
    let (dying, surviving) = match works_on_a_campaign(first).await {
        true => (first, second),
        false => (second, first),
    };
    dying.kill();
    assert!(receiver.received().len() < MEMBERS, "it dies in the middle");
    let progress = eventually("it is over", async || {
        let progress = surviving.call(Method::GET, &path, None).await;
        (progress["status"] == "completed").then_some(progress)
    })
    .await;
    assert_eq!((&progress["succeeded"], &progress["handed_on"]), (&json!(MEMBERS), &json!(MEMBERS)), "{progress}");
    // Each has one notification, which may have come twice where nobody knows whether it came.
    let received = receiver.received();
    assert_eq!(received.len(), MEMBERS);
    let twice = received.values().filter(|times| **times > 1).count();
    assert!(twice <= 64, "{twice} were sent again: more than the dead node can have had in hand");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_under_load_loses_nothing_that_was_accepted() {
    let Some((spot, [first, second])) = two_nodes().await else { return };
    let (receiver, address) = Receiver::start().await;
    let mut accepted = Vec::new();
    // Many at a time, so that much is under way when the node dies, which is in the middle of a wave.
    for wave in 0..WAVES {
        let posts = (wave * WAVE..(wave + 1) * WAVE).map(async |number| {
            let is_killer = wave == WAVES / 2 && number % WAVE == WAVE / 2;
            let node = if number % 2 == 0 || wave > WAVES / 2 { &first } else { &second };
            let answer = node.try_call(Method::POST, "/v1/notifications", Some(&webhook(&spot, address, number))).await;
            if is_killer {
                second.kill();
            }
            (std::ptr::eq(node, &first), answer)
        });
        for (is_survivor, answer) in join_all(posts).await {
            match answer {
                Ok((StatusCode::ACCEPTED, answer)) => accepted.push(answer["id"].as_str().expect("an id").to_owned()),
                // What is under way when the node dies may be accepted or not: only what was answered counts.
                Err(_) if !is_survivor && wave == WAVES / 2 => {}
                other => panic!("a node that lives answers: {other:?}"),
            }
        }
    }
    eventually("the survivor has every shard", async || (first.shards().await == SHARDS).then_some(())).await;
    for id in &accepted {
        eventually("it is sent", async || (state(&first, id).await? == "sent").then_some(())).await;
    }
    let received = receiver.received();
    let lost: Vec<_> = accepted.iter().filter(|id| !received.contains_key(*id)).collect();
    assert!(lost.is_empty(), "never received: {lost:?}; a lease holds for {LEASE:?}");
    let twice = received.values().filter(|times| **times > 1).count();
    assert!(twice <= 64, "{twice} were sent again: more than the dead node can have had in hand");
    // What the dead node wrote and had no time to count is counted by the survivor.
    eprintln!("recounts: {}", first.log().matches("counted what was written").count());
    eventually("the books balance, and all of it is sent", async || {
        let total = total(&first).await;
        let count = |column: usize| total[0][column].as_u64().expect("a number") as usize;
        let is_all = count(0) >= accepted.len() && count(1) == count(0);
        (is_all && total[1] == 0).then_some(())
    })
    .await;
}

/// Conversions of every message are told twice, to either node, before and after one of them dies: half of what is counted was begun by a
/// home that moved.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_is_exact_though_the_node_that_counts_dies() {
    const MESSAGES: usize = 120;
    let Some((spot, [first, second])) = two_nodes().await else { return };
    let (_, address) = Receiver::start().await;
    let messages = (0..MESSAGES).map(async |number| {
        let node = if number % 2 == 0 { &first } else { &second };
        let answer = asked(node, Method::POST, "/v1/notifications", &webhook(&spot, address, number)).await;
        answer["id"].as_str().expect("an id").to_owned()
    });
    let messages = join_all(messages).await;
    for id in &messages {
        eventually("it is sent", async || (state(&first, id).await? == "sent").then_some(())).await;
    }
    let converted = async |node: &Process, times: std::ops::Range<usize>| {
        join_all(messages.iter().flat_map(|id| times.clone().map(move |time| (id, time))).map(async |(id, time)| {
            let told = json!({"notification_id": id, "name": "purchase", "id": format!("{id}-{time}")});
            asked(node, Method::POST, "/v1/conversions", &told).await;
        }))
        .await;
    };
    let counted = async |node: &Process| {
        let (status, answer) = node.try_call(Method::GET, "/v1/analytics?group_by=channel", None).await.ok()?;
        (status == StatusCode::OK).then(|| answer["totals"].clone())
    };
    converted(&first, 0..2).await;
    converted(&second, 1..3).await;
    eventually("some of it is counted", async || (counted(&first).await?["sent"].as_u64()? > 0).then_some(())).await;
    second.kill();
    converted(&first, 0..4).await;
    let expected = json!([MESSAGES, MESSAGES, 4 * MESSAGES]);
    let total = eventually("all of it is counted", async || {
        let total = counted(&first).await?;
        let total = json!([total["sent"], total["converted"], total["converted_total"]]);
        (total[2].as_u64()? >= 4 * MESSAGES as u64).then_some(total)
    })
    .await;
    assert_eq!(total, expected);
}
