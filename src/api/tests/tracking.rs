//! The pixel and the links of mails, and what programs tell of messages.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::world::{Answer, World, now, plan, request, with_retry_key};
use crate::config::Secret;
use crate::domain::{Event, EventKind, Position, TaskId, Timestamp, UserEntry, UserKey};
use crate::intake::fakes::FakeLog;
use crate::links::{Links, MaySee, Pass, TrackedMail};
use crate::store::{TaskLog, UserChange};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const BROWSER: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15";
const TARGET: &str = "https://shop.example/orders/7?from=mail";

fn links() -> Links {
    Links::new("", &Secret::new(SECRET), &[]).expect("long enough")
}

/// With a mail that was sent ten seconds ago.
fn world() -> World {
    let world = World::of(FakeLog::open(), |_| {}, |parts| parts.links = Some(Arc::new(links())));
    let plan = plan(1);
    let sent = Event::new(plan.task_id(0), 1, EventKind::Sent, now());
    world.store.tell(plan, vec![sent]);
    world.clock.set(now() + Duration::from_secs(10));
    world
}

fn tracked(offset: u64) -> TrackedMail {
    TrackedMail { tenant: "default".into(), task: plan(offset).task_id(0), made_at: now() }
}

fn open(offset: u64) -> String {
    links().open(&tracked(offset)).expect("short enough")
}

fn click(offset: u64) -> String {
    links().click(&tracked(offset), 3, TARGET).expect("short enough")
}

async fn visit(world: &World, method: &str, path: &str, user_agent: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).header("user-agent", user_agent);
    let response =
        world.router.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("never fails");
    // An image is no text.
    Answer { status: response.status(), headers: response.headers().clone(), text: String::new() }
}

async fn events(world: &World, offset: u64) -> Vec<Event> {
    let found = world.store.stories(&[plan(offset).position]).await.expect("read").pop().flatten();
    let told = found.expect("it is there").events.into_iter();
    told.filter(|event| event.kind != EventKind::Sent).collect()
}

#[tokio::test]
async fn an_image_is_answered_that_nobody_keeps_and_each_look_is_noted() {
    let world = world();
    for _ in 0..2 {
        let answer = visit(&world, "GET", &open(1), BROWSER).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!((answer.header("content-type"), answer.header("cache-control")), ("image/gif", "no-store"));
        assert_eq!(answer.header("content-length"), "43");
        assert!(!answer.headers.contains_key("set-cookie"));
    }
    let noted = events(&world, 1).await;
    let said: Vec<_> = noted.iter().map(|event| (event.kind, event.by_machine, event.channel.is_some())).collect();
    assert_eq!(said, [(EventKind::Opened, false, true); 2]);
    assert_ne!(noted[0].occasion, noted[1].occasion);
    assert!(noted.iter().all(|event| event.occasion != 0 && event.reason.is_none()));
    let head = visit(&world, "HEAD", &open(1), BROWSER).await;
    assert_eq!((head.status, head.header("content-type")), (StatusCode::OK, "image/gif"));
    assert!(events(&world, 1).await[2].by_machine, "nobody sees anything by HEAD");
}

#[tokio::test]
async fn a_link_leads_on_and_says_where_without_what_is_personal() {
    let world = world();
    let answer = visit(&world, "GET", &click(1), BROWSER).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::FOUND, TARGET));
    assert_eq!((answer.header("referrer-policy"), answer.header("cache-control")), ("no-referrer", "no-store"));
    let noted = events(&world, 1).await;
    assert_eq!(noted.len(), 1);
    assert_eq!((noted[0].kind, noted[0].reason.as_deref()), (EventKind::Clicked, Some("link 3 (shop.example)")));
    let task = world.get(&format!("/v1/tasks/{}", plan(1).task_id(0))).await.json();
    let shown = task["events"].as_array().expect("events").iter().find(|event| event["type"] == "clicked");
    assert_eq!(
        shown.map(|event| (&event["reason"], &event["by_machine"])),
        Some((&json!("link 3 (shop.example)"), &Value::Null))
    );
}

#[tokio::test]
async fn who_tries_to_be_led_elsewhere_is_led_nowhere() {
    let world = world();
    let other = Links::new("", &Secret::new(SECRET.to_uppercase()), &[]).expect("long enough");
    let strange = other.click(&tracked(1), 1, "https://evil.example").expect("short enough");
    let genuine = click(1);
    let open_as_click = open(1).replace("/t/o/", "/t/c/");
    for path in [
        strange.as_str(),
        &genuine[..genuine.len() - 3],
        &open_as_click,
        "/t/c/https%3A%2F%2Fevil.example",
        "/t/c/%FF",
        "/t/c/x?url=https://evil.example",
    ] {
        let answer = visit(&world, "GET", path, BROWSER).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(!answer.headers.contains_key("location"), "{path}");
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    }
    for path in ["/t/o/x", &genuine.replace("/t/c/", "/t/o/")] {
        let answer = visit(&world, "GET", path, BROWSER).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "image/gif"), "no broken image");
    }
    assert!(events(&world, 1).await.is_empty());
    assert!(visit(&world, "POST", &genuine, BROWSER).await.status.is_client_error());
}

