//! `fanfare serve`.

use std::path::PathBuf;

use clap::Args;

use crate::config::{self, Roles};
use crate::{runtime, telemetry};

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The configuration; without it the built-in defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What this process does: api, engine or both
    #[arg(long, default_value_t)]
    roles: Roles,
    /// Where the embedded log and store are, instead of `store.embedded.data_dir`
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut loaded = config::load(self.config.as_deref())?;
        telemetry::start_logs(&loaded.config.telemetry)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        if let Some(data_dir) = self.data_dir {
            loaded.config.store.embedded.data_dir = data_dir;
        }
        runtime::run(loaded.config, self.roles).await
    }
}
