//! The work of the archive: one order at a time, at one home of all, a few blocks in a turn, and as long a pause after each.
//!
//! What it has in memory is the piece that is being put together, which is not written down before it is whole: a crash loses the reading
//! of it. A piece that is being carried out is found in its row.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use xxhash_rust::xxh3::xxh3_128;

use super::choice::{Rule, has_notifications};
use super::piece::NotOurs;
use super::walk::{Campaigns, Haul, Seen};
use super::{AGE_MIN, Archive, metrics, rows};
use crate::clock::Moment;
use crate::codec;
use crate::domain::{ArchiveCounts, ArchiveId, ArchiveOrder, ArchiveState, ShardId, Timestamp};
use crate::homes::{Tenure, Turns, Wake, Work, home_of};
use crate::store::StoreError;

/// How often it is looked whether something was ordered, here or on another node.
const LOOK: Duration = Duration::from_secs(1);
/// At the homes that have nothing to do.
const IDLE: Duration = Duration::from_secs(600);
/// After so long, or so many blocks, others have their turn.
const TURN_MAX: Duration = Duration::from_millis(250);
const TURN_BLOCKS: usize = 64;
/// Pauses are as long as the turn before, so that half of the time is left to others, and no longer than this.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often the retention takes what has come of age.
const RETENTION_INTERVAL: Duration = Duration::from_secs(86_400);
/// How often it is looked whether it is its time.
const RETENTION_LOOK: Duration = Duration::from_secs(60);
/// What the home of the archive is found by.
const HOME: &[u8] = b"archive";

/// Carries orders out at the home of the archive.
pub struct ArchiveWork {
    archive: Arc<Archive>,
}

impl ArchiveWork {
    pub fn new(archive: Arc<Archive>) -> Self {
        Self { archive }
    }
}

#[async_trait]
impl Work for ArchiveWork {
    fn kind(&self) -> &'static str {
        "archive"
    }

    async fn begin(&self, tenure: Tenure) -> Result<Box<dyn Turns>, StoreError> {
        if tenure.home != home_of(HOME) {
            return Ok(Box::new(Nothing));
        }
        let archive = self.archive.clone();
        // Not right after a start: cursors that lag behind would leave much of it for the next day.
        let looked_at = Some(archive.parts.clock.moment());
        Ok(Box::new(HomeArchive { archive, tenure, running: None, is_known: false, looked_at }))
    }

    fn wake(&self) -> &Wake {
        &self.archive.wake
    }
}

/// One home has the archive, the others nothing.
struct Nothing;

#[async_trait]
impl Turns for Nothing {
    async fn turn(&mut self) -> Result<Duration, StoreError> {
        Ok(IDLE)
    }
}

struct HomeArchive {
    archive: Arc<Archive>,
    tenure: Tenure,
    running: Option<Running>,
    /// It was looked whether a piece was left by whoever had the home before.
    is_known: bool,
    /// When it was last looked whether it is the retention's time.
    looked_at: Option<Moment>,
}

/// An order that is being carried out.
struct Running {
    order: ArchiveOrder,
    /// Those to be walked through, the next one last.
    shards: Vec<ShardId>,
    at: Option<AtShard>,
    campaigns: Campaigns,
}

/// A shard that is being walked through.
struct AtShard {
    rule: Rule,
    haul: Haul,
    stage: Stage,
}

enum Stage {
    /// The blocks that were passed and held something still, after the row of this name.
    Left(Option<Box<[u8]>>),
    /// From this block on.
    Walk(u64),
    Over,
}

#[async_trait]
impl Turns for HomeArchive {
    async fn turn(&mut self) -> Result<Duration, StoreError> {
        let clock = self.archive.parts.clock.clone();
        let began = clock.moment();
        if !self.tenure.holds() {
            return Ok(LOOK);
        }
        if !self.is_known {
            self.take_up().await?;
            self.is_known = true;
        }
        let Some(mut running) = self.running.take() else {
            return self.begin_next().await;
        };
        // In memory it may be ahead of the rows after an error, and is then read again.
        let outcome = self.go_on(&mut running).await;
        if let Err(error) = &outcome {
            self.tell(&running.order, error).await;
        }
        if outcome? {
            self.running = Some(running);
        } else {
            // It is over, or was given up in the middle of a piece.
            self.is_known = false;
        }
        Ok(clock.moment().since(began).min(PAUSE_MAX))
    }
}

impl HomeArchive {
    /// Carries out to its end what was begun before.
    async fn take_up(&self) -> Result<(), StoreError> {
        let archive = &self.archive;
        let Some(piece) = archive.unfinished().await? else { return Ok(()) };
        let Some(mut order) = archive.open(Some(piece.order)).await? else {
            // Its end was written before it went.
            return archive.parts.store.put_keyed(vec![rows::piece_row(None)]).await;
        };
        let haul = archive.haul_of(piece).await?;
        let carried_out = archive.carry_out(&mut order, haul, &self.tenure).await;
        if let Err(error) = &carried_out {
            self.tell(&order, error).await;
        }
        carried_out?.map_err(|NotOurs| StoreError::Failed("the home is another node's".to_owned()))
    }

    /// Writes into the order why it stands still, for who looks; a store that fails has no place for that.
    async fn tell(&self, order: &ArchiveOrder, error: &StoreError) {
        let told = ArchiveOrder { error: Some(error.to_string().into()), ..order.clone() };
        if self.tenure.holds() {
            _ = self.archive.save(&told).await;
        }
    }