#[tokio::test]
async fn programs_are_told_from_persons_where_they_can_be() {
    let check = async |user_agent: &str, seconds_after: u64, header: Option<(&str, &str)>, expected: bool| {
        let world = world();
        world.clock.set(now() + Duration::from_secs(seconds_after));
        let mut request = Request::builder().uri(open(1)).header("user-agent", user_agent);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(Body::empty()).expect("a request");
        world.router.clone().oneshot(request).await.expect("never fails");
        let noted = events(&world, 1).await;
        assert_eq!(noted.len(), 1);
        assert_eq!(noted[0].by_machine, expected, "{user_agent} after {seconds_after} s with {header:?}");
    };
    check(BROWSER, 10, None, false).await;
    check(BROWSER, 1, None, true).await;
    check(BROWSER, 2, None, false).await;
    check("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", 10, None, false)
        .await;
    check("YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", 10, None, false).await;
    check("Mozilla/5.0 (Windows NT 10.0; Microsoft Outlook 16.0.18827; ms-office; MSOffice 16)", 10, None, false).await;
    check("Mozilla/5.0 (Linux; Android 13; CUBOT P80) AppleWebKit/537.36", 10, None, false).await;
    check("Mozilla/5.0 BARRACUDA Link Protection", 3_600, None, true).await;
    check("Mozilla/5.0 (compatible; BingPreview/1.0b)", 10, None, true).await;
    check("curl/8.5.0", 10, None, true).await;
    check("", 10, None, true).await;
    check(BROWSER, 10, Some(("sec-purpose", "prefetch;prerender")), true).await;
    check(BROWSER, 10, Some(("purpose", "preview")), true).await;
}

#[tokio::test]
async fn of_one_mail_no_more_than_a_hundred_looks_are_noted() {
    let world = world();
    for _ in 0..110 {
        assert_eq!(visit(&world, "GET", &open(1), BROWSER).await.status, StatusCode::OK);
    }
    assert_eq!(events(&world, 1).await.len(), 100);
    assert_eq!(visit(&world, "GET", &click(1), BROWSER).await.status, StatusCode::FOUND);
    assert_eq!(events(&world, 1).await.len(), 101, "clicks are counted by themselves");
}

#[tokio::test]
async fn who_was_erased_and_what_is_gone_is_answered_and_not_noted() {
    let world = world();
    let key = UserKey { tenant: "default".into(), user_id: "u1".into() };
    let entries = vec![UserEntry::Erased(Some(now() + Duration::from_secs(5)))];
    world.users.write_users(vec![UserChange { key, entries }]).await.expect("written");
    assert_eq!(visit(&world, "GET", &click(1), BROWSER).await.status, StatusCode::FOUND);
    assert_eq!(visit(&world, "GET", &open(1), BROWSER).await.status, StatusCode::OK);
    assert!(events(&world, 1).await.is_empty());
    assert_eq!(visit(&world, "GET", &click(2), BROWSER).await.status, StatusCode::FOUND, "nothing is held of it");
    let another = TrackedMail { tenant: "other".into(), ..tracked(1) };
    let path = links().open(&another).expect("short enough");
    assert_eq!(visit(&world, "GET", &path, BROWSER).await.status, StatusCode::OK);
    assert!(events(&world, 1).await.is_empty());
}

#[tokio::test]
async fn who_follows_a_link_is_led_on_though_the_store_stands_still() {
    let world = world();
    world.store.is_silent.store(true, Ordering::SeqCst);
    let answer = visit(&world, "GET", &click(1), BROWSER).await;
    assert_eq!((answer.status, answer.header("location")), (StatusCode::FOUND, TARGET));
    world.store.is_silent.store(false, Ordering::SeqCst);
    world.store.is_down.store(true, Ordering::SeqCst);
    assert_eq!(visit(&world, "GET", &click(1), BROWSER).await.status, StatusCode::FOUND);
    assert_eq!(visit(&world, "GET", &open(1), BROWSER).await.status, StatusCode::OK);
    world.store.is_down.store(false, Ordering::SeqCst);
    assert_eq!(visit(&world, "GET", &click(1), BROWSER).await.status, StatusCode::FOUND);
    assert!(!events(&world, 1).await.is_empty());
}

fn kinds(events: &[Event]) -> Vec<EventKind> {
    events.iter().map(|event| event.kind).collect()
}

