//! Topics for programs, through the API.

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

use super::world::{Answer, World, request, with_retry_key};
use crate::config::Http;
use crate::intake::fakes::FakeLog;

const MESSAGES: &str = "/v1/topics/orders/messages";
const BILLING: &str = "/v1/topics/orders/groups/billing";

async fn with_orders() -> World {
    let world = World::new();
    let created = world.post("/v1/topics", json!({"name": "orders"}).to_string()).await;
    assert_eq!((created.status.as_u16(), created.header("location")), (201, "/v1/topics/orders"), "{}", created.text);
    world
}

async fn publish(world: &World, body: Value) -> Answer {
    world.post(MESSAGES, body.to_string()).await
}

async fn receive(world: &World, path: &str) -> Value {
    world.get(path).await.json()["messages"].clone()
}

#[tokio::test]
async fn a_topic_is_created_listed_shown_and_deleted() {
    let world = with_orders().await;
    world.post("/v1/topics", json!({"name": "orders"}).to_string()).await.assert_problem(409);
    let listed = world.get("/v1/topics").await.json();
    assert_eq!((&listed["data"][0]["name"], &listed["data"][0]["messages_max"]), (&json!("orders"), &json!(1_000_000)));
    let shown = world.get("/v1/topics/orders").await.json();
    assert_eq!((&shown["messages"], &shown["health"]), (&json!(0), &json!({"status": "ok", "reasons": []})));
    let theirs = world.send("GET", "/v1/topics/orders", "other", Body::empty()).await;
    theirs.assert_problem(404);
    let deleted = world.send("DELETE", "/v1/topics/orders", "all", Body::empty()).await;
    assert_eq!(deleted.json(), json!({"name": "orders", "status": "deleted"}));
    assert_eq!(world.get("/v1/topics").await.json()["data"], json!([]));
}

#[tokio::test]
async fn what_asks_of_a_topic_that_is_not_there_is_answered_404_and_a_name_that_cannot_be_400() {
    let world = World::new();
    world.post("/v1/topics", json!({"name": "Not A Name"}).to_string()).await.assert_field("/name", "a-z");
    world.post("/v1/topics", json!({"name": "x".repeat(101)}).to_string()).await.assert_field("/name", "1 to 100");
    let short = json!({"name": "orders", "retention_seconds": 1});
    world.post("/v1/topics", short.to_string()).await.assert_field("/retention_seconds", "60");
    world
        .post("/v1/topics", json!({"name": "orders", "kafka": true}).to_string())
        .await
        .assert_field("/kafka", "not Kafka");
    world.get("/v1/topics/Not%20A%20Name").await.assert_field("/name", "a-z");
    for (method, path, body) in [
        ("GET", "/v1/topics/orders".to_owned(), None),
        ("DELETE", "/v1/topics/orders".to_owned(), None),
        ("POST", MESSAGES.to_owned(), Some(json!({"data": 1}))),
        ("DELETE", format!("{MESSAGES}/msg_{}", "0".repeat(32)), None),
        ("GET", format!("{BILLING}/messages?wait_seconds=30"), None),
        ("GET", format!("{BILLING}/stream"), None),
        ("POST", format!("{BILLING}/ack"), Some(json!({"numbers": [0]}))),
        ("DELETE", BILLING.to_owned(), None),
    ] {
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        world.send(method, &path, "all", body).await.assert_problem(404);
    }
}

#[tokio::test]
async fn one_message_of_a_list_that_is_wrong_is_named_and_none_is_published() {
    let world = with_orders().await;
    for (second, pointer) in [
        (json!({}), "/messages/1/data"),
        (json!({"data": 1, "deliver_at": "tomorrow"}), "/messages/1/deliver_at"),
        (json!({"data": 1, "deliver_at": "2029-01-01T00:00:00Z"}), "/messages/1/deliver_at"),
        (json!({"data": 1, "key": "x".repeat(256)}), "/messages/1/key"),
        (json!({"data": "x".repeat(256 << 10)}), "/messages/1/data"),
    ] {
        let body = json!({"messages": [{"data": 1}, second]});
        publish(&world, body).await.assert_field(pointer, "");
    }
    publish(&world, json!({"messages": []})).await.assert_field("/messages", "1 to 1000");
    publish(&world, json!({"messages": vec![json!({"data": 1}); 1001]})).await.assert_field("/messages", "1 to 1000");
    publish(&world, json!({"data": 1, "messages": [{"data": 1}]})).await.assert_field("/messages", "stands alone");
    publish(&world, json!({"data": 1, "delay_seconds": u64::MAX})).await.assert_field("/deliver_at", "366 days");
    publish(&world, json!({"date": 1})).await.assert_problem(400);
    assert_eq!(world.get("/v1/topics/orders").await.json()["messages"], 0);
}

