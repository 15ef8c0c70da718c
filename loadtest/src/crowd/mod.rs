//! `fanfare-load crowd`: what becomes of one message to very many people. In: a binary, the case, and how many there are. Out: a report.
//! Promised: what is said of the engine is what its API says, asked for one by one, or what a mock was given; never its log.

mod api;
mod campaign;
mod every;
mod host;
mod import;
mod polls;
mod probe;
mod report;
mod scan;
mod series;
mod subject;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::args;
use crate::clock::now_us;
use crate::http_client::{Server, Url};

/// More are told of a subject's event by a campaign; the engine tells fewer at once.
const INLINE_MAX: u64 = 500;

/// Tells very many people, and looks whether each was told once.
#[derive(Debug, Args)]
pub(crate) struct CrowdArgs {
    /// The engine's program.
    #[arg(long)]
    pub(crate) engine: PathBuf,
    #[arg(long, value_enum)]
    pub(crate) case: Case,
    /// With `subject`: who follows it. More than 500.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(INLINE_MAX + 1..=50_000_000))]
    pub(crate) followers: u64,
    /// With `subject`: how often the engine is killed, evenly over those who are told.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(0..=100))]
    pub(crate) kills: u16,
    /// With `subject`: followers that are looked at in the end, evenly spread; all where it is not said.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) check: Option<u64>,
    /// With `campaign` and `scan`: 100,000 and 5,000,000 where it is not said.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=50_000_000))]
    pub(crate) members: Option<u64>,
    /// With `campaign`: the share with a bad address, of which half cannot be taken and the provider refuses half.
    #[arg(long, default_value = "0.01", value_parser = args::share)]
    pub(crate) bad: f64,
    /// With `campaign`: how long it is paused in the middle.
    #[arg(long, default_value = "5s", value_parser = args::duration)]
    pub(crate) pause: Duration,
    /// With `scan`: how many days the members are spread over, evenly.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(4..=3650))]
    pub(crate) days: u64,
    /// Engines. More than one have an API process beside them and share Kafka, a CQL database and Redis; they take the ports after that of
    /// `--url`. Not with `campaign`.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) nodes: u16,
    #[arg(long, env = "FANFARE_TEST_KAFKA", default_value = "127.0.0.1:9092")]
    pub(crate) kafka: String,
    #[arg(long, env = "FANFARE_TEST_CQL", default_value = "127.0.0.1:9042")]
    pub(crate) cql: String,
    #[arg(long, env = "FANFARE_TEST_REDIS", default_value = "127.0.0.1:6379")]
    pub(crate) redis: String,
    /// Where the engine is to listen.
    #[arg(long, default_value = "http://127.0.0.1:18080", value_parser = Url::parse)]
    pub(crate) url: Url,
    /// Its API key.
    #[arg(long, env = "FANFARE_KEY", default_value = "dev", hide_env_values = true)]
    pub(crate) key: String,
    /// With `campaign`: where the control calls of the mock are to come in.
    #[arg(long, default_value = "127.0.0.1:18091")]
    pub(crate) mock: String,
    /// With `campaign`: where its mail server is to listen.
    #[arg(long, default_value = "127.0.0.1:18092")]
    pub(crate) mock_smtp: String,
    /// How long everybody's being told may take.
    #[arg(long, default_value = "1h", value_parser = args::duration)]
    pub(crate) timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Case {
    /// Those who follow a subject, while the engine is killed; and meanwhile the ten who follow another.
    Subject,
    /// The members of an uploaded list with bad addresses; it is paused in the middle.
    Campaign,
    /// Those whose membership ends in three days, found by a schedule.
    Scan,
}

/// What a case gives back.
trait Shown: Display + Serialize {
    /// Whether what was to be shown holds.
    fn holds(&self) -> bool;
}

impl CrowdArgs {
    /// Whether what was to be shown holds.
    pub(crate) async fn run(self) -> Result<bool> {
        ensure!(
            self.case != Case::Campaign || self.nodes == 1,
            "`--case campaign` has one engine: leave out `--nodes`"
        );
        let directory = std::env::temp_dir().join(format!("fanfare-crowd-{}", std::process::id()));
        let (server, run) = (Server::new(&self.url, Some(&self.key))?, now_us());
        let holds = match self.case {
            Case::Subject => self.say(subject::measure(&self, &directory, &server, run).await, &directory),
            Case::Campaign => self.say(campaign::measure(&self, &directory, &server, run).await, &directory),
            Case::Scan => self.say(scan::measure(&self, &directory, &server, run).await, &directory),
        }?;
        if holds {
            std::fs::remove_dir_all(&directory).context("cannot remove the engine's data")?;
        } else {
            eprintln!("data and log of the engine are in `{}`", directory.display());
        }
        Ok(holds)
    }

    fn say(&self, report: Result<impl Shown>, directory: &Path) -> Result<bool> {
        let report = report.with_context(|| format!("data and log of the engine are in `{}`", directory.display()))?;
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(&report)?),
            false => print!("{report}"),
        }
        Ok(report.holds())
    }
}
