//! The channels that can be loaded.

use clap::ValueEnum;
use serde::Serialize;

/// A way out of the engine that the mock stands at the end of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Channel {
    Webhook,
    Email,
}

impl Channel {
    /// As requests name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Email => "email",
        }
    }
}
