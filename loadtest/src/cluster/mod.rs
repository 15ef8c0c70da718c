//! `fanfare-load cluster`: several engines and an API process on Kafka, a CQL database and Redis, maltreated under load.
//! In: a binary, the addresses of the services, and what to do to the nodes. Out: a [`Report`]. Promised: as `crash`, each
//! notification that counts as accepted was answered as such, and is looked for at the mock.

mod faults;
mod nodes;
mod place;
mod report;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use crate::args;
use crate::certain::{Load, RunningLoad};
use crate::channel::Channel;
use crate::clock::now_us;
use crate::engine::{Merge, Options, Shape, Stamp};
use crate::merged::Merged;
use crate::mock_process::MockHandle;
use crate::progress::Progress;
use crate::settle::{settle, settle_items};
pub(crate) use nodes::Nodes;
pub(crate) use place::{Place, Ready};
use report::{Report, Steady};

/// Before a rate is looked at: the bucket's burst is gone.
const WARM_UP: Duration = Duration::from_secs(5);

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Maltreats several engines that share the work, and looks for losses and duplicates.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    #[arg(long, value_enum, default_value_t = Fault::Kill)]
    pub(crate) fault: Fault,
    /// What stops a service, and what starts it again, with `--fault outage`: run by the shell.
    #[arg(long)]
    pub(crate) stop_command: Option<String>,
    #[arg(long)]
    pub(crate) start_command: Option<String>,
    /// Faults, one after the other.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    pub(crate) rounds: u16,
    /// How long a node is stopped, or a service is out.
    #[arg(long, default_value = "45s", value_parser = args::duration)]
    pub(crate) outage: Duration,
    /// Between two faults; after everything that was accepted before the last one has arrived, if that takes longer.
    #[arg(long, default_value = "5s", value_parser = args::duration)]
    pub(crate) pause: Duration,
    /// How long the load goes on without faults (`--fault none`).
    #[arg(long, default_value = "30s", value_parser = args::duration)]
    pub(crate) duration: Duration,
    /// Notifications per second, each a request of its own.
    #[arg(long, default_value = "700", value_parser = args::rate)]
    pub(crate) rate: f64,
    /// Requests under way at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) connections: u16,
    /// Fixes which node is hit.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The mock recognizes a repeated `webhook-id`.
    #[arg(long)]
    pub(crate) honour_ids: bool,
    /// Time that each delivery takes at the mock.
    #[arg(long, default_value = "0ms")]
    pub(crate) latency: String,
    /// Ask to have notifications merged, by so many keys of as many users in turn. What the messages stand for must then be what
    /// was accepted, each message counted once however often it came.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) merge: Option<u64>,
    /// From the first notification of a merged message until it is sent; a whole number of seconds.
    #[arg(long, default_value = "5s", value_parser = args::duration)]
    pub(crate) window: Duration,
    /// How long to wait for deliveries at the end.
    #[arg(long, default_value = "180s", value_parser = args::duration)]
    pub(crate) drain_timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is done to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// Nothing: what it costs.
    None,
    /// SIGKILL of an engine at random, started again when its work was taken over.
    Kill,
    /// SIGSTOP of an engine at random, SIGCONT after `--outage`.
    Stop,
    /// An engine is ended (SIGTERM) or a new one started, in turn, every `--pause`.
    Churn,
    /// A service is stopped for `--outage` by `--stop-command` and `--start-command`.
    Outage,
}

/// A cluster under load.
struct Test<'a> {
    args: &'a ClusterArgs,
    mock: Arc<MockHandle>,
    nodes: Nodes,
    load: RunningLoad,
}

