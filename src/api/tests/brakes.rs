//! What is stopped by hand.

use serde_json::{Value, json};

use super::world::{NOW, World};

#[tokio::test]
async fn a_category_is_paused_and_shown_until_it_is_resumed() {
    let world = World::new();
    let pause = r#"{"action": "pause", "scope": {"category": "marketing"}, "reason": "a wrong price"}"#;
    let paused = world.post("/v1/brakes", pause).await;
    assert_eq!(paused.status, 200, "{}", paused.text);
    let answer = paused.json();
    assert_eq!(answer["scope"], json!({"category": "marketing"}));
    assert!(answer["effect"].as_str().expect("a text").contains("not called back"));
    let listed = world.get("/v1/brakes").await.json();
    let on = json!({"at": "2026-11-21T12:00:00.000Z", "reason": "a wrong price"});
    let at = listed["data"][0]["paused"]["at"].as_str().expect("a time");
    assert!(at.starts_with(&NOW[..19]), "{at}");
    assert_eq!(listed["data"][0]["paused"]["reason"], on["reason"]);
    assert_eq!(listed["data"][0]["recalled"], Value::Null);
    let others = world.send("GET", "/v1/brakes", "other", "").await.json();
    assert_eq!(others["data"], json!([]), "another tenant's are out of sight");
    world.post("/v1/brakes", r#"{"action": "resume", "scope": {"category": "marketing"}}"#).await;
    assert_eq!(world.get("/v1/brakes").await.json()["data"], json!([]));
}

#[tokio::test]
async fn a_recall_is_shown_beside_a_pause_of_the_same() {
    let world = World::new();
    for action in ["pause", "recall"] {
        let body = json!({"action": action, "scope": {"provider": "mail-main"}});
        let answer = world.post("/v1/brakes", body.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let listed = world.get("/v1/brakes").await.json();
    assert_eq!(listed["data"].as_array().expect("a list").len(), 1);
    assert!(listed["data"][0]["paused"].is_object() && listed["data"][0]["recalled"].is_object(), "{listed}");
}

#[tokio::test]
async fn what_is_not_there_cannot_be_stopped() {
    let world = World::new();
    let check = async |scope: Value, pointer: &str, detail: &str| {
        let body = json!({"action": "pause", "scope": scope}).to_string();
        world.post("/v1/brakes", body).await.assert_field(pointer, detail);
    };
    check(json!({"category": "marketin"}), "/scope/category", "did you mean `marketing`?").await;
    check(json!({"template": "welcom"}), "/scope/template", "did you mean `welcome`?").await;
    check(json!({"channel": "fax"}), "/scope/channel", "no channel that is known").await;
    check(json!({"provider": "mail-mian"}), "/scope/provider", "did you mean `mail-main`?").await;
    check(json!({"campaign": "cmp_1"}), "/scope/campaign", "must be the id of a campaign").await;
    check(json!({"category": "marketing", "channel": "email"}), "/scope", "one thing").await;
    check(json!({}), "/scope", "must name").await;
    check(json!({"catgory": "marketing"}), "/scope/catgory", "did you mean `category`?").await;
    check(json!("marketing"), "/scope", "").await;
}

#[tokio::test]
async fn a_campaign_is_paused_by_its_id() {
    let world = World::new();
    let id = crate::domain::CampaignId(7).to_string();
    let body = json!({"action": "pause", "scope": {"campaign": id}});
    let answer = world.post("/v1/brakes", body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(world.get("/v1/brakes").await.json()["data"][0]["scope"]["campaign"], json!(id));
}

#[tokio::test]
async fn an_action_that_is_none_is_refused_and_so_is_a_body_without_one() {
    let world = World::new();
    let stop = r#"{"action": "stop", "scope": {"channel": "email"}}"#;
    world.post("/v1/brakes", stop).await.assert_field("/action", "pause, resume or recall");
    world.post("/v1/brakes", r#"{"scope": {"channel": "email"}}"#).await.assert_field("/action", "is required");
    world.post("/v1/brakes", r#"{"action": "pause"}"#).await.assert_field("/scope", "is required");
    let long = json!({"action": "pause", "scope": {"channel": "email"}, "reason": "x".repeat(501)});
    world.post("/v1/brakes", long.to_string()).await.assert_field("/reason", "500 bytes");
}

#[tokio::test]
async fn a_resume_may_name_what_is_not_there_and_says_that_nothing_was_paused() {
    let world = World::new();
    let resume = async |name: &str| {
        let body = json!({"action": "resume", "scope": {"template": name}});
        world.post("/v1/brakes", body.to_string()).await
    };
    let answer = resume("deleted").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.json()["effect"].as_str().expect("a text").contains("nothing changes"), "{}", answer.text);
    resume(&"x".repeat(129)).await.assert_field("/scope/template", "128 bytes");
    world.post("/v1/brakes", r#"{"action": "pause", "scope": {"template": "welcome"}}"#).await;
    let answer = resume("welcome").await;
    assert!(answer.json()["effect"].as_str().expect("a text").contains("goes on"), "{}", answer.text);
}

#[tokio::test]
async fn only_a_key_that_may_administer_stops_anything() {
    let world = World::new();
    let body = r#"{"action": "pause", "scope": {"channel": "email"}}"#;
    world.send("POST", "/v1/brakes", "sender", body).await.assert_problem(403);
    world.send("POST", "/v1/brakes", "reader", body).await.assert_problem(403);
}
