//! What is held of people: exported, erased, consented to; and the log of who did what.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::users::{TOKEN, ok, put};
use super::world::{World, now, plan, position, spec};
use crate::campaigns::{ListMember, Lists, SavedList};
use crate::config::Secret;
use crate::domain::{
    Address, AddressKind, Channel, Consent, Disposition, Event, EventKind, Recipient, SuppressedAddress, TaskId,
    UserKey,
};
use crate::homes::{HOMES, Tenure, Work, home_of};
use crate::intake::fakes::FakeLog;
use crate::links::Links;
use crate::ownership::Standing;
use crate::privacy::{ErasureWork, consent_history};
use crate::sealing::testing::address_key;
use crate::store::{SharedStore, UserSecrets, user_hash};

/// A world whose users stand in the log as hashes.
fn world() -> World {
    World::of(
        FakeLog::open(),
        |_| {},
        |parts| {
            let secret = Secret::new("0123456789abcdef0123456789abcdef");
            parts.links =
                Some(std::sync::Arc::new(Links::new("http://127.0.0.1:8080", &secret, &[]).expect("long enough")));
        },
    )
}

async fn plans(world: &World, count: u64) {
    (0..count).for_each(|offset| world.store.tell(plan(offset), Vec::new()));
}

async fn erase(world: &World, id: &str) -> Value {
    ok(world.send("DELETE", &format!("/v1/users/{id}"), "all", Body::empty()).await)
}

fn granted() -> Value {
    json!({"granted": true, "text_version": "2026-01", "source": "sign-up", "note": "box ticked"})
}

