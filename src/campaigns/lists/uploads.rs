//! Lists whose members are being written: each has a note, by which what an upload left behind that broke off is found and removed.

use bytes::Bytes;

use super::Lists;
use crate::domain::{CampaignId, Timestamp};
use crate::homes::home_of;
use crate::store::{KeyedKind, KeyedPart, KeyedRow, StoreError};

/// Uploads of a home that are looked through for another one of the same list: they are under way, or broke off this week.
const UPLOADS_LOOKED_AT_MAX: usize = 10_000;

/// A list whose members are being written: a note, which is found if that breaks off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub(in crate::campaigns) tenant: Box<str>,
    pub(in crate::campaigns) list: Box<str>,
    /// That it comes with.
    pub(in crate::campaigns) campaign: Option<CampaignId>,
    began_at: Timestamp,
}

impl Upload {
    fn part(home: u16) -> KeyedPart {
        KeyedPart::of(KeyedKind::ListsOf, &[b"uploads", &home.to_be_bytes()])
    }

    /// In the order of when they began; what there is to know of one is in its name.
    fn row(&self, body: Option<Bytes>) -> KeyedRow {
        let mut name = self.began_at.millis().to_be_bytes().to_vec();
        name.extend(self.campaign.map_or(0, |id| id.0).to_be_bytes());
        // An id of a list is short.
        name.push(self.list.len() as u8);
        name.extend(self.list.as_bytes());
        name.extend(self.tenant.as_bytes());
        KeyedRow { part: Self::part(home_of(self.list.as_bytes())), name: name.into(), body }
    }

    fn read(name: &[u8]) -> Option<Self> {
        let (began_at, rest) = name.split_first_chunk::<8>()?;
        let (campaign, rest) = rest.split_first_chunk::<16>()?;
        let (length, rest) = rest.split_first()?;
        let (list, tenant) = rest.split_at_checked(usize::from(*length))?;
        let campaign = Some(CampaignId(u128::from_be_bytes(*campaign))).filter(|id| id.0 != 0);
        let text = |bytes| std::str::from_utf8(bytes).ok().map(Box::from);
        let began_at = Timestamp(u64::from_be_bytes(*began_at));
        Some(Self { tenant: text(tenant)?, list: text(list)?, campaign, began_at })
    }
}

impl Lists {
    /// Notes that members of a list are about to be written; durable on return. What is not said to have ended is removed some days
    /// later.
    pub async fn begin(&self, tenant: &str, list: &str, campaign: Option<CampaignId>) -> Result<Upload, StoreError> {
        let upload = Upload { tenant: tenant.into(), list: list.into(), campaign, began_at: self.clock.now() };
        self.store.put_keyed(vec![upload.row(Some(Bytes::from_static(&[1])))]).await?;
        Ok(upload)
    }

    /// The list exists, or nothing of it is left.
    pub async fn ended(&self, upload: &Upload) -> Result<(), StoreError> {
        self.store.put_keyed(vec![upload.row(None)]).await
    }

    /// The first of a home that began before a time and has not ended.
    pub(in crate::campaigns) async fn first_upload(
        &self,
        home: u16,
        before: Timestamp,
    ) -> Result<Option<Upload>, StoreError> {
        let end = before.millis().to_be_bytes();
        let found = self.store.keyed_between(&Upload::part(home), None, Some(&end), 1).await?.pop();
        let unreadable = || StoreError::Unreadable("the note of an upload".to_owned());
        found.map(|(name, _)| Upload::read(&name).ok_or_else(unreadable)).transpose()
    }

    /// Whether somebody is at it again, under the same retry key.
    pub(in crate::campaigns) async fn is_uploaded_anew(&self, upload: &Upload) -> Result<bool, StoreError> {
        let part = Upload::part(home_of(upload.list.as_bytes()));
        let later = upload.row(None).name;
        let found = self.store.keyed_between(&part, Some(&later), None, UPLOADS_LOOKED_AT_MAX).await?;
        Ok(found.iter().filter_map(|(name, _)| Upload::read(name)).any(|other| other.list == upload.list))
    }

    /// Takes away some of what an upload left behind that broke off; `true`: nothing is left.
    pub(in crate::campaigns) async fn clear_upload(
        &self,
        upload: &Upload,
        rows_max: usize,
    ) -> Result<bool, StoreError> {
        match upload.campaign {
            Some(_) if self.head(&upload.tenant, &upload.list, true).await?.is_some() => {
                self.remove_of_campaign(&upload.tenant, &upload.list, rows_max).await
            }
            _ => self.clear(&upload.list, rows_max).await,
        }
    }
}
