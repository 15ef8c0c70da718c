//! The signature of a mail (DKIM: RFC 6376; Ed25519: RFC 8463), relaxed in headers and body, since servers on the way fold lines.
//!
//! mail-auth writes the canonical forms and the header. The keys and the hash are ring's, and the time is the clock's.

mod key;

use mail_auth::common::headers::{HeaderStream, Writable, Writer};
use mail_auth::dkim::Signature;
use mail_auth::dkim::canonicalize::CanonicalHeaders;

use crate::config;
use crate::domain::Timestamp;
use crate::providers::options;

use key::{Hash, Key};

/// Signs mails for one domain.
pub(super) struct Signer {
    key: Key,
    domain: String,
    selector: String,
}

/// Who a provider signs for, and with which key: what has to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DkimIdentity {
    pub domain: String,
    pub selector: String,
    /// The value of `k=`: `rsa` or `ed25519`.
    pub key_type: &'static str,
    /// The value of `p=`, before base64: a SubjectPublicKeyInfo (RSA), or the 32 bytes themselves (Ed25519).
    pub public_key: Vec<u8>,
}

/// Signed wherever they stand. `From`, `Subject` and `Reply-To` stand here once more than in a mail, and `Cc` often in
/// none of it: who adds one on the way breaks the signature (RFC 6376 section 8.15).
const ALWAYS: [&str; 12] = [
    "From",
    "From",
    "To",
    "Subject",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Cc",
    "Reply-To",
    "Reply-To",
];
/// Signed where they stand: a mailing list that the recipient reads us through may add its own. RFC 8058 section 4 asks for the
/// first two.
const WHERE_PRESENT: [&str; 5] =
    ["List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Feedback-ID", "Auto-Submitted"];

impl Signer {
    /// `None`: no key is configured, and mails go out without a signature. `host`: that of the sender's address.
    pub(super) fn read(settings: &config::Provider, host: &str) -> Result<Option<Self>, String> {
        let selector = options::text(settings, "dkim_selector")?;
        let domain = options::text(settings, "dkim_domain")?;
        let Some(secret) = &settings.private_key else {
            return match selector.or(domain) {
                Some(_) => {
                    Err("`options.dkim_selector` and `dkim_domain` go with `private_key`: give the key as PEM".into())
                }
                None => Ok(None),
            };
        };
        let selector = selector.ok_or(
            "`options.dkim_selector` is missing: write the name that the public key is published under, as \"s1\"",
        )?;
        let is_name = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        };
        if !is_name(selector) {
            return Err("`options.dkim_selector` is no name: letters, digits and `-`, as \"s1\"".into());
        }
        let domain = ascii_host(domain.unwrap_or(host))
            .filter(|domain| is_name(domain))
            .ok_or("`options.dkim_domain` is no domain: write it as \"example.com\"")?;
        Ok(Some(Self { key: Key::read(secret)?, domain, selector: selector.to_owned() }))
    }

    /// Whether one signature takes longer than others should wait (RSA: about a millisecond).
    pub(super) fn is_slow(&self) -> bool {
        self.key.is_rsa()
    }

    pub(super) fn identity(&self) -> DkimIdentity {
        DkimIdentity {
            domain: self.domain.clone(),
            selector: self.selector.clone(),
            key_type: if self.key.is_rsa() { "rsa" } else { "ed25519" },
            public_key: self.key.public(),
        }
    }

    /// The header that goes before the mail, whose lines are whole.
    pub(super) fn sign(&self, mail: &str, now: Timestamp) -> Result<String, String> {
        let mut signature = Signature {
            v: 1,
            a: self.key.algorithm(),
            d: self.domain.clone(),
            s: self.selector.clone(),
            h: ALWAYS.iter().map(|name| (*name).to_owned()).collect(),
            t: now.millis() / 1000,
            ..Signature::default()
        };
        let parts = Parts::of(mail);
        let present = |name: &&&str| parts.headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name));
        signature.h.extend(WHERE_PRESENT.iter().filter(present).map(|name| (*name).to_owned()));
        let (_, headers, signed, body) = signature.canonicalize(parts.stream());
        signature.h = signed;
        let mut hash = Hash::new();
        body.write(&mut hash);
        signature.bh = base64(&hash.finish());
        signature.b = base64(&self.key.sign(Signed { headers, signature: &signature })?);
        let mut header = Vec::with_capacity(1 << 10);
        signature.write(&mut header, true);
        String::from_utf8(header).map_err(|_| "the signature is no text".to_owned())
    }
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes).into_bytes()
}

/// A host as the DNS knows it.
pub(super) fn ascii_host(host: &str) -> Option<String> {
    match url::Host::parse(host) {
        Ok(url::Host::Domain(name)) => Some(name),
        _ => None,
    }
}

/// What is signed: the headers, and the header of the signature without its value.
struct Signed<'a> {
    headers: CanonicalHeaders<'a>,
    signature: &'a Signature,
}

impl Writable for Signed<'_> {
    fn write(self, writer: &mut impl Writer) {
        self.headers.write(writer);
        self.signature.write(writer, false);
    }
}

/// A mail taken apart: its headers (with what follows the colon, to the end of their last line) and its body.
struct Parts<'a> {
    headers: Vec<(&'a str, &'a str)>,
    body: &'a str,
}

impl<'a> Parts<'a> {
    fn of(mail: &'a str) -> Self {
        let (mut headers, mut rest) = (Vec::with_capacity(16), mail);
        while !rest.is_empty() && !rest.starts_with("\r\n") {
            let (header, after) = rest.split_at(header_length(rest));
            headers.extend(header.split_once(':'));
            rest = after;
        }
        Self { headers, body: rest.strip_prefix("\r\n").unwrap_or(rest) }
    }

    fn stream(&self) -> impl HeaderStream<'a> {
        Stream { headers: self.headers.clone().into_iter(), body: self.body }
    }
}

/// The length of the first header: lines that begin with a space go on with it.
fn header_length(text: &str) -> usize {
    let mut length = 0;
    for line in text.split_inclusive("\r\n") {
        if length > 0 && !line.starts_with([' ', '\t']) {
            break;
        }
        length += line.len();
    }
    length
}

struct Stream<'a> {
    headers: std::vec::IntoIter<(&'a str, &'a str)>,
    body: &'a str,
}

impl<'a> HeaderStream<'a> for Stream<'a> {
    fn next_header(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        self.headers.next().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }

    fn body(&mut self) -> &'a [u8] {
        self.body.as_bytes()
    }
}

#[cfg(test)]
mod tests;
