//! `fanfare-load track`: opens and clicks of mails while mails are sent. In: a binary and two rates. Out: a report. Promised: what was
//! answered stands in the story of its mail exactly once, or the command fails; latencies leave out no time that a call waited for its turn.

mod collector;
mod load;
mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;

use crate::args;
use crate::clock::now_us;
use crate::engine::{EngineCommand, EngineProcess, Latencies, delivery_latencies};
use crate::http_client::{Client, Server, Url, fetch};
use crate::run::Schedule;
use collector::{Collector, Mail};
use load::{Done, Visitors, send};
use report::{Read, Report, Sending};

const CONFIG: &str = include_str!("engine.toml");

/// How long the engine may take to end after SIGTERM, and mails to arrive.
const WAIT_MAX: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Opens mails and follows their links while others are sent, and looks whether each was noted once.
#[derive(Debug, Args)]
pub(crate) struct TrackArgs {
    /// The engine's program.
    #[arg(long)]
    pub(crate) engine: PathBuf,
    /// Mails whose pixels and links are asked for.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) mails: u32,
    /// Opens and clicks a second.
    #[arg(long, default_value = "5000", value_parser = args::rate)]
    pub(crate) rate: f64,
    /// Mails a second that are sent meanwhile.
    #[arg(long, default_value = "500", value_parser = args::rate)]
    pub(crate) send_rate: f64,
    /// For how long, with opens and clicks and before that without.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// Connections of those who open and click.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub(crate) connections: u16,
    /// Kill the engine in the middle, and start it again at once.
    #[arg(long)]
    pub(crate) kill: bool,
    /// Where the engine is to listen.
    #[arg(long, default_value = "http://127.0.0.1:18990", value_parser = Url::parse)]
    pub(crate) url: Url,
    /// Its API key.
    #[arg(long, env = "FANFARE_KEY", default_value = "dev", hide_env_values = true)]
    pub(crate) key: String,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Mails in a request.
const BATCH: u64 = 10;

impl TrackArgs {
    /// Whether what was to be shown holds.
    pub(crate) async fn run(self) -> Result<bool> {
        let directory = std::env::temp_dir().join(format!("fanfare-track-{}", std::process::id()));
        let kept = || format!("data and log of the engine are in `{}`", directory.display());
        let report = self.measure(&directory).await.with_context(kept)?;
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(&report)?),
            false => print!("{report}"),
        }
        match report.holds() {
            true => std::fs::remove_dir_all(&directory).context("cannot remove the engine's data")?,
            false => eprintln!("{}", kept()),
        }
        Ok(report.holds())
    }

    async fn measure(&self, directory: &Path) -> Result<Report> {
        let run = now_us();
        let (collector, address) = Collector::start().await?;
        let server = Server::new(&self.url, Some(&self.key))?;
        std::fs::create_dir_all(directory).with_context(|| format!("cannot write to `{}`", directory.display()))?;
        let config = directory.join("engine.toml");
        std::fs::write(&config, CONFIG.replace("MAILS", &address)).context("cannot write the configuration")?;
        let command = EngineCommand::new(&self.engine, Some(&config), directory, &self.url, &server, "")?;
        let mut engine = command.start()?;
        engine.ready().await?;
        let mut engine = Some(engine);
        let mails = self.mails(&server, &collector, run).await?;
        let alone = self.sending(&server, run + 1, async { Ok(()) }).await?.0;
        let done: Arc<Vec<Done>> = Arc::new(mails.iter().map(|_| Done::default()).collect());
        let visitors = Visitors {
            server: Server::new(&self.url, None)?,
            schedule: Schedule::new(self.rate, self.seconds()),
            connections: usize::from(self.connections),
            mails: mails.clone(),
            done: done.clone(),
        };
        let visits = async {
            let killing = self.killed(&command, &mut engine);
            let (tracked, killing) = tokio::join!(visitors.go(), killing);
            killing.and(tracked)
        };
        let (together, tracked) = self.sending(&server, run + 2, visits).await?;
        let unrecorded = unrecorded(&server).await?;
        let read = read_back(&server, &mails, &done).await?;
        let engine = engine.context("the engine does not run")?;
        let (status, _) = engine.terminate(WAIT_MAX).await?;
        ensure!(status.success(), "the engine ended with {status} after SIGTERM");
        Ok(Report::new(self, collector.untracked(), alone, together, &tracked, unrecorded, read))
    }

    fn seconds(&self) -> Duration {
        Duration::from_secs(u64::from(self.seconds))
    }

    /// The mails that are opened, as they came.
    async fn mails(&self, server: &Server, collector: &Collector, run: u64) -> Result<Arc<Vec<Mail>>> {
        let requests = u64::from(self.mails).div_ceil(BATCH);
        // As fast as they are taken.
        let schedule = Schedule::new(requests as f64 * 1_000.0, Duration::from_millis(1));
        let accepted = send(server.clone(), schedule, BATCH, run, Arc::default()).await?;
        let began = Instant::now();
        while collector.count() < accepted {
            ensure!(began.elapsed() < WAIT_MAX, "{} of {accepted} mails came", collector.count());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let mails = collector.kept();
        ensure!(!mails.is_empty(), "no mail had a pixel and a link: is this engine's tracking on?");
        Ok(Arc::new(mails))
    }

    /// What sending is like while something else goes on; alone it goes on for the usual time.
    async fn sending<T>(
        &self,
        server: &Server,
        run: u64,
        beside: impl Future<Output = Result<T>>,
    ) -> Result<(Sending, T)> {
        let before = latencies(server).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let schedule = Schedule::new(self.send_rate / BATCH as f64, self.seconds());
        let sender = tokio::spawn(send(server.clone(), schedule, BATCH, run, stop.clone()));
        let (beside, _) = tokio::join!(beside, tokio::time::sleep(self.seconds()));
        // What is behind goes on for a moment.
        tokio::time::sleep(Duration::from_secs(2)).await;
        stop.store(true, Relaxed);
        let accepted = sender.await.context("the sender panicked")??;
        // After a kill everything is counted anew.
        Ok((Sending::new(accepted, &before, &latencies(server).await?), beside?))
    }

    async fn killed(&self, command: &EngineCommand, engine: &mut Option<EngineProcess>) -> Result<()> {
        if !self.kill {
            return Ok(());
        }
        tokio::time::sleep(self.seconds() / 2).await;
        engine.take().context("the engine does not run")?.kill().await?;
        let mut next = command.start()?;
        next.ready().await?;
        *engine = Some(next);
        Ok(())
    }
}

