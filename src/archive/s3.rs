//! Files in a bucket of S3, or of what speaks like it (MinIO, Ceph, R2, …).

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::{Client, Method, Response};
use url::Url;

use super::{ArchivePlace, PlaceError};
use crate::aws::Signer;
use crate::clock::SharedClock;
use crate::config;

/// The longest that one file may take: 16 MiB at 300 kB a second.
const CALL_WAIT_MAX: Duration = Duration::from_secs(60);
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Of an answer that is an error, for its code.
const ERROR_BYTES_MAX: usize = 4 << 10;

/// A bucket, with what stands before each name.
pub struct S3Place {
    http: Client,
    signer: Signer,
    /// Of the bucket and what stands before each name; ends with `/`.
    base: Url,
    clock: SharedClock,
}

/// Whether there is all that a bucket needs.
fn check(settings: &config::Archive) -> Result<(), String> {
    if settings.access_key_id.is_none() || settings.secret_access_key.is_none() {
        return Err("`archive.to` is a bucket: it needs `archive.access_key_id` and `archive.secret_access_key`".into());
    }
    match &settings.endpoint {
        None => Ok(()),
        Some(endpoint) => service(endpoint).map(drop),
    }
}

fn service(endpoint: &str) -> Result<Url, String> {
    let wrong = || format!("`archive.endpoint` is `{endpoint}`: write it as \"https://minio.example.com:9000\"");
    let url = Url::parse(endpoint).map_err(|_| wrong())?;
    let is_plain = ["http", "https"].contains(&url.scheme()) && url.has_host() && url.query().is_none();
    if is_plain && url.username().is_empty() && url.password().is_none() { Ok(url) } else { Err(wrong()) }
}

impl S3Place {
    pub(super) fn new(
        settings: &config::Archive,
        (bucket, before): (&str, &str),
        clock: SharedClock,
    ) -> Result<Self, String> {
        check(settings)?;
        let missing = || "`archive.access_key_id` is missing".to_owned();
        let id = settings.access_key_id.as_deref().ok_or_else(missing)?;
        let secret = settings.secret_access_key.as_ref().ok_or_else(missing)?;
        let signer = Signer::new(id.trim(), secret.expose().trim(), None, &settings.region, "s3");
        let usual = || signer.usual_url("s3");
        let base = base(&settings.endpoint.clone().unwrap_or_else(usual), settings.path_style, bucket, before)?;
        // The system's certificates are not everywhere.
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
        let http = Client::builder().use_preconfigured_tls(tls).timeout(CALL_WAIT_MAX).connect_timeout(CONNECT_MAX);
        // An answer that leads elsewhere would be followed without a signature for there.
        let http = http.redirect(reqwest::redirect::Policy::none()).build().map_err(|error| error.to_string())?;
        Ok(Self { http, signer, base, clock })
    }

    async fn call(&self, method: Method, name: &str, body: Bytes) -> Result<Response, String> {
        let url = self.base.join(name).map_err(|error| error.to_string())?;
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut headers = Default::default();
        self.signer.sign(&method, &host, url.path(), &mut headers, &body, self.clock.now())?;
        // It is made of the address again.
        headers.remove(hyper::header::HOST);
        let asked = self.http.request(method, url).headers(headers).body(body);
        let answer = asked.send().await.map_err(|error| described(&error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = read(answer, ERROR_BYTES_MAX).await.unwrap_or_default();
        Err(format!("the service answered {status}{}", code(&text)))
    }
}

/// Where the names begin.
fn base(endpoint: &str, is_path_style: bool, bucket: &str, before: &str) -> Result<Url, String> {
    let mut url = service(endpoint)?;
    let mut path = url.path().trim_end_matches('/').to_owned();
    if is_path_style {
        path = format!("{path}/{bucket}");
    } else {
        let host = format!("{bucket}.{}", url.host_str().unwrap_or_default());
        url.set_host(Some(&host)).map_err(|_| format!("`{host}` is no host: set `archive.path_style = true`"))?;
    }
    let before = if before.is_empty() { String::new() } else { format!("{before}/") };
    url.set_path(&format!("{path}/{before}"));
    Ok(url)
}

/// What happened, without the address: it may be personal in parts, and the name is said anyway.
fn described(error: &reqwest::Error) -> String {
    let what = match error {
        error if error.is_timeout() => "it took too long",
        error if error.is_connect() => "the service cannot be reached",
        _ => "the connection broke",
    };
    what.to_owned()
}

/// The code in the body of an error, in brackets: `AccessDenied`.
fn code(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    let is_word = |code: &&str| code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    code.filter(is_word).map_or_else(String::new, |code| format!(" ({code})"))
}

/// At most so many bytes, or an error.
async fn read(mut answer: Response, bytes_max: usize) -> Result<Bytes, String> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| described(&error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > bytes_max {
            return Err(format!("it is longer than {bytes_max} bytes"));
        }
    }
    Ok(bytes.freeze())
}

#[async_trait]
impl ArchivePlace for S3Place {
    async fn put(&self, name: &str, body: Bytes) -> Result<(), PlaceError> {
        let put = self.call(Method::PUT, name, body).await;
        put.map(drop).map_err(|reason| PlaceError::Write { name: name.to_owned(), reason })
    }

    async fn get(&self, name: &str, bytes_max: usize) -> Result<Bytes, PlaceError> {
        let answer = match self.call(Method::GET, name, Bytes::new()).await {
            Ok(answer) => read(answer, bytes_max).await,
            Err(reason) => Err(reason),
        };
        answer.map_err(|reason| PlaceError::Read { name: name.to_owned(), reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_stands_in_the_path_or_in_the_host() {
        let check = |endpoint, is_path_style, before, expected: &str| {
            assert_eq!(base(endpoint, is_path_style, "records", before).expect("a place").as_str(), expected);
        };
        check("http://127.0.0.1:9000", true, "", "http://127.0.0.1:9000/records/");
        check("https://minio.example.com/s3/", true, "fanfare/eu", "https://minio.example.com/s3/records/fanfare/eu/");
        let amazon = "https://s3.eu-west-1.amazonaws.com";
        check(amazon, false, "fanfare", "https://records.s3.eu-west-1.amazonaws.com/fanfare/");
        assert!(base("http://127.0.0.1:9000", false, "records", "").is_err());
        assert!(base("https://a:b@example.com", true, "records", "").is_err());
    }

    #[test]
    fn of_an_error_the_code_is_told_and_nothing_else() {
        let body = b"<Error><Code>AccessDenied</Code><Message>key AKIA is bad</Message></Error>";
        assert_eq!(code(body), " (AccessDenied)");
        assert_eq!(code(b"<Code>no code at all</Code>"), "");
    }
}
