//! What is signed here, another verifier accepts: mail-auth's, which reads the mail with a parser of its own, against a record that
//! OpenSSL wrote.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash as Hashable;
use std::time::Instant;

use bytes::Bytes;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt};
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;

use super::super::mail::Composer;
use super::super::tests::message;
use super::*;
use crate::domain::{Attachment, Message};
use crate::providers::testing;

/// A private key as PEM, and its record.
struct Published {
    pem: String,
    record: String,
}

fn rsa() -> (Rsa<Private>, String) {
    let key = Rsa::generate(2048).expect("a key");
    let public = key.public_key_to_der().expect("a public key");
    (key, format!("v=DKIM1; k=rsa; p={}", openssl::base64::encode_block(&public)))
}

fn published() -> Vec<Published> {
    let (key, record) = rsa();
    let text = |pem: Vec<u8>| String::from_utf8(pem).expect("text");
    let traditional = text(key.private_key_to_pem().expect("PEM"));
    let modern = text(PKey::from_rsa(key).expect("a key").private_key_to_pem_pkcs8().expect("PEM"));
    let edwards = PKey::generate_ed25519().expect("a key");
    let public = edwards.raw_public_key().expect("a public key");
    vec![
        Published { pem: traditional, record: record.clone() },
        Published { pem: modern, record },
        Published {
            pem: text(edwards.private_key_to_pem_pkcs8().expect("PEM")),
            record: format!("v=DKIM1; k=ed25519; p={}", openssl::base64::encode_block(&public)),
        },
    ]
}

fn settings(pem: &str, options: &str) -> config::Provider {
    testing::settings(&format!(
        "name = \"mail\"\nkind = \"smtp\"\nurl = \"smtp://localhost\"\nfrom = \"Größe & Co <news@example.com>\"
private_key = '''{pem}'''\noptions = {{ {options} }}"
    ))
}

/// A name server that knows one record.
struct Known(HashMap<String, Txt>);

impl Known {
    fn of(name: &str, record: &str) -> Self {
        let key = DomainKey::parse(record.as_bytes()).expect("a record");
        Self(HashMap::from([(name.to_owned(), Txt::from(key))]))
    }
}

impl ResolverCache<String, Txt> for Known {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        String: Borrow<Q>,
        Q: Hashable + Eq + ?Sized,
    {
        self.0.get(name).cloned()
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        String: Borrow<Q>,
        Q: Hashable + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: String, _: Txt, _: Instant) {}
}

async fn verify(mail: &str, names: &Known) -> Vec<DkimResult> {
    let verifier = MessageAuthenticator::new(ResolverConfig::default(), ResolverOpts::default()).expect("a verifier");
    let parsed = AuthenticatedMessage::parse(mail.as_bytes()).expect("a mail");
    let found = verifier.verify_dkim(Parameters::new(&parsed).with_txt_cache(names)).await;
    found.iter().map(|output| output.result().clone()).collect()
}

fn newsletter() -> Message {
    let pdf = Attachment {
        name: "Rechnung für März.pdf".into(),
        media_type: "application/pdf".into(),
        content: Bytes::from_static(&[0x25; 3000]),
    };
    let mut message = Message {
        unsubscribe: Some("https://notify.example.com/u/0123456789".into()),
        category: Some("weekly".into()),
        attachments: vec![pdf],
        ..message("alice@example.com", "Grüße aus  Köln", "one  two \n.dot\n\n\nend  \n\n")
    };
    message.parts.html = Some("<p>Grüße</p>\n".into());
    message
}

fn signed(settings: &config::Provider, message: &Message) -> String {
    let composer = Composer::read(settings).expect("valid settings");
    let now = Timestamp::parse(testing::NOW).expect("a time");
    composer.compose(message, "alice@example.com", now).expect("composed").as_str().to_owned()
}

#[tokio::test]
async fn mails_are_signed_so_that_another_verifier_accepts_them() {
    for key in published() {
        let names = Known::of("s1._domainkey.example.com.", &key.record);
        let settings = settings(&key.pem, "dkim_selector = \"s1\", reply_to = \"help@example.com\"");
        for message in [newsletter(), message("alice@example.com", "", ""), message("alice@example.com", "Hi", "x")] {
            let mail = signed(&settings, &message);
            assert_eq!(verify(&mail, &names).await, [DkimResult::Pass], "{mail}");
        }
    }
}

#[tokio::test]
async fn a_change_of_what_matters_breaks_the_signature() {
    let key = published().pop().expect("a key");
    let names = Known::of("s1._domainkey.example.com.", &key.record);
    let mail = signed(&settings(&key.pem, "dkim_selector = \"s1\""), &newsletter());
    let unbroken = mail.replace("List-Unsubscribe-Post: List", "List-Unsubscribe-Post:   List");
    assert_eq!(verify(&unbroken, &names).await, [DkimResult::Pass], "spaces may change on the way");
    for (from, to) in [
        ("/u/0123456789", "/u/evil"),
        ("=One-Click", "=None"),
        ("<weekly.", "<other."),
        ("Auto-Submitted: auto-generated", "Auto-Submitted: no"),
        ("To: alice", "To: bob"),
        ("MIME-Version", "Reply-To: evil@example.net\r\nMIME-Version"),
        ("MIME-Version", "From: evil@example.net\r\nMIME-Version"),
        ("JSUl", "JSUm"),
    ] {
        let changed = mail.replacen(from, to, 1);
        assert_ne!(changed, mail, "{from}");
        assert_ne!(verify(&changed, &names).await, [DkimResult::Pass], "{from} → {to}");
    }
}

