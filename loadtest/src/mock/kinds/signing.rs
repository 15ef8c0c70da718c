//! Signatures made with a shared secret: those of AWS and Aliyun over the request, those of chat robots over the time. Their form is always
//! checked; their value where the mock was told the secret (`--secret`).

use ring::digest::{SHA256, digest};
use ring::hmac::{self, HMAC_SHA256, Key};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::call::{Call, percent_encoded};
use super::{Said, want};

/// The headers that an Aliyun signature must cover.
const ACS_HEADERS: [&str; 6] =
    ["host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce", "x-acs-version"];

/// What stands in `Authorization` of either scheme.
struct Signed<'a> {
    credential: &'a str,
    names: &'a str,
    signature: &'a str,
}

impl<'a> Signed<'a> {
    /// `None` when a part is missing or is not of its form.
    fn parse(value: &'a str) -> Option<Self> {
        let part = |name: &str| value.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let signed =
            Self { credential: part("Credential")?, names: part("SignedHeaders")?, signature: part("Signature")? };
        let is_hex = signed.signature.len() == 64 && signed.signature.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_hex && !signed.credential.is_empty()).then_some(signed)
    }

    fn covers(&self, call: &Call<'_>, needed: &[&str]) -> bool {
        needed.iter().all(|needed| {
            let is_sent = host_or_header(call, needed).is_some();
            is_sent && self.names.split(';').any(|name| name == *needed)
        })
    }
}

