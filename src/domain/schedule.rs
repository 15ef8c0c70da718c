//! Runs of schedules, as they are kept and shown.

use super::{CampaignId, Timestamp};

/// Why a schedule ran. The numbers are those of the rows and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunKind {
    /// Its time had come.
    Due = 0,
    /// Its time had come while nobody ran it.
    CaughtUp = 1,
    /// Somebody asked for it.
    Manual = 2,
}

impl RunKind {
    pub const ALL: [RunKind; 3] = [Self::Due, Self::CaughtUp, Self::Manual];

    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    pub fn name(self) -> &'static str {
        ["due", "caught_up", "manual"][self as usize]
    }
}

/// Where a run is. The numbers are those of the rows and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunState {
    /// What it begins may not be begun yet.
    Starting = 0,
    /// All that it begins was handed on.
    Begun = 1,
    /// It can begin nothing as it is defined; why is said.
    Failed = 2,
    /// It came too late and was not caught up, as its schedule wants it.
    Skipped = 3,
}

impl RunState {
    pub const ALL: [RunState; 4] = [Self::Starting, Self::Begun, Self::Failed, Self::Skipped];

    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    pub fn name(self) -> &'static str {
        ["starting", "begun", "failed", "skipped"][self as usize]
    }
}

/// One run of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRun {
    /// The time that the cron expression names; of a manual one when it was asked for.
    pub due_at: Timestamp,
    pub started_at: Timestamp,
    pub kind: RunKind,
    pub state: RunState,
    /// Due times before this one that passed while nobody ran it: they are not run.
    pub missed: u32,
    /// Of the schedule's definition.
    pub version: u64,
    /// What manual ones are told apart by; 0 for the others, of which there is one for each due time.
    pub key: u128,
    /// Those that it begins, which are the same however often it is begun.
    pub campaigns: Vec<CampaignId>,
    /// Events that it told.
    pub events: u32,
    /// Why it failed, for people.
    pub error: Option<Box<str>>,
}
