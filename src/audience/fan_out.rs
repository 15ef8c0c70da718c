//! From a rule for subscribers to messages: at once where they are few, as a campaign where they are many. Whichever way it goes, the
//! message for a follower has the same retry key, so that nobody is told twice where a subject grows between two deliveries of one event.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{CampaignId, DomainEvent, NotificationRequest, Priority, Timestamp};
use crate::intake::{AcceptError, campaign_key, dedup_key_of, hashed_key};
use crate::store::StoreError;
use crate::subscriptions::{Follower, Followers, Subscriptions};

/// What the ids of fan-outs are for; no retry key has this name.
const IDS_OF: &str = "fan-out of an event";

/// Bytes of an event's data over all who are told at once: each of their requests has it. More is a campaign, which reads it once.
const DATA_BYTES_MAX: usize = 16 << 20;

/// A rule's message to all who follow the subject of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FanOut {
    pub tenant: Box<str>,
    pub subject: Box<str>,
    pub event_id: Box<str>,
    pub event_source: Option<Box<str>>,
    pub rule: Box<str>,
    /// What everybody is told: without a recipient, channels and a retry key, which are each follower's.
    pub message: NotificationRequest,
    /// When it happened.
    pub at: Timestamp,
}

/// Tells followers who are many.
#[async_trait]
pub trait FanOuts: Send + Sync + 'static {
    /// Durable on return. The same fan-out again is the same campaign, [`FanOut::id`], and begins nothing. Its message for a follower
    /// must have the retry key [`campaign_key`].
    async fn begin(&self, fan_out: FanOut) -> Result<CampaignId, AcceptError>;
}

impl FanOut {
    pub(super) fn new(event: &DomainEvent, subject: &str, rule: &str, message: NotificationRequest) -> Self {
        Self {
            tenant: event.tenant.clone(),
            subject: subject.into(),
            event_id: event.id.clone(),
            event_source: event.source.clone(),
            rule: rule.into(),
            message,
            at: event.at,
        }
    }

    /// Of tenant, source, id and rule: the same event is the same campaign, whatever it says now.
    pub fn id(&self) -> CampaignId {
        let source = self.event_source.as_deref().unwrap_or_default();
        let key = format!("{} {source} {} {} {}", source.len(), self.event_id.len(), self.event_id, self.rule);
        CampaignId(hashed_key(&self.tenant, IDS_OF, key.as_bytes()))
    }

    /// So many critical messages would delay those that are.
    fn for_many(mut self) -> Self {
        if self.message.priority == Priority::Critical {
            self.message.priority = Priority::High;
        }
        self
    }

    fn request_for(&self, id: CampaignId, follower: &Follower) -> NotificationRequest {
        let key = self.message.dedup_key.as_ref();
        NotificationRequest {
            dedup_key: key.map(|key| dedup_key_of(key, &follower.user_id)),
            user_id: Some(follower.user_id.clone()),
            channels: follower.subscription.told_on().to_vec(),
            idempotency: Some(campaign_key(&self.tenant, id, &follower.user_id)),
            ..self.message.clone()
        }
    }
}

/// What comes of a rule for subscribers.
pub(super) enum Told {
    /// One for each.
    Requests(Vec<NotificationRequest>),
    Campaign(CampaignId),
    Nobody,
}

/// Looks up who follows, and divides few from many. For the events of one call.
pub(super) struct Tellers<'a> {
    subscriptions: &'a Subscriptions,
    fan_outs: &'a dyn FanOuts,
    /// The subject that was looked up last: events about one often come together, and have several rules.
    last: Option<(Box<str>, Box<str>, Arc<Followers>)>,
}

impl<'a> Tellers<'a> {
    pub(super) fn new(subscriptions: &'a Subscriptions, fan_outs: &'a dyn FanOuts) -> Self {
        Self { subscriptions, fan_outs, last: None }
    }

    pub(super) async fn tell(&mut self, fan_out: FanOut) -> Result<Told, AcceptError> {
        let followers = self.followers(&fan_out.tenant, &fan_out.subject).await.map_err(unavailable)?;
        match &*followers {
            Followers::All(few) if few.is_empty() => Ok(Told::Nobody),
            Followers::All(few) if few.len().saturating_mul(fan_out.message.data.len()) <= DATA_BYTES_MAX => {
                let id = fan_out.id();
                Ok(Told::Requests(few.iter().map(|follower| fan_out.request_for(id, follower)).collect()))
            }
            _ => Ok(Told::Campaign(self.fan_outs.begin(fan_out.for_many()).await?)),
        }
    }

    async fn followers(&mut self, tenant: &str, subject: &str) -> Result<Arc<Followers>, StoreError> {
        if let Some((of, about, followers)) = &self.last
            && **of == *tenant
            && **about == *subject
        {
            return Ok(followers.clone());
        }
        let followers = Arc::new(self.subscriptions.told(tenant, subject).await?);
        self.last = Some((tenant.into(), subject.into(), followers.clone()));
        Ok(followers)
    }
}

fn unavailable(error: StoreError) -> AcceptError {
    tracing::warn!(%error, "the followers of a subject cannot be read");
    AcceptError::Unavailable { reason: "the store does not answer".to_owned(), retry_after: Duration::from_secs(1) }
}
