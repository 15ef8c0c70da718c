//! `fanfare schema`.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::{config, runtime};

#[derive(Debug, Subcommand)]
pub(super) enum Schema {
    /// Show the CQL that `apply` runs, for who applies it by hand
    Print(Which),
    /// Create the keyspaces and tables that are not there yet; may run again, and in several places at once
    Apply(Which),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The configuration; without it the built-in defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Schema {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Schema::Print(which) => {
                let loaded = config::load(which.config.as_deref())?;
                print!("{}", runtime::print_schema(&loaded.config));
            }
            Schema::Apply(which) => {
                let loaded = config::load(which.config.as_deref())?;
                let applied = runtime::apply_schema(&loaded.config).await.context("cannot apply the schema")?;
                for step in &applied {
                    eprintln!("applied: {step}");
                }
                if applied.is_empty() {
                    eprintln!("the schema is there already");
                }
            }
        }
        Ok(())
    }
}
