//! Runs one world: the nodes, the log's giving away of partitions, and what goes wrong; then all is healed, and it must settle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use fanfare::codec;
use fanfare::domain::{NotificationId, Position, ShardId};
use fanfare::outcomes::Cancellation;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::braking;
use super::log::Told;
use super::merging::{self, Like};
use super::node::{Kit, Node};
use super::oracle::{Oracle, Verdict};
use super::schedule::{Incident, Schedule, request};
use super::world::{Cancelled, World};

/// Longer than everything that may be waited for: leases, retries, late writes.
const SETTLES_WITHIN: Duration = Duration::from_secs(400);
/// How long the log waits for a node that is silent.
const SESSION: (u64, u64) = (3, 10);

/// So many of the last records came late.
const LATE: usize = 6;

/// What is to be done next.
enum Event {
    Incident(Incident),
    Start,
    Resume(usize),
    Tell(usize, Told),
    /// The log takes the partitions of a node that is silent.
    Expel(usize),
    /// Partitions that nobody has are given away.
    GiveAway,
    Calm,
    /// What is paused is resumed, again and again until that is so.
    Release,
    Check,
}

/// What a node says of itself.
enum Word {
    Drained(usize),
    Fatal(usize),
}

struct Drive<'a> {
    world: Arc<World>,
    kit: &'a Kit,
    schedule: Schedule,
    queue: BTreeMap<(Duration, u64), Event>,
    queued: u64,
    nodes: Vec<Node>,
    leaving: Vec<bool>,
    /// When each node was last told something: it hears in order.
    told_at: Vec<Duration>,
    words: mpsc::Sender<Word>,
    oracle: Oracle,
}

/// Runs the world of a seed to its end.
pub async fn run(world: Arc<World>, kit: &Kit) -> anyhow::Result<Verdict> {
    let mut schedule = Schedule::draw(&mut world.rng(), world.variant.is_broken());
    if world.extras.merges {
        schedule.add(merging::draw(&mut world.extra_rng(), &schedule.shards, schedule.rough_for));
    }
    if world.extras.brakes {
        schedule.add(braking::draw(&mut world.extra_rng(), schedule.rough_for));
    }
    let (words, mut heard) = mpsc::channel(1024);
    let oracle = Oracle::new(world.clone());
    let mut drive = Drive {
        world,
        kit,
        schedule,
        queue: BTreeMap::new(),
        queued: 0,
        nodes: Vec::new(),
        leaving: Vec::new(),
        told_at: Vec::new(),
        words,
        oracle,
    };
    drive.begin().await?;
    while let Some(at) = drive.queue.keys().next().copied() {
        let word = tokio::select! {
            biased;
            word = heard.recv() => word,
            () = sleep_until(drive.world.start + at.0) => None,
        };
        match word {
            Some(word) => drive.hear(word),
            None => {
                let Some(event) = drive.queue.remove(&at) else { continue };
                if drive.happen(event).await? {
                    break;
                }
            }
        }
    }
    Ok(drive.oracle.verdict())
}

