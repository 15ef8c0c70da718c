use super::*;
use crate::audience::testing::{OneTemplate, categories, definition, event};
use crate::domain::{Channel, Content, Priority, Timestamp};

const TYPE: &str = r#"{"schema": {"type": "object", "properties": {"name": {"type": "string"}, "amount": {"type": "number"}},
    "required": ["name"]}, "example": {"name": "Ann", "amount": 3}}"#;

/// A book with one event type `a.b` and these rules.
fn book(rules: &[(&str, &str)]) -> RuleBook {
    let mut definitions = vec![definition(DefinitionKind::EventType, "a.b", TYPE)];
    definitions.push(definition(DefinitionKind::EventType, "bare.type", "{}"));
    definitions.extend(rules.iter().map(|(name, body)| definition(DefinitionKind::Rule, name, body)));
    let contents: Arc<dyn ContentCheck> = Arc::new(OneTemplate);
    RuleBook::new("default", &definitions, &contents)
}

fn apply(book: &RuleBook, event: &DomainEvent) -> Result<Vec<Draft>, Refusal> {
    book.apply(event, Rulings { contents: &OneTemplate, categories: &categories() })
}

#[track_caller]
fn requests(book: &RuleBook, event: &DomainEvent) -> Vec<NotificationRequest> {
    let drafts = apply(book, event).expect("valid");
    match drafts.into_iter().next().map(|draft| draft.outcome) {
        Some(Drafted::Requests(requests)) => requests,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_rule_makes_the_request_that_it_describes() {
    let body = r#"{"event": "a.b", "when": {"field": "amount", "above": 2}, "send": {"template": "welcome", "channels": ["email"],
        "delay_seconds": 60, "expires_after_seconds": 600, "dedup_key": "{{type}}:{{data.amount}}",
        "aggregate": {"key": "k:{{subject}}", "actor": "{{data.name}}", "window_seconds": 60}}}"#;
    let book = book(&[("one", body)]);
    assert!(book.problems(DefinitionKind::Rule, "one").is_empty(), "{:?}", book.problems(DefinitionKind::Rule, "one"));
    let mut event = event("a.b", r#"{ "name":"Bo \"b\"","amount":3.50}"#);
    event.subject = Some("post".into());
    let request = requests(&book, &event).remove(0);
    assert_eq!(request.user_id.as_deref(), Some("alice"));
    assert_eq!(request.content, Content::Template { code: "welcome".into() });
    assert_eq!((request.category.as_deref(), request.priority), (Some("security"), Priority::Critical));
    assert_eq!(request.channels, [Channel::Email]);
    assert_eq!(request.dedup_key.as_deref(), Some("a.b:3.5"));
    let aggregate = request.aggregate.expect("merged");
    assert_eq!((&*aggregate.key, aggregate.actor.as_deref()), ("k:post", Some("Bo \"b\"")));
    let at = |seconds: u64| Timestamp(event.accepted_at.millis() + seconds * 1000);
    assert_eq!((request.deliver_at, request.expires_at), (Some(at(60)), Some(at(660))));
    let metadata: Value = serde_json::from_str(&request.metadata).expect("JSON");
    assert_eq!(metadata, serde_json::json!({"event_id": "e1", "event_type": "a.b", "rule": "one"}));
    let data: Value = serde_json::from_str(&request.data).expect("JSON");
    assert_eq!(data["event"]["subject"], "post");
    assert_eq!(data["name"], "Bo \"b\"");
    assert!(request.data.contains("3.50"), "numbers stay as they came");
    let later = at(100);
    let latest = at(160);
    event.deliver_at = Some(later);
    assert_eq!(requests(&book, &event)[0].deliver_at, Some(latest));
}

#[test]
fn a_rule_for_a_list_makes_one_request_each_under_keys_of_their_own() {
    let book = book(&[("one", r#"{"event": "a.b", "audience": ["bo", "cy"], "send": {"template": "welcome"}}"#)]);
    let mut event = event("a.b", r#"{"name":"x","event":"own"}"#);
    event.user_id = None;
    let made = requests(&book, &event);
    let users: Vec<_> = made.iter().map(|request| request.user_id.as_deref().unwrap_or_default()).collect();
    assert_eq!(users, ["bo", "cy"]);
    let keys: Vec<_> = made.iter().map(|request| request.idempotency.expect("a key")).collect();
    assert_ne!(keys[0].key, keys[1].key);
    assert_eq!(&*made[0].data, r#"{"name":"x","event":"own"}"#, "a field `event` of the data wins");
    event.data = r#"{"name":"y"}"#.into();
    let again: Vec<_> = requests(&book, &event).iter().map(|request| request.idempotency.expect("a key")).collect();
    assert_eq!(keys, again, "an event that comes again is the same whatever it says");
    event.id = "e2".into();
    assert_ne!(requests(&book, &event)[0].idempotency.map(|key| key.key), Some(keys[0].key));
}

#[test]
fn of_several_users_of_a_list_each_has_a_business_key_of_their_own() {
    let keys = |audience: &str| {
        let send = r#"{"template": "welcome", "dedup_key": "{{data.name}}"}"#;
        let book = book(&[("one", &format!(r#"{{"event": "a.b", "audience": {audience}, "send": {send}}}"#))]);
        let made = requests(&book, &event("a.b", r#"{"name":"x"}"#));
        made.into_iter().map(|request| request.dedup_key.unwrap_or_default().into()).collect::<Vec<String>>()
    };
    assert_eq!(keys(r#"["bo", "cy"]"#), ["x\nbo", "x\ncy"]);
    assert_eq!(keys(r#"["bo"]"#), ["x"]);
    assert_eq!(keys(r#""user""#), ["x"]);
}

#[test]
fn what_an_event_lacks_is_said_and_the_other_rules_apply() {
    let send = r#"{"template": "welcome", "dedup_key": "{{data.order}}"}"#;
    let book = book(&[
        ("1-fill", &format!(r#"{{"event": "a.b", "send": {send}}}"#)),
        (
            "2-fails",
            r#"{"event": "a.b", "when": {"field": "amount", "exists": true}, "send": {"template": "welcome"}}"#,
        ),
        ("3-off", r#"{"event": "a.b", "active": false, "send": {"template": "welcome"}}"#),
        ("4-to", r#"{"event": "a.b", "send": {"template": "welcome", "to": {"email": "{{data.mail}}"}}}"#),
        ("5-gone", r#"{"event": "a.b", "audience": ["bo"], "send": {"template": "gone"}}"#),
        ("6-made", r#"{"event": "a.b", "audience": ["bo"], "send": {"template": "welcome"}}"#),
        ("7-user", r#"{"event": "a.b", "send": {"template": "welcome"}}"#),
    ]);
    let mut event = event("a.b", r#"{"name":"x","mail":"nobody"}"#);
    event.user_id = None;
    let drafts = apply(&book, &event).expect("valid");
    let said: Vec<(String, String)> = drafts
        .iter()
        .map(|draft| {
            let said = match &draft.outcome {
                Drafted::Requests(requests) => format!("{} requests", requests.len()),
                Drafted::ForFollowers(_) => "followers".to_owned(),
                Drafted::ConditionFails => "condition".to_owned(),
                Drafted::Impossible(problems) => problems[0].pointer.to_string(),
            };
            (draft.rule.to_string(), said)
        })
        .collect();
    let said: Vec<(&str, &str)> = said.iter().map(|(rule, said)| (&**rule, &**said)).collect();
    assert_eq!(
        said,
        [
            ("1-fill", "/user_id"),
            ("2-fails", "condition"),
            ("4-to", "/send/to/email"),
            ("5-gone", "/send/template"),
            ("6-made", "1 requests"),
            ("7-user", "/user_id"),
        ]
    );
    event.user_id = Some("alice".into());
    let drafts = apply(&book, &event).expect("valid");
    assert!(matches!(&drafts[0].outcome, Drafted::Impossible(problems) if problems[0].pointer == "/data/order"));
}

#[test]
fn an_event_that_cannot_be_used_is_refused_with_the_reason() {
    let book = book(&[]);
    let refusal = apply(&book, &event("a.bb", "{}")).expect_err("unknown");
    assert_eq!(refusal, Refusal::UnknownType { event_type: "a.bb".into(), near: Some("a.b".into()) });
    let pointers = |data: &str| match apply(&book, &event("a.b", data)) {
        Err(Refusal::Invalid(problems)) => problems.into_iter().map(|problem| problem.pointer.into_owned()).collect(),
        other => panic!("{other:?}"),
    };
    let (none, both): (Vec<String>, Vec<String>) = (pointers("[]"), pointers(r#"{"amount":"x"}"#));
    assert_eq!(none, ["/data"]);
    assert_eq!(both.len(), 2, "{both:?}");
    assert_eq!(pointers(&format!("{{\"name\":{}", "[".repeat(10_000))), ["/data"]);
    assert_eq!(apply(&book, &event("a.b", r#"{"name":"x"}"#)), Ok(Vec::new()));
}

#[test]
fn a_rule_that_cannot_be_used_is_refused_where_it_is_wrong() {
    let check = |body: &str, pointer: &str, words: &str| {
        let book = book(&[("one", body)]);
        let problems = book.problems(DefinitionKind::Rule, "one");
        let found = problems.iter().any(|problem| problem.pointer == pointer && problem.detail.contains(words));
        assert!(found, "{body}: {problems:?}");
    };
    let of = |send: &str| format!(r#"{{"event": "a.b", "send": {send}}}"#);
    check("[]", "", "must be an object");
    check(r#"{"event": "a.b"}"#, "/send", "is required");
    check(r#"{"send": {"template": "welcome"}}"#, "/event", "is required");
    check(r#"{"event": "a.bc", "send": {"template": "welcome"}}"#, "/event", "did you mean `a.b`");
    check(r#"{"event": "fanfare.sent", "send": {"template": "welcome"}}"#, "/event", "feed on themselves");
    check(r#"{"event": "a.b", "wen": {}, "send": {"template": "welcome"}}"#, "/wen", "did you mean `when`");
    check(
        r#"{"event": "a.b", "when": {"field": "name", "above": 1}, "send": {"template": "welcome"}}"#,
        "/when",
        "is a text",
    );
    check(r#"{"event": "a.b", "active": 1, "send": {"template": "welcome"}}"#, "/active", "true or false");
    for audience in [r#"{"subject": "x"}"#, "\"followers\""] {
        let body = format!(r#"{{"event": "a.b", "audience": {audience}, "send": {{"template": "welcome"}}}}"#);
        check(&body, "/audience", "subscribers");
    }
    let to_subscribers = |send: &str| {
        format!(r#"{{"event": "a.b", "audience": "subscribers", "send": {{"template": "welcome", {send}}}}}"#)
    };
    check(&to_subscribers(r#""channels": ["email"]"#), "/send/channels", "by each subscription");
    check(&to_subscribers(r#""to": {"email": "a@example.com"}"#), "/send/to", "by each subscription");
    check(r#"{"event": "a.b", "audience": [], "send": {"template": "welcome"}}"#, "/audience", "1 to 1000");
    check(r#"{"event": "a.b", "audience": ["a", "a"], "send": {"template": "welcome"}}"#, "/audience/1", "twice");
    check(&of("{}"), "/send/template", "is required");
    check(&of(r#"{"template": "gone"}"#), "/send/template", "there is no template `gone`");
    check(&of(r#"{"template": "welcome", "user_id": "x"}"#), "/send/user_id", "audience");
    check(&of(r#"{"template": "welcome", "chanels": ["sms"]}"#), "/send/chanels", "did you mean `channels`");
    check(&of(r#"{"template": "welcome", "channels": ["fax"]}"#), "/send/channels/0", "`fax` is unknown");
    check(&of(r#"{"template": "welcome", "priority": "urgent"}"#), "/send/priority", "`urgent` is unknown");
    check(&of(r#"{"template": "welcome", "category": "nonsense"}"#), "/send/category", "is no category");
    check(&of(r#"{"template": "welcome", "delay_seconds": -1}"#), "/send/delay_seconds", "whole number");
    check(&of(r#"{"template": "welcome", "dedup_window_seconds": 0}"#), "/send/dedup_window_seconds", "must be 1");
    check(&of(r#"{"template": "welcome", "dedup_key": "{{data.x"}"#), "/send/dedup_key", "not closed");
    check(&of(r#"{"template": "welcome", "aggregate": {"kye": "x"}}"#), "/send/aggregate/kye", "did you mean `key`");
    check(&of(r#"{"template": "welcome", "to": {"email": "nobody"}}"#), "/send/to/email", "");
    let on_bare = book(&[("one", r#"{"event": "bare.type", "send": {"template": "welcome"}}"#)]);
    assert!(on_bare.problems(DefinitionKind::Rule, "one").is_empty(), "without an example nobody knows what comes");
    assert!(!book(&[("One!", &of(r#"{"template": "welcome"}"#))]).problems(DefinitionKind::Rule, "One!").is_empty());
}
