//! The run: tokens, connections, load, maybe a kill, and the wait until everything has come.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::task::JoinSet;

use super::door::{Doors, Node};
use super::figures::{Counts, Latencies, whole_at};
use super::host::Host;
use super::memory::{Watch, memory};
use super::people::People;
use super::presence::{self, Looked};
use super::program::{self, Crowd};
use super::report::{Killed, Report};
use super::sender::{Load, intended_us};
use super::tally::Tally;
use super::{LiveArgs, limits};
use crate::progress::Progress;
use crate::random::Dice;
use crate::run::Schedule;

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Calls for tokens under way at once.
const TOKEN_CALLS: u32 = 16;

/// The longest until everybody is connected.
const CONNECT_MAX: Duration = Duration::from_secs(180);

/// Before memory is looked at: what was allocated on the way is given back.
const SETTLE: Duration = Duration::from_secs(3);

/// One of several nodes is started again so long after it was killed.
const AWAY: Duration = Duration::from_secs(10);

/// Users who are asked about besides those who leave.
const ASKED: u32 = 500;

/// How long it may take until presence is right: before the load, and of who was on a node that died.
const ONLINE_MAX: Duration = Duration::from_secs(30);
const OFFLINE_MAX: Duration = Duration::from_secs(60);

pub(super) async fn measure(args: &LiveArgs, directory: &Path, run: u64) -> Result<Report> {
    let people = args.people();
    limits::allow(people.connections())?;
    let host = Host::start(args, directory, run).await?;
    let schedule = Schedule::new(args.rate / f64::from(args.batch), args.seconds());
    let crowd = Arc::new(crowd(args, people, &host, schedule, run)?);
    let mut measuring = Measuring { args, people, host, crowd, progress: Progress::new(args.json) };

    let began = Instant::now();
    let tokens = measuring.tokens().await?;
    let token_seconds = began.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let before: u64 = measuring.host.pids.resident().iter().sum();
    let began = Instant::now();
    let programs = measuring.connect(tokens).await?;
    let connect_seconds = began.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLE).await;
    let connected: u64 = measuring.host.pids.resident().iter().sum();
    let online = measuring.online((0..people.leaving).chain(people.sample(ASKED)).collect()).await?;

    let watch = Watch::start(measuring.host.pids.clone());
    let loaded = measuring.load(schedule, run).await?;
    let samples = watch.samples();
    drop(watch);
    let online_after = measuring.online(people.sample(ASKED)).await?;
    drop(programs);
    measuring.progress.finish();
    let Measuring { host, crowd, .. } = measuring;
    host.terminate().await?;

    let Loaded { killed, dead, processor_share, drain_seconds } = loaded;
    let door = (people.nodes > 1).then_some(0);
    let tally = crowd.tally();
    let first_error = crowd.first_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Report {
        nodes: args.nodes,
        users: people.users,
        connections: people.connections(),
        rate: args.rate,
        seconds: args.seconds,
        token_seconds,
        connect_seconds,
        before_bytes: before,
        connected_bytes: connected,
        per_connection_bytes: connected.saturating_sub(before) / u64::from(people.connections()).max(1),
        memory: memory(&samples, usize::from(args.nodes)),
        processor_share,
        samples,
        online,
        online_after,
        counts: Counts::of(&tally),
        latencies: Latencies::of(&tally, dead.as_ref(), door)?,
        drain_seconds,
        killed,
        dropped: crowd.dropped.load(Relaxed),
        resyncs: crowd.resyncs.load(Relaxed),
        wrong: crowd.wrong.load(Relaxed),
        failed_connects: crowd.failed.load(Relaxed),
        first_error,
    })
}

