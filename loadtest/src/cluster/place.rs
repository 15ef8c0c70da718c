//! Where a cluster runs: its program, its services, its processes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::Args;
use tokio::process::Command;

use super::nodes::Nodes;
use crate::http_client::{Server, Url};
use crate::mock::Listen;
use crate::mock_process::MockHandle;

const CONFIG: &str = include_str!("../../cluster.toml");

#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The engine's program.
    #[arg(long)]
    pub(crate) binary: PathBuf,
    /// Configuration, logs: a new directory below the temporary one otherwise.
    #[arg(long)]
    pub(crate) directory: Option<PathBuf>,
    #[arg(long, env = "FANFARE_TEST_KAFKA", default_value = "127.0.0.1:9092")]
    pub(crate) kafka: String,
    #[arg(long, env = "FANFARE_TEST_CQL", default_value = "127.0.0.1:9042")]
    pub(crate) cql: String,
    #[arg(long, env = "FANFARE_TEST_REDIS", default_value = "127.0.0.1:6379")]
    pub(crate) redis: String,
    /// Engine processes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) nodes: u16,
    /// The API listens here, the engines on the ports after it.
    #[arg(long, default_value = "127.0.0.1:8180")]
    pub(crate) listen: std::net::SocketAddr,
    /// Its API key.
    #[arg(long, env = "FANFARE_KEY", default_value = "dev", hide_env_values = true)]
    pub(crate) key: String,
}

/// All that is there before the first process is started.
pub(crate) struct Ready {
    pub(crate) mock: Arc<MockHandle>,
    pub(crate) listen: Listen,
    pub(crate) nodes: Nodes,
}

impl Place {
    /// Where configuration and logs go; it is there then.
    pub(crate) fn directory(&self) -> Result<PathBuf> {
        let usual = || std::env::temp_dir().join(format!("fanfare-cluster-{}", std::process::id()));
        let directory = self.directory.clone().unwrap_or_else(usual);
        std::fs::create_dir_all(&directory).with_context(|| format!("cannot write to `{}`", directory.display()))?;
        eprintln!("configuration and logs are in `{}`", directory.display());
        Ok(directory)
    }

    /// Starts the mock with these options, and prepares what the processes need.
    pub(crate) async fn prepare(&self, directory: &Path, run: u64, options: &[&str]) -> Result<Ready> {
        let usual = ["--http", "127.0.0.1:9190", "--smtp", "127.0.0.1:2625"];
        let mock = Arc::new(MockHandle::start(&[&usual, options].concat()).await?);
        let listen = mock.stats().await?.listen;
        let config = self.write_config(directory, run, &listen.smtp)?;
        self.apply_schema(&config).await?;
        Ok(Ready { nodes: Nodes::new(self, directory, &config)?, mock, listen })
    }

    pub(crate) fn server(&self) -> Result<Server> {
        Server::new(&Url { authority: self.listen.to_string(), path: "/".into() }, Some(&self.key))
    }

    /// Each run has topics, a group and a keyspace of its own.
    pub(crate) fn write_config(&self, directory: &Path, run: u64, smtp: &str) -> Result<PathBuf> {
        let config = CONFIG
            .replace("KAFKA", &self.kafka)
            .replace("CQL", &self.cql)
            .replace("REDIS", &self.redis)
            .replace("SMTP", smtp)
            .replace("RUN", &Self::name(run));
        let path = directory.join("cluster.toml");
        std::fs::write(&path, config).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(path)
    }

    /// Makes the tables and topics that the processes need.
    pub(crate) async fn apply_schema(&self, config: &Path) -> Result<()> {
        let mut command = Command::new(&self.binary);
        let status = command.args(["schema", "apply", "--config"]).arg(config).status().await;
        ensure!(status.context("cannot run the engine's program")?.success(), "`fanfare schema apply` failed");
        Ok(())
    }

    /// What the topics, the keyspace and the group of a run are called.
    pub(crate) fn name(run: u64) -> String {
        format!("load_{run:x}")
    }
}
