//! The keys that signatures are checked with (DKIM, RFC 6376; Ed25519: RFC 8463).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;

use super::names::Records;
use super::{Finding, Sender, tag};
use crate::providers::DkimIdentity;

/// Receivers refuse shorter keys (RFC 8301 section 3.2; Gmail).
const BITS_MIN: u32 = 1024;
/// What RFC 8301 section 3.2 asks signers for.
const BITS_WANTED: u32 = 2048;
const ED25519_BYTES: usize = 32;

pub(super) async fn check(names: &dyn Records, domain: &str, selectors: &[String], senders: &[Sender]) -> Vec<Finding> {
    let ours: Vec<&DkimIdentity> = senders.iter().filter_map(|sender| sender.identity.dkim.as_ref()).collect();
    let mut wanted: Vec<(&str, &str)> = selectors.iter().map(|selector| (&**selector, domain)).collect();
    if wanted.is_empty() {
        wanted = ours.iter().map(|identity| (&*identity.selector, &*identity.domain)).collect();
    }
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() {
        let text = "no key is known to look for: name one with --selector, as the service that signs for you calls it";
        return vec![Finding::bad(&format!("DKIM of {domain}"), text)];
    }
    let mut findings = Vec::with_capacity(wanted.len());
    for (selector, domain) in wanted {
        let is_it = |identity: &&&DkimIdentity| identity.selector == selector && identity.domain == domain;
        findings.push(check_key(names, selector, domain, ours.iter().find(is_it).copied()).await);
    }
    findings
}

async fn check_key(names: &dyn Records, selector: &str, domain: &str, ours: Option<&DkimIdentity>) -> Finding {
    let name = format!("{selector}._domainkey.{domain}");
    let what = format!("DKIM {name}");
    let texts = match names.texts(&name).await {
        Ok(texts) => texts,
        Err(reason) => return Finding::bad(&what, reason),
    };
    let publish = match ours {
        Some(ours) => format!("publish `{name}. TXT \"{}\"`", record(ours)),
        None => "publish the record that the service that signs for you gives out".to_owned(),
    };
    let [text] = &texts[..] else {
        let found = if texts.is_empty() { "none" } else { "several records, where there may be one" };
        return Finding::bad(&what, format!("{found}: {publish}"));
    };
    match judge(text, ours) {
        Ok((found, advice)) if advice.is_empty() => Finding::good(&what, found),
        Ok((found, advice)) => Finding::advice(&what, format!("{found}; {advice}")),
        Err(reason) => Finding::bad(&what, format!("{reason}: {publish}")),
    }
}

/// What was found, and what could be better; an error if no mail passes with it.
fn judge(record: &str, ours: Option<&DkimIdentity>) -> Result<(String, String), String> {
    if tag(record, "v").is_some_and(|version| version != "DKIM1") {
        return Err("the record begins with another version than `v=DKIM1`".into());
    }
    let kind = tag(record, "k").unwrap_or_else(|| "rsa".to_owned());
    let value = tag(record, "p").ok_or("the record has no key (`p=`)")?;
    if value.is_empty() {
        return Err("the key is revoked (`p=` is empty)".into());
    }
    let key = STANDARD.decode(&value).map_err(|_| "the key (`p=`) is no base64".to_owned())?;
    let (mut found, mut advice) = (String::new(), Vec::new());
    match &*kind {
        "rsa" => {
            let bits = rsa_bits(&key).ok_or("the key (`p=`) is no RSA key")?;
            if bits < BITS_MIN {
                return Err(format!("RSA with {bits} bits, which receivers refuse: take {BITS_WANTED}"));
            }
            found += &format!("RSA with {bits} bits");
            if bits < BITS_WANTED {
                advice.push(format!("take a new key with {BITS_WANTED} bits"));
            }
        }
        "ed25519" if key.len() == ED25519_BYTES => {
            found += "Ed25519";
            advice.push(
                "not every receiver knows Ed25519: have another provider, or the relay, sign with RSA".to_owned(),
            );
        }
        "ed25519" => return Err("the key (`p=`) is no Ed25519 key".into()),
        kind => return Err(format!("the key is of a kind that nobody knows (`k={kind}`)")),
    }
    if tag(record, "t").is_some_and(|flags| flags.split(':').any(|flag| flag == "y")) {
        advice.push("it is marked as a test (`t=y`): take that away".to_owned());
    }
    if let Some(ours) = ours {
        if ours.key_type != kind || !is_same(&ours.public_key, &key) {
            return Err("it is not the public half of our `private_key`".into());
        }
        found += ", the public half of our `private_key`";
    }
    Ok((found, advice.join("; ")))
}

/// What is to be published for a key of ours.
fn record(ours: &DkimIdentity) -> String {
    format!("v=DKIM1; k={}; p={}", ours.key_type, STANDARD.encode(&ours.public_key))
}

/// RSA keys are published with their frame and, by some, without.
fn is_same(ours: &[u8], published: &[u8]) -> bool {
    let bare = || Rsa::public_key_from_der(ours).ok()?.public_key_to_der_pkcs1().ok();
    ours == published || bare().is_some_and(|bare| bare == published)
}

fn rsa_bits(key: &[u8]) -> Option<u32> {
    let framed = PKey::public_key_from_der(key).ok().and_then(|key| key.rsa().ok());
    let key = framed.or_else(|| Rsa::public_key_from_der_pkcs1(key).ok())?;
    Some(key.size() * 8)
}
