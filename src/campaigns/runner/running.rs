//! One campaign as it is worked on: a step at a time, from counting its audience to its last message.
//!
//! The order of writes is the guarantee. Requests are in the log before the row of their chunk, that before the cursor moves past it; so
//! a chunk that was begun by a node that died is handed on again, and the retry keys make nothing of it twice.

use std::time::Duration;

use super::chunks::Chunks;
use super::outcome::Regrets;
use super::pace::{Rate, Window};
use super::{HANDED_ON, RunnerParts};
use crate::campaigns::desk::first_progress;
use crate::campaigns::{making, rows};
use crate::clock::Moment;
use crate::codec;
use crate::domain::{
    Audience, BrakeEffect, BrakeKind, BrakeScope, Campaign, CampaignCommand, CampaignProgress, CampaignStatus, Canary,
    ChunkResult,
};
use crate::homes::Tenure;
use crate::intake::AcceptError;
use crate::store::StoreError;

/// Members handed on at once.
const CHUNK: usize = 1000;
/// Rows counted in one step.
const COUNTED_PER_STEP: usize = 2_000;
/// Chunks that are looked at in one step.
const LOOKS_PER_STEP: usize = 8;

/// Bytes of the requests that are handed on at once.
const CHUNK_BYTES: usize = 16 << 20;
/// Rows of a filtered audience that are read at least: those who are not meant take no room.
const FILTERED_ROWS_MIN: usize = 200;
/// Chunks of those told first that are asked after: so many people tell enough.
const CANARY_CHUNKS_MAX: u32 = 50;
/// Of those told first, so many must have been tried before too many failures stop the campaign early.
const TRIED_MIN: u64 = 20;

/// How often progress is written down that nothing depends on.
const WRITE_INTERVAL: Duration = Duration::from_millis(400);
/// How often those told first are asked after.
const CANARY_INTERVAL: Duration = Duration::from_secs(15);
/// The longest wait of a step that has nothing to do.
const IDLE: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(100);

/// A campaign that is open.
pub(super) struct Running {
    pub(super) campaign: Campaign,
    pub(super) progress: CampaignProgress,
    /// As it was last written.
    written: CampaignProgress,
    written_at: Moment,
    pub(super) command: CampaignCommand,
    chunks: Chunks,
    window: Window,
    rate: Option<Rate>,
    /// Since when all of those told first are over.
    canary_since: Option<Moment>,
    canary_asked: Moment,
    /// Why it is to stop once what was handed on is over.
    regret: Option<String>,
    /// Members whose requests may be handed on at once.
    chunk: usize,
    tenure: Tenure,
}

impl Running {
    /// As its rows have it.
    pub(super) async fn load(
        parts: &RunnerParts,
        tenure: &Tenure,
        campaign: Campaign,
        command: CampaignCommand,
    ) -> Result<Self, StoreError> {
        let now = parts.clock.moment();
        let held = parts.campaigns.progress(campaign.id).await?;
        let progress = held.unwrap_or_else(|| first_progress(&campaign));
        let chunks = Chunks::load(parts.campaigns.store(), campaign.id, progress.chunks, now).await?;
        Ok(Self {
            written: progress.clone(),
            written_at: now,
            rate: campaign.rate_per_second.map(|rate| Rate::new(rate, now)),
            chunks,
            window: Window::new(now),
            canary_since: None,
            canary_asked: now,
            regret: None,
            // Twice: the request, and the record that is made of it.
            chunk: (CHUNK_BYTES / (2 * codec::encode_request(&campaign.message).len() + 1024)).clamp(1, CHUNK),
            tenure: tenure.clone(),
            command,
            progress,
            campaign,
        })
    }

    /// Somebody wants something else of it. What was held until now is under way again, or taken back.
    pub(super) fn obey(&mut self, command: CampaignCommand, now: Moment) {
        self.command = command;
        self.chunks.look_at_all(now);
    }

    /// A piece of its work; how long to wait for the next.
    pub(super) async fn step(&mut self, parts: &RunnerParts) -> Result<Duration, StoreError> {
        if self.progress.status.is_over() {
            return Ok(IDLE);
        }
        self.mind_pauses(parts);
        self.settle(parts).await?;
        if self.command == CampaignCommand::Cancel {
            return self.cancel(parts).await;
        }
        let pause = match self.progress.status {
            _ if self.command == CampaignCommand::Pause => IDLE,
            CampaignStatus::Counting => self.count(parts).await?,
            CampaignStatus::Waiting => self.wait(parts),
            CampaignStatus::Running => self.hand_on(parts, None).await?,
            CampaignStatus::Canary => self.canary(parts).await?,
            CampaignStatus::Finishing => self.finish(parts),
            CampaignStatus::Completed | CampaignStatus::Cancelled | CampaignStatus::Stopped => IDLE,
        };
        self.write_now_and_then(parts).await?;
        let pause = if self.progress == self.written { pause } else { pause.min(WRITE_INTERVAL) };
        let until_look = self.chunks.next_look().map(|at| at.since(parts.clock.moment()));
        Ok(until_look.map_or(pause, |until| until.min(pause)))
    }

