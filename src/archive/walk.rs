//! The walk through a shard: reads a block, and takes out of it what may go.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::choice::{Fate, Rule};
use super::file::Files;
use super::{Archive, ArchiveParts};
use crate::domain::{ArchiveOrder, ArchivePiece, BLOCK_OFFSETS, CampaignId, Position, ShardId, Story};
use crate::log::LogError;
use crate::store::{GroupEntry, StoreError};

/// Of a piece, and so of a file: a minute's work at most, and what memory holds of it some 50 MB at most.
const RECORDS_MAX: usize = 20_000;
const BYTES_MAX: usize = 16 << 20;

/// A piece that is being put together, with its files.
pub(super) struct Haul {
    pub(super) piece: ArchivePiece,
    pub(super) files: Files,
}

/// What was seen of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// All in it that was asked for goes.
    Cleared,
    /// Some of it stays for now.
    Left,
    /// The walk ends here for this time.
    End,
}

impl Haul {
    pub(super) fn new(order: &ArchiveOrder, shard: ShardId) -> Self {
        let piece = ArchivePiece {
            order: order.id,
            shard,
            picks: Vec::new(),
            next: None,
            left: Vec::new(),
            cleared: Vec::new(),
            is_checked: false,
            counts: Default::default(),
        };
        Self { piece, files: Files::default() }
    }

    pub(super) fn is_full(&self) -> bool {
        // A block more must fit as well.
        self.records() + BLOCK_OFFSETS as usize > RECORDS_MAX || self.files.bytes >= BYTES_MAX
    }

    pub(super) fn records(&self) -> usize {
        self.piece.picks.iter().map(|(_, offsets)| offsets.len()).sum()
    }

    /// Nothing is to be written down of it.
    pub(super) fn is_empty(&self) -> bool {
        let ArchivePiece { picks, next, left, cleared, .. } = &self.piece;
        picks.is_empty() && next.is_none() && left.is_empty() && cleared.is_empty()
    }
}

/// The campaigns of whose messages it was asked whether they are over.
pub(super) type Campaigns = HashMap<CampaignId, bool>;

impl Archive {
    /// What is to be known of a shard before it is walked through.
    pub(super) async fn rule(&self, order: &ArchiveOrder, shard: ShardId) -> Result<Rule, StoreError> {
        let ArchiveParts { store, log, clock, .. } = &self.parts;
        let committed = log.committed(shard).await.map_err(|error: LogError| StoreError::Failed(error.to_string()))?;
        let cursors = store.cursors(shard).await?;
        Ok(Rule { before: order.before, now: clock.now(), cursors, committed })
    }

    /// Reads a block, and adds what may go to the haul.
    pub(super) async fn look(
        &self,
        order: &ArchiveOrder,
        rule: &Rule,
        block: u64,
        haul: &mut Haul,
        campaigns: &mut Campaigns,
    ) -> Result<Seen, StoreError> {
        let stories = self.parts.store.block(haul.piece.shard, block).await?;
        let mut seen = if block >= rule.last_block() { Seen::End } else { Seen::Cleared };
        let mut gone = Vec::new();
        for story in stories {
            let fate = rule.fate(&story);
            if fate == Fate::Young {
                seen = Seen::End;
            }
            if order.tenant.as_ref().is_some_and(|tenant| *tenant != story.plan.tenant) || fate == Fate::Young {
                continue;
            }
            if fate == Fate::Goes && !self.is_needed(&story, campaigns).await? {
                gone.push(story);
                continue;
            }
            haul.piece.counts.left_open += 1;
            if seen == Seen::Cleared {
                seen = Seen::Left;
            }
        }
        if !gone.is_empty() {
            haul.piece.picks.push((block, gone.iter().map(|story| story.plan.position.offset).collect()));
            self.write_down(gone, &mut haul.files).await?;
        }
        Ok(seen)
    }

    async fn is_needed(&self, story: &Story, campaigns: &mut Campaigns) -> Result<bool, StoreError> {
        let Some(campaign) = story.plan.campaign else { return Ok(false) };
        Ok(match campaigns.entry(campaign) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(place) => *place.insert(self.parts.needs.is_open(&story.plan.tenant, campaign).await?),
        })
    }

    /// Adds the lines of these notifications to the files, if there is a place for them.
    pub(super) async fn write_down(&self, stories: Vec<Story>, files: &mut Files) -> Result<(), StoreError> {
        if self.parts.place.is_none() {
            return Ok(());
        }
        let leaders: Vec<Position> =
            stories.iter().filter(|story| story.plan.is_leader()).map(|story| story.plan.position).collect();
        let entries = if leaders.is_empty() { Vec::new() } else { self.parts.store.groups(&leaders).await? };
        let groups: HashMap<Position, Vec<GroupEntry>> = leaders.into_iter().zip(entries).collect();
        let lines = Arc::clone(&self.parts.lines);
        let mut taken = std::mem::take(files);
        // Making the lines of a block takes some ten milliseconds.
        let made = tokio::task::spawn_blocking(move || {
            for story in &stories {
                let entries = groups.get(&story.plan.position).map(Vec::as_slice);
                taken.add(story, &lines.line(story, entries));
            }
            taken
        });
        *files = made.await.map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(())
    }
}
