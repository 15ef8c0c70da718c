//! Topics of programs and schedules over the real store: what is delayed, how far a group is and what was missed survive a restart of
//! the engine.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::topics::{Kept, read_group, topic_of};
use crate::world::{Place, World, on_both_in_turn};

const MESSAGES: &str = "/v1/topics/orders/messages";
const BILLING: &str = "/v1/topics/orders/groups/billing";

on_both_in_turn! {
    a_delayed_message_and_the_position_of_a_group_survive_a_restart
    what_a_schedule_missed_in_an_hour_is_made_up_for_once
    a_topic_is_in_kafka_as_well_where_the_log_is_and_nowhere_else
}

async fn receive(world: &World) -> Vec<Value> {
    let answer = world.ask(Method::GET, &format!("{BILLING}/messages?max=100"), None).await;
    answer["messages"].as_array().expect("a list").clone()
}

/// Asks again while the home of what is asked for is between two owners.
async fn until_taken(world: &World, method: Method, path: &str, body: &Value) -> Value {
    world
        .until(async || {
            let (status, answer) = world.call(method.clone(), path, Some(body)).await;
            (status != StatusCode::SERVICE_UNAVAILABLE).then_some((status, answer))
        })
        .await
        .1
}

async fn a_delayed_message_and_the_position_of_a_group_survive_a_restart(place: Place) {
    let world = World::start(place, Vec::new()).await;
    until_taken(&world, Method::POST, "/v1/topics", &json!({"name": "orders"})).await;
    let all = json!({"messages": (0..5).map(|order| json!({"data": {"order": order}})).collect::<Vec<_>>()});
    world.ask(Method::POST, MESSAGES, Some(&all)).await;
    let delayed = json!({"data": "later", "delay_seconds": 3600});
    let later = world.ask(Method::POST, MESSAGES, Some(&delayed)).await;
    let cancelled = world.ask(Method::POST, MESSAGES, Some(&delayed)).await;
    assert_eq!(receive(&world).await.len(), 5);
    world.ask(Method::POST, &format!("{BILLING}/ack"), Some(&json!({"numbers": [0, 2]}))).await;

    let world = world.restart_after(Duration::from_secs(600)).await;
    until_there(&world).await;
    let again: Vec<Value> = receive(&world).await.into_iter().map(|message| message["number"].clone()).collect();
    assert_eq!(again, [1, 3, 4], "what was acknowledged does not come again, and the rest does");
    world.ask(Method::POST, &format!("{BILLING}/ack"), Some(&json!({"numbers": [1, 3, 4]}))).await;
    let id = cancelled["id"].as_str().expect("an id");
    let answer = world.ask(Method::DELETE, &format!("{MESSAGES}/{id}"), None).await;
    assert_eq!(answer["status"], "cancelled");
    let state = world.ask(Method::GET, "/v1/topics/orders", None).await;
    assert_eq!((&state["delayed"], &state["groups"][0]["lag"]), (&json!(1), &json!(0)), "{state}");

    // Its time comes while no engine is there.
    let world = world.restart_after(Duration::from_secs(3600)).await;
    until_there(&world).await;
    let came = world.until(async || Some(receive(&world).await).filter(|came| !came.is_empty())).await;
    let expected = [(later["id"].clone(), json!("later"), json!(5))];
    let came: Vec<_> = came.iter().map(|one| (one["id"].clone(), one["data"].clone(), one["number"].clone())).collect();
    assert_eq!(came, expected);
    let (status, _) = world.call(Method::DELETE, &format!("{MESSAGES}/{id}"), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let id = later["id"].as_str().expect("an id");
    assert_eq!(world.ask(Method::DELETE, &format!("{MESSAGES}/{id}"), None).await["status"], "too_late");
    world.stop().await;
}

/// Waits until this node has the topic's home again.
async fn until_there(world: &World) {
    let shown = async || world.call(Method::GET, "/v1/topics/orders", None).await.0 == StatusCode::OK;
    world.until(async || shown().await.then_some(())).await;
}

async fn what_a_schedule_missed_in_an_hour_is_made_up_for_once(place: Place) {
    let world = World::start(place, Vec::new()).await;
    let schedule = json!({
        "name": "weekly-news", "cron": "*/15 * * * *",
        "campaign": {"audience": {"segment": {"field": "plan", "is": "none has it"}}, "content": {"title": "t", "body": "b"}},
    });
    world.ask(Method::POST, "/v1/schedules", Some(&schedule)).await;
    let runs = async |world: &World| {
        let page = world.ask(Method::GET, "/v1/schedules/weekly-news/runs", None).await;
        page["data"].as_array().expect("a list").clone()
    };
    let over = async |world: &World, count: usize| {
        world
            .until(async || {
                world.advance(Duration::from_millis(500)).await;
                let runs = runs(world).await;
                let is_over = |run: &Value| run["status"] == "begun" && run["totals"]["open"] == 0;
                (runs.len() == count && runs.iter().all(is_over)).then_some(runs)
            })
            .await
    };
    world.advance(Duration::from_secs(15 * 60)).await;
    assert_eq!(over(&world, 1).await[0]["kind"], "due");
    let world = world.restart_after(Duration::from_secs(72 * 60)).await;
    let runs = over(&world, 2).await;
    assert_eq!((&runs[0]["kind"], &runs[0]["missed"]), (&json!("caught_up"), &json!(3)), "{runs:?}");
    world.stop().await;
}

/// Read as programs do that know Kafka and nothing of us.
async fn a_topic_is_in_kafka_as_well_where_the_log_is_and_nowhere_else(place: Place) {
    let world = World::start(place.clone(), Vec::new()).await;
    let settings = json!({"name": "in.kafka_too", "kafka": true});
    let Place::Services(spot) = &place else {
        let (status, answer) = world.call(Method::POST, "/v1/topics", Some(&settings)).await;
        assert_eq!((status, &answer["errors"][0]["pointer"]), (StatusCode::BAD_REQUEST, &json!("/kafka")), "{answer}");
        return world.stop().await;
    };
    let created = until_taken(&world, Method::POST, "/v1/topics", &settings).await;
    let topic = topic_of(spot, "topics.default.in.kafka_too");
    assert_eq!(created["kafka_topic"], json!({"name": topic, "lag": 0}), "{created}");
    let messages = "/v1/topics/in.kafka_too/messages";
    let publish = async |world: &World, from: u32, to: u32| {
        let all: Vec<Value> = (from..to).map(|order| json!({"data": {"order": order}, "key": "a"})).collect();
        world.ask(Method::POST, messages, Some(&json!({"messages": all}))).await
    };
    let published = publish(&world, 0, 700).await;
    let group = format!("{}-billing", spot.name);
    let first = read_group(spot, &topic, &group, 700).await;
    let orders: Vec<Value> = first.iter().map(|kept| kept.body["order"].clone()).collect();
    assert_eq!(orders, (0..700).map(Value::from).collect::<Vec<_>>());
    let Kept { key, headers, .. } = &first[0];
    assert_eq!(
        (key.as_str(), &headers["id"], headers["number"].as_str(), headers["content-type"].as_str()),
        ("a", &published["messages"][0]["id"].as_str().expect("an id").to_owned(), "0", "application/json")
    );
    // Another node goes on where this one was, and the group too: it gets nothing a second time.
    let world = world.restart().await;
    let there = async || world.call(Method::GET, "/v1/topics/in.kafka_too", None).await.0 == StatusCode::OK;
    world.until(async || there().await.then_some(())).await;
    publish(&world, 700, 710).await;
    let second = read_group(spot, &topic, &group, 10).await;
    assert_eq!(
        second.iter().map(|kept| kept.body["order"].clone()).collect::<Vec<_>>(),
        (700..710).map(Value::from).collect::<Vec<_>>()
    );
    let lag = async || world.ask(Method::GET, "/v1/topics/in.kafka_too", None).await["kafka_topic"]["lag"].clone();
    world.until(async || (lag().await == 0).then_some(())).await;
    // What differs in `.` and `_` only is one topic to Kafka.
    let (status, answer) =
        world.call(Method::POST, "/v1/topics", Some(&json!({"name": "in.kafka.too", "kafka": true}))).await;
    assert_eq!((status, &answer["errors"][0]["pointer"]), (StatusCode::BAD_REQUEST, &json!("/kafka")), "{answer}");
    world.stop().await;
}
