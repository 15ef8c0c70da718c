//! The desk: whom to ask about topics, and the one of a node that has their homes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::ask::{
    Ask, Cancelled, NewMessage, Published, Receive, Received, Settle, Settled, Told, TopicListed, TopicName,
    TopicSettings, TopicState, Which,
};
use super::check::check;
use super::copying::Copying;
use super::error::TopicError;
use super::metrics::Shown;
use super::rows::{home_of_topic, read_topic_row, tenant_prefix, topic_row, topics_part};
use super::topic::{JOBS_MAX, Job, TopicActor, listed};
use crate::clock::SharedClock;
use crate::codec::{decode_topic, encode_topic};
use crate::domain::{MessageId, Topic};
use crate::homes::{HOMES, Homes, Tenure, Wake};
use crate::log::{OutsideError, OutsideTopics};
use crate::store::{KeyedRow, KeyedRows, StoreError};

/// Topics of one tenant.
pub const TOPICS_MAX: usize = 1000;
/// The longest that an answer takes besides what was asked to be waited for.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(20);

/// Topics of a node that are written outside at the same time.
const COPYING_MAX: usize = 8;

/// Whom to ask about topics, wherever they are.
#[async_trait]
pub trait TopicDesk: Send + Sync + 'static {
    /// Asks a topic. Dropped before it is answered, what was asked may happen all the same.
    async fn ask(&self, name: &TopicName, ask: Ask) -> Result<Told, TopicError>;

    /// The topics of a tenant, by name.
    async fn list(&self, tenant: &str) -> Result<Vec<TopicListed>, TopicError>;

    /// Creates a topic.
    async fn create(&self, name: &TopicName, settings: TopicSettings) -> Result<(), TopicError> {
        self.ask(name, Ask::Create(settings)).await.map(drop)
    }

    /// Deletes a topic with all its messages and groups.
    async fn delete(&self, name: &TopicName) -> Result<(), TopicError> {
        self.ask(name, Ask::Delete).await.map(drop)
    }

    /// How a topic and its groups are.
    async fn show(&self, name: &TopicName) -> Result<TopicState, TopicError> {
        match self.ask(name, Ask::Show).await? {
            Told::Topic(state) => Ok(*state),
            _ => Err(misunderstood()),
        }
    }

    /// Publishes messages, all or none of them; they are durable on return, and answered in their order.
    async fn publish(&self, name: &TopicName, messages: Vec<NewMessage>) -> Result<Vec<Published>, TopicError> {
        match self.ask(name, Ask::Publish(messages)).await? {
            Told::Published(published) => Ok(published),
            _ => Err(misunderstood()),
        }
    }

    /// Takes a message back that is to come later.
    async fn cancel(&self, name: &TopicName, id: MessageId) -> Result<Cancelled, TopicError> {
        match self.ask(name, Ask::Cancel(id)).await? {
            Told::Cancelled(cancelled) => Ok(cancelled),
            _ => Err(misunderstood()),
        }
    }

    /// Messages that nobody else of the group has in hand, in the order of their numbers, those that come again first; nothing, once
    /// it was waited long enough.
    async fn receive(&self, name: &TopicName, receive: Receive) -> Result<Vec<Received>, TopicError> {
        match self.ask(name, Ask::Receive(receive)).await? {
            Told::Received(received) => Ok(received),
            _ => Err(misunderstood()),
        }
    }

    /// Says what came of messages that a group received. What is acknowledged is durable on return.
    async fn settle(
        &self,
        name: &TopicName,
        group: &str,
        settle: Settle,
        which: Vec<Which>,
    ) -> Result<Settled, TopicError> {
        match self.ask(name, Ask::Settle { group: group.into(), settle, which }).await? {
            Told::Settled(settled) => Ok(settled),
            _ => Err(misunderstood()),
        }
    }

    /// Forgets a group, and what it has acknowledged.
    async fn delete_group(&self, name: &TopicName, group: &str) -> Result<(), TopicError> {
        self.ask(name, Ask::DeleteGroup(group.into())).await.map(drop)
    }
}

/// Another node, of another version.
fn misunderstood() -> TopicError {
    TopicError::Busy("another node gave an answer to something else: try again shortly".into())
}

