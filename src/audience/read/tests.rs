use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOW: &str = "2026-11-21T12:00:00.000Z";

fn now() -> Timestamp {
    Timestamp::parse(NOW).expect("a time")
}

fn read(text: &str, headers: &[(&str, &str)]) -> Result<DomainEvent, Vec<FieldProblem>> {
    let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    read_event(text, &EventReading { tenant: "shop", told_by: Source::Http, now: now(), headers: &header })
}

/// The headers of an event in the binary mode.
const BINARY: [(&str, &str); 4] =
    [("ce-specversion", "1.0"), ("ce-id", "e1"), ("ce-source", "/shop"), ("ce-type", "user.registered")];

#[track_caller]
fn assert_refused(text: &str, headers: &[(&str, &str)], pointer: &str, detail: &str) {
    let problems = read(text, headers).expect_err("is refused");
    let fits = |problem: &&FieldProblem| problem.pointer == pointer && problem.detail.contains(detail);
    assert!(problems.iter().any(|problem| fits(&problem)), "no {pointer} with `{detail}` in {problems:?}");
}

#[test]
fn an_event_in_plain_json_is_read() {
    let text = json!({
        "type": "wallet.recharged", "id": "r-17", "source": "/wallet", "subject": "wallet/4", "user_id": "alice",
        "data": {"amount": 12.5}, "time": "2026-11-21T11:59:00Z", "delay_seconds": 60
    });
    let event = read(&text.to_string(), &[]).expect("valid");
    let expected = DomainEvent {
        tenant: "shop".into(),
        id: "r-17".into(),
        event_type: "wallet.recharged".into(),
        source: Some("/wallet".into()),
        subject: Some("wallet/4".into()),
        user_id: Some("alice".into()),
        data: r#"{"amount":12.5}"#.into(),
        at: Timestamp::parse("2026-11-21T11:59:00Z").expect("a time"),
        deliver_at: Some(now() + std::time::Duration::from_secs(60)),
        told_by: Source::Http,
        accepted_at: now(),
    };
    assert_eq!(event, expected);
}

