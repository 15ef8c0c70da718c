//! `fanfare-load drain-check`: compares a list of accepted ids with what a mock has seen.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::args;
use crate::engine::notification;
use crate::http_client::{Server, Url};
use crate::ids::ShortId;
use crate::ledger::Ledger;
use crate::mock_process::MockHandle;
use crate::progress::Progress;
use crate::settle::settle;

/// Waits until a mock has seen all of a list of accepted notifications, and names those that are missing.
#[derive(Debug, Args)]
pub(crate) struct DrainCheckArgs {
    /// The accepted ids, one a line, as `run --ids` writes them.
    #[arg(long)]
    ids: PathBuf,
    /// The mock that took the deliveries.
    #[arg(long, default_value = "http://127.0.0.1:9090", value_parser = Url::parse)]
    mock: Url,
    /// The engine: asked what it knows of the first few that are missing.
    #[arg(long, value_parser = Url::parse)]
    url: Option<Url>,
    /// Its API key.
    #[arg(long, env = "FANFARE_KEY", default_value = "dev", hide_env_values = true)]
    key: String,
    /// How long to wait for what is missing.
    #[arg(long, default_value = "0", value_parser = args::duration)]
    drain_timeout: Duration,
}

impl DrainCheckArgs {
    /// Whether nothing is missing.
    pub(crate) async fn run(self) -> Result<bool> {
        let mut ledger = Ledger::default();
        let context = || format!("cannot read `{}`", self.ids.display());
        for line in std::fs::read_to_string(&self.ids).with_context(context)?.lines() {
            ledger.add([ShortId::new(line.as_bytes()).with_context(|| format!("`{line}` is no id"))?]);
        }
        let mock = MockHandle::attach(&self.mock).await?;
        let settlement = settle(&mock, &ledger, self.drain_timeout, &mut Progress::new(false)).await?;
        let lost = settlement.missing.count();
        println!("accepted     {}", ledger.len());
        println!("lost         {lost}");
        for id in settlement.missing.names() {
            match &self.url {
                None => println!("             {id}"),
                Some(url) => {
                    let server = Server::new(url, Some(&self.key))?;
                    println!("             {id}: {}", notification(&server, &id).await);
                }
            }
        }
        println!("duplicates   {}", settlement.stats.total().duplicates);
        Ok(lost == 0)
    }
}
