use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ece::EcKeyComponents;
use ring::signature::ECDSA_P256_SHA256_FIXED;
use serde_json::{Value, json};

use crate::clock::ManualClock;
use crate::domain::{Address, Channel, Message, Outcome, Platform, Priority, PushPart};
use crate::providers::http2::testing::Http2Server;
use crate::providers::jwt::testing::verified;
use crate::providers::testing::{Asked, Said, clock, context, message, provider, settings};
use crate::providers::{Guard, SharedProvider, build_all};

/// The keys of the browser in RFC 8291 section 5.
const BROWSER_PUBLIC: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const BROWSER_PRIVATE: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
const BROWSER_AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
/// Those of the server there; here they sign.
const OUR_PRIVATE: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
const OUR_PUBLIC: &str = "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8";
const TAKEN: Said = (201, &["location: https://push.example.net/message/qDIYHNcfAIPP"], "");

struct Service {
    server: Http2Server,
    provider: SharedProvider,
    clock: Arc<ManualClock>,
}

impl Service {
    async fn new(said: &'static [Said]) -> Self {
        let server = Http2Server::answering(said).await;
        let clock = clock();
        let provider = provider(&section(), &clock).expect("a provider");
        Self { server, provider, clock }
    }

    fn message(&self) -> Message {
        to_browser(&format!("{}/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV", self.server.url))
    }

    async fn send(&self) -> Outcome {
        self.provider.send(&self.message()).await
    }
}

fn section() -> String {
    format!(
        "name = \"push\"\nkind = \"web_push\"\nprivate_key = \"{OUR_PRIVATE}\"\n[options]\nsubject = \"mailto:ops@example.com\"\n"
    )
}

fn to_browser(endpoint: &str) -> Message {
    let keys = json!({"p256dh": BROWSER_PUBLIC, "auth": BROWSER_AUTH});
    let subscription = json!({"endpoint": endpoint, "expirationTime": null, "keys": keys});
    message(Channel::Push, Address::Device(Platform::Web, subscription.to_string().into()))
}

