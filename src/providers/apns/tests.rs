use std::sync::Arc;
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::x509::X509Builder;
use ring::signature::ECDSA_P256_SHA256_FIXED;
use serde_json::{Value, json};

use crate::clock::ManualClock;
use crate::domain::{Address, Channel, Death, Message, Outcome, Platform, Priority, PushPart, Timestamp, Whose};
use crate::providers::SharedProvider;
use crate::providers::http2::testing::Http2Server;
use crate::providers::jwt::Es256;
use crate::providers::jwt::testing::{new_ec_pem, verified};
use crate::providers::testing::{Asked, NOW, Said, clock, message, provider};

const TAKEN: Said = (200, &["apns-id: eabeae54-14a8-11e5-b60b-1697f925ec7b"], "");
const DEVICE: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";

struct Apple {
    server: Http2Server,
    provider: SharedProvider,
    clock: Arc<ManualClock>,
    public: Vec<u8>,
}

impl Apple {
    async fn new(said: &'static [Said]) -> Self {
        let server = Http2Server::answering(said).await;
        let pem = new_ec_pem();
        let public = Es256::from_pem(&pem).expect("a key").public().to_vec();
        let clock = clock();
        let provider = provider(&section(&server.url, &pem), &clock).expect("a provider");
        Self { server, provider, clock, public }
    }

    async fn send(&self) -> Outcome {
        self.provider.send(&to_iphone()).await
    }

    /// When the token of a request was signed.
    fn signed_at(&self, asked: &Asked) -> u64 {
        let token = asked.header("authorization").and_then(|text| text.strip_prefix("bearer ")).expect("a token");
        let (header, claims) = verified(token, &ECDSA_P256_SHA256_FIXED, &self.public);
        assert_eq!(header, json!({"alg": "ES256", "kid": "ABC123DEFG"}));
        assert_eq!(claims["iss"], "DEF123GHIJ");
        claims["iat"].as_u64().expect("seconds")
    }
}

fn section(url: &str, pem: &str) -> String {
    format!(
        "name = \"push\"\nkind = \"apns\"\nurl = \"{url}\"\nprivate_key = '''{pem}'''\n[options]\nkey_id = \"ABC123DEFG\"\n\
         team_id = \"DEF123GHIJ\"\ntopic = \"com.example.shop\"\n"
    )
}

fn to_iphone() -> Message {
    message(Channel::Push, Address::Device(Platform::Ios, DEVICE.into()))
}

fn now_s() -> u64 {
    Timestamp::parse(NOW).expect("a time").millis() / 1000
}

#[tokio::test]
async fn a_message_is_written_as_the_documentation_has_it() {
    let mut apple = Apple::new(&[TAKEN]).await;
    let mut message = to_iphone();
    message.priority = Priority::Critical;
    message.expires_at = Some(Timestamp::parse(NOW).expect("a time") + Duration::from_secs(600));
    message.collapse_key = Some("order:12345".into());
    message.parts.push = Some(PushPart {
        data: vec![("order_id".into(), "12345".into()), ("aps".into(), "no".into())],
        ..Default::default()
    });
    let outcome = apple.provider.send(&message).await;
    assert_eq!(outcome, Outcome::Accepted { message_id: Some("eabeae54-14a8-11e5-b60b-1697f925ec7b".into()) });
    let asked = apple.server.asked().await;
    assert_eq!(asked.line(), format!("POST {}/3/device/{DEVICE} HTTP/2.0", apple.server.url));
    assert_eq!(apple.signed_at(&asked), now_s());
    assert_eq!(asked.header("apns-topic"), Some("com.example.shop"));
    assert_eq!(asked.header("apns-push-type"), Some("alert"));
    assert_eq!(asked.header("apns-priority"), Some("10"));
    assert_eq!(asked.header("apns-expiration"), Some(&*(now_s() + 600).to_string()));
    assert_eq!(asked.header("apns-collapse-id"), Some("order:12345"));
    // The offset, the ordinal, and the shard of lane 2.
    assert_eq!(asked.header("apns-id"), Some("00000000-0007-8000-8000-000200000000"));
    let expected = json!({
        "aps": {"alert": {"title": "Order 12345 is paid", "body": "Thank you, Alice."}, "sound": "default"},
        "order_id": "12345",
        "task_id": message.task.to_string(),
    });
    assert_eq!(serde_json::from_slice::<Value>(&asked.body).expect("JSON"), expected);
}

