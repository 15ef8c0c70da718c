//! Schedules, through the API.

use std::sync::OnceLock;

use axum::body::Body;
use serde_json::{Value, json};

use super::world::{World, request, with_retry_key};
use crate::domain::DefinitionKind;
use crate::intake::fakes::FakeLog;

fn reminders() -> Value {
    json!({"cron": "0 9 * * *", "timezone": "Europe/Berlin", "scan": {
        "attribute": "membership_expires_at", "days_ahead": [7, 1], "send": {"template": "welcome"}}})
}

fn with_name(name: &str, mut body: Value) -> Value {
    body["name"] = json!(name);
    body
}

#[tokio::test]
async fn a_schedule_is_created_shown_with_its_next_runs_changed_and_deleted() {
    let world = World::new();
    let created = world.post("/v1/schedules", with_name("reminders", reminders()).to_string()).await;
    assert_eq!(created.status, 201, "{}", created.text);
    assert_eq!((created.header("location"), created.header("etag")), ("/v1/schedules/reminders", "\"1\""));
    world.post("/v1/schedules", with_name("reminders", reminders()).to_string()).await.assert_problem(409);
    let place = "/v1/schedules/reminders";
    let shown = world.get(place).await.json();
    assert_eq!(shown["definition"], reminders());
    assert_eq!((&shown["active"], &shown["problems"]), (&json!(true), &json!([])));
    let next: Vec<&str> = shown["next_runs"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(next.len(), 5);
    assert_eq!((next[0], next[4]), ("2026-11-22T09:00:00+01:00", "2026-11-26T09:00:00+01:00"));
    let mut off = reminders();
    off["active"] = json!(false);
    let mut change = request("PUT", place, "all", off.to_string());
    change.headers_mut().insert("if-match", "\"1\"".parse().expect("a header"));
    let changed = world.call(change).await;
    assert_eq!((changed.status.as_u16(), changed.header("etag")), (200, "\"2\""), "{}", changed.text);
    let mut stale = request("PUT", place, "all", reminders().to_string());
    stale.headers_mut().insert("if-match", "\"1\"".parse().expect("a header"));
    world.call(stale).await.assert_problem(412);
    let shown = world.get(place).await.json();
    assert_eq!((&shown["active"], &shown["next_runs"]), (&json!(false), &json!([])));
    let list = world.get("/v1/schedules").await.json();
    assert_eq!((&list["data"][0]["name"], &list["data"][0]["active"]), (&json!("reminders"), &json!(false)));
    assert_eq!(world.get("/v1/rules?origin=saved").await.json()["data"], json!([]));
    assert_eq!(world.send("DELETE", place, "all", Body::empty()).await.status, 200);
    world.get(place).await.assert_problem(404);
    world.get(&format!("{place}/runs")).await.assert_problem(404);
}

#[tokio::test]
async fn what_cannot_run_is_refused_when_it_is_saved() {
    let world = World::new();
    let mut never = reminders();
    never["cron"] = json!("0 0 30 2 *");
    world.post("/v1/schedules", with_name("a", never.clone()).to_string()).await.assert_field("/cron", "never fires");
    let put = world.send("PUT", "/v1/schedules/a", "all", never.to_string()).await;
    put.assert_field("/cron", "never fires");
    let mut missing = reminders();
    missing["scan"]["send"]["template"] = json!("missing");
    let refused = world.post("/v1/schedules", with_name("a", missing).to_string()).await;
    refused.assert_field("/scan/send/template", "there is no template");
    world.post("/v1/schedules", with_name("A b", reminders()).to_string()).await.assert_field("/name", "1 to 64");
    let reserved = world.post("/v1/schedules", with_name("preview", reminders()).to_string()).await;
    reserved.assert_field("/name", "another call");
    for (method, path) in [("POST", "/v1/schedules"), ("PUT", "/v1/schedules/a"), ("POST", "/v1/schedules/a/run")] {
        world.send(method, path, "reader", "{}").await.assert_problem(403);
    }
}

#[tokio::test]
async fn an_expression_is_tried_without_saving_it() {
    let world = World::new();
    let preview = |body: Value| world.post("/v1/schedules/preview", body.to_string());
    let shown = preview(json!({"cron": "30 2 * * *", "timezone": "Asia/Kathmandu"})).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    assert_eq!(shown.json()["timezone"], "Asia/Kathmandu");
    assert_eq!(shown.json()["next_runs"][0], "2026-11-22T02:30:00+05:45");
    assert_eq!(preview(json!({"cron": "@hourly"})).await.json()["next_runs"][0], "2026-11-21T13:00:00+00:00");
    preview(json!({"cron": "0 0 31 2 *"})).await.assert_field("/cron", "never fires");
    preview(json!({"timezone": "UTC"})).await.assert_field("/cron", "is required");
    preview(json!({"cron": "@daily", "zone": "UTC"})).await.assert_field("/zone", "no field");
}

#[tokio::test]
async fn a_run_that_is_asked_for_is_begun_once_for_its_key_and_stands_in_the_history() {
    let world = World::new();
    world.post("/v1/schedules", with_name("reminders", reminders()).to_string()).await;
    let path = "/v1/schedules/reminders/run";
    let first = world.call(with_retry_key(request("POST", path, "all", Body::empty()), "k")).await;
    assert_eq!(first.status, 202, "{}", first.text);
    let run = first.json();
    assert_eq!((&run["kind"], &run["status"], &run["missed"]), (&json!("manual"), &json!("begun"), &json!(0)));
    assert_eq!(run["campaigns"].as_array().expect("a list").len(), 32);
    let again = world.call(with_retry_key(request("POST", path, "all", Body::empty()), "k")).await;
    assert_eq!(again.text, first.text);
    world.call(with_retry_key(request("POST", path, "all", "{ }"), "k")).await.assert_problem(409);
    world.post(path, r#"{"days": 1}"#).await.assert_field("/days", "no field");
    assert_eq!(world.begins.campaigns().len(), 32);
    assert_eq!(world.post(path, Body::empty()).await.status, 202);
    world.post("/v1/schedules/nothing/run", Body::empty()).await.assert_problem(404);

    let page = world.get("/v1/schedules/reminders/runs?limit=1").await.json();
    let (cursor, newest) = (page["next_cursor"].as_str().expect("there are two").to_owned(), &page["data"][0]);
    assert_eq!(newest["totals"]["processed"], 64, "{newest}");
    assert_eq!(
        newest["totals"],
        json!({"total": 96, "processed": 64, "succeeded": 32, "failed": 32, "skipped": 0, "rows_read": 128, "open": 32})
    );
    let rest = world.get(&format!("/v1/schedules/reminders/runs?limit=1&cursor={cursor}")).await.json();
    assert_eq!((rest["data"].as_array().expect("a list").len(), &rest["next_cursor"]), (1, &Value::Null));
    let mut ids = [newest["id"].clone(), rest["data"][0]["id"].clone()].map(|id| id.to_string());
    ids.sort_unstable();
    assert!(ids[0] != ids[1] && ids.contains(&run["id"].to_string()), "{ids:?}");
    world.get("/v1/schedules/reminders/runs?cursor=cnVuX3p6").await.assert_problem(400);
    let other = world.send("GET", "/v1/schedules/reminders/runs", "other", Body::empty()).await;
    other.assert_problem(404);
}

#[tokio::test]
async fn a_template_that_has_gone_is_a_problem_of_its_schedule() {
    let definitions = OnceLock::new();
    let world = World::of(FakeLog::open(), |_| {}, |parts| _ = definitions.set(parts.definitions.clone()));
    let mut body = reminders();
    body["scan"]["send"]["template"] = json!("missing");
    // As it was saved when there was one: without being judged.
    let definitions = definitions.get().expect("the world has them");
    let saved = definitions.put("default", DefinitionKind::Schedule, "reminders", &body.to_string(), None).await;
    saved.expect("saved");
    let shown = world.get("/v1/schedules/reminders").await.json();
    assert_eq!(shown["active"], false);
    assert_eq!(shown["problems"][0]["pointer"], "/scan/send/template");
}
