use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::config;
use crate::domain::{Channel, Priority, Routing, TimeOfDay};

fn shipped() -> &'static Categories {
    static SHIPPED: LazyLock<Categories> =
        LazyLock::new(|| config::defaults().categories().expect("the default is there"));
    &SHIPPED
}

fn envelope() -> Envelope<'static> {
    let now = Timestamp::parse("2026-11-21T12:00:00Z").expect("a time");
    Envelope { tenant: "default", source: Source::Http, idempotency: None, now, categories: shipped(), contents: &() }
}

fn read(text: &str) -> Result<NotificationRequest, Vec<FieldProblem>> {
    read_request(text, &envelope())
}

/// The body with `fields` added to what is required.
fn with(fields: &str) -> String {
    format!(r#"{{"user_id":"u","template":"t",{fields}}}"#)
}

#[track_caller]
fn check_refused(text: &str, pointer: &str, detail: &str) {
    let problems = read(text).expect_err("must be refused");
    let found = problems.iter().any(|problem| problem.pointer == pointer && problem.detail.contains(detail));
    assert!(found, "no `{pointer}` with `{detail}` in {problems:?}");
}

#[test]
fn the_request_of_the_contract_is_read_without_what_comes_later() {
    let request = read(
        r#"{
            "user_id": "user123",
            "to": {"email": "alice@example.com"},
            "template": "order_confirm",
            "data": {"order_id": "12345", "total": "99.99"},
            "category": "transactional",
            "priority": "high",
            "channels": ["email", "push"],
            "routing": "fallback",
            "delay_seconds": 0, "deliver_at": null, "local_time": null, "expires_at": null,
            "dedup_key": null, "dedup_window_seconds": 300,
            "aggregate": null,
            "metadata": {}
        }"#,
    )
    .expect("valid");
    assert_eq!(request.user_id.as_deref(), Some("user123"));
    assert_eq!(request.to.email.as_deref(), Some("alice@example.com"));
    assert_eq!(request.content, Content::Template { code: "order_confirm".into() });
    assert_eq!(&*request.data, r#"{"order_id": "12345", "total": "99.99"}"#);
    assert_eq!(request.priority, Priority::High);
    assert_eq!(request.channels, [Channel::Email, Channel::Push]);
    assert_eq!(request.routing, Routing::Fallback);
    assert_eq!(request.deliver_at, None);
    assert_eq!(request.dedup_window_seconds, Some(300));
    assert_eq!(&*request.metadata, "{}");
}

#[test]
fn what_is_left_out_has_its_default() {
    let request = read(r#"{"to":{"phone":"+4930123456"},"content":{"title":"","body":"Hi {{name}}"}}"#).expect("valid");
    assert_eq!(request.priority, Priority::Normal);
    assert_eq!(request.routing, Routing::All);
    assert!(request.channels.is_empty());
    assert_eq!((&*request.data, &*request.metadata), ("{}", "{}"));
    assert_eq!(request.accepted_at, envelope().now);
}

#[test]
fn a_field_of_the_wrong_kind_is_named() {
    check_refused("", "", "no JSON");
    check_refused("[]", "", "must be an object");
    check_refused(r#"{"user_id":"u","template":"t""#, "", "no JSON");
    check_refused(&with(r#""templat":"x""#), "/templat", "did you mean `template`");
    check_refused(&with(r#""a/b~c":1"#), "/a~1b~0c", "no field");
    check_refused(&with(r#""to":{"mail":"x"}"#), "/to/mail", "did you mean `email`");
    check_refused(&with(r#""to":"x""#), "/to", "must be an object");
    check_refused(&with(r#""category":7"#), "/category", "must be a text");
    check_refused(&with(r#""channels":["email","fax"]"#), "/channels/1", "`fax` is unknown: use email");
    check_refused(&with(r#""channels":"email""#), "/channels", "must be a list");
    check_refused(&with(r#""priority":"urgent""#), "/priority", "critical, high, normal, low");
    check_refused(&with(r#""routing":"some""#), "/routing", "all, fallback");
    check_refused(&with(r#""user_id":"v""#), "", "duplicate field `user_id`");
    check_refused(r#"{"user_id":"u","content":{"body":"b"}}"#, "/content/title", "is required");
}

#[test]
fn a_value_out_of_its_bounds_is_named() {
    check_refused(r#"{"template":"t"}"#, "/to", "`user_id` or an address");
    check_refused(r#"{"template":"t","to":{}}"#, "/to", "`user_id` or an address");
    check_refused(r#"{"user_id":"u"}"#, "/template", "`template` or `content`");
    check_refused(&with(r#""content":{"title":"a","body":"b"}"#), "/content", "exclude each other");
    check_refused(r#"{"user_id":"","template":"t"}"#, "/user_id", "not be empty");
    check_refused(&format!(r#"{{"user_id":"{}","template":"t"}}"#, "u".repeat(257)), "/user_id", "at most 256");
    check_refused(r#"{"user_id":"u","template":"../etc/passwd"}"#, "/template", "letters, digits");
    check_refused(&with(r#""dedup_window_seconds":0"#), "/dedup_window_seconds", "1 to 604800");
    check_refused(&with(r#""channels":["sms","email","sms"]"#), "/channels/2", "twice");
    let many = vec![r#""email""#; 33].join(",");
    check_refused(&with(&format!(r#""channels":[{many}]"#)), "/channels", "at most 32");
    let content = |title: &str| format!(r#"{{"user_id":"u","content":{{"title":"{title}","body":"b"}}}}"#);
    check_refused(&content(r"Hi\r\nBcc: x@example.com"), "/content/title", "line breaks");
    check_refused(&content(r"a\u2028b"), "/content/title", "line breaks");
    check_refused(&content(r"a\u0000b"), "/content/title", "line breaks");
}

#[test]
fn an_impossible_time_is_named() {
    check_refused(&with(r#""deliver_at":"tomorrow""#), "/deliver_at", "RFC 3339");
    check_refused(&with(r#""deliver_at":"2026-02-30T00:00:00Z""#), "/deliver_at", "RFC 3339");
    check_refused(&with(r#""deliver_at":"2027-11-22T12:00:01Z""#), "/deliver_at", "365 days");
    check_refused(&with(r#""delay_seconds":-1"#), "/delay_seconds", "whole number");
    check_refused(&with(r#""delay_seconds":1.5"#), "/delay_seconds", "whole number");
    check_refused(&with(r#""delay_seconds":1e400"#), "/delay_seconds", "out of range");
    check_refused(&with(r#""delay_seconds":31536001"#), "/delay_seconds", "365 days");
    check_refused(
        &with(r#""delay_seconds":5,"deliver_at":"2026-11-22T12:00:00Z""#),
        "/delay_seconds",
        "exclude each other",
    );
    check_refused(&with(r#""expires_at":"2026-11-21T12:00:00Z""#), "/expires_at", "has passed");
    check_refused(
        &with(r#""expires_at":"2026-11-21T13:00:00Z","delay_seconds":3600"#),
        "/expires_at",
        "after the time of delivery",
    );
}

#[test]
fn the_two_ways_to_say_when_are_one_and_the_past_is_now() {
    let at = |fields: &str| read(&with(fields)).expect("valid").deliver_at.map(|at| at.to_string());
    assert_eq!(at(r#""delay_seconds":60"#).as_deref(), Some("2026-11-21T12:01:00.000Z"));
    assert_eq!(at(r#""deliver_at":"2026-11-21T14:00:00+01:00""#).as_deref(), Some("2026-11-21T13:00:00.000Z"));
    assert_eq!(at(r#""deliver_at":"2026-11-21T11:00:00Z""#), None);
    assert_eq!(at(r#""delay_seconds":0"#), None);
}

#[test]
fn what_is_to_be_merged_has_a_key_and_perhaps_an_actor_and_a_window() {
    let read = |fields: &str| read(&with(fields)).expect("valid").aggregate;
    let aggregate = read(r#""aggregate":{"key":"like:1","actor":"Alice","window_seconds":60}"#).expect("it is there");
    assert_eq!(
        (&*aggregate.key, aggregate.actor.as_deref(), aggregate.window_seconds),
        ("like:1", Some("Alice"), Some(60))
    );
    assert_eq!(read(r#""aggregate":null"#), None);
    let refused =
        |value: &str, pointer, detail| check_refused(&with(&format!("\"aggregate\":{value}")), pointer, detail);
    refused(r#"{"actor":"Alice"}"#, "/aggregate/key", "required");
    refused(r#"{"key":""}"#, "/aggregate/key", "empty");
    refused(r#"{"key":"k","actor":"a\nb"}"#, "/aggregate/actor", "line breaks");
    refused(r#"{"key":"k","window_seconds":0}"#, "/aggregate/window_seconds", "1 to 604800");
    refused(r#"{"key":"k","windw_seconds":5}"#, "/aggregate/windw_seconds", "window_seconds");
    refused(r#"["k"]"#, "/aggregate", "object");
}

#[test]
fn an_address_that_is_none_is_named() {
    let check = |field: &str, value: &str, detail: &str| {
        let to = serde_json::json!({ "template": "t", "to": { field: value } }).to_string();
        check_refused(&to, &format!("/to/{field}"), detail);
    };
    for email in
        ["alice", "@example.com", "a@", "a b@example.com", "a..b@example.com", "a@-x.com", "a@x..com", "<a@b.c>"]
    {
        check("email", email, "no mail address");
    }
    check("email", "a@example.com\r\nRCPT TO:<b@example.com>", "line breaks");
    check("email", &format!("a@{}.com", "x".repeat(64)), "no domain");
    check("email", &format!("{}@example.com", "x".repeat(300)), "too long");
    for phone in ["0301234567", "+0123456789", "+12345", "+1234567890123456", "+49 30 1234", "+４９３０１２３４５６"]
    {
        check("phone", phone, "E.164");
    }
    for url in ["example.com", "/x", "ftp://example.com/", "file:///etc/passwd", "http://", "https://exa mple.com/"] {
        check("url", url, "http or https");
    }
    check("url", "https://user:pass@example.com/", "name or password");
    check("url", &format!("https://example.com/{}", "x".repeat(2048)), "too long");
    check("push_token", "", "1 to 4096");
}

#[test]
fn addresses_in_use_are_taken() {
    let to = |field: &str, value: &str| {
        let body = serde_json::json!({ "template": "t", "to": { field: value } }).to_string();
        read(&body).unwrap_or_else(|problems| panic!("{value}: {problems:?}"));
    };
    for email in ["a@b.co", "first.last+tag@sub.example.com", "root@localhost", "jörg@müller.example", "o'neil@x.ie"]
    {
        to("email", email);
    }
    to("phone", "+4915123456789");
    for url in ["http://127.0.0.1:9000/hook", "https://example.com/a?b=c", "http://[::1]:80/"] {
        to("url", url);
    }
}

#[test]
fn data_that_nobody_could_read_later_is_refused() {
    check_refused(&with(r#""data":[1]"#), "/data", "must be an object");
    check_refused(&with(r#""data":{"n":1e400}"#), "/data", "out of range");
    check_refused(&with(r#""data":{"s":"\ud800"}"#), "/data", "");
    let nested = |levels: usize| format!(r#""metadata":{{"x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    check_refused(&with(&nested(64)), "/metadata", "nested more than 64");
    read(&with(&nested(63))).expect("64 levels with the object itself");
}

#[test]
fn ten_thousand_levels_are_refused_wherever_they_stand() {
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    for body in [deep.clone(), with(&format!(r#""data":{{"x":{deep}}}"#)), with(&format!(r#""x":{deep}"#))] {
        assert!(read(&body).is_err());
    }
}

#[test]
fn what_is_nested_too_deep_hides_no_other_field() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    for (fields, pointer, detail) in [
        (format!(r#""data":{{"x":{deep}}},"priority":"asap""#), "/priority", "`asap` is unknown"),
        (format!(r#""data":{{"x":{deep}}},"priority":"asap""#), "/data", "nested more than 64"),
        (format!(r#""channels":{deep},"priority":"asap""#), "/priority", "`asap` is unknown"),
        (format!(r#""channels":{deep}"#), "/channels", "nested too deep"),
        (format!(r#""to":{{"email":{deep}}}"#), "/to", "nested too deep"),
        (format!(r#""x":{deep},"delay_seconds":-1"#), "/x", "no field that is known"),
        (format!(r#""x":{deep},"delay_seconds":-1"#), "/delay_seconds", "whole number"),
    ] {
        check_refused(&with(&fields), pointer, detail);
    }
    check_refused(&deep, "", "must be an object, not a list");
}

#[test]
fn an_item_takes_from_the_defaults_what_it_lacks() {
    let defaults =
        Defaults::read(r#"{"template":"t","priority":"low","data":{"a":1},"delay_seconds":5}"#).expect("valid");
    let item = |text: &str| read_item(text, Some(&defaults), &envelope()).expect("valid");
    let plain = item(r#"{"user_id":"u"}"#);
    assert_eq!((plain.priority, &*plain.data), (Priority::Low, r#"{"a":1}"#));
    assert!(plain.deliver_at.is_some());
    let own = item(r#"{"user_id":"u","priority":"high","data":{},"content":{"title":"x","body":"y"}}"#);
    assert_eq!((own.priority, &*own.data), (Priority::High, "{}"));
    assert!(matches!(own.content, Content::Inline { .. }));
    let timed = item(r#"{"user_id":"u","deliver_at":"2026-11-21T13:00:00Z"}"#);
    assert_eq!(timed.deliver_at.map(|at| at.to_string()).as_deref(), Some("2026-11-21T13:00:00.000Z"));
}

#[test]
fn a_local_time_is_a_time_of_day_and_the_only_time() {
    let request = read(&with(r#""local_time":"08:05","delay_seconds":0"#)).expect("valid");
    assert_eq!((request.local_time, request.deliver_at), (TimeOfDay::new(8, 5), None));
    check_refused(&with(r#""local_time":"8:05""#), "/local_time", "time of day");
    check_refused(&with(r#""local_time":"24:00""#), "/local_time", "time of day");
    check_refused(&with(r#""local_time":900"#), "/local_time", "time of day");
    check_refused(&with(r#""local_time":"08:05","delay_seconds":5"#), "/local_time", "excludes `deliver_at`");
    check_refused(
        &with(r#""local_time":"08:05","deliver_at":"2026-11-21T13:00:00Z""#),
        "/local_time",
        "excludes `deliver_at`",
    );
}

#[test]
fn an_unknown_category_is_refused_with_the_nearest_one() {
    check_refused(&with(r#""category":"marketting""#), "/category", "did you mean `marketing`?");
    check_refused(&with(r#""category":" ""#), "/category", "transactional, security");
    check_refused(&with(r#""category":"Social""#), "/category", "did you mean `social`?");
    let long = format!(r#""category":"{}""#, "x".repeat(10_000));
    let problems = read(&with(&long)).expect_err("there is no such category");
    assert!(problems[0].detail.len() < 300, "{problems:?}");
}

#[test]
fn a_request_without_a_priority_has_that_of_its_category() {
    let check = |fields: &str, expected| {
        assert_eq!(read(&with(fields)).expect("valid").priority, expected, "{fields}");
    };
    check(r#""category":"security""#, Priority::Critical);
    check(r#""category":"marketing""#, Priority::Low);
    check(r#""category":"marketing","priority":"high""#, Priority::High);
    check(r#""data":{}"#, Priority::Normal);
}

/// Any JSON that looks a little like a request.
fn any_body() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null".to_owned()),
        Just("1".to_owned()),
        Just("\"email\"".to_owned()),
        Just("[\"email\"]".to_owned()),
        Just("{}".to_owned()),
        Just("{\"email\":\"a@b.c\"}".to_owned()),
        "\"[ -~&&[^\"\\\\]]{0,8}\"",
    ];
    let names = [
        "user_id",
        "to",
        "template",
        "content",
        "data",
        "category",
        "priority",
        "channels",
        "routing",
        "delay_seconds",
        "deliver_at",
        "local_time",
        "expires_at",
        "dedup_key",
        "dedup_window_seconds",
        "aggregate",
        "metadata",
        "other",
    ];
    prop::collection::btree_map(prop::sample::select(names.to_vec()), value, 0..6).prop_map(|fields| {
        let fields: Vec<String> = fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    })
}

proptest! {
    #[test]
    fn whatever_is_refused_is_explained_with_the_field(body in any_body()) {
        if let Err(problems) = read(&body) {
            prop_assert!(!problems.is_empty());
            prop_assert!(problems.iter().all(|problem| !problem.pointer.is_empty()), "{problems:?}");
        }
    }

    #[test]
    fn no_bytes_make_the_reading_panic(text in ".{0,200}") {
        let _ = read(&text);
    }
}

#[test]
fn what_goes_along_with_a_message_is_read() {
    let request = read(&with(
        r#""to":{"chat":"ops:alice"},"collapse_key":"score:7",
           "attachments":[{"url":"https://files.example.com/a?b","name":"Rechnung März.pdf","media_type":"application/pdf"},
                          {"url":"http://files.example.com/","name":"b"}]"#,
    ))
    .expect("valid");
    assert_eq!(request.to.chat.as_deref(), Some("ops:alice"));
    assert_eq!(request.collapse_key.as_deref(), Some("score:7"));
    let names: Vec<&str> = request.attachments.iter().map(|attachment| &*attachment.name).collect();
    assert_eq!(names, ["Rechnung März.pdf", "b"]);
    assert_eq!(request.attachments[0].media_type.as_deref(), Some("application/pdf"));
}

#[test]
fn attachments_that_could_not_stand_in_a_mail_are_refused() {
    let one = |url: &str, name: &str, media_type: &str| {
        let attachment = serde_json::json!({ "url": url, "name": name, "media_type": media_type });
        with(&format!(r#""attachments":[{attachment}]"#))
    };
    let url = "https://files.example.com/a";
    check_refused(&one("ftp://files.example.com/a", "a", "a/b"), "/attachments/0/url", "http or https");
    check_refused(&one(url, "", "a/b"), "/attachments/0/name", "empty");
    check_refused(&one(url, "../a", "a/b"), "/attachments/0/name", "without directories");
    check_refused(&one(url, "a\"; x=\"b", "a/b"), "/attachments/0/name", "quotation marks");
    check_refused(&one(url, "a\r\nBcc: b", "a/b"), "/attachments/0/name", "line breaks");
    check_refused(&one(url, "a", "text/html; charset=x"), "/attachments/0/media_type", "media type");
    check_refused(&one(url, "a", "text"), "/attachments/0/media_type", "media type");
    let many = vec![serde_json::json!({ "url": url, "name": "a" }); 11];
    check_refused(&with(&format!(r#""attachments":{}"#, serde_json::json!(many))), "/attachments", "at most 10");
    let merged = format!(r#""attachments":[{{"url":"{url}","name":"a"}}],"aggregate":{{"key":"k"}}"#);
    check_refused(&with(&merged), "/attachments", "merged with others");
    let digest = Category { is_digest: true, ..shipped().of(None).clone() };
    let name = digest.name.clone();
    let categories = Categories::new(vec![digest], &name).expect("the default is there");
    let of_digest = with(&format!(r#""attachments":[{{"url":"{url}","name":"a"}}]"#));
    let problems = read_request(&of_digest, &Envelope { categories: &categories, ..envelope() }).expect_err("refused");
    assert_eq!(problems[0].pointer, "/attachments");
    check_refused(&with(&format!(r#""collapse_key":"{}""#, "k".repeat(65))), "/collapse_key", "too long");
}
