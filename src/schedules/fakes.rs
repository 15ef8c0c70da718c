//! Who takes on what runs begin, in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{AskedCampaign, AskedError, Begins};
use crate::audience::{Applied, Refusal, RuleOutcome, Taken};
use crate::domain::{
    Campaign, CampaignId, CampaignProgress, CampaignStatus, Content, DomainEvent, NotificationRequest, Timestamp,
};
use crate::intake::{AcceptError, ContentCheck, FieldProblem};
use crate::store::StoreError;

/// Keeps what is begun, by its id. A campaign's body with the word `bad` is refused.
#[derive(Default)]
pub(crate) struct FakeBegins {
    campaigns: Mutex<BTreeMap<CampaignId, Campaign>>,
    asked: Mutex<BTreeMap<CampaignId, Box<str>>>,
    events: Mutex<BTreeMap<Box<str>, DomainEvent>>,
    /// Calls that began something, also the same again.
    pub(crate) calls: AtomicUsize,
    /// After so many calls all others fail; 0: none does.
    pub(crate) ends_after: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeBegins {
    pub(crate) fn campaigns(&self) -> Vec<Campaign> {
        lock(&self.campaigns).values().cloned().collect()
    }

    pub(crate) fn asked(&self) -> Vec<Box<str>> {
        lock(&self.asked).values().cloned().collect()
    }

    pub(crate) fn events(&self) -> Vec<DomainEvent> {
        lock(&self.events).values().cloned().collect()
    }

    fn called(&self) -> Result<(), StoreError> {
        let (calls, end) = (self.calls.fetch_add(1, Ordering::SeqCst), self.ends_after.load(Ordering::SeqCst));
        if end > 0 && calls >= end { Err(StoreError::Failed("the node died".to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl Begins for FakeBegins {
    async fn campaign(&self, campaign: Campaign) -> Result<(), StoreError> {
        self.called()?;
        lock(&self.campaigns).entry(campaign.id).or_insert(campaign);
        Ok(())
    }

    async fn check(&self, _: &str, body: &str) -> Vec<FieldProblem> {
        let is_bad = body.contains("bad");
        Vec::from_iter(is_bad.then(|| FieldProblem::new("/user_ids", "is bad")))
    }

    async fn asked(&self, asked: AskedCampaign<'_>) -> Result<(), AskedError> {
        self.called()?;
        lock(&self.asked).entry(asked.id).or_insert(asked.body.into());
        Ok(())
    }

    async fn event(&self, event: DomainEvent) -> Result<Taken, AcceptError> {
        if &*event.event_type == "nobody.knows" {
            return Ok(Taken::Refused(Refusal::UnknownType { event_type: event.event_type, near: None }));
        }
        lock(&self.events).entry(event.id.clone()).or_insert(event);
        let outcome = RuleOutcome::ConditionFails;
        Ok(Taken::Used(vec![Applied { rule: "a".into(), outcome }]))
    }

    /// Each has told two of three.
    async fn progress(&self, _: &str, ids: &[CampaignId]) -> Result<Vec<Option<CampaignProgress>>, StoreError> {
        let campaigns = lock(&self.campaigns);
        let progress = |id: &CampaignId| {
            campaigns.get(id).map(|_| CampaignProgress {
                total: Some(3),
                succeeded: 1,
                failed: 1,
                rows_read: 4,
                ..CampaignProgress::new(CampaignStatus::Running, Timestamp(0))
            })
        };
        Ok(ids.iter().map(progress).collect())
    }
}

/// Every content can be rendered but the template `missing`, and `welcome` once it is gone.
#[derive(Default)]
pub(crate) struct FakeContents {
    pub(crate) is_gone: AtomicBool,
}

impl ContentCheck for FakeContents {
    fn check(&self, request: &NotificationRequest) -> Result<(), FieldProblem> {
        let is_gone = |code: &str| code == "missing" || code == "welcome" && self.is_gone.load(Ordering::SeqCst);
        match &request.content {
            Content::Template { code } if is_gone(code) => {
                Err(FieldProblem::new("/template", format!("there is no template `{code}`")))
            }
            _ => Ok(()),
        }
    }
}
