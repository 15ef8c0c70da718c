//! `fanfare-load crash`: kills an engine again and again while it works, and looks for what got lost or came twice.
//! In: a binary. Out: a [`Report`]. The mock is a process of its own and survives. Promised: each notification that
//! counts as accepted was answered as such; a request without an answer is posted again with the same retry key until
//! it is certain.

mod watch;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::args;
use crate::certain::{Load, RunningLoad};
use crate::channel::Channel;
use crate::clock::now_us;
use crate::engine::{EngineCommand, EngineProcess, Merge, Options, Shape, Stamp};
use crate::http_client::{Server, Url};
use crate::merged::Merged;
use crate::mock_process::MockHandle;
use crate::progress::Progress;
use crate::random::Dice;
use crate::settle::{settle, settle_items};
use report::{Report, Round};
use watch::{DeliveryWatch, first_delivery};

/// How long an engine may take to end after SIGTERM.
const END_MAX: Duration = Duration::from_secs(60);

/// How long a request may be refused while the engine is up.
const REFUSED_MAX: Duration = Duration::from_secs(30);

/// The shortest window that can be asked for.
const MERGE_WINDOW_MIN: Duration = Duration::from_secs(1);

/// What the mock still has in its sockets when the engine is dead, it has counted after this.
const ECHO: Duration = Duration::from_millis(100);

/// Kills an engine at random moments under load, and looks for losses and duplicates.
#[derive(Debug, Args)]
pub(crate) struct CrashArgs {
    /// The engine's program.
    #[arg(long)]
    pub(crate) binary: PathBuf,
    /// Its configuration; one with webhook and SMTP providers that end at the mock otherwise.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// For its data and log; a new one below the temporary directory otherwise, removed when all is well.
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where the engine is to listen.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_parser = Url::parse)]
    pub(crate) url: Url,
    /// Its API key.
    #[arg(long, env = "FANFARE_KEY", default_value = "dev", hide_env_values = true)]
    pub(crate) key: String,
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) rounds: u16,
    #[arg(long, value_enum, default_value_t = Shot::Kill)]
    pub(crate) signal: Shot,
    #[arg(long, value_enum, default_value_t = Channels::Both)]
    pub(crate) channel: Channels,
    /// Notifications per second while the engine is up, each a request of its own.
    #[arg(long, default_value = "2000", value_parser = args::rate)]
    pub(crate) rate: f64,
    /// Requests under way at once.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) connections: u16,
    /// The engine runs at least so long before a signal...
    #[arg(long, default_value = "200ms", value_parser = args::duration)]
    pub(crate) run_min: Duration,
    /// ...and at most so long.
    #[arg(long, default_value = "10s", value_parser = args::duration)]
    pub(crate) run_max: Duration,
    /// Fixes the moments of the signals.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The mock recognizes a repeated `webhook-id`.
    #[arg(long)]
    pub(crate) honour_ids: bool,
    /// Time that each delivery takes at the mock: with some, more sends are in flight at a kill.
    #[arg(long, default_value = "0ms")]
    pub(crate) latency: String,
    /// A mock that runs already; without it, one is started on 127.0.0.1:9090 and :2525.
    #[arg(long, value_parser = Url::parse, conflicts_with_all = ["honour_ids", "latency"])]
    pub(crate) mock: Option<Url>,
    /// Sends that the configuration allows to be in flight, over all providers used; 64 for each channel otherwise.
    #[arg(long)]
    pub(crate) in_flight: Option<u64>,
    /// The longest from a provider's answer to its record on the disk: group commit (5 ms) and one fsync.
    #[arg(long, default_value = "20ms", value_parser = args::duration)]
    pub(crate) flush: Duration,
    /// Ask to have notifications merged, by so many keys of as many users in turn; webhooks only. What the messages stand for must
    /// then be what was accepted, each message counted once however often it came. A mock that runs already must have been started
    /// with `--count-items`.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) merge: Option<u64>,
    /// From the first notification of a merged message until it is sent; a whole number of seconds.
    #[arg(long, default_value = "5s", value_parser = args::duration)]
    pub(crate) window: Duration,
    /// How long to wait for deliveries at the end.
    #[arg(long, default_value = "120s", value_parser = args::duration)]
    pub(crate) drain_timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What ends the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shot {
    /// SIGKILL: duplicates up to the bound.
    Kill,
    /// SIGTERM: it must end with exit code 0, without duplicates.
    Term,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Channels {
    Webhook,
    Email,
    /// In turn.
    Both,
}

impl Channels {
    fn all(self) -> &'static [Channel] {
        match self {
            Self::Webhook => &[Channel::Webhook],
            Self::Email => &[Channel::Email],
            Self::Both => &[Channel::Webhook, Channel::Email],
        }
    }
}

/// What all rounds have in common.
struct Test<'a> {
    args: &'a CrashArgs,
    mock: Arc<MockHandle>,
    engine: EngineCommand,
    load: RunningLoad,
    watch: DeliveryWatch,
}

