//! `fanfare-load trouble`: what happens around a provider in trouble. In: a binary, the case, and how long all is well, then not,
//! then well again. Out: a [`Report`]. Two mocks are two accounts of one kind of provider, `a` and `b`, of the same weight; only `a` gets into
//! trouble. Promised: the load keeps its rate whatever the engine does, and every figure is counted at the mocks, not by the engine.

mod watch;
mod series;
mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args;
use crate::channel::Channel;
use crate::clock::now_us;
use crate::engine::{Account, EngineCommand, EngineProcess, Options, Shape, Stamp, target};
use crate::http_client::{Server, Url};
use crate::ledger::{Ledger, repeated};
use crate::mock::Kind;
use crate::mock_process::MockHandle;
use crate::progress::Progress;
use crate::run::{Load, Schedule, Sent, TOTAL_MAX};
use crate::settle::{ids, settle_together};
use report::{Outcome, Report};
use watch::{Plan, Watched, watch};

/// How long an engine may take to end after SIGTERM.
const END_MAX: Duration = Duration::from_secs(60);

/// The shortest phase: shares are looked at by the second.
const PHASE_MIN: Duration = Duration::from_secs(3);

/// The lowest rate: one probe of a provider must be less than a twentieth of a second's calls.
const RATE_MIN: f64 = 40.0;

/// How much more than the limit is sent with `--case limit`: enough to meet it, and little of a backlog.
const ABOVE_LIMIT: f64 = 1.2;

