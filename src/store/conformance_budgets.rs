//! What every backend of [`super::BudgetRows`] must do; run against each of them by [`budget_conformance`].

use super::conformance::StoreBackend;
use super::{BudgetKey, SharedStore};

/// Makes a test of each promise; `$backend` is an expression that makes a fresh [`StoreBackend`].
macro_rules! budget_conformance {
    ($backend:expr) => {
        $crate::store::conformance_budgets::budget_conformance! { $backend =>
            what_each_process_drew_is_kept_and_the_later_counts
            days_and_categories_are_kept_apart
            what_was_drawn_is_there_after_opening_again
        }
    };
    ($backend:expr => $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            $crate::store::conformance_budgets::$name(&$backend).await;
        })*
    };
}
pub(crate) use budget_conformance;

fn key(category: &str, day: u32) -> BudgetKey {
    BudgetKey { category: category.into(), day }
}

async fn drawn(store: &SharedStore, key: &BudgetKey) -> Vec<(u64, u64)> {
    let mut drawn = store.drawn(key).await.expect("read");
    drawn.sort_unstable();
    drawn
}

pub(crate) async fn what_each_process_drew_is_kept_and_the_later_counts(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    let today = key("marketing", 20_000);
    assert_eq!(drawn(&store, &today).await, []);
    for (process, total) in [(1, 10), (u64::MAX, 5), (1, 20), (1, 15)] {
        store.draw(&today, process, total).await.expect("written");
    }
    assert_eq!(drawn(&store, &today).await, [(1, 15), (u64::MAX, 5)]);
}

pub(crate) async fn days_and_categories_are_kept_apart(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    store.draw(&key("marketing", 1), 1, 10).await.expect("written");
    for other in [key("marketing", 2), key("market", 1), key("social", 1)] {
        assert_eq!(drawn(&store, &other).await, []);
    }
}

pub(crate) async fn what_was_drawn_is_there_after_opening_again(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    store.draw(&key("marketing", 1), 1, 10).await.expect("written");
    drop(store);
    let store = backend.open().await;
    assert_eq!(drawn(&store, &key("marketing", 1)).await, [(1, 10)]);
}
