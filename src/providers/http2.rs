//! An HTTP/2 client: few connections to each origin, many requests at once on each, made on hyper's connections.
//!
//! A request waits for a stream while the other side allows no more of them. Whoever asks for a connection that is being opened
//! waits for that one. What the other side certainly did not look at (its GOAWAY and RST_STREAM say so) is told from what may
//! have been read; only the first is ever sent a second time.

mod connection;
mod start;

#[cfg(test)]
pub(in crate::providers) mod testing;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use http_body_util::Full;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Request, Uri};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use url::Host;

use self::connection::{Connection, NoAnswer};
use super::guard::{Endpoint, EndpointError, Guard};
use super::http::{Answer, HttpFailure};
use super::options;
use super::tls::client_tls;
use crate::clock::{Moment, SharedClock};
use crate::config::{self, Secret};

/// What the client sends: always whole.
pub(super) type Asking = Request<Full<Bytes>>;

/// How a client behaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Http2Options {
    /// Connections to each origin.
    pub(super) connections: usize,
    /// One request alone on a new connection until one was not refused as unauthenticated.
    pub(super) starts_with_one: bool,
    /// How long a request may take to be begun.
    pub(super) patience: Duration,
}

impl Http2Options {
    /// The option `connections`, and half of `timeout`: what is not begun by then never is, so that it is certain that nothing was
    /// sent.
    pub(super) fn read(settings: &config::Provider, starts_with_one: bool) -> Result<Self, String> {
        let connections = options::number(settings, "connections", 1..=CONNECTIONS_MAX)?;
        let connections = connections.and_then(|number| usize::try_from(number).ok()).unwrap_or(1);
        Ok(Self { connections, starts_with_one, patience: settings.timeout / 2 })
    }
}

/// Sends to origins, over connections that are kept open.
pub(super) struct Http2Client {
    dialer: Arc<Dialer>,
    clock: SharedClock,
    connections: usize,
    patience: Duration,
    origins: Mutex<Origins>,
}

#[derive(Default)]
struct Origins {
    by_name: HashMap<Arc<str>, Arc<Origin>>,
    looked_through: Moment,
}

/// One scheme, host and port, and the connections to it.
pub(super) struct Origin {
    endpoint: Endpoint,
    scheme: Scheme,
    authority: Authority,
    slots: Box<[Slot]>,
    next: AtomicUsize,
    /// By the monotonic clock, in milliseconds.
    used_ms: AtomicU64,
}

/// Where one connection has its place: none, being opened, or open (a future that is complete).
#[derive(Default)]
struct Slot(Mutex<Option<Opening>>);

type Opening = Shared<BoxFuture<'static, Result<Connection, NoConnection>>>;

/// Why there is no connection; shared by all who waited for it.
#[derive(Debug, Clone)]
enum NoConnection {
    Refused(Box<str>),
    Unreachable(Box<str>),
}

impl From<NoConnection> for HttpFailure {
    fn from(reason: NoConnection) -> Self {
        match reason {
            NoConnection::Refused(reason) => HttpFailure::Refused(reason.into()),
            NoConnection::Unreachable(reason) => HttpFailure::Unreachable(reason.into()),
        }
    }
}

/// Opens connections.
struct Dialer {
    guard: Guard,
    tls: TlsConnector,
    starts_with_one: bool,
}

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Origins with open connections: where addresses come with requests, there may be any number of them.
const ORIGINS_MAX: usize = 256;
/// An origin that nobody used for as long is forgotten, and its connections are closed.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Connections to one origin.
const CONNECTIONS_MAX: i64 = 16;
/// Connections that a request is tried on, where each was closed before it could be sent.
const TRIES: usize = 3;

impl Http2Client {
    pub(super) fn new(guard: Guard, clock: SharedClock, tls: Arc<rustls::ClientConfig>, options: Http2Options) -> Self {
        let dialer = Dialer { guard, tls: TlsConnector::from(tls), starts_with_one: options.starts_with_one };
        let connections = options.connections.max(1);
        Self { dialer: Arc::new(dialer), clock, connections, patience: options.patience, origins: Mutex::default() }
    }

