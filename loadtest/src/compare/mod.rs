//! `fanfare-load compare`: a bare loop, the engine, and the bare loop again, in one run on one machine. In: a running
//! engine, or a binary to start. Out: three rates and their ratio.

mod burst;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::args;
use crate::bare::BareLoop;
use crate::channel::Channel;
use crate::clock::now_us;
use crate::engine::{
    Account, EngineCommand, EngineProcess, Options, PROVIDER, ResidentSampler, Shape, Stamp, processor_time, target,
};
use crate::http_client::{Server, Url};
use crate::mock::Kind;
use crate::mock_process::MockHandle;
use crate::progress::Progress;
use crate::settle::settle;
use burst::Burst;
use report::{Engine, Processor, Report};

/// The longest that a started engine may take to end.
const END_MAX: Duration = Duration::from_secs(30);

/// Compares an engine with bare loops, measured in the same run.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// The engine.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_parser = Url::parse)]
    pub(crate) url: Url,
    /// Its API key.
    #[arg(long, env = "FANFARE_KEY", default_value = "dev", hide_env_values = true)]
    pub(crate) key: String,
    /// Start this program as the engine, at the address of `--url`, with data of its own.
    #[arg(long)]
    pub(crate) engine: Option<PathBuf>,
    /// The configuration of a started engine; one with webhook and SMTP providers that end at the mock otherwise.
    #[arg(long, requires = "engine")]
    pub(crate) config: Option<PathBuf>,
    /// How many deliveries, for each of the three.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=20_000_000))]
    pub(crate) count: u64,
    #[arg(long, value_enum, default_value_t = Channel::Webhook)]
    pub(crate) channel: Channel,
    /// By the API of a provider of this kind: a started engine gets one that ends at the mock. Another must have one named `load`
    /// (chats are addressed by it) and no other of its channel.
    #[arg(long, value_enum, conflicts_with = "channel")]
    pub(crate) kind: Option<Kind>,
    /// Notifications in a request.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) batch: u16,
    /// Connections that requests are posted over.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) posters: u16,
    /// Connections of the bare loops, each with one delivery under way; over HTTP/2 deliveries under way on one connection.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) connections: u16,
    #[arg(long, default_value = "normal")]
    pub(crate) priority: String,
    /// A mock that runs already; without it, one is started on 127.0.0.1:9090 and :2525.
    #[arg(long, value_parser = Url::parse)]
    pub(crate) mock: Option<Url>,
    /// The engine's process id, for its memory and processor time; known when it is started here.
    #[arg(long, conflicts_with = "engine")]
    pub(crate) pid: Option<u32>,
    /// How long the engine may refuse everything, and how long to wait for deliveries once all is accepted.
    #[arg(long, default_value = "120s", value_parser = args::duration)]
    pub(crate) drain_timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl CompareArgs {
    /// Whether nothing was lost.
    pub(crate) async fn run(self) -> Result<bool> {
        let report = self.measure().await?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print!("{report}");
        }
        Ok(report.engine.lost == 0)
    }

    async fn measure(&self) -> Result<Report> {
        let mock = MockHandle::attach_or_start(self.mock.as_ref(), &MockHandle::USUAL).await?;
        let server = Server::new(&self.url, Some(&self.key))?;
        let mut progress = Progress::new(self.json);
        progress.show(0.0, "bare loop, before");
        let bare_before = self.bare(&mock).await?;
        progress.show(0.2, "starting the engine");
        let directory = std::env::temp_dir().join(format!("fanfare-compare-{}", std::process::id()));
        let started = self.start_engine(&directory, &server, &mock).await?;
        let pid = self.pid.or_else(|| started.as_ref().and_then(EngineProcess::pid));
        let engine = self.engine(&mock, &server, pid, &mut progress).await?;
        if let Some(started) = started {
            let (status, _) = started.terminate(END_MAX).await?;
            ensure!(status.success(), "the engine ended with {status}: see `{}`", directory.display());
            if engine.lost == 0 {
                std::fs::remove_dir_all(&directory).context("cannot remove the engine's data")?;
            } else {
                eprintln!("data and log of the engine are in `{}`", directory.display());
            }
        }
        progress.show(0.8, "bare loop, after");
        let bare_after = self.bare(&mock).await?;
        progress.finish();
        Ok(Report::new(self.channel(), self.kind, self.count, bare_before, engine, bare_after))
    }

    fn channel(&self) -> Channel {
        self.kind.map_or(self.channel, Channel::of)
    }

    /// The rate of a bare loop.
    async fn bare(&self, mock: &MockHandle) -> Result<f64> {
        mock.reset().await?;
        let listen = mock.stats().await?.listen;
        let bare = BareLoop { count: self.count, connections: usize::from(self.connections) };
        let elapsed = match (self.kind, self.channel) {
            (Some(kind), _) => bare.messages(kind, &listen.http).await?,
            (None, Channel::Webhook) => bare.webhooks(&Url { authority: listen.http, path: "/hook".into() }).await?,
            (None, Channel::Email) => bare.mails(&listen.smtp).await?,
            (None, _) => bail!("`--channel` is webhook or email; for the others say which `--kind` of provider"),
        };
        Ok(self.count as f64 / elapsed.as_secs_f64())
    }

    async fn start_engine(
        &self,
        directory: &std::path::Path,
        server: &Server,
        mock: &MockHandle,
    ) -> Result<Option<EngineProcess>> {
        let Some(binary) = &self.engine else { return Ok(None) };
        let listen = mock.stats().await?.listen;
        let mut command =
            EngineCommand::new(binary, self.config.as_deref(), directory, &self.url, server, &listen.smtp)?;
        if let (Some(kind), None) = (self.kind, &self.config) {
            command = command.with_only(kind, &[Account { name: PROVIDER, mock: &listen.http }])?;
        }
        let mut process = command.start()?;
        process.ready().await.with_context(|| format!("its log is `{}`", command.log().display()))?;
        Ok(Some(process))
    }

    async fn engine(
        &self,
        mock: &MockHandle,
        server: &Server,
        pid: Option<u32>,
        progress: &mut Progress,
    ) -> Result<Engine> {
        mock.reset().await?;
        let listen = mock.stats().await?.listen;
        let shape = Shape::new(&Options {
            channel: self.channel(),
            target: target(self.kind, &listen.http),
            priority: self.priority.clone(),
            users: None,
            template: None,
            merge: None,
            stamp: Stamp::InData,
            run: now_us(),
        });
        let burst = Burst {
            server: server.clone(),
            shape,
            count: self.count,
            batch: u64::from(self.batch),
            refused_max: self.drain_timeout,
        };
        let processor = |pid: Option<u32>| pid.and_then(|pid| processor_time(pid).ok());
        let processes = [pid, mock.pid(), Some(std::process::id())];
        let before = processes.map(processor);
        let resident = ResidentSampler::start(pid, server);
        let first_post_us = now_us();
        let accepted = burst.send(usize::from(self.posters), progress).await?;
        let settlement = settle(mock, &accepted.ledger, self.drain_timeout, progress).await?;
        let resident = resident.finish().await;
        let after = processes.map(processor);
        let used = |at: usize| Some(after[at]?.saturating_sub(before[at]?).as_secs_f64());

        let total = settlement.stats.total();
        let lost = settlement.missing.count();
        let elapsed_ms = total.last_at_ms.saturating_sub(first_post_us / 1000).max(1);
        Ok(Engine {
            rate: (accepted.ledger.len() - lost) as f64 * 1000.0 / elapsed_ms as f64,
            accept_rate: accepted.ledger.len() as f64 / accepted.elapsed.as_secs_f64(),
            accepted: accepted.ledger.len(),
            refused_items: accepted.refused_items,
            pushed_back: accepted.pushed_back,
            unanswered: accepted.unanswered,
            lost,
            lost_ids: settlement.missing.names(),
            duplicates: total.duplicates,
            resident,
            processor_seconds: Processor { engine: used(0), mock: used(1), harness: used(2) },
        })
    }
}

#[cfg(test)]
mod tests;
