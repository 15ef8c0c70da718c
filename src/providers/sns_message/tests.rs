//! SNS as it signs, with a certificate of its own; what is shown of the check is shown through the provider `ses`.

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::pkey::Private;
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use openssl::x509::X509Builder;
use serde_json::{Value, json};

use super::*;
use crate::providers::SharedProvider;
use crate::providers::receipts::Receipt;
use crate::providers::testing::{NOW, Server, clock, provider};

pub(in crate::providers) const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:mail";
const CERTIFICATE: &str = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem";

pub(in crate::providers) struct Amazon {
    key: PKey<Private>,
    pub(in crate::providers) pem: &'static str,
}

impl Amazon {
    pub(in crate::providers) fn new() -> Self {
        let key = PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key");
        let mut builder = X509Builder::new().expect("a certificate");
        builder.set_serial_number(&BigNum::from_u32(1).expect("one").to_asn1_integer().expect("one")).expect("one");
        builder.set_not_before(&Asn1Time::from_unix(1_700_000_000).expect("a time")).expect("a time");
        builder.set_not_after(&Asn1Time::from_unix(1_900_000_000).expect("a time")).expect("a time");
        builder.set_pubkey(&key).expect("a key");
        builder.sign(&key, MessageDigest::sha256()).expect("it is signed");
        let pem = String::from_utf8(builder.build().to_pem().expect("PEM")).expect("text");
        Self { key, pem: pem.leak() }
    }

    /// A message with its signature; `changes` stands before what is usual.
    pub(in crate::providers) fn says(&self, version: &str, message: &str, changes: Value) -> Value {
        let mut said = json!({
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC,
            "Message": message,
            "Timestamp": NOW,
            "SignatureVersion": version,
            "SigningCertURL": CERTIFICATE,
        });
        said.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        // Written apart from the program, after the manual: in the order of the names.
        let names: &[&str] = match said["Type"].as_str() {
            Some("Notification") => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
            _ => &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
        };
        let lines = names.iter().filter_map(|name| Some(format!("{name}\n{}\n", said[name].as_str()?)));
        let text: String = lines.collect();
        let digest = if version == "1" { MessageDigest::sha1() } else { MessageDigest::sha256() };
        let mut signer = Signer::new(digest, &self.key).expect("a signer");
        said["Signature"] = STANDARD.encode(signer.sign_oneshot_to_vec(text.as_bytes()).expect("it signs")).into();
        said
    }
}

/// A provider whose messages of SNS are checked with what the server answers.
pub(in crate::providers) fn listening(server: &Server) -> SharedProvider {
    let toml = format!(
        "name = \"mail\"\nkind = \"ses\"\nusername = \"AKIDEXAMPLE\"\npassword = \"secret\"\nfrom = \"shop@example.com\"\n\
         [options]\nregion = \"eu-west-1\"\ntopic_arn = [\"arn:aws:sns:eu-west-1:1:other\", \"{TOPIC}\"]\nsns_url = \"{}\"",
        server.url
    );
    provider(&toml, &clock()).expect("it is built")
}

pub(in crate::providers) async fn read(provider: &SharedProvider, said: &Value) -> Result<Vec<Receipt>, ReceiptError> {
    let post = ReceiptPost {
        url: "https://notify.example.com/v1/providers/mail/receipts".into(),
        query: String::new(),
        headers: HeaderMap::new(),
        body: said.to_string().into(),
        now: Timestamp::parse(NOW).expect("a time"),
    };
    provider.receipts().expect("it has receipts").read(&post).await.map(|read| read.receipts)
}

/// A server that shows the certificate, and then answers anything.
pub(in crate::providers) async fn server(amazon: &Amazon) -> Server {
    Server::answering(Box::leak(Box::new([(200, &[] as &[&str], amazon.pem), (200, &[], "<Confirmed/>")]))).await
}

const DELIVERED: &str = r#"{"eventType":"Delivery","mail":{"messageId":"m-1"},"delivery":{}}"#;

#[tokio::test]
async fn both_kinds_of_signature_are_believed_and_the_certificate_is_fetched_once() {
    let amazon = Amazon::new();
    let mut server = server(&amazon).await;
    let provider = listening(&server);
    for version in ["1", "2"] {
        for changes in [json!({}), json!({"Subject": "Amazon SES Email Event Notification"})] {
            let receipts = read(&provider, &amazon.says(version, DELIVERED, changes)).await;
            assert_eq!(receipts.map(|receipts| receipts.len()), Ok(1), "{version}");
        }
    }
    assert_eq!(server.asked().await.line(), "GET /SimpleNotificationService-1.pem HTTP/1.1");
    // The one answer that is left was not needed for the certificate.
    let url = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t";
    let confirm = json!({"Type": "SubscriptionConfirmation", "SubscribeURL": url, "Token": "t"});
    assert_eq!(read(&provider, &amazon.says("1", "You have chosen to subscribe", confirm)).await, Ok(Vec::new()));
    assert_eq!(server.asked().await.line(), "GET /?Action=ConfirmSubscription&Token=t HTTP/1.1");
}

