//! A pooled HTTP/1.1 client, made on hyper's connections.
//!
//! Why not reqwest: a bare hyper connection makes 90,000 requests a second where reqwest makes 56,000 (client and server on
//! two cores), and the guard's checked address must be the one that is connected to.

mod api;
mod connection;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use url::Host;

pub(super) use self::api::Api;
pub(super) use self::connection::{Answer, BodyBound, BodyGate};
use self::connection::{Connection, describe};
use super::guard::{Endpoint, EndpointError, Guard};
use super::wire::AGENT;
use crate::clock::SharedClock;
use crate::domain::Timestamp;

/// Posts to endpoints, over connections that are kept open.
pub(super) struct HttpClient {
    guard: Guard,
    clock: SharedClock,
    tls: TlsConnector,
    /// Idle connections that are kept for each origin: as many as may be in use at once.
    idle_max: usize,
    /// How long a connection may take to be opened.
    connect_max: Duration,
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

impl HttpFailure {
    /// For people.
    pub(super) fn reason(&self) -> &str {
        match self {
            HttpFailure::Refused(reason) | HttpFailure::Unreachable(reason) | HttpFailure::InDoubt(reason) => reason,
        }
    }
}

impl Target {
    /// As the header `Host` has it.
    pub(super) fn host(&self) -> &str {
        self.host.to_str().unwrap_or_default()
    }

    /// As it stands in the request line.
    pub(super) fn uri(&self) -> Uri {
        self.uri.clone()
    }

    /// Path and query.
    pub(super) fn path(&self) -> &str {
        &self.endpoint.path
    }
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
    pub(super) fn new(guard: Guard, clock: SharedClock, tls: Arc<rustls::ClientConfig>, idle_max: usize) -> Self {
        let tls = TlsConnector::from(tls);
        Self { guard, clock, tls, idle_max, connect_max: CONNECT_MAX, idle: Mutex::default(), parsed: Mutex::default() }
    }

    /// Within a send that is given up after `timeout`: what is not begun by half of it never is, so that it is certain that nothing
    /// was sent.
    pub(super) fn within(self, timeout: Duration) -> Self {
        Self { connect_max: CONNECT_MAX.min(timeout / 2), ..self }
    }

    /// When a request that begins now must have its connection.
    pub(super) fn patience(&self) -> Instant {
        Instant::now() + self.connect_max
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

    /// Posts a body.
    pub(super) async fn post(&self, target: &Target, headers: HeaderMap, body: Bytes) -> Result<Answer, HttpFailure> {
        self.request(target, Method::POST, target.uri.clone(), headers, body).await
    }

    /// Sends a request to another path of the same origin.
    pub(super) async fn request(
        &self,
        target: &Target,
        method: Method,
        path: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, HttpFailure> {
        self.request_until(target, method, path, headers, body, self.patience()).await
    }

    /// The same, and begun before `until` or not at all.
    pub(super) async fn request_until(
        &self,
        target: &Target,
        method: Method,
        path: Uri,
        headers: HeaderMap,
        body: Bytes,
        until: Instant,
    ) -> Result<Answer, HttpFailure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path;
        *request.headers_mut() = headers;
        self.send(target, request, &BodyBound::default(), until).await
    }

    /// Gets what stands at an address, as much as the gate admits once the answer's head is there.
    pub(super) async fn get(
        &self,
        target: &Target,
        headers: HeaderMap,
        gate: &impl BodyGate,
    ) -> Result<Answer, HttpFailure> {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = target.uri();
        *request.headers_mut() = headers;
        self.send(target, request, gate, self.patience()).await
    }

    async fn send(
        &self,
        target: &Target,
        mut request: Request<Full<Bytes>>,
        gate: &impl BodyGate,
        until: Instant,
    ) -> Result<Answer, HttpFailure> {
        request.headers_mut().insert(HOST, target.host.clone());
        request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
        // A kept connection that was closed meanwhile gives the request back unsent; a fresh one is tried once.
        while let Some(mut connection) = self.check_out(target) {
            if !connection.is_usable().await {
                continue;
            }
            match connection.send(request, gate).await {
                Ok(answer) => return Ok(self.finish(target, connection, answer)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(HttpFailure::InDoubt(describe(error.error()))),
                },
            }
        }
        let mut connection = self.connect(target, until).await?;
        match connection.send(request, gate).await {
            Ok(answer) => Ok(self.finish(target, connection, answer)),
            Err(mut error) => match error.take_message() {
                Some(_) => Err(HttpFailure::Unreachable("the connection was closed at once".into())),
                None => Err(HttpFailure::InDoubt(describe(error.error()))),
            },
        }
    }

    /// Opens a connection, which is kept for what comes.
    pub(super) async fn reach(&self, target: &Target) -> Result<(), HttpFailure> {
        let connection = self.connect(target, self.patience()).await?;
        self.check_in(target, connection);
        Ok(())
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

    async fn connect(&self, target: &Target, until: Instant) -> Result<Connection, HttpFailure> {
        match tokio::time::timeout_at(until, self.open(target)).await {
            Ok(opened) => opened,
            Err(_) => Err(HttpFailure::Unreachable("no connection in time".into())),
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
