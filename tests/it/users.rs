//! What is known of users, through the API of whole nodes.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{Place, Process, on_both};

on_both! {
    what_is_known_of_a_user_is_written_changed_and_erased
    what_was_answered_is_there_after_a_crash
    an_import_takes_good_lines_and_tells_the_bad_ones
    suppressions_are_kept_listed_and_lifted
}

const TOKEN: &str = "a9d0ed10e9cfd022a61cb08753f49c5a0b0dfb383697bf9f9d750a1003da19c7";

async fn status(node: &Process, method: Method, path: &str) -> StatusCode {
    node.try_call(method, path, None).await.expect("the node answers").0
}

async fn what_is_known_of_a_user_is_written_changed_and_erased(place: Place) {
    let node = Process::start_at(&place).await;
    let user = format!("/v1/users/{}", place.own("alice"));
    let (device, preferences) = (format!("{user}/devices/phone"), format!("{user}/preferences"));
    assert_eq!(status(&node, Method::GET, &user).await, StatusCode::NOT_FOUND);
    let contact = json!({"email": "a@example.com", "phone": "+49 30 123456", "timezone": "Asia/Tokyo",
                         "attributes": {"tier": "gold", "seen": {"pages": 3}}});
    node.call(Method::PUT, &user, Some(&contact)).await;
    let patch = json!({"email": null, "locale": "ja_jp", "attributes": {"seen": {"pages": null, "days": 2}}});
    let merged = node.call(Method::PATCH, &user, Some(&patch)).await;
    assert_eq!(
        (&merged["email"], &merged["phone"], &merged["locale"]),
        (&Value::Null, &json!("+4930123456"), &json!("ja-JP"))
    );
    assert_eq!(merged["attributes"], json!({"tier": "gold", "seen": {"days": 2}}));
    assert_eq!(node.call(Method::GET, &user, None).await, merged);
    node.call(Method::PUT, &device, Some(&json!({"platform": "ios", "token": TOKEN}))).await;
    let said = json!({"preferences": [{"category": "marketing", "channel": "email", "enabled": false}],
                      "quiet_hours": {"from": "22:00", "to": "08:00"}});
    let held = node.call(Method::PUT, &preferences, Some(&said)).await;
    assert_eq!(node.call(Method::GET, &preferences, None).await, held);
    let receipt = node.call(Method::DELETE, &user, None).await;
    assert_eq!((&receipt["erased"]["devices"], &receipt["erased"]["attributes"]), (&json!(1), &json!(2)));
    for path in [&user, &device, &preferences] {
        assert_eq!(status(&node, Method::GET, path).await, StatusCode::NOT_FOUND);
    }
    // Known again from then on, and nothing of before comes back.
    let anew = node.call(Method::PUT, &user, Some(&json!({"email": "b@example.com"}))).await;
    assert_eq!(anew["attributes"], json!({}));
}

async fn what_was_answered_is_there_after_a_crash(place: Place) {
    let node = Process::start_at(&place).await;
    let user = format!("/v1/users/{}", place.own("bob"));
    let written = node.call(Method::PUT, &user, Some(&json!({"email": "b@example.com"}))).await;
    let removed = format!("{user}/devices/old");
    node.call(Method::PUT, &removed, Some(&json!({"platform": "ios", "token": TOKEN}))).await;
    node.call(Method::DELETE, &removed, None).await;
    node.kill();
    drop(node);
    let node = Process::start_at(&place).await;
    assert_eq!(node.call(Method::GET, &user, None).await, written);
    assert_eq!(status(&node, Method::GET, &removed).await, StatusCode::NOT_FOUND);
}

async fn an_import_takes_good_lines_and_tells_the_bad_ones(place: Place) {
    const COUNT: usize = 3000;
    let node = Process::start_at(&place).await;
    let id = |number: usize| place.own(&format!("user{number}"));
    let mut lines = String::new();
    for number in 0..COUNT {
        let line = match number % 1000 {
            500 => json!({"id": id(number), "email": "nonsense"}),
            _ => json!({"id": id(number), "email": format!("u{number}@example.com"),
                        "devices": [{"id": "phone", "platform": "ios", "token": TOKEN}],
                        "preferences": [{"category": "social", "channel": "push", "enabled": number % 2 == 0}]}),
        };
        lines += &format!("{line}\n");
    }
    let said = node.import(lines.clone()).await;
    let refused: Vec<_> = said.iter().filter_map(|line| line["line"].as_u64()).collect();
    assert_eq!(refused, [501, 1501, 2501]);
    let done = json!({"done": true, "lines": COUNT, "taken": COUNT - 3, "refused": 3});
    assert_eq!(said.last(), Some(&done));
    for number in [0, 499, 501, COUNT - 1] {
        let user = node.call(Method::GET, &format!("/v1/users/{}", id(number)), None).await;
        assert_eq!(user["email"], format!("u{number}@example.com"));
        let held = node.call(Method::GET, &format!("/v1/users/{}/preferences", id(number)), None).await;
        assert_eq!(held["preferences"][0]["enabled"], number % 2 == 0);
    }
    assert_eq!(node.import(lines).await.last(), Some(&done), "again, it is the same");
}

async fn suppressions_are_kept_listed_and_lifted(place: Place) {
    let node = Process::start_at(&place).await;
    let address = |number: usize| format!("{}@example.com", place.own(&format!("s{number}")).to_lowercase());
    for number in 0..30 {
        let path = format!("/v1/suppressions/email/{}", address(number));
        node.call(Method::PUT, &path, Some(&json!({"reason": "hard_bounce"}))).await;
    }
    let (mut own, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = node.call(Method::GET, &format!("/v1/suppressions?limit=7{cursor}"), None).await;
        let listed = page["data"].as_array().expect("a list").iter();
        // Other tests share the tables.
        own.extend(
            listed
                .filter_map(|one| one["address"].as_str())
                .filter(|one| one.contains(&place.own("s")))
                .map(str::to_owned),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    own.sort();
    let mut expected: Vec<String> = (0..30).map(address).collect();
    expected.sort();
    assert_eq!(own, expected);
    let path = format!("/v1/suppressions/email/{}", address(3));
    assert_eq!(node.call(Method::GET, &path, None).await["reason"], "hard_bounce");
    node.call(Method::DELETE, &path, None).await;
    assert_eq!(status(&node, Method::GET, &path).await, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_writes_another_reads() {
    let Some(place) = Place::on_services_alone().await else { return };
    let (one, other) = (Process::start_at(&place).await, Process::start_at(&place).await);
    for number in 0..20 {
        let path = format!("/v1/users/{}", place.own("carol"));
        let (writer, reader) = if number % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let written = writer.call(Method::PUT, &path, Some(&json!({"attributes": {"number": number}}))).await;
        assert_eq!(reader.call(Method::GET, &path, None).await, written);
    }
}
