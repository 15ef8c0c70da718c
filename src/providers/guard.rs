//! Which addresses a webhook may go to: not into our own network (server-side request forgery).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use url::{Host, Url};

use super::names::{NameError, Names};
use crate::clock::SharedClock;

/// A webhook's address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme, host and port: what a connection belongs to.
    pub(super) origin: Arc<str>,
    pub(super) is_tls: bool,
    pub(super) host: Host<String>,
    pub(super) port: u16,
    /// What the request line names.
    pub(super) path: Box<str>,
}

/// Why nothing may be sent there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    #[error("not a valid URL")]
    Invalid,
    #[error("only http and https URLs are called")]
    Scheme,
    #[error("a URL with a user name or password is not called")]
    Credentials,
    #[error("the host name does not exist")]
    Unknown,
    /// The only error that may be gone in a moment.
    #[error("the host name cannot be resolved at the moment")]
    Unresolved,
    #[error("it points to a private address (set `security.allow_private_addresses` to allow that)")]
    Private,
}

/// Checks addresses, and finds the one to connect to. Connections go to exactly the address that was checked: a second
/// look-up could be answered differently.
#[derive(Clone)]
pub struct Guard {
    allow_private: bool,
    names: Names,
}

impl Guard {
    pub fn new(allow_private: bool, clock: SharedClock) -> Self {
        Self { allow_private, names: Names::of_system(clock) }
    }

    /// Reads a URL as browsers do (numbers in a host may be decimal, octal or hexadecimal), and checks what can be checked
    /// without asking anybody.
    pub fn check_url(&self, text: &str) -> Result<Endpoint, EndpointError> {
        let url = Url::parse(text).map_err(|_| EndpointError::Invalid)?;
        let is_tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(EndpointError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::Credentials);
        }
        let host = url.host().ok_or(EndpointError::Invalid)?.to_owned();
        let port = url.port_or_known_default().ok_or(EndpointError::Invalid)?;
        match &host {
            Host::Ipv4(address) => self.check_address(IpAddr::V4(*address))?,
            Host::Ipv6(address) => self.check_address(IpAddr::V6(*address))?,
            Host::Domain(_) => {}
        }
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()).into(),
            None => url.path().into(),
        };
        Ok(Endpoint { origin: url.origin().ascii_serialization().into(), is_tls, host, port, path })
    }

    /// The address to connect to.
    pub async fn resolve(&self, endpoint: &Endpoint) -> Result<SocketAddr, EndpointError> {
        let address = match &endpoint.host {
            Host::Ipv4(address) => IpAddr::V4(*address),
            Host::Ipv6(address) => IpAddr::V6(*address),
            Host::Domain(name) => self.look_up(name).await?,
        };
        self.check_address(address)?;
        Ok(SocketAddr::new(address, endpoint.port))
    }

    /// Whether a request may name this address. A name service that says nothing is not the caller's fault: what is sent
    /// is checked again.
    pub async fn admit(&self, url: &str) -> Result<(), EndpointError> {
        let endpoint = self.check_url(url)?;
        match self.resolve(&endpoint).await {
            Ok(_) | Err(EndpointError::Unresolved) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn look_up(&self, name: &str) -> Result<IpAddr, EndpointError> {
        let addresses = self.names.addresses(name).await.map_err(|error| match error {
            NameError::NotFound => EndpointError::Unknown,
            NameError::NoAnswer => EndpointError::Unresolved,
        })?;
        // One private address among public ones is as good as none but private ones.
        for address in &*addresses {
            self.check_address(*address)?;
        }
        // IPv4 first: where IPv6 is not routed, connecting to it only costs the timeout.
        let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
        first.copied().ok_or(EndpointError::Unknown)
    }

    fn check_address(&self, address: IpAddr) -> Result<(), EndpointError> {
        // Link-local stays closed in any case: it is where clouds keep their secrets (169.254.169.254), and no test needs it.
        let is_link_local = match address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => {
                address.is_unicast_link_local() || embedded_v4(address).is_some_and(|embedded| embedded.is_link_local())
            }
        };
        let is_allowed = is_public(address) || (self.allow_private && !is_link_local);
        if is_allowed { Ok(()) } else { Err(EndpointError::Private) }
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(embedded) => is_public_v4(embedded),
            None => is_public_v6(address),
        },
    }
}