    /// A client and the one origin that an operator chose: `url` in the configuration, or else `usual`.
    pub(super) fn of_operator(
        settings: &config::Provider,
        clock: &SharedClock,
        usual: &str,
        identity: Option<&Secret>,
        options: Http2Options,
    ) -> Result<(Self, Arc<Origin>), String> {
        // An operator may have a proxy within the own network: the guard is against addresses that come with requests.
        let guard = Guard::new(true, clock.clone());
        let tls = client_tls(settings.ca_file.as_deref(), identity, PROTOCOLS)?;
        let client = Self::new(guard, clock.clone(), tls, options);
        let url = settings.url.as_deref().unwrap_or(usual);
        let endpoint = client.endpoint(url).map_err(|failure| format!("`url`: {}", failure.reason()))?;
        if endpoint.path.contains('?') {
            return Err("`url` must have no query".into());
        }
        let origin = client.origin(endpoint).map_err(|failure| format!("`url`: {}", failure.reason()))?;
        Ok((client, origin))
    }

    /// Takes a URL apart, and checks what can be checked without asking anybody.
    pub(super) fn endpoint(&self, url: &str) -> Result<Endpoint, HttpFailure> {
        self.dialer.guard.check_url(url).map_err(|error| HttpFailure::Refused(error.to_string()))
    }

    /// The origin of an endpoint, with the connections that are open.
    pub(super) fn origin(&self, endpoint: Endpoint) -> Result<Arc<Origin>, HttpFailure> {
        let now = self.clock.moment();
        let mut origins = lock(&self.origins);
        origins.forget_old(now);
        if let Some(origin) = origins.by_name.get(&endpoint.origin) {
            origin.used_ms.store(millis(now), Ordering::Relaxed);
            return Ok(origin.clone());
        }
        if origins.by_name.len() >= ORIGINS_MAX {
            origins.by_name.clear();
        }
        let name = endpoint.origin.clone();
        let origin = Arc::new(Origin::new(endpoint, self.connections, now)?);
        origins.by_name.insert(name, origin.clone());
        Ok(origin)
    }

    /// When a send that begins now must have begun to write.
    pub(super) fn patience(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// Sends a request, and reads the answer. `make` is called once more only for a request that was certainly not looked at. What
    /// has not begun by `until`, for want of a connection or of a free stream, is not sent at all.
    pub(super) async fn send(
        &self,
        origin: &Origin,
        until: Instant,
        make: impl Fn() -> Asking,
    ) -> Result<Answer, HttpFailure> {
        let first = origin.next.fetch_add(1, Ordering::Relaxed);
        for number in 0..TRIES {
            let slot = &origin.slots[first.wrapping_add(number) % origin.slots.len()];
            let connection = self.connection(origin, slot, until).await?;
            match connection.send(make(), until).await {
                Ok(answer) => return Ok(answer),
                Err(NoAnswer::Unsent) => {}
                Err(NoAnswer::Late) => return Err(HttpFailure::Unreachable("no free stream in time".into())),
                Err(NoAnswer::Refused) => return Err(HttpFailure::Unreachable("the stream was refused".into())),
                Err(NoAnswer::InDoubt(reason)) => return Err(HttpFailure::InDoubt(reason.into())),
            }
        }
        Err(HttpFailure::Unreachable("the connection was closed before anything was sent".into()))
    }

    /// Opens a connection, to see that somebody is there.
    pub(super) async fn reach(&self, origin: &Origin) -> Result<(), String> {
        let reached = self.connection(origin, &origin.slots[0], self.patience()).await;
        reached.map(drop).map_err(|reason| HttpFailure::from(reason).reason().to_owned())
    }

    /// The connection of a slot; whoever comes first has it opened, by a task of its own, since the first may give up waiting.
    async fn connection(&self, origin: &Origin, slot: &Slot, until: Instant) -> Result<Connection, NoConnection> {
        let opening = {
            let mut state = lock(&slot.0);
            match state.as_ref().map(|opening| (opening, opening.peek())) {
                Some((_, Some(Ok(connection)))) if connection.is_open() => return Ok(connection.clone()),
                Some((opening, None)) => opening.clone(),
                _ => state.insert(self.open(&origin.endpoint)).clone(),
            }
        };
        let late = |_| Err(NoConnection::Unreachable("no connection in time".into()));
        tokio::time::timeout_at(until, opening).await.unwrap_or_else(late)
    }

    fn open(&self, endpoint: &Endpoint) -> Opening {
        let (opened, waiting) = oneshot::channel();
        let (dialer, endpoint) = (self.dialer.clone(), endpoint.clone());
        tokio::spawn(async move {
            let connection = match tokio::time::timeout(CONNECT_MAX, dialer.dial(&endpoint)).await {
                Ok(dialled) => dialled,
                Err(_) => Err(NoConnection::Unreachable(format!("no connection within {CONNECT_MAX:?}").into())),
            };
            // Nobody may be waiting any more; then the connection is closed again.
            let _ = opened.send(connection);
        });
        let stopped = || Err(NoConnection::Unreachable("the connection was given up".into()));
        waiting.map(move |opened| opened.unwrap_or_else(|_| stopped())).boxed().shared()
    }
}

impl Origins {
    fn forget_old(&mut self, now: Moment) {
        if now.since(self.looked_through) < IDLE_MAX {
            return;
        }
        self.looked_through = now;
        let is_used = |origin: &Origin| {
            let used = Moment(Duration::from_millis(origin.used_ms.load(Ordering::Relaxed)));
            now.since(used) < IDLE_MAX
        };
        self.by_name.retain(|_, origin| is_used(origin));
    }
}

impl Origin {
    fn new(endpoint: Endpoint, connections: usize, now: Moment) -> Result<Self, HttpFailure> {
        let default_port = if endpoint.is_tls { 443 } else { 80 };
        let authority = match endpoint.port {
            port if port == default_port => endpoint.host.to_string(),
            port => format!("{}:{port}", endpoint.host),
        };
        let authority = authority.parse().map_err(|_| HttpFailure::Refused("not a valid host".into()))?;
        let scheme = if endpoint.is_tls { Scheme::HTTPS } else { Scheme::HTTP };
        let slots = (0..connections).map(|_| Slot::default()).collect();
        let used_ms = AtomicU64::new(millis(now));
        Ok(Self { endpoint, scheme, authority, slots, next: AtomicUsize::new(0), used_ms })
    }