#[tokio::test]
async fn a_conversion_is_noted_once_for_each_id() {
    let world = world();
    let (notification, task) = (plan(1).id().to_string(), plan(1).task_id(0).to_string());
    let order = json!({"notification_id": notification, "name": "purchase", "id": "order-1", "occurred_at": "2026-11-21T12:00:05Z"});
    for _ in 0..2 {
        let answer = world.send("POST", "/v1/conversions", "sender", order.to_string()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        assert_eq!(answer.json(), json!({"notification_id": notification, "task_id": task, "type": "converted"}));
    }
    let by_task = json!({"task_id": task, "id": "order-1"});
    assert_eq!(world.post("/v1/conversions", by_task.to_string()).await.status, StatusCode::ACCEPTED);
    let noted = events(&world, 1).await;
    assert_eq!(kinds(&noted), [EventKind::Converted]);
    assert_eq!((noted[0].reason.as_deref(), noted[0].at), (Some("purchase"), now() + Duration::from_secs(5)));
    let second = json!({"task_id": task, "id": "order-2"});
    assert_eq!(world.post("/v1/conversions", second.to_string()).await.status, StatusCode::ACCEPTED);
    let keyed = json!({"task_id": task}).to_string();
    for _ in 0..2 {
        let request = with_retry_key(request("POST", "/v1/conversions", "all", keyed.clone()), "k1");
        assert_eq!(world.call(request).await.status, StatusCode::ACCEPTED);
    }
    assert_eq!(events(&world, 1).await.len(), 3);
    let other = with_retry_key(request("POST", "/v1/conversions", "all", second.to_string()), "k1");
    world.call(other).await.assert_problem(409);
}

#[tokio::test]
async fn a_conversion_of_nothing_or_that_makes_no_sense_is_refused() {
    let world = world();
    let task = plan(1).task_id(0).to_string();
    let post = async |body: Value| world.post("/v1/conversions", body.to_string()).await;
    post(json!({"task_id": plan(2).task_id(0).to_string()})).await.assert_problem(404);
    post(json!({"task_id": TaskId { ordinal: 7, ..plan(1).task_id(0) }.to_string()})).await.assert_problem(404);
    let of_others = world.send("POST", "/v1/conversions", "other", json!({"task_id": task}).to_string()).await;
    of_others.assert_problem(404);
    world.send("POST", "/v1/conversions", "reader", json!({"task_id": task}).to_string()).await.assert_problem(403);
    post(json!({})).await.assert_field("", "needs one of");
    post(json!({"task_id": task, "notification_id": plan(1).id().to_string()})).await.assert_field("", "needs one of");
    post(json!({"task_id": "x"})).await.assert_field("/task_id", "no id of a task");
    post(json!({"task_id": task, "name": "alice@example.com"})).await.assert_field("/name", "letters");
    post(json!({"task_id": task, "id": ""})).await.assert_field("/id", "1 to 256");
    post(json!({"task_id": task, "occurred_at": "yesterday"})).await.assert_field("/occurred_at", "is no time");
    post(json!({"task_id": task, "occurred_at": "2999-01-01T00:00:00Z"})).await.assert_field("/occurred_at", "to come");
    post(json!({"task_id": task, "occurred_at": "1970-01-01T00:00:00Z"})).await.assert_field("/occurred_at", "before");
    post(json!({"task_id": task, "value": 5})).await.assert_field("/value", "no field");
    assert!(events(&world, 1).await.is_empty());
}

fn pass(user: &str) -> String {
    let pass = Pass {
        tenant: "default".into(),
        user_id: user.into(),
        expires_at: Timestamp(now().millis() + 3_600_000),
        may_see: MaySee::Nobody,
    };
    links().pass(&pass).expect("short enough")
}

#[tokio::test]
async fn an_app_tells_what_its_user_saw_by_the_users_own_pass() {
    let world = world();
    let path = format!("/v1/tasks/{}/events", plan(1).task_id(0));
    for (body, key) in [
        (json!({"type": "delivered"}), pass("u1")),
        (json!({"type": "delivered"}), "sender".to_owned()),
        (json!({"type": "opened", "id": "1"}), pass("u1")),
        (json!({"type": "opened", "id": "1"}), pass("u1")),
        (json!({"type": "opened", "id": "2"}), "all".to_owned()),
        (json!({"type": "clicked", "occurred_at": "2026-11-21T12:00:02Z"}), pass("u1")),
    ] {
        let answer = world.send("POST", &path, &key, body.to_string()).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    }
    let expected = [EventKind::Delivered, EventKind::Opened, EventKind::Opened, EventKind::Clicked];
    assert_eq!(kinds(&events(&world, 1).await), expected);
    world.send("POST", &path, &pass("u2"), json!({"type": "opened"}).to_string()).await.assert_problem(404);
    world.send("POST", &path, "other", json!({"type": "opened"}).to_string()).await.assert_problem(404);
    world.post(&path, json!({"type": "bounced"}).to_string()).await.assert_field("/type", "one of");
    world.post(&path, "{}").await.assert_field("/type", "required");
    world.post("/v1/tasks/nothing/events", json!({"type": "opened"}).to_string()).await.assert_problem(404);
    assert_eq!(events(&world, 1).await.len(), 4);
}

#[tokio::test]
async fn what_cannot_have_been_seen_is_not_told_of() {
    let world = world();
    let mut later = plan(3);
    if let crate::domain::Disposition::Tasks(tasks) = &mut later.disposition {
        tasks[0].due = Some(now() + Duration::from_secs(86_400));
    }
    let (path, position): (String, Position) = (format!("/v1/tasks/{}/events", later.task_id(0)), later.position);
    assert_eq!(position, plan(3).position);
    world.store.tell(later, Vec::new());
    world.post(&path, json!({"type": "opened"}).to_string()).await.assert_problem(409);
    assert!(events(&world, 3).await.is_empty());
}