#[tokio::test]
async fn each_try_of_a_message_has_the_same_id_and_end() {
    let mut apple = Apple::new(&[TAKEN, TAKEN]).await;
    apple.send().await;
    apple.clock.advance(Duration::from_secs(60));
    apple.send().await;
    let (first, second) = (apple.server.asked().await, apple.server.asked().await);
    for name in ["apns-id", "apns-expiration"] {
        assert!(first.header(name).is_some() && first.header(name) == second.header(name), "{name}");
    }
}

#[tokio::test]
async fn a_key_that_collapses_and_is_too_long_for_apns_goes_as_its_hash() {
    let mut apple = Apple::new(&[TAKEN, TAKEN]).await;
    for key in ["x".repeat(65), "größe".to_owned()] {
        let mut message = to_iphone();
        message.collapse_key = Some(key.into());
        assert_eq!(apple.provider.send(&message).await.name(), "accepted");
        let asked = apple.server.asked().await;
        assert_eq!(asked.header("apns-collapse-id").map(str::len), Some(32));
    }
}

#[tokio::test]
async fn one_token_serves_for_three_quarters_of_an_hour() {
    let mut apple = Apple::new(&[TAKEN; 3]).await;
    let mut signed = Vec::new();
    for minutes in [0, 44, 1] {
        apple.clock.advance(Duration::from_secs(minutes * 60));
        apple.send().await;
        let asked = apple.server.asked().await;
        signed.push(apple.signed_at(&asked) - now_s());
    }
    assert_eq!(signed, [0, 0, 45 * 60]);
}

