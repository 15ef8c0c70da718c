//! Version 1 of runs of schedules, frozen: never edit a field here, make a `schedule_v2.rs`.

use bincode::{Decode, Encode};

use super::CodecError;
use crate::domain::{CampaignId, RunKind, RunState, ScheduleRun, Timestamp};

#[derive(Encode, Decode)]
pub(super) struct Run {
    due_at: u64,
    started_at: u64,
    kind: u8,
    state: u8,
    missed: u32,
    version: u64,
    key: u128,
    campaigns: Vec<u128>,
    events: u32,
    error: Option<Box<str>>,
}

impl Run {
    pub(super) fn of(run: &ScheduleRun) -> Self {
        Self {
            due_at: run.due_at.millis(),
            started_at: run.started_at.millis(),
            kind: run.kind as u8,
            state: run.state as u8,
            missed: run.missed,
            version: run.version,
            key: run.key,
            campaigns: run.campaigns.iter().map(|id| id.0).collect(),
            events: run.events,
            error: run.error.clone(),
        }
    }

    pub(super) fn into_domain(self) -> Result<ScheduleRun, CodecError> {
        let unknown = |what: &str| CodecError::Damaged(format!("it has a {what} that nobody knows"));
        Ok(ScheduleRun {
            due_at: Timestamp(self.due_at),
            started_at: Timestamp(self.started_at),
            kind: RunKind::from_index(usize::from(self.kind)).ok_or_else(|| unknown("kind"))?,
            state: RunState::from_index(usize::from(self.state)).ok_or_else(|| unknown("state"))?,
            missed: self.missed,
            version: self.version,
            key: self.key,
            campaigns: self.campaigns.into_iter().map(CampaignId).collect(),
            events: self.events,
            error: self.error,
        })
    }
}
