//! `fanfare check`.

use std::path::PathBuf;

use clap::Args;

use crate::{config, runtime};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The configuration; without it the built-in defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Check {
    /// Shows what is in force and reaches everything; an error if something cannot be reached.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let loaded = config::load(self.config.as_deref())?;
        println!("{}", loaded.effective.trim_end());
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        let mut failures = Vec::new();
        for (name, outcome) in runtime::reach(&loaded.config).await {
            match outcome {
                Ok(()) => eprintln!("ok: {name}"),
                Err(reason) => failures.push(format!("{name}: {reason}")),
            }
        }
        anyhow::ensure!(failures.is_empty(), "{}", failures.join("; "));
        Ok(())
    }
}
