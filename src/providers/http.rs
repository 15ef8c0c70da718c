//! A pooled HTTP/1.1 client, made on hyper's connections.
//!
//! Why not reqwest: a bare hyper connection makes 90,000 requests a second where reqwest makes 56,000 (client and server on
//! two cores), and the guard's checked address must be the one that is connected to.

mod connection;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, Uri};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Host;

pub(super) use self::connection::Answer;
use self::connection::{Connection, describe};
use super::guard::{Endpoint, EndpointError, Guard};
use crate::clock::SharedClock;
use crate::domain::Timestamp;

/// Posts to endpoints, over connections that are kept open.
pub(super) struct HttpClient {
    guard: Guard,
    clock: SharedClock,
    tls: TlsConnector,
    /// Idle connections that are kept for each origin: as many as may be in use at once.
    idle_max: usize,
    idle: Mutex<IdleConnections>,
    parsed: Mutex<HashMap<Box<str>, Arc<Target>>>,
}

/// An endpoint with what each request to it repeats.
pub(super) struct Target {
    endpoint: Endpoint,
    uri: Uri,
    host: HeaderValue,
}

#[derive(Default)]
struct IdleConnections {
    /// By origin; the last used stands last.
    origins: HashMap<Arc<str>, Vec<Idle>>,
    looked_through: Timestamp,
}

struct Idle {
    connection: Connection,
    since: Timestamp,
}

impl IdleConnections {
    /// Closes what nobody used for long. Nobody notices that the other side closed an idle connection before it is used again.
    fn forget_old(&mut self, now: Timestamp) {
        if now.since(self.looked_through) < IDLE_MAX {
            return;
        }
        self.looked_through = now;
        self.origins.retain(|_, connections| {
            connections.retain(|idle| now.since(idle.since) < IDLE_MAX);
            !connections.is_empty()
        });
    }
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HttpFailure {
    /// The address itself will not do.
    Refused(String),
    /// Nobody could be reached: nothing was sent.
    Unreachable(String),
    /// Something was sent, and then the connection broke.
    InDoubt(String),
}

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// An idle connection is given up after this: many servers close theirs after 60 to 75 seconds, and who closes first avoids the
/// race.
const IDLE_MAX: Duration = Duration::from_secs(50);
/// Origins with open connections.
const ORIGINS_MAX: usize = 1024;
/// Addresses taken apart and remembered.
const PARSED_MAX: usize = 4096;

impl HttpClient {
    pub(super) fn new(guard: Guard, clock: SharedClock, idle_max: usize) -> Self {
        let tls = TlsConnector::from(client_tls());
        Self { guard, clock, tls, idle_max, idle: Mutex::default(), parsed: Mutex::default() }
    }

    /// Takes a URL apart, or remembers how.
    pub(super) fn target(&self, url: &str) -> Result<Arc<Target>, HttpFailure> {
        if let Some(target) = lock(&self.parsed).get(url) {
            return Ok(target.clone());
        }
        let endpoint = self.guard.check_url(url).map_err(|error| HttpFailure::Refused(error.to_string()))?;
        let invalid = |_| HttpFailure::Refused("not a valid URL".into());
        let uri: Uri = endpoint.path.parse().map_err(invalid)?;
        let default_port = if endpoint.is_tls { 443 } else { 80 };
        let host = match endpoint.port {
            port if port == default_port => endpoint.host.to_string(),
            port => format!("{}:{port}", endpoint.host),
        };
        let host = HeaderValue::from_str(&host).map_err(|_| HttpFailure::Refused("not a valid host".into()))?;
        let target = Arc::new(Target { endpoint, uri, host });
        let mut parsed = lock(&self.parsed);
        if parsed.len() >= PARSED_MAX {
            parsed.clear();
        }
        parsed.insert(url.into(), target.clone());
        Ok(target)
    }

    /// Posts a body, and reads the answer's head.
    pub(super) async fn post(&self, target: &Target, headers: HeaderMap, body: Bytes) -> Result<Answer, HttpFailure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.uri.clone();
        *request.headers_mut() = headers;
        request.headers_mut().insert(HOST, target.host.clone());
        // A kept connection that was closed meanwhile gives the request back unsent; a fresh one is tried once.
        while let Some(mut connection) = self.check_out(target) {
            if !connection.is_usable().await {
                continue;
            }
            match connection.send(request).await {
                Ok(answer) => return Ok(self.finish(target, connection, answer)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(HttpFailure::InDoubt(describe(error.error()))),
                },
            }
        }
        let mut connection = self.connect(target).await?;
        match connection.send(request).await {
            Ok(answer) => Ok(self.finish(target, connection, answer)),
            Err(mut error) => match error.take_message() {
                Some(_) => Err(HttpFailure::Unreachable("the connection was closed at once".into())),
                None => Err(HttpFailure::InDoubt(describe(error.error()))),
            },
        }
    }

    fn finish(&self, target: &Target, connection: Connection, answer: Answer) -> Answer {
        if connection.is_open() {
            self.check_in(target, connection);
        }
        answer
    }

    fn check_out(&self, target: &Target) -> Option<Connection> {
        let now = self.clock.now();
        let mut idle = lock(&self.idle);
        let connections = idle.origins.get_mut(&target.endpoint.origin)?;
        let last = connections.pop()?;
        (now.since(last.since) < IDLE_MAX).then_some(last.connection)
    }

    fn check_in(&self, target: &Target, connection: Connection) {
        let since = self.clock.now();
        let mut idle = lock(&self.idle);
        idle.forget_old(since);
        if idle.origins.len() >= ORIGINS_MAX && !idle.origins.contains_key(&target.endpoint.origin) {
            idle.origins.clear();
        }
        let connections = idle.origins.entry(target.endpoint.origin.clone()).or_default();
        if connections.len() < self.idle_max {
            connections.push(Idle { connection, since });
        }
    }

    async fn connect(&self, target: &Target) -> Result<Connection, HttpFailure> {
        match tokio::time::timeout(CONNECT_MAX, self.open(target)).await {
            Ok(opened) => opened,
            Err(_) => Err(HttpFailure::Unreachable(format!("no connection within {CONNECT_MAX:?}"))),
        }
    }

    async fn open(&self, target: &Target) -> Result<Connection, HttpFailure> {
        let endpoint = &target.endpoint;
        let address = self.guard.resolve(endpoint).await.map_err(|error| match error {
            // A name that is gone may be back before the attempts are spent.
            EndpointError::Unresolved | EndpointError::Unknown => HttpFailure::Unreachable(error.to_string()),
            error => HttpFailure::Refused(error.to_string()),
        })?;
        let unreachable =
            |what: &str, error: &dyn std::fmt::Display| HttpFailure::Unreachable(format!("{what}: {error}"));
        let stream = TcpStream::connect(address).await.map_err(|error| unreachable("cannot connect", &error.kind()))?;
        stream.set_nodelay(true).map_err(|error| unreachable("cannot connect", &error.kind()))?;
        if !endpoint.is_tls {
            return Connection::begin(stream).await;
        }
        let name = match &endpoint.host {
            Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|error| unreachable("TLS", &error))?,
            Host::Ipv4(address) => ServerName::from(std::net::IpAddr::V4(*address)),
            Host::Ipv6(address) => ServerName::from(std::net::IpAddr::V6(*address)),
        };
        let stream = self.tls.connect(name, stream).await.map_err(|error| unreachable("TLS", &error))?;
        Connection::begin(stream).await
    }
}

/// Trusts what the web trusts; ring is the one provider of cryptography here.
pub(super) fn client_tls() -> Arc<rustls::ClientConfig> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
