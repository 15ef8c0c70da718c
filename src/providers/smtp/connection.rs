//! One connection to a server (RFC 5321), with pipelining (RFC 2920) where it is offered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::reply::{self, Reply};
use super::settings::{Settings, Tls};
use crate::domain::Outcome;
use crate::providers::http::client_tls;
use crate::providers::names::Names;
use crate::providers::outcome::{self, SmtpStep};

trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for T {}

pub(super) struct Connection {
    stream: Box<dyn Stream>,
    /// Bytes read and not yet understood.
    buffer: Vec<u8>,
    offers: Offers,
    /// Mails sent over it: the first failure of a kept connection is forgiven.
    sent: usize,
    broken: bool,
    encrypted: bool,
}

/// The end of a mail.
const END: &[u8] = b".\r\n";
/// The longest the server may take for the envelope; so a server that hangs there is no doubt, and leaves time for the content.
const ENVELOPE_MAX: Duration = Duration::from_secs(5);

/// What the server said to EHLO.
#[derive(Debug, Default, Clone, Copy)]
struct Offers {
    pipelining: bool,
    starttls: bool,
    eight_bit: bool,
    utf8: bool,
    plain: bool,
    login: bool,
    /// The largest mail it takes; 0: it does not say.
    size_max: usize,
}

/// Why a transaction has no reply to show.
pub(super) enum Failure {
    /// A kept connection was closed, before anything was answered.
    Stale,
    /// Certainly not sent.
    NotSent(Outcome),
    /// The mail was written, or some of its end, and no reply came: the classic doubt of RFC 1047.
    InDoubt,
}

impl Failure {
    pub(super) fn into_outcome(self) -> Outcome {
        match self {
            Failure::Stale => unreachable("the server closed the connection"),
            Failure::NotSent(outcome) => outcome,
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
            buffer: Vec::new(),
            offers: Offers::default(),
            sent: 0,
            broken: false,
            encrypted: settings.tls == Tls::Implicit,
        };
        let greeting = connection.reply().await?;
        if !greeting.is_positive() {
            return Err(Failure::NotSent(refused_to_serve(&greeting)));
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
            return if reply.is_positive() { Ok(()) } else { Err(Failure::NotSent(refused_to_serve(&reply))) };
        }
        self.offers = Offers::read(&reply);
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
            return Err(Failure::NotSent(outcome::smtp(SmtpStep::Sender, reply.code, reply.enhanced)));
        }
        // What came before the encryption could be anybody's: RFC 3207 section 6.
        self.buffer.clear();
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
            400..500 => Err(Failure::NotSent(outcome::smtp(SmtpStep::Sender, reply.code, reply.enhanced))),
            code => {
                let reason = format!("the server refused the credentials: {code}").into();
                Err(Failure::NotSent(Outcome::Config { reason }))
            }
        }
    }

    /// Sends one mail, which is stuffed and has its final dot.
    pub(super) async fn transact(&mut self, from: &str, to: &str, mail: &[u8]) -> Result<Outcome, Failure> {
        if let Some(refusal) = self.refusal(from, to, mail) {
            return Ok(refusal);
        }
        // Until the last reply is read the connection is in the middle of something, and serves nobody else.
        self.broken = true;
        let prepared = tokio::time::timeout(ENVELOPE_MAX, self.prepare(from, to, mail)).await;
        let refused =
            prepared.unwrap_or_else(|_| Err(not_sent("the server did not answer before the mail was sent")))?;
        if let Some(refused) = refused {
            return Ok(refused);
        }
        // Without its end a mail is not accepted (RFC 5321 section 4.1.1.4); so all but the end may still fail without a doubt.
        let (content, end) = mail.split_at(mail.len().saturating_sub(END.len()));
        self.stream
            .write_all(content)
            .await
            .map_err(|_| not_sent("the connection broke before the end of the mail"))?;
        self.stream.write_all(end).await.map_err(|_| Failure::InDoubt)?;
        self.stream.flush().await.map_err(|_| Failure::InDoubt)?;
        let reply = self.reply().await.map_err(|_| Failure::InDoubt)?;
        self.broken = reply.code == 421;
        Ok(match outcome::smtp(SmtpStep::Content, reply.code, reply.enhanced) {
            // The server's name for the mail, which its operator can look for.
            Outcome::Accepted { .. } => {
                Outcome::Accepted { message_id: reply.lines.last().and_then(|line| queue_id(line)) }
            }
            outcome => outcome,
        })
    }

    /// Sends the envelope up to DATA; what it was refused with, or nothing if the server waits for the content.
    async fn prepare(&mut self, from: &str, to: &str, mail: &[u8]) -> Result<Option<Outcome>, Failure> {
        let is_kept = self.sent > 0;
        let envelope = self.envelope(from, to, mail).await.map_err(|failure| {
            // Nothing was answered on a connection that had served before: it was closed while it waited.
            if is_kept && self.buffer.is_empty() { Failure::Stale } else { failure }
        })?;
        self.sent += 1;
        if is_kept && envelope[0].code == 421 {
            return Err(Failure::Stale);
        }
        let steps = [SmtpStep::Sender, SmtpStep::Recipient, SmtpStep::Content];
        for (step, reply) in steps.into_iter().zip(&envelope) {
            let is_taken = if step == SmtpStep::Content { reply.code == 354 } else { reply.is_positive() };
            if !is_taken {
                // A server that said 354 all the same waits for a mail that must not be sent: the connection ends instead.
                let waits = envelope[2].code == 354;
                self.broken = waits || reply.code == 421 || self.command("RSET\r\n").await.is_err();
                return Ok(Some(outcome::smtp(step, reply.code, reply.enhanced)));
            }
        }
        Ok(None)
    }

    /// MAIL, RCPT and DATA: in one write where the server offers that, one after the other elsewhere.
    async fn envelope(&mut self, from: &str, to: &str, mail: &[u8]) -> Result<[Reply; 3], Failure> {
        let mut options = String::new();
        if self.offers.size_max > 0 {
            options.push_str(&format!(" SIZE={}", mail.len()));
        }
        if self.offers.eight_bit && !mail.is_ascii() {
            options.push_str(" BODY=8BITMIME");
        }
        if !from.is_ascii() || !to.is_ascii() {
            options.push_str(" SMTPUTF8");
        }
        let commands = [format!("MAIL FROM:<{from}>{options}\r\n"), format!("RCPT TO:<{to}>\r\n"), "DATA\r\n".into()];
        if self.offers.pipelining {
            self.write(&commands.concat()).await?;
            return Ok([self.reply().await?, self.reply().await?, self.reply().await?]);
        }
        let mail_reply = self.command(&commands[0]).await?;
        if !mail_reply.is_positive() {
            return Ok([mail_reply.clone(), mail_reply.clone(), mail_reply]);
        }
        let recipient_reply = self.command(&commands[1]).await?;
        if !recipient_reply.is_positive() {
            return Ok([mail_reply, recipient_reply.clone(), recipient_reply]);
        }
        let data_reply = self.command(&commands[2]).await?;
        Ok([mail_reply, recipient_reply, data_reply])
    }

    /// What can be refused without asking.
    fn refusal(&self, from: &str, to: &str, mail: &[u8]) -> Option<Outcome> {
        let is_unsafe = |text: &str| text.chars().any(|letter| letter.is_control() || "<> ".contains(letter));
        let reason: Box<str> = if is_unsafe(from) || is_unsafe(to) {
            "an address has a character that no address has".into()
        } else if !self.offers.utf8 && (!from.is_ascii() || !to.is_ascii()) {
            "the server takes no address outside ASCII".into()
        } else if self.offers.size_max > 0 && mail.len() > self.offers.size_max {
            format!("the mail has {} bytes, the server takes {}", mail.len(), self.offers.size_max).into()
        } else {
            return None;
        };
        Some(Outcome::BadRequest { reason })
    }

    /// Whether another mail can be sent over it.
    pub(super) fn is_usable(&self) -> bool {
        !self.broken && self.buffer.is_empty()
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
            match reply::read(&self.buffer) {
                Ok(Some((reply, used))) => {
                    self.buffer.drain(..used);
                    return Ok(reply);
                }
                Ok(None) => {}
                Err(reply::NotAReply) => return Err(not_sent("the server does not speak SMTP")),
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(count) if count > 0 => {}
                _ => return Err(not_sent("the server closed the connection")),
            }
        }
    }
}

