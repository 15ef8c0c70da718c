use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use futures_util::stream;

use super::world::{World, request};

const PATH: &str = "/v1/notifications";

fn with(fields: &str) -> String {
    format!(r#"{{"user_id":"u","template":"t",{fields}}}"#)
}

#[tokio::test]
async fn every_bad_field_is_a_400_that_names_it_and_says_why() {
    let world = World::new();
    let check = async |body: String, pointer: &str, detail: &str| {
        world.post(PATH, body).await.assert_field(pointer, detail);
    };
    check(with(r#""templates":"x""#), "/templates", "did you mean `template`").await;
    check(with(r#""channels":["pigeon"]"#), "/channels/0", "`pigeon` is unknown").await;
    check(r#"{"template":"t"}"#.to_owned(), "/to", "is required").await;
    check(with(r#""to":{"email":"a@example.com\r\nBcc: b@example.com"}"#), "/to/email", "line breaks").await;
    check(r#"{"user_id":"u","content":{"title":"a\nb","body":"c"}}"#.to_owned(), "/content/title", "line breaks").await;
    check(with(r#""deliver_at":"2026-13-01T00:00:00Z""#), "/deliver_at", "RFC 3339").await;
    check(with(r#""deliver_at":"9999-01-01T00:00:00Z""#), "/deliver_at", "365 days").await;
    check(with(r#""expires_at":"2020-01-01T00:00:00Z""#), "/expires_at", "has passed").await;
    check(r#"{"user_id":"u","template":"missing"}"#.to_owned(), "/template", "no template").await;
    check(with(r#""to":{"url":"http://127.0.0.1:22/"}"#), "/to/url", "private address").await;
    check(with(r#""category":"marketting""#), "/category", "did you mean `marketing`?").await;
    check(with(r#""local_time":"25:00""#), "/local_time", "time of day").await;
    check(with(r#""local_time":"08:00","delay_seconds":5"#), "/local_time", "excludes").await;
    check(with(r#""aggregate":{"actor":"a"}"#), "/aggregate/key", "required").await;
    assert_eq!(world.log.len(), 0);
}

#[tokio::test]
async fn several_bad_fields_are_all_named() {
    let world = World::new();
    let answer = world.post(PATH, r#"{"user_id":"","channels":["sms","sms"],"dedup_window_seconds":0}"#).await;
    for (pointer, detail) in
        [("/user_id", "empty"), ("/channels/1", "twice"), ("/dedup_window_seconds", "1 to"), ("/template", "required")]
    {
        answer.assert_field(pointer, detail);
    }
}

#[tokio::test]
async fn a_body_over_256_kib_is_413_whether_its_length_was_announced_or_not() {
    let world = World::new();
    let large = with(&format!(r#""metadata":{{"x":"{}"}}"#, "y".repeat(256 * 1024)));
    let mut announced = request("POST", PATH, "all", large.clone());
    announced.headers_mut().insert("content-length", large.len().into());
    world.call(announced).await.assert_problem(413);
    let chunks = large
        .into_bytes()
        .chunks(4096)
        .map(|chunk| Ok::<_, std::io::Error>(Bytes::copy_from_slice(chunk)))
        .collect::<Vec<_>>();
    let streamed = request("POST", PATH, "all", Body::from_stream(stream::iter(chunks)));
    world.call(streamed).await.assert_problem(413);
}

#[tokio::test]
async fn a_body_that_is_no_json_in_utf_8_is_a_400() {
    let world = World::new();
    for body in [&b"\xff\xfe{}"[..], b"{\"user_id\":\"\xc3\x28\",\"template\":\"t\"}"] {
        world.post(PATH, body).await.assert_field("", "UTF-8");
    }
    for body in ["", "{", "null", "\"x\"", "{\"user_id\":\"u\",}"] {
        world.post(PATH, body).await.assert_problem(400);
    }
}

#[tokio::test]
async fn ten_thousand_levels_are_a_400_in_every_place() {
    let world = World::new();
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let nested = "{\"a\":".repeat(10_000) + "1" + &"}".repeat(10_000);
    for body in
        [deep.clone(), nested.clone(), with(&format!("\"data\":{{\"x\":{deep}}}")), with(&format!("\"data\":{nested}"))]
    {
        world.post(PATH, body).await.assert_problem(400);
    }
    world.post("/v1/notifications/batch", deep.clone()).await.assert_problem(400);
    let item =
        format!(r#"{{"items":[{{"user_id":"u","template":"t","data":{nested}}},{{"user_id":"u","template":"t"}}]}}"#);
    let answer = world.post("/v1/notifications/batch", item).await.json();
    assert_eq!(answer["items"][0]["error"]["errors"][0]["pointer"], "/data");
    assert!(answer["items"][1]["id"].is_string());
    world.post("/v1/dead-letters/replay", deep).await.assert_problem(400);
}

#[tokio::test]
async fn a_body_of_another_kind_is_415_and_without_a_kind_is_read_as_json() {
    let world = World::new();
    let body = r#"{"user_id":"u","template":"t"}"#;
    let post = |kind: Option<&str>| {
        let mut builder = Request::post(PATH).header("authorization", "Bearer all");
        if let Some(kind) = kind {
            builder = builder.header("content-type", kind);
        }
        builder.body(Body::from(body)).expect("a request")
    };
    for kind in ["application/x-www-form-urlencoded", "text/plain", "application/jsonx"] {
        world.call(post(Some(kind))).await.assert_problem(415);
    }
    let mut packed = post(None);
    packed.headers_mut().insert("content-encoding", "gzip".parse().expect("a header"));
    world.call(packed).await.assert_problem(415);
    for kind in [None, Some("application/json; charset=utf-8"), Some("Application/JSON")] {
        assert_eq!(world.call(post(kind)).await.status, 202, "{kind:?}");
    }
}

#[tokio::test]
async fn ids_and_parameters_that_are_none_are_refused() {
    let world = World::new();
    for path in ["/v1/notifications/x", "/v1/notifications/tsk_0", "/v1/tasks/ntf_0", "/v1/notifications/%ff"] {
        world.get(path).await.assert_problem(404);
    }
    for path in [
        "/v1/notifications",
        "/v1/notifications?user_id=u&limit=0",
        "/v1/notifications?user_id=u&limit=1000",
        "/v1/notifications?user_id=u&cursor=x",
        "/v1/notifications?user_id=u&page=2",
        "/v1/dead-letters?cursor=!!",
        "/v1/sandbox/messages?limit=x",
        "/v1/sandbox/messages?cursor=x",
    ] {
        world.get(path).await.assert_problem(400);
    }
}

#[tokio::test]
async fn a_name_that_is_there_twice_is_refused_wherever_it_stands() {
    let world = World::new();
    let check = async |method: &str, path: &str, body: &'static str, pointer: &str| {
        world.send(method, path, "all", body).await.assert_field(pointer, "is there twice");
    };
    check("PUT", "/v1/users/b", r#"{"email":"a@b.com","email":"c@d.com"}"#, "/email").await;
    check("PATCH", "/v1/users/b", r#"{"locale":"de","locale":"de"}"#, "/locale").await;
    check("PUT", "/v1/users/b", r#"{"attributes":{"a":1,"b":2,"a":3}}"#, "/attributes/a").await;
    // However it is written.
    check("PUT", "/v1/users/b", r#"{"email":null,"\u0065mail":null}"#, "/email").await;
    check("PUT", "/v1/users/b/devices/d", r#"{"platform":"ios","platform":"web","token":"x"}"#, "/platform").await;
    check("PUT", "/v1/users/b/preferences", r#"{"digest_hour":1,"digest_hour":2}"#, "/digest_hour").await;
    let twice = r#"{"preferences":[{"category":"social","channel":"sms","enabled":true,"enabled":false}]}"#;
    check("PUT", "/v1/users/b/preferences", twice, "/preferences/0/enabled").await;
    let twice = r#"{"quiet_hours":{"from":"22:00","to":"08:00","to":"09:00"}}"#;
    check("PUT", "/v1/users/b/preferences", twice, "/quiet_hours/to").await;
    check("POST", "/v1/suppressions", r#"{"email":"a@b.com","email":"c@d.com"}"#, "/email").await;
    let put = r#"{"reason":"opt_out","reason":"manual"}"#;
    check("PUT", "/v1/suppressions/email/a@b.com", put, "/reason").await;
    world.get("/v1/users/b").await.assert_problem(404);
    world.get("/v1/suppressions/email/a@b.com").await.assert_problem(404);
}
