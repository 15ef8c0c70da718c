//! Version 2 of how far a campaign is: with the time for which it was paused. Frozen: never edit a field here.

use std::time::Duration;

use bincode::{Decode, Encode};

use super::CodecError;
use super::campaign_v1::ProgressRow as Before;
use crate::domain::{CampaignProgress, Timestamp};

#[derive(Encode, Decode)]
pub(super) struct ProgressRow {
    before: Before,
    paused_at: Option<u64>,
    paused_millis: u64,
}

impl From<&CampaignProgress> for ProgressRow {
    fn from(progress: &CampaignProgress) -> Self {
        Self {
            before: Before::from(progress),
            paused_at: progress.paused_at.map(Timestamp::millis),
            paused_millis: u64::try_from(progress.paused.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl ProgressRow {
    pub(super) fn into_domain(self) -> Result<CampaignProgress, CodecError> {
        let Self { before, paused_at, paused_millis } = self;
        let (paused_at, paused) = (paused_at.map(Timestamp), Duration::from_millis(paused_millis));
        Ok(CampaignProgress { paused_at, paused, ..before.into_domain()? })
    }
}
