//! A small HTTP/1.1 client: one kept connection, no pool, no redirects, every call bounded in time.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::client::conn::http2;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest that a call may take, connecting included.
pub(crate) const CALL_MAX: Duration = Duration::from_secs(30);

/// The largest answer that is read: a batch of 10,000 ids has about 400 kB, the metrics less.
const ANSWER_BYTES_MAX: usize = 64 << 20;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Where a server is: the parts of `http://host:port/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// `host:port`, as one connects to it.
    pub(crate) authority: String,
    pub(crate) path: String,
}

impl Url {
    /// For the command line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let refusal = || format!("`{text}` is not of the form `http://host:port`");
        let uri: Uri = text.parse().map_err(|_| refusal())?;
        let authority = uri.authority().ok_or_else(refusal)?;
        if uri.scheme_str() != Some("http") || authority.as_str().contains('@') {
            return Err(refusal());
        }
        Ok(Self {
            authority: format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(80)),
            path: uri.path().to_owned(),
        })
    }
}

/// What a server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// When to come again, where the server says so in seconds.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

/// What every call to one server has in common.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    authority: String,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
}

impl Server {
    /// `key` becomes the bearer token.
    pub(crate) fn new(url: &Url, key: Option<&str>) -> Result<Self> {
        let authorization = match key {
            None => None,
            Some(key) => {
                Some(HeaderValue::try_from(format!("Bearer {key}")).context("the key is no legal HTTP header value")?)
            }
        };
        Ok(Self { authority: url.authority.clone(), host: HeaderValue::try_from(&url.authority)?, authorization })
    }

    pub(crate) fn get(&self, path: &str) -> Result<Request<Full<Bytes>>> {
        let request = Request::get(path).header(HOST, &self.host);
        let mut request = request.body(Full::default()).with_context(|| format!("`{path}` is no legal path"))?;
        self.authorize(&mut request);
        Ok(request)
    }

    /// A POST of JSON to a path known to be legal.
    pub(crate) fn post(&self, path: &'static str, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static(path);
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.authorize(&mut request);
        request
    }

    /// Any call with a body of this type.
    pub(crate) fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>> {
        let request = Request::builder().method(method).uri(path).header(HOST, &self.host);
        let request = request.header(CONTENT_TYPE, content_type).body(Full::new(body));
        let mut request = request.with_context(|| format!("`{path}` is no legal path"))?;
        self.authorize(&mut request);
        Ok(request)
    }

    /// A POST with a retry key: however often it is sent, it is done once.
    pub(crate) fn post_once(&self, path: &'static str, body: Bytes, retry_key: HeaderValue) -> Request<Full<Bytes>> {
        let mut request = self.post(path, body);
        request.headers_mut().insert(IDEMPOTENCY_KEY, retry_key);
        request
    }

    fn authorize(&self, request: &mut Request<Full<Bytes>>) {
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
    }
}

/// One connection to a server, made anew when it is lost.
pub(crate) struct Client {
    authority: String,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(crate) fn new(server: &Server) -> Self {
        Self { authority: server.authority.clone(), sender: None }
    }

    /// Sends the request once. An error leaves open whether the server has done what was asked.
    pub(crate) async fn call(&mut self, request: Request<Full<Bytes>>) -> Result<Answer> {
        self.call_within(CALL_MAX, request).await
    }

    /// The same of a call that may take longer than usual.
    pub(crate) async fn call_within(&mut self, max: Duration, request: Request<Full<Bytes>>) -> Result<Answer> {
        let answer = match timeout(max, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(anyhow::anyhow!("no answer from `{}` within {max:?}", self.authority)),
        };
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    /// Gets `path` and wants success.
    pub(crate) async fn fetch(&mut self, server: &Server, path: &str) -> Result<Bytes> {
        let answer = self.call(server.get(path)?).await?;
        ensure!(answer.status.is_success(), "`{}{path}` answers {}", server.authority, answer.status);
        Ok(answer.body)
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer> {
        let authority = self.authority.clone();
        let sender = self.sender().await?;
        let response = sender.send_request(request).await.with_context(|| format!("no answer from `{authority}`"))?;
        let status = response.status();
        let retry_after = retry_after(&response);
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        match body {
            Ok(body) => Ok(Answer { status, retry_after, body: body.to_bytes() }),
            Err(error) => bail!("the answer of `{authority}` broke off: {error}"),
        }
    }

    /// The connection, alive as far as can be known before using it.
    async fn sender(&mut self) -> Result<&mut SendRequest<Full<Bytes>>> {
        let alive = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !alive {
            self.sender = None;
        }
        match &mut self.sender {
            Some(sender) => Ok(sender),
            empty => Ok(empty.insert(connect(&self.authority).await?)),
        }
    }
}

/// Opens a connection and lets the runtime drive it until either side closes it.
pub(crate) async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(authority).await.with_context(|| format!("cannot connect to `{authority}`"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // Its errors reach the caller through the sender.
        let _ = connection.await;
    });
    Ok(sender)
}

/// The same with HTTP/2 by prior knowledge (RFC 9113 section 3.3). Clones of the sender share the connection.
pub(crate) async fn connect_http2(authority: &str) -> Result<http2::SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(authority).await.with_context(|| format!("cannot connect to `{authority}`"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // Its errors reach the caller through the sender.
        let _ = connection.await;
    });
    Ok(sender)
}

/// Gets `path` over a connection of its own and wants success.
pub(crate) async fn fetch(server: &Server, path: &str) -> Result<Bytes> {
    Client::new(server).fetch(server, path).await
}

fn retry_after(response: &Response<Incoming>) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_maybe_a_path() {
        let cases = [
            ("http://127.0.0.1:8080", Some(("127.0.0.1:8080", "/"))),
            ("http://localhost/hook", Some(("localhost:80", "/hook"))),
            ("http://[::1]:90/a/b", Some(("[::1]:90", "/a/b"))),
            ("https://x", None),
            ("127.0.0.1:8080", None),
            ("http://user@x", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let url = Url::parse(text).ok();
            let parts = url.as_ref().map(|url| (url.authority.as_str(), url.path.as_str()));
            assert_eq!(parts, expected, "{text}");
        }
    }
}