    /// How long it is paused says nothing of how fast it is.
    fn mind_pauses(&mut self, parts: &RunnerParts) {
        let is_paused = self.command == CampaignCommand::Pause && self.progress.started_at.is_some();
        let now = parts.clock.now();
        match (is_paused, self.progress.paused_at) {
            (true, None) => self.progress.paused_at = Some(now),
            (false, Some(at)) => {
                self.progress.paused += now.since(at);
                self.progress.paused_at = None;
            }
            _ => {}
        }
    }

    /// Looks what became of what was handed on.
    async fn settle(&mut self, parts: &RunnerParts) -> Result<(), StoreError> {
        let store = parts.campaigns.store();
        let looked = self.chunks.look(store, self.campaign.id, &*parts.clock, LOOKS_PER_STEP).await?;
        self.window.note(looked.ended, parts.clock.moment());
        if !looked.closed.is_empty() {
            self.may_write()?;
        }
        let mut rows = Vec::with_capacity(looked.closed.len());
        for (number, _, missed) in &looked.closed {
            if !missed.is_empty() {
                rows.push(rows::missed_row(self.campaign.id, *number, missed));
            }
        }
        // The result says that it is over: who got nothing is known by then.
        if !rows.is_empty() {
            parts.campaigns.put(rows).await?;
        }
        let results =
            looked.closed.iter().map(|(number, result, _)| rows::result_row(self.campaign.id, *number, result));
        let results: Vec<_> = results.collect();
        if !results.is_empty() {
            parts.campaigns.put(results).await?;
        }
        self.chunks.close(&looked.closed);
        let ChunkResult { succeeded, failed, skipped } = self.chunks.result();
        let progress = &mut self.progress;
        (progress.succeeded, progress.failed, progress.skipped) = (succeeded, failed, skipped);
        Ok(())
    }

    async fn count(&mut self, parts: &RunnerParts) -> Result<Duration, StoreError> {
        let page = parts.members.page(&self.campaign, &self.progress.cursor, COUNTED_PER_STEP).await?;
        self.progress.counted += page.members.len() as u64;
        if !page.is_last {
            self.progress.cursor = page.cursor;
            return Ok(Duration::ZERO);
        }
        let total = self.progress.counted;
        self.progress.total = Some(total);
        self.progress.cursor = Box::default();
        if let Some(ceiling) = self.campaign.ceiling.filter(|ceiling| total > *ceiling) {
            let reason = format!("its audience is {total}, and its ceiling {ceiling}: nothing was sent");
            self.leave_out("stopped");
            self.stop(&reason);
        } else {
            self.progress.status = CampaignStatus::Waiting;
        }
        self.write(parts).await?;
        Ok(Duration::ZERO)
    }

    fn wait(&mut self, parts: &RunnerParts) -> Duration {
        let now = parts.clock.now();
        if now < self.campaign.starts_at {
            return self.campaign.starts_at.since(now).min(IDLE);
        }
        self.progress.started_at = Some(now);
        let is_tried = self.campaign.canary.is_some();
        self.progress.status = if is_tried { CampaignStatus::Canary } else { CampaignStatus::Running };
        Duration::ZERO
    }