async fn latencies(server: &Server) -> Result<Latencies> {
    let scrape = fetch(server, "/metrics").await?;
    Ok(delivery_latencies(&String::from_utf8_lossy(&scrape)))
}

/// What the engine says that it answered and could not note.
async fn unrecorded(server: &Server) -> Result<u64> {
    let scrape = fetch(server, "/metrics").await?;
    let scrape = String::from_utf8_lossy(&scrape);
    let lost = ["unrecorded", "capped", "gone", "erased", "forged"];
    let is_lost = |line: &&str| {
        line.starts_with("fanfare_tracking_total{") && lost.iter().any(|word| line.contains(&format!("\"{word}\"")))
    };
    let counts = scrape.lines().filter(is_lost).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(counts.sum::<f64>() as u64)
}

/// Holds what the stories say against what was asked and answered.
async fn read_back(server: &Server, mails: &[Mail], done: &[Done]) -> Result<Read> {
    let mut client = Client::new(server);
    let mut read = Read::default();
    for (mail, done) in mails.iter().zip(done) {
        let story = client.fetch(server, &format!("/v1/tasks/{}", mail.task)).await?;
        let story: Value = serde_json::from_slice(&story).context("cannot read a task")?;
        let events = story["events"].as_array().context("a task has no events")?;
        let count = |kind: &str| events.iter().filter(|event| event["type"] == kind).count() as u64;
        read.add(count("opened"), done.opened.load(Relaxed), done.opens.load(Relaxed));
        read.add(count("clicked"), done.clicked.load(Relaxed), done.clicks.load(Relaxed));
    }
    Ok(read)
}
