use axum::body::Body;
use bytes::Bytes;

use super::world::{World, now, plan, position, request, with_retry_key};
use crate::domain::{Channel, TaskId, Timestamp};
use crate::store::{DeadLetter, DeadLetterCause, DeadLetterKey};

fn letter(offset: u64, channel: Channel) -> DeadLetter {
    let task = TaskId { position: position(offset), ordinal: 0 };
    DeadLetter {
        key: DeadLetterKey { tenant: "default".into(), at: Timestamp(now().millis() + offset), task },
        reason: "550 no such user".into(),
        cause: DeadLetterCause::Task { channel, attempt: 4 },
    }
}

fn record() -> DeadLetter {
    let task = TaskId { position: position(9), ordinal: 255 };
    DeadLetter {
        key: DeadLetterKey { tenant: "".into(), at: now(), task },
        reason: "cannot be decoded".into(),
        cause: DeadLetterCause::Record { body: Bytes::from_static(b"xyz") },
    }
}

#[tokio::test]
async fn dead_letters_are_listed_newest_first_page_by_page() {
    let world = World::new();
    for offset in 0..3 {
        world.store.bury(letter(offset, Channel::Email));
    }
    let page = world.get("/v1/dead-letters?limit=2").await.json();
    let first = &page["data"][0];
    assert_eq!((&first["kind"], &first["channel"], &first["attempt"]), (&"task".into(), &"email".into(), &4.into()));
    assert_eq!(first["task_id"], TaskId { position: position(2), ordinal: 0 }.to_string());
    let cursor = page["next_cursor"].as_str().expect("more");
    let rest = world.get(&format!("/v1/dead-letters?limit=2&cursor={cursor}")).await.json();
    assert_eq!(rest["data"].as_array().expect("data").len(), 1);
    assert!(rest["next_cursor"].is_null());
    let other = world.send("GET", "/v1/dead-letters", "other", Body::empty()).await.json();
    assert_eq!(other["data"], serde_json::json!([]));
}

#[tokio::test]
async fn unusable_records_are_listed_for_admins_without_their_bytes() {
    let world = World::new();
    world.store.bury(record());
    let answer = world.get("/v1/dead-letters?kind=record").await;
    let json = answer.json();
    assert_eq!((&json["data"][0]["kind"], &json["data"][0]["size"]), (&"record".into(), &3.into()));
    let id = json["data"][0]["id"].as_str().expect("an id");
    let replayed = world.post(&format!("/v1/dead-letters/{id}/replay"), "").await;
    assert_eq!(replayed.json()["status"], "requeued");
    assert_eq!(world.engine.replayed.lock().expect("not poisoned")[0], record().key);
}

#[tokio::test]
async fn a_replay_happens_once_and_a_retry_of_it_is_told_the_same() {
    let world = World::new();
    let dead = letter(1, Channel::Email);
    world.store.tell(plan(1), Vec::new());
    world.store.bury(dead.clone());
    let id = world.get("/v1/dead-letters").await.json()["data"][0]["id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/dead-letters/{id}/replay");
    let replay = async || world.call(with_retry_key(request("POST", &path, "all", ""), "r1")).await;
    let first = replay().await;
    assert_eq!(first.json()["status"], "requeued");
    world.store.revive(&dead.key);
    assert_eq!(replay().await.text, first.text);
    assert_eq!(world.engine.replayed.lock().expect("not poisoned").len(), 1);
    assert_eq!(world.post(&path, "").await.json()["status"], "not_replayable");
    world.send("POST", &path, "other", "").await.assert_problem(404);
    world.post("/v1/dead-letters/dlq_1_ntf_x/replay", "").await.assert_problem(404);
}

#[tokio::test]
async fn all_that_fits_a_filter_is_replayed_up_to_a_limit() {
    let world = World::new();
    for offset in 0..6 {
        world.store.bury(letter(offset, if offset % 2 == 0 { Channel::Email } else { Channel::Sms }));
    }
    let replay = async |body: &'static str| world.post("/v1/dead-letters/replay", body).await;
    assert_eq!(
        replay(r#"{"channel":"email","limit":2}"#).await.json(),
        serde_json::json!({"replayed": 2, "not_replayable": 0, "has_more": true})
    );
    assert_eq!(replay(r#"{"since":"2026-11-21T12:00:00.004Z"}"#).await.json()["replayed"], 2);
    assert_eq!(replay(r#"{"until":"2026-11-21T12:00:00.001Z"}"#).await.json()["replayed"], 1);
    assert_eq!(replay("").await.json()["replayed"], 6);
}

#[tokio::test]
async fn a_filter_that_is_wrong_replays_nothing_and_says_which_field() {
    let world = World::new();
    world.store.bury(letter(1, Channel::Email));
    for (bad, pointer, detail) in [
        (r#"{"channel":"fax"}"#, "/channel", "one of email"),
        (r#"{"limit":0}"#, "/limit", "1 to 1000"),
        (r#"{"limit":"all"}"#, "/limit", "1 to 1000"),
        (r#"{"since":"x"}"#, "/since", "RFC 3339"),
        (r#"{"until":5}"#, "/until", "RFC 3339"),
        (r#"{"all/of":true}"#, "/all~1of", "no field that is known"),
        ("[1", "", "is no JSON"),
        ("[]", "", "must be an object"),
        (r#"[null,null,"email"]"#, "", "must be an object"),
    ] {
        world.post("/v1/dead-letters/replay", bad).await.assert_field(pointer, detail);
    }
    assert!(world.engine.replayed.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn a_retry_key_of_one_dead_letter_says_nothing_of_another() {
    let world = World::new();
    for offset in 0..2 {
        world.store.bury(letter(offset, Channel::Email));
    }
    let list = world.get("/v1/dead-letters").await.json();
    for index in 0..2 {
        let id = list["data"][index]["id"].as_str().expect("an id");
        let path = format!("/v1/dead-letters/{id}/replay");
        let answer = world.call(with_retry_key(request("POST", &path, "all", ""), "r1")).await;
        assert_eq!(answer.json(), serde_json::json!({"id": id, "status": "requeued"}));
    }
    assert_eq!(world.engine.replayed.lock().expect("not poisoned").len(), 2);
}

#[tokio::test]
async fn a_used_key_with_another_filter_is_a_conflict_even_if_the_filter_is_wrong() {
    let world = World::new();
    let replay =
        async |body| world.call(with_retry_key(request("POST", "/v1/dead-letters/replay", "all", body), "r1")).await;
    assert_eq!(replay("{}").await.status, 200);
    replay(r#"{"limit":5}"#).await.assert_problem(409);
    replay(r#"{"limit":0}"#).await.assert_problem(409);
}