/// Signature Version 4 for this service (the IAM guide, "Create a signed AWS API request").
pub(super) fn aws(call: &Call<'_>, service: &str) -> Result<(), Said> {
    const MISMATCH: &str = "The request signature we calculated does not match the signature you provided";
    let Some(value) = call.authorization("aws4-hmac-sha256") else {
        return Said::no_access("Missing Authentication Token");
    };
    let Some(signed) = Signed::parse(value).filter(|signed| signed.covers(call, &["host", "x-amz-date"])) else {
        return Said::no_access("Incomplete Signature");
    };
    let Some((key_id, scope)) = signed.credential.split_once('/') else { return Said::no_access(MISMATCH) };
    let parts: Vec<&str> = scope.split('/').collect();
    let [day, _, name, "aws4_request"] = parts[..] else { return Said::no_access(MISMATCH) };
    let date = call.header("x-amz-date").unwrap_or_default();
    if key_id.is_empty() || name != service || date.len() != 16 || !date.starts_with(day) {
        return Said::no_access(MISMATCH);
    }
    let Some(secret) = call.secret else { return Ok(()) };
    let canonical = hex(digest(&SHA256, canonical(call, signed.names).as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{canonical}");
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in parts {
        key = hmac(&key, part.as_bytes());
    }
    if hex(&hmac(&key, text.as_bytes())) == signed.signature { Ok(()) } else { Said::no_access(MISMATCH) }
}

/// Aliyun's V3 signature, and the hash of the body, which needs no secret.
pub(super) fn acs(call: &Call<'_>) -> Result<(), Said> {
    let Some(value) = call.authorization("acs3-hmac-sha256") else {
        return Said::no_access("MissingAuthorization");
    };
    let Some(signed) = Signed::parse(value).filter(|signed| signed.covers(call, &ACS_HEADERS)) else {
        return Said::no_access("IncompleteSignature");
    };
    let hash = hex(digest(&SHA256, call.body).as_ref());
    if call.header("x-acs-content-sha256") != Some(&hash) {
        return Said::no_access("SignatureDoesNotMatch");
    }
    let Some(secret) = call.secret else { return Ok(()) };
    let canonical = hex(digest(&SHA256, canonical(call, signed.names).as_bytes()).as_ref());
    let text = format!("ACS3-HMAC-SHA256\n{canonical}");
    let is_right = hex(&hmac(secret.as_bytes(), text.as_bytes())) == signed.signature;
    if is_right { Ok(()) } else { Said::no_access("SignatureDoesNotMatch") }
}

/// DingTalk signs the time and its secret with its secret.
pub(super) fn dingtalk(call: &Call<'_>, time: &str, sign: &str) -> Result<(), Said> {
    robot(call, sign, |secret| hmac(secret.as_bytes(), format!("{time}\n{secret}").as_bytes()))
}

/// Feishu signs nothing, with the time and its secret as the key.
pub(super) fn feishu(call: &Call<'_>, time: &str, sign: &str) -> Result<(), Said> {
    robot(call, sign, |secret| hmac(format!("{time}\n{secret}").as_bytes(), b""))
}

fn robot(call: &Call<'_>, sign: &str, made: impl Fn(&str) -> Vec<u8>) -> Result<(), Said> {
    let given = STANDARD.decode(sign).unwrap_or_default();
    // 32 bytes: encoded once more, or not decoded, it would be another length.
    want(given.len() == 32, "the signature is no HMAC in base64").or_else(|_| Said::no_access("sign not match"))?;
    match call.secret {
        Some(secret) if made(secret) != given => Said::no_access("sign not match"),
        _ => Ok(()),
    }
}

/// What both schemes sign: the request, in a form that has no second.
fn canonical(call: &Call<'_>, names: &str) -> String {
    let mut query: Vec<String> = call
        .query()
        .iter()
        .map(|(name, value)| format!("{}={}", percent_encoded(name), percent_encoded(value)))
        .collect();
    query.sort_unstable();
    let headers = names.split(';').map(|name| {
        let value = host_or_header(call, name).unwrap_or_default().trim();
        format!("{name}:{value}\n")
    });
    let headers: String = headers.collect();
    let hash = hex(digest(&SHA256, call.body).as_ref());
    format!("{}\n{}\n{}\n{headers}\n{names}\n{hash}", call.head.method, call.path(), query.join("&"))
}

/// HTTP/2 has the host in the address.
fn host_or_header<'a>(call: &Call<'a>, name: &str) -> Option<&'a str> {
    let header = call.header(name);
    if name == "host" { header.or(call.head.uri.authority().map(|authority| authority.as_str())) } else { header }
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&Key::new(HMAC_SHA256, key), text).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use hyper::Request;
    use hyper::http::request::Parts;

    use super::*;

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("legal").into_parts().0
    }

    fn check(head: &Parts, secret: &str, how: impl Fn(&Call<'_>) -> Result<(), Said>) -> [bool; 3] {
        [None, Some(secret), Some("another")].map(|secret| how(&Call { head, body: b"", secret }).is_ok())
    }

    /// The example of the IAM guide.
    #[test]
    fn the_published_signature_of_aws_is_right_and_others_are_not() {
        let scope = "AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request";
        let signature = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
        );
        let headers = [
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", "iam.amazonaws.com"),
            ("x-amz-date", "20150830T123600Z"),
            ("authorization", &value),
        ];
        let head = head("/?Action=ListUsers&Version=2010-05-08", &headers);
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        assert_eq!(check(&head, secret, |call| aws(call, "iam")), [true, true, false]);
        assert_eq!(check(&head, secret, |call| aws(call, "ses")), [false; 3]);
    }

    /// The example of Aliyun's page on V3 signatures.
    #[test]
    fn the_published_signature_of_aliyun_is_right_and_others_are_not() {
        let names = ACS_HEADERS.join(";");
        let signature = "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0";
        let value = format!("ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders={names},Signature={signature}");
        let empty = hex(digest(&SHA256, b"").as_ref());
        let headers = [
            ("host", "ecs.cn-shanghai.aliyuncs.com"),
            ("x-acs-action", "RunInstances"),
            ("x-acs-content-sha256", &empty),
            ("x-acs-date", "2023-10-26T10:22:32Z"),
            ("x-acs-signature-nonce", "3156853299f313e23d1673dc12e1703d"),
            ("x-acs-version", "2014-05-26"),
            ("authorization", &value),
        ];
        let uri = "/?ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai";
        let mut head = head(uri, &headers);
        head.method = hyper::Method::POST;
        assert_eq!(check(&head, "YourAccessKeySecret", acs), [true, true, false]);
    }

    #[test]
    fn robots_sign_the_time() {
        let head = head("/", &[]);
        let secret = "SECtest0123456789";
        let sign = "yBKp5IlG6qCzcQWmgyRK/ziJBdVNJmHfFE2ST/CzT/g=";
        assert_eq!(check(&head, secret, |call| dingtalk(call, "1700000000000", sign)), [true, true, false]);
        let sign = "xqhKocb0RcGBDr30iFkLPByPLrRBM9Oy/dgBx968k0U=";
        assert_eq!(check(&head, secret, |call| feishu(call, "1700000000", sign)), [true, true, false]);
        assert_eq!(check(&head, secret, |call| feishu(call, "1700000000", "x%3D")), [false; 3]);
    }
}