#[tokio::test]
async fn what_is_acknowledged_is_settled_and_what_the_group_does_not_have_is_named() {
    let world = with_orders().await;
    let published = publish(&world, json!({"messages": [{"data": {"order": 1}}, {"data": "two"}]})).await;
    assert_eq!(published.status, 202, "{}", published.text);
    let ids: Vec<Value> = (0..2).map(|index| published.json()["messages"][index]["id"].clone()).collect();
    let received = receive(&world, &format!("{BILLING}/messages?max=1")).await;
    assert_eq!((&received[0]["id"], &received[0]["data"]), (&ids[0], &json!({"order": 1})));
    assert_eq!(received[0]["deliveries"], 1);
    let never = format!("msg_{}", "0".repeat(32));
    let body = json!({"ids": [ids[0], never], "numbers": [77]});
    let settled = world.post(&format!("{BILLING}/ack"), body.to_string()).await.json();
    assert_eq!(settled, json!({"settled": 1, "unknown": ["77", never]}));
    let settled = world.post(&format!("{BILLING}/nack"), json!({"ids": [ids[0]]}).to_string()).await.json();
    assert_eq!(settled, json!({"settled": 0, "unknown": [ids[0]]}), "it has acknowledged it");
    world.post(&format!("{BILLING}/ack"), json!({"ids": ["order-1"]}).to_string()).await.assert_field("/ids/0", "id");
    world.post(&format!("{BILLING}/extend"), "{}").await.assert_field("/visibility_seconds", "required");
    world.post("/v1/topics/orders/groups/nobody/ack", json!({"numbers": [0]}).to_string()).await.assert_problem(404);
    assert_eq!(receive(&world, &format!("{BILLING}/messages")).await[0]["data"], "two");
    assert_eq!(world.send("DELETE", BILLING, "all", Body::empty()).await.status, 200);
    let anew = receive(&world, &format!("{BILLING}/messages")).await;
    assert_eq!(anew.as_array().map(Vec::len), Some(2), "a group that was deleted begins anew");
}

#[tokio::test]
async fn a_delayed_message_is_taken_back_once_and_it_is_said_again() {
    let world = with_orders().await;
    let delayed = publish(&world, json!({"data": 1, "delay_seconds": 60})).await.json();
    assert_eq!((&delayed["number"], &delayed["status"]), (&Value::Null, &json!("delayed")));
    let place = |id: &Value| format!("{MESSAGES}/{}", id.as_str().expect("an id"));
    for _ in 0..2 {
        let answer = world.send("DELETE", &place(&delayed["id"]), "all", Body::empty()).await;
        assert_eq!(answer.json()["status"], "cancelled");
    }
    let now = publish(&world, json!({"data": 1})).await.json();
    let answer = world.send("DELETE", &place(&now["id"]), "all", Body::empty()).await;
    assert_eq!(answer.json()["status"], "too_late");
    world.send("DELETE", &format!("{MESSAGES}/order-1"), "all", Body::empty()).await.assert_problem(404);
}

#[tokio::test]
async fn a_call_that_is_repeated_under_its_key_publishes_once() {
    let world = with_orders().await;
    let call = |data: u64| with_retry_key(request("POST", MESSAGES, "all", json!({"data": data}).to_string()), "k1");
    let first = world.call(call(1)).await.json();
    assert_eq!(world.call(call(1)).await.json(), first);
    world.call(call(2)).await.assert_problem(409);
    assert_eq!(world.get("/v1/topics/orders").await.json()["messages"], 1);
}

#[tokio::test]
async fn a_reader_asks_within_bounds_and_has_a_place_to_wait_in() {
    let world = World::with(FakeLog::open(), |http: &mut Http| http.max_in_flight = 4);
    world.post("/v1/topics", json!({"name": "orders"}).to_string()).await;
    for (asked, pointer) in
        [("max=0", "/max"), ("wait_seconds=31", "/wait_seconds"), ("visibility_seconds=0", "/visibility_seconds")]
    {
        world.get(&format!("{BILLING}/messages?{asked}")).await.assert_field(pointer, "must be");
    }
    world.get(&format!("{BILLING}/messages?from=middle")).await.assert_problem(400);
    let path = format!("{BILLING}/messages?wait_seconds=30");
    let mut waiting = Box::pin(world.get(&path));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    world.get(&path).await.assert_problem(503);
    assert_eq!(receive(&world, &format!("{BILLING}/messages")).await, json!([]), "who does not wait needs none");
    publish(&world, json!({"data": 1})).await;
    assert_eq!(waiting.await.json()["messages"][0]["data"], 1);
}

#[tokio::test]
async fn a_key_does_with_topics_what_its_scopes_allow() {
    let world = with_orders().await;
    for (method, path, key) in [
        (Method::POST, "/v1/topics", "sender"),
        (Method::DELETE, "/v1/topics/orders", "reader"),
        (Method::POST, MESSAGES, "reader"),
        (Method::GET, "/v1/topics/orders/groups/billing/messages", "sender"),
    ] {
        world.send(method.as_str(), path, key, "{}").await.assert_problem(403);
    }
}
