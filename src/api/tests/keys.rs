use axum::body::Body;
use axum::http::Request;

use super::world::{World, plan};

const ONE: &str = r#"{"user_id":"u","template":"t"}"#;

#[tokio::test]
async fn without_a_known_key_every_v1_call_is_401_and_says_how() {
    let world = World::new();
    for authorization in
        [None, Some("Bearer wrong"), Some("Bearer "), Some("Basic all"), Some("all"), Some("Bearer all2")]
    {
        let mut builder = Request::get("/v1/dead-letters");
        if let Some(value) = authorization {
            builder = builder.header("authorization", value);
        }
        let answer = world.call(builder.body(Body::empty()).expect("a request")).await;
        answer.assert_problem(401);
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert!(!answer.text.contains("wrong"), "a key is never shown");
    }
    let lower = Request::get("/v1/dead-letters").header("authorization", "bearer all");
    assert_eq!(world.call(lower.body(Body::empty()).expect("a request")).await.status, 200);
}

#[tokio::test]
async fn a_key_without_the_scope_is_403() {
    let world = World::new();
    let check = async |method: &str, path: &str, key: &str| {
        world.send(method, path, key, ONE).await.assert_problem(403);
    };
    check("POST", "/v1/notifications", "reader").await;
    check("POST", "/v1/notifications/batch", "reader").await;
    check("GET", "/v1/notifications?user_id=u", "sender").await;
    check("GET", "/v1/dead-letters", "sender").await;
    check("GET", "/v1/dead-letters?kind=record", "reader").await;
    check("POST", "/v1/dead-letters/replay", "sender").await;
    check("GET", "/v1/accounting", "reader").await;
    check("GET", "/v1/sandbox/messages", "reader").await;
    check("GET", "/v1/users/u", "sender").await;
    check("PUT", "/v1/users/u", "reader").await;
    check("DELETE", "/v1/users/u", "sender").await;
    check("PUT", "/v1/users/u/preferences", "reader").await;
    check("POST", "/v1/users/import", "sender").await;
    check("PUT", "/v1/suppressions/email/a@example.com", "reader").await;
    check("DELETE", "/v1/suppressions/email/a@example.com", "sender").await;
}

#[tokio::test]
async fn a_key_over_its_rate_is_429_with_retry_after() {
    let world = World::new();
    assert_eq!(world.send("GET", "/v1/dead-letters", "slow", Body::empty()).await.status, 200);
    let answer = world.send("GET", "/v1/dead-letters", "slow", Body::empty()).await;
    answer.assert_problem(429);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(world.send("GET", "/v1/dead-letters", "reader", Body::empty()).await.status, 200);
}

#[tokio::test]
async fn another_tenants_things_are_404() {
    let world = World::new();
    let planned = plan(900);
    let paths = [format!("/v1/notifications/{}", planned.id()), format!("/v1/tasks/{}", planned.task_id(0))];
    world.store.tell(planned, Vec::new());
    for path in &paths {
        assert_eq!(world.get(path).await.status, 200);
        world.send("GET", path, "other", Body::empty()).await.assert_problem(404);
    }
    world.send("DELETE", &paths[0], "other", Body::empty()).await.assert_problem(404);
    // Not planned yet: the log's record knows whose it is.
    let id = world.post("/v1/notifications", ONE).await.json()["id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/notifications/{id}");
    assert_eq!(world.get(&path).await.status, 200);
    world.send("GET", &path, "other", Body::empty()).await.assert_problem(404);
    let history = world.send("GET", "/v1/notifications?user_id=u1", "other", Body::empty()).await;
    assert_eq!(history.json()["data"], serde_json::json!([]));
}

#[tokio::test]
async fn a_key_is_told_what_it_may_do() {
    let world = World::new();
    let check = async |key: &str, tenant: &str, scopes: serde_json::Value| {
        let answer = world.send("GET", "/v1/me", key, Body::empty()).await;
        assert_eq!(answer.status, 200);
        let me = answer.json();
        assert_eq!((&me["tenant"], &me["scopes"]), (&tenant.into(), &scopes));
        assert!(me["categories"].as_array().expect("a list").iter().any(|one| one["name"] == "marketing"));
        assert!(me.get("key").is_none(), "a key is never shown");
    };
    check("all", "default", serde_json::json!(["send", "read", "admin"])).await;
    check("sender", "default", serde_json::json!(["send"])).await;
    check("reader", "default", serde_json::json!(["read"])).await;
    check("other", "other", serde_json::json!(["send", "read", "admin"])).await;
    world.send("GET", "/v1/me", "nobody", Body::empty()).await.assert_problem(401);
}
