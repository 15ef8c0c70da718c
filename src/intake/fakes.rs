//! A log, a store and a clock in memory, for tests of what stands before them.

mod definitions;
mod keyed;
mod templates;
mod users;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::clock::{Clock, Moment};
use crate::domain::{ClaimKey, Event, NotificationId, Plan, Position, ShardId, Story, Timestamp};
use crate::log::{Log, LogError, Membership, NewRecord, Record, Told};
use crate::store::{
    Books, BudgetKey, BudgetRows, ClaimRow, ClaimRows, Cursors, DeadLetter, DeadLetterKey, DeadLetters, Drops,
    GroupEntry, Groups, History, HistoryEntry, ReceivedRows, StoreError, TaskLog, TimerKey, TimerRow, Timers,
    WriteBatch,
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A clock that stands still until it is moved; what waits for a later time waits for ever.
#[derive(Debug)]
pub(crate) struct StoppedClock(AtomicU64);

impl StoppedClock {
    pub(crate) fn at(text: &str) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(Timestamp::parse(text).expect("a time").millis())))
    }

    pub(crate) fn set(&self, to: Timestamp) {
        self.0.store(to.millis(), Ordering::SeqCst);
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    fn moment(&self) -> Moment {
        Moment(Duration::from_millis(self.now().millis()))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if duration.is_zero() { async {}.boxed() } else { std::future::pending().boxed() }
    }
}

/// A clock that waits for nothing.
#[derive(Debug)]
pub(crate) struct InstantClock;

impl Clock for InstantClock {
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }

    fn moment(&self) -> Moment {
        Moment::default()
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        tokio::task::yield_now().boxed()
    }
}

/// A log in memory, one partition per lane; it can be full, and appends can be held up.
#[derive(Debug)]
pub(crate) struct FakeLog {
    records: Mutex<HashMap<Position, Record>>,
    pub(crate) full: std::sync::atomic::AtomicBool,
    /// Appends go into the spill.
    pub(crate) spills: std::sync::atomic::AtomicBool,
    /// One permit lets one append through.
    pub(crate) gate: Semaphore,
    pub(crate) appends: AtomicU64,
    waiting: AtomicU64,
    is_shared: bool,
    told: Mutex<Vec<Told>>,
    /// So many more calls to tell fail.
    refusals: AtomicU64,
    /// Larger ones are never taken.
    pub(crate) told_bytes_max: AtomicUsize,
}

impl FakeLog {
    pub(crate) fn open() -> Arc<Self> {
        Self::build(false)
    }

    /// One that others read.
    pub(crate) fn shared() -> Arc<Self> {
        Self::build(true)
    }

    fn build(is_shared: bool) -> Arc<Self> {
        Arc::new(Self {
            is_shared,
            told: Mutex::default(),
            refusals: AtomicU64::new(0),
            told_bytes_max: AtomicUsize::new(usize::MAX),
            records: Mutex::default(),
            full: false.into(),
            spills: false.into(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            appends: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
        })
    }

    pub(crate) fn held_up() -> Arc<Self> {
        let log = Self::open();
        log.gate.forget_permits(Semaphore::MAX_PERMITS);
        log
    }

    /// Appends that were begun and not let through.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::SeqCst)
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.records).len()
    }

    /// What others were told.
    pub(crate) fn told(&self) -> Vec<Told> {
        lock(&self.told).clone()
    }

    /// The next calls to tell fail.
    pub(crate) fn refuse_told(&self, calls: u64) {
        self.refusals.store(calls, Ordering::SeqCst);
    }

    /// As after planning: the log need not hold the record any longer.
    pub(crate) fn forget(&self, position: Position) {
        lock(&self.records).remove(&position);
    }

    pub(crate) fn bodies(&self) -> Vec<Record> {
        lock(&self.records).values().cloned().collect()
    }
}