impl ClusterArgs {
    /// Whether nothing was lost.
    pub(crate) async fn run(self) -> Result<bool> {
        ensure!(
            self.fault != Fault::Outage || (self.stop_command.is_some() && self.start_command.is_some()),
            "`--fault outage` needs `--stop-command` and `--start-command`"
        );
        let directory = self.place.directory()?;
        let report = self.measure(&directory).await?;
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(&report)?),
            false => print!("{report}"),
        }
        Ok(report.holds())
    }

    async fn measure(&self, directory: &Path) -> Result<Report> {
        let mut options = vec!["--latency-from-body", "--latency", &self.latency];
        if self.honour_ids {
            options.push("--honour-ids");
        }
        if self.merge.is_some() {
            options.push("--count-items");
        }
        let run = now_us();
        let Ready { mock, listen, mut nodes } = self.place.prepare(directory, run, &options).await?;
        nodes.start_all().await?;
        let shape = Shape::new(&Options {
            channel: Channel::Webhook,
            target: format!("http://{}/hook", listen.http),
            priority: "normal".into(),
            users: self.merge,
            template: None,
            merge: self.merge.map(|keys| Merge { keys, window_seconds: self.window.as_secs() }),
            stamp: Stamp::InData,
            run,
        });
        let load = Load {
            server: self.place.server()?,
            shapes: vec![shape],
            rate: self.rate,
            connections: usize::from(self.connections),
            run,
            refused_max: self.outage + Duration::from_secs(120),
        };
        Test { args: self, mock, nodes, load: load.start() }.run().await
    }
}

impl Test<'_> {
    async fn run(mut self) -> Result<Report> {
        let mut progress = Progress::new(self.args.json);
        self.load.set_up(true);
        let before = self.nodes.processor_time();
        let steady = match self.args.fault {
            Fault::None => Some(self.steady().await?),
            _ => None,
        };
        let rounds = self.faults(&mut progress).await?;
        let tally = self.load.finish().await?;
        let (accepted, wait_max) = (&tally.accepted, self.args.drain_timeout);
        let settlement = match self.args.merge {
            None => settle(&self.mock, accepted, wait_max, &mut progress).await?,
            Some(_) => settle_items(&self.mock, accepted.len(), wait_max + self.args.window, &mut progress).await?,
        };
        let processor_time = self.nodes.processor_time().saturating_sub(before);
        self.nodes.terminate_all().await?;
        let stats = self.mock.stats().await?;
        let total = stats.total();
        Ok(Report {
            fault: self.args.fault,
            nodes: self.args.place.nodes,
            accepted: tally.accepted.len(),
            ambiguous: tally.ambiguous,
            put_off: tally.put_off,
            unresolved: tally.unresolved,
            lost: settlement.missing.count(),
            lost_ids: settlement.missing.names(),
            latest_ms: settlement.stats.latency.map_or(0.0, |latency| latency.max_us as f64 / 1000.0),
            duplicates: total.duplicates,
            deduplicated: total.deduplicated,
            merged: self.args.merge.map(|_| Merged::of(&stats)),
            processor_ms_per_thousand: (self.args.fault == Fault::None)
                .then(|| processor_time.as_secs_f64() * 1e6 / tally.accepted.len().max(1) as f64),
            steady,
            rounds,
        })
    }

    /// Waits, and keeps the connection to the mock, which closes idle ones.
    async fn wait(&self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY.min(until.saturating_duration_since(Instant::now()))).await;
            self.mock.stats().await?;
        }
        Ok(())
    }

    /// Lets the cluster work undisturbed, and looks at how fast it delivers, and who does.
    async fn steady(&self) -> Result<Steady> {
        self.wait(WARM_UP).await?;
        let (began, before) = (Instant::now(), self.mock.stats().await?.total().accepted);
        let sent_before = self.nodes.sent().await?;
        self.wait(self.args.duration).await?;
        let (took, after) = (began.elapsed().as_secs_f64(), self.mock.stats().await?.total().accepted);
        let sent = self.nodes.sent().await?;
        Ok(Steady {
            seconds: took,
            per_second: (after - before) as f64 / took,
            of_each_node: sent.iter().zip(sent_before).map(|(after, before)| (after - before) / took).collect(),
        })
    }
}