    /// Hands the next chunk on, if there is room; of at most `quota` members if there is one.
    async fn hand_on(&mut self, parts: &RunnerParts, quota: Option<u64>) -> Result<Duration, StoreError> {
        let moment = parts.clock.moment();
        let mut room = self.window.room(self.chunks.under_way()).min(self.chunk);
        // A page takes a round trip: it is worth it for some of them, or for the last ones.
        if room < self.chunk.div_ceil(4) {
            return Ok(SOON);
        }
        if let Some(quota) = quota {
            room = room.min(usize::try_from(quota).unwrap_or(usize::MAX));
        }
        if let Some(rate) = &mut self.rate {
            room = room.min(rate.available(moment));
            if room == 0 {
                return Ok(rate.wait().clamp(SOON, IDLE));
            }
        }
        let is_filtered = matches!(self.campaign.audience, Audience::Segment { .. } | Audience::Day { .. });
        let rows = if is_filtered { room.max(FILTERED_ROWS_MIN.min(self.chunk)) } else { room };
        let page = parts.members.page(&self.campaign, &self.progress.cursor, rows).await?;
        let count = page.members.len();
        if count > 0 {
            let now = parts.clock.now();
            let requests = page.members.iter().map(|member| making::request(&self.campaign, member, now)).collect();
            let accepted = match parts.acceptor.accept(requests).await {
                Ok(accepted) => accepted,
                Err(AcceptError::Unavailable { reason, retry_after }) => {
                    tracing::warn!(reason, "a campaign waits: nothing can be accepted now");
                    return Ok(retry_after.clamp(SOON, IDLE));
                }
                // Its keys are for no body.
                Err(error @ AcceptError::Conflict { .. }) => return Err(StoreError::Unreadable(error.to_string())),
            };
            // That took long: whoever has the home by now hands the same chunk on, and nothing comes of it twice.
            self.may_write()?;
            let members = page.members.into_iter().map(|member| member.name);
            let members: Vec<_> = members.zip(accepted.iter().map(|accepted| accepted.id)).collect();
            let number = self.progress.chunks;
            parts.campaigns.put(vec![rows::members_row(self.campaign.id, number, &members)]).await?;
            self.progress.chunks += 1;
            self.chunks.insert(number, members, parts.clock.moment());
        }
        HANDED_ON.with([self.campaign.kind.name()]).increment(count as u64);
        if let Some(rate) = &mut self.rate {
            rate.spend(count);
        }
        self.progress.handed_on += count as u64;
        self.progress.rows_read += page.rows_read;
        self.progress.cursor = page.cursor;
        if page.is_last {
            self.progress.total = Some(self.progress.handed_on);
            self.progress.status = CampaignStatus::Finishing;
        }
        // Rows that nobody is meant by are read again after a crash: that they were need not be durable.
        if count > 0 || page.is_last {
            self.write(parts).await?;
        }
        Ok(Duration::ZERO)
    }

    /// Hands on to those told first, waits for what becomes of it, and goes on or stops.
    async fn canary(&mut self, parts: &RunnerParts) -> Result<Duration, StoreError> {
        let Some(canary) = self.campaign.canary else {
            self.progress.status = CampaignStatus::Running;
            return Ok(Duration::ZERO);
        };
        if self.regret.is_none() {
            self.regret = self.regretted_so_far(canary);
            if self.regret.is_some() {
                self.recall(parts, true).await?;
            }
        }
        if let Some(reason) = self.regret.clone() {
            return self.stop_when_over(parts, &reason).await;
        }
        let total = self.progress.total.unwrap_or_default();
        let quota = ((total as f64 * canary.share).ceil() as u64).min(total);
        if self.progress.handed_on < quota {
            return self.hand_on(parts, Some(quota - self.progress.handed_on)).await;
        }
        // What waits for a time of its own has not been tried.
        if !self.chunks.is_empty() {
            return Ok(SOON);
        }
        let moment = parts.clock.moment();
        let since = *self.canary_since.get_or_insert(moment);
        let wait = Duration::from_secs(u64::from(canary.wait_seconds));
        let is_last = moment.since(since) >= wait;
        if !is_last && moment.since(self.canary_asked) < CANARY_INTERVAL {
            return Ok(CANARY_INTERVAL.min(wait));
        }
        self.canary_asked = moment;
        self.regret = self.regretted(parts, canary, is_last).await?;
        if self.regret.is_none() && is_last {
            self.progress.status = CampaignStatus::Running;
            self.write(parts).await?;
        }
        Ok(if is_last || self.regret.is_some() { Duration::ZERO } else { CANARY_INTERVAL.min(wait) })
    }

    /// Why it should not go on, after what is counted of those told first.
    fn regretted_so_far(&self, canary: Canary) -> Option<String> {
        let CampaignProgress { succeeded, failed, .. } = self.progress;
        let tried = succeeded + failed;
        let is_regretted = tried >= TRIED_MIN && failed as f64 > tried as f64 * canary.bounces_max;
        is_regretted.then(|| format!("of the first {tried} messages {failed} failed: more than the canary allows"))
    }

