//! The archive: what it is made of on a node.

use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;

use crate::api;
use crate::archive::{Archive, ArchiveParts, Lines, Needs, place_of};
use crate::campaigns::Campaigns;
use crate::clock::SharedClock;
use crate::config::{Config, StoreBackend};
use crate::domain::{CampaignId, Priority, ShardId, Story};
use crate::log::SharedLog;
use crate::store::{GroupEntry, SharedStore, StoreError};

/// The archive of a node, as the configuration has it.
pub fn archive(
    config: &Config,
    (log, store): (SharedLog, SharedStore),
    campaigns: Arc<Campaigns>,
    clock: SharedClock,
) -> anyhow::Result<Arc<Archive>> {
    let place =
        place_of(&config.archive, clock.clone()).map_err(anyhow::Error::msg).context("cannot set up the archive")?;
    Ok(Archive::new(ArchiveParts {
        store,
        log,
        place,
        lines: Arc::new(ApiLines),
        needs: Arc::new(OpenCampaigns(campaigns)),
        shards: shards(config),
        // Rows of a CQL database expire by themselves.
        retention: config.retention.notifications.filter(|_| config.store.backend == StoreBackend::Embedded),
        clock,
    }))
}

fn shards(config: &Config) -> Vec<ShardId> {
    let generation = match config.store.backend {
        StoreBackend::Embedded => 0,
        StoreBackend::Cql => config.log.kafka.generation,
    };
    let partitions = |lane| (0..config.log.partitions).map(move |partition| ShardId { generation, lane, partition });
    Priority::ALL.into_iter().flat_map(partitions).collect()
}

/// As the API shows them.
struct ApiLines;

impl Lines for ApiLines {
    fn line(&self, story: &Story, entries: Option<&[GroupEntry]>) -> Vec<u8> {
        api::archived_line(story, entries)
    }
}

/// Campaigns count their results from the rows of their messages until they are over.
struct OpenCampaigns(Arc<Campaigns>);

#[async_trait]
impl Needs for OpenCampaigns {
    async fn is_open(&self, tenant: &str, campaign: CampaignId) -> Result<bool, StoreError> {
        Ok(self.0.get(tenant, campaign).await?.is_some_and(|known| !known.progress.status.is_over()))
    }
}