/// Gets one of two providers into trouble under load, and shows who took what, how fast, and what it cost.
#[derive(Debug, Args)]
pub(crate) struct TroubleArgs {
    /// The engine's program.
    #[arg(long)]
    pub(crate) engine: PathBuf,
    /// What kind of trouble.
    #[arg(long, value_enum, default_value_t = Case::Fail)]
    pub(crate) case: Case,
    /// The API of both providers; one whose messages either of two accounts takes.
    #[arg(long, value_enum, default_value_t = Kind::Sendgrid)]
    pub(crate) kind: Kind,
    /// Normal notifications per second; 500, and with `--case limit` 1.2 times the limit, where it is not set.
    #[arg(long, value_parser = args::rate)]
    pub(crate) rate: Option<f64>,
    /// Critical notifications per second beside them; none with `--case limit`.
    #[arg(long, default_value = "50", value_parser = args::rate)]
    pub(crate) critical_rate: f64,
    /// How many a second the provider takes with `--case limit`; half of that in the trouble.
    #[arg(long, default_value = "200", value_parser = args::rate)]
    pub(crate) limit: f64,
    /// What its 429s say in `Retry-After`, in seconds; 0 leaves it out.
    #[arg(long, default_value_t = 0)]
    pub(crate) retry_after: u32,
    /// How long all is well: 20 s where it is not set, 60 s with `--case limit`, since a rate is learned slowly.
    #[arg(long, value_parser = args::duration)]
    pub(crate) before: Option<Duration>,
    /// How long the trouble lasts: 30 s, and 60 s with `--case limit`.
    #[arg(long, value_parser = args::duration)]
    pub(crate) trouble: Option<Duration>,
    /// How long the load goes on after it: 40 s, and 120 s with `--case limit`.
    #[arg(long, value_parser = args::duration)]
    pub(crate) after: Option<Duration>,
    /// Time that each delivery takes at the mocks.
    #[arg(long, default_value = "5ms")]
    pub(crate) latency: String,
    /// Where the engine is to listen.
    #[arg(long, default_value = "http://127.0.0.1:18080", value_parser = Url::parse)]
    pub(crate) url: Url,
    /// Its API key.
    #[arg(long, env = "FANFARE_KEY", default_value = "dev", hide_env_values = true)]
    pub(crate) key: String,
    /// Where the mock of provider `a` is to listen.
    #[arg(long, default_value = "127.0.0.1:18091")]
    pub(crate) mock_a: String,
    /// Where that of provider `b` is.
    #[arg(long, default_value = "127.0.0.1:18092")]
    pub(crate) mock_b: String,
    /// The most requests under way at once, for each priority.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) connections: u16,
    /// How long to wait for deliveries at the end.
    #[arg(long, default_value = "300s", value_parser = args::duration)]
    pub(crate) drain_timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What happens to provider `a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Case {
    /// It answers every call with 503.
    Fail,
    /// It answers no call at all.
    Hang,
    /// It is alone and has a limit, which is halved.
    Limit,
}

impl TroubleArgs {
    /// Whether nothing was lost.
    pub(crate) async fn run(self) -> Result<bool> {
        let directory = std::env::temp_dir().join(format!("fanfare-trouble-{}", std::process::id()));
        let report = self.measure(&directory).await;
        let report = report.with_context(|| format!("data and log of the engine are in `{}`", directory.display()))?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print!("{report}");
        }
        if report.holds() {
            std::fs::remove_dir_all(&directory).context("cannot remove the engine's data")?;
        } else {
            eprintln!("data and log of the engine are in `{}`", directory.display());
        }
        Ok(report.holds())
    }

    async fn measure(&self, directory: &Path) -> Result<Report> {
        self.check()?;
        let mocks = self.start_mocks().await?;
        let mocks: Vec<&MockHandle> = mocks.iter().collect();
        let server = Server::new(&self.url, Some(&self.key))?;
        let engine = self.start_engine(directory, &server, &mocks).await?;
        let mut progress = Progress::new(self.json);
        let (sent, watched) = self.load(&server, &mocks, &mut progress).await?;

        let mut accepted = Ledger::default();
        for sent in &sent {
            accepted.add(sent.tally.accepted.ids().iter().copied());
        }
        let missing = settle_together(&mocks, &accepted, self.drain_timeout, &mut progress).await?;
        let duplicates = repeated(&ids(&mocks).await?);
        let mut latencies = Vec::new();
        for mock in &mocks {
            latencies.extend(mock.latencies().await?);
        }
        let (status, _) = engine.terminate(END_MAX).await?;
        ensure!(status.success(), "the engine ended with {status} after SIGTERM");
        let outcome = Outcome {
            accepted: accepted.len(),
            refused: sent.iter().flat_map(|sent| sent.tally.refused.values()).sum(),
            unanswered: sent.iter().map(|sent| sent.tally.unanswered).sum(),
            lost: missing.count(),
            lost_ids: missing.names(),
            duplicates,
        };
        Ok(Report::new(self, &watched, &latencies, outcome))
    }

    fn check(&self) -> Result<()> {
        let channel = Channel::of(self.kind);
        ensure!(
            channel != Channel::Chat && self.kind != Kind::WebPush,
            "a message of kind {} names where it goes, so that no other provider can take it",
            self.kind.name()
        );
        let shortest = self.phases().into_iter().min().unwrap_or_default();
        ensure!(shortest >= PHASE_MIN, "each of `--before`, `--trouble` and `--after` is to be at least {PHASE_MIN:?}");
        ensure!(self.rate() >= RATE_MIN, "the rate is to be at least {RATE_MIN} per second");
        let total = (self.rate() + self.critical_rate) * self.duration().as_secs_f64();
        ensure!(total <= TOTAL_MAX as f64, "{total:.0} notifications are more than {TOTAL_MAX}");
        Ok(())
    }

    /// Of normal notifications.
    fn rate(&self) -> f64 {
        self.rate.unwrap_or(if self.case == Case::Limit { ABOVE_LIMIT * self.limit } else { 500.0 })
    }

    /// How long each lasts: before, in and after the trouble.
    fn phases(&self) -> [Duration; 3] {
        let usual = if self.case == Case::Limit { [60, 60, 120] } else { [20, 30, 40] };
        let [before, trouble, after] = usual.map(Duration::from_secs);
        [self.before.unwrap_or(before), self.trouble.unwrap_or(trouble), self.after.unwrap_or(after)]
    }

    fn duration(&self) -> Duration {
        self.phases().iter().sum()
    }

    /// The mock in trouble first.
    async fn start_mocks(&self) -> Result<Vec<MockHandle>> {
        let addresses = [&self.mock_a, &self.mock_b];
        let used = if self.case == Case::Limit { &addresses[..1] } else { &addresses[..] };
        let mut mocks = Vec::new();
        for address in used {
            let options = ["--http", address, "--smtp", "127.0.0.1:0", "--latency", &self.latency];
            let options = [&options[..], &["--latency-from-body", "--list-latencies"]].concat();
            mocks.push(MockHandle::start(&options).await?);
        }
        mocks[0].behave(&self.behaviour(false)).await?;
        Ok(mocks)
    }

    /// That of provider `a`.
    fn behaviour(&self, in_trouble: bool) -> Value {
        let rate = f64::from(u8::from(in_trouble));
        match self.case {
            Case::Fail => json!({ "error_rate": rate }),
            Case::Hang => json!({ "hang_rate": rate }),
            Case::Limit => {
                json!({ "limit_per_second": self.limit_in_force(in_trouble), "retry_after_s": self.retry_after })
            }
        }
    }

    fn limit_in_force(&self, in_trouble: bool) -> f64 {
        if in_trouble { self.limit / 2.0 } else { self.limit }
    }

    async fn start_engine(&self, directory: &Path, server: &Server, mocks: &[&MockHandle]) -> Result<EngineProcess> {
        let mut listens = Vec::new();
        for mock in mocks {
            listens.push(mock.stats().await?.listen);
        }
        let accounts = listens.iter().zip(["a", "b"]);
        let accounts: Vec<_> = accounts.map(|(listen, name)| Account { name, mock: &listen.http }).collect();
        let command = EngineCommand::new(&self.engine, None, directory, &self.url, server, &listens[0].smtp)?;
        let mut engine = command.with_only(self.kind, &accounts)?.start()?;
        engine.ready().await?;
        Ok(engine)
    }

    /// Sends, and watches meanwhile.
    async fn load(
        &self,
        server: &Server,
        mocks: &[&MockHandle],
        progress: &mut Progress,
    ) -> Result<(Vec<Sent>, Watched)> {
        let run = now_us();
        let load = |priority: &str, rate, stamp, run| Load {
            server: server.clone(),
            shape: Shape::new(&Options {
                channel: Channel::of(self.kind),
                target: target(Some(self.kind), &self.mock_a),
                priority: priority.to_owned(),
                users: None,
                template: None,
                stamp,
                merge: None,
                run,
            }),
            schedule: Schedule::new(rate, self.duration()),
            batch: 1,
            connections: usize::from(self.connections),
            warmup: Duration::ZERO,
            later: None,
        };
        // Only what is critical is stamped: the mocks so time nothing else. Their users differ by the number of the run.
        let normal = load("normal", self.rate(), Stamp::Nowhere, run);
        let critical = load("critical", self.critical_rate, Stamp::InText, run + 1);
        let plan = Plan { phases: self.phases(), begin: self.behaviour(true), end: self.behaviour(false) };
        let watching = watch(mocks, &plan);
        if self.case == Case::Limit {
            let (normal, watched) = tokio::try_join!(normal.send(progress, async {}), watching)?;
            return Ok((vec![normal], watched));
        }
        // One line tells how far it is.
        let mut silent = Progress::new(true);
        let normal = normal.send(progress, async {});
        let (normal, critical, watched) = tokio::try_join!(normal, critical.send(&mut silent, async {}), watching)?;
        Ok((vec![normal, critical], watched))
    }
}

#[cfg(test)]
mod tests;
