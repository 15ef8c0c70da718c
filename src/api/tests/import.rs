use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::world::{Answer, World, now, request, with_retry_key};
use crate::domain::{AddressKind, SuppressedAddress};
use crate::users::{ChangeKey, Listener};

const TOKEN: &str = "a9d0ed10e9cfd022a61cb08753f49c5a0b0dfb383697bf9f9d750a1003da19c7";

fn lines_of(body: impl Into<Body>) -> Request<Body> {
    let mut request = request("POST", "/v1/users/import", "all", body);
    request.headers_mut().insert("content-type", "application/x-ndjson".parse().expect("a header"));
    request
}

fn said(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

async fn import(world: &World, body: impl Into<Body>) -> Vec<Value> {
    said(&world.call(lines_of(body)).await)
}

#[tokio::test]
async fn good_lines_are_taken_and_bad_ones_told_by_number() {
    let world = World::new();
    let good = json!({
        "id": "alice",
        "email": "alice@example.com",
        "attributes": {"tier": "gold"},
        "devices": [{"id": "phone", "platform": "ios", "token": TOKEN}],
        "preferences": [{"category": "marketing", "channel": "email", "enabled": false}],
        "quiet_hours": {"from": "22:00", "to": "07:00"},
        "consents": [{"purpose": "newsletter", "granted": true, "text_version": "1", "source": "import"}],
    });
    let body = format!(
        "{good}\n\n{}\nnonsense\n{}\r\n{}\n{}",
        json!({"id": "bob", "timezone": "Mars/Olympus", "devices": [{"id": "d", "platform": "ios", "token": "x"}]}),
        json!({"email": "nobody@example.com"}),
        json!({"id": "import"}),
        json!({"id": "carol", "phone": "+4930123456"}),
    );
    let said = import(&world, body).await;
    let refused: Vec<_> = said.iter().filter(|line| line["line"].is_u64()).collect();
    assert_eq!(refused.iter().map(|line| line["line"].as_u64().expect("a number")).collect::<Vec<_>>(), [3, 4, 5, 6]);
    let pointers: Vec<&str> =
        refused[0]["errors"].as_array().expect("a list").iter().filter_map(|one| one["pointer"].as_str()).collect();
    assert_eq!(pointers, ["/timezone", "/devices/0/token"]);
    assert_eq!(refused[2]["errors"][0], json!({"pointer": "/id", "detail": "is required"}));
    assert_eq!(said.last(), Some(&json!({"done": true, "lines": 7, "taken": 2, "refused": 4})));
    assert_eq!(world.get("/v1/users/alice").await.json()["attributes"]["tier"], "gold");
    assert_eq!(world.get("/v1/users/alice/devices/phone").await.json()["active"], true);
    assert_eq!(world.get("/v1/users/alice/consents/newsletter").await.json()["granted"], true);
    let preferences = world.get("/v1/users/alice/preferences").await.json();
    assert_eq!(preferences["quiet_hours"], json!({"from": "22:00", "to": "07:00"}));
    assert_eq!(world.get("/v1/users/carol").await.json()["phone"], "+4930123456");
    world.get("/v1/users/bob").await.assert_problem(404);
    world.send("GET", "/v1/users/alice", "other", Body::empty()).await.assert_problem(404);
}

#[tokio::test]
async fn a_line_changes_what_it_says_and_lines_of_one_user_count_in_their_order() {
    let world = World::new();
    world.send("PUT", "/v1/users/alice", "all", r#"{"email":"a@example.com","phone":"+4930123456"}"#).await;
    let body = [
        json!({"id": "alice", "email": "b@example.com", "attributes": {"n": 1}}),
        json!({"id": "alice", "email": "c@example.com", "phone": null}),
        json!({"id": "alice", "attributes": {"m": 2}}),
    ];
    let body: String = body.iter().map(|line| format!("{line}\n")).collect();
    for _ in 0..2 {
        assert_eq!(import(&world, body.clone()).await, [json!({"done": true, "lines": 3, "taken": 3, "refused": 0})]);
        let user = world.get("/v1/users/alice").await.json();
        assert_eq!((&user["email"], &user["phone"]), (&json!("c@example.com"), &Value::Null));
        assert_eq!(user["attributes"], json!({"n": 1, "m": 2}));
    }
}

#[tokio::test]
async fn many_lines_are_taken_in_chunks_with_a_word_now_and_then() {
    let world = World::new();
    let parts = stream::iter(0..25_000).map(|number| {
        let line = format!("{{\"id\":\"user{number}\",\"attributes\":{{\"number\":{number}}}}}\n");
        Ok::<Bytes, Infallible>(line.into())
    });
    let said = import(&world, Body::from_stream(parts)).await;
    assert_eq!(said.last(), Some(&json!({"done": true, "lines": 25_000, "taken": 25_000, "refused": 0})));
    assert_eq!(said.len(), 3, "{said:?}");
    for number in [0, 511, 512, 24_999] {
        assert_eq!(world.get(&format!("/v1/users/user{number}")).await.json()["attributes"]["number"], number);
    }
}

#[tokio::test]
async fn a_thousand_bad_lines_are_told_and_more_are_counted() {
    let world = World::new();
    let said = import(&world, "x\n".repeat(1200)).await;
    assert_eq!(said.len(), 1001);
    assert_eq!(said.last(), Some(&json!({"done": true, "lines": 1200, "taken": 0, "refused": 1200, "not_told": 200})));
}

#[tokio::test]
async fn a_line_that_is_too_long_is_refused_and_the_next_is_taken() {
    let world = World::new();
    let long = format!("{{\"id\":\"long\",\"attributes\":{{\"a\":\"{}\"}}}}", "x".repeat(300 << 10));
    let said = import(&world, format!("{long}\n{{\"id\":\"alice\"}}")).await;
    assert_eq!(said[0]["line"], 1);
    assert!(said[0]["errors"][0]["detail"].as_str().expect("text").contains("too long"), "{said:?}");
    assert_eq!(said[1], json!({"done": true, "lines": 2, "taken": 1, "refused": 1}));
}

#[tokio::test]
async fn the_answer_comes_while_the_body_is_being_sent() {
    let world = World::new();
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let parts = stream::unfold(receiver, |mut receiver| async move {
        let part = receiver.recv().await?;
        Some((Ok::<Bytes, Infallible>(part), receiver))
    });
    sender.send(Bytes::from_static(b"nonsense\n")).await.expect("taken");
    let answer = world.router.clone().oneshot(lines_of(Body::from_stream(parts))).await.expect("never fails");
    let mut body = answer.into_body();
    let frame = body.frame().await.expect("something").expect("a frame").into_data().expect("data");
    assert!(frame.starts_with(b"{\"line\":1,"), "{frame:?}");
    sender.send(Bytes::from_static(b"{\"id\":\"alice\"}\n")).await.expect("taken");
    drop(sender);
    let rest = body.collect().await.expect("complete").to_bytes();
    assert_eq!(serde_json::from_slice::<Value>(&rest).expect("JSON")["taken"], 1);
}

#[tokio::test]
async fn an_import_that_breaks_off_says_so_and_up_to_where_it_came() {
    let world = World::new();
    // Down from the start nothing is taken: that it begins could not be written into the audit log.
    world.store.is_down.store(true, std::sync::atomic::Ordering::SeqCst);
    world.call(lines_of("{\"id\":\"alice\"}\n")).await.assert_problem(503);
    world.store.is_down.store(false, std::sync::atomic::Ordering::SeqCst);
    let store = world.store.clone();
    let body = stream::once(async move {
        store.is_down.store(true, std::sync::atomic::Ordering::SeqCst);
        Ok::<_, Infallible>(Bytes::from_static(b"{\"id\":\"alice\"}\n"))
    });
    let said = import(&world, Body::from_stream(body)).await;
    let last = said.last().expect("a line");
    assert_eq!((&last["error"]["status"], &last["lines"], &last["taken"]), (&json!(503), &json!(0), &json!(0)));
    let broken = stream::iter([Ok(Bytes::from_static(b"{\"id\":\"alice\"}\n{\"id\"")), Err("cut")]);
    world.store.is_down.store(false, std::sync::atomic::Ordering::SeqCst);
    let said = import(&world, Body::from_stream(broken)).await;
    assert_eq!(said.last().expect("a line")["error"]["status"], 400);
}

#[tokio::test]
async fn a_retry_key_answers_the_same_and_writes_nothing_again() {
    let world = World::new();
    let import = async |body: &'static str| said(&world.call(with_retry_key(lines_of(body), "i1")).await);
    let first = import("{\"id\":\"alice\",\"locale\":\"de\"}\nx").await;
    assert_eq!(first.last(), Some(&json!({"done": true, "lines": 2, "taken": 1, "refused": 1})));
    world.send("PUT", "/v1/users/alice", "all", r#"{"locale":"en"}"#).await;
    assert_eq!(import("{\"id\":\"alice\",\"locale\":\"de\"}\nx").await, first[1..]);
    assert_eq!(world.get("/v1/users/alice").await.json()["locale"], "en");
    let other = import("{\"id\":\"alice\",\"locale\":\"fr\"}").await;
    assert_eq!(other.last().expect("a line")["error"]["status"], 409);
    assert_eq!(world.get("/v1/users/alice").await.json()["locale"], "en");
}

#[tokio::test]
async fn only_lines_are_taken_and_two_imports_run_at_once() {
    let world = World::new();
    let refused = world.post("/v1/users/import", "{\"id\":\"alice\"}").await;
    refused.assert_problem(415);
    assert_eq!(import(&world, "").await, [json!({"done": true, "lines": 0, "taken": 0, "refused": 0})]);
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(world.router.clone().oneshot(lines_of("x\n")).await.expect("never fails"));
    }
    world.call(lines_of("x\n")).await.assert_problem(503);
    drop(held);
    assert_eq!(import(&world, "x\n").await.len(), 2);
}

#[tokio::test]
async fn suppressions_stand_among_users_and_bad_ones_are_told_by_number() {
    let world = World::new();
    let body = [
        r#"{"id":"alice","email":"alice@example.com"}"#,
        r#"{"suppression":{"email":"a@example.com","reason":"hard_bounce","until":null}}"#,
        r#"{"suppression":{"phone":"+49 30 123456","until":"2026-11-21T13:00:00Z"}}"#,
        r#"{"suppression":{}}"#,
        r#"{"suppression":null}"#,
        r#"{"suppression":{"email":"a@example.com","phone":"+4930123456","why":"x"}}"#,
        r#"{"id":"bob","suppression":{"email":"b@example.com"}}"#,
        r#"{"suppression":{"email":"b@example.com","until":"2026-11-21T11:00:00Z","reason":"bored"}}"#,
        r#"{"id":"bob","email":"a@b.com","email":"c@d.com"}"#,
        r#"{"suppression":{"email":"b@example.com","email":"c@example.com"}}"#,
        r#"{"supression":{"email":"b@example.com"}}"#,
        r#"{"id":"carol"}"#,
    ];
    let said = import(&world, body.join("\n")).await;
    let errors = |line: &Value| -> Vec<(String, String)> {
        let errors = line["errors"].as_array().expect("a list").iter();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        errors.map(|error| (text(&error["pointer"]), text(&error["detail"]))).collect()
    };
    let check = |place: usize, line: u64, expected: &[(&str, &str)]| {
        assert_eq!(said[place]["line"], line);
        let errors = errors(&said[place]);
        assert_eq!(errors.len(), expected.len(), "{errors:?}");
        for ((pointer, detail), (at, part)) in errors.iter().zip(expected) {
            assert!(pointer == at && detail.contains(part), "{pointer}: {detail}");
        }
    };
    check(0, 4, &[("/suppression/email", "is required")]);
    check(1, 5, &[("/suppression", "must be an object, not null")]);
    check(2, 6, &[("/suppression/phone", "exclude each other"), ("/suppression/why", "is no field")]);
    check(3, 7, &[("/id", "is no field")]);
    check(4, 8, &[("/suppression/reason", "hard_bounce"), ("/suppression/until", "in the past")]);
    check(5, 9, &[("/email", "is there twice")]);
    check(6, 10, &[("/suppression/email", "is there twice")]);
    check(7, 11, &[("/id", "is required"), ("/supression", "did you mean `suppression`?")]);
    assert_eq!(said[8], json!({"done": true, "lines": 12, "taken": 4, "suppressions": 2, "refused": 8}));
    let mail = world.get("/v1/suppressions/email/A@example.com").await.json();
    assert_eq!((&mail["reason"], &mail["until"]), (&json!("hard_bounce"), &Value::Null));
    let phone = world.get("/v1/suppressions/phone/%2B4930123456").await.json();
    assert_eq!((&phone["reason"], &phone["until"]), (&json!("manual"), &json!("2026-11-21T13:00:00.000Z")));
    world.get("/v1/suppressions/email/b@example.com").await.assert_problem(404);
    world.send("GET", "/v1/suppressions/email/a@example.com", "other", Body::empty()).await.assert_problem(404);
    assert_eq!(world.get("/v1/users/carol").await.status, 200);
}

#[tokio::test]
async fn of_suppressions_of_one_address_the_last_counts_and_since_when_it_holds_stays() {
    let world = World::new();
    let line = |email: &str, reason: &str| json!({"suppression": {"email": email, "reason": reason}}).to_string();
    let body = [line("A@example.com", "complaint"), line("a@example.com", "opt_out")].join("\n");
    for minutes in [0, 1] {
        world.clock.set(now() + Duration::from_secs(60 * minutes));
        let done = json!({"done": true, "lines": 2, "taken": 2, "suppressions": 2, "refused": 0});
        assert_eq!(import(&world, body.clone()).await, [done]);
        let kept = world.get("/v1/suppressions/email/a@example.com").await.json();
        assert_eq!((&kept["reason"], &kept["address"]), (&json!("opt_out"), &json!("a@example.com")));
        assert_eq!(kept["since"], "2026-11-21T12:00:00.000Z");
    }
    let many: String = (0..1500).map(|number| line(&format!("user{number}@example.com"), "manual") + "\n").collect();
    let said = import(&world, many).await;
    assert_eq!(said, [json!({"done": true, "lines": 1500, "taken": 1500, "suppressions": 1500, "refused": 0})]);
    assert_eq!(world.get("/v1/suppressions/email/user1499@example.com").await.json()["active"], true);
}

#[tokio::test]
async fn suppressions_that_are_imported_are_announced_as_single_ones_are() {
    let world = World::new();
    let heard = Arc::new(Heard::default());
    let listener: Arc<dyn Listener> = heard.clone();
    world.users.changes().listen(Arc::downgrade(&listener));
    import(&world, "{\"suppression\":{\"email\":\"A@example.com\"}}\n{\"id\":\"alice\"}").await;
    let address = SuppressedAddress::new("default", AddressKind::Email, "a@example.com");
    let keys = heard.0.lock().expect("no panic").clone();
    assert!(keys.contains(&ChangeKey::of_address(&address)) && keys.len() == 2, "{keys:?}");
}

/// Keeps what is announced.
#[derive(Default)]
struct Heard(Mutex<Vec<ChangeKey>>);

impl Listener for Heard {
    fn changed(&self, keys: &[ChangeKey]) {
        self.0.lock().expect("no panic").extend_from_slice(keys);
    }

    fn missed(&self) {}
}
