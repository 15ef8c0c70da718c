//! What is over is archived: it stands in a file, the store has it no more, and nothing looks lost or is sent again.

use std::path::Path;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use fanfare::config;
use fanfare::domain::{Channel, NotificationId, NotificationRequest};
use serde_json::{Value, json};

use crate::world::{Place, TestProvider, World, mail};

const DAY: Duration = Duration::from_secs(86_400);

/// The lines of all files below a folder.
fn lines(dir: &Path) -> Vec<Value> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("readable").path()) {
        if path.is_dir() {
            found.extend(lines(&path));
            continue;
        }
        let packed = std::fs::read(path).expect("readable");
        let plain = zstd::stream::decode_all(&packed[..]).expect("whole");
        let text = String::from_utf8(plain).expect("text");
        found.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")));
    }
    found
}

/// The newest run of the schedule, once what it archives is over.
async fn archived(world: &World) -> Value {
    for _ in 0..200 {
        world.advance(Duration::from_secs(1)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        let runs = world.ask(Method::GET, "/v1/schedules/old/runs", None).await;
        let newest = runs["data"][0].clone();
        if newest["archive"]["status"] == "done" {
            return newest;
        }
    }
    panic!("it is never over: {}", world.ask(Method::GET, "/v1/schedules/old/runs", None).await);
}

async fn is_there(world: &World, id: NotificationId) -> bool {
    let (status, _) = world.call(Method::GET, &format!("/v1/notifications/{id}"), None).await;
    assert!(status == StatusCode::OK || status == StatusCode::NOT_FOUND, "{status}");
    status == StatusCode::OK
}

fn to(user: &str) -> NotificationRequest {
    NotificationRequest { user_id: Some(user.into()), ..mail() }
}

#[tokio::test]
async fn what_is_over_is_archived_and_gone_and_nothing_looks_lost() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = config::defaults();
    config.log.partitions = 1;
    config.archive.to = Some(format!("folder:{}", dir.path().display()));
    let provider = TestProvider::new("mail", &[Channel::Email]);
    let world = World::start_with(Place::embedded(), config, vec![provider.clone()]).await;
    let first = world.send(to("alice")).await;
    let second = world.send(NotificationRequest { dedup_key: Some("again".into()), ..to("alice") }).await;
    let later = NotificationRequest { deliver_at: Some(world.now() + DAY * 20), ..to("bob") };
    let later = world.send(NotificationRequest { dedup_key: Some("later".into()), ..later }).await;
    let others = world.send(NotificationRequest { tenant: "others".into(), ..to("alice") }).await;
    for id in [first, second, others] {
        world.expect_states(id, &["sent"]).await;
    }
    let before = world.ask(Method::GET, &format!("/v1/notifications/{first}"), None).await;
    world.advance(DAY * 5).await;
    let schedule = json!({"cron": "0 3 * * *", "archive": {"older_than": "3d"}});
    world.ask(Method::PUT, "/v1/schedules/old", Some(&schedule)).await;
    world.advance(Duration::from_secs(600)).await;
    world.balances().await;
    world.ask(Method::POST, "/v1/schedules/old/run", None).await;
    let run = archived(&world).await;
    let told = &run["archive"];
    assert_eq!((&told["written"], &told["dropped"], &told["files"]), (&json!(2), &json!(2), &json!(1)), "{run}");
    assert_eq!(told["left_open"], 1, "{run}");

    let mut kept = lines(dir.path());
    kept.sort_by_key(|line| line["id"].to_string());
    let ids: Vec<String> = kept.iter().map(|line| line["id"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(ids, [first.to_string(), second.to_string()]);
    // What the API showed, and more.
    for (name, value) in before.as_object().expect("an object") {
        assert_eq!(kept[0][name], *value, "{name}");
    }
    assert_eq!((&kept[0]["tenant"], &kept[0]["content"]["title"]), (&json!("default"), &json!("Hello")));

    let look = async |world: &World| {
        assert!(!is_there(world, first).await && !is_there(world, second).await);
        assert!(is_there(world, later).await && world.story(others).await.is_some());
        let history = world.ask(Method::GET, "/v1/notifications?user_id=alice", None).await;
        assert_eq!(history["data"], json!([]));
        world.balances().await;
    };
    look(&world).await;
    let sent = provider.taken().len();
    let world = world.restart().await;
    look(&world).await;

    // The one that waited is archived once it is over, and its block is looked at again.
    world.advance(DAY * 16).await;
    world.expect_states(later, &["sent"]).await;
    world.advance(DAY * 2).await;
    world.advance(Duration::from_secs(600)).await;
    world.ask(Method::POST, "/v1/schedules/old/run", None).await;
    archived(&world).await;
    assert!(!is_there(&world, later).await);
    assert_eq!(lines(dir.path()).len(), 3);
    assert_eq!(provider.taken().len(), sent + 1, "nothing was sent twice");
    world.balances().await;
    let world = world.restart().await;
    world.advance(Duration::from_secs(600)).await;
    world.balances().await;
    assert_eq!(provider.taken().len(), sent + 1, "also not after a restart");
}
