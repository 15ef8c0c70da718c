//! Reaches everything that a configuration names, without sending or storing anything: for `fanfare check`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Access, access};

use super::clock::SystemClock;
use super::credentials::{ending, without_receipts};
use super::links;
use crate::archive::place_of;
use crate::clock::{Clock, SharedClock};
use crate::config::{Config, CoordinationBackend, LogBackend, StoreBackend};
use crate::coordination::RedisCoordination;
use crate::log::KafkaAdmin;
use crate::providers::{self, BuildContext, Guard, Sandbox, SharedProvider};
use crate::rendering::Renderer;
use crate::store::CqlStore;

/// The longest one provider may take.
const REACH_WAIT_MAX: Duration = Duration::from_secs(15);

/// What was tried, and what came of it, in the order of the data.
pub async fn reach(config: &Config) -> Vec<(String, Result<(), String>)> {
    let mut reached = Vec::new();
    if config.log.backend == LogBackend::Kafka {
        match KafkaAdmin::new(&config.log) {
            Ok(admin) => reached.extend(admin.check().await),
            Err(error) => reached.push(("Kafka".to_owned(), Err(error.to_string()))),
        }
    }
    if config.store.backend == StoreBackend::Cql {
        let found = CqlStore::check(&config.store.cql, Arc::new(SystemClock)).await;
        let nodes = config.store.cql.nodes.join(", ");
        reached.push(match found {
            Ok(database) => (format!("the store in {database} at `{nodes}`, with its schema"), Ok(())),
            Err(error) => (format!("the store at `{nodes}`"), Err(error.to_string())),
        });
    }
    if config.coordination.backend == CoordinationBackend::Redis {
        let outcome = RedisCoordination::check(&config.coordination.redis).await;
        reached.push(("the coordination `redis`".to_owned(), outcome.map_err(|error| error.to_string())));
    }
    if config.log.backend == LogBackend::Embedded {
        let data_dir = &config.store.embedded.data_dir;
        reached.push((format!("the embedded log and store in `{}`", data_dir.display()), data_dir_is_usable(data_dir)));
    }
    let templates =
        Renderer::new(&config.templates, config.planning.timezone.0.clone()).map(drop).map_err(|error| chain(&error));
    reached.push(("the templates".to_owned(), templates));
    if let Some(outcome) = links::check(config) {
        reached.push(("the secrets of links in messages".to_owned(), outcome.map_err(|error| chain(&error))));
    }
    match place_of(&config.archive, Arc::new(SystemClock)) {
        Ok(None) => {}
        Ok(Some(_)) => reached.push(("where the archive goes, as far as it is written right".to_owned(), Ok(()))),
        Err(reason) => reached.push(("the archive".to_owned(), Err(reason))),
    }
    match build_providers(config) {
        Ok(providers) => {
            for provider in providers {
                let outcome = tokio::time::timeout(REACH_WAIT_MAX, provider.check()).await;
                let outcome = outcome.unwrap_or_else(|_| Err(format!("no answer within {REACH_WAIT_MAX:?}")));
                reached.push((format!("provider `{}`", provider.name()), outcome));
            }
        }
        Err(reason) => reached.push(("the providers".to_owned(), Err(reason))),
    }
    reached
}

/// What works now and will not for long, or does nothing; what cannot be set up is an error of [`reach`].
pub fn warnings(config: &Config) -> Vec<String> {
    let providers = build_providers(config).unwrap_or_default();
    let mut warnings = ending(config, &providers, SystemClock.now());
    warnings.extend(without_receipts(config, &providers));
    warnings
}

fn build_providers(config: &Config) -> Result<Vec<SharedProvider>, String> {
    let clock: SharedClock = Arc::new(SystemClock);
    let context = BuildContext {
        clock: clock.clone(),
        guard: Guard::new(config.security.allow_private_addresses, clock.clone()),
        public_url: config.http.public_url.clone(),
        sandbox: Arc::new(Sandbox::new(clock)),
        inbox: None,
    };
    providers::build_all(&config.providers, &context).map_err(|error| chain(&error))
}

/// It can be written, or be made where it is to be. It is not opened: a running server may have it.
fn data_dir_is_usable(data_dir: &Path) -> Result<(), String> {
    let ancestors = data_dir.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let Some(existing) = ancestors.into_iter().find(|path| path.exists()) else {
        return Err("neither it nor a folder above it exists".to_owned());
    };
    if !existing.is_dir() {
        return Err(format!("`{}` is no folder", existing.display()));
    }
    access(existing, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| format!("`{}` cannot be written: {error}", existing.display()))
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text += &format!(": {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[tokio::test]
    async fn what_can_be_reached_is_told_from_what_cannot() {
        let mut config = crate::config::defaults();
        config.store.embedded.data_dir = "/dev/null/data".into();
        let reached = reach(&config).await;
        assert!(reached[0].1.as_ref().is_err_and(|reason| reason.contains("/dev/null")), "{reached:?}");
        assert!(reached[1..].iter().all(|(_, outcome)| outcome.is_ok()), "{reached:?}");
        assert_eq!(reached.len(), 3);
    }

    #[tokio::test]
    async fn a_place_for_the_archive_that_is_none_is_found_before_it_is_served_with() {
        let mut config = crate::config::defaults();
        config.archive.to = Some("/var/lib/archive".to_owned());
        let reached = reach(&config).await;
        let found = reached.iter().find(|(what, _)| what.contains("archive"));
        let reason = found.and_then(|(_, outcome)| outcome.as_ref().err()).expect("it is refused");
        assert!(reason.contains("folder:"), "{reason}");
    }

    #[tokio::test]
    async fn a_secret_that_no_link_could_be_signed_with_is_found_before_it_is_served_with() {
        let mut config = crate::config::defaults();
        config.security.link_secret = Some(Secret::new("short"));
        let reached = reach(&config).await;
        let found = reached.iter().find(|(what, _)| what.contains("links"));
        let reason = found.and_then(|(_, outcome)| outcome.as_ref().err()).expect("it is refused");
        assert!(!reason.contains("short\""), "{reason}");
    }
}
