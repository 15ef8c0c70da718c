//! What is left of campaigns that were over for long, and of lists whose upload broke off: removed a part at a time, at their homes.
//!
//! The note that there is something to remove goes last, so that whoever takes the home over goes on.

use std::sync::Arc;
use std::time::Duration;

use crate::campaigns::lists::{Lists, Upload};
use crate::campaigns::{Campaigns, rows};
use crate::clock::{Moment, SharedClock};
use crate::codec;
use crate::domain::{Audience, Campaign, CampaignId};
use crate::homes::Tenure;
use crate::store::{KeyedPart, KeyedRow, StoreError};

/// How often it is looked whether there is something to remove.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// After this an upload that did not end has broken off.
const UPLOAD_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Rows of chunks that are read and removed at once; each has up to a thousand members.
const CHUNK_ROWS: usize = 32;
/// Members of a list that are removed at once.
const MEMBERS: usize = 1000;

/// What is removed at one home.
pub(super) struct Removal {
    campaigns: Arc<Campaigns>,
    clock: SharedClock,
    /// How long what is known of a campaign is kept.
    kept_for: Duration,
    lists: Lists,
    /// All chunks of this campaign below are gone.
    chunks: Option<(CampaignId, u32)>,
    at: Moment,
}

impl Removal {
    pub(super) fn new(campaigns: Arc<Campaigns>, clock: SharedClock, kept_for: Duration) -> Self {
        let lists = Lists::new(campaigns.store().clone(), clock.clone());
        Self { at: clock.moment(), campaigns, clock, kept_for, lists, chunks: None }
    }

    /// Removes a part of what is to be removed, if it is time to look.
    pub(super) async fn step(&mut self, tenure: &Tenure) {
        let now = self.clock.moment();
        if now < self.at || !tenure.holds() {
            return;
        }
        // What cannot be removed is tried again, and holds up no campaign; nor do campaigns and uploads each other.
        let removed = [self.campaign(tenure.home).await, self.upload(tenure.home).await];
        let has_more = removed.iter().any(|removed| matches!(removed, Ok(true)));
        for error in removed.into_iter().filter_map(Result::err) {
            tracing::warn!(%error, home = tenure.home, "what was over for long cannot be removed: trying again");
        }
        self.at = if has_more { now } else { now + LOOK_INTERVAL };
    }

    /// A part of the campaign that has been over for longest; whether there may be more.
    async fn campaign(&mut self, home: u16) -> Result<bool, StoreError> {
        let store = self.campaigns.store().clone();
        let before = (self.clock.now() - self.kept_for).millis().to_be_bytes();
        let part = rows::over_part(home);
        let Some((name, _)) = store.keyed_between(&part, None, Some(&before), 1).await?.pop() else { return Ok(false) };
        let note = KeyedRow { part, name: name.clone(), body: None };
        let id = rows::read_id(&name).ok_or_else(|| StoreError::Unreadable("the key of a campaign".to_owned()))?;
        let own = rows::part(id);
        let spec = store.keyed(&[(own.clone(), rows::SPEC.into())]).await?.pop().flatten();
        let Some(spec) = spec else {
            store.put_keyed(vec![note]).await?;
            return Ok(true);
        };
        let campaign = codec::decode_campaign(id, &spec)?;
        let count = self.campaigns.progress(id).await?.map_or(0, |progress| progress.chunks);
        if self.some_chunks(id, count).await? || self.some_members(&campaign).await? {
            return Ok(true);
        }
        store.put_keyed(vec![rows::unlisted_row(&campaign)]).await?;
        // What it was goes after what only it leads to.
        let gone = [rows::PROGRESS, rows::COMMAND, rows::SPEC].map(|name| row(&own, name.into()));
        store.put_keyed(gone.into()).await?;
        store.put_keyed(vec![note]).await?;
        self.chunks = None;
        Ok(true)
    }

    /// Some rows of its chunks; whether there were any.
    async fn some_chunks(&mut self, id: CampaignId, count: u32) -> Result<bool, StoreError> {
        let store = self.campaigns.store().clone();
        let mut chunk = self.chunks.filter(|(of, _)| *of == id).map_or(0, |(_, chunk)| chunk);
        // One more part than is known of: a chunk may have been written that was not counted any more.
        while chunk <= count {
            self.chunks = Some((id, chunk));
            let part = rows::chunk_part(id, chunk);
            let found = store.keyed_between(&part, None, None, CHUNK_ROWS).await?;
            if !found.is_empty() {
                store.put_keyed(found.into_iter().map(|(name, _)| row(&part, name)).collect()).await?;
                return Ok(true);
            }
            chunk = rows::next_chunk_part(chunk);
        }
        self.chunks = Some((id, chunk));
        Ok(false)
    }

    /// Some members of the list that came with it; whether there were any. One that was uploaded is not the campaign's.
    async fn some_members(&self, campaign: &Campaign) -> Result<bool, StoreError> {
        let Audience::List { list } = &campaign.audience else { return Ok(false) };
        Ok(!self.lists.remove_of_campaign(&campaign.tenant, list, MEMBERS).await?)
    }

    /// A part of the upload that broke off first; whether there may be more.
    async fn upload(&self, home: u16) -> Result<bool, StoreError> {
        let Some(upload) = self.lists.first_upload(home, self.clock.now() - UPLOAD_KEPT).await? else {
            return Ok(false);
        };
        if !self.is_of_somebody(&upload).await? && !self.lists.clear_upload(&upload, MEMBERS).await? {
            return Ok(true);
        }
        self.lists.ended(&upload).await?;
        Ok(true)
    }

    /// The list is there, or its campaign is, which it ends with; or it is being uploaded anew.
    async fn is_of_somebody(&self, upload: &Upload) -> Result<bool, StoreError> {
        if self.lists.is_uploaded_anew(upload).await? {
            return Ok(true);
        }
        match upload.campaign {
            Some(id) => Ok(self.campaigns.get(&upload.tenant, id).await?.is_some()),
            None => Ok(self.lists.is_known(&upload.tenant, &upload.list).await?),
        }
    }
}

fn row(part: &KeyedPart, name: Box<[u8]>) -> KeyedRow {
    KeyedRow { part: part.clone(), name, body: None }
}
