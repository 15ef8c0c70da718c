//! Open windows and held messages outlive the process that had them (`kill -9`), whoever goes on with them: the same place started
//! again or, on services, another process that takes the shards over.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::routing::post;
use axum::{Json, Router};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::{Place, Process};

/// Each on a keyspace of its own: brakes are of a tenant, and all processes have the same one.
macro_rules! on_both_alone {
    ($($name:ident)*) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(crate::world::Place::embedded()).await;
            })*
        }

        mod on_services {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                if let Some(place) = crate::world::Place::on_services_alone().await {
                    super::$name(place).await;
                }
            })*
        }
    };
}

on_both_alone! {
    windows_that_were_open_at_a_kill_end_with_everybody_in_exactly_one_message
    what_was_held_at_a_kill_is_sent_once_after_a_resume
}

/// The longest that anything may take here: a window, and a lease of a node that died.
const PATIENCE: Duration = Duration::from_secs(90);

async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// Takes webhooks, and keeps what they say: by their tasks, as often as they came.
#[derive(Default)]
struct Receiver {
    received: Mutex<BTreeMap<String, Vec<Value>>>,
}

impl Receiver {
    async fn start() -> (Arc<Self>, SocketAddr) {
        let receiver = Arc::<Self>::default();
        let taking = receiver.clone();
        let take = async move |Json(body): Json<Value>| {
            let task = body["task_id"].as_str().expect("a webhook has a task").to_owned();
            taking.received.lock().expect("not poisoned").entry(task).or_default().push(body);
            StatusCode::OK
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/hook", post(take))).await });
        (receiver, address)
    }

    fn received(&self) -> BTreeMap<String, Vec<Value>> {
        self.received.lock().expect("not poisoned").clone()
    }

    /// The numbers of the requests that were told of, each message once. What comes again must say the same.
    fn told(&self) -> Vec<BTreeSet<u64>> {
        let told = |times: &Vec<Value>| {
            let text = times[0]["body"].as_str().expect("a text");
            assert!(times.iter().all(|one| one["body"] == text), "it said two things: {times:?}");
            let (count, numbers) = text.split_once(": ").expect("a count and numbers");
            let numbers: Vec<u64> = numbers.split_whitespace().map(|word| word.parse().expect("a number")).collect();
            let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
            assert_eq!((distinct.len().to_string().as_str(), distinct.len()), (count, numbers.len()), "{text}");
            distinct
        };
        self.received().values().map(told).collect()
    }
}

/// What became of requests: those of the accepted with their ids, and those of which nobody knows.
#[derive(Default)]
struct Posted {
    accepted: BTreeMap<u64, String>,
    unknown: BTreeSet<u64>,
}

impl Posted {
    /// Posts these at once. `kills`: the node is killed in the middle of it.
    async fn post(&mut self, node: &Process, numbers: std::ops::Range<u64>, kills: bool, body: impl Fn(u64) -> Value) {
        let middle = numbers.start.midpoint(numbers.end);
        let posts = numbers.map(async |number| {
            let answer = node.try_call(Method::POST, "/v1/notifications", Some(&body(number))).await;
            if kills && number == middle {
                node.kill();
            }
            (number, answer)
        });
        for (number, answer) in join_all(posts).await {
            match answer {
                Ok((StatusCode::ACCEPTED, answer)) => {
                    self.accepted.insert(number, answer["id"].as_str().expect("an id").to_owned());
                }
                Err(_) if kills => drop(self.unknown.insert(number)),
                other => panic!("a node that lives answers: {other:?}"),
            }
        }
    }
}

async fn status(node: &Process, id: &str) -> Option<String> {
    let (status, answer) = node.try_call(Method::GET, &format!("/v1/notifications/{id}"), None).await.ok()?;
    (status == StatusCode::OK).then(|| answer["status"].as_str().unwrap_or_default().to_owned())
}

/// Waits until everything is sent or merged, and the books say so.
async fn until_books_balance(node: &Process, posted: &Posted) {
    until("the books balance, and nothing is open", async || {
        let (code, books) = node.try_call(Method::GET, "/v1/accounting", None).await.ok()?;
        let count = |column: &str| books["total"][column].as_i64().unwrap_or(-1);
        let is_all = count("in") >= posted.accepted.len() as i64 && count("in") == count("sent") + count("merged");
        (code == StatusCode::OK && is_all && books["unaccounted"] == 0).then_some(())
    })
    .await;
}

async fn windows_that_were_open_at_a_kill_end_with_everybody_in_exactly_one_message(place: Place) {
    const USERS: u64 = 4;
    // Long enough for another process to have the shards before it ends.
    let window_seconds = if place.is_embedded() { 10 } else { 50 };
    let (receiver, address) = Receiver::start().await;
    let like = |number: u64| {
        json!({
            "user_id": place.own(&format!("user{}", number % USERS)),
            "category": "transactional",
            "channels": ["webhook"],
            "to": {"url": format!("http://{address}/hook")},
            "content": {"title": "likes", "body": "{{count}}: {{#each items}}{{n}} {{/each}}"},
            "data": {"n": number},
            "aggregate": {"key": "post", "actor": format!("Actor {number}"), "window_seconds": window_seconds},
        })
    };
    let first = Process::start_with_hooks(&place).await;
    let mut posted = Posted::default();
    posted.post(&first, 0..12, false, like).await;
    posted.post(&first, 12..20, true, like).await;
    drop(first);
    assert!(receiver.received().is_empty(), "a window ended before the kill");
    let second = Process::start_with_hooks(&place).await;
    posted.post(&second, 20..32, false, like).await;
    let accepted: BTreeSet<u64> = posted.accepted.keys().copied().collect();
    until("everybody is told of", async || {
        let told: BTreeSet<u64> = receiver.told().into_iter().flatten().collect();
        accepted.is_subset(&told).then_some(())
    })
    .await;
    until_books_balance(&second, &posted).await;
    let told = receiver.told();
    let all: Vec<u64> = told.iter().flatten().copied().collect();
    let distinct: BTreeSet<u64> = all.iter().copied().collect();
    assert_eq!(all.len(), distinct.len(), "told of by two messages: {told:?}");
    let unasked: Vec<&u64> = distinct.difference(&accepted).filter(|number| !posted.unknown.contains(number)).collect();
    assert!(unasked.is_empty(), "{unasked:?}");
    // Of the groups that were open at the kill, some were joined after it: they were not begun anew.
    assert!(told.iter().any(|one| one.first() < Some(&12) && one.last() >= Some(&20)), "{told:?}");
    for times in receiver.received().values() {
        assert_eq!(times.len(), 1, "nothing was under way at the kill: {times:?}");
    }
}

async fn what_was_held_at_a_kill_is_sent_once_after_a_resume(place: Place) {
    let (receiver, address) = Receiver::start().await;
    let request = |number: u64| {
        json!({
            "user_id": place.own(&format!("user{number}")),
            // It comes at any hour.
            "category": "security",
            "channels": ["webhook"],
            "to": {"url": format!("http://{address}/hook")},
            "content": {"title": "title", "body": format!("1: {number}")},
        })
    };
    let brake = |action: &str| json!({"action": action, "scope": {"category": "security"}});
    let first = Process::start_with_hooks(&place).await;
    first.call(Method::POST, "/v1/brakes", Some(&brake("pause"))).await;
    let mut posted = Posted::default();
    posted.post(&first, 0..10, false, request).await;
    for id in posted.accepted.values() {
        until("it is held", async || (status(&first, id).await? == "scheduled").then_some(())).await;
    }
    posted.post(&first, 10..20, true, request).await;
    drop(first);
    let second = Process::start_with_hooks(&place).await;
    posted.post(&second, 20..25, false, request).await;
    for id in posted.accepted.values() {
        until("it is held still", async || (status(&second, id).await? == "scheduled").then_some(())).await;
    }
    assert!(receiver.received().is_empty(), "it is paused: {:?}", receiver.received());
    second.call(Method::POST, "/v1/brakes", Some(&brake("resume"))).await;
    for id in posted.accepted.values() {
        until("it is sent", async || (status(&second, id).await? == "sent").then_some(())).await;
    }
    until_books_balance(&second, &posted).await;
    let told: BTreeSet<u64> = receiver.told().into_iter().flatten().collect();
    let is_known = |number: &u64| posted.accepted.contains_key(number) || posted.unknown.contains(number);
    assert!(posted.accepted.keys().all(|number| told.contains(number)) && told.iter().all(is_known), "{told:?}");
    assert!(receiver.received().values().all(|times| times.len() == 1), "{:?}", receiver.received());
}
