use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use futures_util::FutureExt;

use super::world::{Answer, World, now, request, with_retry_key};
use crate::codec::decode_request;
use crate::domain::NotificationId;
use crate::intake::fakes::FakeLog;

const ONE: &str = r#"{"to":{"email":"a@example.com"},"template":"welcome","priority":"high"}"#;

#[tokio::test]
async fn one_notification_is_answered_202_with_its_id_once_it_is_in_the_log() {
    let world = World::new();
    let answer = world.post("/v1/notifications", ONE).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header("content-type"), "application/json");
    let json = answer.json();
    assert_eq!(json["status"], "accepted");
    let id: NotificationId = json["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let records = world.log.bodies();
    assert_eq!(records[0].position, id.0);
    let request = decode_request(&records[0].body).expect("decodes");
    assert_eq!((&*request.tenant, request.to.email.as_deref()), ("default", Some("a@example.com")));
}

#[tokio::test]
async fn a_dry_run_answers_decisions_and_messages_and_stores_nothing() {
    let world = World::new();
    let answer = world.post("/v1/notifications?dry_run=true", ONE).await;
    assert_eq!(answer.status, 200);
    let json = answer.json();
    assert_eq!(json["tasks"][0]["message"]["body"], "Hello");
    assert_eq!(json["status"], "planned");
    assert_eq!(world.log.len(), 0);
    world.post("/v1/notifications?dry=true", ONE).await.assert_problem(400);
}

#[tokio::test]
async fn a_batch_is_one_append_and_one_bad_item_does_not_stop_the_rest() {
    let world = World::new();
    let body = r#"{"defaults":{"template":"welcome"},"items":[
        {"user_id":"a"}, {"user_id":"b","channels":["fax"]}, {"user_id":"c","template":"missing"},
        {"to":{"url":"http://127.0.0.1/"}}, 7, {"user_id":"d"}]}"#;
    let answer = world.post("/v1/notifications/batch", body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let json = answer.json();
    let items = json["items"].as_array().expect("items");
    assert_eq!(items.len(), 6);
    for good in [0, 5] {
        assert!(items[good]["id"].as_str().expect("an id").starts_with("ntf_"));
    }
    for (bad, pointer) in [(1, "/channels/0"), (2, "/template"), (3, "/to/url"), (4, "")] {
        assert_eq!(items[bad]["error"]["errors"][0]["pointer"], pointer, "{json}");
        assert_eq!(items[bad]["error"]["status"], 400);
    }
    assert_eq!(world.log.appends.load(Ordering::SeqCst), 1);
    assert_eq!(world.log.len(), 2);
}

