//! The actor of one topic: the only writer of its rows, at the node that has its home.
//!
//! In: what is asked of the topic, a batch at a time. Out: answers, each after the rows that it promises are durable. Promise: whatever
//! memory has is ahead of the rows only by what is in hand. A write that fails ends the actor, and the next one begins from the rows; so
//! does the loss of the home. What a crash loses: who has which message in hand, and the last retry keys beyond the newest messages.

mod delayed;
mod hand_out;
mod keep;
mod open;
mod publish;
mod window;

pub(super) use keep::listed;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::ask::{Ask, Receive, Settle, Settled, Told, TopicName, Which};
use super::copying::Copying;
use super::desk::Shared;
use super::error::TopicError;
use super::group::Group;
use super::metrics::TopicMetrics;
use super::rows::{Place, topic_row, topics_part};
use crate::clock::Moment;
use crate::codec::{encode_topic, encode_topic_group};
use crate::domain::{Timestamp, Topic};
use crate::homes::Tenure;
use crate::store::{KeyedRow, StoreError};
use window::Window;

/// Things asked of a topic that wait for it.
pub(super) const JOBS_MAX: usize = 256;
/// Of those, what is done together.
const BATCH_MAX: usize = 64;
/// Readers of a group that wait for messages.
const WAITING_MAX: usize = 256;
/// Messages beyond the bound of a topic that may wait to be written outside.
const BEHIND_MAX: u64 = 100_000;
/// How often it is looked for what is too old, and told how the topic is.
const KEEP_INTERVAL: Duration = Duration::from_secs(10);
/// The longest between two looks at the wall clock while messages are to come: it may be set.
const WALL_LOOK: Duration = Duration::from_secs(1);

/// What somebody asks, and where the answer goes.
pub(super) struct Job {
    pub(super) ask: Ask,
    pub(super) reply: Reply,
}

pub(super) type Reply = oneshot::Sender<Result<Told, TopicError>>;

/// A reader that waits.
struct Waiter {
    receive: Receive,
    deadline: Moment,
    reply: Reply,
}

/// The actor's state.
pub(super) struct TopicActor {
    shared: Arc<Shared>,
    tenure: Tenure,
    name: TopicName,
    place: Place,
    row: Topic,
    /// The number of the next message.
    next: u64,
    /// Where other programs read it outside as well.
    copying: Option<Arc<Copying>>,
    groups: BTreeMap<Box<str>, Group>,
    waiting: BTreeMap<Box<str>, VecDeque<Waiter>>,
    window: Window,
    delayed: u64,
    /// When the first of the delayed may be due, or earlier.
    next_due: Option<Timestamp>,
    /// When it is looked next for what is too old.
    keep_at: Moment,
    metrics: TopicMetrics,
}

/// Why the actor ends.
pub(super) enum End {
    Deleted,
    Failed(StoreError),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

impl TopicActor {
    /// Works until the home is lost, the topic is deleted or a write fails. Whoever still waits hears that it ended.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let ended = self.tenure.ended.clone();
        loop {
            let sleep = self.shared.clock.sleep(self.pause());
            tokio::select! {
                biased;
                () = ended.cancelled() => break,
                count = jobs.recv_many(&mut batch, BATCH_MAX) => if count == 0 { break },
                () = sleep => {}
            }
            match self.work(&mut batch).await {
                Ok(()) => {}
                Err(End::Deleted) => {
                    jobs.close();
                    while let Ok(Job { reply, .. }) = jobs.try_recv() {
                        answer(reply, Err(TopicError::NoTopic));
                    }
                    break;
                }
                Err(End::Failed(error)) => {
                    tracing::warn!(%error, home = self.tenure.home, "a topic stands still: it is read anew");
                    break;
                }
            }
        }
        self.metrics.end();
    }

    /// How far it is outside, where it is.
    pub(super) fn copying(&self) -> Option<Arc<Copying>> {
        self.copying.clone()
    }

    /// Whether so much is not outside yet that nothing more is taken: it is kept until it is.
    fn is_too_far_behind(&self) -> bool {
        let behind = self.copying.as_ref().map_or(0, |copying| self.next.saturating_sub(copying.next()));
        behind >= self.row.messages_max.saturating_add(BEHIND_MAX)
    }

    /// How long nothing happens by itself.
    fn pause(&self) -> Duration {
        let (now, moment) = (self.shared.clock.now(), self.shared.clock.moment());
        // What is due and cannot be moved now is looked at again.
        let is_held = self.is_too_far_behind();
        let due = self.next_due.map(|due| if is_held { WALL_LOOK } else { due.since(now).min(WALL_LOOK) });
        let readers = self.waiting.iter().filter(|(_, waiters)| !waiters.is_empty());
        let times = readers.flat_map(|(group, waiters)| {
            let again = self.groups.get(group).and_then(Group::next_time);
            waiters.iter().map(|waiter| waiter.deadline).chain(again)
        });
        let moments = times.chain([self.keep_at]).map(|time| time.since(moment));
        moments.chain(due).min().unwrap_or(KEEP_INTERVAL)
    }