#[test]
fn the_signature_says_who_when_and_what() {
    let key = published().pop().expect("a key");
    let mail = signed(&settings(&key.pem, "dkim_selector = \"s1\", dkim_domain = \"Mail.Example.com\""), &newsletter());
    let (header, _) = mail.split_once("\r\nFrom: ").expect("the signature stands first");
    assert!(header.starts_with("DKIM-Signature: v=1; a=ed25519-sha256; s=s1; d=mail.example.com; c=relaxed/relaxed;"));
    // 2026-11-21T12:00:00Z, by the engine's clock.
    assert!(header.contains("t=1795262400;"), "{header}");
    let words = header.replace(['\r', '\n', '\t', ' '], "");
    let fields = words.split(";h=").nth(1).and_then(|rest| rest.split(';').next()).expect("signed fields");
    for field in ALWAYS.iter().chain(&WHERE_PRESENT) {
        assert!(fields.split(':').any(|found| found == *field), "{field} in {fields}");
    }
    assert!(header.split("\r\n").all(|line| line.len() <= 100), "{header}");
}

#[test]
fn what_is_to_be_published_is_what_openssl_would_publish() {
    for key in published() {
        let signer = Signer::read(&settings(&key.pem, "dkim_selector = \"s1\""), "example.com").expect("valid");
        let identity = signer.expect("it signs").identity();
        let value = openssl::base64::encode_block(&identity.public_key);
        assert_eq!(format!("v=DKIM1; k={}; p={value}", identity.key_type), key.record);
        assert_eq!((&*identity.domain, &*identity.selector), ("example.com", "s1"));
    }
}

#[test]
fn settings_that_cannot_sign_are_refused_and_no_key_is_shown() {
    let key = published().pop().expect("a key").pem;
    let weak = String::from_utf8(Rsa::generate(1024).expect("a key").private_key_to_pem().expect("PEM")).expect("text");
    let check = |pem: &str, options: &str, part: &str| {
        let error = Composer::read(&settings(pem, options)).err().expect("an error");
        assert!(error.contains(part), "{error}");
        assert!(!error.contains("MC4C") && !error.contains("nonsense"), "{error}");
    };
    check(&key, "", "options.dkim_selector");
    check(&key, "dkim_selector = 1", "in quotes");
    check(&key, "dkim_selector = \"s 1\"", "is no name");
    check(&key, "dkim_selector = \"s1\", dkim_domain = \"a b\"", "options.dkim_domain");
    check("nonsense", "dkim_selector = \"s1\"", "PEM");
    check(&weak, "dkim_selector = \"s1\"", "2048");
    check(&key, "dkim_selector = \"s1\", reply_to = \"nobody\"", "options.reply_to");
    check(&key, "dkim_selector = \"s1\", bounce_address = \"nobody\"", "options.bounce_address");
    check(&key, "dkim_selector = \"s1\", unsubscribe_mailto = \"nobody\"", "options.unsubscribe_mailto");
    let mut keyless = settings(&key, "dkim_selector = \"s1\"");
    assert!(!format!("{keyless:?}").contains("MC4C"), "a key in Debug");
    keyless.private_key = None;
    assert!(Composer::read(&keyless).err().expect("an error").contains("private_key"));
}

/// Not a promise, a figure: how long a signature takes. And, where `FANFARE_MAIL_OUT` names a folder, mails and records for other
/// verifiers (`docs/providers/email.md`).
#[test]
fn a_signature_takes_so_long() {
    let folder = std::env::var_os("FANFARE_MAIL_OUT").map(std::path::PathBuf::from);
    for (index, key) in published().iter().enumerate() {
        let settings = settings(&key.pem, "dkim_selector = \"s1\", unsubscribe_mailto = \"off@example.com\"");
        let signer = Signer::read(&settings, "example.com").expect("valid").expect("it signs");
        let mail = signed(&settings, &newsletter());
        let (rounds, begun) = (50, Instant::now());
        for _ in 0..rounds {
            signer.sign(&mail, Timestamp(0)).expect("signed");
        }
        let length = mail.len();
        let kind = signer.identity().key_type;
        eprintln!("{kind}: {} µs for {length} bytes", begun.elapsed().as_micros() / rounds);
        if let Some(folder) = &folder {
            std::fs::write(folder.join(format!("{index}.eml")), &mail).expect("written");
            std::fs::write(folder.join(format!("{index}.txt")), &key.record).expect("written");
        }
    }
}
