//! `fanfare-load analytics`: sends messages, tells of them what people might have done, some of it twice and all of it out of order, kills the
//! engine in between, and compares what the analytics say with what was told. In: a binary. Out: a [`Report`]. Promised: everything told was
//! answered, if need be by the engine after the one that was killed.

mod report;
mod told;
mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;

use crate::args;
use crate::clock::now_us;
use crate::engine::{EngineCommand, EngineProcess};
use crate::http_client::{Server, Url, fetch};
use crate::mock_process::MockHandle;
use crate::progress::Progress;
use crate::random::Dice;
use report::Report;
use told::{Told, tell_of};
use work::{Job, Work};

/// The engine's configuration.
const CONFIG: &str = include_str!("engine.toml");
const LOOK_EVERY: Duration = Duration::from_millis(500);
const END_MAX: Duration = Duration::from_secs(60);
/// Notifications in a batch, and receipts in a post.
const BATCH: u64 = 1000;
const POST: usize = 500;
/// Of a thousand events, notifications: the others are told of them.
const SENT_OF_THOUSAND: u64 = 380;

/// Compares what analytics say with what was done.
#[derive(Debug, Args)]
pub(crate) struct AnalyticsArgs {
    /// The engine's program.
    #[arg(long, visible_alias = "engine")]
    pub(crate) binary: PathBuf,
    /// About so many: messages sent, and what is told of them.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1000..))]
    pub(crate) events: u64,
    /// SIGKILLs in between.
    #[arg(long, default_value_t = 3)]
    pub(crate) kills: u64,
    /// Requests under way at once.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) connections: u16,
    /// For its data and log; a new one below the temporary directory otherwise, removed when all is well.
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where the engine is to listen.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_parser = Url::parse)]
    pub(crate) url: Url,
    /// Its API key.
    #[arg(long, env = "FANFARE_KEY", default_value = "dev", hide_env_values = true)]
    pub(crate) key: String,
    /// Where the mock is to listen.
    #[arg(long, default_value = "127.0.0.1:9090")]
    pub(crate) mock: String,
    /// Fixes what is told.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How long to wait until the analytics show it.
    #[arg(long, default_value = "10m", value_parser = args::duration)]
    pub(crate) wait_max: Duration,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl AnalyticsArgs {
    /// Whether the analytics say exactly what was done.
    pub(crate) async fn run(self) -> Result<bool> {
        let (directory, temporary) = match &self.data_dir {
            Some(directory) => (directory.clone(), false),
            None => (std::env::temp_dir().join(format!("fanfare-analytics-{}", std::process::id())), true),
        };
        let report = self.measure(&directory).await;
        let report = report.with_context(|| format!("data and log of the engine are in `{}`", directory.display()))?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print!("{report}");
        }
        if temporary && report.holds() {
            std::fs::remove_dir_all(&directory).context("cannot remove the engine's data")?;
        } else {
            eprintln!("data and log of the engine are in `{}`", directory.display());
        }
        Ok(report.holds())
    }

    async fn measure(&self, directory: &Path) -> Result<Report> {
        let smtp = "127.0.0.1:0";
        let mock = MockHandle::start(&["--http", &self.mock, "--smtp", smtp]).await?;
        let server = Server::new(&self.url, Some(&self.key))?;
        std::fs::create_dir_all(directory).with_context(|| format!("cannot write to `{}`", directory.display()))?;
        let config = directory.join("engine.toml");
        std::fs::write(&config, CONFIG).context("cannot write the engine's configuration")?;
        let command = EngineCommand::new(&self.binary, Some(&config), directory, &self.url, &server, smtp)?;
        let mut engine = command.start()?;
        engine.ready().await?;
        let mut progress = Progress::new(self.json);
        let dice = Dice::new(self.seed);

        let notifications = (self.events * SENT_OF_THOUSAND / 1000).div_ceil(BATCH) * BATCH;
        let target = format!("http://{}/hook", self.mock);
        let jobs = (0..notifications / BATCH).map(|batch| Job::Send { first: batch * BATCH, count: BATCH });
        let work = Work::new(&server, &target, now_us(), jobs.collect());
        let began = Instant::now();
        let kills_at_first = self.kills.min(1);
        engine = self.carry_out(&command, engine, &work, kills_at_first, &mut progress, "sending").await?;
        let tasks = arrived(&mock, notifications, self.wait_max, &mut progress).await?;
        let sent_in = began.elapsed();

        let (told, posts) = tell_of(&tasks, now_us() / 1000, &dice, POST);
        let receipts: usize = posts.iter().map(Vec::len).sum();
        let work = Work::new(&server, &target, now_us(), posts.into_iter().map(Job::Tell).collect());
        let began = Instant::now();
        engine = self.carry_out(&command, engine, &work, self.kills - kills_at_first, &mut progress, "telling").await?;
        let told_in = began.elapsed();
        let (shown, differences) = self.wait_for(&server, &told, &mut progress).await?;
        let (status, _) = engine.terminate(END_MAX).await?;
        ensure!(status.success(), "the engine ended with {status} after SIGTERM");
        Ok(Report {
            notifications,
            receipts,
            events: told.events(),
            kills: self.kills,
            sent_seconds: sent_in.as_secs_f64(),
            told_seconds: told_in.as_secs_f64(),
            shown_seconds: shown.as_secs_f64(),
            told: told.totals().into_iter().map(|(name, count)| (name.to_owned(), count)).collect(),
            differences,
        })
    }

    /// Carries work out to its end, and kills the engine in between.
    async fn carry_out(
        &self,
        command: &EngineCommand,
        mut engine: EngineProcess,
        work: &Arc<Work>,
        kills: u64,
        progress: &mut Progress,
        what: &str,
    ) -> Result<EngineProcess> {
        let all = work.jobs();
        let mut workers = work.start(usize::from(self.connections));
        let mut killed = 0;
        loop {
            let done = work.done.load(Ordering::Relaxed);
            progress.show(done as f64 / all.max(1) as f64, &format!("{what}: {done} of {all} requests"));
            if killed < kills && done * (kills + 1) >= all * (killed + 1) {
                engine.kill().await?;
                engine = command.start()?;
                engine.ready().await?;
                killed += 1;
            }
            if done == all {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        while let Some(ended) = workers.join_next().await {
            ended.context("a worker panicked")??;
        }
        Ok(engine)
    }

    /// Waits until the analytics say what was told; how long that took, and what is still different at the end.
    async fn wait_for(&self, server: &Server, told: &Told, progress: &mut Progress) -> Result<(Duration, Vec<String>)> {
        let began = Instant::now();
        let path =
            format!("/v1/analytics?group_by=hour&start_date={}&end_date={}", told.first_date(), told.last_date());
        loop {
            let answer: Value =
                serde_json::from_slice(&fetch(server, &path).await?).context("cannot read analytics")?;
            let differences = told.differences(&answer);
            if differences.is_empty() || began.elapsed() >= self.wait_max {
                progress.finish();
                return Ok((began.elapsed(), differences));
            }
            progress.show(0.99, &format!("waiting for the analytics: {} counts differ", differences.len()));
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Waits until all notifications have arrived; the ids of their tasks.
async fn arrived(mock: &MockHandle, count: u64, max: Duration, progress: &mut Progress) -> Result<Vec<String>> {
    let began = Instant::now();
    loop {
        let arrived = mock.stats().await?.total().distinct;
        if arrived >= count {
            let ids = mock.ids().await?;
            let ids = std::str::from_utf8(&ids).context("the mock's ids are no text")?;
            return Ok(ids.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect());
        }
        ensure!(began.elapsed() < max, "{arrived} of {count} messages arrived: nothing is shown");
        progress.show(arrived as f64 / count as f64, &format!("waiting for messages: {arrived} of {count}"));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