/// What the topics of a node share.
pub(super) struct Shared {
    pub(super) store: Arc<dyn KeyedRows>,
    pub(super) clock: SharedClock,
    pub(super) metrics: Arc<Shown>,
    /// `None`: there is no outside to write to.
    pub(super) outside: Option<Arc<dyn OutsideTopics>>,
    pub(super) copies_wake: Arc<Wake>,
    /// Topics that are written outside at the same time: each holds a batch of messages.
    pub(super) copying: Semaphore,
    /// A number that no other process has.
    seed: u64,
    /// Given so far, of those that are like no others.
    given: AtomicU64,
}

impl Shared {
    /// A number that no other message and no other topic has, as far as hashes go.
    pub(super) fn unlike_any(&self) -> u128 {
        let given = self.given.fetch_add(1, Ordering::Relaxed);
        xxh3_128(&[self.seed, given, self.clock.now().millis()].map(u64::to_be_bytes).concat())
    }
}

/// A topic that is worked on.
struct Running {
    jobs: mpsc::Sender<Job>,
    task: JoinHandle<()>,
    copying: Option<Arc<Copying>>,
}

/// The desk of one node, for the topics whose homes it has.
pub struct Desk {
    shared: Arc<Shared>,
    homes: Arc<Homes>,
    open: Mutex<HashMap<TopicName, Running>>,
    /// By home: held while a topic is opened or created there.
    opening: [tokio::sync::Mutex<()>; HOMES as usize],
}

impl Desk {
    /// `seed` is a number that no other process has; `outside`: where topics are written to as well if they are to be.
    pub fn new(
        store: Arc<dyn KeyedRows>,
        clock: SharedClock,
        homes: Arc<Homes>,
        outside: Option<Arc<dyn OutsideTopics>>,
        seed: u64,
    ) -> Arc<Self> {
        let copying = Semaphore::new(COPYING_MAX);
        let (metrics, given, copies_wake) = (Arc::default(), AtomicU64::new(0), Arc::default());
        let shared = Shared { store, clock, metrics, outside, copies_wake, copying, seed, given };
        Arc::new(Self {
            shared: Arc::new(shared),
            homes,
            open: Mutex::default(),
            opening: std::array::from_fn(|_| tokio::sync::Mutex::default()),
        })
    }

    /// Whether this node has the topic's home: if not, another one is to be asked.
    pub fn has(&self, name: &TopicName) -> bool {
        self.homes.tenure(home_of_topic(name)).is_some()
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The running topic, begun from its rows if need be.
    pub(super) async fn running(&self, tenure: &Tenure, name: &TopicName) -> Result<mpsc::Sender<Job>, TopicError> {
        if let Some(jobs) = self.known(name) {
            return Ok(jobs);
        }
        let _one = self.opening[usize::from(tenure.home)].lock().await;
        if let Some(jobs) = self.known(name) {
            return Ok(jobs);
        }
        let row = self.row(tenure.home, name).await?.ok_or(TopicError::NoTopic)?;
        let actor = TopicActor::open(self.shared.clone(), tenure.clone(), name.clone(), row).await?;
        let (jobs, asked) = mpsc::channel(JOBS_MAX);
        let copying = actor.copying();
        let task = tokio::spawn(actor.run(asked));
        self.open().insert(name.clone(), Running { jobs: jobs.clone(), task, copying });
        Ok(jobs)
    }

    /// Waits until nothing is written any more; called once the homes are let go.
    pub async fn ended(&self) {
        let running: Vec<Running> = self.open().drain().map(|(_, running)| running).collect();
        for Running { jobs, task, .. } in running {
            drop(jobs);
            // Its panic was logged by its hook.
            let _ = task.await;
        }
    }

    /// Topics that were deleted, or whose home is another node's by now.
    pub(super) fn forget_ended(&self) {
        self.open().retain(|_, running| !running.jobs.is_closed());
    }

    /// The topics of a home that are written outside as well.
    pub(super) fn copied_at(&self, home: u16) -> Vec<(TopicName, Arc<Copying>)> {
        let open = self.open();
        let here = open.iter().filter(|(_, running)| !running.jobs.is_closed());
        let copied = here.filter_map(|(name, running)| Some((name, running.copying.as_ref()?)));
        let of_home = copied.filter(|(name, _)| home_of_topic(name) == home);
        of_home.map(|(name, copying)| (name.clone(), copying.clone())).collect()
    }

    fn known(&self, name: &TopicName) -> Option<mpsc::Sender<Job>> {
        let mut open = self.open();
        let jobs = open.get(name)?.jobs.clone();
        if jobs.is_closed() {
            open.remove(name);
            return None;
        }
        Some(jobs)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<TopicName, Running>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn row(&self, home: u16, name: &TopicName) -> Result<Option<Topic>, StoreError> {
        let row = self.shared.store.keyed(&[(topics_part(home), topic_row(name).into())]).await?.pop().flatten();
        Ok(row.map(|body| decode_topic(&body)).transpose()?)
    }

    async fn ask_here(&self, tenure: &Tenure, name: &TopicName, ask: Ask) -> Result<Told, TopicError> {
        if let Ask::Create(settings) = ask {
            return self.create_here(tenure, name, settings).await.map(|()| Told::Done);
        }
        let jobs = self.running(tenure, name).await?;
        let (reply, answer) = oneshot::channel();
        jobs.try_send(Job { ask, reply }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                TopicError::Busy("more is asked of the topic than it can do: slow down".into())
            }
            mpsc::error::TrySendError::Closed(_) => TopicError::between_owners(),
        })?;
        answer.await.unwrap_or_else(|_| Err(TopicError::between_owners()))
    }

