//! Against a real database, whose address is in `FANFARE_TEST_CQL`; each test has a keyspace of its own. What needs none runs always.

mod lint;
mod promises;
mod recount;
mod schema;
mod spill;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::CqlStore;
use crate::clock::{Clock, ManualClock, Moment, SharedClock};
use crate::config::{self, Cql};
use crate::domain::{Brake, BrakeEffect, BrakeKind, BrakeScope, TemplateAction, TemplateChange, Timestamp};
use crate::store::conformance::{NOON, StoreBackend, shard, store_conformance};
use crate::store::conformance_leases::{LeaseBackend, lease_conformance};
use crate::store::conformance_secrets::SecretBackend;
use crate::store::conformance_users::{UserBackend, user_conformance};
use crate::store::{
    BrakeRows, KeyedRows, LeaseRows, SharedStore, TemplateRows, UserSecrets, apply_schema, read_touched, source_of,
    touched_part,
};
use crate::testing::service;

/// An hour past [`NOON`] and going on, so that what the shared tests write is of today.
struct Afternoon {
    start: Instant,
}

impl Clock for Afternoon {
    fn now(&self) -> Timestamp {
        NOON + Duration::from_secs(3600) + self.start.elapsed()
    }

    fn moment(&self) -> Moment {
        Moment(self.start.elapsed())
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

fn afternoon() -> SharedClock {
    Arc::new(Afternoon { start: Instant::now() })
}

fn settings(address: &str, keyspace: &str) -> Cql {
    let mut settings = config::defaults().store.cql;
    settings.nodes = vec![address.to_owned()];
    settings.keyspace = keyspace.to_owned();
    // Tables are made beside what is measured.
    settings.timeout = Duration::from_secs(15);
    settings
}

/// A keyspace of its own, dropped at the end.
pub(crate) struct Place {
    pub(crate) settings: Cql,
    clock: SharedClock,
}

impl Place {
    /// None where there is no database to test against.
    fn without_tables() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let address = service("FANFARE_TEST_CQL")?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let keyspace = format!("fanfare_test_{}_{number}", std::process::id());
        Some(Self { settings: settings(&address, &keyspace), clock: afternoon() })
    }

    pub(crate) async fn new() -> Option<Self> {
        let place = Self::without_tables()?;
        apply_schema(&place.settings, place.clock.clone()).await.expect("applied");
        Some(place)
    }

    async fn store(&self) -> Arc<CqlStore> {
        CqlStore::open(&self.settings, self.clock.clone()).await.expect("opened")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let settings = self.settings.clone();
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(schema::drop_keyspaces(&settings));
        });
        // A test that has failed shall say so itself.
        let _ = dropping.join();
    }
}

#[async_trait]
impl StoreBackend for Place {
    async fn open(&self) -> SharedStore {
        self.store().await
    }
}

#[async_trait]
impl LeaseBackend for Place {
    async fn open(&self) -> Arc<dyn LeaseRows> {
        self.store().await
    }
}

#[async_trait]
impl UserBackend for Place {
    async fn open(&self) -> SharedStore {
        self.store().await
    }

    async fn open_at(&self, clock: SharedClock) -> SharedStore {
        CqlStore::open(&self.settings, clock).await.expect("opened")
    }
}

/// A place, or the end of the test.
macro_rules! place {
    () => {
        match Place::new().await {
            Some(place) => place,
            None => return,
        }
    };
}
use place;

store_conformance!(place!());

mod leases {
    use super::*;

    lease_conformance!(place!());
}

mod budgets {
    use super::*;
    use crate::store::conformance_budgets::budget_conformance;

    budget_conformance!(place!());
}

mod templates {
    use super::*;
    use crate::store::conformance_templates::template_conformance;

    template_conformance!(place!());
}

mod definitions {
    use super::*;
    use crate::store::conformance_definitions::definition_conformance;

    definition_conformance!(place!());
}

mod keyed {
    use super::*;
    use crate::store::conformance_keyed::keyed_conformance;

    keyed_conformance!(place!());
}

impl SecretBackend for Place {
    async fn secrets(&self) -> Arc<dyn UserSecrets> {
        self.store().await
    }
}

mod secrets {
    use super::*;
    use crate::store::conformance_secrets::secret_conformance;

    secret_conformance!(place!());
}

mod received {
    use super::*;
    use crate::store::conformance_received::received_conformance;

    received_conformance!(place!());
}

mod users {
    use super::*;

    user_conformance!(place!());
}

#[tokio::test]
async fn blocks_that_are_written_are_marked_in_their_minute() {
    crate::store::conformance_marks::blocks_that_are_written_are_marked_in_their_minute(&place!()).await;
}

#[tokio::test]
async fn a_write_that_ends_in_a_later_minute_is_marked_there_as_well() {
    let place = place!();
    let clock = ManualClock::starting_at(NOON);
    let store = CqlStore::open(&place.settings, clock.clone()).await.expect("opened");
    let blocks = [7].into();
    let minute = store.mark(shard(0), &blocks).await.expect("marked");
    store.mark_again(shard(0), &blocks, minute).await.expect("nothing is to be done");
    clock.advance(Duration::from_secs(61));
    store.mark_again(shard(0), &blocks, minute).await.expect("marked");
    let part = touched_part(source_of(shard(0)), minute + 1);
    let marks = store.keyed_between(&part, None, None, 10).await.expect("read");
    assert_eq!(marks.iter().map(read_touched).collect::<Vec<_>>(), [Some((shard(0), 7, clock.now()))]);
}

#[tokio::test]
async fn brakes_are_kept_by_scope_and_effect() {
    crate::store::conformance_brakes::brakes_are_kept_by_scope_and_effect(&place!()).await;
}

#[tokio::test]
async fn a_brake_is_written_over_by_a_node_whose_clock_is_behind() {
    let place = place!();
    let ahead = place.store().await;
    // By an hour.
    let behind = CqlStore::open(&place.settings, ManualClock::starting_at(NOON)).await.expect("opened");
    let scope = BrakeScope { tenant: "acme".into(), kind: BrakeKind::Channel, name: "email".into() };
    let mut brake = Brake { scope, effect: BrakeEffect::Pause, is_on: true, at: NOON, reason: None };
    ahead.write_brake(&brake).await.expect("written");
    brake.is_on = false;
    behind.write_brake(&brake).await.expect("written");
    assert_eq!(ahead.brakes().await.expect("read"), [brake.clone()]);
    brake.is_on = true;
    ahead.write_brake(&brake).await.expect("written");
    assert_eq!(behind.brakes().await.expect("read"), [brake]);
}

#[tokio::test]
async fn changes_of_templates_go_on_in_the_next_partition() {
    let place = place!();
    let store = place.store().await;
    let change = |number: u64| TemplateChange {
        number,
        code: "welcome".into(),
        action: TemplateAction::Activated,
        by: "key 1".into(),
        at: NOON,
    };
    // The last of a partition, and the first of the next; what stands before is of no matter to who reads on.
    for number in [4094, 4095, 4096, 4097] {
        assert!(store.append_template_change("acme", &change(number)).await.expect("appended"));
    }
    assert_eq!(store.template_changes("acme", 4093, 10).await.expect("read"), [4094, 4095, 4096, 4097].map(change));
    assert_eq!(store.template_changes("acme", 4094, 2).await.expect("read"), [4095, 4096].map(change));
    assert_eq!(store.template_changes("acme", 4095, 10).await.expect("read"), [4096, 4097].map(change));
}
