//! What is refused when a schedule is saved.

use super::*;

async fn check_refused(body: Value, pointer: &str, words: &str) {
    let world = World::new("2026-11-22T12:00:00Z").await;
    world.definitions.put("acme", DefinitionKind::EventType, "digest.due", TYPE, None).await.expect("saved");
    let problems = world.schedules.check("acme", "one", &body.to_string()).await;
    let fits = |problem: &FieldProblem| problem.pointer == pointer && problem.detail.contains(words);
    assert!(problems.iter().any(fits), "no {pointer} with `{words}` for {body}: {problems:?}");
}

const TYPE: &str = r#"{"schema": {"type": "object", "properties": {"n": {"type": "number"}}}}"#;

/// With a field of the scan in another way.
fn with(pointer: &str, value: Value) -> Value {
    let mut body = scan(&[7]);
    match body.pointer_mut(pointer) {
        Some(place) => *place = value,
        None => {
            let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
            body.pointer_mut(parent).expect("there")[name] = value;
        }
    }
    body
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_a_pointer() {
    for (pointer, value, words) in [
        ("/cron", json!("0 0 30 2 *"), "never fires"),
        ("/cron", json!(9), "must be a text"),
        ("/cron", Value::Null, "is required"),
        ("/timezone", json!("Berlin"), "no time zone"),
        ("/crom", json!("0 0 1 1 *"), "did you mean `cron`"),
        ("/active", json!("yes"), "must be true or false"),
        ("/catch_up", json!("all"), "\"once\" or \"skip\""),
        ("/scan/attribute", json!(""), "is required"),
        ("/scan/attribute", json!("birthday"), "`*_expires_at`, `*_ends_at`"),
        ("/scan/send/priority", json!("critical"), "high, normal or low"),
        ("/scan/days_ahead", json!([]), "is required"),
        ("/scan/days_ahead", json!(7), "is required"),
        ("/scan/days_ahead/1", json!("x"), "whole number"),
        ("/scan/where", json!({"field": "a", "equals": 1}), ""),
        ("/scan/send", Value::Null, "is required"),
        ("/scan/send/user_id", json!("a"), "whoever the scan finds"),
        ("/scan/send/to", json!({}), "whoever the scan finds"),
        ("/scan/send/dedup_key", json!("a"), "once for each"),
        ("/scan/send/deliver_at", json!("2027-01-01T00:00:00Z"), "local_time"),
        ("/scan/send/template", json!("missing"), "there is no template"),
        ("/scan/send/channels", json!(["fax"]), ""),
        ("/scan/send/delay_seconds", json!(-1), "whole number"),
        ("/scan/send/tempalte", json!("a"), "did you mean `template`"),
    ] {
        let body = match pointer {
            "/scan/days_ahead/1" => with("/scan/days_ahead", json!([7, value])),
            _ => with(pointer, value),
        };
        match pointer {
            "/scan/where" => {
                let world = World::new("2026-11-22T12:00:00Z").await;
                assert!(!world.schedules.check("acme", "one", &body.to_string()).await.is_empty());
            }
            "/scan/send/channels" => check_refused(body, "/scan/send/channels/0", words).await,
            _ => check_refused(body, pointer, words).await,
        }
    }
    let of_category = with("/scan/send/category", json!("security"));
    check_refused(of_category.clone(), "/scan/send/priority", "its category's").await;
    let mut lowered = of_category;
    lowered["scan"]["send"]["priority"] = json!("high");
    let world = World::new("2026-11-22T12:00:00Z").await;
    assert_eq!(world.schedules.check("acme", "one", &lowered.to_string()).await, []);
    check_refused(with("/scan/days_ahead", json!([7, 7])), "/scan/days_ahead/1", "there twice").await;
    check_refused(json!({"cron": "@daily"}), "", "says nothing").await;
    check_refused(json!({"cron": "@daily", "event": {}, "campaign": {}}), "", "has 2 things").await;
    check_refused(json!({"cron": "@daily", "campaign": {"user_ids": "bad"}}), "/campaign/user_ids", "is bad").await;
    check_refused(json!({"cron": "@daily", "campaign": []}), "/campaign", "must be an object").await;
}

#[tokio::test]
async fn an_event_must_be_one_that_is_declared() {
    let event = |event: Value| json!({"cron": "@daily", "event": event});
    check_refused(event(json!({})), "/event/type", "is required").await;
    check_refused(event(json!({"type": "digest.deu"})), "/event/type", "did you mean `digest.due`").await;
    check_refused(event(json!({"type": "digest.due", "data": {"n": "x"}})), "/event/data/n", "").await;
    check_refused(event(json!({"type": "digest.due", "id": "1"})), "/event/id", "no field").await;
}

#[tokio::test]
async fn an_archive_is_refused_that_is_too_young_or_has_no_place() {
    for (archive, pointer, words) in [
        (json!({"older_than": "30d"}), "/archive", "archive.to"),
        (json!({"older_than": "20h"}), "/archive/older_than", "too young"),
        (json!({"older_than": 30}), "/archive/older_than", "is required"),
        (json!({}), "/archive/older_than", "is required"),
        (json!({"older_than": "2d", "older": "1d"}), "/archive/older", "did you mean `older_than`"),
        (json!("30d"), "/archive", "must be an object"),
    ] {
        check_refused(json!({"cron": "0 3 * * *", "archive": archive}), pointer, words).await;
    }
}
