//! The store as one node reaches it: three replicas, of which two must answer, and all that can go wrong on the way.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fanfare::domain::{
    BLOCK_OFFSETS, Brake, ClaimKey, Definition, DefinitionKind, Event, Position, ShardId, Story, SuppressedAddress,
    Suppression, TemplateChange, Timestamp, User, UserKey,
};
use fanfare::store::{
    Books, BrakeRows, BudgetKey, BudgetRows, ClaimRow, ClaimRows, Cursors, DeadLetter, DeadLetterKey, DeadLetters,
    DefinitionRows, Drops, GroupEntry, Groups, History, HistoryEntry, KeyedPart, KeyedRow, KeyedRows,
    ListedSuppression, NamedRow, ReceivedRows, StoreError, SuppressionChange, SuppressionPlace, Suppressions, TaskLog,
    TemplateBodyPlace, TemplateRows, TimerKey, TimerRow, Timers, UserChange, Users, WriteBatch, timer_bucket,
};

use super::cells::{Arrivals, NEVER, QUORUMS, Quorum, second};
use super::host::Host;
use super::tables::{Part, Tables, block_range};
use super::variant::Variant;
use super::world::World;

pub struct SimStore {
    world: Arc<World>,
    host: Arc<Host>,
}

/// What becomes of a write.
enum Fate {
    Done,
    /// It fails, and may have taken effect all the same.
    Fails(Arrivals),
}

/// The longest that a write which failed may still be under way.
const LATE_MAX: u64 = 60_000;

impl SimStore {
    pub fn new(world: Arc<World>, host: Arc<Host>) -> Arc<Self> {
        Arc::new(Self { world, host })
    }

    fn quorum(&self) -> Quorum {
        self.world.rng().pick(&QUORUMS).copied().unwrap_or(QUORUMS[0])
    }

    async fn read<T>(
        &self,
        what: &str,
        read: impl FnOnce(&mut Tables, Quorum, Duration) -> T,
    ) -> Result<T, StoreError> {
        self.host.pass().await;
        if self.world.is_cut_off(self.host.number) || self.world.fails(0.01) {
            let wait = self.world.rng().millis(1, 1500);
            tokio::time::sleep(wait).await;
            self.host.pass().await;
            return Err(StoreError::Failed(format!("as the simulation wants it: {what}")));
        }
        let quorum = self.quorum();
        let wait = self.world.rng().millis(1, 4);
        tokio::time::sleep(wait).await;
        let seen = read(&mut self.world.tables(), quorum, self.world.now());
        self.host.pass().await;
        Ok(seen)
    }

    /// When a write that goes well arrives at the replicas: one of them may get it much later, or never.
    fn arrivals(&self) -> Arrivals {
        let now = self.world.now();
        let mut rng = self.world.rng();
        let mut arrivals = [0; 3].map(|_| now + rng.millis(1, 4));
        let straggler = rng.below(3) as usize;
        if self.world.is_rough() && rng.chance(0.1) {
            arrivals[straggler] = if rng.chance(0.3) { NEVER } else { now + rng.millis(10, LATE_MAX) };
        }
        arrivals
    }

    fn fate(&self) -> Fate {
        if self.world.is_cut_off(self.host.number) {
            return Fate::Fails([NEVER; 3]);
        }
        if !self.world.fails(0.06) {
            return Fate::Done;
        }
        let arrivals = self.arrivals();
        let mut rng = self.world.rng();
        Fate::Fails(match rng.below(10) {
            0..4 => [NEVER; 3],
            4..7 => arrivals,
            // On one replica alone: some reads see it and some do not.
            7 => [arrivals[0], NEVER, NEVER],
            _ => {
                let late = rng.millis(0, LATE_MAX);
                arrivals.map(|at| at.saturating_add(late))
            }
        })
    }

