//! What works at the homes of a node, and how it is started and ended.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::homes::{HomesParts, RunningHomes};
use super::supervisor::Fatal;
use crate::audience::{FanOut, FanOuts};
use crate::campaigns::Campaigns;
use crate::clock::SharedClock;
use crate::domain::{Audience, Campaign, CampaignId, CampaignKind, NotificationRequest, Source};
use crate::homes::{Homes, Work};
use crate::intake::AcceptError;
use crate::ownership::LeaseKeeper;
use crate::topics::{Desk, TopicCopies, TopicWork};

/// When to try again what the store did not take.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What the work at homes is made of.
pub struct ProgramParts {
    pub clock: SharedClock,
    /// `None`: nobody else could have the homes.
    pub keeper: Option<Arc<LeaseKeeper>>,
    /// The homes, which whoever asks for work that is done here knows.
    pub homes: Arc<Homes>,
    /// The topics of this node.
    pub topics: Arc<Desk>,
    /// Every other kind of work.
    pub works: Vec<Arc<dyn Work>>,
    /// Told when the node cannot go on.
    pub fatal: Arc<Fatal>,
}

/// The running work.
pub struct Programs {
    running: RunningHomes,
    topics: Arc<Desk>,
}

impl Programs {
    pub async fn start(parts: ProgramParts) -> anyhow::Result<Self> {
        let ProgramParts { clock, keeper, homes, topics, mut works, fatal } = parts;
        works.push(TopicWork::new(topics.clone()));
        works.extend(TopicCopies::new(topics.clone()).map(|work| work as Arc<dyn Work>));
        let running = RunningHomes::start(HomesParts { homes, works, keeper, clock, fatal }).await?;
        Ok(Self { running, topics })
    }

    /// Ends it, while the log still takes what comes of it.
    pub async fn drain(self) {
        self.running.drain().await;
        self.topics.ended().await;
    }
}

/// An event about a subject with many followers becomes a campaign.
pub struct SubjectFanOuts {
    pub campaigns: Arc<Campaigns>,
    pub clock: SharedClock,
}

#[async_trait]
impl FanOuts for SubjectFanOuts {
    async fn begin(&self, fan_out: FanOut) -> Result<CampaignId, AcceptError> {
        let id = fan_out.id();
        let campaign = Campaign {
            id,
            tenant: fan_out.tenant,
            kind: CampaignKind::FanOut,
            name: None,
            made_at: self.clock.now(),
            // The time that the event names is that of each message.
            starts_at: self.clock.now(),
            message: NotificationRequest { source: Source::Campaign, ..fan_out.message },
            audience: Audience::Subject { subject: fan_out.subject },
            is_counted: false,
            ceiling: None,
            rate_per_second: None,
            canary: None,
            made_by: Some(fan_out.rule),
            body_hash: 0,
        };
        let begun = self.campaigns.begin(&campaign).await;
        begun
            .map(|_| id)
            .map_err(|error| AcceptError::Unavailable { reason: error.to_string(), retry_after: RETRY_AFTER })
    }
}