impl CrashArgs {
    /// Whether nothing was lost, and nothing repeated that cannot be explained.
    pub(crate) async fn run(self) -> Result<bool> {
        let (directory, temporary) = match &self.data_dir {
            Some(directory) => (directory.clone(), false),
            None => (std::env::temp_dir().join(format!("fanfare-crash-{}", std::process::id())), true),
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

    async fn measure(&self, directory: &std::path::Path) -> Result<Report> {
        ensure!(self.run_min <= self.run_max, "`--run-min` is above `--run-max`");
        ensure!(
            self.merge.is_none() || self.channel == Channels::Webhook,
            "the mock counts what webhooks stand for: with `--merge` goes `--channel webhook`"
        );
        ensure!(
            self.merge.is_none() || (MERGE_WINDOW_MIN..=watch::FIRST_MAX / 2).contains(&self.window),
            "`--window` is to be from {MERGE_WINDOW_MIN:?} to {:?}: after each restart a delivery is waited for",
            watch::FIRST_MAX / 2
        );
        let mock = Arc::new(self.start_mock().await?);
        mock.reset().await?;
        let stats = mock.stats().await?;
        ensure!(
            self.merge.is_none() || stats.items.is_some(),
            "the mock does not count items: start it with `--count-items`"
        );
        let listen = stats.listen;
        let server = Server::new(&self.url, Some(&self.key))?;
        let config = self.config.as_deref();
        let engine = EngineCommand::new(&self.binary, config, directory, &self.url, &server, &listen.smtp)?;
        let run = now_us();
        let shape = |channel: &Channel| {
            Shape::new(&Options {
                channel: *channel,
                target: format!("http://{}/hook", listen.http),
                priority: "normal".into(),
                users: self.merge,
                template: None,
                merge: self.merge.map(|keys| Merge { keys, window_seconds: self.window.as_secs() }),
                stamp: Stamp::InData,
                run,
            })
        };
        let shapes = self.channel.all().iter().map(shape).collect();
        let load = Load {
            server,
            shapes,
            rate: self.rate,
            connections: usize::from(self.connections),
            run,
            refused_max: REFUSED_MAX,
        };
        let watch = DeliveryWatch::start(Arc::clone(&mock));
        Test { args: self, mock, engine, load: load.start(), watch }.run().await
    }

    async fn start_mock(&self) -> Result<MockHandle> {
        let mut options = MockHandle::USUAL.to_vec();
        options.extend(["--latency", &self.latency]);
        if self.honour_ids {
            options.push("--honour-ids");
        }
        if self.merge.is_some() {
            options.push("--count-items");
        }
        MockHandle::attach_or_start(self.mock.as_ref(), &options).await
    }
}

impl Test<'_> {
    async fn run(self) -> Result<Report> {
        let dice = Dice::new(self.args.seed);
        let mut progress = Progress::new(self.args.json);
        let mut engine = self.engine.start()?;
        engine.ready().await?;
        self.load.set_up(true);
        let mut rounds = Vec::new();
        // Duplicates seen up to each signal, and at the end.
        let mut marks = Vec::new();
        for number in 0..self.args.rounds {
            let text = format!("round {} of {}: {} accepted", number + 1, self.args.rounds, self.load.accepted());
            progress.show(f64::from(number) / f64::from(self.args.rounds), &text);
            let span = self.args.run_max - self.args.run_min;
            tokio::time::sleep(self.args.run_min + span.mul_f64(dice.share())).await;
            let (round, duplicates, next) = self.round(engine).await?;
            rounds.push(round);
            marks.push(duplicates);
            engine = next;
        }

        let tally = self.load.finish().await?;
        let (accepted, wait_max) = (&tally.accepted, self.args.drain_timeout);
        let settlement = match self.args.merge {
            None => settle(&self.mock, accepted, wait_max, &mut progress).await?,
            Some(_) => settle_items(&self.mock, accepted.len(), wait_max + self.args.window, &mut progress).await?,
        };
        let (status, _) = engine.terminate(END_MAX).await?;
        ensure!(status.success(), "the engine ended with {status} after SIGTERM");
        // The last SIGTERM could bring duplicates too.
        let stats = self.mock.stats().await?;
        let total = stats.total();
        marks.push(total.duplicates);
        for (round, pair) in rounds.iter_mut().zip(marks.windows(2)) {
            round.duplicates = pair[1] - pair[0];
        }
        Ok(Report {
            signal: match self.args.signal {
                Shot::Kill => "kill",
                Shot::Term => "term",
            },
            accepted: tally.accepted.len(),
            ambiguous: tally.ambiguous,
            unresolved: tally.unresolved,
            lost: settlement.missing.count(),
            lost_ids: settlement.missing.names(),
            duplicates: total.duplicates,
            unprovoked: marks.first().copied().unwrap_or_default(),
            deduplicated: total.deduplicated,
            merged: self.args.merge.map(|_| Merged::of(&stats)),
            rounds,
        })
    }

    /// Ends the engine and starts it again. The duplicates are those up to the signal.
    async fn round(&self, engine: EngineProcess) -> Result<(Round, u64, EngineProcess)> {
        let ran = engine.started().elapsed();
        let (bound, drain) = match self.args.signal {
            Shot::Kill => {
                let bound = self.in_flight() + (self.watch.peak_rate() * self.args.flush.as_secs_f64()).ceil() as u64;
                engine.kill().await?;
                (bound, None)
            }
            Shot::Term => {
                let (status, drain) = engine.terminate(END_MAX).await?;
                ensure!(status.success(), "the engine ended with {status} after SIGTERM");
                (0, Some(drain))
            }
        };
        // Only now: up to the end, requests were under way.
        self.load.set_up(false);
        tokio::time::sleep(ECHO).await;
        let at_signal = self.mock.stats().await?.total();

        let mut next = self.engine.start()?;
        let ready = next.ready().await?;
        self.load.set_up(true);
        first_delivery(&self.mock, at_signal.accepted + at_signal.deduplicated).await?;
        let first_delivery = next.started().elapsed();
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        let round = Round {
            ran_ms: milliseconds(ran),
            drain_ms: drain.map(milliseconds),
            bound,
            duplicates: 0,
            ready_ms: milliseconds(ready),
            first_delivery_ms: milliseconds(first_delivery),
        };
        Ok((round, at_signal.duplicates, next))
    }

    fn in_flight(&self) -> u64 {
        self.args.in_flight.unwrap_or(64 * self.args.channel.all().len() as u64)
    }
}
