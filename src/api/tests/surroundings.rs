use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use axum::body::Body;
use serde_json::Value;

use super::world::World;
use crate::api::problem::Kind;
use crate::api::resources::docs::{OPENAPI, PAGE};
use crate::api::routes::{Access, table};
use crate::config::Scope;
use crate::intake::fakes::FakeLog;
use crate::telemetry::Condition;

#[tokio::test]
async fn an_unknown_address_is_404_and_a_wrong_method_405_that_names_the_right_ones() {
    let world = World::new();
    for path in ["/", "/v1", "/v1/unknown", "/v1/notifications/ntf_x/y", "/docs/other.js"] {
        world.send("GET", path, "none", Body::empty()).await.assert_problem(404);
        world.send("POST", path, "none", Body::empty()).await.assert_problem(404);
    }
    let answer = world.send("PATCH", "/v1/notifications", "all", Body::empty()).await;
    answer.assert_problem(405);
    let allowed: BTreeSet<&str> = answer.header("allow").split(',').map(str::trim).collect();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed:?}");
}

#[tokio::test]
async fn a_panic_is_a_500_without_its_details() {
    let world = World::new();
    world.engine.panics.store(true, Ordering::SeqCst);
    let answer = world.get("/v1/accounting").await;
    answer.assert_problem(500);
    assert!(!answer.text.contains("secret details"));
}

#[tokio::test]
async fn readiness_says_what_stands_against_it() {
    let world = World::new();
    assert_eq!(world.send("GET", "/readyz", "none", Body::empty()).await.status, 200);
    world.health.report(Condition::Providers, "`mail-main` is broken");
    let answer = world.send("GET", "/readyz", "none", Body::empty()).await;
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.json()["reasons"],
        serde_json::json!([{"condition": "providers", "reason": "`mail-main` is broken"}])
    );
}

#[tokio::test]
async fn requests_are_let_in_while_a_shard_cannot_be_taken_over_and_something_takes_them() {
    let log = FakeLog::shared();
    let world = World::with(log.clone(), |_| {});
    let ready = async || {
        let answer = world.send("GET", "/readyz", "none", Body::empty()).await;
        (answer.status.as_u16(), answer.json()["status"].as_str().expect("a status").to_owned())
    };
    let degraded = (200, "degraded".to_owned());
    world.health.report(Condition::Shards, "cannot take a shard over: the store is out");
    assert_eq!(ready().await, degraded, "the log takes them");
    log.spills.store(true, Ordering::SeqCst);
    assert_eq!(ready().await, degraded, "the store takes them");
    world.health.report(Condition::Store, "it is out");
    assert_eq!(ready().await, (503, "not_ready".to_owned()));
}

#[tokio::test]
async fn requests_are_timed_by_route_method_and_status_and_never_by_id() {
    let world = World::new();
    world.get("/v1/tasks/tsk_nothing").await.assert_problem(404);
    world.get("/v1/nowhere/at/all").await.assert_problem(404);
    let page = world.send("GET", "/metrics", "none", Body::empty()).await.text;
    let series = r#"fanfare_http_request_duration_seconds_count{route="/v1/tasks/{id}",method="GET",status="404"}"#;
    assert!(page.contains(series), "{page}");
    assert!(!page.contains("tsk_nothing") && !page.contains("nowhere"));
    world.send("PATCH", "/v1/notifications", "all", Body::empty()).await.assert_problem(405);
    let page = world.send("GET", "/metrics", "none", Body::empty()).await.text;
    for status in [404, 405] {
        let series =
            format!("fanfare_http_request_duration_seconds_count{{route=\"none\",method=\"ANY\",status=\"{status}\"}}");
        assert!(page.contains(&series), "{page}");
    }
}

#[tokio::test]
async fn the_page_to_try_the_api_loads_nothing_from_elsewhere() {
    let world = World::new();
    for path in ["/docs", "/docs/docs.js", "/docs/docs.css"] {
        let answer = world.send("GET", path, "none", Body::empty()).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"));
        assert!(!answer.text.contains("http://") && !answer.text.contains("https://"), "{path} names another host");
    }
    for kind in Kind::ALL {
        assert!(PAGE.contains(&format!("id=\"{}\"", kind.anchor())), "the page does not explain {}", kind.anchor());
    }
}

#[test]
fn the_openapi_document_has_every_route_and_no_other() {
    let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, call) in methods.as_object().expect("methods") {
            described.insert((method.to_uppercase(), path.clone()));
            let scope = table().into_iter().find(|route| route.path == path && route.method == *method.to_uppercase());
            let expected = match scope.unwrap_or_else(|| panic!("there is no {method} {path}")).access {
                Access::Key(Scope::Send) => Some("Needs the scope `send`."),
                Access::Key(Scope::Read) => Some("Needs the scope `read`."),
                Access::Key(Scope::Admin) => Some("Needs the scope `admin`."),
                Access::Person(Scope::Read) => Some("Needs the scope `read`, or the user's token."),
                Access::Person(_) => Some("Needs the scope `send`, or the user's token."),
                Access::AnyKey => Some("Needs a key, with whatever scope."),
                Access::Stranger | Access::Always => None,
            };
            let description = call["description"].as_str().unwrap_or_default();
            assert!(description.ends_with(expected.unwrap_or_default()), "{method} {path}: {description}");
            assert_eq!(call["security"].is_array(), expected.is_none(), "{method} {path}");
        }
    }
    let served: BTreeSet<_> =
        table().into_iter().map(|route| (route.method.to_string(), route.path.to_owned())).collect();
    assert_eq!(described, served);
}

#[test]
fn the_openapi_document_follows_only_references_that_exist() {
    fn walk(root: &Value, value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                    let pointer = reference.strip_prefix('#').expect("within the document");
                    assert!(root.pointer(pointer).is_some(), "{reference} leads nowhere");
                }
                fields.values().for_each(|value| walk(root, value));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(root, value)),
            _ => {}
        }
    }
    let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
    walk(&document, &document);
}

#[tokio::test]
async fn strangers_take_no_more_than_their_part_of_the_places() {
    let world = World::with(FakeLog::open(), |http| http.max_in_flight = 4);
    let never = || Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let path = "/v1/providers/nobody/receipts";
    world.send("POST", path, "none", Body::empty()).await.assert_problem(404);
    let world = World::of(
        FakeLog::open(),
        |http| http.max_in_flight = 4,
        |parts| {
            let secret = crate::config::Secret::new("0123456789abcdef0123456789abcdef");
            let links = crate::links::Links::new("https://example.com", &secret, &[]).expect("long enough");
            parts.links = Some(std::sync::Arc::new(links));
        },
    );
    let secret = crate::config::Secret::new("0123456789abcdef0123456789abcdef");
    let links = crate::links::Links::new("", &secret, &[]).expect("long enough");
    let said = crate::links::Unsubscribe {
        tenant: "default".into(),
        whom: crate::links::Whom::User("alice".into()),
        category: "marketing".into(),
        channel: crate::domain::Channel::Email,
        task: super::world::plan(1).task_id(0),
    };
    let link = links.unsubscribe(&said).expect("short enough");
    let mut waiting = Box::pin(world.send("POST", &link, "none", never()));
    assert!(futures_util::poll!(&mut waiting).is_pending(), "its body does not end");
    world.send("POST", &link, "none", Body::empty()).await.assert_problem(503);
    assert_eq!(world.get("/v1/accounting").await.status, 200, "others are let in");
    drop(waiting);
    assert_eq!(world.send("POST", &link, "none", Body::empty()).await.status, 200);
}
