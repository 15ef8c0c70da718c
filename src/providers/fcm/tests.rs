use std::sync::Arc;
use std::time::Duration;

use ring::signature::RSA_PKCS1_2048_8192_SHA256;
use serde_json::{Value, json};

use crate::clock::ManualClock;
use crate::domain::{Address, Channel, Message, Outcome, Platform, Priority, PushPart, Timestamp};
use crate::providers::SharedProvider;
use crate::providers::http2::testing::Http2Server;
use crate::providers::jwt::testing::{new_rsa_pem, verified};
use crate::providers::testing::{NOW, Said, Server, clock, message, provider};

const GRANTED: Said = (200, &[], r#"{"access_token": "ya29.first", "expires_in": 3599, "token_type": "Bearer"}"#);
const GRANTED_ANEW: Said = (200, &[], r#"{"access_token": "ya29.second", "expires_in": 3599}"#);
const TAKEN: Said = (200, &[], r#"{"name": "projects/shop/messages/0:1500415314455276%31bd1c9631bd1c96"}"#);

struct Firebase {
    tokens: Server,
    messages: Http2Server,
    provider: SharedProvider,
    clock: Arc<ManualClock>,
    public: Vec<u8>,
}

impl Firebase {
    async fn new(tokens: &'static [Said], messages: &'static [Said]) -> Self {
        let (tokens, messages) = (Server::answering(tokens).await, Http2Server::answering(messages).await);
        let (pem, public) = new_rsa_pem();
        let account = json!({
            "type": "service_account",
            "project_id": "shop",
            "private_key_id": "key-1",
            "private_key": pem,
            "client_email": "push@shop.iam.gserviceaccount.com",
            "token_uri": format!("{}/token", tokens.url),
        });
        let toml =
            format!("name = \"push\"\nkind = \"fcm\"\nurl = \"{}\"\nprivate_key = '''{account}'''\n", messages.url);
        let clock = clock();
        let provider = provider(&toml, &clock).expect("a provider");
        Self { tokens, messages, provider, clock, public }
    }

    async fn send(&self) -> Outcome {
        self.provider.send(&to_android()).await
    }
}

fn to_android() -> Message {
    message(Channel::Push, Address::Device(Platform::Android, "bk3RNwTe3H0:CI2k_HHwgIpoDKCIZvvDMExUdFQ3P1".into()))
}

fn in_seconds(seconds: u64) -> Timestamp {
    Timestamp::parse(NOW).expect("a time") + Duration::from_secs(seconds)
}

#[tokio::test]
async fn a_message_is_written_as_the_documentation_has_it() {
    let mut firebase = Firebase::new(&[GRANTED], &[TAKEN]).await;
    let mut message = to_android();
    message.priority = Priority::High;
    message.expires_at = Some(in_seconds(3600));
    message.collapse_key = Some("order:12345".into());
    message.parts.push =
        Some(PushPart { title: None, body: Some("Paid.".into()), data: vec![("order_id".into(), "12345".into())] });
    let outcome = firebase.provider.send(&message).await;
    let id = "projects/shop/messages/0:1500415314455276%31bd1c9631bd1c96";
    assert_eq!(outcome, Outcome::Accepted { message_id: Some(id.into()) });
    let asked = firebase.messages.asked().await;
    let line = format!("POST {}/v1/projects/shop/messages:send HTTP/2.0", firebase.messages.url);
    assert_eq!(asked.line(), line);
    assert_eq!(asked.header("authorization"), Some("Bearer ya29.first"));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    // The first 24 bytes of the key's SHA-256.
    let topic = "vHjFvIL55HEroiFs5vyI6T3s-LrHznnC";
    let body: Value = serde_json::from_slice(&asked.body).expect("JSON");
    let expected = json!({"message": {
        "token": "bk3RNwTe3H0:CI2k_HHwgIpoDKCIZvvDMExUdFQ3P1",
        "notification": {"title": "Order 12345 is paid", "body": "Paid."},
        "data": {"order_id": "12345", "task_id": message.task.to_string()},
        "android": {"collapse_key": "order:12345", "priority": "HIGH", "ttl": "3600s"},
        "apns": {"headers": {
            "apns-priority": "10",
            "apns-expiration": (in_seconds(3600).millis() / 1000).to_string(),
            "apns-collapse-id": topic,
        }},
        "webpush": {"headers": {"TTL": "3600", "Urgency": "high", "Topic": topic}},
    }});
    assert_eq!(body, expected);
}

#[tokio::test]
async fn the_access_token_is_asked_for_with_a_signed_assertion_and_shared() {
    let mut firebase = Firebase::new(&[GRANTED], &[TAKEN, TAKEN, TAKEN]).await;
    let sends = futures_util::future::join_all((0..3).map(|_| firebase.send())).await;
    assert!(sends.iter().all(|outcome| outcome.name() == "accepted"));
    let asked = firebase.tokens.asked().await;
    assert_eq!(asked.line(), "POST /token HTTP/1.1");
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    let assertion = asked.text().strip_prefix(grant).expect("the grant");
    let (header, claims) = verified(assertion, &RSA_PKCS1_2048_8192_SHA256, &firebase.public);
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"}));
    let now = in_seconds(0).millis() / 1000;
    let expected = json!({
        "iss": "push@shop.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": format!("{}/token", firebase.tokens.url),
        "iat": now,
        "exp": now + 3600,
    });
    assert_eq!(claims, expected);
}

#[tokio::test]
async fn a_token_is_replaced_before_it_ends_while_the_old_one_is_used_on() {
    let mut firebase = Firebase::new(&[GRANTED, GRANTED_ANEW], &[TAKEN; 9]).await;
    firebase.send().await;
    firebase.messages.asked().await;
    firebase.tokens.asked().await;
    firebase.clock.advance(Duration::from_secs(3599 - 299));
    assert_eq!(firebase.send().await.name(), "accepted");
    assert_eq!(firebase.messages.asked().await.header("authorization"), Some("Bearer ya29.first"));
    firebase.tokens.asked().await;
    // Fetched in the background: seen by one of the next sends.
    for _ in 0..7 {
        firebase.send().await;
        if firebase.messages.asked().await.header("authorization") == Some("Bearer ya29.second") {
            return;
        }
    }
    panic!("the new token is not used");
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    const UNAUTHENTICATED: Said = (401, &[], r#"{"error": {"code": 401, "status": "UNAUTHENTICATED"}}"#);
    let mut firebase = Firebase::new(&[GRANTED, GRANTED_ANEW], &[UNAUTHENTICATED, TAKEN]).await;
    assert_eq!(firebase.send().await.name(), "accepted");
    assert_eq!(firebase.messages.asked().await.header("authorization"), Some("Bearer ya29.first"));
    assert_eq!(firebase.messages.asked().await.header("authorization"), Some("Bearer ya29.second"));
    let refused = Firebase::new(&[GRANTED, GRANTED_ANEW], &[UNAUTHENTICATED, UNAUTHENTICATED, TAKEN]).await;
    assert_eq!(refused.send().await.name(), "config");
}

#[tokio::test]
async fn without_an_access_token_nothing_is_sent() {
    let check = async |said: &'static [Said], expected: &str| {
        let mut firebase = Firebase::new(said, &[TAKEN]).await;
        let outcome = firebase.send().await;
        assert_eq!(outcome.name(), expected, "{outcome:?}");
        assert!(firebase.messages.asked_already().is_none());
    };
    check(&[(400, &[], r#"{"error": "invalid_grant", "error_description": "Invalid JWT"}"#)], "config").await;
    check(&[(401, &[], "no")], "config").await;
    check(&[(429, &[], "")], "throttled").await;
    check(&[(503, &[], "")], "transient").await;
    check(&[(200, &[], "{}")], "config").await;
    // Closed without an answer: the message was certainly not sent.
    check(&[], "transient").await;
}

#[tokio::test]
async fn each_error_means_what_the_table_says() {
    async fn check(status: u16, body: &'static str, expected: &str) {
        let said: &'static [Said] = Box::leak(Box::new([(status, &[] as &[&str], body)]));
        let outcome = Firebase::new(&[GRANTED, GRANTED_ANEW], said).await.send().await;
        assert_eq!(outcome.name(), expected, "{status} {body} {outcome:?}");
        assert!(!outcome.reason().contains("Requested"), "{outcome:?}");
    }
    let own = |status: &str, code: &str| -> &'static str {
        let details = json!([{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code}]);
        let error = json!({"error": {"message": "Requested entity", "status": status, "details": details}});
        Box::leak(error.to_string().into_boxed_str())
    };
    check(404, own("NOT_FOUND", "UNREGISTERED"), "dead_recipient").await;
    check(400, own("INVALID_ARGUMENT", "INVALID_ARGUMENT"), "bad_request").await;
    // Nothing shows yet that the project is the right one.
    check(403, own("PERMISSION_DENIED", "SENDER_ID_MISMATCH"), "throttled").await;
    check(429, own("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), "throttled").await;
    check(503, own("UNAVAILABLE", "UNAVAILABLE"), "transient").await;
    check(500, own("INTERNAL", "INTERNAL"), "transient").await;
    check(401, own("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), "config").await;
    check(404, r#"{"error": {"code": 404, "status": "NOT_FOUND"}}"#, "config").await;
    check(502, "<html>", "transient").await;
    // It was taken, whatever else it says; or somebody on the way says so.
    check(200, "{}", "accepted").await;
    check(200, "<html>", "unknown").await;
    check(204, "", "unknown").await;
}

#[tokio::test]
async fn an_invalid_argument_kills_a_token_only_where_it_names_it() {
    async fn check(error: Value, expected: &str) {
        let body: &'static str = Box::leak(json!({"error": error}).to_string().into_boxed_str());
        let said: &'static [Said] = Box::leak(Box::new([TAKEN, (400, &[] as &[&str], body)]));
        let firebase = Firebase::new(&[GRANTED], said).await;
        firebase.send().await;
        assert_eq!(firebase.send().await.name(), expected, "{body}");
    }
    let with = |message: &str, field: &str| {
        json!({"status": "INVALID_ARGUMENT", "message": message, "details": [
            {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "INVALID_ARGUMENT"},
            {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [
                {"field": field, "description": "Invalid, unlike the registration token"},
            ]},
        ]})
    };
    check(with("Request contains an invalid argument.", "message.token"), "dead_recipient").await;
    check(with("Request contains an invalid argument.", "message.android.ttl"), "bad_request").await;
    check(with("The registration token is fine.", "message.topic_of.message.token"), "bad_request").await;
    let token = "The registration token is not a valid FCM registration token";
    check(json!({"status": "INVALID_ARGUMENT", "message": token}), "dead_recipient").await;
    check(json!({"status": "INVALID_ARGUMENT", "message": "Message is too big"}), "bad_request").await;
}

#[tokio::test]
async fn a_quota_without_a_time_rests_a_minute_and_one_with_a_time_as_long() {
    let firebase = Firebase::new(
        &[GRANTED],
        &[
            (429, &[], r#"{"error": {"status": "RESOURCE_EXHAUSTED"}}"#),
            (429, &["retry-after: 90"], r#"{"error": {"status": "RESOURCE_EXHAUSTED"}}"#),
        ],
    )
    .await;
    for expected in [60, 90] {
        let Outcome::Throttled { retry_after, .. } = firebase.send().await else { panic!("throttled") };
        assert_eq!(retry_after, Some(Duration::from_secs(expected)));
    }
}

#[tokio::test]
async fn what_is_too_large_is_not_sent() {
    let mut firebase = Firebase::new(&[GRANTED], &[TAKEN]).await;
    let mut message = to_android();
    message.parts.body = "x".repeat(4097);
    assert_eq!(firebase.provider.send(&message).await.name(), "bad_request");
    assert!(firebase.messages.asked_already().is_none());
}

#[tokio::test]
async fn it_takes_tokens_and_no_subscriptions() {
    let firebase = Firebase::new(&[], &[]).await;
    let takes = |address: Address| firebase.provider.takes(&address);
    assert!(takes(Address::PushToken("token".into())));
    assert!(takes(Address::Device(Platform::Ios, "token".into())));
    assert!(!takes(Address::PushToken("{\"endpoint\": \"https://push.example.net/1\"}".into())));
    assert!(!takes(Address::Device(Platform::Web, "{}".into())));
    let apples = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";
    assert!(!takes(Address::PushToken(apples.into())));
    assert!(!takes(Address::Device(Platform::Ios, apples.into())));
    assert!(takes(Address::PushToken(apples[1..].into())));
    let outcome = firebase.provider.send(&message(Channel::Push, Address::PushToken(apples.into()))).await;
    assert_eq!(outcome.name(), "bad_request", "it may be good elsewhere");
}

#[tokio::test]
async fn when_most_tokens_belong_to_another_project_it_is_the_account() {
    const OTHERS: Said = (
        403,
        &[],
        r#"{"error": {"status": "PERMISSION_DENIED", "details": [{"@type": "google.firebase.fcm.v1.FcmError", "errorCode": "SENDER_ID_MISMATCH"}]}}"#,
    );
    const GONE: Said = (
        404,
        &[],
        r#"{"error": {"status": "NOT_FOUND", "details": [{"@type": "google.firebase.fcm.v1.FcmError", "errorCode": "UNREGISTERED"}]}}"#,
    );
    let mut answers = vec![OTHERS; 48];
    answers.extend([GONE, OTHERS]);
    let firebase = Firebase::new(&[GRANTED], answers.leak()).await;
    for _ in 0..48 {
        assert_eq!(firebase.send().await.name(), "throttled");
    }
    assert_eq!(firebase.send().await.name(), "dead_recipient", "the project knew it");
    let suspicious = firebase.send().await;
    assert!(suspicious.name() == "config" && suspicious.reason().contains("private_key"), "{suspicious:?}");
}

#[tokio::test]
async fn a_token_that_does_not_come_leaves_time_for_another_provider() {
    // It listens, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let (pem, _) = new_rsa_pem();
    let account = json!({
        "project_id": "shop",
        "private_key_id": "key-1",
        "private_key": pem,
        "client_email": "push@shop.iam.gserviceaccount.com",
        "token_uri": format!("{url}/token"),
    });
    let toml =
        format!("name = \"push\"\nkind = \"fcm\"\nurl = \"{url}\"\ntimeout = \"2s\"\nprivate_key = '''{account}'''\n");
    let provider = provider(&toml, &clock()).expect("a provider");
    // After two seconds the caller gives it up, and does not know what was sent.
    let outcome = tokio::time::timeout(Duration::from_secs(2), provider.send(&to_android())).await.expect("in time");
    assert!(matches!(outcome, Outcome::Transient { unreachable: true, .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_check_fetches_a_token_and_reaches_the_service() {
    assert_eq!(Firebase::new(&[GRANTED], &[]).await.provider.check().await, Ok(()));
    let denied = Firebase::new(&[(400, &[], r#"{"error": "invalid_grant"}"#)], &[]).await.provider.check().await;
    assert_eq!(denied, Err("no access token: the provider answered 400 (invalid_grant)".into()));
}

#[tokio::test]
async fn an_account_that_cannot_be_read_is_not_shown() {
    let clock = clock();
    for key in ["{\"private_key\": \"hush\"}", "hush"] {
        let toml = format!("name = \"push\"\nkind = \"fcm\"\nprivate_key = '''{key}'''\n");
        let error = provider(&toml, &clock).err().expect("refused");
        assert!(error.contains("private_key") && !error.contains("hush"), "{error}");
    }
}
