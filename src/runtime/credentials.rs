//! When providers' credentials end, and who is to be told.

use std::time::Duration;

use crate::config::{self, Config};
use crate::domain::Timestamp;
use crate::providers::{Provider, SharedProvider};

/// As long before their end it is said: enough to get new ones.
const SAID_BEFORE: Duration = Duration::from_secs(30 * 86_400);

/// When a provider's credentials end: as they say themselves, or as is configured; the earlier one if both do.
pub(super) fn credentials_end(provider: &dyn Provider, settings: &config::Provider) -> Option<Timestamp> {
    let configured = settings.credentials_end.map(|day| day.0);
    let own = provider.credentials_end();
    own.into_iter().chain(configured).min()
}

/// What somebody should do about credentials, one line each.
pub(super) fn ending(config: &Config, providers: &[SharedProvider], now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    for provider in providers {
        let settings = config.providers.iter().find(|settings| settings.name == provider.name());
        let Some(end) = settings.and_then(|settings| credentials_end(&**provider, settings)) else { continue };
        let name = provider.name();
        if end <= now {
            lines.push(format!("provider `{name}`: its credentials ended: replace them"));
        } else if end.since(now) < SAID_BEFORE {
            let days = end.since(now).as_secs() / 86_400;
            lines.push(format!("provider `{name}`: its credentials end in {days} days: replace them before"));
        }
    }
    lines
}

/// Settings about receipts that do nothing, one line each.
pub(super) fn without_receipts(config: &Config, providers: &[SharedProvider]) -> Vec<String> {
    let has_none = |settings: &&config::Provider| {
        let is_it = |provider: &&SharedProvider| provider.name() == settings.name;
        settings.late_receipts.is_some()
            && providers.iter().find(is_it).is_some_and(|provider| provider.receipts().is_none())
    };
    let line = |settings: &config::Provider| {
        format!("provider `{}`: `late_receipts` does nothing: it sends no receipts", settings.name)
    };
    config.providers.iter().filter(has_none).map(line).collect()
}