#[async_trait]
impl Log for FakeLog {
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.gate.acquire().await.expect("never closed").forget();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.writable()?;
        self.appends.fetch_add(1, Ordering::SeqCst);
        let mut held = lock(&self.records);
        let mut positions = Vec::new();
        for record in records {
            let shard = ShardId { generation: 0, lane: record.lane, partition: 0 };
            let position = Position::new(shard, held.len() as u64);
            held.insert(position, Record { position, body: record.body, foreign: None });
            positions.push(position);
        }
        Ok(positions)
    }

    async fn record(&self, position: Position) -> Result<Option<Record>, LogError> {
        Ok(lock(&self.records).get(&position).cloned())
    }

    async fn join(&self) -> Result<Box<dyn Membership>, LogError> {
        Err(LogError::Failed("nobody consumes here".to_owned()))
    }

    fn end(&self, _: ShardId) -> u64 {
        self.len() as u64
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    fn degraded(&self) -> Option<String> {
        self.spills.load(Ordering::SeqCst).then(|| "no broker answers".to_owned())
    }

    async fn tell(&self, told: Vec<Told>) -> Result<(), LogError> {
        let refused =
            self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let is_large = |told: &Told| told.body.len() > self.told_bytes_max.load(Ordering::SeqCst);
        if refused || told.iter().any(is_large) {
            return Err(LogError::Failed("it takes nothing".to_owned()));
        }
        lock(&self.told).extend(told);
        Ok(())
    }

    fn writable(&self) -> Result<(), LogError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(LogError::Full { path: "/data".to_owned() });
        }
        Ok(())
    }
}

/// A store in memory, as far as the doors and the API read it.
#[derive(Debug, Default)]
pub(crate) struct FakeStore {
    stories: Mutex<HashMap<Position, Story>>,
    claims: Mutex<HashMap<ClaimKey, ClaimRow>>,
    /// Claims are neither read nor written; whoever asks is told so.
    pub(crate) is_down: std::sync::atomic::AtomicBool,
    /// It does not even say so.
    pub(crate) is_silent: std::sync::atomic::AtomicBool,
    loose: Mutex<Vec<Event>>,
    dead: Mutex<Vec<DeadLetter>>,
    kept: users::Kept,
    templates: templates::Kept,
    definitions: definitions::Kept,
    keyed: keyed::Kept,
    groups: Mutex<HashMap<Position, Vec<GroupEntry>>>,
    /// Of every shard.
    pub(crate) cursors: Mutex<Cursors>,
    /// Nothing can be dropped.
    pub(crate) keeps_all: std::sync::atomic::AtomicBool,
}

impl FakeStore {
    pub(crate) fn tell(&self, plan: Plan, events: Vec<Event>) {
        lock(&self.stories).insert(plan.position, Story { plan, events });
    }

    pub(crate) fn claim(&self, row: ClaimRow) {
        lock(&self.claims).insert(row.key, row);
    }

    pub(crate) fn group(&self, leader: Position, entry: GroupEntry) {
        lock(&self.groups).entry(leader).or_default().push(entry);
    }

    pub(crate) fn bury(&self, letter: DeadLetter) {
        lock(&self.dead).push(letter);
    }

    pub(crate) fn revive(&self, key: &DeadLetterKey) {
        lock(&self.dead).retain(|letter| letter.key != *key);
    }

    pub(crate) fn loose(&self, event: Event) {
        lock(&self.loose).push(event);
    }

