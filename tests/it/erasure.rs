//! What is left of somebody who was erased: nothing that could be read, wherever it stood, also when the log is read again.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::routing::post;
use axum::{Json, Router};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::{Place, Planted, Process, eventually, on_both_in_turn};

on_both_in_turn! {
    of_who_was_erased_nothing_can_be_read_wherever_it_was_written
    a_campaign_that_runs_while_a_member_is_erased_ends_and_sends_that_one_nothing_more
}

/// Takes webhooks, and keeps the ids of the notifications; refuses those whose path says so.
async fn hooks() -> (Arc<Mutex<BTreeSet<String>>>, SocketAddr) {
    let taken = Arc::<Mutex<BTreeSet<String>>>::default();
    let taking = taken.clone();
    let take = move |axum::extract::Path(path): axum::extract::Path<String>, Json(body): Json<Value>| async move {
        if path.starts_with("gone") {
            return StatusCode::GONE;
        }
        let id = body["id"].as_str().expect("a webhook has an id").to_owned();
        taking.lock().expect("not poisoned").insert(id);
        StatusCode::OK
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/{path}", post(take))).await });
    (taken, address)
}

/// Somebody of whom something stands everywhere.
struct Somebody {
    path: String,
    planted: Planted,
    /// Of what is planted, what no export says: texts of others' lists, and keys of which only a hash is kept.
    is_not_exported: Vec<String>,
    notifications: Vec<String>,
    /// Not sent yet.
    waiting: String,
}

async fn status_of(node: &Process, id: &str) -> Option<String> {
    let (status, answer) = node.try_call(Method::GET, &format!("/v1/notifications/{id}"), None).await.ok()?;
    (status == StatusCode::OK).then(|| answer["status"].as_str().unwrap_or_default().to_owned())
}

async fn send(node: &Process, request: Value) -> String {
    let accepted = node.call(Method::POST, "/v1/notifications", Some(&request)).await;
    accepted["id"].as_str().expect("an id").to_owned()
}

/// Everything the API takes about a person, each with a text of its own.
async fn plant(node: &Process, user: &str, hook: SocketAddr) -> Somebody {
    let mut planted = Planted::new();
    let path = format!("/v1/users/{user}");
    let mut hidden = Vec::new();
    let email = format!("{}@example.org", planted.text("mail"));
    let phone = format!("+4930{}", planted.digits());
    let contact = json!({"email": email, "phone": phone, "attributes": {"nickname": planted.text("attribute"),
                         "child": {"name": planted.text("nested")}}});
    node.call(Method::PUT, &path, Some(&contact)).await;
    let token = planted.text("token");
    let device = json!({"platform": "android", "token": format!("{token}:APA91b{}", "x".repeat(64))});
    node.call(Method::PUT, &format!("{path}/devices/phone"), Some(&device)).await;
    let consent =
        json!({"granted": true, "text_version": "1", "source": planted.text("source"), "note": planted.text("note")});
    node.call(Method::PUT, &format!("{path}/consents/newsletter"), Some(&consent)).await;
    let suppression = json!({"reason": "manual"});
    node.call(Method::PUT, &format!("/v1/suppressions/email/{email}"), Some(&suppression)).await;
    node.call(Method::PUT, &format!("/v1/suppressions/phone/{phone}"), Some(&suppression)).await;
    let member = json!({"user_id": user, "data": {"gift": planted.text("member")}});
    let by_address = json!({"email": email, "data": {"gift": planted.text("byaddress")}});
    node.upload("/v1/lists", format!("{member}\n{by_address}\n")).await;
    hidden.extend(planted.all()[planted.all().len() - 2..].to_vec());

    let mut notifications = Vec::new();
    let usual = json!({
        "user_id": user, "channels": ["webhook", "in_app"],
        "to": {"url": format!("http://{hook}/{}", planted.text("url")), "email": format!("{}@example.net", planted.text("to"))},
        "content": {"title": planted.text("title"), "body": planted.text("body"), "html": planted.text("html"), "sms": planted.text("sms")},
        "data": {"order": planted.text("data")}, "metadata": {"trace": planted.text("metadata")},
        "collapse_key": planted.text("collapse"),
        "attachments": [{"url": format!("https://files.example.org/{}", planted.text("file")), "name": planted.text("filename")}],
    });
    notifications.push(send(node, usual).await);
    let kept_apart = ["zqto", "zqcollapse", "zqfile"];
    hidden.extend(planted.all().iter().filter(|text| kept_apart.iter().any(|of| text.starts_with(of))).cloned());
    let key = planted.text("groupkey");
    // Only a hash is kept of it.
    hidden.push(key.clone());
    for _ in 0..2 {
        let liked = json!({
            "user_id": user, "channels": ["webhook"], "to": {"url": format!("http://{hook}/liked")},
            "content": {"title": "{{count}}", "body": "{{actors}} {{items}}"},
            "data": {"of": planted.text("item")},
            "aggregate": {"key": key, "actor": planted.text("actor"), "window_seconds": 1},
        });
        notifications.push(send(node, liked).await);
        hidden.extend(planted.all().last().cloned());
    }
    let refused = json!({
        "user_id": user, "channels": ["webhook"], "to": {"url": format!("http://{hook}/gone{}", planted.text("dead"))},
        "content": {"title": "t", "body": planted.text("deadbody")}, "dedup_key": planted.text("dedup"),
    });
    hidden.extend(planted.all().last().cloned());
    notifications.push(send(node, refused).await);
    // By the address alone, as programs do that have no ids.
    let nameless = json!({"to": {"email": email}, "content": {"title": "t", "body": planted.text("nameless")}, "channels": ["email"]});
    hidden.extend(planted.all().last().cloned());
    send(node, nameless).await;
    let later = json!({
        "user_id": user, "channels": ["webhook"], "to": {"url": format!("http://{hook}/later")}, "delay_seconds": 3600,
        "content": {"title": "t", "body": planted.text("later")},
    });
    let waiting = send(node, later).await;
    for id in &notifications {
        let done = ["sent", "delivered", "merged", "failed", "skipped"];
        let settled = async || status_of(node, id).await.filter(|word| done.contains(&&**word));
        eventually(&format!("{id} is settled"), settled).await;
    }
    eventually("it waits", async || (status_of(node, &waiting).await? == "scheduled").then_some(())).await;
    Somebody { path, planted, is_not_exported: hidden, notifications, waiting }
}

async fn of_who_was_erased_nothing_can_be_read_wherever_it_was_written(place: Place) {
    let (taken, hook) = hooks().await;
    let node = Process::start_with_hooks(&place).await;
    let Somebody { path, planted, is_not_exported, notifications, waiting } =
        plant(&node, &place.own("alice"), hook).await;
    assert!(planted.all().len() >= 20, "{} texts", planted.all().len());
    let other = plant(&node, &place.own("bob"), hook).await;
    // Else nothing is proven by not finding it.
    let export = node.call(Method::GET, &format!("{path}/export"), None).await.to_string();
    let missing: Vec<_> =
        planted.all().iter().filter(|text| !export.contains(&**text) && !is_not_exported.contains(text)).collect();
    assert!(missing.is_empty(), "never written: {missing:?}");

    let receipt = node.call(Method::DELETE, &path, None).await;
    assert!(receipt["secrets_destroyed"].as_u64().is_some_and(|count| count >= 1), "{receipt}");
    eventually("what waited is cancelled", async || (status_of(&node, &waiting).await? == "cancelled").then_some(()))
        .await;
    let shown = node.call(Method::GET, &format!("/v1/notifications/{}", notifications[0]), None).await;
    assert_eq!(shown["erased"], true, "{shown}");
    let before = taken.lock().expect("not poisoned").len();
    let found = planted.found(&place).await;
    assert!(found.is_empty(), "{found:#?}");

    // The log is read again, by a node that remembers nothing.
    node.kill();
    drop(node);
    let node = Process::start_and_read_again(&place).await;
    eventually("the books balance", async || {
        let books = node.call(Method::GET, "/v1/accounting", None).await;
        (books["unaccounted"] == 0).then_some(())
    })
    .await;
    let export = node.call(Method::GET, &format!("{path}/export"), None).await.to_string();
    let shown: Vec<_> = planted.all().iter().filter(|text| export.contains(&**text)).collect();
    assert!(shown.is_empty(), "{shown:?}");
    // Others are as they were.
    let export = node.call(Method::GET, &format!("{}/export", other.path), None).await.to_string();
    let lost: Vec<_> = other
        .planted
        .all()
        .iter()
        .filter(|text| !export.contains(&**text) && !other.is_not_exported.contains(text))
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(taken.lock().expect("not poisoned").len(), before, "nothing was sent again");
    let found = planted.found(&place).await;
    assert!(found.is_empty(), "{found:#?}");
    // Whoever comes by the name now is somebody new.
    node.call(Method::PUT, &path, Some(&json!({"email": "new@example.org"}))).await;
    let again = json!({"user_id": place.own("alice"), "channels": ["webhook"], "to": {"url": format!("http://{hook}/again")},
                       "content": {"title": "t", "body": "b"}});
    let id = send(&node, again).await;
    eventually("it is sent", async || (status_of(&node, &id).await? == "sent").then_some(())).await;
    assert_eq!(node.call(Method::GET, &path, None).await["email"], "new@example.org");
}

async fn a_campaign_that_runs_while_a_member_is_erased_ends_and_sends_that_one_nothing_more(place: Place) {
    const MEMBERS: usize = 200;
    let (taken, hook) = hooks().await;
    let node = Process::start_with_hooks(&place).await;
    let user = |number: usize| place.own(&format!("member{number}"));
    let line = |number| json!({"user_id": user(number), "url": format!("http://{hook}/{number}")}).to_string() + "\n";
    let list = node.upload("/v1/lists", (0..MEMBERS).map(line).collect()).await;
    let campaign = json!({"audience": {"list": list["id"]}, "content": {"title": "t", "body": "b"}, "channels": ["webhook"],
                          "rate_per_second": 50});
    let begun = node.call(Method::POST, "/v1/campaigns", Some(&campaign)).await;
    let progress = format!("/v1/campaigns/{}", begun["id"].as_str().expect("an id"));
    eventually("some are sent", async || (taken.lock().expect("not poisoned").len() >= 20).then_some(())).await;
    // One that had its message, and one that has not.
    for number in [0, MEMBERS - 1] {
        node.call(Method::DELETE, &format!("/v1/users/{}", user(number)), None).await;
    }
    let over = eventually("it is over", async || {
        let over = node.call(Method::GET, &progress, None).await;
        (over["status"] == "completed").then_some(over)
    })
    .await;
    let count = |name: &str| over[name].as_u64().expect("a number") as usize;
    assert_eq!(count("succeeded") + count("skipped"), count("total"), "{over}");
    assert_eq!(taken.lock().expect("not poisoned").len(), count("succeeded"));
    assert!(count("succeeded") >= MEMBERS - 2, "{over}");
}