impl Drive<'_> {
    async fn begin(&mut self) -> anyhow::Result<()> {
        for shard in &self.schedule.shards {
            self.world.topics.all().entry(*shard).or_default();
        }
        for _ in 0..self.schedule.nodes {
            self.start().await?;
        }
        for (at, incident) in std::mem::take(&mut self.schedule.incidents) {
            self.at(at, Event::Incident(incident));
        }
        self.at(Duration::ZERO, Event::GiveAway);
        self.at(self.schedule.rough_for, Event::Calm);
        Ok(())
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.queued += 1;
        self.queue.insert((at, self.queued), event);
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.world.now() + wait, event);
    }

    fn seconds(&self, first: u64, last: u64) -> Duration {
        self.world.rng().seconds(first, last)
    }

    async fn start(&mut self) -> anyhow::Result<()> {
        // Clocks do not agree.
        let base = self.schedule.base + self.world.rng().millis(0, 300);
        let node = Node::start(&self.world, self.kit, base, self.schedule.with_sweep).await?;
        let (number, words, fatal) = (node.host.number, self.words.clone(), node.engine.fatal.clone());
        self.world.note(format_args!("{} starts", node.host.name));
        tokio::spawn(async move {
            fatal.declared().await;
            let _ = words.send(Word::Fatal(number)).await;
        });
        self.nodes.push(node);
        self.leaving.push(false);
        self.told_at.push(Duration::ZERO);
        Ok(())
    }

    /// `true`: the world ends.
    async fn happen(&mut self, event: Event) -> anyhow::Result<bool> {
        match event {
            Event::Incident(incident) => self.befall(incident),
            Event::Start => {
                self.start().await?;
                // The log evens things out.
                let moves = self.world.rng().below(3);
                for _ in 0..moves {
                    self.move_one();
                }
                self.give_away();
            }
            Event::Resume(number) => {
                self.world.note(format_args!("node-{number} goes on"));
                self.nodes[number].host.resume();
            }
            Event::Tell(number, told) => self.nodes[number].tell(told),
            Event::Expel(number) => self.expel(number),
            Event::GiveAway => self.give_away(),
            Event::Calm => self.calm(),
            Event::Release => {
                if self.world.is_braked() {
                    self.brake(false);
                    self.after(Duration::from_secs(2), Event::Release);
                }
            }
            Event::Check => {
                let waited = self.world.now().saturating_sub(self.schedule.rough_for);
                if self.oracle.is_settled() || waited > SETTLES_WITHIN {
                    return Ok(true);
                }
                self.after(Duration::from_secs(2), Event::Check);
            }
        }
        Ok(false)
    }

    fn befall(&mut self, incident: Incident) {
        match incident {
            Incident::Append => self.append(),
            Incident::Kill => {
                if let Some(number) = self.one_that_runs() {
                    self.kill(number);
                }
            }
            Incident::Drain => self.drain(),
            Incident::Pause(lasts) => self.pause(lasts),
            Incident::Move => self.move_one(),
            Incident::Outage { for_all, lasts } => {
                let who = if for_all { None } else { self.one_that_runs() };
                self.world.note(format_args!("the store is out of reach of {who:?} for {lasts:?}"));
                self.world.outages.lock().expect("one thread").insert(who, self.world.now() + lasts);
            }
            Incident::Flush => self.world.claims.lock().expect("one thread").clear(),
            Incident::Like(like) => self.append_like(&like),
            Incident::Cancel => {
                let any = self.world.rng().pick(&self.oracle.records).copied();
                self.cancel(any);
            }
            Incident::Brake { is_on } => self.brake(is_on),
            Incident::CancelLate => {
                let records = &self.oracle.records;
                let any = self.world.rng().pick(&records[records.len().saturating_sub(LATE)..]).copied();
                self.cancel(any);
            }
            Incident::Look => self.oracle.look(),
        }
    }

    fn append(&mut self) {
        let mut rng = self.world.rng();
        let shard = *rng.pick(&self.schedule.shards).expect("there are some");
        let gap = if rng.chance(0.3) { rng.between(0, self.schedule.gap_max) } else { 0 };
        let now = self.schedule.base + self.world.now();
        let mut request = request(&mut rng, self.oracle.records.len(), shard, now);
        drop(rng);
        if self.world.extras.brakes {
            braking::change(&mut self.world.extra_rng(), &mut request, now);
        }
        let position = self.world.topics.append(shard, gap, Bytes::from(codec::encode_request(&request)));
        self.world.note(format_args!(
            "append {shard} {} {:?} after {:?}",
            position.offset,
            request.channels,
            request.deliver_at.map(|at| at.since(now))
        ));
        self.oracle.records.push(position);
    }

    /// Appends a request that is merged.
    fn append_like(&mut self, like: &Like) {
        let now = self.schedule.base + self.world.now();
        let number = self.oracle.records.len();
        let request = merging::like(&mut self.world.extra_rng(), number, like, now);
        let position = self.world.topics.append(like.shard, 0, Bytes::from(codec::encode_request(&request)));
        self.world.note(format_args!("append {} {} as {number}: {like:?}", like.shard, position.offset));
        self.oracle.records.push(position);
    }

    fn is_there(&self, number: usize) -> bool {
        !self.nodes[number].host.is_gone() && !self.leaving[number]
    }

    /// A node that is there, paused or not.
    fn one_that_is_there(&self) -> Option<usize> {
        let there: Vec<usize> = (0..self.nodes.len()).filter(|number| self.is_there(*number)).collect();
        self.world.rng().pick(&there).copied()
    }

    fn one_that_runs(&self) -> Option<usize> {
        let runs = |number: &usize| self.is_there(*number) && self.nodes[*number].host.is_running();
        let run: Vec<usize> = (0..self.nodes.len()).filter(runs).collect();
        self.world.rng().pick(&run).copied()
    }

    fn kill(&mut self, number: usize) {
        self.world.note(format_args!("node-{number} is killed"));
        self.nodes[number].host.kill();
        let (silent, restart) = (self.seconds(SESSION.0, SESSION.1), self.seconds(1, 15));
        self.after(silent, Event::GiveAway);
        self.after(restart, Event::Start);
    }

    fn drain(&mut self) {
        let Some(number) = self.one_that_runs() else { return };
        self.world.note(format_args!("node-{number} is told to stop"));
        self.leaving[number] = true;
        let (engine, words) = (self.nodes[number].engine.clone(), self.words.clone());
        tokio::spawn(async move {
            engine.drain().await;
            let _ = words.send(Word::Drained(number)).await;
        });
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Drained(number) if !self.nodes[number].host.is_gone() => {
                self.world.note(format_args!("node-{number} stopped"));
                self.nodes[number].host.kill();
                self.give_away();
                let restart = self.seconds(1, 5);
                self.after(restart, Event::Start);
            }
            Word::Fatal(number) if !self.nodes[number].host.is_gone() && !self.leaving[number] => {
                self.world.note(format_args!("node-{number} gives up"));
                self.oracle.gave_up += 1;
                self.kill(number);
            }
            Word::Drained(_) | Word::Fatal(_) => {}
        }
    }

    fn pause(&mut self, lasts: Duration) {
        let Some(number) = self.one_that_runs() else { return };
        self.world.note(format_args!("node-{number} stands still for {lasts:?}"));
        self.nodes[number].host.pause();
        self.after(lasts, Event::Resume(number));
        let silent = self.seconds(SESSION.0, SESSION.1);
        self.after(silent, Event::Expel(number));
    }

    fn expel(&mut self, number: usize) {
        let host = &self.nodes[number].host;
        if host.is_running() || host.is_gone() {
            return;
        }
        let shards = self.shards_of(number);
        for shard in shards {
            // It learns when it goes on, or later.
            let late = self.seconds(0, 30);
            self.tell(number, Told::Lost(shard), late);
            self.free(shard);
        }
        self.give_away();
    }

    fn shards_of(&self, number: usize) -> Vec<ShardId> {
        let topics = self.world.topics.all();
        let own = topics.iter().filter(|(_, topic)| topic.owner.is_some_and(|(owner, _)| owner == number));
        own.map(|(shard, _)| *shard).collect()
    }

    fn free(&self, shard: ShardId) {
        if let Some(topic) = self.world.topics.all().get_mut(&shard) {
            topic.owner = None;
        }
    }

    fn give_away(&mut self) {
        let free = |owner: Option<(usize, u64)>| owner.is_none_or(|(number, _)| self.nodes[number].host.is_gone());
        let topics = self.world.topics.all();
        let shards: Vec<ShardId> =
            topics.iter().filter(|(_, topic)| free(topic.owner)).map(|(shard, _)| *shard).collect();
        drop(topics);
        for shard in shards {
            match self.one_that_is_there() {
                Some(number) => self.give(shard, number),
                None => {
                    self.after(Duration::from_secs(1), Event::GiveAway);
                    return;
                }
            }
        }
    }

    fn give(&mut self, shard: ShardId, number: usize) {
        let given = {
            let mut topics = self.world.topics.all();
            let topic = topics.entry(shard).or_default();
            topic.given += 1;
            topic.owner = Some((number, topic.given));
            topic.given
        };
        let wait = self.world.rng().millis(1, 2000);
        self.tell(number, Told::Assigned(shard, given), wait);
    }

    /// Tells a node something, not before what it was told before.
    fn tell(&mut self, number: usize, told: Told, wait: Duration) {
        let at = (self.world.now() + wait).max(self.told_at[number]);
        self.told_at[number] = at;
        self.at(at, Event::Tell(number, told));
    }

    /// Gives a partition to another node; the one before learns of it soon, or late.
    fn move_one(&mut self) {
        let shard = *self.world.rng().pick(&self.schedule.shards).expect("there are some");
        let before = self.world.topics.all().get(&shard).and_then(|topic| topic.owner);
        let Some(next) = self.one_that_is_there() else { return };
        let Some((before, _)) = before.filter(|(before, _)| *before != next) else { return };
        self.world.note(format_args!("{shard} moves from node-{before} to node-{next}"));
        let is_late = self.world.rng().chance(0.25);
        let (told, wait) = if is_late {
            (Told::Lost(shard), self.seconds(5, 40))
        } else {
            (Told::Revoked(shard), self.world.rng().millis(0, 2000))
        };
        self.tell(before, told, wait);
        self.give(shard, next);
    }

    fn cancel(&mut self, position: Option<Position>) {
        let Some(position) = position else { return };
        let id = NotificationId(position);
        self.oracle.cancels_asked.insert(position);
        let owner = self.world.topics.all().get(&position.shard).and_then(|topic| topic.owner);
        let Some((number, _)) = owner else { return };
        let (world, engine) = (self.world.clone(), self.nodes[number].engine.clone());
        let host = self.nodes[number].host.clone();
        tokio::spawn(async move {
            let answer = engine.cancellations.cancel(id).await;
            host.pass().await;
            world.note(format_args!("cancel {} {}: {answer:?}", position.shard, position.offset));
            if let Ok(Cancellation::Cancelled { too_late, .. }) = answer {
                let at = world.now();
                world.cancelled.lock().expect("one thread").push(Cancelled { id, at, too_late });
            }
        });
    }

    fn brake(&mut self, is_on: bool) {
        let Some(number) = self.one_that_runs() else { return };
        let node = &self.nodes[number];
        let (world, host, brakes) = (self.world.clone(), node.host.clone(), node.brakes.clone());
        let at = host.now();
        tokio::spawn(async move {
            let answer = brakes.change(braking::scope(), braking::EFFECT, is_on, at, None).await;
            host.pass().await;
            world.note(format_args!("brake {is_on} by {}: {answer:?}", host.name));
        });
    }

    /// From now on nothing fails, and who was told nothing hears it.
    fn calm(&mut self) {
        self.world.note(format_args!("all is healed"));
        self.oracle.look();
        self.world.is_rough.store(false, Ordering::SeqCst);
        self.world.outages.lock().expect("one thread").clear();
        for node in &self.nodes {
            node.host.resume();
        }
        let now = self.world.now();
        for (place, event) in std::mem::take(&mut self.queue) {
            let (at, number) = place;
            match event {
                Event::Tell(..) => self.queue.insert((at.min(now + Duration::from_secs(1)), number), event),
                _ => self.queue.insert(place, event),
            };
        }
        self.told_at.fill(now + Duration::from_secs(1));
        self.give_away();
        if self.world.extras.brakes {
            // By then every clock is past those by which a brake was put on.
            self.after(Duration::from_secs(1), Event::Release);
        }
        self.after(Duration::from_secs(2), Event::Check);
    }
}
