//! One connection to a server (RFC 5321): how it is set up, and what is said and heard over it.

mod transaction;

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::offers::Offers;
use super::reply::{Inbox, NotAReply, Reply};
use super::settings::{Settings, Tls};
use crate::domain::Outcome;
use crate::providers::names::Names;
use crate::providers::outcome::Table;
use crate::providers::smtp::meaning::{Step, meaning};
use transaction::Unsettled;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for T {}

pub(super) struct Connection {
    stream: Box<dyn Stream>,
    inbox: Inbox,
    /// What is written next; its room is used again from mail to mail.
    wire: Vec<u8>,
    offers: Offers,
    /// Mails sent over it: the first failure of a kept connection is forgiven.
    sent: usize,
    unsettled: Option<Unsettled>,
    broken: bool,
    encrypted: bool,
    table: Arc<Table>,
}

/// Why a transaction has no reply to show.
pub(super) enum Failure {
    /// A kept connection was closed while it waited. Certainly not sent.
    Stale,
    /// Certainly not sent.
    NotSent(Outcome),
    /// The mail was written, or some of its end, and no reply came: the classic doubt of RFC 1047.
    InDoubt,
    /// The server does not know the BDAT that it offers. Certainly not sent.
    NoChunking,
}

impl Failure {
    pub(super) fn into_outcome(self) -> Outcome {
        match self {
            Failure::Stale => unreachable("the server closed the connection"),
            Failure::NotSent(outcome) => outcome,
            Failure::NoChunking => unreachable("the server offers CHUNKING and does not know BDAT"),
            Failure::InDoubt => Outcome::Unknown { reason: "the connection broke after the mail was sent".into() },
        }
    }
}

fn unreachable(reason: &str) -> Outcome {
    Outcome::Transient { reason: reason.into(), retry_after: None, unreachable: true }
}

fn not_sent(reason: &str) -> Failure {
    Failure::NotSent(unreachable(reason))
}

impl Connection {
    /// Connects, greets, encrypts and authenticates, as the settings say.
    pub(super) async fn open(settings: &Settings, names: &Names, own_name: &str) -> Result<Self, Failure> {
        let no_address = |_| not_sent("cannot connect to the server: its name cannot be resolved");
        let addresses = names.addresses(&settings.host).await.map_err(no_address)?;
        let addresses: Vec<SocketAddr> =
            addresses.iter().map(|address| SocketAddr::new(*address, settings.port)).collect();
        let stream = TcpStream::connect(&addresses[..])
            .await
            .map_err(|error| not_sent(&format!("cannot connect to the server: {}", error.kind())))?;
        stream.set_nodelay(true).map_err(|_| not_sent("cannot set up the connection"))?;
        let stream: Box<dyn Stream> =
            if settings.tls == Tls::Implicit { encrypt(stream, settings).await? } else { Box::new(stream) };
        let mut connection = Self {
            stream,
            inbox: Inbox::new(),
            wire: Vec::new(),
            offers: Offers::default(),
            sent: 0,
            unsettled: None,
            broken: false,
            encrypted: settings.tls == Tls::Implicit,
            table: settings.table.clone(),
        };
        let greeting = connection.reply().await?;
        if !greeting.is_positive() {
            return Err(Failure::NotSent(refused_to_serve(greeting)));
        }
        connection.hello(own_name).await?;
        connection = connection.start_tls(settings, own_name).await?;
        connection.authenticate(settings).await?;
        Ok(connection)
    }

    async fn hello(&mut self, own_name: &str) -> Result<(), Failure> {
        let reply = self.command(&format!("EHLO {own_name}\r\n")).await?;
        if !reply.is_positive() {
            // A server from before 1995 knows only HELO, and offers nothing.
            let reply = self.command(&format!("HELO {own_name}\r\n")).await?;
            self.offers = Offers::default();
            return if reply.is_positive() { Ok(()) } else { Err(Failure::NotSent(refused_to_serve(reply))) };
        }
        self.offers = Offers::read(&self.inbox);
        Ok(())
    }

