use super::*;
use crate::config;
use crate::domain::{Content, TimeOfDay};

/// Knows one template.
struct Known;

impl ContentCheck for Known {
    fn check(&self, request: &NotificationRequest) -> Result<(), FieldProblem> {
        match &request.content {
            Content::Template { code } if &**code != "known" => Err(FieldProblem::new("/template", "is unknown")),
            _ => Ok(()),
        }
    }
}

const NOW: Timestamp = Timestamp(1_795_262_400_000);
const APPENDED: Timestamp = Timestamp(1_795_262_000_000);
const MAIL: &str = r#"{"to":{"email":"a@example.com"},"template":"known","priority":"critical","delay_seconds":60}"#;

fn reading() -> Reading {
    let categories = config::defaults().categories().expect("the default is there");
    Reading { contents: Arc::new(Known), categories: Arc::new(categories), body_max: 1 << 20 }
}

fn read_with(body: impl Into<Bytes>, change: impl FnOnce(&mut Foreign)) -> Result<NotificationRequest, String> {
    let mut foreign = Foreign { appended_at: APPENDED, ..Foreign::default() };
    change(&mut foreign);
    let reading = reading();
    reading.read(&body.into(), &foreign, Priority::Low, NOW)
}

fn read(body: impl Into<Bytes>) -> Result<NotificationRequest, String> {
    read_with(body, |_| ())
}

#[test]
fn json_is_read_as_at_the_api_with_the_lane_of_the_topic_and_the_times_of_the_log() {
    let request = read(MAIL).expect("valid");
    assert_eq!((request.source, request.priority, &*request.tenant), (Source::Kafka, Priority::Low, "default"));
    assert_eq!(request.accepted_at, APPENDED);
    assert_eq!(request.deliver_at, Some(Timestamp(APPENDED.millis() + 60_000)));
    let later = read_with(MAIL, |foreign| foreign.appended_at = Timestamp(u64::MAX)).expect("valid");
    assert_eq!(later.accepted_at, NOW, "a producer's clock moves nothing into the future");
}

#[test]
fn the_content_type_says_how_a_body_is_written() {
    let with = |text: &str| read_with(MAIL, |foreign| foreign.content_type = Some(text.into()));
    for text in ["application/json", "Application/JSON; charset=utf-8", " application/json ;x=y"] {
        assert!(with(text).is_ok(), "{text}");
    }
    for text in ["text/plain", "", "application/jsonp", "application/x-bincode"] {
        assert!(with(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_encoded_as_the_engine_does_is_checked_as_json_is() {
    let request = read(MAIL).expect("valid");
    let bincode = |foreign: &mut Foreign| foreign.content_type = Some("application/x-bincode".into());
    let again = read_with(codec::encode_request(&request), bincode).expect("valid");
    assert_eq!(again, request);
    let timed = NotificationRequest { local_time: TimeOfDay::new(8, 0), deliver_at: None, ..request.clone() };
    assert_eq!(read_with(codec::encode_request(&timed), bincode).expect("valid"), timed);
    let unknown = NotificationRequest { category: Some("sozial".into()), ..request.clone() };
    let reason = read_with(codec::encode_request(&unknown), bincode).expect_err("there is no such category");
    assert!(reason.contains("/category") && reason.contains("`social`"), "{reason}");
    let title: Box<str> = "two\r\nlines".into();
    let content = Content::Inline { title, body: "b".into(), html: None, sms: None };
    let bad = NotificationRequest { content, data: "[]".into(), ..request };
    let reason = read_with(codec::encode_request(&bad), bincode).expect_err("it would break a header");
    assert!(reason.contains("/content/title") && reason.contains("/data"), "{reason}");
    let bad = NotificationRequest { data: "{".into(), ..bad };
    assert!(read_with(codec::encode_request(&bad), bincode).is_err());
}

#[test]
fn the_tenant_is_the_headers() {
    let with = |bytes: &'static [u8]| read_with(MAIL, |foreign| foreign.tenant = Some(Bytes::from_static(bytes)));
    assert_eq!(&*with(b"acme").expect("valid").tenant, "acme");
    for bytes in [&b""[..], b"a\0b", b"\xff", &[b'x'; 65]] {
        assert!(with(bytes).expect_err("no tenant").contains("tenant"));
    }
}

#[test]
fn a_retry_key_is_that_of_the_same_call_at_the_api() {
    let with = |key: &'static [u8]| read_with(MAIL, |foreign| foreign.idempotency_key = Some(Bytes::from_static(key)));
    let own = with(b"once").expect("valid").idempotency.expect("it has a key");
    assert_eq!(own.key.0, retry_key::hashed_key("default", "POST /v1/notifications", b"once"));
    assert!(with(b"").is_err() && with(&[b'k'; 256]).is_err());
}

#[test]
fn a_dead_letter_is_read_again_once_it_can_be_used() {
    let letter = |body: &str, is_whole| ForeignLetter {
        body: Bytes::copy_from_slice(body.as_bytes()),
        size: body.len() as u64,
        content_type: None,
        idempotency_key: Some(Bytes::from_static(b"once")),
        tenant: Some(Bytes::from_static(b"acme")),
        is_whole,
    };
    let reading = reading();
    let again = |letter| reading.read_again(&letter, Priority::High, NOW);
    let request = again(letter(MAIL, true)).expect("its template is known");
    assert_eq!((&*request.tenant, request.accepted_at, request.priority), ("acme", NOW, Priority::High));
    assert!(request.idempotency.is_some());
    assert!(again(letter(&MAIL.replace("known", "unknown"), true)).is_none());
    assert!(again(letter(MAIL, false)).is_none(), "what is not whole cannot be read");
}

#[test]
fn rubbish_is_refused_with_a_reason_and_nothing_panics() {
    let deep = format!(
        r#"{{"to":{{"email":"a@example.com"}},"template":"known","data":{}{}}}"#,
        r#"{"a":"#.repeat(10_000),
        format_args!("1{}", "}".repeat(10_000))
    );
    let unknown = MAIL.replace("known", "unknown");
    let twice = MAIL.replace(r#""template""#, r#""template":"known","template""#);
    let cases: [(&[u8], &str); 9] = [
        (b"", "JSON"),
        (b"\0\0\0", "JSON"),
        (b"\xff\xfe", "UTF-8"),
        (b"null", "object"),
        (b"[1]", "object"),
        (b"{\"user_id\": \"a\\u0000b\", \"template\": \"known\"}", "/user_id"),
        (deep.as_bytes(), "/data"),
        (unknown.as_bytes(), "/template is unknown"),
        (twice.as_bytes(), "duplicate"),
    ];
    for (body, expected) in cases {
        let reason = read(Bytes::copy_from_slice(body)).expect_err("it is refused");
        assert!(reason.contains(expected) && reason.len() <= REASON_BYTES_MAX, "{reason}");
    }
    let reason = read(vec![b' '; (1 << 20) + 1]).expect_err("too large");
    assert!(reason.contains("too large"), "{reason}");
}
