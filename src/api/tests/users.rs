use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};

use super::world::{Answer, World, now};
use crate::domain::UserKey;
use crate::users::{ChangeKey, Listener};

pub(super) const TOKEN: &str = "a9d0ed10e9cfd022a61cb08753f49c5a0b0dfb383697bf9f9d750a1003da19c7";

pub(super) async fn put(world: &World, path: &str, body: &Value) -> Answer {
    world.send("PUT", path, "all", body.to_string()).await
}

async fn patch(world: &World, path: &str, body: &Value) -> Answer {
    world.send("PATCH", path, "all", body.to_string()).await
}

#[track_caller]
pub(super) fn ok(answer: Answer) -> Value {
    assert!(answer.status.is_success(), "{}: {}", answer.status, answer.text);
    answer.json()
}

fn alice() -> Value {
    json!({
        "email": "Alice@example.com",
        "phone": "0049 (30) 123-456",
        "locale": "de_de",
        "timezone": "europe/berlin",
        "attributes": {"tier": "gold", "age": 42, "address": {"city": "Berlin", "zip": "10115"}},
    })
}

#[tokio::test]
async fn a_user_is_written_in_canonical_form_and_read_back() {
    let world = World::new();
    world.get("/v1/users/alice").await.assert_problem(404);
    let created = put(&world, "/v1/users/alice", &alice()).await;
    assert_eq!(created.status, 201);
    let expected = json!({
        "id": "alice",
        "email": "Alice@example.com",
        "phone": "+4930123456",
        "locale": "de-DE",
        "timezone": "Europe/Berlin",
        "attributes": {"tier": "gold", "age": 42, "address": {"city": "Berlin", "zip": "10115"}},
        "created_at": "2026-11-21T12:00:00.000Z",
    });
    assert_eq!(created.json(), expected);
    assert_eq!(ok(world.get("/v1/users/alice").await), expected);
    world.clock.set(now() + Duration::from_secs(60));
    // What was read may be sent back, and changes nothing.
    let again = put(&world, "/v1/users/alice", &expected).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, expected));
    world.send("GET", "/v1/users/alice", "other", Body::empty()).await.assert_problem(404);
}

#[tokio::test]
async fn put_takes_back_what_it_does_not_say_and_leaves_devices_and_preferences() {
    let world = World::new();
    put(&world, "/v1/users/alice", &alice()).await;
    ok(put(&world, "/v1/users/alice/devices/phone", &json!({"platform": "ios", "token": TOKEN})).await);
    ok(put(&world, "/v1/users/alice/preferences", &json!({"digest_hour": 9})).await);
    let user = ok(put(&world, "/v1/users/alice", &json!({"email": "b@example.com", "attributes": {"age": 43}})).await);
    assert_eq!(user["email"], "b@example.com");
    assert_eq!(user["attributes"], json!({"age": 43}));
    for field in ["phone", "locale", "timezone"] {
        assert!(user[field].is_null(), "{user}");
    }
    assert_eq!(ok(world.get("/v1/users/alice/devices").await)["data"].as_array().expect("a list").len(), 1);
    assert_eq!(ok(world.get("/v1/users/alice/preferences").await)["digest_hour"], 9);
}

#[tokio::test]
async fn patch_is_a_merge_patch() {
    let world = World::new();
    patch(&world, "/v1/users/alice", &json!({"email": "a@example.com"})).await.assert_problem(404);
    put(&world, "/v1/users/alice", &alice()).await;
    let change = json!({
        "phone": null,
        "locale": "en",
        "attributes": {"tier": null, "address": {"zip": null, "street": {"name": "Torstr.", "number": null}}, "new": [1, null]},
    });
    let user = ok(patch(&world, "/v1/users/alice", &change).await);
    assert_eq!(user["email"], "Alice@example.com");
    assert!(user["phone"].is_null());
    assert_eq!(user["locale"], "en");
    let expected = json!({"age": 42, "address": {"city": "Berlin", "street": {"name": "Torstr."}}, "new": [1, null]});
    assert_eq!(user["attributes"], expected);
    assert_eq!(ok(world.get("/v1/users/alice").await), user);
    let user = ok(patch(&world, "/v1/users/alice", &json!({"attributes": null})).await);
    assert_eq!(user["attributes"], json!({}));
}

