//! What happened, through the API.

use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::world::{World, position, request, with_retry_key};
use crate::domain::{NotificationId, Source};

fn event(id: &str, data: Value) -> Value {
    json!({"type": "user.registered", "id": id, "user_id": "alice", "data": data})
}

fn post(body: &Value) -> Request<Body> {
    request("POST", "/v1/events", "sender", body.to_string())
}

fn of_type(mut request: Request<Body>, content_type: &str) -> Request<Body> {
    request.headers_mut().insert("content-type", content_type.parse().expect("a header"));
    request
}

fn notification(offset: u64) -> String {
    NotificationId(position(offset)).to_string()
}

#[tokio::test]
async fn an_event_is_answered_with_what_every_rule_made_of_it() {
    let world = World::new();
    let answer = world.call(post(&event("e1", json!({"name": "Alice"})))).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let expected = json!({
        "id": "e1", "type": "user.registered",
        "notifications": [{"rule": "welcome", "id": notification(0)}],
        "passed": [{"rule": "vip", "reason": "condition_fails"}],
    });
    assert_eq!(answer.json(), expected);
    let taken = world.door.taken.lock().expect("not poisoned")[0].clone();
    assert_eq!((&*taken.tenant, taken.told_by, &*taken.data), ("default", Source::Http, r#"{"name":"Alice"}"#));

    let answer = world.call(post(&json!({"type": "user.registered", "data": {"name": "Bob"}}))).await.json();
    let expected = json!({"rule": "welcome", "reason": "impossible",
        "errors": [{"pointer": "/user_id", "detail": "is required"}]});
    assert_eq!((&answer["passed"][0], &answer["notifications"]), (&expected, &json!([])));
}

#[tokio::test]
async fn an_event_that_cannot_be_used_is_422_with_what_was_meant() {
    let world = World::new();
    let mut unknown = event("e1", json!({}));
    unknown["type"] = json!("user.registerd");
    let problem = world.call(post(&unknown)).await.assert_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/type");
    assert!(problem["errors"][0]["detail"].as_str().expect("words").contains("did you mean `user.registered`?"));
    let problem = world.call(post(&event("e1", json!({})))).await.assert_problem(422);
    assert_eq!(problem["errors"], json!([{"pointer": "/data/name", "detail": "is required"}]));
    world.call(post(&json!({"typ": "user.registered"}))).await.assert_field("/typ", "did you mean `type`?");
    world.call(post(&json!("user.registered"))).await.assert_field("", "must be an object");
    world.send("POST", "/v1/events?dry_run=true", "all", "{}").await.assert_problem(400);
}

#[tokio::test]
async fn cloud_events_are_taken_in_all_modes() {
    let world = World::new();
    let structured = |id: &str| {
        json!({"specversion": "1.0", "id": id, "source": "/shop", "type": "user.registered", "userid": "alice",
            "data": {"name": "Alice"}})
    };
    let answer = world.call(of_type(post(&structured("s1")), "application/cloudevents+json; charset=utf-8")).await;
    assert_eq!((answer.status.as_u16(), answer.json()["id"].clone()), (202, json!("s1")), "{}", answer.text);

    let batch = json!([structured("b1"), {"specversion": "1.0"}]);
    let answer = world.call(of_type(post(&batch), "application/cloudevents-batch+json")).await.json();
    assert_eq!((&answer["items"][0]["id"], &answer["items"][1]["error"]["status"]), (&json!("b1"), &json!(400)));

    let mut binary = post(&json!({"name": "Alice"}));
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "Euro%20%E2%82%AC"),
        ("ce-source", "/shop"),
        ("ce-type", "user.registered"),
        ("ce-userid", "alice"),
    ] {
        binary.headers_mut().insert(name, value.parse().expect("a header"));
    }
    assert_eq!(world.call(binary).await.json()["id"], "Euro €");
}