async fn audit(world: &World, query: &str) -> Vec<Value> {
    let answer = ok(world.get(&format!("/v1/audit{query}")).await);
    answer["data"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn an_export_has_everything_that_is_held() {
    let world = world();
    put(&world, "/v1/users/u1", &json!({"email": "alice@example.com", "attributes": {"tier": "gold"}})).await;
    ok(put(&world, "/v1/users/u1/devices/phone", &json!({"platform": "ios", "token": TOKEN})).await);
    let said = json!({"preferences": [{"category": "social", "channel": "push", "enabled": false}], "digest_hour": 9});
    ok(put(&world, "/v1/users/u1/preferences", &said).await);
    ok(put(&world, "/v1/users/u1/consents/newsletter", &granted()).await);
    ok(put(&world, "/v1/subjects/team%2Fa/subscriptions/u1", &json!({"channel": "email"})).await);
    ok(put(&world, "/v1/suppressions/email/alice@example.com", &json!({"reason": "opt_out"})).await);
    plans(&world, 120).await;
    let answer = world.send("GET", "/v1/users/u1/export", "reader", Body::empty()).await;
    assert_eq!(answer.header("content-type"), "application/json");
    let export = ok(answer);
    assert_eq!((&export["user_id"], &export["complete"]), (&json!("u1"), &json!(true)));
    assert_eq!((&export["email"], &export["attributes"]["tier"]), (&json!("alice@example.com"), &json!("gold")));
    assert_eq!(export["devices"][0]["token"], TOKEN);
    assert_eq!(export["preferences"][0]["channel"], "push");
    assert_eq!(export["consents"][0]["text_version"], "2026-01");
    assert_eq!(export["subscriptions"][0]["subject"], "team/a");
    assert_eq!(export["suppressions"][0]["reason"], "opt_out");
    let notifications = export["notifications"].as_array().expect("a list");
    assert_eq!(notifications.len(), 120);
    // Newest first, each whole.
    assert_eq!(notifications[0]["id"], plan(119).id().to_string());
    assert_eq!(notifications[0]["tasks"][0]["to"], "alice@example.com");
    world.send("GET", "/v1/users/u1/export", "sender", Body::empty()).await.assert_problem(403);
    world.send("GET", "/v1/users/u1/export", "other", Body::empty()).await.assert_problem(404);
    world.get("/v1/users/nobody/export").await.assert_problem(404);
}

#[tokio::test]
async fn of_who_was_erased_an_export_has_what_is_left() {
    let world = world();
    put(&world, "/v1/users/u1", &json!({"email": "alice@example.com"})).await;
    erase(&world, "u1").await;
    let export = ok(world.get("/v1/users/u1/export").await);
    assert_eq!((&export["email"], &export["erased_at"]), (&Value::Null, &json!("2026-11-21T12:00:00.000Z")));
}

#[tokio::test]
async fn an_export_that_breaks_off_is_whole_json_and_says_so() {
    let world = world();
    put(&world, "/v1/users/u1", &json!({"email": "alice@example.com"})).await;
    plans(&world, 120).await;
    let request = super::world::request("GET", "/v1/users/u1/export", "all", Body::empty());
    let response = tower::ServiceExt::oneshot(world.router.clone(), request).await.expect("never fails");
    world.store.is_down.store(true, Ordering::SeqCst);
    let bytes = http_body_util::BodyExt::collect(response.into_body()).await.expect("complete").to_bytes();
    let export: Value = serde_json::from_slice(&bytes).expect("whole JSON");
    assert_eq!(export["complete"], false);
    assert!(export["error"].as_str().is_some_and(|error| !error.contains("alice")));
}

#[tokio::test]
async fn erasing_cancels_what_is_open_and_says_how_much() {
    let world = world();
    put(&world, "/v1/users/u1", &json!({"email": "alice@example.com"})).await;
    plans(&world, 3).await;
    // Sent already.
    let sent = Event::new(TaskId { position: position(0), ordinal: 0 }, 1, EventKind::Sent, now());
    world.store.tell(plan(0), vec![sent]);
    world.clock.set(now() + Duration::from_secs(1));
    let receipt = erase(&world, "u1").await;
    assert_eq!(receipt["open_tasks"], json!({"cancelled": 2, "pending": 0, "complete": true}));
    let mut cancelled = world.engine.cancelled.lock().expect("not poisoned").clone();
    cancelled.sort();
    assert_eq!(cancelled, [plan(1).id(), plan(2).id()]);
}

#[tokio::test]
async fn what_cannot_be_cancelled_now_is_told_and_left_to_be_carried_on() {
    let world = world();
    put(&world, "/v1/users/u1", &json!({"email": "alice@example.com"})).await;
    plans(&world, 3).await;
    world.clock.set(now() + Duration::from_secs(1));
    world.engine.is_elsewhere.store(true, Ordering::SeqCst);
    let receipt = erase(&world, "u1").await;
    assert_eq!(receipt["open_tasks"], json!({"cancelled": 0, "pending": 3, "complete": false}));
    world.engine.is_elsewhere.store(false, Ordering::SeqCst);
    let receipt = erase(&world, "u1").await;
    assert_eq!(receipt["open_tasks"], json!({"cancelled": 3, "pending": 0, "complete": true}));
}

#[tokio::test]
async fn consents_are_recorded_and_the_latest_counts() {
    let world = world();
    let path = "/v1/users/alice/consents/newsletter";
    world.get(path).await.assert_problem(404);
    let created = put(&world, path, &granted()).await;
    assert_eq!((created.status.as_u16(), &created.json()["granted"]), (201, &json!(true)));
    world.clock.set(now() + Duration::from_secs(60));
    let withdrawn = ok(world.send("DELETE", path, "all", Body::empty()).await);
    assert_eq!((&withdrawn["granted"], &withdrawn["text_version"]), (&json!(false), &json!("2026-01")));
    // Said before, and written down only now: it is kept, and does not count.
    let late = json!({"granted": true, "text_version": "2025-12", "source": "paper", "at": "2026-11-20T12:00:00Z"});
    assert_eq!(ok(put(&world, path, &late).await)["granted"], false);
    let shown = ok(world.get(path).await);
    let history = shown["history"].as_array().expect("a list");
    let granted: Vec<&Value> = history.iter().map(|record| &record["granted"]).collect();
    assert_eq!(granted, [&json!(false), &json!(true), &json!(true)]);
    assert_eq!(history[2]["text_version"], "2025-12");
    let list = ok(world.get("/v1/users/alice/consents").await);
    assert_eq!(list["data"][0]["purpose"], "newsletter");
    let receipt = erase(&world, "alice").await;
    assert_eq!(receipt["erased"]["consents"], 3);
    world.get(path).await.assert_problem(404);
}

#[tokio::test]
async fn what_is_wrong_with_a_consent_is_said() {
    let world = world();
    let path = "/v1/users/alice/consents/newsletter";
    put(&world, path, &json!({"granted": "yes"})).await.assert_field("/granted", "true or false");
    put(&world, path, &json!({"granted": true, "source": "x"})).await.assert_field("/text_version", "required");
    let mut ahead = granted();
    ahead["at"] = json!("2026-11-22T12:00:00Z");
    put(&world, path, &ahead).await.assert_field("/at", "future");
    put(&world, "/v1/users/alice/consents/a%20b", &granted()).await.assert_problem(400);
}

#[tokio::test]
async fn acts_stand_in_the_audit_log_and_users_there_are_hashes() {
    let world = world();
    put(&world, "/v1/users/alice", &json!({"email": "alice@example.com"})).await;
    ok(put(&world, "/v1/users/alice/consents/newsletter", &granted()).await);
    ok(world.get("/v1/users/alice/export").await);
    erase(&world, "alice").await;
    erase(&world, "bob").await;
    let lines = audit(&world, "").await;
    let shown: Vec<(&str, &str)> = lines
        .iter()
        .map(|line| (line["method"].as_str().unwrap_or(""), line["route"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(lines.len(), 4, "{shown:?}");
    assert!(lines.iter().all(|line| line["by"] == "key 1" && line["status"].is_u64()), "{lines:?}");
    let text = Value::from(lines).to_string();
    assert!(!text.contains("alice") && text.contains("user:"), "{text}");
    let of_alice = audit(&world, "?user_id=alice").await;
    assert_eq!(of_alice.len(), 3);
    let page = ok(world.get("/v1/audit?limit=3").await);
    let cursor = page["next_cursor"].as_str().expect("there is more").to_owned();
    assert_eq!(audit(&world, &format!("?limit=3&cursor={cursor}")).await.len(), 1);
    assert_eq!(audit(&world, "?to=2026-11-20T00:00:00Z").await.len(), 0);
    world.send("GET", "/v1/audit", "reader", Body::empty()).await.assert_problem(403);
    assert!(
        ok(world.send("GET", "/v1/audit", "other", Body::empty()).await)["data"].as_array().is_some_and(Vec::is_empty)
    );
}

#[tokio::test]
async fn what_was_refused_stands_there_with_its_status_and_reading_does_not() {
    let world = world();
    world.send("DELETE", "/v1/templates/none", "all", Body::empty()).await.assert_problem(404);
    ok(world.get("/v1/templates").await);
    let lines = audit(&world, "").await;
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["status"], &lines[0]["object"]), (&json!(404), &json!("none")));
}

#[tokio::test]
async fn without_a_line_in_the_log_nothing_is_done() {
    let world = world();
    put(&world, "/v1/users/alice", &json!({"email": "alice@example.com"})).await;
    world.store.is_down.store(true, Ordering::SeqCst);
    world.send("DELETE", "/v1/users/alice", "all", Body::empty()).await.assert_problem(503);
    world.store.is_down.store(false, Ordering::SeqCst);
    ok(world.get("/v1/users/alice").await);
    assert_eq!(audit(&world, "").await.len(), 0);
}

#[tokio::test]
async fn a_history_is_filtered_and_its_pages_go_on() {
    let world = world();
    let changed = |offset: u64| {
        let mut plan = plan(offset);
        plan.category = Some(if offset.is_multiple_of(2) { "social".into() } else { "marketing".into() });
        if offset == 5 {
            let mut spec = spec(Channel::InApp);
            spec.address = Address::User("u1".into());
            plan.disposition = Disposition::Tasks(vec![spec]);
        }
        plan
    };
    (0..9).for_each(|offset| world.store.tell(changed(offset), Vec::new()));
    let list = async |query: &str| ok(world.get(&format!("/v1/notifications?user_id=u1{query}")).await);
    let ids = |page: &Value| -> Vec<String> {
        let data = page["data"].as_array().expect("a list").iter();
        data.map(|one| one["id"].as_str().unwrap_or("").to_owned()).collect()
    };
    let of = |offsets: &[u64]| -> Vec<String> { offsets.iter().map(|offset| plan(*offset).id().to_string()).collect() };
    assert_eq!(ids(&list("&category=social").await), of(&[8, 6, 4, 2, 0]));
    let page = list("&category=social&limit=2").await;
    assert_eq!(ids(&page), of(&[8, 6]));
    let cursor = page["next_cursor"].as_str().expect("there is more").to_owned();
    assert_eq!(ids(&list(&format!("&category=social&limit=9&cursor={cursor}")).await), of(&[4, 2, 0]));
    assert_eq!(ids(&list("&channel=in_app").await), of(&[5]));
    assert_eq!(ids(&list("&unread=true").await), of(&[5]));
    assert_eq!(ids(&list("&unread=false").await), of(&[]));
    assert_eq!(ids(&list("&status=delivered").await), of(&[]));
    assert_eq!(ids(&list("&template=none").await), of(&[]));
    assert_eq!(ids(&list("&from=2026-11-21T12:00:00.003Z&to=2026-11-21T12:00:00.005Z").await), of(&[5, 4, 3]));
    let read = Event::new(TaskId { position: position(5), ordinal: 0 }, Event::NO_ATTEMPT, EventKind::Read, now());
    world.store.tell(changed(5), vec![read]);
    let page = list("&unread=false").await;
    assert_eq!(page["data"][0]["read_at"], "2026-11-21T12:00:00.000Z");
    for wrong in ["&channel=fax", "&status=odd", "&from=today", "&unread=perhaps", "&more=1"] {
        world.get(&format!("/v1/notifications?user_id=u1{wrong}")).await.assert_problem(400);
    }
}

#[tokio::test]
async fn a_long_export_comes_in_small_pieces() {
    let world = world();
    plans(&world, 2_000).await;
    let request = super::world::request("GET", "/v1/users/u1/export", "all", Body::empty());
    let response = tower::ServiceExt::oneshot(world.router.clone(), request).await.expect("never fails");
    let mut pieces = response.into_body().into_data_stream();
    let (mut whole, mut count) = (Vec::new(), 0);
    while let Some(piece) = futures_util::StreamExt::next(&mut pieces).await {
        let piece = piece.expect("it does not break off");
        assert!(piece.len() < 100_000, "{} bytes at once", piece.len());
        count += 1;
        whole.extend_from_slice(&piece);
    }
    assert!(count > 40, "{count} pieces");
    let export: Value = serde_json::from_slice(&whole).expect("whole JSON");
    assert_eq!(export["notifications"].as_array().map(Vec::len), Some(2_000));
}

#[tokio::test]
async fn an_erasure_is_carried_on_at_its_home() {
    let world = world();
    put(&world, "/v1/users/u1", &json!({"email": "alice@example.com"})).await;
    plans(&world, 3).await;
    world.clock.set(now() + Duration::from_secs(1));
    world.engine.is_elsewhere.store(true, Ordering::SeqCst);
    erase(&world, "u1").await;
    let work = ErasureWork::new(world.privacy.clone());
    let turns = async |count: usize| {
        for home in 0..HOMES {
            let standing = std::sync::Arc::new(Standing::for_ever());
            let tenure = Tenure::new(home, CancellationToken::new(), standing, world.clock.clone());
            let mut turns = work.begin(tenure).await.expect("it begins");
            for _ in 0..count {
                turns.turn().await.expect("a turn");
            }
        }
    };
    turns(3).await;
    assert_eq!(world.engine.cancelled.lock().expect("not poisoned").len(), 0);
    world.engine.is_elsewhere.store(false, Ordering::SeqCst);
    turns(1).await;
    assert_eq!(world.engine.cancelled.lock().expect("not poisoned").len(), 3);
    // It is over: nothing is done again.
    turns(2).await;
    assert_eq!(world.engine.cancelled.lock().expect("not poisoned").len(), 3);
}

#[tokio::test]
async fn erasing_takes_the_user_out_of_lists() {
    let world = world();
    put(&world, "/v1/users/alice", &json!({"email": "alice@example.com"})).await;
    let lists = Lists::new(world.store.clone(), world.clock.clone());
    let member = |user_id: Option<&str>, email: &str| ListMember {
        user_id: user_id.map(Into::into),
        to: Recipient { email: Some(email.into()), ..Recipient::default() },
        data: None,
    };
    let members = [
        member(Some("alice"), "a@example.com"),
        member(None, "alice@example.com"),
        member(Some("bob"), "b@example.com"),
    ];
    lists.put("default", "lst_1", &members).await.expect("written");
    let list = SavedList { id: "lst_1".into(), name: None, members: 3, bytes: 1, created_at: now(), body_hash: 0 };
    lists.complete("default", &list).await.expect("written");
    assert_eq!(ok(world.get("/v1/users/alice/export").await)["lists"].as_array().map(Vec::len), Some(2));
    assert_eq!(erase(&world, "alice").await["erased"]["list_members"], 2);
    assert_eq!(lists.count("lst_1").await.expect("read"), 1);
}

#[tokio::test]
async fn erasing_destroys_the_secrets_of_the_user_and_of_their_addresses_and_counts_them() {
    let world = world();
    put(&world, "/v1/users/u1", &json!({"email": "alice@example.com", "phone": "+4915112345678"})).await;
    let [u1, other] = ["u1", "u2"].map(|id| UserKey { tenant: "default".into(), user_id: id.into() });
    let mail = address_key().of_address(&SuppressedAddress::new("default", AddressKind::Email, "alice@example.com"));
    let owners = [u1.clone(), other.clone(), mail.clone()];
    world.secrets.create_user_secrets(&owners).await.expect("made");
    assert_eq!(erase(&world, "u1").await["secrets_destroyed"], 2);
    let left = world.secrets.user_secrets(&owners).await.expect("readable");
    assert_eq!(left.iter().map(|of| of.there.len()).collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!(erase(&world, "u1").await["secrets_destroyed"], 0);
}

/// Gives each home so many turns.
async fn turns(world: &World, count: usize) {
    let work = ErasureWork::new(world.privacy.clone());
    for home in 0..HOMES {
        let standing = std::sync::Arc::new(Standing::for_ever());
        let tenure = Tenure::new(home, CancellationToken::new(), standing, world.clock.clone());
        let mut turns = work.begin(tenure).await.expect("it begins");
        for _ in 0..count {
            turns.turn().await.expect("a turn");
        }
    }
}

#[tokio::test]
async fn what_is_written_of_nobody_while_the_erasure_is_told_around_is_destroyed_as_well() {
    let world = world();
    let key = UserKey { tenant: "default".into(), user_id: "u1".into() };
    put(&world, "/v1/users/u1", &json!({"email": "alice@example.com"})).await;
    erase(&world, "u1").await;
    // By a node that had not heard of it.
    world.secrets.create_user_secrets(std::slice::from_ref(&key)).await.expect("made");
    let consent = Consent {
        granted: true,
        at: now(),
        text_version: "1".into(),
        source: "form".into(),
        note: None,
        recorded_at: now(),
    };
    world.users.record_consent(&key, "newsletter", &consent).await.expect("written");
    let left = async || world.secrets.user_secrets(std::slice::from_ref(&key)).await.expect("readable")[0].there.len();
    turns(&world, 2).await;
    assert_eq!(left().await, 1, "it may still be under way");
    world.clock.set(now() + Duration::from_secs(31));
    turns(&world, 2).await;
    let store: SharedStore = world.store.clone();
    let records = consent_history(&store, &key, "newsletter", 9).await.expect("readable");
    assert_eq!((left().await, records.len()), (0, 0));
    // It is over: whoever comes back is left alone.
    world.secrets.create_user_secrets(std::slice::from_ref(&key)).await.expect("made");
    turns(&world, 2).await;
    assert_eq!(left().await, 1);
}

#[tokio::test]
async fn who_is_somebody_again_before_the_erasure_is_over_keeps_what_came_since() {
    let world = world();
    let key = UserKey { tenant: "default".into(), user_id: "u1".into() };
    put(&world, "/v1/users/u1", &json!({"email": "alice@example.com"})).await;
    erase(&world, "u1").await;
    world.secrets.create_user_secrets(std::slice::from_ref(&key)).await.expect("made");
    put(&world, "/v1/users/u1", &json!({"email": "bob@example.com"})).await;
    world.clock.set(now() + Duration::from_secs(31));
    turns(&world, 2).await;
    assert_eq!(world.secrets.user_secrets(&[key]).await.expect("readable")[0].there.len(), 1);
}

#[tokio::test]
async fn an_erasure_that_broke_off_before_it_destroyed_anything_is_carried_on() {
    let world = world();
    let key = UserKey { tenant: "default".into(), user_id: "u1".into() };
    put(&world, "/v1/users/u1", &json!({"email": "alice@example.com"})).await;
    let mail = address_key().of_address(&SuppressedAddress::new("default", AddressKind::Email, "alice@example.com"));
    let owners = [key, mail];
    world.secrets.create_user_secrets(&owners).await.expect("made");
    world.secrets.held().is_down = true;
    assert_eq!(world.send("DELETE", "/v1/users/u1", "all", Body::empty()).await.status, 503);
    world.secrets.held().is_down = false;
    let left = async || {
        world.secrets.user_secrets(&owners).await.expect("readable").iter().map(|of| of.there.len()).sum::<usize>()
    };
    turns(&world, 1).await;
    assert_eq!(left().await, 2, "the call may still be at it");
    world.clock.set(now() + Duration::from_secs(16));
    turns(&world, 1).await;
    assert_eq!(left().await, 0);
}

#[tokio::test]
async fn an_erasure_that_is_asked_for_again_after_it_broke_off_destroys_what_the_first_one_knew() {
    let world = world();
    let key = UserKey { tenant: "default".into(), user_id: "u1".into() };
    put(&world, "/v1/users/u1", &json!({"email": "alice@example.com"})).await;
    let mail = address_key().of_address(&SuppressedAddress::new("default", AddressKind::Email, "alice@example.com"));
    let owners = [key, mail];
    world.secrets.create_user_secrets(&owners).await.expect("made");
    world.secrets.held().is_down = true;
    assert_eq!(world.send("DELETE", "/v1/users/u1", "all", Body::empty()).await.status, 503);
    world.secrets.held().is_down = false;
    let receipt = erase(&world, "u1").await;
    assert_eq!(receipt["secrets_destroyed"], 2, "{receipt}");
    let left = world.secrets.user_secrets(&owners).await.expect("readable");
    assert!(left.iter().all(|of| of.there.is_empty()), "{left:?}");
}

#[tokio::test]
async fn who_is_written_while_an_erasure_that_broke_off_waits_to_be_carried_on_is_kept() {
    let world = world();
    let key = UserKey { tenant: "default".into(), user_id: "u1".into() };
    put(&world, "/v1/users/u1", &json!({"email": "alice@example.com"})).await;
    world.secrets.create_user_secrets(std::slice::from_ref(&key)).await.expect("made");
    world.secrets.held().is_down = true;
    assert_eq!(world.send("DELETE", "/v1/users/u1", "all", Body::empty()).await.status, 503);
    world.secrets.held().is_down = false;
    put(&world, "/v1/users/u1", &json!({"email": "bob@example.com", "attributes": {"plan": "gold"}})).await;
    world.clock.set(now() + Duration::from_secs(16));
    turns(&world, 1).await;
    assert_eq!(world.secrets.user_secrets(std::slice::from_ref(&key)).await.expect("readable")[0].there, []);
    let user = world.users.user(&key).await.expect("readable").expect("somebody");
    assert_eq!(user.email.as_deref(), Some("bob@example.com"));
    assert_eq!(user.attributes.len(), 1);
}

#[tokio::test]
async fn an_erasure_that_cannot_be_carried_on_holds_up_no_other() {
    let world = world();
    let user = |number: usize| UserKey { tenant: "default".into(), user_id: format!("u{number}").into() };
    let home = |key: &UserKey| home_of(&user_hash(key));
    let keys: Vec<UserKey> = (1..).map(user).filter(|key| home(key) == home(&user(1))).take(3).collect();
    for key in &keys {
        put(&world, &format!("/v1/users/{}", key.user_id), &json!({"email": "alice@example.com"})).await;
        erase(&world, &key.user_id).await;
        world.secrets.create_user_secrets(std::slice::from_ref(key)).await.expect("made");
    }
    world.secrets.held().broken = Some(keys[0].clone());
    world.clock.set(now() + Duration::from_secs(31));
    turns(&world, 4).await;
    let left = world.secrets.user_secrets(&keys).await.expect("readable");
    assert_eq!(left.iter().map(|of| of.there.len()).collect::<Vec<_>>(), [1, 0, 0]);
}
