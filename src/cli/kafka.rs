//! The cluster that a configuration names, for the commands that talk to Kafka itself.

use std::path::PathBuf;

use anyhow::ensure;
use clap::Args;

use crate::config::{self, LogBackend};
use crate::log::KafkaAdmin;

#[derive(Debug, Args)]
pub(super) struct Cluster {
    /// The configuration; without it the built-in defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Cluster {
    pub(super) fn admin(&self) -> anyhow::Result<KafkaAdmin> {
        let log = config::load(self.config.as_deref())?.config.log;
        ensure!(
            log.backend == LogBackend::Kafka,
            "the log is embedded: this command needs `log.backend = \"kafka\"` (name the configuration with --config)"
        );
        Ok(KafkaAdmin::new(&log)?)
    }
}