    /// The next order; how long to wait where there is none.
    async fn begin_next(&mut self) -> Result<Duration, StoreError> {
        let archive = self.archive.clone();
        let moment = archive.parts.clock.moment();
        if self.looked_at.is_none_or(|at| moment.since(at) >= RETENTION_LOOK) {
            archive.order_retention().await?;
            self.looked_at = Some(moment);
        }
        let Some(mut order) = archive.open(None).await? else { return Ok(LOOK) };
        if order.tenant.is_some() && !archive.has_place() {
            let error = "there is no place for files any more: set `archive.to`, and run it again";
            (order.state, order.error) = (ArchiveState::Failed, Some(error.into()));
            archive.end(&mut order).await?;
            return Ok(Duration::ZERO);
        }
        if order.state == ArchiveState::Waiting {
            order.state = ArchiveState::Running;
            archive.save(&order).await?;
        }
        let mut shards = archive.shards().await?;
        shards.reverse();
        self.running = Some(Running { order, shards, at: None, campaigns: Campaigns::new() });
        Ok(Duration::ZERO)
    }

    /// Does a piece of the work; whether there is more.
    async fn go_on(&self, running: &mut Running) -> Result<bool, StoreError> {
        let archive = &self.archive;
        let Some(at) = &mut running.at else {
            let Some(shard) = running.shards.pop() else {
                running.order.state = ArchiveState::Done;
                archive.end(&mut running.order).await?;
                return Ok(false);
            };
            let rule = archive.rule(&running.order, shard).await?;
            let haul = Haul::new(&running.order, shard);
            running.at = Some(AtShard { rule, haul, stage: Stage::Left(None) });
            return Ok(true);
        };
        let began = archive.parts.clock.moment();
        for _ in 0..TURN_BLOCKS {
            let is_enough = archive.parts.clock.moment().since(began) >= TURN_MAX;
            if is_enough || at.haul.is_full() || matches!(at.stage, Stage::Over) {
                break;
            }
            at.step(archive, &running.order, &mut running.campaigns).await?;
        }
        let is_over = matches!(at.stage, Stage::Over);
        if !at.haul.is_full() && !is_over {
            return Ok(true);
        }
        let fresh = Haul::new(&running.order, at.haul.piece.shard);
        let haul = std::mem::replace(&mut at.haul, fresh);
        if !haul.is_empty() && archive.carry_out(&mut running.order, haul, &self.tenure).await? == Err(NotOurs) {
            return Ok(false);
        }
        if is_over {
            running.at = None;
        }
        Ok(true)
    }
}

impl AtShard {
    /// Looks at one block.
    async fn step(
        &mut self,
        archive: &Archive,
        order: &ArchiveOrder,
        campaigns: &mut Campaigns,
    ) -> Result<(), StoreError> {
        let (tenant, shard) = (order.tenant.as_deref(), self.haul.piece.shard);
        let store = &archive.parts.store;
        match &mut self.stage {
            Stage::Left(after) => {
                let left = store.keyed_between(&rows::left(tenant, shard), after.as_deref(), None, 1).await?;
                let Some((name, _)) = left.into_iter().next() else {
                    let next = store.keyed(&[rows::next_place(tenant, shard)]).await?.pop().flatten();
                    let next = next.map(|body| codec::decode_mark(&body)).transpose()?.unwrap_or(0);
                    self.stage = Stage::Walk(next);
                    return Ok(());
                };
                let block = rows::read_left_name(&name);
                self.stage = Stage::Left(Some(name));
                let Some(block) = block else { return Ok(()) };
                let seen = archive.look(order, &self.rule, block, &mut self.haul, campaigns).await?;
                if seen == Seen::Cleared {
                    self.haul.piece.cleared.push(block);
                }
            }
            Stage::Walk(block) => {
                let block = *block;
                let seen = archive.look(order, &self.rule, block, &mut self.haul, campaigns).await?;
                if seen == Seen::Left {
                    self.haul.piece.left.push(block);
                }
                if seen == Seen::End {
                    self.stage = Stage::Over;
                    return Ok(());
                }
                self.haul.piece.next = Some(block + 1);
                self.stage = Stage::Walk(block + 1);
            }
            Stage::Over => {}
        }
        Ok(())
    }
}

impl Archive {
    /// Every shard with notifications, in order.
    async fn shards(&self) -> Result<Vec<ShardId>, StoreError> {
        let mut shards = self.parts.store.shards().await?;
        shards.extend(&self.parts.shards);
        shards.retain(|shard| has_notifications(*shard));
        shards.sort_unstable();
        shards.dedup();
        Ok(shards)
    }

    async fn end(&self, order: &mut ArchiveOrder) -> Result<(), StoreError> {
        order.ended_at = Some(self.parts.clock.now());
        self.save(order).await?;
        metrics::ended(order);
        let ArchiveCounts { written, dropped, files, left_open, .. } = order.counts;
        tracing::info!(state = order.state.name(), written, dropped, files, left_open, "an order to archive is over");
        self.forget().await
    }

    /// Makes the order of the retention, once a day.
    async fn order_retention(&self) -> Result<(), StoreError> {
        let Some(age) = self.parts.retention else { return Ok(()) };
        let interval = RETENTION_INTERVAL.as_millis() as u64;
        let day = self.parts.clock.now().millis() / interval;
        // The same on whichever node, and however often it is looked.
        let made_at = Timestamp(day * interval);
        let order = ArchiveOrder {
            id: ArchiveId(xxh3_128(&[b"retention", &day.to_be_bytes()[..]].concat())),
            tenant: None,
            made_at,
            before: made_at - age.max(AGE_MIN),
            state: ArchiveState::Waiting,
            counts: ArchiveCounts::default(),
            ended_at: None,
            error: None,
        };
        self.order(&order).await
    }
}