#[tokio::test]
async fn what_two_callers_change_of_one_user_at_the_same_time_both_stays() {
    let world = World::new();
    put(&world, "/v1/users/alice", &json!({})).await;
    let changes =
        [json!({"attributes": {"one": 1}}), json!({"attributes": {"two": 2}}), json!({"email": "a@example.com"})];
    let [one, two, three] = &changes;
    let path = "/v1/users/alice";
    tokio::join!(patch(&world, path, one), patch(&world, path, two), patch(&world, path, three));
    let user = ok(world.get(path).await);
    assert_eq!((&user["attributes"], &user["email"]), (&json!({"one": 1, "two": 2}), &json!("a@example.com")));
}

#[tokio::test]
async fn attributes_keep_their_numbers_and_are_bounded() {
    let world = World::new();
    let body = r#"{"attributes": {"account": 12345678901234567890123, "price": 1.10}}"#;
    let answer = world.send("PUT", "/v1/users/alice", "all", body).await;
    assert!(answer.text.contains("12345678901234567890123") && answer.text.contains("1.10"), "{}", answer.text);
    let many: serde_json::Map<String, Value> = (0..65).map(|number| (format!("a{number}"), json!(1))).collect();
    put(&world, "/v1/users/bob", &json!({"attributes": many})).await.assert_field("/attributes", "64 attributes");
    let large = "x".repeat(17_000);
    put(&world, "/v1/users/bob", &json!({"attributes": {"a": large}})).await.assert_field("/attributes", "16384 bytes");
    // What is there counts with what comes.
    ok(put(&world, "/v1/users/bob", &json!({"attributes": {"a": "x".repeat(16_000)}})).await);
    let more = json!({"attributes": {"b": "x".repeat(1000)}});
    patch(&world, "/v1/users/bob", &more).await.assert_field("/attributes", "16384 bytes");
    for (body, pointer, detail) in [
        (r#"{"attributes":{"a~/b":"\ud800"}}"#, "/attributes/a~0~1b", ""),
        (r#"{"attributes":{"":1}}"#, "/attributes/", "its name must have"),
        (r#"{"attributes":{"a\u0000b":1}}"#, "/attributes/a\u{0}b", "control characters"),
        (r#"{"attributes":[1]}"#, "/attributes", "must be an object"),
        (r#"{"attributes":{"a":1e999}}"#, "/attributes/a", ""),
    ] {
        world.send("PUT", "/v1/users/bob", "all", body).await.assert_field(pointer, detail);
    }
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_user_is_said_at_once() {
    let world = World::new();
    let body = json!({
        "email": "no address",
        "phone": "+49 (0)30 123456",
        "locale": "german",
        "timezone": "Europe/Berln",
        "atributes": {},
        "id": "bob",
    });
    let answer = put(&world, "/v1/users/alice", &body).await;
    for (pointer, detail) in [
        ("/email", "is no mail address"),
        ("/phone", "E.164"),
        ("/locale", "BCP 47"),
        ("/timezone", "did you mean `Europe/Berlin`?"),
        ("/atributes", "did you mean `attributes`?"),
        ("/id", "another than in the address"),
    ] {
        answer.assert_field(pointer, detail);
    }
    assert_eq!(answer.json()["errors"].as_array().expect("errors").len(), 6);
    for (zone, meant) in [("Tokyo", "Asia/Tokyo"), ("new york", "America/New_York"), ("utc+1", "")] {
        put(&world, "/v1/users/alice", &json!({"timezone": zone})).await.assert_field("/timezone", meant);
    }
    for wrong in ["[]", "1", "{", "\"alice\""] {
        world.send("PUT", "/v1/users/alice", "all", wrong).await.assert_problem(400);
    }
    put(&world, "/v1/users/alice", &json!({"email": 5})).await.assert_field("/email", "must be a text");
    let long = format!("/v1/users/{}", "x".repeat(257));
    for path in [&*long, "/v1/users/a%00b", "/v1/users/a%0Ab", "/v1/users/%FF"] {
        put(&world, path, &json!({})).await.assert_problem(400);
    }
    world.get("/v1/users/alice").await.assert_problem(404);
}

#[tokio::test]
async fn an_id_may_have_any_letters() {
    let world = World::new();
    for (path, id) in [("a%2Fb", "a/b"), ("%F0%9F%A6%84", "🦄"), ("a%20b", "a b"), ("devices", "devices")] {
        let user = ok(put(&world, &format!("/v1/users/{path}"), &json!({"email": "a@example.com"})).await);
        assert_eq!(user["id"], id);
        assert_eq!(ok(world.get(&format!("/v1/users/{path}")).await)["id"], id);
    }
    put(&world, "/v1/users/import/devices/d", &json!({"platform": "ios", "token": TOKEN})).await.assert_problem(400);
}

pub(super) fn key(user_id: &str) -> UserKey {
    UserKey { tenant: "default".into(), user_id: user_id.into() }
}

#[tokio::test]
async fn erasing_takes_everything_back_and_says_truly_what() {
    let world = World::new();
    put(&world, "/v1/users/alice", &alice()).await;
    ok(put(&world, "/v1/users/alice/devices/phone", &json!({"platform": "ios", "token": TOKEN})).await);
    let said =
        json!({"preferences": [{"category": "social", "channel": "push", "enabled": false}], "quiet_hours": "never"});
    ok(put(&world, "/v1/users/alice/preferences", &said).await);
    ok(put(&world, "/v1/suppressions/email/alice@example.com", &json!({"reason": "opt_out"})).await);
    let receipt = ok(world.send("DELETE", "/v1/users/alice", "all", Body::empty()).await);
    assert_eq!(receipt["user_id"], "alice");
    let expected = json!({
        "contact": ["email", "phone", "locale", "timezone"],
        "attributes": 3,
        "devices": 1,
        "preferences": 1,
        "settings": ["quiet_hours"],
        "subscriptions": 0,
        "inbox": 0,
        "consents": 0,
        "list_members": 0,
    });
    assert_eq!(receipt["erased"], expected);
    assert_eq!((&receipt["suppressions_without_address"], &receipt["secrets_destroyed"]), (&json!(1), &json!(0)));
    assert_eq!(receipt["open_tasks"], json!({"cancelled": 0, "pending": 0, "complete": true}));
    let not_erased = receipt["not_erased"].to_string();
    assert!(not_erased.contains("of notifications that were accepted"), "{not_erased}");
    for path in ["/v1/users/alice", "/v1/users/alice/devices", "/v1/users/alice/preferences"] {
        world.get(path).await.assert_problem(404);
    }
    // Nothing is sent there, and nobody can read whose address it was.
    let held = ok(world.get("/v1/suppressions/email/alice@example.com").await);
    assert_eq!((&held["reason"], &held["address"]), (&json!("opt_out"), &Value::Null));
    let list = world.get("/v1/suppressions").await;
    assert!(!list.text.contains("alice"), "{}", list.text);
    // Again, and of somebody who never was: the same, with nothing in it.
    for path in ["/v1/users/alice", "/v1/users/nobody"] {
        let receipt = ok(world.send("DELETE", path, "all", Body::empty()).await);
        assert_eq!(receipt["erased"]["contact"], json!([]));
    }
}

#[tokio::test]
async fn a_store_that_is_out_is_503_and_names_nobody() {
    let world = World::new();
    world.store.is_down.store(true, std::sync::atomic::Ordering::SeqCst);
    let answer = put(&world, "/v1/users/alice", &alice()).await;
    answer.assert_problem(503);
    assert!(!answer.text.contains("alice"));
    world.get("/v1/suppressions").await.assert_problem(503);
}

/// Writes down what it hears.
#[derive(Default)]
struct Notes(std::sync::Mutex<Vec<ChangeKey>>);

impl Listener for Notes {
    fn changed(&self, keys: &[ChangeKey]) {
        self.0.lock().expect("not poisoned").extend_from_slice(keys);
    }

    fn missed(&self) {}
}

#[tokio::test]
async fn every_change_is_announced_and_what_changes_nothing_is_not() {
    let world = World::new();
    let notes = Arc::new(Notes::default());
    world.users.changes().listen(Arc::downgrade(&notes) as _);
    let heard = || std::mem::take(&mut *notes.0.lock().expect("not poisoned"));
    put(&world, "/v1/users/alice", &alice()).await;
    assert_eq!(heard(), [ChangeKey::of_user(&key("alice"))]);
    put(&world, "/v1/users/alice", &alice()).await;
    assert_eq!(heard(), []);
    ok(put(&world, "/v1/users/alice/preferences", &json!({"digest_hour": 3})).await);
    assert_eq!(heard().len(), 1);
    ok(put(&world, "/v1/suppressions/email/Alice@example.com", &json!({})).await);
    let address =
        crate::domain::SuppressedAddress::new("default", crate::domain::AddressKind::Email, "alice@example.com");
    assert_eq!(heard(), [ChangeKey::of_address(&address)]);
    world.send("DELETE", "/v1/users/alice", "all", Body::empty()).await;
    // The suppression and the mark; and before and after their secrets are destroyed, the user and both addresses.
    assert_eq!(heard().len(), 8);
}
