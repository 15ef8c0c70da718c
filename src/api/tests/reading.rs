use std::sync::atomic::Ordering;

use axum::body::Body;

use super::world::{World, now, plan, position, spec};
use crate::api::SandboxMessage;
use crate::domain::{
    Address, Channel, ClaimKey, Decision, Disposition, Event, EventKind, Gathered, Group, NotificationId, Parts, Plan,
    Routing, SkipReason, Step, TaskId, Timestamp, Told, Verdict, WHOLE,
};
use crate::intake::fakes::FakeLog;
use crate::store::GroupEntry;

fn event(offset: u64, ordinal: u8, attempt: u8, kind: EventKind) -> Event {
    Event::new(TaskId { position: position(offset), ordinal }, attempt, kind, Timestamp(now().millis() + 10))
}

#[tokio::test]
async fn a_notification_can_be_read_right_after_it_was_accepted() {
    let world = World::new();
    let accepted =
        world.post("/v1/notifications", r#"{"user_id":"u","template":"t","category":"social"}"#).await.json();
    let path = format!("/v1/notifications/{}", accepted["id"].as_str().expect("an id"));
    let json = world.get(&path).await.json();
    assert_eq!(
        (&json["status"], &json["category"], &json["id"]),
        (&"accepted".into(), &"social".into(), &accepted["id"])
    );
    let id: NotificationId = accepted["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    world.store.loose(Event::new(TaskId { position: id.0, ordinal: 0 }, 1, EventKind::Cancelled, now()));
    assert_eq!(world.get(&path).await.json()["status"], "cancelled");
    world.log.forget(id.0);
    world.get(&path).await.assert_problem(404);
}

#[tokio::test]
async fn a_notification_shows_decisions_and_tasks_with_their_events() {
    let world = World::new();
    let mut planned = plan(1);
    planned.decisions = vec![
        Decision { step: Step::Expiry, channel: None, verdict: Verdict::Pass },
        Decision { step: Step::Address, channel: Some(Channel::Sms), verdict: Verdict::Skip(SkipReason::NoAddress) },
    ];
    let mut retry = event(1, 0, 2, EventKind::Scheduled);
    retry.due = Some(Timestamp(now().millis() + 60_000));
    retry.provider = Some("mail-main".into());
    retry.reason = Some("451 try later".into());
    let id = planned.id();
    world.store.tell(planned, vec![retry]);
    let json = world.get(&format!("/v1/notifications/{id}")).await.json();
    assert_eq!(json["status"], "scheduled");
    assert_eq!(json["decisions"][0], serde_json::json!({"step": "expiry", "outcome": "pass"}));
    assert_eq!(
        json["decisions"][1],
        serde_json::json!({"step": "address", "channel": "sms", "outcome": "skip", "reason": "no_address"})
    );
    let task = &json["tasks"][0];
    assert_eq!(task["due_at"], "2026-11-21T12:01:00.000Z");
    assert_eq!(
        (&task["attempt"], &task["provider"], &task["to"]),
        (&2.into(), &"mail-main".into(), &"alice@example.com".into())
    );
    let kinds: Vec<&str> =
        task["events"].as_array().expect("events").iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(kinds, ["accepted", "scheduled"]);
    let own = world.get(&format!("/v1/tasks/{}", task["id"].as_str().expect("an id"))).await.json();
    assert_eq!(&own, task);
}

#[tokio::test]
async fn a_notifications_status_is_one_word_for_all_of_its_tasks() {
    use EventKind::*;
    let check = async |events: &[(u8, EventKind)], routing: Routing, expected: &str| {
        let world = World::new();
        let mut planned = plan(1);
        planned.routing = routing;
        planned.disposition = Disposition::Tasks(vec![spec(Channel::Email), spec(Channel::Sms)]);
        let path = format!("/v1/notifications/{}", planned.id());
        world.store.tell(planned, events.iter().map(|(ordinal, kind)| event(1, *ordinal, 1, *kind)).collect());
        assert_eq!(world.get(&path).await.json()["status"], expected, "{events:?}");
    };
    check(&[], Routing::All, "pending").await;
    check(&[(0, Sent)], Routing::All, "pending").await;
    check(&[(0, Sent), (1, Failed)], Routing::All, "sent").await;
    check(&[(0, Delivered), (1, Sent)], Routing::All, "sent").await;
    check(&[(0, Delivered), (1, Delivered)], Routing::All, "delivered").await;
    check(&[(0, Failed), (1, Cancelled)], Routing::All, "failed").await;
    check(&[(0, Unknown), (1, Failed)], Routing::All, "unknown").await;
    check(&[(0, Cancelled), (1, Cancelled)], Routing::All, "cancelled").await;
    check(&[(0, Delivered), (1, Skipped)], Routing::Fallback, "delivered").await;
}

#[tokio::test]
async fn a_skipped_notification_says_why_and_a_duplicate_of_what() {
    let world = World::new();
    let of = NotificationId(position(7));
    let mut planned = plan(1);
    planned.disposition = Disposition::Skipped(SkipReason::Duplicate { of });
    planned.decisions =
        vec![Decision { step: Step::Dedup, channel: None, verdict: Verdict::Skip(SkipReason::Duplicate { of }) }];
    let path = format!("/v1/notifications/{}", planned.id());
    world.store.tell(planned, Vec::new());
    let json = world.get(&path).await.json();
    assert_eq!((&json["status"], &json["reason"]), (&"skipped".into(), &"duplicate".into()));
    assert_eq!(json["decisions"][0]["duplicate_of"], of.to_string());
}

#[tokio::test]
async fn a_notification_whose_contents_are_gone_says_so_and_shows_the_rest() {
    let world = World::new();
    let mut erased = plan(1);
    let id = erased.id();
    let path = format!("/v1/notifications/{id}");
    world.store.tell(erased.clone(), vec![event(1, 0, 1, EventKind::Sent)]);
    assert!(world.get(&path).await.json().get("erased").is_none());
    erased.erase();
    world.store.tell(erased, vec![event(1, 0, 1, EventKind::Sent)]);
    let json = world.get(&path).await.json();
    assert_eq!((&json["erased"], &json["status"], &json["tasks"][0]["to"]), (&true.into(), &"sent".into(), &"".into()));
}

#[tokio::test]
async fn a_merged_notification_says_into_which_and_that_one_says_how_many() {
    let world = World::new();
    let into = NotificationId(position(1));
    let until = Timestamp(now().millis() + 300_000);
    let group = Group { key: ClaimKey(1), actor: None, until, is_first: false, gathered: None };
    let leader = Plan { group: Some(group.clone()), ..plan(1) };
    let decisions = vec![Decision { step: Step::Aggregation, channel: None, verdict: Verdict::Merge { into } }];
    let merged = Plan { group: Some(group), disposition: Disposition::Merged { into: into.0 }, decisions, ..plan(2) };
    let [leader_path, path] = [&leader, &merged].map(|plan| format!("/v1/notifications/{}", plan.id()));
    world.store.group(into.0, GroupEntry::Joined(vec![merged.joined()]));
    world.store.tell(leader, Vec::new());
    world.store.tell(merged.clone(), Vec::new());
    let json = world.get(&path).await.json();
    assert_eq!((&json["status"], &json["merged_into"]), (&"merged".into(), &into.to_string().into()));
    assert_eq!(json["decisions"][0]["merged_into"], into.to_string());
    let aggregate = async || world.get(&leader_path).await.json()["aggregate"].clone();
    let expected = |count, closed| serde_json::json!({"count": count, "closed": closed, "until": until.to_string()});
    assert_eq!(aggregate().await, expected(2, false));
    world.store.group(into.0, GroupEntry::Left(2));
    let task = TaskId { position: merged.position, ordinal: WHOLE };
    world.store.tell(merged, vec![Event::new(task, 1, EventKind::Cancelled, now())]);
    assert_eq!(world.get(&path).await.json()["status"], "cancelled");
    assert_eq!(aggregate().await, expected(1, false));
    world.store.group(into.0, GroupEntry::Closed(Gathered { count: 1, ..Gathered::default() }, Told::EVERYBODY));
    assert_eq!(aggregate().await, expected(1, true));
}

#[tokio::test]
async fn a_leader_that_was_cancelled_is_cancelled_though_its_tasks_go_on() {
    let world = World::new();
    let until = Timestamp(now().millis() + 300_000);
    let group = Group { key: ClaimKey(1), actor: None, until, is_first: false, gathered: None };
    let leader = Plan { group: Some(group), ..plan(1) };
    let (id, into) = (leader.id(), leader.position);
    world.store.group(into, GroupEntry::Joined(vec![plan(2).joined()]));
    world.store.tell(leader, vec![event(1, 0, 1, EventKind::Sent)]);
    let shown = async || {
        let one = world.get(&format!("/v1/notifications/{id}")).await.json();
        let list = world.get("/v1/notifications?user_id=u1").await.json();
        (one["status"].clone(), one["tasks"][0]["status"].clone(), list["data"][0]["status"].clone())
    };
    assert_eq!(shown().await, ("sent".into(), "sent".into(), "sent".into()));
    world.store.group(into, GroupEntry::Left(2));
    assert_eq!(shown().await.0, "sent", "another one left");
    world.store.group(into, GroupEntry::Left(1));
    assert_eq!(shown().await, ("cancelled".into(), "sent".into(), "cancelled".into()));
}

#[tokio::test]
async fn a_task_in_a_senders_hands_is_sending() {
    let world = World::new();
    let planned = plan(1);
    world.engine.sending.lock().expect("not poisoned").insert(planned.task_id(0));
    let path = format!("/v1/notifications/{}", planned.id());
    world.store.tell(planned, Vec::new());
    let json = world.get(&path).await.json();
    assert_eq!((&json["status"], &json["tasks"][0]["status"]), (&"sending".into(), &"sending".into()));
}

#[tokio::test]
async fn a_cancellation_says_truly_what_it_did() {
    let world = World::new();
    let planned = plan(1);
    let path = format!("/v1/notifications/{}", planned.id());
    world.store.tell(planned, Vec::new());
    let check = async |status: &str, stopped: u64, too_late: u64| {
        let json = world.send("DELETE", &path, "all", Body::empty()).await.json();
        assert_eq!(
            (&json["status"], &json["stopped"], &json["too_late"]),
            (&status.into(), &stopped.into(), &too_late.into())
        );
    };
    check("cancelled", 1, 1).await;
    world.engine.sent_already.store(true, Ordering::SeqCst);
    check("too_late", 0, 2).await;
}

#[tokio::test]
async fn what_another_node_works_on_and_cannot_be_asked_is_503_and_names_no_address() {
    let world = World::new();
    world.store.tell(plan(1), Vec::new());
    world.engine.is_elsewhere.store(true, Ordering::SeqCst);
    let answer = world.send("DELETE", &format!("/v1/notifications/{}", plan(1).id()), "all", Body::empty()).await;
    answer.assert_problem(503);
    assert_eq!(answer.header("retry-after"), "5");
    let detail = answer.json()["detail"].as_str().expect("a detail").to_owned();
    assert!(detail.contains("the node that works on this") && !detail.contains("10.0.0.7"), "{detail}");
}

#[tokio::test]
async fn what_a_sandbox_was_given_is_served_by_the_node_that_sent_it() {
    let engine = World::of(FakeLog::open(), |_| {}, |parts| parts.takes_requests = false);
    assert_eq!(engine.get("/v1/sandbox/messages").await.status, 200);
    engine.get("/v1/dead-letters").await.assert_problem(404);
    let api = World::of(FakeLog::open(), |_| {}, |parts| parts.sandbox = None);
    let answer = api.get("/v1/sandbox/messages").await;
    answer.assert_problem(404);
    assert!(answer.text.contains("ask an engine"), "{}", answer.text);
}

#[tokio::test]
async fn a_users_history_comes_newest_first_and_page_by_page() {
    let world = World::new();
    for offset in 0..5 {
        world.store.tell(plan(offset), Vec::new());
    }
    let mut seen = Vec::new();
    let mut path = "/v1/notifications?user_id=u1&limit=2".to_owned();
    loop {
        let page = world.get(&path).await.json();
        seen.extend(
            page["data"].as_array().expect("data").iter().map(|entry| entry["id"].as_str().expect("an id").to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/notifications?user_id=u1&limit=2&cursor={cursor}");
    }
    let expected: Vec<String> = (0..5).rev().map(|offset| plan(offset).id().to_string()).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn the_books_are_added_up() {
    let world = World::new();
    let json = world.get("/v1/accounting").await.json();
    assert_eq!((&json["total"]["in"], &json["total"]["skipped_by_reason"]["duplicate"]), (&10.into(), &2.into()));
    assert_eq!((&json["lines"][0]["source"], &json["lines"][0]["lane"]), (&"http".into(), &"high".into()));
    assert_eq!(json["unaccounted"], 0);
}

#[tokio::test]
async fn what_the_sandbox_took_can_be_read_and_forgotten() {
    let world = World::new();
    let message = |number: u64| SandboxMessage {
        number,
        task: TaskId { position: position(1), ordinal: 0 },
        attempt: 1,
        provider: "sandbox".into(),
        channel: Channel::Email,
        address: Address::Email("a@example.com".into()),
        parts: Parts { title: format!("T{number}"), body: "B".into(), ..Parts::default() },
        attachments: Vec::new(),
        unsubscribe: None,
        collapse_key: None,
        data: r#"{"a":1}"#.into(),
        metadata: "{}".into(),
        at: now(),
    };
    world.engine.messages.lock().expect("not poisoned").extend((1..=3).map(message));
    let json = world.get("/v1/sandbox/messages?limit=2").await.json();
    assert_eq!((&json["data"][0]["message"]["title"], &json["data"][0]["data"]["a"]), (&"T3".into(), &1.into()));
    let cursor = json["next_cursor"].as_str().expect("there is more");
    let json = world.get(&format!("/v1/sandbox/messages?limit=2&cursor={cursor}")).await.json();
    assert_eq!((&json["data"][0]["message"]["title"], &json["data"][1]), (&"T1".into(), &serde_json::Value::Null));
    assert!(json["next_cursor"].is_null());
    let of_one = async |id: NotificationId, limit: usize| {
        let json = world.get(&format!("/v1/sandbox/messages?notification_id={id}&limit={limit}")).await.json();
        (json["data"].as_array().expect("a list").len(), json["next_cursor"].is_string())
    };
    let other = SandboxMessage { task: TaskId { position: position(2), ordinal: 0 }, ..message(4) };
    world.engine.messages.lock().expect("not poisoned").push(other);
    let task = |number| TaskId { position: position(number), ordinal: 0 };
    assert_eq!(of_one(task(2).notification(), 2).await, (1, false));
    assert_eq!(of_one(task(1).notification(), 2).await, (2, true));
    assert_eq!(of_one(task(3).notification(), 2).await, (0, false));
    assert_eq!(world.send("DELETE", "/v1/sandbox/messages", "all", Body::empty()).await.status, 200);
    assert_eq!(world.get("/v1/sandbox/messages").await.json()["data"], serde_json::json!([]));
}

#[tokio::test]
async fn what_was_skipped_when_its_time_had_come_says_why_at_the_top() {
    let check = async |events: &[(u8, EventKind, &str)], status: &str, reason: Option<&str>| {
        let world = World::new();
        let mut planned = plan(1);
        planned.disposition = Disposition::Tasks(vec![spec(Channel::Email), spec(Channel::Sms)]);
        let path = format!("/v1/notifications/{}", planned.id());
        let event = |(ordinal, kind, reason): &(u8, EventKind, &str)| Event {
            reason: Some((*reason).into()),
            ..event(1, *ordinal, 1, *kind)
        };
        world.store.tell(planned, events.iter().map(event).collect());
        let json = world.get(&path).await.json();
        assert_eq!((json["status"].as_str(), json["reason"].as_str()), (Some(status), reason), "{events:?}");
    };
    use EventKind::{Sent, Skipped};
    check(&[(0, Skipped, "erased"), (1, Skipped, "erased")], "skipped", Some("erased")).await;
    check(&[(1, Skipped, "suppressed"), (0, Skipped, "no_consent")], "skipped", Some("no_consent")).await;
    check(&[(0, Skipped, "no_consent")], "pending", None).await;
    check(&[(0, Sent, ""), (1, Skipped, "delivered_elsewhere")], "sent", None).await;
}
