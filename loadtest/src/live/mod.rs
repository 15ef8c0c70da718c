//! `fanfare-load live`: very many programs that are connected by WebSockets, and messages in the product that come to them. In: a binary, how
//! many connections, and a rate. Out: a report. Promised: a message counts as come when a program has read it from its connection, and its
//! latency leaves out no time that its request had to wait for its turn.

mod door;
mod figures;
mod frames;
mod host;
mod limits;
mod measure;
mod memory;
mod people;
mod presence;
mod program;
mod report;
mod sender;
mod tally;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::args;
use crate::clock::now_us;
use crate::http_client::Url;
use people::People;

/// Connects very many programs, sends to their users, and looks whether everything came.
#[derive(Debug, Args)]
pub(crate) struct LiveArgs {
    /// The engine's program.
    #[arg(long)]
    pub(crate) engine: PathBuf,
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) connections: u32,
    /// Connections of each user, on different nodes where there are several.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) per_user: u16,
    /// Messages a second.
    #[arg(long, default_value = "2000", value_parser = args::rate)]
    pub(crate) rate: f64,
    /// For how long they are sent.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// Messages in a request.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) batch: u16,
    /// Requests under way at once. What has to wait for one of them waits as part of its latency.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub(crate) senders: u16,
    /// Connections that are opened at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub(crate) opening: u16,
    /// Nodes. Several share Kafka, a CQL database and Redis; they take the ports after that of `--url`, and messages are posted to the first.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) nodes: u16,
    /// Kill a node in the middle: the only one, which is started again at once, or the last, which is after ten seconds.
    #[arg(long)]
    pub(crate) kill: bool,
    /// With `--kill`: users on that node who do not connect again. Nothing is sent to them.
    #[arg(long, default_value_t = 0)]
    pub(crate) leave: u32,
    /// The longest that a program waits before it connects again.
    #[arg(long, default_value = "2s", value_parser = args::duration)]
    pub(crate) jitter: Duration,
    /// The share of messages that are also read.
    #[arg(long, default_value = "0", value_parser = args::share)]
    pub(crate) read_share: f64,
    #[arg(long, env = "FANFARE_TEST_KAFKA", default_value = "127.0.0.1:9092")]
    pub(crate) kafka: String,
    #[arg(long, env = "FANFARE_TEST_CQL", default_value = "127.0.0.1:9042")]
    pub(crate) cql: String,
    #[arg(long, env = "FANFARE_TEST_REDIS", default_value = "127.0.0.1:6379")]
    pub(crate) redis: String,
    /// Where the first node is to listen.
    #[arg(long, default_value = "http://127.0.0.1:18980", value_parser = Url::parse)]
    pub(crate) url: Url,
    /// Its API key.
    #[arg(long, env = "FANFARE_KEY", default_value = "dev", hide_env_values = true)]
    pub(crate) key: String,
    /// How long is waited after the load for what has not come.
    #[arg(long, default_value = "2m", value_parser = args::duration)]
    pub(crate) timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl LiveArgs {
    /// Whether what was to be shown holds.
    pub(crate) async fn run(self) -> Result<bool> {
        let users = self.connections / u32::from(self.per_user);
        ensure!(self.leave == 0 || self.kill, "`--leave` says who does not come again after `--kill`");
        ensure!(self.leave < users, "there are {users} users: with `--leave` some must stay");
        let directory = std::env::temp_dir().join(format!("fanfare-live-{}", std::process::id()));
        let kept = || format!("data and logs of the nodes are in `{}`", directory.display());
        let report = measure::measure(&self, &directory, now_us()).await.with_context(kept)?;
        match self.json {
            true => println!("{}", serde_json::to_string_pretty(&report)?),
            false => print!("{report}"),
        }
        match report.holds() {
            true => std::fs::remove_dir_all(&directory).context("cannot remove the data of the nodes")?,
            false => eprintln!("{}", kept()),
        }
        Ok(report.holds())
    }

    fn people(&self) -> People {
        let (per_user, nodes) = (u32::from(self.per_user), u32::from(self.nodes));
        People { users: self.connections / per_user, per_user, nodes, leaving: self.leave, victim: nodes - 1 }
    }

    fn listen(&self) -> Result<SocketAddr> {
        self.url.authority.parse().context("`--url` is to have an address and a port, as `http://127.0.0.1:18980`")
    }

    fn seconds(&self) -> Duration {
        Duration::from_secs(u64::from(self.seconds))
    }
}
