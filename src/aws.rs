//! Signs requests to Amazon's services, and to those that speak like them: Signature Version 4
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>), by Amazon's own library.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningParams, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use hyper::Method;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};

use crate::domain::Timestamp;

/// Who signs, and for what.
pub struct Signer {
    identity: Identity,
    region: String,
    /// As it stands in the scope of a signature: `ses`, `sns`, `s3`.
    service: &'static str,
}

impl Signer {
    /// `token`: of a session, where it is one.
    pub fn new(id: &str, secret: &str, token: Option<String>, region: &str, service: &'static str) -> Self {
        let identity = Credentials::new(id, secret, token, None, "configuration").into();
        Self { identity, region: region.to_owned(), service }
    }

    /// The host of a service in this region; China has names of its own.
    pub fn usual_url(&self, service: &str) -> String {
        let end = if self.region.starts_with("cn-") { ".cn" } else { "" };
        format!("https://{service}.{}.amazonaws.com{end}", self.region)
    }

    fn settings(&self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        if self.service == "s3" {
            // Of S3 alone: the hash of the body is a header, and a path is signed as it stands.
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        settings
    }

    /// Adds the time and the signature; all headers that are there already are signed. `path`: with its query, as it stands in the
    /// request line.
    pub fn sign(
        &self,
        method: &Method,
        host: &str,
        path: &str,
        headers: &mut HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), &'static str> {
        const CANNOT: &str = "the request cannot be signed";
        let host = HeaderValue::from_str(host).map_err(|_| CANNOT)?;
        headers.insert(HOST, host);
        let params: SigningParams<'_> = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name(self.service)
            .time(UNIX_EPOCH + Duration::from_millis(now.millis()))
            .settings(self.settings())
            .build()
            .map_err(|_| CANNOT)?
            .into();
        let given = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let request = SignableRequest::new(method.as_str(), path, given, SignableBody::Bytes(body));
        let (signed, _) = sign(request.map_err(|_| CANNOT)?, &params).map_err(|_| CANNOT)?.into_parts();
        for header in signed.into_parts().0 {
            let mut value = HeaderValue::from_str(header.value()).map_err(|_| CANNOT)?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(header.name()), value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use hyper::header::{AUTHORIZATION, CONTENT_TYPE};

    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn signed(signer: &Signer, path: &str, body: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"));
        let now = Timestamp::parse("2015-08-30T12:36:00Z").expect("a time");
        signer.sign(&Method::GET, "iam.amazonaws.com", path, &mut headers, body, now).expect("it is signed");
        headers
    }

    #[test]
    fn the_example_of_amazons_manual_gets_its_signature() {
        let signer = Signer::new("AKIDEXAMPLE", SECRET, None, "us-east-1", "iam");
        let headers = signed(&signer, "/?Action=ListUsers&Version=2010-05-08", b"");
        assert_eq!(headers["x-amz-date"], "20150830T123600Z");
        assert_eq!(
            headers[AUTHORIZATION],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
        assert!(headers[AUTHORIZATION].is_sensitive());
    }

    #[test]
    fn a_session_sends_its_token_and_signs_it() {
        let signer = Signer::new("AKIDEXAMPLE", SECRET, Some("session".into()), "us-east-1", "iam");
        let headers = signed(&signer, "/", b"");
        assert_eq!(headers["x-amz-security-token"], "session");
        assert!(headers["x-amz-security-token"].is_sensitive());
        let authorization = headers[AUTHORIZATION].to_str().expect("text");
        assert!(authorization.contains(";x-amz-security-token,"), "{authorization}");
    }

    #[test]
    fn signing_is_cheap_beside_a_request() {
        let signer = Signer::new("AKIDEXAMPLE", SECRET, None, "us-east-1", "ses");
        let body = vec![b'a'; 2 << 10];
        let begin = Instant::now();
        for _ in 0..1000 {
            signed(&signer, "/v2/email/outbound-emails", &body);
        }
        // A figure for people; what is checked is only that nothing is out of all proportion.
        let each = begin.elapsed() / 1000;
        eprintln!("signing a request of 2 KiB: {each:?}");
        assert!(each < Duration::from_millis(10), "{each:?}");
    }
}