#[tokio::test]
async fn an_expired_token_is_signed_anew_once_and_never_a_young_one() {
    const EXPIRED: Said = (403, &[], r#"{"reason": "ExpiredProviderToken"}"#);
    let mut apple = Apple::new(&[TAKEN, EXPIRED, TAKEN, EXPIRED]).await;
    apple.send().await;
    apple.server.asked().await;
    apple.clock.advance(Duration::from_secs(25 * 60));
    assert_eq!(apple.send().await.name(), "accepted");
    let (old, new) = (apple.server.asked().await, apple.server.asked().await);
    assert_eq!(apple.signed_at(&new) - apple.signed_at(&old), 25 * 60);
    // Refused though it is young: another one would be refused as well.
    let refused = apple.send().await;
    assert_eq!(refused, Outcome::Config { reason: "the provider answered 403 (ExpiredProviderToken)".into() });
    apple.server.asked().await;
    assert!(apple.server.asked_already().is_none());
}

#[tokio::test]
async fn each_reason_means_what_the_table_says() {
    async fn check(status: u16, reason: &str, expected: &str) {
        let body: &'static str = Box::leak(json!({ "reason": reason }).to_string().into_boxed_str());
        let said: &'static [Said] = Box::leak(Box::new([TAKEN, (status, &[] as &[&str], body)]));
        let apple = Apple::new(said).await;
        apple.send().await;
        let outcome = apple.send().await;
        assert_eq!(outcome.name(), expected, "{status} {reason} {outcome:?}");
    }
    check(400, "BadDeviceToken", "dead_recipient").await;
    check(400, "DeviceTokenNotForTopic", "dead_recipient").await;
    check(400, "BadCollapseId", "bad_request").await;
    check(400, "PayloadEmpty", "bad_request").await;
    check(404, "BadPath", "bad_request").await;
    check(405, "MethodNotAllowed", "bad_request").await;
    check(413, "PayloadTooLarge", "bad_request").await;
    check(400, "TopicDisallowed", "config").await;
    check(403, "InvalidProviderToken", "config").await;
    check(403, "ExpiredProviderToken", "config").await;
    check(410, "ExpiredToken", "dead_recipient").await;
    check(429, "TooManyProviderTokenUpdates", "throttled").await;
    check(400, "IdleTimeout", "transient").await;
    // A quarter of an hour is worth no attempt.
    check(500, "InternalServerError", "throttled").await;
    check(503, "Shutdown", "transient").await;
    check(400, "SomethingNew", "bad_request").await;
    check(503, "SomethingNew", "transient").await;
    check(204, "", "unknown").await;
}

#[tokio::test]
async fn a_token_that_is_gone_is_so_since_when_apple_says() {
    let apple = Apple::new(&[(410, &[], r#"{"reason": "Unregistered", "timestamp": 1763640000123}"#)]).await;
    let death = Death { since: Some(Timestamp(1_763_640_000_123)), is_opt_out: false };
    let reason = "the provider answered 410 (Unregistered)".into();
    assert_eq!(apple.send().await, Outcome::DeadRecipient { reason, death });
}

#[tokio::test]
async fn too_many_for_one_device_slow_nobody_else_down() {
    let apple = Apple::new(&[(429, &[], r#"{"reason": "TooManyRequests"}"#)]).await;
    let outcome = apple.send().await;
    assert!(matches!(outcome, Outcome::Throttled { whose: Whose::Recipient, .. }), "{outcome:?}");
}

#[tokio::test]
async fn when_most_tokens_are_wrong_it_is_the_configuration() {
    const WRONG: Said = (400, &[], r#"{"reason": "BadDeviceToken"}"#);
    let apple = Apple::new(&[WRONG; 51]).await;
    for _ in 0..49 {
        let held = apple.send().await;
        assert!(matches!(held, Outcome::Throttled { whose: Whose::Recipient, .. }), "{held:?}");
    }
    let suspicious = apple.send().await;
    assert_eq!(suspicious.name(), "config");
    assert!(suspicious.reason().contains("environment"), "{suspicious:?}");
}

#[tokio::test]
async fn it_takes_iphones_and_tokens_that_may_be_theirs() {
    let apple = Apple::new(&[]).await;
    let takes = |address: Address| apple.provider.takes(&address);
    assert!(takes(Address::Device(Platform::Ios, DEVICE.into())));
    assert!(takes(Address::PushToken(DEVICE.into())));
    assert!(!takes(Address::Device(Platform::Android, DEVICE.into())));
    assert!(!takes(Address::PushToken("bk3RNwTe3H0:CI2k".into())));
    assert!(!takes(Address::PushToken("{}".into())));
    assert!(!takes(Address::Device(Platform::Ios, "bk3RNwTe3H0:CI2k".into())), "FCM's, of an iPhone");
}

#[tokio::test]
async fn what_cannot_be_taken_is_not_sent() {
    let mut apple = Apple::new(&[TAKEN]).await;
    let mut message = to_iphone();
    message.parts.body = "x".repeat(4096);
    assert_eq!(apple.provider.send(&message).await.name(), "bad_request");
    let mut message = to_iphone();
    message.address = Address::Device(Platform::Ios, "../../admin".into());
    assert_eq!(apple.provider.send(&message).await.name(), "bad_request");
    assert!(apple.server.asked_already().is_none());
}

/// A self-signed certificate with its key, as PEM.
fn certificate(end: &str) -> String {
    let pem = new_ec_pem();
    let key = PKey::private_key_from_pem(pem.as_bytes()).expect("a key");
    let mut certificate = X509Builder::new().expect("a certificate");
    certificate.set_version(2).expect("set");
    certificate.set_pubkey(&key).expect("set");
    certificate.set_not_before(&Asn1Time::from_unix(0).expect("a time")).expect("set");
    certificate.set_not_after(&Asn1Time::from_str_x509(end).expect("a time")).expect("set");
    certificate.sign(&key, MessageDigest::sha256()).expect("signed");
    let text = certificate.build().to_pem().expect("PEM");
    format!("{}{pem}", String::from_utf8(text).expect("text"))
}

#[tokio::test]
async fn a_certificate_stands_in_for_the_token_and_says_when_it_ends() {
    let mut server = Http2Server::answering(&[TAKEN]).await;
    let pem = certificate("20270131120000Z");
    let built = provider(&section(&server.url, &pem), &clock()).expect("a provider");
    assert_eq!(built.credentials_end(), Timestamp::parse("2027-01-31T12:00:00Z"));
    assert_eq!(built.send(&to_iphone()).await.name(), "accepted");
    assert_eq!(server.asked().await.header("authorization"), None);
}

#[test]
fn what_is_missing_in_the_configuration_is_named() {
    let check = |from: &str, to: &str, named: &str| {
        let toml = section("http://127.0.0.1:1", &new_ec_pem()).replace(from, to);
        let error = provider(&toml, &clock()).err().expect("refused");
        assert!(error.contains(named), "{error}");
    };
    check("key_id", "sound", "options.key_id");
    check("team_id", "sound", "options.team_id");
    check("topic =", "sound =", "options.topic");
    check("private_key", "signing_secret", "private_key");
    check("[options]", "[options]\nenvironment = \"test\"", "options.environment");
    check("[options]", "[options]\nconnections = 0", "options.connections");
}
