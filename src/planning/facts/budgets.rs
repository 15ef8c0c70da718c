//! What messages of a category may still cost today, over all nodes: drawn from the store in slices, so that few messages ask it.
//!
//! A process writes what it has drawn in all, then reads what all have drawn: where that is within the budget, the slice is its
//! own. So a budget is never exceeded, whoever draws at once. What a process that ends has drawn and not spent is lost, and
//! so is what is planned again after a crash: at most a slice for each, a hundredth of the budget.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::domain::{Routing, Timestamp};
use crate::planning::gates::{Case, LIFETIME};
use crate::planning::{BudgetFact, routing};
use crate::store::{BudgetKey, BudgetRows, StoreError};

/// Slices that a budget is drawn in.
const SLICES: u64 = 100;
/// A day whose budget is spent is asked about again after this: another process may have given back what was too much.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// Days ahead that something may be held for its cost.
const DAYS_MAX: u32 = 7;
const DAY_MILLIS: u64 = 86_400_000;

/// The budgets of a node, for all its partitions.
pub struct Budgets {
    rows: Arc<dyn BudgetRows>,
    /// No other process that runs has it.
    process: u64,
    /// Held while a slice is drawn: what else is planned of categories with a budget waits for it.
    purses: Mutex<HashMap<BudgetKey, Purse>>,
}

/// What this process has of one day.
#[derive(Debug, Clone, Copy, Default)]
struct Purse {
    /// Drawn in all; what is left of it.
    total: u64,
    left: u64,
    /// The least that was refused, and when.
    refused: Option<(u64, Timestamp)>,
}

impl Budgets {
    pub fn new(rows: Arc<dyn BudgetRows>, process: u64) -> Self {
        Self { rows, process, purses: Mutex::default() }
    }

    /// Pays for a notification that would be sent, on the first day that can pay for it before it expires. `due`: when it would go
    /// out; `None`: at once. It answers `None` where the category has no budget, or the message costs nothing.
    pub(super) async fn pay(&self, case: &Case<'_>, due: Option<Timestamp>) -> Result<Option<BudgetFact>, StoreError> {
        let Some(limit) = case.category.budget_per_day else { return Ok(None) };
        let (cost, at) = (cost(case), due.unwrap_or(case.now));
        if cost == 0 {
            return Ok(None);
        }
        let last = case.request.expires_at.unwrap_or(at + LIFETIME);
        self.first_day(&case.category.name, limit, cost, at, last, case.now).await.map(Some)
    }

    async fn first_day(
        &self,
        category: &str,
        limit: u64,
        cost: u64,
        at: Timestamp,
        last: Timestamp,
        now: Timestamp,
    ) -> Result<BudgetFact, StoreError> {
        let today = (at.millis() / DAY_MILLIS) as u32;
        for day in today..=today.saturating_add(DAYS_MAX) {
            let start = Timestamp(u64::from(day) * DAY_MILLIS);
            if day > today && start >= last {
                break;
            }
            if self.take(BudgetKey { category: category.into(), day }, limit, cost, now).await? {
                return Ok(if day == today { BudgetFact::Paid } else { BudgetFact::From(start) });
            }
        }
        Ok(BudgetFact::Spent)
    }

    async fn take(&self, key: BudgetKey, limit: u64, cost: u64, now: Timestamp) -> Result<bool, StoreError> {
        let mut purses = self.purses.lock().await;
        if !purses.contains_key(&key) {
            // Days that have passed; nothing draws of them any more.
            let today = (now.millis() / DAY_MILLIS) as u32;
            purses.retain(|key, _| key.day + 1 >= today);
            // What an earlier run of this process drew stays drawn.
            let drawn = self.rows.drawn(&key).await?;
            let total = drawn.iter().filter(|(process, _)| *process == self.process).map(|(_, total)| *total).sum();
            purses.insert(key.clone(), Purse { total, ..Purse::default() });
        }
        let Some(purse) = purses.get_mut(&key) else { return Ok(false) };
        if purse.left >= cost {
            purse.left -= cost;
            return Ok(true);
        }
        if purse.refused.is_some_and(|(refused, at)| cost >= refused && now.since(at) < ASK_AGAIN) {
            return Ok(false);
        }
        let missing = cost - purse.left;
        for slice in [missing.max(limit / SLICES), missing] {
            if self.draw(&key, purse, limit, slice).await? {
                purse.left -= cost;
                return Ok(true);
            }
        }
        purse.refused = Some((cost, now));
        Ok(false)
    }

