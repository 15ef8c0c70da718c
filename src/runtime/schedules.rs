//! Schedules: what they are made of, and who takes on what their runs begin.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::try_join_all;

use crate::api::read_campaign;
use crate::archive::Archive;
use crate::audience::{Definitions, EventDoor, Taken};
use crate::campaigns::Campaigns;
use crate::clock::SharedClock;
use crate::domain::{
    ArchiveId, ArchiveOrder, Campaign, CampaignId, CampaignKind, CampaignProgress, Categories, DomainEvent,
    NotificationRequest, Source, Timestamp,
};
use crate::intake::{AcceptError, ContentCheck, FieldProblem};
use crate::schedules::{AskedCampaign, AskedError, Begins, ScheduleParts, Schedules};
use crate::store::{SharedStore, StoreError};
use crate::users::DayAttributes;

/// What schedules are made of on a node.
pub struct SchedulesParts {
    pub definitions: Arc<Definitions>,
    pub store: SharedStore,
    pub events: Arc<dyn EventDoor>,
    pub campaigns: Arc<Campaigns>,
    pub archive: Arc<Archive>,
    pub contents: Arc<dyn ContentCheck>,
    pub categories: Arc<Categories>,
    /// As the directory has them.
    pub days: DayAttributes,
    pub clock: SharedClock,
}

/// The schedules of a node.
pub fn schedules(parts: SchedulesParts) -> Arc<Schedules> {
    let SchedulesParts { definitions, store, events, campaigns, archive, contents, categories, days, clock } = parts;
    let (judged_by, known) = (contents.clone(), categories.clone());
    let begins =
        Arc::new(Begun { events, campaigns, archive, contents: judged_by, categories: known, clock: clock.clone() });
    Schedules::new(ScheduleParts { definitions, store, begins, contents, categories, days, clock })
}

/// Events go through the door that all events go through, and campaigns become rows, which their homes work on.
struct Begun {
    events: Arc<dyn EventDoor>,
    campaigns: Arc<Campaigns>,
    archive: Arc<Archive>,
    contents: Arc<dyn ContentCheck>,
    categories: Arc<Categories>,
    clock: SharedClock,
}

impl Begun {
    fn read(&self, tenant: &str, id: CampaignId, body: &str) -> Result<Campaign, Vec<FieldProblem>> {
        read_campaign(body, (tenant, id), self.clock.now(), &*self.contents, &self.categories)
    }
}

/// Campaigns that are read at the same time.
const READ_AT_ONCE: usize = 16;

#[async_trait]
impl Begins for Begun {
    async fn campaign(&self, campaign: Campaign) -> Result<(), StoreError> {
        self.campaigns.begin(&campaign).await.map(drop)
    }

    async fn check(&self, tenant: &str, body: &str) -> Vec<FieldProblem> {
        self.read(tenant, CampaignId(0), body).err().unwrap_or_default()
    }

    async fn asked(&self, asked: AskedCampaign<'_>) -> Result<(), AskedError> {
        let campaign = self.read(asked.tenant, asked.id, asked.body).map_err(AskedError::Refused)?;
        let made_by = Some(asked.made_by.into());
        let message = NotificationRequest { source: Source::Schedule, ..campaign.message };
        let campaign = Campaign { kind: CampaignKind::Scheduled, made_by, message, ..campaign };
        Ok(self.campaigns.begin(&campaign).await.map(drop)?)
    }

    async fn event(&self, event: DomainEvent) -> Result<Taken, AcceptError> {
        let taken = self.events.take(vec![event]).await?;
        Ok(taken.into_iter().next().unwrap_or(Taken::Used(Vec::new())))
    }

    fn has_archive(&self) -> bool {
        self.archive.has_place()
    }

    async fn archive(&self, order: &ArchiveOrder) -> Result<(), StoreError> {
        self.archive.order(order).await
    }

    async fn archived(&self, orders: &[(Timestamp, ArchiveId)]) -> Result<Vec<Option<ArchiveOrder>>, StoreError> {
        self.archive.get(orders).await
    }

    async fn progress(&self, tenant: &str, ids: &[CampaignId]) -> Result<Vec<Option<CampaignProgress>>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for some in ids.chunks(READ_AT_ONCE) {
            let read = try_join_all(some.iter().map(|id| self.campaigns.get(tenant, *id))).await?;
            found.extend(read.into_iter().map(|known| known.map(|known| known.progress)));
        }
        Ok(found)
    }
}
