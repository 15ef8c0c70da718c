//! Requests, facts and fakes that the tests of planning share.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;

use super::Policy;
use crate::config;
use crate::coordination::{Claims, Wanted};
use crate::domain::{
    ClaimKey, Content, NotificationRequest, Plan, Position, Priority, Recipient, Routing, ShardId, Source, Timestamp,
};
use crate::store::{ClaimRow, ClaimRows, StoreError};

pub(super) const NOW: Timestamp = Timestamp(1_800_000_000_000);

pub(super) fn position(offset: u64) -> Position {
    Position::new(ShardId { generation: 0, lane: Priority::Normal, partition: 0 }, offset)
}

/// A provider for every channel, five minutes for business keys and a day for retry keys.
pub(super) fn policy() -> Policy {
    let dedup = config::Dedup { window: Duration::from_secs(300), idempotency: Duration::from_secs(86_400) };
    Policy::new(&dedup, [true; 7])
}

/// A template to one e-mail address, accepted now.
pub(super) fn request() -> NotificationRequest {
    NotificationRequest {
        tenant: "default".into(),
        user_id: None,
        to: Recipient { email: Some("alice@example.com".into()), ..Recipient::default() },
        content: Content::Template { code: "order_confirm".into() },
        data: "{}".into(),
        category: None,
        priority: Priority::Normal,
        channels: Vec::new(),
        routing: Routing::All,
        deliver_at: None,
        local_time: None,
        expires_at: None,
        dedup_key: None,
        dedup_window_seconds: None,
        idempotency: None,
        metadata: "{}".into(),
        source: Source::Http,
        accepted_at: NOW,
    }
}

/// Claims in flight, as a plain map.
#[derive(Default)]
pub(super) struct FakeClaims {
    pub(super) held: Mutex<HashMap<ClaimKey, Position>>,
}

#[async_trait]
impl Claims for FakeClaims {
    async fn claim(&self, wanted: &[Wanted]) -> Vec<Position> {
        let mut held = self.held.lock().expect("no test panics while it holds the lock");
        wanted.iter().map(|wanted| *held.entry(wanted.key).or_insert(wanted.owner)).collect()
    }

    async fn release(&self, released: &[Wanted]) {
        let mut held = self.held.lock().expect("no test panics while it holds the lock");
        for wanted in released {
            assert_eq!(held.remove(&wanted.key), Some(wanted.owner), "only what is held can be released");
        }
    }
}

/// Claims that are durable, as a plain map; or a store that fails.
#[derive(Default)]
pub(super) struct FakeRows {
    pub(super) rows: Mutex<HashMap<ClaimKey, ClaimRow>>,
    pub(super) fails: bool,
}

impl FakeRows {
    /// Writes what a store would write of a plan.
    pub(super) fn write(&self, plan: &Plan) {
        let mut rows = self.rows.lock().expect("no test panics while it holds the lock");
        for claim in &plan.claims {
            let (key, expires_at, body_hash) = (claim.key, claim.expires_at, claim.body_hash);
            rows.insert(key, ClaimRow { key, owner: plan.position, body_hash, expires_at });
        }
    }
}

#[async_trait]
impl ClaimRows for FakeRows {
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<ClaimRow>>, StoreError> {
        if self.fails {
            return Err(StoreError::Failed("told to".into()));
        }
        let rows = self.rows.lock().expect("no test panics while it holds the lock");
        Ok(keys.iter().map(|key| rows.get(key).copied()).collect())
    }
}