    async fn create_here(&self, tenure: &Tenure, name: &TopicName, settings: TopicSettings) -> Result<(), TopicError> {
        if self.row(tenure.home, name).await?.is_some() {
            return Err(TopicError::Exists);
        }
        if settings.kafka {
            // The brokers may take long: others of the home do not wait for them.
            self.create_outside(name).await?;
        }
        let _one = self.opening[usize::from(tenure.home)].lock().await;
        if self.row(tenure.home, name).await?.is_some() {
            return Err(TopicError::Exists);
        }
        if self.list(&name.tenant).await?.len() >= TOPICS_MAX {
            let detail = format!("there are {TOPICS_MAX} topics already: delete one that is not used");
            return Err(TopicError::Full(detail.into()));
        }
        let TopicSettings { retention_seconds, messages_max, kafka } = settings;
        let row = Topic {
            incarnation: xxh3_64(&self.shared.unlike_any().to_be_bytes()),
            created_at: self.shared.clock.now(),
            retention_seconds,
            messages_max,
            kafka,
            tail_block: 0,
            first: 0,
        };
        if !tenure.holds() {
            return Err(TopicError::between_owners());
        }
        let body = Some(encode_topic(&row).into());
        let row = KeyedRow { part: topics_part(tenure.home), name: topic_row(name).into(), body };
        Ok(self.shared.store.put_keyed(vec![row]).await?)
    }
}

impl Desk {
    /// The topic outside that a topic is written to, before there is one: what cannot be is said to whoever asks for it.
    async fn create_outside(&self, name: &TopicName) -> Result<(), TopicError> {
        let nowhere = || TopicError::invalid("/kafka", "must be false: the log of this engine is not Kafka");
        let outside = self.shared.outside.as_ref().ok_or_else(nowhere)?;
        let refused = |error| match error {
            OutsideError::Refused(reason) => TopicError::invalid("/kafka", reason),
            OutsideError::Failed(reason) => TopicError::Busy(reason.into()),
        };
        let topic = outside.name(&name.tenant, &name.name).map_err(refused)?;
        outside.create(&topic).await.map_err(refused)
    }
}

#[async_trait]
impl TopicDesk for Desk {
    async fn ask(&self, name: &TopicName, ask: Ask) -> Result<Told, TopicError> {
        check(name, &ask)?;
        let tenure = self.homes.tenure(home_of_topic(name)).ok_or_else(TopicError::between_owners)?;
        let patience = self.shared.clock.sleep(ask.wait() + ANSWER_WAIT_MAX);
        tokio::select! {
            told = self.ask_here(&tenure, name, ask) => told,
            () = patience => Err(TopicError::Busy("the topic does not answer: try again shortly".into())),
        }
    }

    async fn list(&self, tenant: &str) -> Result<Vec<TopicListed>, TopicError> {
        let prefix = tenant_prefix(tenant);
        // Names of topics are small letters, which are below.
        let end = [&prefix[..], &[u8::MAX]].concat();
        let mut topics = Vec::new();
        for home in 0..HOMES {
            let part = topics_part(home);
            let rows = self.shared.store.keyed_between(&part, Some(&prefix), Some(&end), TOPICS_MAX).await?;
            for (name, body) in rows {
                let Some(name) = read_topic_row(&name) else { continue };
                topics.push(listed(&name.name, &decode_topic(&body)?));
            }
        }
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }
}
