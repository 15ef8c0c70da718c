//! The archive: what it is made of on a node.

use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;

use crate::api;
use crate::archive::{Archive, ArchiveParts, Keeps, Lines, Needs, place_of};
use crate::campaigns::Campaigns;
use crate::clock::SharedClock;
use crate::config::{Config, StoreBackend};
use crate::domain::{CampaignId, Priority, ShardId, Story};
use crate::insight::{Analytics, AnalyticsParts};
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
    let analytics = analytics(config, &store, &clock)?;
    Ok(Archive::new(ArchiveParts {
        store,
        log,
        place,
        lines: Arc::new(ApiLines),
        needs: Arc::new(OpenCampaigns(campaigns)),
        keeps: Arc::new(Counted(analytics)),
        shards: shards(config),
        // Rows of a CQL database expire by themselves.
        retention: config.retention.notifications.filter(|_| config.store.backend == StoreBackend::Embedded),
        clock,
    }))
}

/// What counts messages on this node; what it has in memory is nothing, so there may be several.
pub(super) fn analytics(config: &Config, store: &SharedStore, clock: &SharedClock) -> anyhow::Result<Arc<Analytics>> {
    Ok(Analytics::new(AnalyticsParts {
        log: store.clone(),
        rows: store.clone(),
        categories: Arc::new(config.categories().context("no category is the default one")?),
        clock: clock.clone(),
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

/// What was counted stays so.
struct Counted(Arc<Analytics>);

#[async_trait]
impl Keeps for Counted {
    async fn keep(&self, shard: ShardId, block: u64, offsets: &[u64]) -> Result<(), StoreError> {
        self.0.freeze(shard, block, offsets).await
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