/// What the server called the mail: the text of its last reply behind the codes, as far as it is short and plain.
fn queue_id(line: &str) -> Option<Box<str>> {
    let text = line.trim();
    let plain = |letter: char| letter.is_ascii_graphic() || letter == ' ';
    (!text.is_empty() && text.len() <= 128 && text.chars().all(plain)).then(|| text.into())
}

/// A server that greets with a refusal: overloaded (4yz), or it wants nothing to do with us (5yz).
fn refused_to_serve(reply: &Reply) -> Outcome {
    match reply.code {
        400..500 => unreachable(&format!("the server takes nothing now: {}", reply.code)),
        code => Outcome::Config { reason: format!("the server refuses to serve us: {code}").into() },
    }
}

async fn encrypt<S: Stream + 'static>(stream: S, settings: &Settings) -> Result<Box<dyn Stream>, Failure> {
    let name = ServerName::try_from(settings.host.clone()).map_err(|_| not_sent("the host is no name for TLS"))?;
    let connector = TlsConnector::from(Arc::clone(&client_tls()));
    let encrypted = connector.connect(name, stream).await;
    Ok(Box::new(encrypted.map_err(|error| not_sent(&format!("TLS with the server failed: {error}")))?))
}

impl Offers {
    fn read(reply: &Reply) -> Self {
        let mut offers = Self::default();
        for line in reply.lines.iter().skip(1) {
            let line = line.to_ascii_uppercase();
            let mut words = line.split([' ', '=']);
            match words.next() {
                Some("PIPELINING") => offers.pipelining = true,
                Some("STARTTLS") => offers.starttls = true,
                Some("8BITMIME") => offers.eight_bit = true,
                Some("SMTPUTF8") => offers.utf8 = true,
                Some("SIZE") => offers.size_max = words.next().and_then(|size| size.parse().ok()).unwrap_or(0),
                Some("AUTH") => {
                    for word in words {
                        offers.plain |= word == "PLAIN";
                        offers.login |= word == "LOGIN";
                    }
                }
                _ => {}
            }
        }
        offers
    }
}
