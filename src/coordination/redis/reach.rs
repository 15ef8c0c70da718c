//! Reaching Redis, and saying in a plain sentence why it cannot be used. No reason carries the address as it was written:
//! that may have a password in it.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, ServerErrorKind};

use crate::config;

/// The longest that connecting may take, with all that is looked at then.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(2);

/// The oldest version that is tested for: the first with users and their rights.
const VERSION_MIN: u32 = 6;

/// Why Redis cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    #[error(
        "`coordination.redis.url` is no address of a Redis: write redis://[user:password@]host:port[/number], or rediss:// for TLS"
    )]
    BadUrl,
    #[error("nothing answers at {address}: check that Redis runs there, and `coordination.redis.url`")]
    NobodyThere { address: String },
    #[error(
        "the certificate of {address} is not trusted: it must be for that name, and by an authority that this system trusts or that the file in `SSL_CERT_FILE` holds"
    )]
    Untrusted { address: String },
    #[error(
        "{address} did not answer within {limit:?}: is it stopped or overloaded, or is only one of both sides set up for TLS (rediss://)?"
    )]
    NoAnswer { address: String, limit: Duration },
    #[error(
        "{address} takes longer than {limit:?} for an answer (`coordination.redis.timeout`): is it overloaded, or far away?"
    )]
    Late { address: String, limit: Duration },
    #[error("{address} closed the connection: was it stopped, or is it another service?")]
    Closed { address: String },
    #[error("{address} refuses the user or the password: check the ones in `coordination.redis.url`")]
    WrongPassword { address: String },
    #[error(
        "{address} does not let this user do what is needed: it must be allowed to run scripts, to publish, and to read and write keys that begin with `coordination.redis.prefix`"
    )]
    NotAllowed { address: String },
    #[error("{address} is Redis {version}, which is too old: version {VERSION_MIN} or later is needed")]
    TooOld { address: String, version: String },
    #[error("{address} does not write: {code}. Is it a replica, or out of memory?")]
    Refuses { address: String, code: String },
    #[error("{address} does not speak as Redis does{hint}")]
    NotRedis { address: String, hint: &'static str },
}

impl Unreachable {
    /// It does not pass by itself: someone must change the configuration or Redis.
    pub(super) fn wants_an_operator(&self) -> bool {
        matches!(
            self,
            Self::BadUrl
                | Self::WrongPassword { .. }
                | Self::NotAllowed { .. }
                | Self::TooOld { .. }
                | Self::Untrusted { .. }
                | Self::NotRedis { .. }
        )
    }

    /// Nothing more can come over this connection.
    pub(super) fn ends_the_connection(&self) -> bool {
        matches!(self, Self::Closed { .. } | Self::NobodyThere { .. })
    }
}

/// What connects to the configured address.
pub(super) fn client(settings: &config::Redis) -> Result<Client, Unreachable> {
    Client::open(settings.url.expose()).map_err(|_| Unreachable::BadUrl)
}

/// Host and port.
pub(super) fn address(client: &Client) -> String {
    client.get_connection_info().addr().to_string()
}

/// Connects, looks at the version and writes a key that ends at once: a replica, or a Redis whose memory is full, answers
/// and is of no use. Nor is one that takes longer for that than a question may: `limit`.
pub(super) async fn connect(
    client: &Client,
    prefix: &str,
    limit: Duration,
) -> Result<MultiplexedConnection, Unreachable> {
    let failed = |error: RedisError| explain(client, &error);
    let connecting = async {
        // Ours are the limits: that of a question, and the one below.
        let limits = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let mut connection = client.get_multiplexed_async_connection_with_config(&limits).await.map_err(failed)?;
        // A user without the right to ask is not kept out for that.
        let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await.unwrap_or_default();
        let mut write = redis::cmd("SET");
        write.arg(format!("{prefix}:probe")).arg(1).arg("PX").arg(1);
        match tokio::time::timeout(limit, write.exec_async(&mut connection)).await {
            Ok(written) => written.map_err(failed)?,
            Err(_) => return Err(Unreachable::Late { address: address(client), limit }),
        }
        Ok((connection, info))
    };
    let connected = tokio::time::timeout(CONNECT_WAIT_MAX, connecting).await;
    let no_answer = || Unreachable::NoAnswer { address: address(client), limit: CONNECT_WAIT_MAX };
    let (connection, info) = connected.map_err(|_| no_answer())??;
    match version(&info) {
        Some((major, text)) if major < VERSION_MIN => {
            Err(Unreachable::TooOld { address: address(client), version: text.to_owned() })
        }
        _ => Ok(connection),
    }
}

/// The version in the answer to `INFO server`.
fn version(info: &str) -> Option<(u32, &str)> {
    let text = info.lines().find_map(|line| line.strip_prefix("redis_version:"))?.trim();
    Some((text.split('.').next()?.parse().ok()?, text))
}

/// The reason behind an error of the client.
pub(super) fn explain(client: &Client, error: &RedisError) -> Unreachable {
    let address = address(client);
    if error.is_timeout() {
        return Unreachable::NoAnswer { address, limit: CONNECT_WAIT_MAX };
    }
    match (error.kind(), error.code()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS" | "NOAUTH")) => {
            Unreachable::WrongPassword { address }
        }
        (ErrorKind::Server(ServerErrorKind::NoPerm), _) => Unreachable::NotAllowed { address },
        // Without a user, a wrong password is an error without a name of its own.
        (_, Some("ERR")) if error.detail().is_some_and(|detail| detail.contains("AUTH")) => {
            Unreachable::WrongPassword { address }
        }
        (ErrorKind::Server(_) | ErrorKind::Extension, code) => {
            Unreachable::Refuses { address, code: code.unwrap_or("an error without a name").to_owned() }
        }
        (ErrorKind::Io, _) if error.is_connection_dropped() && !error.is_connection_refusal() => {
            Unreachable::Closed { address }
        }
        // The client keeps what TLS said as text only.
        (ErrorKind::Io, _) if error.to_string().contains("certificate") => Unreachable::Untrusted { address },
        (ErrorKind::Io, _) => Unreachable::NobodyThere { address },
        _ => Unreachable::NotRedis { address, hint: ": is it another service, or does it want TLS (rediss://)?" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_the_server_says() {
        assert_eq!(version("# Server\r\nredis_version:7.0.15\r\nos:Linux\r\n"), Some((7, "7.0.15")));
        assert_eq!(version("# Server\r\nredis_version:5.0.3\r\n"), Some((5, "5.0.3")));
        assert_eq!(version(""), None);
    }

    #[test]
    fn an_address_that_is_none_is_refused_without_repeating_it() {
        let settings = |url: &str| config::Redis {
            url: config::Secret::new(url),
            prefix: "p".to_owned(),
            timeout: Duration::from_millis(20),
        };
        for bad in ["", "localhost", "http://:secret@host", "redis://:secret@host:notaport"] {
            let refused = client(&settings(bad)).expect_err(bad).to_string();
            assert!(!refused.contains("secret"), "{refused}");
        }
        let good = client(&settings("redis://user:secret@host:1234/2")).expect("an address");
        assert_eq!(address(&good), "host:1234");
    }
}
