//! What is measured: one engine on embedded backends, or several with an API process on Kafka, a CQL database and Redis.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::CrowdArgs;
use crate::cluster::{Nodes, Place, Ready};
use crate::engine::{EngineCommand, EngineProcess, resident_of};
use crate::http_client::Server;
use crate::mock_process::MockHandle;

/// How long an engine may take to end after SIGTERM.
const END_MAX: Duration = Duration::from_secs(60);

/// The configuration of one engine, which nothing leaves.
const SANDBOX: &str = include_str!("engine.toml");

pub(super) enum Host {
    /// On embedded backends.
    Alone { command: EngineCommand, process: Option<EngineProcess> },
    /// Mails end at the mock.
    Together { nodes: Nodes, mock: Arc<MockHandle> },
}

/// From a kill until the engine was ready again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outage {
    pub(super) began: Instant,
    pub(super) ended: Instant,
}

impl Host {
    /// Returns when it is ready. A mock's mail server takes the place of the sandbox.
    pub(super) async fn start(
        args: &CrowdArgs,
        directory: &Path,
        server: &Server,
        smtp: Option<&str>,
        run: u64,
    ) -> Result<Self> {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot write to `{}`", directory.display()))?;
        if args.nodes > 1 {
            let Ready { mock, mut nodes, .. } = args.place()?.prepare(directory, run, &[]).await?;
            nodes.start_all().await?;
            return Ok(Self::Together { nodes, mock });
        }
        let command = match smtp {
            Some(smtp) => EngineCommand::new(&args.engine, None, directory, &args.url, server, smtp)?,
            None => {
                let config = directory.join("engine.toml");
                std::fs::write(&config, SANDBOX).with_context(|| format!("cannot write `{}`", config.display()))?;
                EngineCommand::new(&args.engine, Some(&config), directory, &args.url, server, "")?
            }
        };
        let mut process = command.start()?;
        process.ready().await?;
        Ok(Self::Alone { command, process: Some(process) })
    }

    /// SIGKILL of the engine, or of one of them in turn, and a start on the same data at once.
    pub(super) async fn kill(&mut self, number: usize) -> Result<Outage> {
        let began = Instant::now();
        match self {
            Self::Alone { command, process } => {
                process.take().context("the engine does not run")?.kill().await?;
                let mut next = command.start()?;
                next.ready().await?;
                *process = Some(next);
            }
            Self::Together { nodes, .. } => {
                let index = number % nodes.engines.len().max(1);
                nodes.kill(index).await?;
                nodes.start(index).await?;
            }
        }
        Ok(Outage { began, ended: Instant::now() })
    }

    /// Resident memory of all processes, in bytes; of one that has just gone nothing.
    pub(super) fn resident(&self) -> u64 {
        match self {
            Self::Alone { process, .. } => {
                let pid = process.as_ref().and_then(EngineProcess::pid);
                pid.and_then(|pid| resident_of(pid).ok()).unwrap_or_default()
            }
            Self::Together { nodes, .. } => nodes.resident(),
        }
    }

    /// The mock closes connections that are idle for long.
    pub(super) async fn keep_alive(&self) -> Result<()> {
        if let Self::Together { mock, .. } = self {
            mock.stats().await?;
        }
        Ok(())
    }

    pub(super) async fn terminate(self) -> Result<()> {
        match self {
            Self::Alone { process, .. } => {
                let process = process.context("the engine does not run")?;
                let (status, _) = process.terminate(END_MAX).await?;
                ensure!(status.success(), "the engine ended with {status} after SIGTERM");
                Ok(())
            }
            Self::Together { mut nodes, .. } => nodes.terminate_all().await,
        }
    }
}

impl CrowdArgs {
    fn place(&self) -> Result<Place> {
        Ok(Place {
            binary: self.engine.clone(),
            directory: None,
            kafka: self.kafka.clone(),
            cql: self.cql.clone(),
            redis: self.redis.clone(),
            nodes: self.nodes,
            listen: self.url.authority.parse().context("`--url` is to have an address and a port with `--nodes`")?,
            key: self.key.clone(),
        })
    }
}
