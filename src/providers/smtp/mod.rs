//! The provider `smtp`: hands mail to a server, over connections that are kept open.
//!
//! lettre encodes the messages and reads the addresses. The wire is ours: lettre's pool waits for the answer to each of MAIL,
//! RCPT and DATA, four round trips a mail. Pipelining (RFC 2920) makes that two, and with chunks (RFC 3030) it is one, which is
//! what the rate of a connection depends on. What is in a connection's hands when the caller goes away is dropped with the
//! connection.

mod connection;
mod mail;
mod dkim;
mod offers;
mod reply;
mod meaning;
mod settings;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::names::Names;
use super::{BuildContext, Provider, SharedProvider};
use crate::clock::SharedClock;
use crate::config;
use crate::domain::{Address, Channel, Message, Outcome, Timestamp};
use connection::{Connection, Failure};
pub use dkim::DkimIdentity;
use mail::{Composer, Mail};
use settings::Settings;

pub(super) struct Smtp {
    name: String,
    channels: Vec<Channel>,
    settings: Settings,
    composer: Arc<Composer>,
    clock: SharedClock,
    /// Its own: what slow names of webhooks are waited for must hold no mail up.
    names: Names,
    /// Connections that wait for the next mail, the one used last at the end.
    idle: Mutex<Vec<(Connection, Timestamp)>>,
    /// The server offered chunks, and did not know them when they came.
    chunks_failed: AtomicBool,
    /// How long a connection may take to be set up: half of what a send may take at most, so that it is certain that nothing was sent.
    open_max: Duration,
}

/// A connection that was idle this long is closed: servers close theirs after five minutes (RFC 5321 section 4.5.3.2.7), many
/// much sooner.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Setting a connection up: TCP, TLS, greeting and authentication together.
const OPEN_MAX: Duration = Duration::from_secs(8);

impl Smtp {
    pub(super) const OPTIONS: &[&str] =
        &["tls", "dkim_selector", "dkim_domain", "reply_to", "bounce_address", "unsubscribe_mailto"];

    pub(super) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        Ok(Arc::new(Self {
            name: settings.name.clone(),
            channels,
            composer: Arc::new(Composer::read(settings)?),
            settings: Settings::read(settings)?,
            clock: context.clock.clone(),
            names: Names::of_system(context.clock.clone()),
            idle: Mutex::default(),
            chunks_failed: AtomicBool::new(false),
            open_max: OPEN_MAX.min(settings.timeout / 2),
        }))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Connection, Timestamp)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_out(&self) -> Option<Connection> {
        let now = self.clock.now();
        let mut idle = self.idle();
        // In the order of their last use: the old ones stand first, and the one used last is the likeliest to live.
        let old = idle.iter().take_while(|(_, since)| now.since(*since) >= IDLE_MAX).count();
        idle.drain(..old);
        idle.pop().map(|(connection, _)| connection)
    }

    /// A kept connection that can take a mail.
    async fn kept(&self) -> Option<Connection> {
        while let Some(mut connection) = self.check_out() {
            let may_wait = connection.is_unsettled();
            if connection.is_ready().await {
                return Some(connection);
            }
            // One that does not answer costs a wait: after one such wait, a fresh connection is quicker.
            if may_wait {
                return None;
            }
        }
        None
    }

    async fn open(&self) -> Result<Connection, Failure> {
        let opening = Connection::open(&self.settings, &self.names, self.composer.host());
        match tokio::time::timeout(self.open_max, opening).await {
            Ok(Ok(connection)) if self.chunks_failed.load(Relaxed) => Ok(connection.without_chunking()),
            Ok(opened) => opened,
            Err(_) => Err(Failure::NotSent(Outcome::Transient {
                reason: format!("no connection within {:?}", self.open_max).into(),
                retry_after: None,
                unreachable: true,
            })),
        }
    }

    /// Sends over a kept connection, or a fresh one. A kept one that turns out closed while it is certain that nothing was
    /// accepted is replaced once.
    async fn deliver(&self, recipient: &str, mail: &Mail) -> Outcome {
        let from = self.composer.bounces_to();
        if let Some(mut connection) = self.kept().await {
            match connection.transact(from, recipient, mail).await {
                // Likely so are the others that waited as long.
                Err(Failure::Stale) => self.idle().clear(),
                result => return self.finish(connection, result),
            }
        }
        match self.open().await {
            Ok(mut connection) => {
                let result = connection.transact(from, recipient, mail).await;
                self.finish(connection, result)
            }
            Err(failure) => failure.into_outcome(),
        }
    }

    /// What takes its time (signing by RSA, encoding large files) is done where nobody else waits for it.
    async fn compose(&self, message: &Message, recipient: &str) -> Result<Mail, String> {
        let now = self.clock.now();
        if !self.composer.is_slow(message) {
            return self.composer.compose(message, recipient, now);
        }
        let (composer, message, recipient) = (self.composer.clone(), message.clone(), recipient.to_owned());
        let composing = tokio::task::spawn_blocking(move || composer.compose(&message, &recipient, now));
        composing.await.unwrap_or_else(|_| Err("the mail could not be composed".into()))
    }

    fn finish(&self, connection: Connection, result: Result<Outcome, Failure>) -> Outcome {
        match result {
            Ok(outcome) => {
                if connection.is_usable() {
                    self.idle().push((connection, self.clock.now()));
                }
                outcome
            }
            Err(failure) => {
                if matches!(failure, Failure::NoChunking) {
                    self.chunks_failed.store(true, Relaxed);
                    self.idle().clear();
                }
                failure.into_outcome()
            }
        }
    }
}

/// Whom the mails of a provider are from, for who checks what is published of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailIdentity {
    /// The host in `From`, as the DNS knows it.
    pub from: String,
    /// The host of the envelope's sender.
    pub envelope: String,
    /// `None`: its mails are not signed here.
    pub dkim: Option<DkimIdentity>,
}

/// `None`: it is no provider of this kind.
pub fn mail_identity(settings: &config::Provider) -> Result<Option<MailIdentity>, String> {
    if settings.kind != "smtp" {
        return Ok(None);
    }
    let composer = Composer::read(settings)?;
    let envelope = composer.bounces_to().rsplit_once('@').map_or("", |(_, host)| host);
    Ok(Some(MailIdentity {
        from: composer.ascii_host().to_owned(),
        envelope: dkim::ascii_host(envelope).unwrap_or_else(|| envelope.to_owned()),
        dkim: composer.signer().map(dkim::Signer::identity),
    }))
}

#[async_trait]
impl Provider for Smtp {
    fn name(&self) -> &str {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.channels
    }

    async fn send(&self, message: &Message) -> Outcome {
        let Address::Email(recipient) = &message.address else {
            return Outcome::BadRequest { reason: "a mail needs an e-mail address".into() };
        };
        match self.compose(message, recipient).await {
            Ok(mail) => self.deliver(recipient, &mail).await,
            Err(reason) => Outcome::BadRequest { reason: reason.into() },
        }
    }

    async fn check(&self) -> Result<(), String> {
        let mut connection = self.open().await.map_err(|failure| failure.into_outcome().reason().to_owned())?;
        connection.quit().await;
        Ok(())
    }
}