    async fn put(&self, shard: ShardId, part: Part, batch: &WriteBatch, stamp: u64) -> Result<(), StoreError> {
        let began = self.world.now();
        match self.fate() {
            Fate::Done => {
                let arrivals = self.arrivals();
                self.world.tables().put(shard, part, batch, stamp, arrivals);
                tokio::time::sleep(second(arrivals).saturating_sub(began)).await;
                Ok(())
            }
            Fate::Fails(arrivals) => {
                if arrivals != [NEVER; 3] {
                    self.are_late(batch);
                    self.put_some(shard, part, batch, stamp, arrivals);
                }
                let wait = self.world.rng().millis(1, 2000);
                tokio::time::sleep(wait).await;
                self.host.trouble(began, self.world.now());
                self.world.note(format_args!("{} {shard} {part:?} fail {arrivals:?}", self.host.name));
                Err(StoreError::Failed(format!("as the simulation wants it: {part:?}")))
            }
        }
    }

    /// What a write leaves that fails: all of it or, where rows depend on each other, some of the rows.
    fn put_some(&self, shard: ShardId, part: Part, batch: &WriteBatch, stamp: u64, arrivals: Arrivals) {
        let is_whole = !self.world.extras.merges
            || !matches!(part, Part::Groups | Part::Plans | Part::GroupClaims)
            || self.world.rng().chance(0.4);
        let put = |batch: &WriteBatch| self.world.tables().put(shard, part, batch, stamp, arrivals);
        if is_whole {
            return put(batch);
        }
        for row in &batch.groups {
            if self.world.rng().chance(0.5) {
                put(&WriteBatch { groups: vec![row.clone()], ..WriteBatch::default() });
            }
        }
        for plan in &batch.plans {
            if self.world.rng().chance(0.5) {
                put(&WriteBatch { plans: vec![plan.clone()], ..WriteBatch::default() });
            }
        }
    }

    fn are_late(&self, batch: &WriteBatch) {
        self.world.late.lock().expect("one thread").extend(batch.events.iter().map(|event| event.task));
    }

    /// Cursors that the broken variants write.
    fn untrue_cursors(&self, batch: &WriteBatch) -> Option<Cursors> {
        let last = batch.plans.iter().map(|plan| plan.position.offset).max();
        match self.world.variant {
            Variant::CursorEarly => {
                let task_block = last? / BLOCK_OFFSETS + 1;
                Some(Cursors { task_block, ..batch.cursors.unwrap_or_default() })
            }
            Variant::TimerCursorEarly if !batch.timers.is_empty() || batch.cursors.is_some() => {
                let timer_bucket = timer_bucket(self.host.now()) + 1;
                Some(Cursors { timer_bucket, ..batch.cursors.unwrap_or_default() })
            }
            _ => None,
        }
    }
}

#[async_trait]
impl TaskLog for SimStore {
    async fn write(&self, shard: ShardId, mut batch: WriteBatch) -> Result<(), StoreError> {
        if !self.host.is_running() {
            self.are_late(&batch);
        }
        self.host.pass().await;
        let stamp = self.host.stamp();
        batch.cursors = self.untrue_cursors(&batch).or(batch.cursors);
        batch.timers.retain(|row| self.world.variant != Variant::HeldLost || !row.key.is_held());
        self.world.note(format_args!(
            "{} {shard} write t{} p{} e{} c{:?}",
            self.host.name,
            batch.timers.len(),
            batch.plans.len(),
            batch.events.len(),
            batch.cursors.map(|cursors| (cursors.task_block, cursors.timer_bucket)),
        ));
        for row in &batch.groups {
            self.world.note(format_args!("    under {}: {:?}", row.leader.offset, row.entry));
        }
        for plan in batch.plans.iter().filter(|plan| plan.group.is_some()) {
            let group = plan.group.as_ref().map(|group| (group.key, group.until, group.is_first));
            self.world.note(format_args!("    {} {:?} {group:?}", plan.position.offset, plan.disposition));
        }
        let parts = match self.world.variant {
            Variant::EventFirst => Part::EVENTS_FIRST,
            Variant::GroupsLast => Part::GROUPS_LAST,
            _ => Part::IN_ORDER,
        };
        for part in parts.into_iter().filter(|part| part.is_in(&batch)) {
            self.put(shard, part, &batch, stamp).await?;
            self.host.pass().await;
        }
        Ok(())
    }

