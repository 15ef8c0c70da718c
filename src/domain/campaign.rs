//! A campaign: one message to many people. What somebody asks for, an event that concerns those who follow its subject, and a scan of a
//! schedule all become one.

use std::time::Duration;

use super::{CampaignId, NotificationRequest, Timestamp};

/// Why it was begun. The numbers are those of the rows and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CampaignKind {
    /// Somebody asked for it.
    Asked = 0,
    /// An event about a subject.
    FanOut = 1,
    /// A run of a schedule.
    Scheduled = 2,
}

impl CampaignKind {
    pub const ALL: [CampaignKind; 3] = [Self::Asked, Self::FanOut, Self::Scheduled];

    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    pub fn name(self) -> &'static str {
        ["campaign", "fan_out", "schedule"][self as usize]
    }
}

/// Who is told. Rows are walked in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// The members of a list that was uploaded, or came with the campaign.
    List { list: Box<str> },
    /// Those who follow a subject.
    Subject { subject: Box<str> },
    /// The users of the tenant that a condition holds for: JSON text, as rules have it, over their attributes.
    Segment { condition: Box<str> },
    /// The users whose attribute is this day (days since 1970-01-01), of some of the parts of the index, whom the condition holds for
    /// if there is one.
    Day { attribute: Box<str>, day: i32, first_part: u16, end_part: u16, condition: Option<Box<str>> },
}

/// Some are told first; if too many of their messages bounce or are complained about, the others are not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Canary {
    /// Of the audience, more than 0 and less than 1.
    pub share: f64,
    /// How long bounces and complaints are waited for once they are sent.
    pub wait_seconds: u32,
    /// Of those that were sent.
    pub bounces_max: f64,
    pub complaints_max: f64,
}

/// What was asked for; it never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Campaign {
    pub id: CampaignId,
    pub tenant: Box<str>,
    pub kind: CampaignKind,
    /// For people.
    pub name: Option<Box<str>>,
    pub made_at: Timestamp,
    /// Nothing is handed on before.
    pub starts_at: Timestamp,
    /// What everybody is told: a request without a recipient.
    pub message: NotificationRequest,
    pub audience: Audience,
    /// Whether they are counted first: a ceiling and a canary need it.
    pub is_counted: bool,
    /// It is refused if there are more.
    pub ceiling: Option<u64>,
    /// Messages handed on in a second at the most.
    pub rate_per_second: Option<u32>,
    pub canary: Option<Canary>,
    /// The schedule or the rule that it comes of.
    pub made_by: Option<Box<str>>,
    /// Over what was asked for: another body under the same retry key is a conflict.
    pub body_hash: u64,
}

/// Where a campaign is. The numbers are those of the rows and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CampaignStatus {
    /// Its audience is being counted.
    Counting = 0,
    /// Its time has not come.
    Waiting = 1,
    /// It is handed on.
    Running = 2,
    /// Those told first are handed on, and what becomes of them is waited for.
    Canary = 3,
    /// Everybody was handed on; some messages are still to be sent.
    Finishing = 4,
    Completed = 5,
    Cancelled = 6,
    /// It stopped itself, and why is said.
    Stopped = 7,
}

impl CampaignStatus {
    pub const ALL: [CampaignStatus; 8] = [
        Self::Counting,
        Self::Waiting,
        Self::Running,
        Self::Canary,
        Self::Finishing,
        Self::Completed,
        Self::Cancelled,
        Self::Stopped,
    ];

    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    pub fn name(self) -> &'static str {
        ["counting", "scheduled", "running", "canary", "finishing", "completed", "cancelled", "stopped"][self as usize]
    }

    /// Whether nothing more comes of it.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Stopped)
    }
}

/// How far a campaign is, as its owner last wrote it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignProgress {
    pub status: CampaignStatus,
    /// Why it stopped itself, for people.
    pub reason: Option<Box<str>>,
    /// How many there are, once they are counted or all were handed on.
    pub total: Option<u64>,
    /// Counted so far.
    pub counted: u64,
    /// Members that were handed on, or could not be.
    pub handed_on: u64,
    /// Messages that went to at least one provider.
    pub succeeded: u64,
    pub failed: u64,
    /// By reason, in its order.
    pub skipped: Vec<(Box<str>, u64)>,
    /// Rows of the audience that were read.
    pub rows_read: u64,
    /// Where the walk through the audience goes on.
    pub cursor: Box<[u8]>,
    /// Chunks that were handed on.
    pub chunks: u32,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub written_at: Timestamp,
    /// Since when it is paused, of one that was begun.
    pub paused_at: Option<Timestamp>,
    /// How long it was before, all in all.
    pub paused: Duration,
}

impl CampaignProgress {
    pub fn new(status: CampaignStatus, now: Timestamp) -> Self {
        Self {
            status,
            reason: None,
            total: None,
            counted: 0,
            handed_on: 0,
            succeeded: 0,
            failed: 0,
            skipped: Vec::new(),
            rows_read: 0,
            cursor: Box::default(),
            chunks: 0,
            started_at: None,
            ended_at: None,
            written_at: now,
            paused_at: None,
            paused: Duration::ZERO,
        }
    }

    /// Members whose messages are over.
    pub fn processed(&self) -> u64 {
        self.succeeded + self.failed + self.skipped()
    }

    pub fn skipped(&self) -> u64 {
        self.skipped.iter().map(|(_, count)| count).sum()
    }

    pub fn add_skipped(&mut self, reason: &str, count: u64) {
        add_skipped(&mut self.skipped, reason, count);
    }
}

/// Counts by reason, in the order of the reasons.
fn add_skipped(skipped: &mut Vec<(Box<str>, u64)>, reason: &str, count: u64) {
    match skipped.binary_search_by(|(name, _)| (**name).cmp(reason)) {
        Ok(place) => skipped[place].1 += count,
        Err(place) => skipped.insert(place, (reason.into(), count)),
    }
}

/// What became of a chunk of a campaign.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkResult {
    pub succeeded: u64,
    pub failed: u64,
    /// By reason, in its order.
    pub skipped: Vec<(Box<str>, u64)>,
}

impl ChunkResult {
    pub fn add_skipped(&mut self, reason: &str, count: u64) {
        add_skipped(&mut self.skipped, reason, count);
    }

    /// Both together.
    pub fn add(&mut self, other: &ChunkResult) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        other.skipped.iter().for_each(|(reason, count)| self.add_skipped(reason, *count));
    }
}

/// Somebody of a campaign's audience who got nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// The user's id, or in the place of an address what the list calls it: a hash.
    pub member: Box<str>,
    /// Their notification as text; empty where none could be made.
    pub notification: Box<str>,
    /// As [`super::TaskState::name`], or `invalid`.
    pub status: Box<str>,
    pub reason: Box<str>,
}

/// What somebody wants of a campaign. The numbers are those of the rows and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CampaignCommand {
    Run = 0,
    Pause = 1,
    Cancel = 2,
}

impl CampaignCommand {
    pub fn from_index(index: usize) -> Option<Self> {
        [Self::Run, Self::Pause, Self::Cancel].get(index).copied()
    }
}