    /// Adds a slice to the purse, if the budget has it.
    async fn draw(&self, key: &BudgetKey, purse: &mut Purse, limit: u64, slice: u64) -> Result<bool, StoreError> {
        let total = purse.total.saturating_add(slice);
        self.rows.draw(key, self.process, total).await?;
        let drawn = self.rows.drawn(key).await?;
        let others = drawn.iter().filter(|(process, _)| *process != self.process).map(|(_, total)| *total);
        if others.fold(total, u64::saturating_add) <= limit {
            purse.total = total;
            purse.left += slice;
            return Ok(true);
        }
        self.rows.draw(key, self.process, purse.total).await?;
        Ok(false)
    }
}

/// What the message would cost: all its ways, or of a fallback the first.
fn cost(case: &Case<'_>) -> u64 {
    let Ok(ways) = routing::route(case, &mut Vec::new()) else { return 0 };
    let count = if case.request.routing == Routing::Fallback { 1 } else { ways.len() };
    ways.iter().take(count).map(|(channel, _)| case.policy.costs[channel.index()]).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;

    use async_trait::async_trait;
    use proptest::prelude::*;

    use super::*;
    use crate::planning::testing::NOW;

    /// Rows in memory, and how often they were asked for.
    #[derive(Default)]
    struct Rows {
        drawn: StdMutex<HashMap<(BudgetKey, u64), u64>>,
        asked: StdMutex<usize>,
    }

    #[async_trait]
    impl BudgetRows for Rows {
        async fn draw(&self, key: &BudgetKey, process: u64, total: u64) -> Result<(), StoreError> {
            self.drawn.lock().expect("not poisoned").insert((key.clone(), process), total);
            Ok(())
        }

        async fn drawn(&self, key: &BudgetKey) -> Result<Vec<(u64, u64)>, StoreError> {
            *self.asked.lock().expect("not poisoned") += 1;
            let drawn = self.drawn.lock().expect("not poisoned");
            Ok(drawn.iter().filter(|((of, _), _)| of == key).map(|((_, process), total)| (*process, *total)).collect())
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
    }

    fn today() -> BudgetKey {
        BudgetKey { category: "marketing".into(), day: (NOW.millis() / DAY_MILLIS) as u32 }
    }

    fn take(budgets: &Budgets, limit: u64, cost: u64) -> bool {
        block_on(budgets.take(today(), limit, cost, NOW)).expect("readable")
    }

    #[test]
    fn a_budget_is_spent_to_the_last_and_asked_about_a_hundred_times() {
        let rows = Arc::new(Rows::default());
        let budgets = Budgets::new(rows.clone(), 1);
        let paid = (0..2000).filter(|_| take(&budgets, 1000, 1)).count();
        assert_eq!(paid, 1000);
        let asked = *rows.asked.lock().expect("not poisoned");
        assert!(asked <= 110, "{asked}");
    }

    #[test]
    fn a_process_that_starts_again_does_not_spend_twice() {
        let rows = Arc::new(Rows::default());
        let paid = (0..10)
            .map(|_| Budgets::new(rows.clone(), 1))
            .map(|budgets| (0..15).filter(|_| take(&budgets, 100, 1)).count());
        assert_eq!(paid.sum::<usize>(), 100);
    }

    #[test]
    fn what_cannot_be_paid_today_waits_for_a_day_that_can_unless_it_expires_before() {
        let budgets = Budgets::new(Arc::new(Rows::default()), 1);
        let midnight = Timestamp((u64::from(today().day) + 1) * DAY_MILLIS);
        let pay = |last| block_on(budgets.first_day("marketing", 1, 1, NOW, last, NOW)).expect("readable");
        assert_eq!(pay(midnight), BudgetFact::Paid);
        assert_eq!(pay(midnight), BudgetFact::Spent);
        assert_eq!(pay(midnight + Duration::from_millis(1)), BudgetFact::From(midnight));
        assert_eq!(pay(midnight + LIFETIME), BudgetFact::From(midnight + Duration::from_millis(DAY_MILLIS)));
    }

    proptest! {
        #[test]
        fn whoever_draws_no_more_is_spent_than_there_is(
            costs in prop::collection::vec((0u64..3, 1u64..40), 0..120),
            limit in 1u64..500,
        ) {
            let rows = Arc::new(Rows::default());
            let nodes: Vec<Budgets> = (0..3).map(|process| Budgets::new(rows.clone(), process)).collect();
            let mut spent = 0;
            for (node, cost) in costs {
                if take(&nodes[node as usize], limit, cost) {
                    spent += cost;
                }
            }
            prop_assert!(spent <= limit, "{spent} of {limit}");
        }
    }
}