    /// The same, after what was told of them since.
    async fn regretted(
        &self,
        parts: &RunnerParts,
        canary: Canary,
        is_last: bool,
    ) -> Result<Option<String>, StoreError> {
        let (store, chunks) = (parts.campaigns.store(), self.progress.chunks.min(CANARY_CHUNKS_MAX));
        let regrets = Chunks::regrets(store, self.campaign.id, chunks, parts.clock.now()).await?;
        let Regrets { tried, bounced, complained } = regrets;
        if tried == 0 {
            let reason = "none of the first messages was sent: see who was missed and why";
            return Ok(is_last.then(|| reason.to_owned()));
        }
        let is_over = |count: u64, max: f64| count as f64 > tried as f64 * max;
        Ok(if is_over(bounced, canary.bounces_max) {
            Some(format!("of the first {tried} messages {bounced} failed or bounced: more than the canary allows"))
        } else if is_over(complained, canary.complaints_max) {
            Some(format!(
                "of the first {tried} messages {complained} were complained about: more than the canary allows"
            ))
        } else {
            None
        })
    }

    /// What was handed on is taken back, or not any more.
    async fn recall(&self, parts: &RunnerParts, is_on: bool) -> Result<(), StoreError> {
        let (tenant, name) = (self.campaign.tenant.clone(), self.campaign.id.to_string().into());
        let scope = BrakeScope { tenant, kind: BrakeKind::Campaign, name };
        parts.brakes.change(scope, BrakeEffect::Recall, is_on, parts.clock.now(), None).await.map(drop)
    }

    /// Ends as stopped once nothing of it is open.
    async fn stop_when_over(&mut self, parts: &RunnerParts, reason: &str) -> Result<Duration, StoreError> {
        if !self.chunks.is_empty() {
            return Ok(SOON);
        }
        self.recall(parts, false).await?;
        self.leave_out("stopped");
        self.stop(reason);
        self.write(parts).await?;
        Ok(Duration::ZERO)
    }

    /// Those that nothing was handed on for are counted as skipped.
    fn leave_out(&mut self, reason: &str) {
        let left = self.progress.total.unwrap_or_default().saturating_sub(self.progress.handed_on);
        if left > 0 {
            self.progress.add_skipped(reason, left);
        }
    }

    fn may_write(&self) -> Result<(), StoreError> {
        match self.tenure.holds() {
            true => Ok(()),
            false => Err(StoreError::Failed("the home is another node's by now".to_owned())),
        }
    }

    fn finish(&mut self, parts: &RunnerParts) -> Duration {
        if self.chunks.is_empty() {
            self.end(CampaignStatus::Completed, parts);
        }
        IDLE
    }

    /// Nothing more is handed on; what was is recalled by its brake, and waited for.
    async fn cancel(&mut self, parts: &RunnerParts) -> Result<Duration, StoreError> {
        if self.chunks.is_empty() {
            // Before it is over: who comes after a crash does it again.
            self.recall(parts, false).await?;
            self.leave_out("cancelled");
            self.end(CampaignStatus::Cancelled, parts);
            self.write(parts).await?;
            return Ok(IDLE);
        }
        self.write_now_and_then(parts).await?;
        Ok(self.chunks.next_look().map_or(IDLE, |at| at.since(parts.clock.moment()).min(IDLE)))
    }

    fn stop(&mut self, reason: &str) {
        tracing::warn!(campaign = %self.campaign.id, reason, "a campaign stopped itself");
        self.progress.status = CampaignStatus::Stopped;
        self.progress.reason = Some(reason.into());
    }

    fn end(&mut self, status: CampaignStatus, parts: &RunnerParts) {
        self.progress.status = status;
        self.progress.ended_at = Some(parts.clock.now());
    }

    async fn write_now_and_then(&mut self, parts: &RunnerParts) -> Result<(), StoreError> {
        let is_time = parts.clock.moment().since(self.written_at) >= WRITE_INTERVAL;
        let is_turn = self.progress.status != self.written.status;
        if self.progress == self.written || !(is_time || is_turn) {
            return Ok(());
        }
        self.write(parts).await
    }

    async fn write(&mut self, parts: &RunnerParts) -> Result<(), StoreError> {
        self.may_write()?;
        if self.progress.status.is_over() && self.progress.ended_at.is_none() {
            self.progress.ended_at = Some(parts.clock.now());
        }
        self.progress.written_at = parts.clock.now();
        let id = self.campaign.id;
        parts.campaigns.put(vec![rows::progress_row(id, &self.progress)]).await?;
        if self.progress.status.is_over() {
            // Only now: until here whoever takes over goes on with it.
            parts.campaigns.close(&self.campaign, &self.progress).await?;
        }
        (self.written, self.written_at) = (self.progress.clone(), parts.clock.moment());
        Ok(())
    }
}