#[tokio::test]
async fn what_was_changed_is_not_believed() {
    let amazon = Amazon::new();
    let server = server(&amazon).await;
    let provider = listening(&server);
    let said = amazon.says("2", DELIVERED, json!({}));
    for (name, value) in [
        ("Message", DELIVERED.replace("Delivery", "Complaint").as_str()),
        ("MessageId", "other"),
        ("Subject", "added"),
        ("Timestamp", "2026-11-21T12:00:01Z"),
        ("Type", "UnsubscribeConfirmation"),
        ("SignatureVersion", "1"),
        ("SignatureVersion", "3"),
        ("Signature", "AAAA"),
    ] {
        let mut changed = said.clone();
        changed[name] = value.into();
        assert_eq!(read(&provider, &changed).await, Err(ReceiptError::Forged), "{name}");
    }
    let stranger = Amazon::new().says("2", DELIVERED, json!({}));
    assert_eq!(read(&provider, &stranger).await, Err(ReceiptError::Forged));
}

#[tokio::test]
async fn nobody_but_amazon_is_asked_for_a_certificate() {
    let amazon = Amazon::new();
    let mut server = server(&amazon).await;
    let provider = listening(&server);
    for url in [
        "http://sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com.example.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com@example.com/a.pem",
        "https://example.com/sns.eu-west-1.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/a.pem",
        "https://sns.eu.west.amazonaws.com/a.pem",
        "https://sns.eu-west-1.amazonaws.com/a.txt",
        "https://sns.eu-west-1.amazonaws.com/a.pem?b",
        "https://sns.eu-west-1.amazonaws.com/a.pem#b",
        "https://sns.eu-west-1.amazonaws.com/?b.pem",
        "https://bucket.s3.amazonaws.com/a.pem",
        "https://127.0.0.1/a.pem",
        "nonsense",
    ] {
        let said = amazon.says("2", DELIVERED, json!({"SigningCertURL": url}));
        assert_eq!(read(&provider, &said).await, Err(ReceiptError::Forged), "{url}");
    }
    let said = amazon.says("2", DELIVERED, json!({"TopicArn": "arn:aws:sns:eu-west-1:1:strangers"}));
    assert_eq!(read(&provider, &said).await, Err(ReceiptError::Forged), "a topic that nobody listens to");
    let said = amazon.says("2", DELIVERED, json!({"Timestamp": "2026-11-20T11:59:59Z"}));
    assert_eq!(read(&provider, &said).await, Err(ReceiptError::Replayed));
    let said = amazon.says("2", DELIVERED, json!({"Timestamp": "2026-11-21T12:10:01Z"}));
    assert_eq!(read(&provider, &said).await, Err(ReceiptError::Replayed));
    // The first that is asked is the one for what may be true, though it is of yesterday.
    let late = amazon.says("2", DELIVERED, json!({"Timestamp": "2026-11-20T12:00:00Z"}));
    assert!(read(&provider, &late).await.is_ok());
    assert_eq!(server.asked().await.line(), "GET /SimpleNotificationService-1.pem HTTP/1.1");
}

#[tokio::test]
async fn a_subscription_is_confirmed_with_amazon_and_with_nobody_else() {
    let amazon = Amazon::new();
    let server = server(&amazon).await;
    let provider = listening(&server);
    let confirm = |url: &str| {
        let changes = json!({"Type": "SubscriptionConfirmation", "SubscribeURL": url, "Token": "t"});
        amazon.says("1", "You have chosen to subscribe", changes)
    };
    assert_eq!(read(&provider, &confirm("https://example.com/?Token=t")).await, Err(ReceiptError::Forged));
    let with_fragment = "https://sns.eu-west-1.amazonaws.com/?Token=t#x";
    assert_eq!(read(&provider, &confirm(with_fragment)).await, Err(ReceiptError::Forged));
    let url = "https://sns.eu-west-1.amazonaws.com/?Token=t";
    assert_eq!(read(&provider, &confirm(url)).await, Ok(Vec::new()));
    // The server has no answer left: the next is to come again.
    assert!(matches!(read(&provider, &confirm(url)).await, Err(ReceiptError::Later(_))));
}

#[tokio::test]
async fn without_the_certificate_it_is_to_come_again() {
    let amazon = Amazon::new();
    let server = Server::answering(&[(503, &[], "")]).await;
    let said = amazon.says("2", DELIVERED, json!({}));
    assert!(matches!(read(&listening(&server), &said).await, Err(ReceiptError::Later(_))));
}

#[tokio::test]
async fn one_certificate_makes_room_for_another_and_the_rest_is_kept() {
    let amazon = Amazon::new();
    let answers: Vec<crate::providers::testing::Said> = vec![(200, &[], amazon.pem); CERTIFICATES_MAX + 1];
    let mut server = Server::answering(answers.leak()).await;
    let provider = listening(&server);
    let fetched = async |number: usize| {
        let url = format!("https://sns.eu-west-1.amazonaws.com/{number}.pem");
        read(&provider, &amazon.says("2", DELIVERED, json!({"SigningCertURL": url}))).await
    };
    for number in 0..=CERTIFICATES_MAX {
        assert!(fetched(number).await.is_ok());
        assert_eq!(server.asked().await.line(), format!("GET /{number}.pem HTTP/1.1"));
    }
    // The server has no answer left: what is known is not asked for again, and the oldest is known no more.
    for number in 1..=CERTIFICATES_MAX {
        assert!(fetched(number).await.is_ok(), "{number}");
    }
    assert!(matches!(fetched(0).await, Err(ReceiptError::Later(_))));
}