#[test]
fn what_is_not_said_is_made_or_empty() {
    let event = read(r#"{"type": "user.registered", "subject": null, "data": null, "delay_seconds": null}"#, &[]);
    let event = event.expect("valid");
    assert!(event.id.starts_with("evt_") && event.id.len() == 36, "{}", event.id);
    assert_eq!((&*event.data, event.at, event.deliver_at, event.subject), ("{}", now(), None, None));
    let other = read(r#"{"type": "user.registered"}"#, &[]).expect("valid");
    assert_ne!(other.id, event.id);
    let keyed = [("idempotency-key", "k1")];
    assert_eq!(&*read(r#"{"type": "user.registered"}"#, &keyed).expect("valid").id, "k1");
    assert_eq!(&*read(r#"{"type": "user.registered", "id": "e1"}"#, &keyed).expect("valid").id, "e1");
    let past = r#"{"type": "user.registered", "deliver_at": "2026-11-20T12:00:00Z"}"#;
    assert_eq!(read(past, &[]).expect("valid").deliver_at, None, "callers' clocks differ");
}

#[test]
fn a_cloud_event_is_read_in_both_modes_alike() {
    let structured = json!({
        "specversion": "1.0", "id": "e1", "source": "/shop", "type": "user.registered", "subject": "user/alice",
        "time": "2026-11-21T13:00:00+02:00", "datacontenttype": "application/json", "dataschema": "https://example.com/s",
        "userid": "alice", "traceparent": "00-1", "data": {"name": "Alice"}
    });
    let structured = structured.to_string();
    let event = read(&structured, &[("content-type", "application/cloudevents+json; charset=UTF-8")]).expect("valid");
    assert_eq!((&*event.id, event.user_id.as_deref(), &*event.data), ("e1", Some("alice"), r#"{"name":"Alice"}"#));
    assert_eq!(event.at, Timestamp::parse("2026-11-21T11:00:00Z").expect("a time"));
    assert_eq!(read(&structured, &[("content-type", "application/json")]), Ok(event.clone()), "it says what it is");
    let headers = [
        &BINARY[..],
        &[
            ("content-type", "application/json"),
            ("ce-subject", "user/alice"),
            ("ce-userid", "alice"),
            ("ce-time", "2026-11-21T11:00:00Z"),
        ],
    ];
    assert_eq!(read(r#" {"name":"Alice"} "#, &headers.concat()), Ok(event));
    assert_eq!(&*read("", &BINARY).expect("valid").data, "{}");
}

#[test]
fn what_is_wrong_with_a_plain_event_is_said_all_at_once() {
    let text = json!({
        "type": "User Registered", "id": "", "subject": 7, "user_id": "a\nb", "data": [1], "time": "now",
        "delay_seconds": 1.5, "usr_id": "alice"
    });
    let problems = read(&text.to_string(), &[]).expect_err("is refused");
    let mut pointers: Vec<&str> = problems.iter().map(|problem| &*problem.pointer).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/data", "/delay_seconds", "/id", "/subject", "/time", "/type", "/user_id", "/usr_id"]);
    assert_refused(&text.to_string(), &[], "/usr_id", "did you mean `user_id`?");
}

#[test]
fn an_event_that_cannot_be_read_is_refused_with_the_place() {
    let long = "x".repeat(257);
    assert_refused("", &[], "", "is no JSON");
    assert_refused("[]", &[], "", "must be an object, not a list");
    assert_refused("{}", &[], "/type", "is required");
    assert_refused(r#"{"type": 7}"#, &[], "/type", "must be a text");
    assert_refused(r#"{"type": "a", "type": "b"}"#, &[], "/type", "is there twice");
    assert_refused(&json!({"type": "a", "id": long}).to_string(), &[], "/id", "1 to 256 bytes");
    assert_refused(&json!({"type": "a", "user_id": long}).to_string(), &[], "/user_id", "1 to 256 bytes");
    let both = r#"{"type": "a", "delay_seconds": 1, "deliver_at": "2026-11-22T12:00:00Z"}"#;
    assert_refused(both, &[], "/delay_seconds", "exclude each other");
    let deep = format!(r#"{{"type": "a", "data": {{"a": {}{}}}}}"#, "[".repeat(100), "]".repeat(100));
    assert_refused(&deep, &[], "/data", "nested");
    assert_refused("[]", &[("content-type", "application/cloudevents-batch+json")], "", "is a batch");
}

#[test]
fn a_cloud_event_that_cannot_be_read_is_refused_with_the_place() {
    let structured = [("content-type", "application/cloudevents+json")];
    let event = |field: &str, value: serde_json::Value| {
        let mut event = json!({"specversion": "1.0", "id": "e1", "source": "/shop", "type": "user.registered"});
        event[field] = value;
        event.to_string()
    };
    for pointer in ["/specversion", "/id", "/source", "/type"] {
        let detail = if pointer == "/specversion" { "1.0" } else { "is required" };
        assert_refused("{}", &structured, pointer, detail);
        assert_refused(&event(&pointer[1..], json!(null)), &structured, pointer, detail);
    }
    assert_refused(&event("specversion", json!("0.3")), &structured, "/specversion", "1.0");
    assert_refused(&event("data_base64", json!("e30=")), &structured, "/data_base64", "is not taken");
    assert_refused(&event("datacontenttype", json!("text/xml")), &structured, "/datacontenttype", "application/json");
    assert_refused(&event("data", json!("text")), &structured, "/data", "must be an object");
    assert_refused(&event("userid", json!(7)), &structured, "/userid", "must be a text");
    assert_refused("{", &BINARY, "/data", "is no JSON");
    assert_refused("{}", &BINARY[..2], "/source", "is required");
    assert_refused("{}", &[("ce-specversion", "1.0"), ("content-type", "text/plain")], "/datacontenttype", "must be");
    let no_key = [("ce-specversion", "1.0"), ("ce-type", "a"), ("ce-source", "/s"), ("idempotency-key", "k")];
    assert_refused("{}", &no_key, "/id", "is required");
}

/// Texts that come close to an event.
fn any_text() -> impl Strategy<Value = String> {
    let word =
        prop_oneof![Just("user.registered"), Just(""), Just("1.0"), Just("2026-11-21T12:00:00Z"), Just("é\u{0}")];
    let value = prop_oneof![
        word.prop_map(|word| json!(word)),
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        Just(json!(null)),
        Just(json!({"a": [1, {"b": null}]})),
    ];
    let name =
        prop::sample::select([&PLAIN[..], &["specversion", "userid", "data_base64", "datacontenttype", "x"]].concat());
    let object = prop::collection::btree_map(name, value, 0..8).prop_map(|fields| json!(fields).to_string());
    prop_oneof![3 => object, 1 => ".*", 1 => Just("{\"type\":\"a\\ud800\"}".to_owned())]
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused_with_words(text in any_text(), cut in 0usize..200, mode in 0usize..3) {
        let headers: &[(&str, &str)] = match mode {
            0 => &[],
            1 => &[("content-type", "application/cloudevents+json")],
            _ => &BINARY,
        };
        let end = (0..=cut.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        for text in [&text[..], &text[..end]] {
            match read(text, headers) {
                Ok(event) => {
                    prop_assert!(is_event_type(&event.event_type) && !event.id.is_empty());
                    let data: Result<serde_json::Map<String, Value>, _> = serde_json::from_str(&event.data);
                    prop_assert!(data.is_ok(), "{}", event.data);
                }
                Err(problems) => {
                    prop_assert!(!problems.is_empty());
                    prop_assert!(problems.iter().all(|problem| !problem.detail.is_empty()));
                }
            }
        }
    }
}