    async fn work(&mut self, batch: &mut Vec<Job>) -> Result<(), End> {
        let mut later = Vec::new();
        let mut publishing = Vec::new();
        let mut settled = Vec::new();
        for Job { ask, reply } in batch.drain(..) {
            match ask {
                Ask::Publish(messages) => publishing.push((messages, reply)),
                Ask::Settle { group, settle, which } => settled.push((self.settle(&group, settle, &which), reply)),
                ask => later.push(Job { ask, reply }),
            }
        }
        self.write_groups().await?;
        for (told, reply) in settled {
            answer(reply, told);
        }
        self.publish(publishing).await?;
        self.deliver_due().await?;
        let mut later = later.into_iter();
        while let Some(job) = later.next() {
            if let Err(end) = self.one(job).await {
                if let End::Deleted = end {
                    later.for_each(|Job { reply, .. }| answer(reply, Err(TopicError::NoTopic)));
                }
                return Err(end);
            }
        }
        self.serve().await?;
        if self.shared.clock.moment() >= self.keep_at {
            let has_more = self.keep().await?;
            // At once where it is much: more may come in than one look removes.
            let pause = if has_more { Duration::ZERO } else { KEEP_INTERVAL };
            self.keep_at = self.shared.clock.moment() + pause;
        }
        Ok(())
    }

    /// What is done by itself, and not together with others.
    async fn one(&mut self, Job { ask, reply }: Job) -> Result<(), End> {
        let told = match ask {
            Ask::Cancel(id) => self.cancel(id).await?,
            Ask::Show => Ok(Told::Topic(Box::new(self.show().await?))),
            Ask::Receive(receive) => return self.admit(receive, reply).await.map_err(End::Failed),
            Ask::DeleteGroup(group) => self.delete_group(&group).await?,
            Ask::Delete => {
                self.delete().await?;
                for waiter in std::mem::take(&mut self.waiting).into_values().flatten() {
                    answer(waiter.reply, Err(TopicError::NoTopic));
                }
                answer(reply, Ok(Told::Done));
                return Err(End::Deleted);
            }
            // It was asked while the topic came to be.
            Ask::Create(_) => Err(TopicError::Exists),
            Ask::Publish(_) | Ask::Settle { .. } => return Ok(()),
        };
        answer(reply, told);
        Ok(())
    }

    /// Settles what is said of a group, in memory.
    fn settle(&mut self, group: &str, settle: Settle, which: &[Which]) -> Result<Told, TopicError> {
        let (now, end) = (self.shared.clock.moment(), self.next);
        let group = self.groups.get_mut(group).ok_or(TopicError::Nothing)?;
        group.expire(now);
        let mut unknown = Vec::new();
        for which in which {
            let number = group.number(*which).or_else(|| match which {
                Which::Id(id) => self.window.number(*id),
                Which::Number(_) => None,
            });
            if !number.is_some_and(|number| group.settle(number, settle, now, end)) {
                unknown.push(*which);
            }
        }
        let done = which.len() - unknown.len();
        if settle == Settle::Ack {
            self.metrics.acknowledged(done);
        }
        Ok(Told::Settled(Settled { done, unknown }))
    }

    /// Writes how far the groups are that acknowledged something.
    async fn write_groups(&mut self) -> Result<(), StoreError> {
        let mut rows = Vec::new();
        for (name, group) in self.groups.iter_mut().filter(|(_, group)| group.is_dirty) {
            rows.push(self.place.group(name, Some(encode_topic_group(&group.row()).into())));
            group.is_dirty = false;
        }
        self.put(rows).await
    }

    async fn delete_group(&mut self, name: &str) -> Result<Result<Told, TopicError>, StoreError> {
        if self.groups.remove(name).is_none() {
            return Ok(Err(TopicError::Nothing));
        }
        self.put(vec![self.place.group(name, None)]).await?;
        // Those who wait would make it anew.
        for waiter in self.waiting.remove(name).into_iter().flatten() {
            answer(waiter.reply, Err(TopicError::Nothing));
        }
        Ok(Ok(Told::Done))
    }

    /// The topic's own row.
    fn own_row(&self) -> KeyedRow {
        let body = Some(encode_topic(&self.row).into());
        KeyedRow { part: topics_part(self.tenure.home), name: topic_row(&self.name).into(), body }
    }

    /// Writes rows while the home is this node's.
    async fn put(&self, rows: Vec<KeyedRow>) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        if !self.tenure.holds() {
            return Err(StoreError::Failed("another node may have the topic by now".to_owned()));
        }
        self.shared.store.put_keyed(rows).await
    }
}

/// Whoever went away needs no answer.
fn answer(reply: Reply, told: Result<Told, TopicError>) {
    let _ = reply.send(told);
}
