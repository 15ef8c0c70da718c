//! Alibaba Cloud's signature V3: HMAC-SHA256 with the secret itself over a digest of the request.

use std::fmt::Write as _;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use ring::{digest, hmac};

use crate::domain::Timestamp;
use crate::providers::wire::hex;

pub(super) struct Signer {
    key_id: String,
    key: hmac::Key,
}

/// What is signed of a request.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Percent-encoded and sorted by name.
    pub(super) query: &'a str,
    pub(super) host: &'a str,
    pub(super) action: &'a str,
    pub(super) version: &'a str,
    /// As [`date`] writes it.
    pub(super) date: &'a str,
    pub(super) nonce: &'a str,
    pub(super) body: &'a [u8],
}

const ALGORITHM: &str = "ACS3-HMAC-SHA256";
const SIGNED: &str = "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version";

impl Signer {
    pub(super) fn new(key_id: &str, secret: &str) -> Self {
        Self { key_id: key_id.to_owned(), key: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()) }
    }

    /// All headers of a request but `host`, which the client writes.
    pub(super) fn headers(&self, request: &Request<'_>) -> Result<HeaderMap, &'static str> {
        let hash = hex(digest::digest(&digest::SHA256, request.body).as_ref());
        let signature = self.sign(request, &hash);
        let authorization =
            format!("{ALGORITHM} Credential={},SignedHeaders={SIGNED},Signature={signature}", self.key_id);
        let fields = [
            (HeaderName::from_static("x-acs-action"), request.action),
            (HeaderName::from_static("x-acs-content-sha256"), &hash),
            (HeaderName::from_static("x-acs-date"), request.date),
            (HeaderName::from_static("x-acs-signature-nonce"), request.nonce),
            (HeaderName::from_static("x-acs-version"), request.version),
            (AUTHORIZATION, &authorization),
        ];
        let mut headers = HeaderMap::with_capacity(8);
        for (name, text) in fields {
            let mut value = HeaderValue::from_str(text).map_err(|_| "`username` cannot stand in a header")?;
            value.set_sensitive(name == AUTHORIZATION);
            headers.insert(name, value);
        }
        Ok(headers)
    }

    fn sign(&self, request: &Request<'_>, hash: &str) -> String {
        let Request { method, path, query, host, action, version, date, nonce, .. } = request;
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-acs-action:{action}\nx-acs-content-sha256:{hash}\nx-acs-date:{date}\n\
             x-acs-signature-nonce:{nonce}\nx-acs-version:{version}\n\n{SIGNED}\n{hash}"
        );
        let canonical = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
        hex(hmac::sign(&self.key, format!("{ALGORITHM}\n{canonical}").as_bytes()).as_ref())
    }
}

/// `2023-10-26T10:22:32Z`
pub(super) fn date(now: Timestamp) -> String {
    let mut text = now.to_string();
    text.truncate("2023-10-26T10:22:32".len());
    text.push('Z');
    text
}

/// 32 letters out of what is said once only.
pub(super) fn nonce(text: &str) -> String {
    hex(&digest::digest(&digest::SHA256, text.as_bytes()).as_ref()[..16])
}

/// As RFC 3986 (2.3) has it: everything but letters, digits and `-_.~`.
pub(super) fn percent_encoded(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a string takes all text");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_published_example() {
        let signer = Signer::new("YourAccessKeyId", "YourAccessKeySecret");
        let request = Request {
            method: "POST",
            path: "/",
            query: "ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai",
            host: "ecs.cn-shanghai.aliyuncs.com",
            action: "RunInstances",
            version: "2014-05-26",
            date: "2023-10-26T10:22:32Z",
            nonce: "3156853299f313e23d1673dc12e1703d",
            body: b"",
        };
        let headers = signer.headers(&request).expect("headers");
        let expected = "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;\
                        x-acs-date;x-acs-signature-nonce;x-acs-version,\
                        Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0";
        assert_eq!(headers[AUTHORIZATION], expected);
        assert!(!format!("{headers:?}").contains("06563a9e"), "{headers:?}");
    }

    #[test]
    fn what_is_no_letter_or_digit_is_encoded() {
        let mut out = String::new();
        percent_encoded("{\"a\":\"阿 +*~\"}", &mut out);
        assert_eq!(out, "%7B%22a%22%3A%22%E9%98%BF%20%2B%2A~%22%7D");
    }

    #[test]
    fn a_date_has_whole_seconds() {
        assert_eq!(date(Timestamp::parse("2023-10-26T10:22:32.987Z").expect("a time")), "2023-10-26T10:22:32Z");
    }
}
