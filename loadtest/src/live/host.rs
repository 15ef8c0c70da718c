//! The nodes: one on embedded backends, or several that share Kafka, a CQL database and Redis, each with an API of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::LiveArgs;
use crate::cluster::Place;
use crate::engine::{EngineCommand, EngineProcess, processor_time, resident_of};
use crate::http_client::{Server, Url};

/// The configuration of one node alone.
const ALONE: &str = include_str!("engine.toml");

/// No mail is sent.
const NO_MAIL: &str = "127.0.0.1:9";

/// How long a node may take to end after SIGTERM.
const END_MAX: Duration = Duration::from_secs(60);

pub(super) struct Host {
    commands: Vec<EngineCommand>,
    processes: Vec<Option<EngineProcess>>,
    pub(super) servers: Vec<Server>,
    pub(super) pids: Pids,
}

/// The process of each node; 0 while it is not there.
#[derive(Clone)]
pub(super) struct Pids(Arc<Vec<AtomicU32>>);

impl Pids {
    /// Resident memory of each node in bytes, 0 of one that is not there.
    pub(super) fn resident(&self) -> Vec<u64> {
        self.alive().map(|pid| pid.and_then(|pid| resident_of(pid).ok()).unwrap_or_default()).collect()
    }

    /// What the nodes that are there have used so far.
    pub(super) fn processor_time(&self) -> Duration {
        self.alive().flatten().filter_map(|pid| processor_time(pid).ok()).sum()
    }

    fn alive(&self) -> impl Iterator<Item = Option<u32>> {
        self.0.iter().map(|pid| pid.load(Relaxed)).map(|pid| (pid > 0).then_some(pid))
    }
}

impl Host {
    /// Returns when all nodes are ready.
    pub(super) async fn start(args: &LiveArgs, directory: &Path, run: u64) -> Result<Self> {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot write to `{}`", directory.display()))?;
        let config = match args.nodes {
            1 => write(directory.join("engine.toml"), &realtime(ALONE, args))?,
            _ => shared(args, directory, run).await?,
        };
        let (mut commands, mut servers) = (Vec::new(), Vec::new());
        let listen = args.listen()?;
        for node in 0..args.nodes {
            let mut address = listen;
            address.set_port(listen.port() + node);
            let url = Url { authority: address.to_string(), path: "/".into() };
            let server = Server::new(&url, Some(&args.key))?;
            let data = directory.join(format!("node-{}", node + 1));
            commands.push(EngineCommand::new(&args.engine, Some(&config), &data, &url, &server, "")?);
            servers.push(server);
        }
        let pids = Pids(Arc::new(commands.iter().map(|_| AtomicU32::new(0)).collect()));
        let processes = commands.iter().map(|_| None).collect();
        let mut host = Self { commands, processes, servers, pids };
        for node in 0..host.commands.len() {
            host.start_one(node).await?;
        }
        Ok(host)
    }

    /// How long it takes until the node is ready.
    pub(super) async fn start_one(&mut self, node: usize) -> Result<Duration> {
        let mut process = self.commands[node].start()?;
        let ready = process.ready().await.with_context(|| format!("node {}", node + 1))?;
        self.pids.0[node].store(process.pid().unwrap_or_default(), Relaxed);
        self.processes[node] = Some(process);
        Ok(ready)
    }

    /// SIGKILL; the node is gone when it returns.
    pub(super) async fn kill(&mut self, node: usize) -> Result<()> {
        self.pids.0[node].store(0, Relaxed);
        self.processes[node].take().context("the node does not run")?.kill().await
    }

    pub(super) async fn terminate(self) -> Result<()> {
        for (node, process) in self.processes.into_iter().enumerate() {
            let Some(process) = process else { continue };
            let (status, _) = process.terminate(END_MAX).await?;
            ensure!(status.success(), "node {} ended with {status} after SIGTERM", node + 1);
        }
        Ok(())
    }
}

/// With room for all connections on one node: they go where there is one.
fn realtime(config: &str, args: &LiveArgs) -> String {
    config
        .replace("CONNECTIONS", &(u64::from(args.connections) * 2 + 1000).to_string())
        .replace("PER_USER", &(u32::from(args.per_user) * 2 + 10).to_string())
}

/// The configuration of several nodes, and what they need in the services.
async fn shared(args: &LiveArgs, directory: &Path, run: u64) -> Result<PathBuf> {
    let place = Place {
        binary: args.engine.clone(),
        directory: None,
        kafka: args.kafka.clone(),
        cql: args.cql.clone(),
        redis: args.redis.clone(),
        nodes: args.nodes,
        listen: args.listen()?,
        key: args.key.clone(),
    };
    let path = place.write_config(directory, run, NO_MAIL)?;
    let config = std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let config = config.replace("[security]", &format!("[security]\nlink_secret = \"{run:032x}\""));
    let room = "\n[realtime]\nmax_connections = CONNECTIONS\nmax_connections_per_user = PER_USER\n";
    let path = write(path, &(config + &realtime(room, args)))?;
    place.apply_schema(&path).await?;
    Ok(path)
}

fn write(path: PathBuf, text: &str) -> Result<PathBuf> {
    std::fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(path)
}
