//! Opens and clicks of mails, from the mail that is sent to what stands in its story.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use fanfare::domain::{Channel, Content, Event, EventKind, NotificationRequest, UserEntry};
use serde_json::{Value, json};

use crate::world::{Place, SIGNATURE, TestProvider, World, mail, on_both};

on_both! {
    a_mail_that_is_opened_and_clicked_says_so_each_time
    nobody_tracks_what_cannot_be_switched_off_nor_the_preview_of_a_mail
    who_was_erased_is_led_on_and_nothing_is_noted
    opens_that_providers_tell_of_are_one_each_however_often_they_come
    many_opens_at_once_are_all_there
}

const HTML: &str = "<html><body><a href=\"https://shop.example/a?x=1&amp;y=2\">a</a> \
                    <a data-fanfare-track=\"off\" href=\"https://shop.example/b\">b</a></body></html>";
const BROWSER: (&str, &str) = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");

fn request(world: &World, user: &str, category: &str) -> NotificationRequest {
    let mut request = mail();
    request.user_id = Some(world.place.own(user).into());
    request.category = Some(category.into());
    request.dedup_window_seconds = Some(0);
    request.content =
        Content::Inline { title: "Hello".into(), body: "World".into(), html: Some(HTML.into()), sms: None };
    request
}

async fn world(place: Place) -> (World, Arc<TestProvider>) {
    let mails = TestProvider::telling("mails", &[Channel::Email]);
    (World::start(place, vec![mails.clone()]).await, mails)
}

/// Sends a mail; its HTML.
async fn html(world: &World, mails: &TestProvider, request: NotificationRequest) -> String {
    let before = mails.taken().len();
    let id = world.send(request).await;
    let message = world.until(async || mails.taken().get(before).cloned()).await;
    world.expect_states(id, &["sent"]).await;
    assert_eq!(message.parts.body, "World", "the text is left alone");
    message.parts.html.expect("it has one")
}

/// The path of the first address in a mail that begins so.
fn path(html: &str, begin: &str) -> String {
    let at = html.find(&format!("https://notify.example.com{begin}")).unwrap_or_else(|| panic!("no {begin} in {html}"));
    let address = html[at..].split('"').next().expect("it ends");
    address.strip_prefix("https://notify.example.com").expect("it begins so").to_owned()
}

async fn told(world: &World, mails: &TestProvider, kind: EventKind) -> Vec<Event> {
    let task = mails.taken().last().expect("one was sent").task;
    let story = world.story(task.notification()).await.expect("planned");
    story.events.into_iter().filter(|event| event.kind == kind).collect()
}

async fn a_mail_that_is_opened_and_clicked_says_so_each_time(place: Place) {
    let (world, mails) = world(place).await;
    let html = html(&world, &mails, request(&world, "alice", "marketing")).await;
    assert!(html.contains("<a href=\"https://shop.example/b\">b</a>") && html.contains("></body></html>"), "{html}");
    let (open, click) = (path(&html, "/t/o/"), path(&html, "/t/c/"));
    // A scanner, at once.
    let (status, ..) = world.call_without_key(Method::GET, &click, &[BROWSER], "").await;
    assert_eq!(status, StatusCode::FOUND);
    world.advance(Duration::from_secs(60)).await;
    for _ in 0..2 {
        let (status, headers, _) = world.call_without_key(Method::GET, &click, &[BROWSER], "").await;
        assert_eq!(
            (status, headers["location"].to_str().ok()),
            (StatusCode::FOUND, Some("https://shop.example/a?x=1&y=2"))
        );
        let (status, headers, _) = world.call_without_key(Method::HEAD, &open, &[BROWSER], "").await;
        assert_eq!((status, headers["content-type"].to_str().ok()), (StatusCode::OK, Some("image/gif")));
    }
    let clicks = told(&world, &mails, EventKind::Clicked).await;
    let mut by_machine: Vec<bool> = clicks.iter().map(|event| event.by_machine).collect();
    by_machine.sort_unstable();
    assert_eq!(by_machine, [false, false, true]);
    assert!(clicks.iter().all(|event| event.reason.as_deref() == Some("link 1 (shop.example)")));
    assert!(clicks.iter().all(|event| event.channel == Some(Channel::Email)));
    assert_eq!(told(&world, &mails, EventKind::Opened).await.len(), 2);
    let task = mails.taken()[0].task;
    let shown = world.ask(Method::GET, &format!("/v1/tasks/{task}"), None).await;
    assert_eq!(shown["status"], "delivered", "somebody saw it");
    world.balances().await;
    let converted = json!({"task_id": task.to_string(), "name": "purchase", "id": "1"});
    for _ in 0..2 {
        let (status, _) = world.call(Method::POST, "/v1/conversions", Some(&converted)).await;
        assert_eq!(status, StatusCode::ACCEPTED);
    }
    assert_eq!(told(&world, &mails, EventKind::Converted).await.len(), 1);
    world.balances().await;
}