    async fn stories(&self, positions: &[Position]) -> Result<Vec<Option<Story>>, StoreError> {
        self.read("stories", |tables, quorum, now| {
            let story = |position: &Position| {
                let next = Position { offset: position.offset + 1, ..*position };
                tables.repair(*position..next, quorum, now);
                tables.story(*position, quorum, now)
            };
            positions.iter().map(story).collect()
        })
        .await
    }

    async fn block(&self, shard: ShardId, block: u64) -> Result<Vec<Story>, StoreError> {
        self.read("a block", |tables, quorum, now| {
            tables.repair(block_range(shard, block), quorum, now);
            tables.block(shard, block, quorum, now)
        })
        .await
    }

    async fn loose_events(&self, shard: ShardId, block: u64) -> Result<Vec<Event>, StoreError> {
        self.read("loose events", |tables, quorum, now| {
            tables.repair(block_range(shard, block), quorum, now);
            tables.loose_events(shard, block, quorum, now)
        })
        .await
    }

    async fn cursors(&self, shard: ShardId) -> Result<Cursors, StoreError> {
        let cursors = self.read("cursors", |tables, quorum, now| {
            tables.cursors.get_mut(&shard).and_then(|cell| cell.read_and_repair(quorum, now)).copied()
        });
        Ok(cursors.await?.unwrap_or_default())
    }

    async fn books(&self, _: ShardId) -> Result<Books, StoreError> {
        self.read("books", |_, _, _| Books::default()).await
    }
}

#[async_trait]
impl Timers for SimStore {
    async fn timers(
        &self,
        shard: ShardId,
        after: TimerKey,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<TimerRow>, StoreError> {
        self.read("timers", |tables, quorum, now| {
            let end = TimerKey { due: until, ..TimerKey::default() };
            let rows = tables.timers.range_mut((shard, after)..(shard, end));
            let rows = rows.filter(|((_, key), _)| *key > after);
            rows.filter_map(|(_, cell)| cell.read_and_repair(quorum, now)).take(limit).copied().collect()
        })
        .await
    }
}

#[async_trait]
impl ClaimRows for SimStore {
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<ClaimRow>>, StoreError> {
        self.read("claims", |tables, quorum, now| {
            let row = |key| tables.claims.get_mut(key).and_then(|cell| cell.read_and_repair(quorum, now)).copied();
            keys.iter().map(row).collect()
        })
        .await
    }
}

impl ReceivedRows for SimStore {}

/// No category has a budget here.
#[async_trait]
impl BudgetRows for SimStore {
    async fn draw(&self, _: &BudgetKey, _: u64, _: u64) -> Result<(), StoreError> {
        Ok(())
    }