#[tokio::test]
async fn one_bad_event_of_a_batch_does_not_stop_the_rest() {
    let world = World::new();
    let mut unknown = event("e2", json!({}));
    unknown["type"] = json!("wallet.emptied");
    let batch = json!([event("e1", json!({"name": "A"})), unknown, {"id": 7}, event("e4", json!({"name": "B"}))]);
    let answer = world.call(post(&batch)).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let answer = answer.json();
    let items = answer["items"].as_array().expect("items");
    assert_eq!((&items[0]["id"], &items[3]["id"]), (&json!("e1"), &json!("e4")));
    assert_eq!((&items[1]["error"]["status"], &items[2]["error"]["status"]), (&json!(422), &json!(400)));
    assert_eq!(items[3]["notifications"][0]["id"], notification(1));
    world.call(post(&json!([]))).await.assert_field("", "1 to 10000 events");
    let many = vec![json!({}); 10_001];
    world.call(post(&json!(many))).await.assert_field("", "1 to 10000 events");
    world
        .call(of_type(post(&json!({})), "application/cloudevents-batch+json"))
        .await
        .assert_field("", "must be a list");
    world.post("/v1/events", "[{]").await.assert_field("", "is no JSON");
}

#[tokio::test]
async fn an_event_with_a_retry_key_is_the_same_event_when_it_comes_again() {
    let world = World::new();
    let body = json!({"type": "user.registered", "user_id": "alice", "data": {"name": "Alice"}});
    let first = world.call(with_retry_key(post(&body), "k1")).await;
    assert_eq!(first.json()["id"], "k1", "it stands in for the id");
    assert_eq!(world.call(with_retry_key(post(&body), "k1")).await.text, first.text);
    assert_eq!(world.door.taken.lock().expect("not poisoned").len(), 1);
    let other = json!({"type": "user.registered", "user_id": "bob", "data": {"name": "Bob"}});
    world.call(with_retry_key(post(&other), "k1")).await.assert_problem(409);

    let batch = json!([body, body]);
    let first = world.call(with_retry_key(post(&batch), "k2")).await.json();
    assert_ne!(first["items"][0]["id"], first["items"][1]["id"]);
    let again = World::new();
    let again = again.call(with_retry_key(post(&batch), "k2")).await.json();
    assert_eq!(again["items"][1]["id"], first["items"][1]["id"], "after a restart as well");
}

#[tokio::test]
async fn a_long_answer_is_made_again_and_not_kept() {
    let world = World::new();
    let events: Vec<Value> =
        (0..100).map(|_| json!({"type": "user.registered", "user_id": "a", "data": {"name": "A"}})).collect();
    let first = world.call(with_retry_key(post(&json!(events)), "k1")).await;
    assert_eq!(world.call(with_retry_key(post(&json!(events)), "k1")).await.text, first.text);
    world.call(with_retry_key(post(&json!([])), "k1")).await.assert_problem(409);
}

#[tokio::test]
async fn nothing_is_answered_202_that_can_be_lost() {
    let world = World::new();
    world.door.is_shut.store(true, Ordering::SeqCst);
    for body in [event("e1", json!({"name": "A"})), json!([event("e1", json!({"name": "A"}))])] {
        let answer = world.call(with_retry_key(post(&body), "k")).await;
        answer.assert_problem(503);
        assert_eq!(answer.header("retry-after"), "3");
        assert!(!answer.text.contains("disk"), "the reason is for the log");
    }
    world.door.is_shut.store(false, Ordering::SeqCst);
    assert_eq!(world.call(with_retry_key(post(&event("e1", json!({"name": "A"}))), "k")).await.status, 202);
}

#[tokio::test]
async fn who_may_send_may_tell_of_events() {
    let world = World::new();
    let body = event("e1", json!({"name": "A"})).to_string();
    assert_eq!(world.send("POST", "/v1/events", "sender", body.clone()).await.status, 202);
    world.send("POST", "/v1/events", "reader", body.clone()).await.assert_problem(403);
    world.send("POST", "/v1/events", "other", body).await;
    assert_eq!(&*world.door.taken.lock().expect("not poisoned")[1].tenant, "other");
}
