use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};

use super::world::{Answer, World, now};
use crate::domain::{Device, Platform, Timestamp, UserEntry, UserKey};
use crate::store::{UserChange, Users};
use crate::users::{ChangeKey, Listener};

const TOKEN: &str = "a9d0ed10e9cfd022a61cb08753f49c5a0b0dfb383697bf9f9d750a1003da19c7";

async fn put(world: &World, path: &str, body: &Value) -> Answer {
    world.send("PUT", path, "all", body.to_string()).await
}

async fn patch(world: &World, path: &str, body: &Value) -> Answer {
    world.send("PATCH", path, "all", body.to_string()).await
}

#[track_caller]
fn ok(answer: Answer) -> Value {
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

#[tokio::test]
async fn devices_are_registered_refreshed_and_removed() {
    let world = World::new();
    let path = "/v1/users/alice/devices/phone";
    let said = json!({"platform": "ios", "token": TOKEN.to_uppercase()});
    let created = put(&world, path, &said).await;
    assert_eq!(created.status, 201);
    let expected = json!({
        "id": "phone",
        "platform": "ios",
        "token": TOKEN,
        "active": true,
        "registered_at": "2026-11-21T12:00:00.000Z",
        "last_used_at": "2026-11-21T12:00:00.000Z",
        "inactive_since": null,
    });
    assert_eq!(created.json(), expected);
    assert_eq!(ok(world.get("/v1/users/alice").await)["created_at"], "2026-11-21T12:00:00.000Z");
    world.clock.set(now() + Duration::from_secs(86_400));
    let again = put(&world, path, &said).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json()["registered_at"], "2026-11-21T12:00:00.000Z");
    assert_eq!(again.json()["last_used_at"], "2026-11-22T12:00:00.000Z");
    let other = ok(put(&world, path, &json!({"platform": "android", "token": "f".repeat(150)})).await);
    assert_eq!(other["registered_at"], "2026-11-22T12:00:00.000Z");
    world.clock.set(now() + Duration::from_secs(31 * 86_400));
    let list = ok(world.get("/v1/users/alice/devices").await);
    assert_eq!((&list["data"][0]["active"], &list["next_cursor"]), (&json!(false), &Value::Null));
    let removed = ok(world.send("DELETE", path, "all", Body::empty()).await);
    assert_eq!(removed, json!({"id": "phone", "status": "removed"}));
    world.send("DELETE", path, "all", Body::empty()).await.assert_problem(404);
    world.get(path).await.assert_problem(404);
    assert_eq!(ok(world.get("/v1/users/alice/devices").await)["data"], json!([]));
    world.get("/v1/users/nobody/devices").await.assert_problem(404);
}

fn key(user_id: &str) -> UserKey {
    UserKey { tenant: "default".into(), user_id: user_id.into() }
}

async fn hold(world: &World, id: &str, seen_at: Timestamp, dead_since: Option<Timestamp>) {
    let token = TOKEN.into();
    let device = Device { platform: Platform::Ios, token, registered_at: seen_at, seen_at, dead_since };
    let entries = vec![UserEntry::Device { id: id.into(), device: Some(device) }];
    world.store.write_users(vec![UserChange { key: key("alice"), entries }]).await.expect("written");
}

#[tokio::test]
async fn a_token_that_was_called_dead_lives_when_it_is_given_again_and_others_are_cleared_away() {
    let world = World::new();
    let long_ago = now() - Duration::from_secs(40 * 86_400);
    hold(&world, "dead", long_ago, Some(now() - Duration::from_secs(60))).await;
    hold(&world, "idle", long_ago, None).await;
    assert_eq!(ok(world.get("/v1/users/alice/devices/dead").await)["active"], false);
    let device = ok(put(&world, "/v1/users/alice/devices/dead", &json!({"platform": "ios", "token": TOKEN})).await);
    assert_eq!((&device["active"], &device["inactive_since"]), (&json!(true), &Value::Null));
    assert_eq!(device["registered_at"], "2026-11-21T12:00:00.000Z");
    world.get("/v1/users/alice/devices/idle").await.assert_problem(404);
}