fn crowd(args: &LiveArgs, people: People, host: &Host, schedule: Schedule, run: u64) -> Result<Crowd> {
    let (batch, listen) = (u64::from(args.batch), args.listen()?);
    let nodes = (0..).zip(&host.servers).map(|(node, server)| {
        let mut address = listen;
        address.set_port(listen.port() + node);
        Node::new(server, address.to_string())
    });
    let tally = Tally::new(&people, schedule.count() * batch, run, |number| intended_us(&schedule, batch, number));
    Ok(Crowd {
        people,
        doors: Doors::new(nodes.collect(), args.opening),
        began: Instant::now(),
        tally: Mutex::new(tally),
        connected: AtomicU64::new(0),
        again: AtomicU64::new(0),
        killed: AtomicBool::new(false),
        dropped: AtomicU64::new(0),
        resyncs: AtomicU64::new(0),
        wrong: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        first_error: Mutex::new(None),
        dice: Dice::new(run ^ 1),
        jitter: args.jitter,
        read_share: args.read_share,
    })
}

/// What came of the load.
struct Loaded {
    killed: Option<Killed>,
    /// From the kill until everybody was connected again and nothing was missing, in the tally's time.
    dead: Option<std::ops::Range<u64>>,
    /// Of one core, while the load ran; none with a kill.
    processor_share: Option<f64>,
    /// From the end of the load until everything had come, or nobody waited any longer.
    drain_seconds: f64,
}

struct Measuring<'a> {
    args: &'a LiveArgs,
    people: People,
    host: Host,
    crowd: Arc<Crowd>,
    progress: Progress,
}

