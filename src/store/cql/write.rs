//! One write: the tables in the order of the batch's fields, the rows of a table at once. A table is begun when the one before
//! is acknowledged, so that what relies on a row is never there without it.

use std::collections::BTreeMap;
use std::time::Duration;

use scylla::value::CqlValue;

use super::CqlStore;
use super::books::{Tenure, Write};
use super::groups;
use super::lifetimes::{self, seconds};
use super::lists;
use super::received;
use super::rows::{self, LogRow};
use super::runner::{Row, Traffic, big, blob, shard_key, shard_order};
use crate::codec;
use crate::domain::{NotificationId, Plan, PlanClaim, Position, ShardId, Timestamp};
use crate::store::{ClaimRow, DeadLetterKey, HistoryEntry, StoreError, WriteBatch, touched_blocks};

impl CqlStore {
    pub(super) async fn write_batch(&self, shard: ShardId, batch: WriteBatch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let (now, traffic) = (self.clock.now(), Traffic::of(shard));
        let (runner, statements) = (&self.runner, &self.statements);
        let tenure = self.tenure(shard).await?;
        let touched = touched_blocks(&batch.events);
        let marked = self.mark(shard, &touched).await?;
        // Claims carry their owner, so one without its plan says nothing wrong: whoever plans again finds itself.
        tokio::try_join!(
            self.add_timers(shard, &batch.timers, now),
            runner.write("write claims", traffic, &statements.add_claim, claims(&batch, now)),
            runner.write(
                "write what users got",
                traffic,
                &statements.add_received,
                received::rows(&batch.received, now)
            ),
            runner.write("write groups", traffic, &statements.add_group, groups::rows(&batch.groups, now)),
            runner.write("write the history", traffic, &statements.add_history, history(&batch, now)),
        )?;
        let write = self.write_log(&tenure, &batch, now).await?;
        // Only now: as long as a plan of the batch may be missing, the claim leads to the group that its item joined.
        let of_groups = group_claims(&batch, now);
        runner.write("write the claims of groups", traffic, &statements.add_claim, of_groups).await?;
        let letters = batch.dead_letters.iter().map(|letter| {
            let body = blob(codec::encode_dead_letter(letter));
            Row { partition: day_partition(&letter.key), values: dead_letter(&letter.key, Some(body)) }
        });
        runner.write("write dead letters", traffic, &statements.add_dead_letter, letters.collect()).await?;
        let revived = batch.revived.iter();
        let revived = revived.map(|key| Row { partition: day_partition(key), values: dead_letter(key, None) });
        runner.write("mark dead letters", traffic, &statements.revive, revived.collect()).await?;
        self.count(&tenure, write, &batch).await?;
        if let Some(cursors) = batch.cursors {
            self.advance(&tenure, cursors).await?;
        }
        self.mark_again(shard, &touched, marked).await
    }

    /// Plans, then events; what is returned is not in the books yet.
    pub(super) async fn write_log<'a>(
        &self,
        tenure: &'a Tenure,
        batch: &WriteBatch,
        now: Timestamp,
    ) -> Result<Write<'a>, StoreError> {
        let (shard, traffic) = (tenure.id(), Traffic::of(tenure.id()));
        let (plans, events) =
            (rows::of_plans(&batch.plans, &batch.plan_rows, now), rows::of_events(&batch.events, now));
        let write = self.begin(tenure, plans.len() + events.len(), batch).await?;
        let first_event = write.first() + plans.len() as i64;
        let plans = self.numbered(shard, plans, write.first());
        self.runner.write("write plans", traffic, &self.statements.add_to_log, plans).await?;
        let events = self.numbered(shard, events, first_event);
        self.runner.write("write events", traffic, &self.statements.add_to_log, events).await?;
        Ok(write)
    }

    /// Claims of records that are not planned yet. Their cells are dated back, further than clocks of nodes differ and less than
    /// a claim holds: so they yield to whatever a plan wrote or will write, and replace a claim that has run out.
    pub(super) async fn hold_claims(&self, rows: &[ClaimRow]) -> Result<(), StoreError> {
        let now = self.clock.now();
        let rows = rows.iter().map(|row| {
            let mut held = claim_row(row, now);
            let back = (row.expires_at.since(now) / 2).min(HELD_BACK);
            held.values.push(big((now - back).millis().saturating_mul(1000)));
            held
        });
        let statement = &self.statements.hold_claim;
        self.runner.write("hold claims", Traffic::Critical, statement, rows.collect()).await
    }

    /// Numbers the rows in their order: of two about the same thing the later has the higher number.
    fn numbered(&self, shard: ShardId, rows: Vec<LogRow>, first: i64) -> Vec<Row> {
        let numbered = (first..).zip(rows).map(|(number, row)| Row {
            partition: u128::from(row.block),
            values: vec![
                shard_key(shard),
                big(row.block),
                CqlValue::TinyInt(row.kind),
                CqlValue::SmallInt(row.window),
                blob(self.numbers.write_number(number)),
                blob(row.body),
                CqlValue::Int(seconds(row.lifetime)),
            ],
        });
        numbered.collect()
    }
}

