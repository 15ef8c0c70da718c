//! What is known of the brokers: whether they can be reached, and whether the topics are those that the offsets are of.
//!
//! Written by the callbacks of all clients, read by whoever asks whether the log can be written.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::locked;
use crate::log::LogError;

#[derive(Debug, Default)]
pub(super) struct Contact {
    /// Set where the clients say that no broker answers, cleared by whatever succeeds.
    is_down: AtomicBool,
    /// Set for good: a topic is not the one that was read before.
    is_stale: AtomicBool,
    reasons: Mutex<Reasons>,
}

#[derive(Debug, Default)]
struct Reasons {
    /// The last that was heard of a connection.
    connection: Option<(RDKafkaErrorCode, String)>,
    stale: Option<String>,
}

impl Contact {
    /// A client says that something is wrong.
    pub(super) fn heard(&self, error: &KafkaError, text: &str) {
        tracing::debug!(error = text, "kafka");
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.lost(),
            Some(
                code @ (RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::UnsupportedFeature
                | RDKafkaErrorCode::Fatal),
            ) => locked(&self.reasons).connection = Some((code, text.to_owned())),
            _ => {}
        }
    }

    /// No broker answers.
    pub(super) fn lost(&self) {
        if !self.is_down.swap(true, Ordering::Relaxed) {
            tracing::warn!(reason = self.connection().map(|(_, text)| text), "no broker answers");
        }
    }

    /// A broker answered.
    pub(super) fn answered(&self) {
        if self.is_down.load(Ordering::Relaxed) && self.is_down.swap(false, Ordering::Relaxed) {
            tracing::info!("the brokers answer again");
        }
    }

    pub(super) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    /// The last that was heard of a connection.
    pub(super) fn connection(&self) -> Option<(RDKafkaErrorCode, String)> {
        locked(&self.reasons).connection.clone()
    }

    /// A topic is not the one that was read before.
    pub(super) fn stale(&self, reason: String) {
        locked(&self.reasons).stale = Some(reason.clone());
        // Said once: whoever reads on finds it again and again.
        if !self.is_stale.swap(true, Ordering::Relaxed) {
            tracing::error!("{reason}");
        }
    }

    /// Whether records may be appended at all: where ids would come a second time, none is.
    pub(super) fn usable(&self) -> Result<(), LogError> {
        if !self.is_stale.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(LogError::Failed(locked(&self.reasons).stale.clone().unwrap_or_default()))
    }

    /// Whether an append would be taken now.
    pub(super) fn writable(&self) -> Result<(), LogError> {
        self.usable()?;
        if !self.is_down() {
            return Ok(());
        }
        let last = self.connection().map(|(_, reason)| format!(": {reason}")).unwrap_or_default();
        Err(LogError::Failed(format!("no broker answers: check `log.kafka.brokers`{last}")))
    }
}

/// A line of librdkafka's own log. What it says of connections comes as an error as well, and again and again.
pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, text: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, "kafka: {text}");
        }
        _ => tracing::debug!(facility, "kafka: {text}"),
    }
}

/// The context of a client that has nothing else to tell.
pub(super) struct Plain(pub(super) std::sync::Arc<Contact>);

impl rdkafka::ClientContext for Plain {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log_line(level, facility, text);
    }

    fn error(&self, error: KafkaError, text: &str) {
        self.0.heard(&error, text);
    }
}

impl rdkafka::consumer::ConsumerContext for Plain {}