#[tokio::test]
async fn a_user_may_have_a_hundred_devices() {
    let world = World::new();
    for number in 0..100 {
        hold(&world, &format!("d{number}"), now(), None).await;
    }
    let register = async |id: &str| {
        put(&world, &format!("/v1/users/alice/devices/{id}"), &json!({"platform": "ios", "token": TOKEN})).await
    };
    assert_eq!(register("d5").await.status, 200);
    let refused = register("more").await.assert_problem(400);
    assert!(refused["detail"].as_str().expect("text").contains("100 devices"), "{refused}");
    // An old one makes room.
    hold(&world, "d7", now() - Duration::from_secs(31 * 86_400), None).await;
    assert_eq!(register("more").await.status, 201);
}

#[tokio::test]
async fn a_browsers_subscription_is_taken_as_object_or_text() {
    let world = World::new();
    let p256dh = format!("B{}", "A".repeat(86));
    let subscription = json!({
        "endpoint": "https://push.example.com/send/abc",
        "expirationTime": null,
        "keys": {"p256dh": p256dh, "auth": "AAAAAAAAAAAAAAAAAAAAAA"},
    });
    let path = "/v1/users/alice/devices/browser";
    for token in [subscription.clone(), json!(subscription.to_string())] {
        let device = ok(put(&world, path, &json!({"platform": "web", "token": token})).await);
        assert_eq!(device["token"]["endpoint"], "https://push.example.com/send/abc");
        assert_eq!(device["token"]["keys"], subscription["keys"]);
    }
    let mut insecure = subscription.clone();
    insecure["endpoint"] = json!("http://push.example.com");
    let mut short = subscription.clone();
    short["keys"]["p256dh"] = json!("AAAA");
    let mut no_secret = subscription;
    no_secret["keys"]["auth"] = json!("A");
    for (token, detail) in [
        (insecure, "https"),
        (short, "p256dh"),
        (no_secret, "keys.auth"),
        (json!("nonsense"), "as the browser gives it"),
        (json!(7), "as the browser gives it"),
    ] {
        put(&world, path, &json!({"platform": "web", "token": token})).await.assert_field("/token", detail);
    }
}

#[tokio::test]
async fn what_cannot_be_a_token_is_refused() {
    let world = World::new();
    for (platform, token, detail) in [
        ("ios", json!("abc"), "32 to 4096"),
        ("ios", json!("0123456789abcdef0123456789abcdef"), "hexadecimal"),
        ("android", json!("x".repeat(4097)), "32 to 4096"),
        ("android", json!(format!("{}\u{e4}", "x".repeat(40))), "character"),
        ("android", json!(format!("{} x", "x".repeat(40))), "character"),
        ("ios", json!({"a": 1}), "must be a text"),
        ("ios", Value::Null, "is required"),
    ] {
        let body = json!({"platform": platform, "token": token});
        put(&world, "/v1/users/alice/devices/d", &body).await.assert_field("/token", detail);
    }
    let body = json!({"platform": "windows", "token": TOKEN, "model": "X"});
    let answer = put(&world, "/v1/users/alice/devices/d", &body).await;
    answer.assert_field("/platform", "ios, android, web");
    answer.assert_field("/model", "is no field");
}

