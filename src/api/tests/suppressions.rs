use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};

use super::world::{World, now, request, with_retry_key};

const MAIL: &str = "/v1/suppressions/email/alice@example.com";

#[tokio::test]
async fn an_address_is_suppressed_shown_and_lifted_however_it_is_written() {
    let world = World::new();
    world.get(MAIL).await.assert_problem(404);
    let created =
        world.send("PUT", "/v1/suppressions/email/Alice@Example.com", "all", r#"{"reason":"complaint"}"#).await;
    assert_eq!(created.status, 201, "{}", created.text);
    let expected = json!({
        "kind": "email",
        "address": "Alice@Example.com",
        "reason": "complaint",
        "since": "2026-11-21T12:00:00.000Z",
        "until": null,
        "active": true,
    });
    assert_eq!(created.json(), expected);
    assert_eq!(world.get(MAIL).await.json(), expected);
    world.send("GET", MAIL, "other", Body::empty()).await.assert_problem(404);
    // Since when it holds stays; the body may be empty.
    world.clock.set(now() + Duration::from_secs(60));
    let again = world.send("PUT", MAIL, "all", "").await;
    assert_eq!(again.status, 200);
    assert_eq!((&again.json()["reason"], &again.json()["since"]), (&json!("manual"), &expected["since"]));
    let lifted = world.send("DELETE", MAIL, "all", Body::empty()).await;
    assert_eq!(lifted.json(), json!({"kind": "email", "address": "alice@example.com", "status": "lifted"}));
    world.get(MAIL).await.assert_problem(404);
    world.send("DELETE", MAIL, "all", Body::empty()).await.assert_problem(404);
}

#[tokio::test]
async fn a_suppression_may_end_by_itself() {
    let world = World::new();
    let path = "/v1/suppressions/phone/%2B49%2030%20123456";
    let put = async |body: &'static str| world.send("PUT", path, "all", body).await;
    let until = put(r#"{"until":"2026-11-21T13:00:00Z"}"#).await.json();
    assert_eq!((&until["address"], &until["active"]), (&json!("+4930123456"), &json!(true)));
    world.clock.set(now() + Duration::from_secs(3600));
    assert_eq!(world.get(path).await.json()["active"], false);
    put(r#"{"until":"2026-11-21T13:00:00Z"}"#).await.assert_field("/until", "in the past");
    put(r#"{"until":"tomorrow"}"#).await.assert_field("/until", "RFC 3339");
    let anew = put("{}").await.json();
    assert_eq!((&anew["since"], &anew["active"]), (&json!("2026-11-21T13:00:00.000Z"), &json!(true)));
}

#[tokio::test]
async fn an_address_in_the_body_is_suppressed_once_for_a_retry_key() {
    let world = World::new();
    let post = async |body: Value| {
        world.call(with_retry_key(request("POST", "/v1/suppressions", "all", body.to_string()), "s1")).await
    };
    let first = post(json!({"email": "alice@example.com", "reason": "opt_out"})).await;
    assert_eq!(first.status, 200, "{}", first.text);
    world.clock.set(now() + Duration::from_secs(60));
    world.send("DELETE", MAIL, "all", Body::empty()).await;
    assert_eq!(post(json!({"email": "alice@example.com", "reason": "opt_out"})).await.text, first.text);
    world.get(MAIL).await.assert_problem(404);
    post(json!({"email": "bob@example.com"})).await.assert_problem(409);
}

#[tokio::test]
async fn what_cannot_be_suppressed_is_refused() {
    let world = World::new();
    let post = async |body: Value| world.post("/v1/suppressions", body.to_string()).await;
    post(json!({})).await.assert_field("/email", "is required");
    post(json!({"email": "nonsense"})).await.assert_field("/email", "is no mail address");
    post(json!({"email": "a@example.com", "phone": "+4930123456"})).await.assert_field("/phone", "exclude each other");
    post(json!({"email": "a@example.com", "reason": "bored"})).await.assert_field("/reason", "hard_bounce");
    post(json!({"email": "a@example.com", "why": "x"})).await.assert_field("/why", "is no field");
    for path in ["/v1/suppressions/fax/123", "/v1/suppressions/email/nonsense", "/v1/suppressions/phone/abc"] {
        world.send("PUT", path, "all", "{}").await.assert_problem(400);
    }
}

#[tokio::test]
async fn suppressions_are_listed_page_by_page() {
    let world = World::new();
    for number in 0..5 {
        world.send("PUT", &format!("/v1/suppressions/email/user{number}@example.com"), "all", "").await;
    }
    world.send("PUT", "/v1/suppressions/phone/%2B4930123456", "all", "").await;
    world.send("PUT", "/v1/suppressions/email/theirs@example.com", "other", "").await;
    let (mut seen, mut cursor): (Vec<String>, String) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/v1/suppressions?limit=4{cursor}")).await.json();
        let data = page["data"].as_array().expect("a list");
        seen.extend(data.iter().map(|one| one["address"].as_str().expect("text").to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    seen.sort();
    let mut expected: Vec<String> = (0..5).map(|number| format!("user{number}@example.com")).collect();
    expected.insert(0, "+4930123456".to_owned());
    assert_eq!(seen, expected);
    world.get("/v1/suppressions?cursor=xyz").await.assert_problem(400);
}