    async fn drawn(&self, _: &BudgetKey) -> Result<Vec<(u64, u64)>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Groups for SimStore {
    async fn groups(&self, leaders: &[Position]) -> Result<Vec<Vec<GroupEntry>>, StoreError> {
        self.read("groups", |tables, quorum, now| {
            leaders.iter().map(|leader| tables.group(*leader, quorum, now)).collect()
        })
        .await
    }
}

#[async_trait]
impl History for SimStore {
    async fn history(
        &self,
        _: &str,
        _: &str,
        _: Option<HistoryEntry>,
        _: usize,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl DeadLetters for SimStore {
    async fn dead_letters(&self, _: &str, _: Option<DeadLetterKey>, _: usize) -> Result<Vec<DeadLetter>, StoreError> {
        Ok(Vec::new())
    }

    async fn dead_letter(&self, key: &DeadLetterKey) -> Result<Option<DeadLetter>, StoreError> {
        self.read("a dead letter", |tables, quorum, now| {
            tables.dead_letters.get_mut(key).and_then(|cell| cell.read_and_repair(quorum, now)).cloned().flatten()
        })
        .await
    }
}

/// Nothing is known of anybody here.
#[async_trait]
impl Users for SimStore {
    async fn users(&self, keys: &[UserKey]) -> Result<Vec<Option<User>>, StoreError> {
        Ok(vec![None; keys.len()])
    }

    async fn write_users(&self, _: Vec<UserChange>) -> Result<(), StoreError> {
        Err(StoreError::Failed("this store keeps no users".to_owned()))
    }
}

#[async_trait]
impl Suppressions for SimStore {
    async fn suppressions(&self, addresses: &[SuppressedAddress]) -> Result<Vec<Option<Suppression>>, StoreError> {
        Ok(vec![None; addresses.len()])
    }

    async fn write_suppressions(&self, _: Vec<SuppressionChange>) -> Result<(), StoreError> {
        Err(StoreError::Failed("this store keeps no suppressions".to_owned()))
    }

    async fn all_suppressions(
        &self,
        _: &str,
        _: Option<SuppressionPlace>,
        _: usize,
    ) -> Result<Vec<ListedSuppression>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl BrakeRows for SimStore {
    async fn brakes(&self) -> Result<Vec<Brake>, StoreError> {
        // A world without brakes is what it was before there were any.
        if !self.world.extras.brakes {
            return Ok(Vec::new());
        }
        self.read("brakes", |tables, quorum, now| {
            tables.brakes.values_mut().filter_map(|cell| cell.read_and_repair(quorum, now).cloned()).collect()
        })
        .await
    }

    async fn write_brake(&self, brake: &Brake) -> Result<(), StoreError> {
        self.host.pass().await;
        let (began, stamp) = (self.world.now(), self.host.stamp());
        let fate = self.fate();
        let arrivals = match &fate {
            Fate::Done => self.arrivals(),
            Fate::Fails(arrivals) => *arrivals,
        };
        self.world.tables().brakes.entry(brake.scope.clone()).or_default().put(stamp, brake.clone(), arrivals);
        match fate {
            Fate::Done => {
                tokio::time::sleep(second(arrivals).saturating_sub(began)).await;
                self.host.pass().await;
                Ok(())
            }
            Fate::Fails(_) => Err(StoreError::Failed("as the simulation wants it: a brake".to_owned())),
        }
    }
}

/// Nobody saves templates here.
#[async_trait]
impl TemplateRows for SimStore {
    async fn template_tenants(&self) -> Result<Vec<Box<str>>, StoreError> {
        Ok(Vec::new())
    }

    async fn append_template_change(&self, _: &str, _: &TemplateChange) -> Result<bool, StoreError> {
        Err(StoreError::Failed("this store keeps no templates".to_owned()))
    }

    async fn template_changes(&self, _: &str, _: u64, _: usize) -> Result<Vec<TemplateChange>, StoreError> {
        Ok(Vec::new())
    }

    async fn put_template_body(&self, _: &str, _: &TemplateBodyPlace, _: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::Failed("this store keeps no templates".to_owned()))
    }

    async fn template_bodies(&self, _: &str, places: &[TemplateBodyPlace]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        Ok(vec![None; places.len()])
    }

    async fn delete_template_body(&self, _: &str, _: &TemplateBodyPlace) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Nothing is old enough here.
impl Drops for SimStore {}

/// Nor defines anything.
#[async_trait]
impl DefinitionRows for SimStore {
    async fn definition_tenants(&self) -> Result<Vec<(Box<str>, u64)>, StoreError> {
        Ok(Vec::new())
    }

    async fn definitions(&self, _: &str) -> Result<Vec<Definition>, StoreError> {
        Ok(Vec::new())
    }

    async fn definition(&self, _: &str, _: DefinitionKind, _: &str) -> Result<Option<Definition>, StoreError> {
        Ok(None)
    }

    async fn put_definition(&self, _: &str, _: &Definition) -> Result<bool, StoreError> {
        Err(StoreError::Failed("this store keeps no definitions".to_owned()))
    }
}

/// Nor keeps anything for programs.
#[async_trait]
impl KeyedRows for SimStore {
    async fn put_keyed(&self, _: Vec<KeyedRow>) -> Result<(), StoreError> {
        Err(StoreError::Failed("this store keeps no such rows".to_owned()))
    }

    async fn keyed(&self, names: &[(KeyedPart, Box<[u8]>)]) -> Result<Vec<Option<Bytes>>, StoreError> {
        Ok(vec![None; names.len()])
    }

    async fn keyed_between(
        &self,
        _: &KeyedPart,
        _: Option<&[u8]>,
        _: Option<&[u8]>,
        _: usize,
    ) -> Result<Vec<NamedRow>, StoreError> {
        Ok(Vec::new())
    }
}
