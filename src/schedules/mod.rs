//! Schedules: what begins by itself at a time, and is asked for out of turn.
//!
//! In: what people defined ([`crate::audience::Definitions`]), the time, and who asks for a run now. Out: campaigns, events and orders to archive, begun over
//! [`Begins`], and a row for each run. Promise: of the due times that passed while nobody ran a schedule the latest is run, once; no due time
//! is run twice, whatever crashes and however the clock is set; what a run begins has the same ids however often it is begun; and a schedule
//! counts from its last change on.

mod timetable;
mod schedule;
mod making;
mod rows;
mod running;
mod work;
mod metrics;

#[cfg(test)]
pub(crate) mod fakes;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;

pub use making::DAY_PARTS;
pub use rows::{read_run_name, run_name};
pub use running::{RunError, RunNowError};
pub use schedule::{CatchUp, Schedule};
pub use timetable::Timetable;
pub use work::ScheduleWork;

use crate::audience::{Definitions, Taken};
use crate::clock::SharedClock;
use crate::domain::{
    ArchiveId, ArchiveOrder, Campaign, CampaignId, CampaignProgress, Categories, DomainEvent, Timestamp,
};
use crate::intake::{AcceptError, ContentCheck, FieldProblem};
use crate::store::{SharedStore, StoreError};
use crate::users::DayAttributes;

/// Who takes on what a run begins. Each call may come again with the same thing, after an error or a crash, and has then the effect of one.
#[async_trait]
pub trait Begins: Send + Sync + 'static {
    /// Durable on return; one whose id is there already is left as it is.
    async fn campaign(&self, campaign: Campaign) -> Result<(), StoreError>;

    /// What is wrong with a campaign as somebody would ask the API for it; pointers lead into the body. Nothing is begun.
    async fn check(&self, tenant: &str, body: &str) -> Vec<FieldProblem>;

    /// Begins such a campaign, under an id that is given; durable on return.
    async fn asked(&self, asked: AskedCampaign<'_>) -> Result<(), AskedError>;

    /// Tells an event; what comes of it is durable on return.
    async fn event(&self, event: DomainEvent) -> Result<Taken, AcceptError>;

    /// Whether there is a place where archived notifications go.
    fn has_archive(&self) -> bool {
        false
    }

    /// Orders what is to be archived; durable on return. One whose id is there already is left as it is.
    async fn archive(&self, _: &ArchiveOrder) -> Result<(), StoreError> {
        Ok(())
    }

    /// How far orders are, by when they were made and their ids; `None`: there is none.
    async fn archived(&self, orders: &[(Timestamp, ArchiveId)]) -> Result<Vec<Option<ArchiveOrder>>, StoreError> {
        Ok(vec![None; orders.len()])
    }

    /// How far campaigns are, in the order of the ids; `None`: there is none, or none any more.
    async fn progress(&self, tenant: &str, ids: &[CampaignId]) -> Result<Vec<Option<CampaignProgress>>, StoreError>;
}

/// A campaign that a schedule asks for with the words of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedCampaign<'a> {
    pub tenant: &'a str,
    pub id: CampaignId,
    /// The body of `POST /v1/campaigns`.
    pub body: &'a str,
    /// The schedule.
    pub made_by: &'a str,
}

/// Why a campaign was not begun.
#[derive(Debug, thiserror::Error)]
pub enum AskedError {
    /// It cannot be begun as it is asked for: trying again does not help.
    #[error("the campaign cannot be begun as it is asked for")]
    Refused(Vec<FieldProblem>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What schedules are made of.
pub struct ScheduleParts {
    pub definitions: Arc<Definitions>,
    pub store: SharedStore,
    pub begins: Arc<dyn Begins>,
    pub contents: Arc<dyn ContentCheck>,
    pub categories: Arc<Categories>,
    /// Of which attributes there is an index of days: the others cannot be scanned.
    pub days: DayAttributes,
    pub clock: SharedClock,
}

/// The schedules of all tenants: judged, asked to run, and looked back at. [`ScheduleWork`] runs them when they are due.
pub struct Schedules {
    parts: ScheduleParts,
}

impl Schedules {
    pub fn new(parts: ScheduleParts) -> Arc<Self> {
        Arc::new(Self { parts })
    }
}
