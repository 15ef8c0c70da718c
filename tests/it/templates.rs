//! Templates that were saved: there after a restart, and in force on every node.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use fanfare::domain::Channel;
use fanfare::templates::INTERVAL;
use serde_json::{Value, json};

use crate::world::{Place, Process, TestProvider, World, on_both};

on_both! {
    what_was_saved_is_in_force_after_a_restart_with_its_history
}

fn template(code: &str, text: &str) -> Value {
    json!({"template": {"code": code, "locales": {"en": {"title": "Hi", "body": text}}}})
}

async fn start(place: Place) -> World {
    World::start(place, vec![TestProvider::new("mail", &[Channel::Email])]).await
}

async fn text(world: &World, path: &str) -> Value {
    world.ask(Method::GET, path, None).await["template"]["locales"]["en"]["body"].clone()
}

async fn what_was_saved_is_in_force_after_a_restart_with_its_history(place: Place) {
    let code = place.own("order");
    let path = format!("/v1/templates/{code}");
    let world = start(place).await;
    for text in ["one", "two", "three"] {
        world.ask(Method::PUT, &path, Some(&template(&code, text))).await;
    }
    world.ask(Method::POST, &format!("{path}/rollback"), Some(&json!({"version": 2}))).await;
    world.ask(Method::DELETE, &format!("{path}/versions/1"), None).await;
    let before = world.ask(Method::GET, &path, None).await;
    let world = world.restart().await;
    assert_eq!(world.ask(Method::GET, &path, None).await, before);
    assert_eq!(text(&world, &path).await, "two");
    assert_eq!(text(&world, &format!("{path}/versions/3")).await, "three");
    assert_eq!(world.call(Method::GET, &format!("{path}/versions/1"), None).await.0, StatusCode::NOT_FOUND);
    let changes = world.ask(Method::GET, &format!("{path}/changes"), None).await;
    assert_eq!(changes["data"].as_array().expect("a list").len(), 5);
    assert_eq!(world.ask(Method::PUT, &path, Some(&template(&code, "four"))).await["version"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_saves_the_other_shows_within_a_moment() {
    let Some(place) = Place::on_services().await else { return };
    let code = place.own("hot");
    let path = format!("/v1/templates/{code}");
    let one = start(place).await;
    let other = one.another().await;
    let following = tokio::spawn(other.templates.clone().follow());
    for text in ["one", "two"] {
        one.ask(Method::PUT, &path, Some(&template(&code, text))).await;
        let shown = async || {
            other.advance(INTERVAL).await;
            let (status, shown) = other.call(Method::GET, &path, None).await;
            (status == StatusCode::OK && shown["template"]["locales"]["en"]["body"] == text).then_some(())
        };
        other.until(shown).await;
    }
    following.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_on_two_nodes_at_once_are_made_one_after_the_other_and_none_is_lost() {
    let Some(place) = Place::on_services().await else { return };
    let code = place.own("both");
    let path = format!("/v1/templates/{code}");
    let one = start(place).await;
    let other = one.another().await;
    let edit = async |node: &World, name: &str| {
        for number in 0..5 {
            node.ask(Method::PUT, &path, Some(&template(&code, &format!("{name} {number}")))).await;
        }
    };
    let both = async { tokio::join!(edit(&one, "one"), edit(&other, "other")) };
    tokio::time::timeout(Duration::from_secs(60), both).await.expect("in time");
    one.templates.refresh().await.expect("read");
    let versions = one.ask(Method::GET, &format!("{path}/versions"), None).await;
    let numbers: Vec<u64> = versions["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["version"].as_u64().expect("a number"))
        .collect();
    assert_eq!(numbers, (1..=10).rev().collect::<Vec<_>>());
}

/// Runs `fanfare templates`: whether it went well, and what it said.
fn templates(node: &Process, dir: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fanfare"));
    command.arg("templates").args(arguments).arg("--dir").arg(dir).env("FANFARE_URL", node.url());
    let output = command.env("FANFARE_KEY", "dev").output().expect("it runs");
    let said = String::from_utf8(output.stdout).expect("UTF-8") + &String::from_utf8(output.stderr).expect("UTF-8");
    (output.status.success(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_pushed_and_pulled_and_nobodys_edit_is_written_over() {
    let place = Place::embedded();
    let node = Process::start_at(&place).await;
    let (one, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let file = one.path().join("order.toml");
    let text = "code = \"order\"\ndefault_locale = \"en\"\n\n[locales.en]\ntitle = \"Hi\"\nbody = \"Hello\"\n";
    std::fs::write(&file, text).expect("written");
    let run = |dir: &tempfile::TempDir, arguments: &[&str]| templates(&node, dir.path(), arguments);
    let check = |said: (bool, String), is_well: bool, expected: &str| {
        assert!(said.0 == is_well && said.1.contains(expected), "{said:?}");
    };

    check(run(&one, &["push", "--dry-run"]), true, "would be created  order");
    check(run(&one, &["diff"]), false, "+body = \"Hello\"");
    check(run(&one, &["push"]), true, "created    order");
    check(run(&one, &["push"]), true, "unchanged  order");
    check(run(&one, &["diff"]), true, "");
    check(run(&other, &["pull"]), true, "written    order");
    assert_eq!(std::fs::read_to_string(other.path().join("order.toml")).expect("read"), text);
    check(run(&other, &["push"]), true, "unchanged  order");

    std::fs::write(&file, text.replace("Hello", "Good day")).expect("written");
    check(run(&one, &["push"]), true, "updated    order");
    std::fs::write(other.path().join("order.toml"), text.replace("Hello", "Hey")).expect("written");
    check(run(&other, &["push"]), false, "conflict   order");
    check(run(&other, &["diff"]), false, "-body = \"Good day\"\n+body = \"Hey\"");
    check(run(&other, &["push", "--force"]), true, "updated    order");
    check(run(&one, &["pull"]), true, "written    order");
    assert_eq!(std::fs::read_to_string(&file).expect("read"), text.replace("Hello", "Hey"));

    std::fs::remove_file(&file).expect("removed");
    check(run(&one, &["push"]), true, "left       order");
    check(run(&one, &["push", "--delete"]), true, "deleted    order");
    check(run(&other, &["push"]), false, "conflict   order");
    check(run(&other, &["pull"]), true, "not saved  order");
    check(run(&other, &["push"]), true, "created    order");
    std::fs::write(&file, "code = \"order\"\ntitel = \"Hi\"\n").expect("written");
    check(run(&one, &["push"]), false, "unknown field `titel`");
}
