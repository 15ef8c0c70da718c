//! The provider `smtp`: hands mail to a server, over connections that are kept open.
//!
//! lettre encodes the messages and reads the addresses. The wire is ours: lettre's pool waits for the answer to each of MAIL,
//! RCPT and DATA, four round trips a mail. Pipelining (RFC 2920) makes that two, and with chunks (RFC 3030) it is one, which is
//! what the rate of a connection depends on. What is in a connection's hands when the caller goes away is dropped with the
//! connection.

mod connection;
mod mail;
mod offers;
mod reply;
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
use mail::{Composer, Mail};
use settings::Settings;

pub(super) struct Smtp {
    name: String,
    channels: Vec<Channel>,
    settings: Settings,
    composer: Composer,
    clock: SharedClock,
    /// Its own: what slow names of webhooks are waited for must hold no mail up.
    names: Names,
    /// Connections that wait for the next mail, the one used last at the end.
    idle: Mutex<Vec<(Connection, Timestamp)>>,
    /// The server offered chunks, and did not know them when they came.
    chunks_failed: AtomicBool,
}

/// A connection that was idle this long is closed: servers close theirs after five minutes (RFC 5321 section 4.5.3.2.7), many
/// much sooner.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Setting a connection up: TCP, TLS, greeting and authentication together.
const OPEN_MAX: Duration = Duration::from_secs(8);

impl Smtp {
    pub(super) fn build(
        settings: &config::Provider,
        channels: Vec<Channel>,
        context: &BuildContext,
    ) -> Result<SharedProvider, String> {
        Ok(Arc::new(Self {
            name: settings.name.clone(),
            channels,
            composer: Composer::new(settings.from.as_deref())?,
            settings: Settings::read(settings)?,
            clock: context.clock.clone(),
            names: Names::of_system(context.clock.clone()),
            idle: Mutex::default(),
            chunks_failed: AtomicBool::new(false),
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
        match tokio::time::timeout(OPEN_MAX, opening).await {
            Ok(Ok(connection)) if self.chunks_failed.load(Relaxed) => Ok(connection.without_chunking()),
            Ok(opened) => opened,
            Err(_) => Err(Failure::NotSent(Outcome::Transient {
                reason: format!("no connection within {OPEN_MAX:?}").into(),
                retry_after: None,
                unreachable: true,
            })),
        }
    }

    /// Sends over a kept connection, or a fresh one. A kept one that turns out closed while it is certain that nothing was
    /// accepted is replaced once.
    async fn deliver(&self, recipient: &str, mail: &Mail) -> Outcome {
        let from = self.composer.sender();
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
        match self.composer.compose(message, recipient, self.clock.now()) {
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
