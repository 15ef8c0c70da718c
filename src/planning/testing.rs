//! Requests, facts and fakes that the tests of planning share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::{CandidateFacts, Policy};
use crate::config;
use crate::coordination::{Claims, Wanted};
use crate::domain::{
    Brake, BrakeEffect, BrakeKind, BrakeNames, BrakeScope, BrakeSet, Categories, Category, Channel, ClaimKey, Content,
    Event, NotificationRequest, Plan, Position, Priority, Recipient, Routing, ShardId, Source, Story,
    SuppressedAddress, Suppression, Timestamp, User, UserEntry, UserKey,
};
use crate::store::{
    Books, BudgetKey, BudgetRows, ClaimRow, ClaimRows, Cursors, GroupEntry, Groups, ListedSuppression, ReceivedEntry,
    ReceivedRow, ReceivedRows, StoreError, SuppressionChange, SuppressionPlace, Suppressions, TaskLog, UserChange,
    Users, WriteBatch,
};

pub(super) const NOW: Timestamp = Timestamp(1_800_000_000_000);

pub(super) fn position(offset: u64) -> Position {
    Position::new(ShardId { generation: 0, lane: Priority::Normal, partition: 0 }, offset)
}

/// What is shipped, with a provider for every channel: five minutes for business keys, a day for retry keys, nights from 22:00 to
/// 08:00 in UTC.
pub(super) fn policy() -> Policy {
    Policy::new(&config::defaults(), [Some(0.0); 7])
}

/// The shipped categories, each changed.
pub(super) fn categories(change: impl Fn(&mut Category)) -> Categories {
    let shipped = config::defaults().categories().expect("the default is there");
    let changed = shipped.names().into_iter().filter_map(|name| shipped.get(name).cloned()).map(|mut category| {
        change(&mut category);
        category
    });
    Categories::new(changed.collect(), "transactional").expect("the default is there")
}

/// Brakes of the tenant of [`request`] on these, paused or recalled at a time; mails go through `one`.
pub(super) fn brakes(on: &[(BrakeKind, &str, BrakeEffect, Timestamp)]) -> Arc<BrakeSet> {
    let mut providers: [Vec<Box<str>>; 7] = Default::default();
    providers[Channel::Email.index()] = vec!["one".into()];
    let names = BrakeNames { categories: Vec::new(), default_category: "transactional".into(), providers };
    let brakes = on.iter().map(|(kind, name, effect, at)| Brake {
        scope: BrakeScope { tenant: "default".into(), kind: *kind, name: (*name).into() },
        effect: *effect,
        is_on: true,
        at: *at,
        reason: None,
    });
    Arc::new(BrakeSet::new(brakes.collect(), 1, Arc::new(names)))
}

pub(super) fn no_brakes() -> Arc<BrakeSet> {
    brakes(&[])
}

/// The facts of a request to a user of whom this is known.
pub(super) fn known(entries: impl IntoIterator<Item = UserEntry>) -> CandidateFacts {
    CandidateFacts { user: User::from_entries(entries).map(Arc::new), ..CandidateFacts::default() }
}

/// Users and suppressed addresses in memory, and what was asked for; or a store that fails.
#[derive(Default)]
pub(super) struct FakePeople {
    pub(super) users: Mutex<HashMap<UserKey, User>>,
    pub(super) suppressed: Mutex<HashMap<SuppressedAddress, Suppression>>,
    /// How many were asked for by each call.
    pub(super) asked: Mutex<Vec<usize>>,
    pub(super) fails: bool,
}

impl FakePeople {
    fn answer<T>(&self, count: usize, answer: impl FnOnce() -> T) -> Result<T, StoreError> {
        self.asked.lock().expect("not poisoned").push(count);
        if self.fails { Err(StoreError::Failed("told to".into())) } else { Ok(answer()) }
    }
}

#[async_trait]
impl Users for FakePeople {
    async fn users(&self, keys: &[UserKey]) -> Result<Vec<Option<User>>, StoreError> {
        let users = self.users.lock().expect("not poisoned");
        self.answer(keys.len(), || keys.iter().map(|key| users.get(key).cloned()).collect())
    }