fn bytes(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

fn decrypt(body: &[u8]) -> Vec<u8> {
    let keys = EcKeyComponents::new(bytes(BROWSER_PRIVATE), bytes(BROWSER_PUBLIC));
    ece::decrypt(&keys, &bytes(BROWSER_AUTH), body).expect("decrypted")
}

fn token(asked: &Asked) -> (Value, Value) {
    let header = asked.header("authorization").expect("an authorization");
    let token = header.strip_prefix("vapid t=").and_then(|rest| rest.strip_suffix(&format!(", k={OUR_PUBLIC}")));
    verified(token.expect("the scheme"), &ECDSA_P256_SHA256_FIXED, &bytes(OUR_PUBLIC))
}

#[test]
fn the_example_of_rfc_8291_is_decrypted() {
    let body = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
    assert_eq!(decrypt(&bytes(body)), b"When I grow up, I want to be a watermelon");
}

#[tokio::test]
async fn a_message_is_encrypted_for_its_browser_and_signed_by_us() {
    let mut service = Service::new(&[TAKEN]).await;
    let mut message = service.message();
    message.priority = Priority::High;
    message.collapse_key = Some("order:12345".into());
    message.expires_at = Some(message.accepted_at + Duration::from_secs(600));
    message.parts.push = Some(PushPart { data: vec![("order_id".into(), "12345".into())], ..Default::default() });
    let outcome = service.provider.send(&message).await;
    assert_eq!(outcome, Outcome::Accepted { message_id: Some("qDIYHNcfAIPP".into()) });
    let asked = service.server.asked().await;
    let line = format!("POST {}/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV HTTP/2.0", service.server.url);
    assert_eq!(asked.line(), line);
    assert_eq!(asked.header("ttl"), Some("600"));
    assert_eq!(asked.header("urgency"), Some("high"));
    assert_eq!(asked.header("topic"), Some("vHjFvIL55HEroiFs5vyI6T3s-LrHznnC"));
    assert_eq!(asked.header("content-encoding"), Some("aes128gcm"));
    assert_eq!(asked.header("content-type"), Some("application/octet-stream"));
    let (header, claims) = token(&asked);
    assert_eq!(header, json!({"typ": "JWT", "alg": "ES256"}));
    let exp = message.accepted_at.millis() / 1000 + 12 * 3600;
    assert_eq!(claims, json!({"aud": service.server.url, "exp": exp, "sub": "mailto:ops@example.com"}));
    let expected = json!({
        "title": "Order 12345 is paid",
        "body": "Thank you, Alice.",
        "data": {"order_id": "12345", "task_id": message.task.to_string()},
    });
    assert_eq!(serde_json::from_slice::<Value>(&decrypt(&asked.body)).expect("JSON"), expected);
    // For a check by another library: what came, to be decrypted with the keys above.
    if let Ok(path) = std::env::var("FANFARE_WEB_PUSH_BODY") {
        std::fs::write(path, &asked.body).expect("written");
    }
}

#[tokio::test]
async fn one_token_serves_an_origin_for_eleven_hours() {
    let mut service = Service::new(&[TAKEN; 3]).await;
    let mut tokens = Vec::new();
    for hours in [0, 10, 1] {
        service.clock.advance(Duration::from_secs(hours * 3600));
        service.send().await;
        tokens.push(service.server.asked().await.header("authorization").map(str::to_owned));
    }
    assert!(tokens[0] == tokens[1] && tokens[1] != tokens[2]);
}

#[tokio::test]
async fn each_status_means_what_the_table_says() {
    async fn check(status: u16, expected: &str) {
        let said: &'static [Said] = Box::leak(Box::new([(status, &["retry-after: 30"] as &[&str], "")]));
        let outcome = Service::new(said).await.send().await;
        assert_eq!(outcome.name(), expected, "{status}");
        if let Outcome::Throttled { retry_after, .. } = outcome {
            assert_eq!(retry_after, Some(Duration::from_secs(30)));
        }
    }
    check(201, "accepted").await;
    check(200, "accepted").await;
    check(307, "config").await;
    check(400, "config").await;
    check(401, "config").await;
    check(403, "config").await;
    check(404, "dead_recipient").await;
    check(410, "dead_recipient").await;
    check(413, "bad_request").await;
    check(429, "throttled").await;
    check(503, "transient").await;
}

#[tokio::test]
async fn the_largest_text_fits_into_4096_bytes_and_a_larger_one_is_not_sent() {
    let mut service = Service::new(&[TAKEN]).await;
    let mut message = service.message();
    message.parts.body = String::new();
    let empty = super::plaintext(&message).expect("small").len();
    message.parts.body = "x".repeat(3967 - empty);
    assert_eq!(service.provider.send(&message).await.name(), "accepted");
    assert_eq!(service.server.asked().await.body.len(), 86 + 3968 + 16);
    message.parts.body.push('x');
    assert_eq!(service.provider.send(&message).await.name(), "bad_request");
}

#[tokio::test]
async fn a_subscription_into_our_own_network_is_not_called() {
    let server = Http2Server::answering(&[TAKEN]).await;
    let clock = clock();
    let mut context = context(&clock);
    context.guard = Guard::new(false, clock.clone());
    let built = build_all(&[settings(&section())], &context).expect("a provider").remove(0);
    for endpoint in [server.url.as_str(), "http://169.254.169.254/latest", "https://localhost/push"] {
        let outcome = built.send(&to_browser(endpoint)).await;
        assert_eq!(outcome.name(), "bad_request", "{endpoint} {outcome:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_service_that_is_not_there_does_not_speak_against_the_others() {
    let service = Service::new(&[]).await;
    let outcome = service.provider.send(&to_browser("http://127.0.0.1:1/push")).await;
    assert!(matches!(outcome, Outcome::Transient { unreachable: false, .. }), "{outcome:?}");
}

#[tokio::test]
async fn what_is_no_subscription_is_a_bad_request_and_not_shown() {
    let service = Service::new(&[]).await;
    let keys = |p256dh: &str, auth: &str| {
        json!({"endpoint": "https://push.example.net/hush", "keys": {"p256dh": p256dh, "auth": auth}}).to_string()
    };
    let no_point = URL_SAFE_NO_PAD.encode([4; 65]);
    for token in [
        "{\"hush\": 1}".to_owned(),
        keys("hush", BROWSER_AUTH),
        keys(BROWSER_PUBLIC, "hush"),
        keys(&no_point, BROWSER_AUTH),
    ] {
        let message = message(Channel::Push, Address::PushToken(token.clone().into()));
        let outcome = service.provider.send(&message).await;
        assert_eq!(outcome.name(), "bad_request", "{token}");
        assert!(!outcome.reason().contains("hush"), "{outcome:?}");
    }
}

#[tokio::test]
async fn it_takes_subscriptions_and_no_tokens() {
    let service = Service::new(&[]).await;
    let takes = |address: Address| service.provider.takes(&address);
    assert!(takes(Address::PushToken("{}".into())));
    assert!(takes(Address::Device(Platform::Web, "{}".into())));
    assert!(!takes(Address::Device(Platform::Web, "token".into())));
    assert!(!takes(Address::PushToken("token".into())));
}

#[test]
fn what_is_missing_in_the_configuration_is_named() {
    let check = |from: &str, to: &str, named: &str| {
        let error = provider(&section().replace(from, to), &clock()).err().expect("refused");
        assert!(error.contains(named) && !error.contains("hush"), "{error}");
    };
    check(OUR_PRIVATE, "hush", "private_key");
    check("mailto:", "", "options.subject");
    check("[options]", "url = \"https://push.example.net\"\n[options]", "url");
}
