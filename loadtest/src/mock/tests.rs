//! The mock as an engine meets it: over HTTP, by the APIs of the providers.

use std::collections::BTreeMap;

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::header::HeaderMap;
use serde_json::{Value, json};

use super::*;
use crate::bare::{BareLoop, Shape};
use crate::fake_engine;
use crate::http_client::{connect, connect_http2};

mod misbehaviour;

#[derive(Parser)]
struct MockCli {
    #[command(flatten)]
    args: MockArgs,
}

async fn mock(options: &str) -> Arc<Mock> {
    let command = format!("mock --http 127.0.0.1:0 --smtp 127.0.0.1:0 {options}");
    Mock::start(&MockCli::parse_from(command.split_whitespace()).args).await.expect("two free ports")
}

/// An answer, read to its end.
#[derive(Debug)]
struct Got {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// `None` when the connection or the stream breaks off.
async fn send(mock: &Mock, request: Request<Full<Bytes>>, is_http2: bool) -> Option<Got> {
    let answer = if is_http2 {
        let mut sender = connect_http2(&mock.listen().http).await.expect("it listens");
        sender.send_request(request).await.ok()?
    } else {
        let mut sender = connect(&mock.listen().http).await.expect("it listens");
        sender.send_request(request).await.ok()?
    };
    let (head, body) = answer.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    Some(Got { status: head.status.as_u16(), headers: head.headers, body })
}

fn shape(mock: &Mock, kind: Kind) -> Shape {
    Shape::of(kind, &mock.listen().http).expect("a shape")
}

async fn deliver(mock: &Mock, kind: Kind, number: u64) -> Option<Got> {
    let shape = shape(mock, kind);
    send(mock, shape.request(number).expect("a request"), shape.is_http2).await
}

/// With a change made to the request.
async fn changed(mock: &Mock, kind: Kind, change: impl FnOnce(&mut Request<Full<Bytes>>)) -> Got {
    let shape = shape(mock, kind);
    let mut request = shape.request(1).expect("a request");
    change(&mut request);
    send(mock, request, shape.is_http2).await.expect("an answer")
}

fn behave(mock: &Mock, kind: &str, keys: &str) {
    mock.change(Some(kind), &crate::args::keys(keys).expect("legal keys")).expect("a legal change");
}

#[tokio::test]
async fn every_api_takes_what_is_right_in_its_own_words_and_counts_it() {
    let cases = [
        (Kind::Sendgrid, 202, ""),
        (Kind::Ses, 200, r#""MessageId""#),
        (Kind::Mailgun, 200, "Queued"),
        (Kind::TwilioSms, 201, r#""sid":"SM"#),
        (Kind::TwilioVoice, 201, r#""sid":"CA"#),
        (Kind::SnsSms, 200, "<MessageId>"),
        (Kind::AliyunSms, 200, r#""Code":"OK""#),
        (Kind::Fcm, 200, r#""name":"projects/"#),
        (Kind::Apns, 200, ""),
        (Kind::WebPush, 201, ""),
        (Kind::Dingtalk, 200, r#""errcode":0"#),
        (Kind::Wecom, 200, r#""errcode":0"#),
        (Kind::WecomApp, 200, r#""msgid""#),
        (Kind::Feishu, 200, r#""code":0"#),
        (Kind::Slack, 200, "ok"),
    ];
    let mock = mock("").await;
    for (kind, status, words) in cases {
        let got = deliver(&mock, kind, 7).await.expect("an answer");
        assert_eq!((got.status, mock.stats().refusal), (status, None), "{kind:?}: {}", got.text());
        assert!(got.text().contains(words), "{kind:?}: {}", got.text());
        deliver(&mock, kind, 7).await.expect("an answer");
        // Several kinds bear the same task's id: the first message of a later one is a repetition too.
        let counts = &mock.stats().providers[kind.name()];
        assert_eq!((counts["accepted"], counts["requests"]), (2, 2), "{kind:?}");
        assert!(counts["repeated"] >= 1, "{kind:?}");
    }
    assert_eq!(cases.len(), Kind::ALL.len());
    assert_eq!(mock.stats().http.without_id, 0);
}

#[tokio::test]
async fn ids_that_providers_give_stand_where_theirs_do() {
    let mock = mock("").await;
    let got = deliver(&mock, Kind::Sendgrid, 1).await.expect("an answer");
    assert!(got.headers["x-message-id"].to_str().is_ok_and(|id| id.starts_with("mock")));
    let got = deliver(&mock, Kind::Apns, 1).await.expect("an answer");
    assert_eq!(got.headers["apns-id"], "00000000-0000-4000-8000-000000000001");
    let got = deliver(&mock, Kind::WebPush, 1).await.expect("an answer");
    assert!(got.headers.contains_key("location"));
}

#[tokio::test]
async fn without_credentials_each_api_refuses_in_its_own_words() {
    let cases = [
        (Kind::Sendgrid, 401, r#""errors""#),
        (Kind::Ses, 403, "message"),
        (Kind::Mailgun, 401, "Forbidden"),
        (Kind::TwilioSms, 401, r#""code":20003"#),
        (Kind::TwilioVoice, 401, r#""code":20003"#),
        (Kind::SnsSms, 403, "<Code>InvalidSecurity</Code>"),
        (Kind::AliyunSms, 400, "MissingAuthorization"),
        (Kind::Fcm, 401, "UNAUTHENTICATED"),
        (Kind::Apns, 403, "MissingProviderToken"),
        (Kind::WebPush, 401, "VAPID"),
    ];
    let mock = mock("").await;
    for (kind, status, words) in cases {
        let got = changed(&mock, kind, |request| {
            request.headers_mut().remove("authorization");
        })
        .await;
        assert_eq!(got.status, status, "{kind:?}: {}", got.text());
        assert!(got.text().contains(words), "{kind:?}: {}", got.text());
        assert_eq!(mock.stats().providers[kind.name()]["invalid"], 1);
    }
    assert_eq!(mock.stats().http.accepted, 0);
}

#[tokio::test]
async fn a_wrong_message_is_refused_and_its_reason_is_shown() {
    let cases = [
        (Kind::Sendgrid, r#"{"personalizations":[]}"#, 400, "personalizations"),
        (
            Kind::Sendgrid,
            r#"{"personalizations":[{"to":[{"email":"a@b.c"}]}],"from":{"email":"a@b.c"},"subject":"x","content":[{"type":"text/html","value":"x"},{"type":"text/plain","value":"x"}]}"#,
            400,
            "text/plain comes first",
        ),
        (
            Kind::Sendgrid,
            r#"{"personalizations":[{"to":[{"email":"a@b.c"}],"headers":{"Subject":"x"}}],"from":{"email":"a@b.c"},"subject":"x","content":[{"type":"text/html","value":"x"}]}"#,
            400,
            "reserved",
        ),
        (
            Kind::Ses,
            r#"{"FromEmailAddress":"a@b.c","Destination":{"ToAddresses":["a@b.c"]},"Content":{}}"#,
            400,
            "one of",
        ),
        (Kind::TwilioSms, "To=%2B15550001234&Body=x", 400, "21603"),
        (Kind::TwilioSms, "To=15550001234&From=%2B15550001234&Body=x", 400, "21211"),
        (Kind::TwilioVoice, "To=%2B15550001234&From=%2B15550001234&Twiml=hello", 400, "12100"),
        (Kind::SnsSms, "Action=Publish&Version=2010-03-31&PhoneNumber=%2B15550001234", 400, "Empty message"),
        (Kind::Fcm, r#"{"message":{"token":"x","data":{"n":1}}}"#, 400, "data.n is no text"),
        (Kind::Fcm, r#"{"message":{"token":"x","topic":"y"}}"#, 400, "one of token"),
        (Kind::Apns, r#"{"alert":"x"}"#, 400, "PayloadEmpty"),
        (Kind::WebPush, "hello", 400, "no encrypted record"),
        (Kind::Dingtalk, r#"{"msgtype":"text"}"#, 200, "no text"),
        (Kind::Wecom, r#"{"msgtype":"text","text":{"content":""}}"#, 200, "40058"),
        (Kind::WecomApp, r#"{"msgtype":"text","touser":"a","text":{"content":"x"}}"#, 200, "40056"),
        (Kind::Feishu, r#"{"msg_type":"text","content":{}}"#, 200, "9499"),
        (Kind::Slack, r#"{}"#, 400, "no_text"),
    ];
    let mock = mock("").await;
    for (kind, body, status, words) in cases {
        let got =
            changed(&mock, kind, |request| *request.body_mut() = Full::new(Bytes::from_static(body.as_bytes()))).await;
        assert_eq!(got.status, status, "{kind:?} {body}: {}", got.text());
        let refusal = mock.stats().refusal.expect("a refusal");
        assert!(got.text().contains(words), "{kind:?} {body}: {} ({refusal})", got.text());
    }
    assert_eq!(mock.stats().http.accepted, 0);
}

#[tokio::test]
async fn too_large_is_too_large() {
    let large = |bytes: usize| Full::new(Bytes::from(format!(r#"{{"aps":{{}},"x":"{}"}}"#, "x".repeat(bytes))));
    let mock = mock("").await;
    let got = changed(&mock, Kind::Apns, |request| *request.body_mut() = large(4096)).await;
    assert_eq!((got.status, got.text()), (413, r#"{"reason":"PayloadTooLarge"}"#.to_owned()));
    let got = changed(&mock, Kind::Apns, |request| *request.body_mut() = large(4000)).await;
    assert_eq!(got.status, 200);
    let text = format!(r#"{{"msgtype":"text","text":{{"content":"{}"}}}}"#, "x".repeat(2049));
    let got = changed(&mock, Kind::Wecom, |request| *request.body_mut() = Full::new(text.into())).await;
    assert!(got.text().contains("45002"), "{}", got.text());
}

#[tokio::test]
async fn a_lenient_mock_takes_what_is_wrong_and_says_what_it_was() {
    let mock = mock("--lenient").await;
    let got = changed(&mock, Kind::Slack, |request| *request.body_mut() = Full::new("{}".into())).await;
    assert_eq!((got.status, got.text()), (200, "ok".to_owned()));
    let stats = mock.stats();
    assert_eq!((stats.http.accepted, stats.providers["slack"]["invalid"]), (1, 1));
    assert!(stats.refusal.is_some_and(|refusal| refusal.contains("no_text")));
}

#[tokio::test]
async fn a_message_that_asks_for_it_is_sent_once() {
    let mock = mock("").await;
    for _ in 0..3 {
        let got = changed(&mock, Kind::WecomApp, |request| {
            let message = json!({"touser": "a", "msgtype": "text", "agentid": 1, "text": {"content": "x"}, "enable_duplicate_check": 1});
            *request.body_mut() = Full::new(message.to_string().into());
        })
        .await;
        assert!(got.text().contains(r#""errcode":0"#));
    }
    let stats = mock.stats().http;
    assert_eq!((stats.accepted, stats.deduplicated), (1, 2));
}

#[tokio::test]
async fn tokens_end_when_they_are_told_to_and_new_ones_can_be_had() {
    let mock = mock("").await;
    // Made in a second before the one in which they end.
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    mock.providers.tokens.expire();
    assert_eq!(deliver(&mock, Kind::Fcm, 1).await.expect("an answer").status, 401);
    assert!(deliver(&mock, Kind::WecomApp, 1).await.expect("an answer").text().contains("42001"));
    let request = Request::get("/cgi-bin/gettoken?corpid=a&corpsecret=b").header("host", "mock");
    let got = send(&mock, request.body(Full::default()).expect("legal"), false).await.expect("an answer");
    let token: BTreeMap<String, Value> = serde_json::from_slice(&got.body).expect("JSON");
    let token = token["access_token"].as_str().expect("a text").to_owned();
    let got = changed(&mock, Kind::WecomApp, |request| {
        *request.uri_mut() = format!("/cgi-bin/message/send?access_token={token}").parse().expect("legal");
    })
    .await;
    assert!(got.text().contains(r#""errcode":0"#), "{}", got.text());
    let got = changed(&mock, Kind::Fcm, |request| {
        let value = format!("Bearer {token}").parse().expect("legal");
        request.headers_mut().insert("authorization", value);
    })
    .await;
    assert_eq!(got.status, 200);
}

#[tokio::test]
async fn only_http2_reaches_apns_and_a_forged_vapid_signature_is_seen() {
    let mock = mock("").await;
    let mut request = shape(&mock, Kind::Apns).request(1).expect("a request");
    *request.uri_mut() = request.uri().path().parse().expect("legal");
    request.headers_mut().insert("host", "mock".parse().expect("legal"));
    assert_eq!(send(&mock, request, false).await.expect("an answer").status, 400);
    let got = changed(&mock, Kind::WebPush, |request| {
        let value = request.headers()["authorization"].to_str().expect("text").to_owned();
        let (token, key) = value.split_once(", k=").expect("two parts");
        let (signed, _) = token.rsplit_once('.').expect("a JWT");
        let forged = format!("{signed}.{}, k={key}", "A".repeat(86));
        request.headers_mut().insert("authorization", forged.parse().expect("legal"));
    })
    .await;
    assert_eq!(got.status, 401);
}

#[tokio::test]
async fn bare_loops_of_both_protocols_are_counted_exactly() {
    let mock = mock("").await;
    for kind in [Kind::Sendgrid, Kind::AliyunSms, Kind::Fcm, Kind::Apns, Kind::WebPush] {
        mock.reset();
        let bare = BareLoop { count: 200, connections: 8 };
        bare.messages(kind, &mock.listen().http).await.expect("all delivered");
        let stats = mock.stats().http;
        assert_eq!((stats.accepted, stats.distinct, stats.duplicates), (200, 200, 0), "{kind:?}");
    }
}

#[tokio::test]
async fn receipts_reach_the_engine_and_are_posted_again_when_refused() {
    let engine = fake_engine::receipts(vec![503]).await;
    let mock = mock(&format!(
        "--receipts http://{} --receipt-plan doubled=1,delay_ms=10 --receipt-names sendgrid=mail-main",
        engine.url.authority
    ))
    .await;
    deliver(&mock, Kind::Sendgrid, 1).await.expect("an answer");
    deliver(&mock, Kind::TwilioSms, 2).await.expect("an answer");
    deliver(&mock, Kind::Fcm, 3).await.expect("an answer");
    let mut posted = Vec::new();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    // Two kinds, two events each, each twice; SendGrid's may share a letter. One is refused and comes again.
    while std::time::Instant::now() < deadline {
        posted = engine.posted();
        let receipts = mock.stats().receipts.expect("it posts");
        let answered = receipts.get("answered_2xx").copied().unwrap_or_default();
        if answered == 8 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let receipts = mock.stats().receipts.expect("it posts");
    assert_eq!((receipts["planned"], receipts["doubled"], receipts["answered_2xx"]), (8, 4, 8), "{receipts:?}");
    assert!(receipts["repeated"] >= 1 && receipts["answered_5xx"] == receipts["repeated"], "{receipts:?}");
    assert!(posted.iter().any(|path| path == "/v1/providers/mail-main/receipts"), "{posted:?}");
    assert!(posted.iter().any(|path| path.starts_with("/v1/providers/load/receipts?task=tsk_bare")), "{posted:?}");
}