    async fn start_tls(mut self, settings: &Settings, own_name: &str) -> Result<Self, Failure> {
        match settings.tls {
            Tls::Never | Tls::Implicit => return Ok(self),
            Tls::Offered if !self.offers.starttls => return Ok(self),
            Tls::Required if !self.offers.starttls => {
                let reason = "the server offers no STARTTLS, and the configuration requires it".into();
                return Err(Failure::NotSent(Outcome::Config { reason }));
            }
            Tls::Offered | Tls::Required => {}
        }
        let reply = self.command("STARTTLS\r\n").await?;
        if !reply.is_positive() {
            return Err(Failure::NotSent(meaning(&self.table, Step::Sender, reply)));
        }
        // What came before the encryption could be anybody's: RFC 3207 section 6.
        self.inbox.clear();
        self.stream = encrypt(self.stream, settings).await?;
        self.encrypted = true;
        self.hello(own_name).await?;
        Ok(self)
    }

    async fn authenticate(&mut self, settings: &Settings) -> Result<(), Failure> {
        let Some((username, password)) = &settings.credentials else { return Ok(()) };
        if !self.encrypted && settings.tls != Tls::Never {
            let reason = "the server offers no encryption, and credentials are not sent in the clear (unless \
                          `options.tls` is \"none\")";
            return Err(Failure::NotSent(Outcome::Config { reason: reason.into() }));
        }
        let reply = if self.offers.plain {
            // RFC 4616.
            let secret = STANDARD.encode(format!("\0{username}\0{}", password.expose()));
            self.command(&format!("AUTH PLAIN {secret}\r\n")).await?
        } else if self.offers.login {
            let mut reply = self.command("AUTH LOGIN\r\n").await?;
            for secret in [username.as_str(), password.expose()] {
                if reply.code != 334 {
                    break;
                }
                reply = self.command(&format!("{}\r\n", STANDARD.encode(secret))).await?;
            }
            reply
        } else {
            let reason = "the server offers no way of authentication that is known here (PLAIN, LOGIN)".into();
            return Err(Failure::NotSent(Outcome::Config { reason }));
        };
        match reply.code {
            200..300 => Ok(()),
            400..500 => Err(Failure::NotSent(meaning(&self.table, Step::Sender, reply))),
            code => {
                let reason = format!("the server refused the credentials: {code}").into();
                Err(Failure::NotSent(Outcome::Config { reason }))
            }
        }
    }

    /// Never sends a mail as a chunk, whatever is offered.
    pub(super) fn without_chunking(mut self) -> Self {
        self.offers.chunking = false;
        self
    }

    /// Whether it is worth keeping for another mail.
    pub(super) fn is_usable(&self) -> bool {
        !self.broken && (self.unsettled.is_some() || self.inbox.is_empty())
    }

    /// Says good-bye; whether that is heard does not matter.
    pub(super) async fn quit(&mut self) {
        let _ = self.command("QUIT\r\n").await;
    }

    async fn command(&mut self, command: &str) -> Result<Reply, Failure> {
        self.write(command).await?;
        self.reply().await
    }

    async fn write(&mut self, text: &str) -> Result<(), Failure> {
        let broke = |_| not_sent("the server closed the connection");
        self.stream.write_all(text.as_bytes()).await.map_err(broke)?;
        self.stream.flush().await.map_err(broke)
    }

    async fn reply(&mut self) -> Result<Reply, Failure> {
        loop {
            match self.inbox.next() {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(NotAReply) => return Err(not_sent("the server does not speak SMTP")),
            }
            match self.stream.read_buf(self.inbox.room()).await {
                Ok(count) if count > 0 => {}
                _ => return Err(not_sent("the server closed the connection")),
            }
        }
    }
}

/// A server that greets with a refusal: overloaded (4yz), or it wants nothing to do with us (5yz).
fn refused_to_serve(reply: Reply) -> Outcome {
    match reply.code {
        400..500 => unreachable(&format!("the server takes nothing now: {}", reply.code)),
        code => Outcome::Config { reason: format!("the server refuses to serve us: {code}").into() },
    }
}

async fn encrypt<S: Stream + 'static>(stream: S, settings: &Settings) -> Result<Box<dyn Stream>, Failure> {
    let name = ServerName::try_from(settings.host.clone()).map_err(|_| not_sent("the host is no name for TLS"))?;
    let connector = TlsConnector::from(settings.tls_config.clone());
    let encrypted = connector.connect(name, stream).await;
    Ok(Box::new(encrypted.map_err(|error| not_sent(&format!("TLS with the server failed: {error}")))?))
}
