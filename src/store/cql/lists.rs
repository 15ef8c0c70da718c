//! What is listed newest first: a user's history by periods of thirty days, a tenant's dead letters by days. Lists walk back
//! several partitions at a time, until the page is full or nothing older can be alive.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::value::CqlValue;
use xxhash_rust::xxh3::Xxh3;

use super::CqlStore;
use super::lifetimes;
use super::runner::{big, blob, small};
use super::write;
use crate::codec;
use crate::domain::{NotificationId, Position, ShardId, TaskId, Timestamp};
use crate::store::{DeadLetter, DeadLetterKey, DeadLetters, History, HistoryEntry, StoreError};

const DAY_MILLIS: u64 = 86_400_000;
/// Part of the rows' keys, and so never changed.
const PERIOD_DAYS: u64 = 30;
/// Periods and days that are read at once.
const ABREAST: usize = 4;

/// The day that a time falls into, since 1970.
pub(super) fn day(at: Timestamp) -> i32 {
    (at.millis() / DAY_MILLIS) as i32
}

/// The period of the history that a time falls into.
pub(super) fn period(at: Timestamp) -> i32 {
    (at.millis() / (DAY_MILLIS * PERIOD_DAYS)) as i32
}

/// A user of a tenant, without the name.
pub(super) fn user(tenant: &str, user_id: &str) -> u128 {
    let mut hash = Xxh3::new();
    // The length keeps ("ab", "c") apart from ("a", "bc").
    hash.update(&(tenant.len() as u64).to_be_bytes());
    hash.update(tenant.as_bytes());
    hash.update(user_id.as_bytes());
    hash.digest128()
}

/// The clustering key of an entry.
pub(super) fn history_place(entry: &HistoryEntry) -> [CqlValue; 3] {
    let [shard, offset] = write::place(entry.notification.0);
    [big(entry.accepted_at.millis()), shard, offset]
}

/// The clustering key of a dead letter.
pub(super) fn dead_letter_place(key: &DeadLetterKey) -> [CqlValue; 4] {
    let [shard, offset] = write::place(key.task.position);
    [big(key.at.millis()), shard, offset, small(key.task.ordinal)]
}

/// After everything.
fn last_place() -> CqlValue {
    CqlValue::BigInt(i64::MAX)
}

pub(super) fn position(shard: i64, offset: i64) -> Result<Position, StoreError> {
    let shard = u32::try_from(shard).ok().and_then(ShardId::from_u32);
    let shard = shard.ok_or_else(|| StoreError::Unreadable("a shard in a row's key".to_owned()))?;
    Ok(Position::new(shard, offset as u64))
}

#[async_trait]
impl History for CqlStore {
    async fn history(
        &self,
        tenant: &str,
        user_id: &str,
        before: Option<HistoryEntry>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        let (newest, oldest) = self.bounds(lifetimes::HISTORY_MAX);
        let first = before.map_or(period(newest), |entry| period(entry.accepted_at).min(period(newest)));
        let place = before.map_or_else(|| [last_place(), last_place(), last_place()], |entry| history_place(&entry));
        let user = blob(user(tenant, user_id).to_be_bytes());
        let mut periods = stream::iter((period(oldest)..=first).rev())
            .map(|period| {
                let mut values = vec![user.clone(), CqlValue::Int(period)];
                values.extend(place.clone());
                values.push(CqlValue::Int(i32::try_from(limit).unwrap_or(i32::MAX)));
                async move {
                    self.runner.rows::<(i64, i64, i64)>("read the history", &self.statements.history, &values).await
                }
            })
            .buffered(ABREAST);
        let mut entries = Vec::new();
        while entries.len() < limit
            && let Some(rows) = periods.try_next().await?
        {
            for (accepted_at, shard, offset) in rows {
                let notification = NotificationId(position(shard, offset)?);
                entries.push(HistoryEntry { accepted_at: Timestamp(accepted_at as u64), notification });
            }
        }
        entries.truncate(limit);
        Ok(entries)
    }
}

/// A row of a day: time, shard, offset, ordinal, the letter, whether it was revived.
type LetterRow = (i64, i64, i64, i16, Option<Bytes>, Option<bool>);

#[async_trait]
impl DeadLetters for CqlStore {
    async fn dead_letters(
        &self,
        tenant: &str,
        before: Option<DeadLetterKey>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let (newest, oldest) = self.bounds(lifetimes::DEAD_LETTERS);
        let first = before.as_ref().map_or(day(newest), |key| day(key.at).min(day(newest)));
        let place = before.as_ref().map_or_else(
            || [last_place(), last_place(), last_place(), CqlValue::SmallInt(i16::MAX)],
            dead_letter_place,
        );
        let mut days = stream::iter((day(oldest)..=first).rev())
            .map(|day| {
                let mut values = vec![CqlValue::Text(tenant.to_owned()), CqlValue::Int(day)];
                values.extend(place.clone());
                async move {
                    // Pages until there are enough that were not revived.
                    let is_enough = |rows: &[LetterRow]| rows.iter().filter(|row| is_listed(row)).count() >= limit;
                    let statement = &self.statements.dead_letters;
                    self.runner.rows_until::<LetterRow>("read dead letters", statement, &values, is_enough).await
                }
            })
            .buffered(ABREAST);
        let mut letters = Vec::new();
        while letters.len() < limit
            && let Some(rows) = days.try_next().await?
        {
            for (at, shard, offset, ordinal, body, _) in rows.into_iter().filter(is_listed) {
                let task = TaskId { position: position(shard, offset)?, ordinal: ordinal as u8 };
                let key = DeadLetterKey { tenant: tenant.into(), at: Timestamp(at as u64), task };
                letters.push(codec::decode_dead_letter(key, &body.unwrap_or_default())?);
            }
        }
        letters.truncate(limit);
        Ok(letters)
    }

    async fn dead_letter(&self, key: &DeadLetterKey) -> Result<Option<DeadLetter>, StoreError> {
        let values = write::dead_letter(key, None);
        let statement = &self.statements.dead_letter;
        let rows = self.runner.rows::<(Option<Bytes>, Option<bool>)>("read a dead letter", statement, &values).await?;
        match rows.into_iter().next() {
            Some((Some(body), is_revived)) if is_revived != Some(true) => {
                Ok(Some(codec::decode_dead_letter(key.clone(), &body)?))
            }
            _ => Ok(None),
        }
    }
}

/// A row whose letter has expired, or was never written, is only the mark.
fn is_listed(row: &LetterRow) -> bool {
    row.4.is_some() && row.5 != Some(true)
}

impl CqlStore {
    /// From when to when rows of such a lifetime may be: other nodes' clocks may be ahead, by a day at most.
    fn bounds(&self, lifetime: std::time::Duration) -> (Timestamp, Timestamp) {
        let now = self.clock.now();
        let day = std::time::Duration::from_millis(DAY_MILLIS);
        (now + day, now - lifetime - day)
    }
}