/// The registry of special-purpose addresses: RFC 6890 and its successors.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        // Shared by carriers: RFC 6598.
        || (a == 100 && (64..128).contains(&b))
        // Protocol assignments, and the old 6to4 relays.
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        // Benchmarks: RFC 2544.
        || (a == 198 && (b == 18 || b == 19))
        || a >= 240;
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let is_special = address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local()
        // Site-local, no longer used and never public: RFC 3879.
        || segments[0] & 0xffc0 == 0xfec0
        // Documentation: RFC 3849, RFC 9637.
        || (segments[0] == 0x2001 && segments[1] == 0xdb8)
        || segments[0] & 0xfff0 == 0x3ff0
        // Discard: RFC 6666. Teredo hides an IPv4 address: RFC 4380.
        || (segments[0] == 0x100 && segments[1..4] == [0, 0, 0])
        || (segments[0] == 0x2001 && segments[1] == 0);
    !is_special
}

/// The IPv4 address that an IPv6 address really means: mapped, compatible, NAT64 (RFC 6052) and 6to4 (RFC 3056).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let low = || Ipv4Addr::from(u32::from(segments[6]) << 16 | u32::from(segments[7]));
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0xffff | 0, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => Some(low()),
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(low()),
        [0x2002, high, low, ..] => Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::Timestamp;

    fn guard(allow_private: bool) -> Guard {
        Guard::new(allow_private, ManualClock::starting_at(Timestamp(0)))
    }

    #[test]
    fn private_addresses_are_refused_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[fe80::1]",
            "[fd00::1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[ff02::1]",
        ] {
            let url = format!("http://{host}/hook");
            assert_eq!(guard(false).check_url(&url), Err(EndpointError::Private), "{url}");
            let is_link_local = host.contains("169.254") || host.contains("fe80");
            assert_eq!(guard(true).check_url(&url).is_ok(), !is_link_local, "{url}");
        }
    }

    #[test]
    fn public_addresses_are_taken() {
        for host in ["8.8.8.8", "[2606:4700::1111]", "hooks.example.com", "[::ffff:8.8.8.8]"] {
            assert!(guard(false).check_url(&format!("https://{host}/a?b=c")).is_ok(), "{host}");
        }
    }

    #[test]
    fn what_is_no_plain_web_address_is_refused() {
        let check = |url: &str, expected: EndpointError| {
            assert_eq!(guard(true).check_url(url), Err(expected), "{url}");
        };
        check("file:///etc/passwd", EndpointError::Scheme);
        check("gopher://example.com/", EndpointError::Scheme);
        check("http://user:secret@example.com/", EndpointError::Credentials);
        check("http://", EndpointError::Invalid);
        check("hooks.example.com", EndpointError::Invalid);
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_a_private_address_is_refused() {
        let guard = guard(false);
        let endpoint = guard.check_url("http://localhost/hook").expect("a name is not an address yet");
        assert_eq!(guard.resolve(&endpoint).await, Err(EndpointError::Private));
    }
    #[tokio::test]
    async fn a_request_is_refused_for_what_is_known_of_its_host_and_not_for_what_could_not_be_asked() {
        let admit = async |found: Result<Vec<IpAddr>, NameError>| {
            let clock = ManualClock::starting_at(Timestamp(0));
            let names = Names::new(clock, Arc::new(move |_: &str| found.clone()));
            Guard { allow_private: false, names }.admit("https://hooks.example.com/a").await
        };
        assert_eq!(admit(Ok(vec![[8, 8, 8, 8].into()])).await, Ok(()));
        assert_eq!(admit(Ok(vec![[8, 8, 8, 8].into(), [10, 0, 0, 1].into()])).await, Err(EndpointError::Private));
        assert_eq!(admit(Err(NameError::NotFound)).await, Err(EndpointError::Unknown));
        assert_eq!(admit(Err(NameError::NoAnswer)).await, Ok(()));
    }
}
