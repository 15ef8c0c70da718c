//! What is asked for and known of campaigns: rows, which any node writes and reads. The work is its home's.

use std::sync::Arc;

use super::rows::{self, ChunkKind};
use crate::clock::SharedClock;
use crate::codec;
use crate::domain::{Campaign, CampaignCommand, CampaignId, CampaignProgress, CampaignStatus, Missed};
use crate::homes::Wake;
use crate::store::{KeyedRow, SharedStore, StoreError};

/// Campaigns of a tenant that somebody asked for and that are not over.
pub const OPEN_MAX: usize = 1000;

/// What became of a campaign that was to begin.
#[derive(Debug, Clone, PartialEq)]
pub enum Begun {
    /// It is durable, and will be worked on.
    New,
    /// It was there, and stays as it is.
    Known(Box<Campaign>),
}

/// A campaign as it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    pub campaign: Campaign,
    pub progress: CampaignProgress,
    /// What somebody wants of it.
    pub command: CampaignCommand,
}

/// The campaigns of all tenants.
pub struct Campaigns {
    store: SharedStore,
    clock: SharedClock,
    wake: Arc<Wake>,
}

impl Campaigns {
    pub fn new(store: SharedStore, clock: SharedClock) -> Self {
        Self { store, clock, wake: Arc::default() }
    }

    pub fn store(&self) -> &SharedStore {
        &self.store
    }

    /// Told when one begins, or somebody wants something of it.
    pub fn wake(&self) -> &Arc<Wake> {
        &self.wake
    }

    /// Durable on return; a campaign that is there under this id is left as it is. May be called again after an error.
    pub async fn begin(&self, campaign: &Campaign) -> Result<Begun, StoreError> {
        let part = rows::part(campaign.id);
        let held = self.store.keyed(&[(part, rows::SPEC.into())]).await?.pop().flatten();
        if let Some(held) = held {
            let known = codec::decode_campaign(campaign.id, &held)?;
            // Who began it may have died before it was said to be open.
            let progress = self.progress(campaign.id).await?;
            if progress.is_none_or(|progress| !progress.status.is_over()) {
                self.store.put_keyed(opening(&known)).await?;
            }
            self.wake.wake();
            return Ok(Begun::Known(Box::new(known)));
        }
        // First what it is: one that is open and nothing is known of is passed over.
        self.store.put_keyed(vec![rows::spec_row(campaign)]).await?;
        self.store.put_keyed(opening(campaign)).await?;
        self.wake.wake();
        Ok(Begun::New)
    }

    /// Whether a tenant may begin another one.
    pub async fn has_room(&self, tenant: &str) -> Result<bool, StoreError> {
        let open = self.store.keyed_between(&rows::open_of_part(tenant), None, None, OPEN_MAX).await?;
        Ok(open.len() < OPEN_MAX)
    }

    /// It is over: said once that is durable.
    pub(super) async fn close(&self, campaign: &Campaign, progress: &CampaignProgress) -> Result<(), StoreError> {
        let at = progress.ended_at.unwrap_or(progress.written_at);
        // First where it is found again when it is to be removed.
        self.store.put_keyed(vec![rows::over_row(campaign.id, at)]).await?;
        let closed = rows::open_of_row(campaign, false).into_iter().chain([rows::open_row(campaign.id, false)]);
        self.store.put_keyed(closed.collect()).await
    }

    /// `None`: there is none of this id, or it is another tenant's.
    pub async fn get(&self, tenant: &str, id: CampaignId) -> Result<Option<Known>, StoreError> {
        let names = [rows::SPEC, rows::PROGRESS, rows::COMMAND].map(|name| (rows::part(id), Box::from(name)));
        let mut bodies = self.store.keyed(&names).await?.into_iter();
        let mut next = || bodies.next().flatten();
        let Some(spec) = next() else { return Ok(None) };
        let campaign = codec::decode_campaign(id, &spec)?;
        if *campaign.tenant != *tenant {
            return Ok(None);
        }
        let progress = match next() {
            Some(body) => codec::decode_campaign_progress(&body)?,
            None => first_progress(&campaign),
        };
        let command = match next() {
            Some(body) => codec::decode_campaign_command(&body)?.0,
            None => CampaignCommand::Run,
        };
        Ok(Some(Known { campaign, progress, command }))
    }

    /// Says what is wanted of one that is there; durable on return. Its home acts on it within half a second.
    pub async fn command(&self, id: CampaignId, command: CampaignCommand) -> Result<(), StoreError> {
        self.store.put_keyed(vec![rows::command_row(id, command, self.clock.now())]).await?;
        self.wake.wake();
        Ok(())
    }

    /// Those of a tenant, newest first, after a place in the list (exclusive), at most `limit`; each with its place.
    pub async fn list(
        &self,
        tenant: &str,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Box<[u8]>, Known)>, StoreError> {
        let listed = self.store.keyed_between(&rows::tenant_part(tenant), after, None, limit).await?;
        let mut found = Vec::with_capacity(listed.len());
        for (name, _) in listed {
            let Some(id) = rows::read_id(&name) else { continue };
            if let Some(known) = self.get(tenant, id).await? {
                found.push((name, known));
            }
        }
        Ok(found)
    }

    /// Who got nothing so far, of the chunks after `after` (exclusive; `None`: from the first): those of the next chunk that has some,
    /// with its number. `None`: there are no more.
    pub async fn missed(&self, known: &Known, after: Option<u32>) -> Result<Option<(u32, Vec<Missed>)>, StoreError> {
        let mut chunk = after.map_or(0, |after| after.saturating_add(1));
        while chunk < known.progress.chunks {
            let part = rows::chunk_part(known.campaign.id, chunk);
            let from = chunk.checked_sub(1).map(|before| rows::chunk_name(ChunkKind::Missed, before));
            let first = rows::chunk_name(ChunkKind::Missed, 0);
            let (from, end) =
                (from.unwrap_or_else(|| first[..1].into()), rows::chunk_name(ChunkKind::Missed, u32::MAX));
            let found = self.store.keyed_between(&part, Some(&from), Some(&end), 1).await?.pop();
            match found {
                Some((name, body)) => {
                    let number = rows::read_chunk_name(&name);
                    let number = number.ok_or_else(|| StoreError::Unreadable("the key of a chunk".to_owned()))?;
                    return Ok(Some((number, codec::decode_missed(&body)?)));
                }
                None => chunk = rows::next_chunk_part(chunk),
            }
        }
        Ok(None)
    }

    pub(super) async fn progress(&self, id: CampaignId) -> Result<Option<CampaignProgress>, StoreError> {
        let body = self.store.keyed(&[(rows::part(id), rows::PROGRESS.into())]).await?.pop().flatten();
        Ok(body.map(|body| codec::decode_campaign_progress(&body)).transpose()?)
    }

    pub(super) async fn put(&self, rows: Vec<KeyedRow>) -> Result<(), StoreError> {
        self.store.put_keyed(rows).await
    }
}

/// What says that it is to be worked on.
fn opening(campaign: &Campaign) -> Vec<KeyedRow> {
    let rows = [rows::open_row(campaign.id, true), rows::listed_row(campaign)];
    rows.into_iter().chain(rows::open_of_row(campaign, true)).collect()
}

/// Of a campaign that nobody has worked on yet.
pub(super) fn first_progress(campaign: &Campaign) -> CampaignProgress {
    let status = if campaign.is_counted { CampaignStatus::Counting } else { CampaignStatus::Waiting };
    CampaignProgress::new(status, campaign.made_at)
}