    /// Scheme, host and port as text.
    pub(super) fn name(&self) -> &str {
        &self.endpoint.origin
    }

    /// The address of a path, which begins with a slash, below that of the origin's own URL.
    pub(super) fn below(&self, path_and_query: &str) -> Result<Uri, HttpFailure> {
        match self.endpoint.path.trim_end_matches('/') {
            "" => self.uri(path_and_query),
            prefix => self.uri(&format!("{prefix}{path_and_query}")),
        }
    }

    /// The address of a path of this origin.
    pub(super) fn uri(&self, path_and_query: &str) -> Result<Uri, HttpFailure> {
        let invalid = || HttpFailure::Refused("the path of the request is not valid".into());
        let path: PathAndQuery = path_and_query.parse().map_err(|_| invalid())?;
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query(path);
        uri.build().map_err(|_| invalid())
    }
}

/// What a server is asked to speak (RFC 9113 section 3.2).
pub(super) const PROTOCOLS: &[&[u8]] = &[b"h2"];

impl Dialer {
    /// Over TLS the server must choose `h2`; a URL with `http` means HTTP/2 from the first byte (RFC 9113 section 3.3).
    async fn dial(&self, endpoint: &Endpoint) -> Result<Connection, NoConnection> {
        let address = self.guard.resolve(endpoint).await.map_err(|error| match error {
            // A name that is gone may be back before the attempts are spent.
            EndpointError::Unresolved | EndpointError::Unknown => NoConnection::Unreachable(error.to_string().into()),
            error => NoConnection::Refused(error.to_string().into()),
        })?;
        let unreachable =
            |what: &str, error: &dyn std::fmt::Display| NoConnection::Unreachable(format!("{what}: {error}").into());
        let stream = TcpStream::connect(address).await.map_err(|error| unreachable("cannot connect", &error.kind()))?;
        stream.set_nodelay(true).map_err(|error| unreachable("cannot connect", &error.kind()))?;
        if !endpoint.is_tls {
            return Connection::begin(stream, self.starts_with_one).await;
        }
        let name = match &endpoint.host {
            Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|error| unreachable("TLS", &error))?,
            Host::Ipv4(address) => ServerName::from(std::net::IpAddr::V4(*address)),
            Host::Ipv6(address) => ServerName::from(std::net::IpAddr::V6(*address)),
        };
        let stream = self.tls.connect(name, stream).await.map_err(|error| unreachable("TLS", &error))?;
        if stream.get_ref().1.alpn_protocol() != Some(PROTOCOLS[0]) {
            return Err(NoConnection::Unreachable("the server does not speak HTTP/2".into()));
        }
        Connection::begin(stream, self.starts_with_one).await
    }
}

fn millis(moment: Moment) -> u64 {
    u64::try_from(moment.0.as_millis()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