    async fn write_users(&self, _: Vec<UserChange>) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl Suppressions for FakePeople {
    async fn suppressions(&self, addresses: &[SuppressedAddress]) -> Result<Vec<Option<Suppression>>, StoreError> {
        let suppressed = self.suppressed.lock().expect("not poisoned");
        self.answer(addresses.len(), || addresses.iter().map(|address| suppressed.get(address).cloned()).collect())
    }

    async fn write_suppressions(&self, _: Vec<SuppressionChange>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn all_suppressions(
        &self,
        _: &str,
        _: Option<SuppressionPlace>,
        _: usize,
    ) -> Result<Vec<ListedSuppression>, StoreError> {
        Ok(Vec::new())
    }
}

/// A template to one e-mail address, accepted now.
pub(super) fn request() -> NotificationRequest {
    NotificationRequest {
        campaign: None,
        tenant: "default".into(),
        user_id: None,
        to: Recipient { email: Some("alice@example.com".into()), ..Recipient::default() },
        content: Content::Template { code: "order_confirm".into() },
        data: "{}".into(),
        locale: None,
        category: None,
        priority: Priority::Normal,
        channels: Vec::new(),
        routing: Routing::All,
        deliver_at: None,
        local_time: None,
        expires_at: None,
        dedup_key: None,
        dedup_window_seconds: None,
        aggregate: None,
        attachments: Vec::new(),
        collapse_key: None,
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
    async fn claim_for(&self, wanted: &[Wanted], _held_for: Duration) -> Vec<Position> {
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
    /// What users got, and what became of it.
    pub(super) received: Mutex<Vec<ReceivedRow>>,
    pub(super) stories: Mutex<HashMap<Position, Story>>,
    pub(super) drawn: Mutex<HashMap<(BudgetKey, u64), u64>>,
    pub(super) fails: bool,
}

impl FakeRows {
    /// Writes what a store would write of a plan.
    pub(super) fn write(&self, plan: &Plan, received: Option<ReceivedRow>) {
        self.received.lock().expect("not poisoned").extend(received);
        let story = Story { plan: plan.clone(), events: Vec::new() };
        self.stories.lock().expect("not poisoned").insert(plan.position, story);
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

#[async_trait]
impl ReceivedRows for FakeRows {
    async fn received(&self, users: &[UserKey]) -> Result<Vec<Vec<ReceivedEntry>>, StoreError> {
        let received = self.received.lock().expect("not poisoned");
        let of = |user: &UserKey| received.iter().filter(|row| row.user == *user).map(|row| row.entry).collect();
        Ok(users.iter().map(of).collect())
    }
}

#[async_trait]
impl TaskLog for FakeRows {
    async fn write(&self, _: ShardId, _: WriteBatch) -> Result<(), StoreError> {
        Ok(())
    }

    async fn stories(&self, positions: &[Position]) -> Result<Vec<Option<Story>>, StoreError> {
        let stories = self.stories.lock().expect("not poisoned");
        Ok(positions.iter().map(|position| stories.get(position).cloned()).collect())
    }

    async fn block(&self, _: ShardId, _: u64) -> Result<Vec<Story>, StoreError> {
        Ok(Vec::new())
    }

    async fn loose_events(&self, _: ShardId, _: u64) -> Result<Vec<Event>, StoreError> {
        Ok(Vec::new())
    }

    async fn cursors(&self, _: ShardId) -> Result<Cursors, StoreError> {
        Ok(Cursors::default())
    }

    async fn books(&self, _: ShardId) -> Result<Books, StoreError> {
        Ok(Books::default())
    }
}

#[async_trait]
impl Groups for FakeRows {
    async fn groups(&self, leaders: &[Position]) -> Result<Vec<Vec<GroupEntry>>, StoreError> {
        Ok(vec![Vec::new(); leaders.len()])
    }
}

#[async_trait]
impl BudgetRows for FakeRows {
    async fn draw(&self, key: &BudgetKey, process: u64, total: u64) -> Result<(), StoreError> {
        self.drawn.lock().expect("not poisoned").insert((key.clone(), process), total);
        Ok(())
    }

    async fn drawn(&self, key: &BudgetKey) -> Result<Vec<(u64, u64)>, StoreError> {
        let drawn = self.drawn.lock().expect("not poisoned");
        Ok(drawn.iter().filter(|((of, _), _)| of == key).map(|((_, process), total)| (*process, *total)).collect())
    }
}
