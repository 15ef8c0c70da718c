//! What planning costs: microseconds for each request of a batch to users with preferences and two devices, on one thread, where
//! the users are remembered and where they are asked for (of a store that answers at once).
//!
//! `cargo bench --bench plan`

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fanfare::clock::ManualClock;
use fanfare::config;
use fanfare::coordination::{Claims, LocalCoordination};
use fanfare::domain::{
    BrakeSet, Channel, ClaimKey, Content, Device, Event, NotificationRequest, Platform, Position, Priority, Recipient,
    Routing, ShardId, Source, Story, SuppressedAddress, Suppression, Timestamp, User, UserEntry, UserKey,
};
use fanfare::planning::{Budgets, People, Policy, ShardGroups, Shelves, Sources, gather, plan_batch};
use fanfare::store::{
    Books, BudgetKey, BudgetRows, ClaimRow, ClaimRows, Cursors, GroupEntry, Groups, ListedSuppression, ReceivedRows,
    StoreError, SuppressionChange, SuppressionPlace, Suppressions, TaskLog, UserChange, Users, WriteBatch,
};
use fanfare::users::{Copies, LocalChanges};

const NOW: Timestamp = Timestamp(1_795_262_400_000);
const BATCH: u64 = 512;
const ROUNDS: u32 = 40;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("starts");
    let config = config::defaults();
    let policy = Policy::new(&config, [Some(0.0); 7]);
    let coordination = LocalCoordination::new(ManualClock::starting_at(NOW));
    for category in ["transactional", "social", "marketing"] {
        let people = |bytes| {
            let changes = Arc::new(LocalChanges::default());
            let copies = Copies::new(bytes, Duration::from_secs(600), ManualClock::starting_at(NOW), changes);
            People::new(Arc::new(Known), Arc::new(Known), copies)
        };
        let (warm, cold) = (people(64 << 20), people(0));
        for (name, people) in [("remembered", &warm), ("read", &cold)] {
            let round = || {
                let batch: Vec<_> = (0..BATCH).map(|offset| (position(offset), request(offset, category))).collect();
                let claims: &dyn Claims = &coordination;
                let brakes = Arc::new(BrakeSet::new(Vec::new(), 1, Arc::default()));
                let sources = Sources {
                    claims,
                    shelves: Shelves {
                        rows: &Known,
                        received: &Known,
                        stories: &Known,
                        groups: &Known,
                        people,
                        experiments: &(),
                        brakes: &brakes,
                    },
                    groups: ShardGroups::default(),
                    budgets: &Budgets::new(Arc::new(Known), 0),
                    is_cancelled: &|_| false,
                    is_unreadable: &|_| false,
                };
                let start = Instant::now();
                let facts = runtime.block_on(gather(&batch, &policy, &sources, NOW)).expect("readable");
                black_box(plan_batch(batch, &facts, &policy, NOW));
                let took = start.elapsed();
                runtime.block_on(claims.release(&facts.claimed));
                took
            };
            round();
            let best = (0..ROUNDS).map(|_| round()).min().unwrap_or_default();
            println!("{category:<14} {name:<11} {:>7.2} µs", best.as_secs_f64() * 1e6 / BATCH as f64);
        }
    }
}

fn position(offset: u64) -> Position {
    Position::new(ShardId { generation: 0, lane: Priority::Normal, partition: 0 }, offset)
}

fn request(number: u64, category: &str) -> NotificationRequest {
    NotificationRequest {
        campaign: None,
        tenant: "default".into(),
        user_id: Some(format!("user-{number}").into()),
        to: Recipient::default(),
        content: Content::Template { code: "order_confirm".into() },
        data: r#"{"order_id":"12345"}"#.into(),
        locale: None,
        category: Some(category.into()),
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

/// A store that knows everybody, and of each the same.
struct Known;

fn user() -> Option<User> {
    let device = |id: &str| UserEntry::Device {
        id: id.into(),
        device: Some(Device {
            platform: Platform::Ios,
            token: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".into(),
            registered_at: NOW,
            seen_at: NOW,
            dead_since: None,
        }),
    };
    let off =
        |category: &str, channel| UserEntry::Preference { category: category.into(), channel, enabled: Some(false) };
    User::from_entries([
        UserEntry::Email(Some("somebody@example.com".into())),
        UserEntry::Phone(Some("+4930123456".into())),
        UserEntry::Locale(Some("de-DE".into())),
        UserEntry::Timezone(Some("Europe/Berlin".into())),
        device("phone"),
        device("tablet"),
        off("social", Channel::Sms),
        off("marketing", Channel::Push),
    ])
}

#[async_trait]
impl Users for Known {
    async fn users(&self, keys: &[UserKey]) -> Result<Vec<Option<User>>, StoreError> {
        Ok(keys.iter().map(|_| user()).collect())
    }

    async fn write_users(&self, _: Vec<UserChange>) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl Suppressions for Known {
    async fn suppressions(&self, addresses: &[SuppressedAddress]) -> Result<Vec<Option<Suppression>>, StoreError> {
        Ok(vec![None; addresses.len()])
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

#[async_trait]
impl ClaimRows for Known {
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<ClaimRow>>, StoreError> {
        Ok(vec![None; keys.len()])
    }
}

impl ReceivedRows for Known {}

#[async_trait]
impl TaskLog for Known {
    async fn write(&self, _: ShardId, _: WriteBatch) -> Result<(), StoreError> {
        Ok(())
    }

    async fn stories(&self, positions: &[Position]) -> Result<Vec<Option<Story>>, StoreError> {
        Ok(vec![None; positions.len()])
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
impl Groups for Known {
    async fn groups(&self, leaders: &[Position]) -> Result<Vec<Vec<GroupEntry>>, StoreError> {
        Ok(vec![Vec::new(); leaders.len()])
    }
}

#[async_trait]
impl BudgetRows for Known {
    async fn draw(&self, _: &BudgetKey, _: u64, _: u64) -> Result<(), StoreError> {
        Ok(())
    }

    async fn drawn(&self, _: &BudgetKey) -> Result<Vec<(u64, u64)>, StoreError> {
        Ok(Vec::new())
    }
}
