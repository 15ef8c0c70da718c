use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};

use super::users::{TOKEN, key, ok, put};
use super::world::{World, now};
use crate::domain::{Device, Platform, Timestamp, UserEntry};
use crate::store::{UserChange, Users};

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
        ("ios", json!("z".repeat(64)), "hexadecimal"),
        ("ios", json!(format!("{TOKEN}0")), "hexadecimal"),
        ("ios", json!(format!("{}:{}", "a".repeat(22), "b".repeat(42))), "hexadecimal"),
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
async fn an_app_for_ios_may_have_a_token_of_fcm() {
    let world = World::new();
    let token = format!("dGhpc0lzQW5JZDpvZkE:APA91b{}", "Hk-_".repeat(33));
    let path = "/v1/users/alice/devices/phone";
    let device = ok(put(&world, path, &json!({"platform": "ios", "token": token})).await);
    assert_eq!(device["platform"], "ios");
}