/// How far the clocks of nodes may differ before a claim that was held wins over a plan's.
const HELD_BACK: Duration = Duration::from_secs(3600);

fn claims(batch: &WriteBatch, now: Timestamp) -> Vec<Row> {
    let mut rows = Vec::new();
    for plan in &batch.plans {
        for claim in plan.claims.iter().filter(|claim| !is_of_group(plan, claim)) {
            let row = ClaimRow {
                key: claim.key,
                owner: plan.position,
                body_hash: claim.body_hash,
                expires_at: claim.expires_at,
            };
            rows.push(claim_row(&row, now));
        }
    }
    rows
}

/// Of each group the last leader's.
fn group_claims(batch: &WriteBatch, now: Timestamp) -> Vec<Row> {
    let mut last = BTreeMap::new();
    for plan in &batch.plans {
        for claim in plan.claims.iter().filter(|claim| is_of_group(plan, claim)) {
            let (key, expires_at) = (claim.key, claim.expires_at);
            last.insert(key, ClaimRow { key, owner: plan.position, body_hash: 0, expires_at });
        }
    }
    last.values().map(|row| claim_row(row, now)).collect()
}

fn is_of_group(plan: &Plan, claim: &PlanClaim) -> bool {
    plan.group.as_ref().is_some_and(|group| group.key == claim.key)
}

fn claim_row(row: &ClaimRow, now: Timestamp) -> Row {
    Row {
        partition: row.key.0,
        values: vec![
            blob(row.key.0.to_be_bytes()),
            blob(codec::encode_claim(row)),
            CqlValue::Int(seconds(lifetimes::of_claim(row, now))),
        ],
    }
}

fn history(batch: &WriteBatch, now: Timestamp) -> Vec<Row> {
    let mut rows: Vec<Row> = batch.plans.iter().filter_map(|plan| history_row(plan, now)).collect();
    rows.sort_by_key(|row| row.partition);
    rows
}

fn history_row(plan: &Plan, now: Timestamp) -> Option<Row> {
    let user = lists::user(&plan.tenant, plan.user_id.as_deref()?);
    let entry = HistoryEntry { accepted_at: plan.accepted_at, notification: NotificationId(plan.position) };
    let period = lists::period(entry.accepted_at);
    let mut values = vec![blob(user.to_be_bytes()), CqlValue::Int(period)];
    values.extend(lists::history_place(&entry));
    values.push(CqlValue::Int(seconds(lifetimes::of_plan(plan, now))));
    // Users with one hash differ in nothing here; periods of one user are seldom written together.
    Some(Row { partition: user ^ period as u128, values })
}

/// The key of a dead letter, and its body if it has one.
pub(super) fn dead_letter(key: &DeadLetterKey, body: Option<CqlValue>) -> Vec<CqlValue> {
    let mut values = vec![CqlValue::Text(key.tenant.to_string()), CqlValue::Int(lists::day(key.at))];
    values.extend(lists::dead_letter_place(key));
    values.extend(body);
    values
}

fn day_partition(key: &DeadLetterKey) -> u128 {
    lists::user(&key.tenant, "") ^ lists::day(key.at) as u128
}

/// Where something stands in the log, as columns that keep its order.
pub(super) fn place(position: Position) -> [CqlValue; 2] {
    [shard_order(position.shard), big(position.offset)]
}