impl Measuring<'_> {
    /// One for each user.
    async fn tokens(&mut self) -> Result<Vec<String>> {
        let mut calls = JoinSet::new();
        for worker in 0..TOKEN_CALLS {
            let crowd = self.crowd.clone();
            calls.spawn(async move {
                let mut tokens = Vec::new();
                for user in (worker..crowd.people.users).step_by(TOKEN_CALLS as usize) {
                    let node = &crowd.doors.nodes[(user % crowd.people.nodes) as usize];
                    tokens.push((user, node.token(user).await?));
                }
                Ok::<_, anyhow::Error>(tokens)
            });
        }
        let mut tokens = Vec::new();
        while let Some(ended) = calls.join_next().await {
            tokens.extend(ended.context("a call for tokens broke off")??);
        }
        tokens.sort_unstable_by_key(|(user, _)| *user);
        Ok(tokens.into_iter().map(|(_, token)| token).collect())
    }

    /// Opens all connections, which stay until what is given back is dropped.
    async fn connect(&mut self, tokens: Vec<String>) -> Result<JoinSet<()>> {
        let mut programs = JoinSet::new();
        for connection in 0..self.people.connections() {
            let token = tokens[self.people.user_of(connection) as usize].clone();
            programs.spawn(program::run(self.crowd.clone(), connection, token));
        }
        let all = u64::from(self.people.connections());
        ensure!(self.connected(all, 0).await, "only {} of {all} are connected: {:?}", self.now(), self.first_error());
        Ok(programs)
    }

    fn now(&self) -> u64 {
        self.crowd.connected.load(Relaxed)
    }

    fn first_error(&self) -> Option<String> {
        self.crowd.first_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many are connected, and so many were connected again; whether they are.
    async fn connected(&mut self, all: u64, again: u64) -> bool {
        let began = Instant::now();
        while self.now() < all || self.crowd.again.load(Relaxed) < again {
            if began.elapsed() > CONNECT_MAX {
                return false;
            }
            self.progress.show(self.now() as f64 / all as f64, &format!("{} of {all} connected", self.now()));
            tokio::time::sleep(LOOK_EVERY).await;
        }
        true
    }

    async fn online(&self, users: Vec<u32>) -> Result<Looked> {
        presence::until(&self.host.servers[0], users, true, Instant::now(), ONLINE_MAX).await
    }

    async fn load(&mut self, schedule: Schedule, run: u64) -> Result<Loaded> {
        let load = Load {
            server: self.host.servers[0].clone(),
            schedule,
            batch: u64::from(self.args.batch),
            senders: usize::from(self.args.senders),
            give_up: self.args.timeout,
            run,
        };
        let (began, used) = (Instant::now(), self.host.pids.processor_time());
        let mut sending = JoinSet::new();
        sending.spawn(load.send(self.crowd.clone()));
        let (mut killed, mut dead) = (None, None);
        if self.args.kill {
            self.show_until(began + self.args.seconds() / 2).await;
            let (found, time) = self.kill(began).await?;
            (killed, dead) = (Some(found), Some(time));
        }
        self.show_until(began + self.args.seconds()).await;
        sending.join_next().await.context("the load has not begun")?.context("the load broke off")??;
        let used = self.host.pids.processor_time().saturating_sub(used);
        let processor_share = killed.is_none().then_some(used.as_secs_f64() / began.elapsed().as_secs_f64());
        let drain_seconds = self.drain().await;
        if let (Some(killed), Some(dead)) = (&mut killed, &mut dead) {
            let whole = whole_at(&self.crowd.tally(), dead.end);
            killed.whole_seconds = whole.map(|whole| whole.saturating_sub(dead.start) as f64 / 1e6);
            // What waited behind that was touched too.
            dead.end = dead.end.max(whole.unwrap_or_default());
        }
        Ok(Loaded { killed, dead, processor_share, drain_seconds })
    }

    async fn show_until(&mut self, until: Instant) {
        while Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            tokio::time::sleep(left.min(Duration::from_secs(1))).await;
            let (outstanding, now) = (self.crowd.tally().outstanding(), self.now());
            let share = 1.0 - left.as_secs_f64() / self.args.seconds().as_secs_f64().max(1.0);
            self.progress.show(share, &format!("{now} connected, {outstanding} on their way"));
        }
    }

    async fn drain(&mut self) -> f64 {
        let began = Instant::now();
        while began.elapsed() < self.args.timeout {
            let outstanding = self.crowd.tally().outstanding();
            if outstanding == 0 {
                break;
            }
            self.progress.show(1.0, &format!("{outstanding} on their way"));
            tokio::time::sleep(LOOK_EVERY * 10).await;
        }
        let seconds = began.elapsed().as_secs_f64();
        // What comes once more is to be seen.
        tokio::time::sleep(SETTLE).await;
        seconds
    }

    /// Kills a node, and waits until everybody who stays is connected again and it is there again.
    async fn kill(&mut self, began: Instant) -> Result<(Killed, std::ops::Range<u64>)> {
        let victim = self.people.victim as usize;
        self.crowd.killed.store(true, Relaxed);
        let (killed, killed_us) = (Instant::now(), self.crowd.now_us());
        self.host.kill(victim).await?;
        let leaving = (0..self.people.leaving).collect();
        let server = self.host.servers[0].clone();
        let gone = tokio::spawn(async move { presence::until(&server, leaving, false, killed, OFFLINE_MAX).await });
        let is_alone = self.people.nodes == 1;
        let mut ready_seconds = 0.0;
        if is_alone {
            ready_seconds = self.host.start_one(victim).await?.as_secs_f64();
        }
        let again = self.people.on_victim() - (self.people.leaving * self.people.per_user) as usize;
        let is_whole = self.connected(u64::from(self.people.staying()), again as u64).await;
        let (connected_seconds, again_us) = (killed.elapsed().as_secs_f64(), self.crowd.now_us());
        if !is_alone {
            tokio::time::sleep(AWAY.saturating_sub(killed.elapsed())).await;
            ready_seconds = self.host.start_one(victim).await?.as_secs_f64();
        }
        let found = Killed {
            at_seconds: (killed - began).as_secs_f64(),
            node: victim + 1,
            thrown_out: self.people.on_victim(),
            ready_seconds,
            connected_seconds: is_whole.then_some(connected_seconds),
            whole_seconds: None,
            offline: gone.await.context("the looks at presence broke off")??,
        };
        Ok((found, killed_us..again_us))
    }
}