    async fn answers(&self) -> Result<(), StoreError> {
        if self.is_silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.is_down.load(Ordering::SeqCst) {
            return Err(StoreError::Failed("it is down".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl TaskLog for FakeStore {
    /// Takes dead letters, and what is told of notifications that are there; nothing else.
    async fn write(&self, _: ShardId, mut batch: WriteBatch) -> Result<(), StoreError> {
        let (letters, revived) = (std::mem::take(&mut batch.dead_letters), std::mem::take(&mut batch.revived));
        for event in std::mem::take(&mut batch.events) {
            self.answers().await?;
            if let Some(story) = lock(&self.stories).get_mut(&event.task.position) {
                story.events.push(event);
            }
        }
        if !batch.is_empty() {
            return Err(StoreError::Failed("this store is only read".to_owned()));
        }
        let mut dead = lock(&self.dead);
        dead.extend(letters);
        dead.retain(|letter| !revived.contains(&letter.key));
        Ok(())
    }

    async fn stories(&self, positions: &[Position]) -> Result<Vec<Option<Story>>, StoreError> {
        let stories = lock(&self.stories);
        Ok(positions.iter().map(|position| stories.get(position).cloned()).collect())
    }

    async fn block(&self, shard: ShardId, block: u64) -> Result<Vec<Story>, StoreError> {
        let is_there = |story: &&Story| story.plan.position.shard == shard && story.plan.position.block() == block;
        let mut stories: Vec<Story> = lock(&self.stories).values().filter(is_there).cloned().collect();
        stories.sort_by_key(|story| story.plan.position);
        Ok(stories)
    }

    async fn loose_events(&self, shard: ShardId, block: u64) -> Result<Vec<Event>, StoreError> {
        let is_there = |event: &&Event| event.task.position.shard == shard && event.task.position.block() == block;
        Ok(lock(&self.loose).iter().filter(is_there).cloned().collect())
    }

    async fn cursors(&self, _: ShardId) -> Result<Cursors, StoreError> {
        Ok(*lock(&self.cursors))
    }

    async fn books(&self, _: ShardId) -> Result<Books, StoreError> {
        Ok(Books::default())
    }
}

#[async_trait]
impl Timers for FakeStore {
    async fn timers(&self, _: ShardId, _: TimerKey, _: Timestamp, _: usize) -> Result<Vec<TimerRow>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl ClaimRows for FakeStore {
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<ClaimRow>>, StoreError> {
        self.answers().await?;
        let claims = lock(&self.claims);
        Ok(keys.iter().map(|key| claims.get(key).copied()).collect())
    }

    async fn hold(&self, rows: &[ClaimRow]) -> Result<(), StoreError> {
        self.answers().await?;
        let mut claims = lock(&self.claims);
        for row in rows {
            claims.entry(row.key).or_insert(*row);
        }
        Ok(())
    }
}

impl ReceivedRows for FakeStore {}

/// No category has a budget here.
#[async_trait]
impl BudgetRows for FakeStore {
    async fn draw(&self, _: &BudgetKey, _: u64, _: u64) -> Result<(), StoreError> {
        Ok(())
    }

    async fn drawn(&self, _: &BudgetKey) -> Result<Vec<(u64, u64)>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Groups for FakeStore {
    async fn groups(&self, leaders: &[Position]) -> Result<Vec<Vec<GroupEntry>>, StoreError> {
        let groups = lock(&self.groups);
        Ok(leaders.iter().map(|leader| groups.get(leader).cloned().unwrap_or_default()).collect())
    }
}

#[async_trait]
impl Drops for FakeStore {
    async fn shards(&self) -> Result<Vec<ShardId>, StoreError> {
        let mut shards: Vec<ShardId> = lock(&self.stories).keys().map(|position| position.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        Ok(shards)
    }

    async fn drop_offsets(&self, shard: ShardId, _: u64, offsets: &[u64]) -> Result<usize, StoreError> {
        if self.keeps_all.load(Ordering::SeqCst) {
            return Err(StoreError::Failed("it died before it could drop anything".to_owned()));
        }
        let mut stories = lock(&self.stories);
        Ok(offsets.iter().filter(|offset| stories.remove(&Position::new(shard, **offset)).is_some()).count())
    }
}

#[async_trait]
impl History for FakeStore {
    async fn history(
        &self,
        tenant: &str,
        user_id: &str,
        before: Option<HistoryEntry>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        let mut entries: Vec<HistoryEntry> = lock(&self.stories)
            .values()
            .filter(|story| *story.plan.tenant == *tenant && story.plan.user_id.as_deref() == Some(user_id))
            .map(|story| HistoryEntry {
                accepted_at: story.plan.accepted_at,
                notification: NotificationId(story.plan.position),
            })
            .filter(|entry| before.is_none_or(|before| *entry < before))
            .collect();
        entries.sort_by(|a, b| b.cmp(a));
        entries.truncate(limit);
        Ok(entries)
    }
}

#[async_trait]
impl DeadLetters for FakeStore {
    async fn dead_letters(
        &self,
        tenant: &str,
        before: Option<DeadLetterKey>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let mut letters: Vec<DeadLetter> = lock(&self.dead)
            .iter()
            .filter(|letter| *letter.key.tenant == *tenant && before.as_ref().is_none_or(|before| letter.key < *before))
            .cloned()
            .collect();
        letters.sort_by(|a, b| b.key.cmp(&a.key));
        letters.truncate(limit);
        Ok(letters)
    }

    async fn dead_letter(&self, key: &DeadLetterKey) -> Result<Option<DeadLetter>, StoreError> {
        Ok(lock(&self.dead).iter().find(|letter| letter.key == *key).cloned())
    }
}