#[tokio::test]
async fn a_batch_of_ten_thousand_is_taken_and_of_one_more_is_not() {
    let world = World::new();
    let batch = |count: usize| {
        let items = vec![r#"{"user_id":"u"}"#; count].join(",");
        format!(r#"{{"items":[{items}],"defaults":{{"template":"welcome"}}}}"#)
    };
    let answer = world.post("/v1/notifications/batch", batch(10_000)).await;
    assert_eq!(answer.json()["items"].as_array().expect("items").len(), 10_000);
    world.post("/v1/notifications/batch", batch(10_001)).await.assert_field("/items", "1 to 10000");
    world.post("/v1/notifications/batch", batch(0)).await.assert_field("/items", "1 to 10000");
    assert_eq!(world.log.len(), 10_000);
}

#[tokio::test]
async fn the_frame_of_a_batch_is_checked_with_pointers() {
    let world = World::new();
    let check = async |body: &str, pointer: &str, detail: &str| {
        world.post("/v1/notifications/batch", body.to_owned()).await.assert_field(pointer, detail);
    };
    check("[]", "", "must be an object").await;
    check(r#"[null,[{"user_id":"u","template":"t"}]]"#, "", "must be an object").await;
    check("{}", "/items", "is required").await;
    let deep = "[".repeat(200) + &"]".repeat(200);
    check(&format!(r#"{{"items":[{deep}],"default":{{}}}}"#), "/default", "`defaults` and `items`").await;
    check(r#"{"items":{}}"#, "/items", "must be a list").await;
    check(r#"{"items":[{}],"default":{}}"#, "/default", "`defaults` and `items`").await;
    check(r#"{"items":[{}],"defaults":{"templat":"x"}}"#, "/defaults/templat", "did you mean `template`").await;
}

#[tokio::test]
async fn a_retry_key_answers_the_same_and_another_body_is_a_conflict() {
    let world = World::new();
    let post = async |path: &str, key: &str, body: &'static str| {
        world.call(with_retry_key(request("POST", path, "all", body), key)).await
    };
    let first = post("/v1/notifications", "k", ONE).await;
    let second = post("/v1/notifications", "k", ONE).await;
    assert_eq!((second.status, &second.text), (first.status, &first.text));
    post("/v1/notifications", "k", r#"{"user_id":"u","template":"t"}"#).await.assert_problem(409);
    assert_eq!(world.log.len(), 1);
    // Another key, another call and another tenant are other things.
    assert_ne!(post("/v1/notifications", "l", ONE).await.text, first.text);
    const BATCH: &str = r#"{"items":[{"user_id":"u","template":"t"},{"user_id":"v","template":"t"}]}"#;
    let batch = post("/v1/notifications/batch", "k", BATCH).await;
    assert_eq!(batch.text, post("/v1/notifications/batch", "k", BATCH).await.text);
    assert_eq!(world.log.len(), 4);
    let other = world.call(with_retry_key(request("POST", "/v1/notifications", "other", ONE), "k")).await;
    assert_eq!(other.status, 202);
    assert_eq!(world.log.len(), 5);
    let long = "k".repeat(256);
    post("/v1/notifications", &long, ONE).await.assert_problem(400);
}

async fn keyed(world: &World, path: &str, key: &str, body: &'static str) -> Answer {
    world.call(with_retry_key(request("POST", path, "all", body), key)).await
}

#[tokio::test]
async fn a_retry_is_answered_the_same_though_by_now_it_would_be_refused() {
    let world = World::new();
    const ONE: &str = r#"{"user_id":"u","template":"t","expires_at":"2026-11-21T12:01:00Z"}"#;
    const BATCH: &str = r#"{"items":[{"user_id":"u","template":"t","expires_at":"2026-11-21T12:01:00Z"},{}]}"#;
    for (path, body) in [("/v1/notifications", ONE), ("/v1/notifications/batch", BATCH)] {
        world.clock.set(now());
        let first = keyed(&world, path, "k", body).await;
        assert_eq!(first.status, 202, "{}", first.text);
        world.clock.set(now() + Duration::from_secs(120));
        let again = keyed(&world, path, "k", body).await;
        assert_eq!((again.status, again.text), (first.status, first.text));
    }
    assert_eq!(world.log.len(), 2);
}

#[tokio::test]
async fn a_used_key_with_another_body_is_a_conflict_whatever_else_is_wrong_with_it() {
    let world = World::new();
    keyed(&world, "/v1/notifications", "k", ONE).await;
    for body in ["{}", "no JSON", r#"{"user_id":"u","template":"missing"}"#] {
        keyed(&world, "/v1/notifications", "k", body).await.assert_problem(409);
    }
    let other = r#"{"user_id":"u","template":"t"}"#;
    keyed(&world, "/v1/notifications?dry_run=true", "k", other).await.assert_problem(409);
    assert_eq!(keyed(&world, "/v1/notifications?dry_run=true", "k", ONE).await.status, 200);
    // A body that was refused leaves its key free for the one that is mended.
    keyed(&world, "/v1/notifications", "free", "{}").await.assert_problem(400);
    assert_eq!(keyed(&world, "/v1/notifications", "free", ONE).await.status, 202);
}

#[tokio::test]
async fn another_batch_under_a_used_key_is_a_conflict_wherever_its_valid_items_stand() {
    let world = World::new();
    const PATH: &str = "/v1/notifications/batch";
    let first = keyed(&world, PATH, "k", r#"{"items":[{"user_id":"u","template":"t"},{}]}"#).await;
    assert_eq!(first.status, 202);
    for other in [r#"{"items":[{},{"user_id":"v","template":"t"}]}"#, r#"{"items":[{},{}]}"#, r#"{"items":[]}"#, "[]"] {
        keyed(&world, PATH, "k", other).await.assert_problem(409);
    }
    assert_eq!(world.log.len(), 1);
    // A batch of which nothing was accepted has used its key as well.
    const REFUSED: &str = r#"{"items":[{},{}]}"#;
    let refused = keyed(&world, PATH, "l", REFUSED).await;
    assert_eq!(refused.status, 202);
    keyed(&world, PATH, "l", r#"{"items":[{"user_id":"v","template":"t"}]}"#).await.assert_problem(409);
    assert_eq!(keyed(&world, PATH, "l", REFUSED).await.text, refused.text);
    assert_eq!(world.log.len(), 1);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_503_with_retry_after_and_never_202() {
    let world = World::new();
    world.log.full.store(true, Ordering::SeqCst);
    for (path, body) in
        [("/v1/notifications", ONE), ("/v1/notifications/batch", r#"{"items":[{"user_id":"u","template":"t"}]}"#)]
    {
        let answer = world.post(path, body).await;
        answer.assert_problem(503);
        assert!(answer.header("retry-after").parse::<u64>().expect("seconds") > 0);
        assert!(!answer.text.contains("/data"), "paths are not for callers");
    }
    let ready = world.get("/readyz").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["reasons"][0]["condition"]), (503, &"disk".into()));
}

#[tokio::test]
async fn more_requests_at_once_than_allowed_are_503() {
    let log = FakeLog::held_up();
    let world = World::with(log, |http| http.max_in_flight = 1);
    let first = world.post("/v1/notifications", ONE);
    let mut first = std::pin::pin!(first);
    assert!(futures_util::poll!(&mut first).is_pending());
    let second = world.post("/v1/notifications", ONE).await;
    second.assert_problem(503);
    assert!(!second.header("retry-after").is_empty());
    assert_eq!(world.send("GET", "/healthz", "none", Body::empty()).await.status, 200);
    world.log.gate.add_permits(1);
    assert_eq!(first.await.status, 202);
}

#[tokio::test]
async fn a_critical_request_finds_a_place_where_the_others_wait_for_the_log() {
    const CRITICAL: &str = r#"{"to":{"email":"a@example.com"},"template":"welcome","priority":"critical"}"#;
    let world = World::with(FakeLog::held_up(), |http| http.max_in_flight = 5);
    let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(world.post("/v1/notifications", ONE))).collect();
    for one in &mut waiting {
        assert!(futures_util::poll!(one).is_pending());
    }
    let batch = format!(r#"{{"items":[{ONE}]}}"#);
    for (path, body) in [("/v1/notifications", ONE.to_owned()), ("/v1/notifications/batch", batch)] {
        let answer = world.post(path, body).now_or_never().expect("it is answered at once");
        answer.assert_problem(503);
    }
    let mut critical = Box::pin(world.post("/v1/notifications", CRITICAL));
    assert!(futures_util::poll!(&mut critical).is_pending(), "it waits for the log");
    world.log.gate.add_permits(5);
    assert_eq!(critical.await.status, 202);
    for one in waiting {
        assert_eq!(one.await.status, 202);
    }
}