#[tokio::test]
async fn preferences_change_what_they_name() {
    let world = World::new();
    let path = "/v1/users/alice/preferences";
    world.get(path).await.assert_problem(404);
    let said = json!({
        "preferences": [
            {"category": "marketing", "channel": "email", "enabled": false},
            {"category": "social", "channel": "push", "enabled": true},
            {"category": "security", "channel": "sms", "enabled": true},
        ],
        "quiet_hours": {"from": "22:30", "to": "07:00"},
        "digest_hour": 0,
        "preferred_channel": "push",
    });
    let answer = ok(put(&world, path, &said).await);
    assert_eq!(answer["preferences"].as_array().expect("a list").len(), 3);
    let change = json!({
        "preferences": [
            {"category": "social", "channel": "push", "enabled": null},
            {"category": "marketing", "channel": "sms", "enabled": false},
        ],
        "quiet_hours": "never",
    });
    let expected = json!({
        "preferences": [
            {"category": "marketing", "channel": "email", "enabled": false},
            {"category": "marketing", "channel": "sms", "enabled": false},
            {"category": "security", "channel": "sms", "enabled": true},
        ],
        "quiet_hours": "never",
        "digest_hour": 0,
        "preferred_channel": "push",
    });
    assert_eq!(ok(put(&world, path, &change).await), expected);
    assert_eq!(ok(world.get(path).await), expected);
    // What was read may be sent back.
    assert_eq!(ok(put(&world, path, &expected).await), expected);
    let back = json!({"quiet_hours": null, "digest_hour": null, "preferred_channel": null});
    let answer = ok(put(&world, path, &back).await);
    assert!(answer["quiet_hours"].is_null() && answer["digest_hour"].is_null(), "{answer}");
    assert_eq!(answer["preferences"].as_array().expect("a list").len(), 3);
}

#[tokio::test]
async fn preferences_that_cannot_hold_are_refused() {
    let world = World::new();
    let path = "/v1/users/alice/preferences";
    let body = json!({"preferences": [
        {"category": "marketting", "channel": "email", "enabled": false},
        {"category": "security", "channel": "sms", "enabled": false},
        {"category": "social", "channel": "fax", "enabled": false},
        {"category": "social", "channel": "email", "enabled": 1},
        {"category": "social", "channel": "sms"},
        {"category": "social", "channel": "push", "enabled": true},
        {"category": "social", "channel": "push", "enabled": false},
        "social",
    ]});
    let answer = put(&world, path, &body).await;
    for (pointer, detail) in [
        ("/preferences/0/category", "did you mean `marketing`?"),
        ("/preferences/1/enabled", "users may not switch off `security`"),
        ("/preferences/2/channel", "is no channel"),
        ("/preferences/3/enabled", "true, false or null"),
        ("/preferences/4/enabled", "is required"),
        ("/preferences/6", "there twice"),
        ("/preferences/7", "must be an object"),
    ] {
        answer.assert_field(pointer, detail);
    }
    for (window, pointer, detail) in [
        (json!({"from": "22:00", "to": "22:00"}), "/quiet_hours", "whole day"),
        (json!({"from": "00:00", "to": "23:59"}), "/quiet_hours", "whole day"),
        (json!({"from": "22:00", "to": "21:30"}), "/quiet_hours", "whole day"),
        (json!({"from": "24:00", "to": "08:00"}), "/quiet_hours/from", "time of day"),
        (json!({"from": "22:00"}), "/quiet_hours/to", "is required"),
        (json!("always"), "/quiet_hours", "never"),
        (json!({"from": "22:00", "to": "08:00", "zone": "UTC"}), "/quiet_hours/zone", "is no field"),
    ] {
        put(&world, path, &json!({"quiet_hours": window})).await.assert_field(pointer, detail);
    }
    for hour in [json!(24), json!(-1), json!("8"), json!(8.5)] {
        put(&world, path, &json!({"digest_hour": hour})).await.assert_field("/digest_hour", "0 to 23");
    }
    put(&world, path, &json!({"preferred_channel": "fax"})).await.assert_field("/preferred_channel", "is no channel");
    world.get(path).await.assert_problem(404);
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
    });
    assert_eq!(receipt["erased"], expected);
    assert_eq!(receipt["suppressions_without_address"], 1);
    let not_erased = receipt["not_erased"].to_string();
    assert!(not_erased.contains("notifications that were accepted"), "{not_erased}");
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
    world.users.changes().listen(notes.clone());
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
    assert_eq!(heard().len(), 2);
}