async fn nobody_tracks_what_cannot_be_switched_off_nor_the_preview_of_a_mail(place: Place) {
    let (world, mails) = world(place).await;
    let sent = html(&world, &mails, request(&world, "bob", "security")).await;
    assert!(!sent.contains("/t/") && !sent.contains("data-fanfare-track"), "{sent}");
    let body = json!({"user_id": "bob", "to": {"email": "a@example.com"}, "channels": ["email"], "category": "marketing",
        "content": {"title": "Hello", "body": "World", "html": HTML}});
    let dry = world.ask(Method::POST, "/v1/notifications?dry_run=true", Some(&body)).await;
    assert!(dry.to_string().contains("shop.example/a") && !dry.to_string().contains("/t/"), "{dry}");
}

async fn who_was_erased_is_led_on_and_nothing_is_noted(place: Place) {
    let (world, mails) = world(place).await;
    world.know("erin", [UserEntry::Email(Some("a@example.com".into()))]).await;
    let html = html(&world, &mails, request(&world, "erin", "marketing")).await;
    world.ask(Method::DELETE, &format!("/v1/users/{}", world.place.own("erin")), None).await;
    world.advance(Duration::from_secs(60)).await;
    let (status, ..) = world.call_without_key(Method::GET, &path(&html, "/t/c/"), &[BROWSER], "").await;
    assert_eq!(status, StatusCode::FOUND);
    assert!(told(&world, &mails, EventKind::Clicked).await.is_empty());
}

async fn opens_that_providers_tell_of_are_one_each_however_often_they_come(place: Place) {
    let (world, mails) = world(place).await;
    html(&world, &mails, request(&world, "carl", "marketing")).await;
    let task = mails.taken()[0].task.to_string();
    let at = world.now().millis();
    let opened = |event: Option<&str>, at: u64| json!({"task": task, "kind": "opened", "event": event, "at": at});
    let first = opened(Some("e1"), at);
    let by_machine = json!({"task": task, "kind": "opened", "event": "e2", "at": at, "machine": true});
    let receipts: [Vec<Value>; 3] = [
        vec![first.clone(), first.clone(), by_machine.clone()],
        vec![by_machine, first],
        vec![opened(None, at), opened(None, at + 1), opened(None, at)],
    ];
    for posted in receipts {
        let body = Value::from(posted).to_string();
        let path = "/v1/providers/mails/receipts";
        let (status, ..) = world.call_without_key(Method::POST, path, &[SIGNATURE], &body).await;
        assert_eq!(status, StatusCode::OK);
    }
    let opens = told(&world, &mails, EventKind::Opened).await;
    assert_eq!(opens.len(), 4, "{opens:?}");
    assert_eq!(opens.iter().filter(|event| event.by_machine).count(), 1);
}

async fn many_opens_at_once_are_all_there(place: Place) {
    let (world, mails) = world(place).await;
    let html = html(&world, &mails, request(&world, "dora", "marketing")).await;
    world.advance(Duration::from_secs(60)).await;
    let open = path(&html, "/t/o/");
    let world = Arc::new(world);
    let all = (0..90).map(|_| world.call_without_key(Method::HEAD, &open, &[BROWSER], ""));
    for (status, ..) in futures_util::future::join_all(all).await {
        assert_eq!(status, StatusCode::OK);
    }
    assert_eq!(told(&world, &mails, EventKind::Opened).await.len(), 90);
}
