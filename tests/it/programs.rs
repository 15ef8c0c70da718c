//! Topics of programs over the real store: what is delayed and how far a group is survive a restart of the engine.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{Place, World};

const MESSAGES: &str = "/v1/topics/orders/messages";
const BILLING: &str = "/v1/topics/orders/groups/billing";

async fn receive(world: &World) -> Vec<Value> {
    let answer = world.ask(Method::GET, &format!("{BILLING}/messages?max=100"), None).await;
    answer["messages"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_delayed_message_and_the_position_of_a_group_survive_a_restart() {
    let world = World::start(Place::embedded(), Vec::new()).await;
    world.ask(Method::POST, "/v1/topics", Some(&json!({"name": "orders"}))).await;
    let all = json!({"messages": (0..5).map(|order| json!({"data": {"order": order}})).collect::<Vec<_>>()});
    world.ask(Method::POST, MESSAGES, Some(&all)).await;
    let delayed = json!({"data": "later", "delay_seconds": 3600});
    let later = world.ask(Method::POST, MESSAGES, Some(&delayed)).await;
    let cancelled = world.ask(Method::POST, MESSAGES, Some(&delayed)).await;
    assert_eq!(receive(&world).await.len(), 5);
    world.ask(Method::POST, &format!("{BILLING}/ack"), Some(&json!({"numbers": [0, 2]}))).await;

    let world = world.restart_after(Duration::from_secs(600)).await;
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
    let came = world.until(async || Some(receive(&world).await).filter(|came| !came.is_empty())).await;
    let expected = [(later["id"].clone(), json!("later"), json!(5))];
    let came: Vec<_> = came.iter().map(|one| (one["id"].clone(), one["data"].clone(), one["number"].clone())).collect();
    assert_eq!(came, expected);
    let (status, _) = world.call(Method::DELETE, &format!("{MESSAGES}/{id}"), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let id = later["id"].as_str().expect("an id");
    assert_eq!(world.ask(Method::DELETE, &format!("{MESSAGES}/{id}"), None).await["status"], "too_late");
}
