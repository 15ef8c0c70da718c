//! Counting over a store in memory and over the embedded one, with writes that fail and processes that end in the middle.

mod answers;
mod counting;
mod rolling;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::config::defaults;
use crate::domain::{
    CampaignId, Cell, Channel, Content, Count, Counts, Entries, Event, EventKind, Plan, Position, Story, TaskId,
    Timestamp,
};
use crate::homes::{HOMES, Tenure, Turns, Work};
use crate::intake::fakes::FakeStore;
use crate::ownership::Standing;
use crate::store::conformance::{NOON, plan, shard};
use crate::store::{KeyedPart, KeyedRow, NamedRow, StoreError, touched_row};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn categories() -> Arc<Categories> {
    Arc::new(defaults().categories().expect("the default is there"))
}

/// A plan with one task of this channel.
fn planned(offset: u64, change: impl FnOnce(&mut Plan)) -> Plan {
    let mut plan = plan(Position::new(shard(0), offset));
    plan.accepted_at = NOON;
    plan.content = Content::Template { code: "welcome".into() };
    change(&mut plan);
    plan
}

fn happened(offset: u64, kind: EventKind, at: Timestamp) -> Event {
    let task = TaskId { position: Position::new(shard(0), offset), ordinal: 0 };
    let attempt = if kind.is_receipt() { Event::NO_ATTEMPT } else { 1 };
    Event { provider: Some("mail-main".into()), ..Event::new(task, attempt, kind, at) }
}

/// All counts of a tenant, over all hours and kinds of messages.
fn total(entries: &Entries, count: Count) -> i64 {
    entries.values().map(|counts| counts.get(count)).sum()
}

/// What stories come to, counted from nothing.
fn counted<'a>(stories: impl IntoIterator<Item = &'a Story>) -> Entries {
    let mut entries = Entries::new();
    stories.into_iter().for_each(|story| tally::tally(story, &categories(), &mut entries));
    entries
}

/// Rows in a store in memory, of which some write fails, once.
struct Faulty {
    store: Arc<FakeStore>,
    /// The write that fails, counted down; and whether it is written all the same.
    fails_in: AtomicU64,
    is_written: bool,
}

const NEVER: u64 = u64::MAX / 2;

#[async_trait]
impl KeyedRows for Faulty {
    async fn put_keyed(&self, rows: Vec<KeyedRow>) -> Result<(), StoreError> {
        if self.fails_in.fetch_sub(1, Ordering::SeqCst) != 1 {
            return self.store.put_keyed(rows).await;
        }
        if self.is_written {
            // As where a batch is no transaction.
            let half = rows.len().div_ceil(2);
            self.store.put_keyed(rows.into_iter().take(half).collect()).await?;
        }
        Err(StoreError::Failed("it was switched off".to_owned()))
    }

    async fn keyed(&self, names: &[(KeyedPart, Box<[u8]>)]) -> Result<Vec<Option<bytes::Bytes>>, StoreError> {
        self.store.keyed(names).await
    }

    async fn keyed_between(
        &self,
        part: &KeyedPart,
        after: Option<&[u8]>,
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<NamedRow>, StoreError> {
        self.store.keyed_between(part, after, before, limit).await
    }
}

struct Bench {
    clock: Arc<ManualClock>,
    store: Arc<FakeStore>,
    faulty: Arc<Faulty>,
    analytics: Arc<Analytics>,
    turns: Vec<Box<dyn Turns>>,
}

impl Bench {
    fn new() -> Self {
        Self::failing(NEVER, false)
    }

    fn failing(fails_in: u64, is_written: bool) -> Self {
        let clock = ManualClock::starting_at(NOON);
        let store = Arc::new(FakeStore::default());
        let faulty = Arc::new(Faulty { store: store.clone(), fails_in: fails_in.into(), is_written });
        let analytics = Analytics::new(AnalyticsParts {
            log: store.clone(),
            rows: faulty.clone(),
            categories: categories(),
            clock: clock.clone(),
        });
        Self { clock, store, faulty, analytics, turns: Vec::new() }
    }

    /// Tells a story, marked as written now.
    async fn tell(&self, offset: u64, events: Vec<Event>) {
        self.tell_of(planned(offset, |_| {}), events).await;
    }

    async fn tell_of(&self, plan: Plan, events: Vec<Event>) {
        let position = plan.position;
        self.store.tell(plan, events);
        let mark = touched_row(position.shard, position.block(), self.clock.now());
        self.store.put_keyed(vec![mark]).await.expect("written");
    }

    /// Another node has the homes: what memory had is lost.
    fn restart(&mut self) {
        self.turns.clear();
    }

    /// A turn at each home; begun anew where something failed.
    async fn turn(&mut self) -> Result<(), StoreError> {
        if self.turns.is_empty() {
            let work = AnalyticsWork::new(self.analytics.clone());
            for home in 0..HOMES {
                let standing = Arc::new(Standing::for_ever());
                let tenure = Tenure::new(home, CancellationToken::new(), standing, self.clock.clone());
                self.turns.push(work.begin(tenure).await?);
            }
        }
        for turns in &mut self.turns {
            turns.turn().await?;
        }
        Ok(())
    }

    /// Turns for so long, whatever fails.
    async fn run(&mut self, duration: Duration) {
        let end = self.clock.now() + duration;
        while self.clock.now() < end {
            self.clock.advance(SECOND * 2);
            if self.turn().await.is_err() {
                self.restart();
            }
        }
    }

    async fn report(&self, groups: &[Group]) -> Report {
        let day = Cell::hour_of(NOON) / 24;
        let query = ReportQuery {
            tenant: "acme".into(),
            first_day: day - 20,
            last_day: day + 20,
            groups: groups.to_vec(),
            filters: Filters::default(),
            lines_max: 1000,
        };
        self.analytics.report(&query).await.expect("read")
    }

    async fn totals(&self) -> Counts {
        self.report(&[Group::Channel]).await.totals
    }
}

/// Of what is counted, that it is what a count of all stories gives, by day and by hour.
async fn assert_exact(bench: &Bench, stories: &[Story]) {
    let mut expected = Counts::default();
    let entries = counted(stories);
    entries.values().for_each(|counts| expected.merge(counts));
    for groups in [&[Group::Day, Group::Template][..], &[Group::Hour, Group::Provider]] {
        let report = bench.report(groups).await;
        assert_eq!(report.totals, expected, "{groups:?}");
    }
    let mut by_hour: BTreeMap<u32, Counts> = BTreeMap::new();
    entries.iter().for_each(|(cell, counts)| by_hour.entry(cell.hour).or_default().merge(counts));
    let report = bench.report(&[Group::Hour]).await;
    let found: BTreeMap<u32, Counts> = report.lines.iter().map(|line| (hour(line), line.counts)).collect();
    assert_eq!(found, by_hour);
}

fn hour(line: &ReportLine) -> u32 {
    match line.values[0] {
        GroupValue::Hour(hour) => hour,
        _ => panic!("{line:?}"),
    }
}
