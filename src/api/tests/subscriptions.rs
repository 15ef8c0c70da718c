use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};

use super::users::{ok, put};
use super::world::{World, now};

const SHOW: &str = "/v1/subjects/show:17/subscriptions";

#[tokio::test]
async fn a_user_follows_a_subject_on_a_channel_and_stops() {
    let world = World::new();
    let path = format!("{SHOW}/alice");
    world.get(&path).await.assert_problem(404);
    let created = put(&world, &path, &json!({"channel": "email"})).await;
    assert_eq!(created.status, 201);
    let expected = json!({
        "subject": "show:17",
        "user_id": "alice",
        "channel": "email",
        "status": "active",
        "since": "2026-11-21T12:00:00.000Z",
        "changed_at": "2026-11-21T12:00:00.000Z",
    });
    assert_eq!(created.json(), expected);
    world.clock.set(now() + Duration::from_secs(60));
    // What was read may be sent back, and changes nothing.
    let again = put(&world, &path, &expected).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, expected.clone()));
    let changed = ok(put(&world, &path, &json!({"channel": "none", "status": "inactive"})).await);
    assert_eq!((&changed["since"], &changed["status"]), (&expected["since"], &json!("inactive")));
    assert_eq!(changed["changed_at"], "2026-11-21T12:01:00.000Z");
    assert_eq!(ok(world.get(&path).await), changed);
    world.send("GET", &path, "other", Body::empty()).await.assert_problem(404);
    assert_eq!(ok(world.send("DELETE", &path, "all", Body::empty()).await)["status"], "removed");
    world.send("DELETE", &path, "all", Body::empty()).await.assert_problem(404);
    assert_eq!(ok(world.get("/v1/users/alice/subscriptions").await)["data"], json!([]));
}

#[tokio::test]
async fn what_is_wrong_with_a_subscription_is_said_with_its_place() {
    let world = World::new();
    let path = format!("{SHOW}/alice");
    put(&world, &path, &json!({})).await.assert_field("/channel", "required");
    put(&world, &path, &json!({"channel": "pigeon"})).await.assert_field("/channel", "app, email, sms or none");
    put(&world, &path, &json!({"channel": "sms", "status": "on"})).await.assert_field("/status", "active or inactive");
    put(&world, &path, &json!({"channel": "sms", "user_id": "bo"})).await.assert_field("/user_id", "another");
    put(&world, &path, &json!({"channel": "sms", "chanel": 1})).await.assert_field("/chanel", "channel");
    let long = format!("/v1/subjects/{}/subscriptions/alice", "x".repeat(257));
    put(&world, &long, &json!({"channel": "sms"})).await.assert_problem(400);
}

#[tokio::test]
async fn lists_go_on_where_their_page_ended() {
    let world = World::new();
    for user in ["alice", "bo", "cy", "di", "ed"] {
        ok(put(&world, &format!("{SHOW}/{user}"), &json!({"channel": "app"})).await);
        ok(put(&world, &format!("/v1/subjects/of-{user}/subscriptions/alice"), &json!({"channel": "sms"})).await);
    }
    let (_, followers) = pages(&world, SHOW, "user_id").await;
    let mut sorted = followers.clone();
    sorted.sort();
    assert_eq!(sorted, ["alice", "bo", "cy", "di", "ed"]);
    let (count, subjects) = pages(&world, "/v1/users/alice/subscriptions", "subject").await;
    assert_eq!(
        (count, subjects),
        (3, ["of-alice", "of-bo", "of-cy", "of-di", "of-ed", "show:17"].map(str::to_owned).to_vec())
    );
    world.get(&format!("{SHOW}?cursor=***")).await.assert_problem(400);
    world.get(&format!("{SHOW}?limit=0")).await.assert_problem(400);
}

/// How many pages of two there are, and a field of all entries.
async fn pages(world: &World, path: &str, field: &str) -> (usize, Vec<String>) {
    let (mut count, mut found, mut cursor) = (0, Vec::new(), String::new());
    loop {
        let page = ok(world.get(&format!("{path}?limit=2{cursor}")).await);
        count += 1;
        let entries = page["data"].as_array().expect("a list").iter();
        found.extend(entries.map(|entry| entry[field].as_str().expect("a text").to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (count, found),
        }
    }
}

#[tokio::test]
async fn followers_come_as_lines_and_bad_ones_are_told_by_their_number() {
    let world = World::new();
    let lines = "{\"user_id\":\"alice\",\"channel\":\"email\"}\n{\"user_id\":\"bo\"}\n\nno json\n\
                 {\"user_id\":\"cy\",\"channel\":\"sms\",\"status\":\"inactive\"}\n{\"user_id\":\"alice\",\"channel\":\"app\"}\n";
    let mut request = super::world::request("PUT", SHOW, "all", lines);
    let value = axum::http::HeaderValue::from_static("application/x-ndjson");
    request.headers_mut().insert(axum::http::header::CONTENT_TYPE, value);
    let answer = world.call(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let said: Vec<Value> = answer.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&said[0]["line"], &said[0]["errors"][0]["pointer"]), (&json!(2), &json!("/channel")));
    assert_eq!(said[1]["line"], 4);
    assert_eq!(said[2], json!({"done": true, "lines": 6, "taken": 3, "refused": 2}));
    assert_eq!(ok(world.get(&format!("{SHOW}/alice")).await)["channel"], "app");
    assert_eq!(ok(world.get(&format!("{SHOW}/cy")).await)["status"], "inactive");
}

#[tokio::test]
async fn erasing_a_user_takes_away_what_they_follow_and_says_how_much() {
    let world = World::new();
    for subject in ["one", "two"] {
        ok(put(&world, &format!("/v1/subjects/{subject}/subscriptions/alice"), &json!({"channel": "sms"})).await);
    }
    let receipt = ok(world.send("DELETE", "/v1/users/alice", "all", Body::empty()).await);
    assert_eq!(receipt["erased"]["subscriptions"], 2);
    assert_eq!(ok(world.get("/v1/subjects/one/subscriptions").await)["data"], json!([]));
    assert_eq!(ok(world.get("/v1/users/alice/subscriptions").await)["data"], json!([]));
}
