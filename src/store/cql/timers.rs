//! Timers, in buckets; which buckets hold anything stands in a table of its own, so that hours without timers cost nothing.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::value::CqlValue;

use super::CqlStore;
use super::lifetimes::{self, seconds};
use super::runner::{Row, Traffic, big, blob, shard_key, small};
use crate::codec;
use crate::domain::{ShardId, Timestamp};
use crate::store::{StoreError, TIMER_BUCKET, TimerKey, TimerRow, timer_bucket};

/// Buckets of one partition of `timer_buckets`; part of the rows' keys, and so never changed.
const SPAN_BUCKETS: u64 = 2048;
/// Spans and buckets that are read at once.
const ABREAST: usize = 8;

/// For how long a bucket counts as noted; see [`lifetimes::BUCKET`].
const NOTED: Duration = Duration::from_secs(12 * 3600);
/// Of all shards; above, those are forgotten first that were noted first, which costs writing them again.
const NOTED_MAX: usize = 50_000;

/// The buckets that are noted in the table, and since when.
#[derive(Default)]
pub(super) struct KnownBuckets {
    since: Mutex<HashMap<(ShardId, u64), Timestamp>>,
}

impl KnownBuckets {
    fn has(&self, shard: ShardId, bucket: u64, now: Timestamp) -> bool {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.get(&(shard, bucket)).is_some_and(|since| now.since(*since) < NOTED)
    }

    fn add(&self, shard: ShardId, buckets: &[u64], now: Timestamp) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.len() + buckets.len() > NOTED_MAX {
            since.clear();
        }
        since.extend(buckets.iter().map(|bucket| ((shard, *bucket), now)));
    }
}

impl CqlStore {
    pub(super) async fn add_timers(
        &self,
        shard: ShardId,
        timers: &[TimerRow],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if timers.is_empty() {
            return Ok(());
        }
        let mut timers: Vec<&TimerRow> = timers.iter().collect();
        timers.sort_by_key(|timer| timer.key);
        let mut buckets: Vec<u64> = timers.iter().map(|timer| timer_bucket(timer.key.due)).collect();
        buckets.dedup();
        self.note_buckets(shard, buckets, now).await?;
        let rows = timers.into_iter().map(|timer| row(shard, timer, now)).collect();
        self.runner.write("write timers", Traffic::of(shard), &self.statements.add_timer, rows).await
    }

    /// Before the first timer: a bucket that is not noted is not looked into.
    async fn note_buckets(&self, shard: ShardId, mut buckets: Vec<u64>, now: Timestamp) -> Result<(), StoreError> {
        buckets.retain(|bucket| !self.known_buckets.has(shard, *bucket, now));
        if buckets.is_empty() {
            return Ok(());
        }
        let rows = buckets.iter().map(|bucket| {
            let end = Timestamp((bucket + 1).saturating_mul(TIMER_BUCKET.as_millis() as u64));
            let lifetime = end.since(now) + lifetimes::BUCKET;
            let span = bucket / SPAN_BUCKETS;
            Row {
                partition: u128::from(span),
                values: vec![shard_key(shard), big(span), big(*bucket), CqlValue::Int(seconds(lifetime))],
            }
        });
        let traffic = Traffic::of(shard);
        self.runner.write("write timers", traffic, &self.statements.add_bucket, rows.collect()).await?;
        self.known_buckets.add(shard, &buckets, now);
        Ok(())
    }

    pub(super) async fn read_timers(
        &self,
        shard: ShardId,
        after: TimerKey,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<TimerRow>, StoreError> {
        if after >= (TimerKey { due: until, ..TimerKey::default() }) || limit == 0 {
            return Ok(Vec::new());
        }
        // What was due earlier has expired.
        let oldest = timer_bucket(self.clock.now() - lifetimes::TIMER);
        let first = timer_bucket(after.due).max(oldest);
        // Nothing is due later, whatever is asked for.
        let last = timer_bucket(until.min(self.clock.now() + lifetimes::DUE_MAX));
        let mut spans = stream::iter(first / SPAN_BUCKETS..=last / SPAN_BUCKETS)
            .map(|span| self.buckets(shard, span, first..=last))
            .buffered(ABREAST);
        let mut timers = Vec::new();
        while let Some(buckets) = spans.try_next().await? {
            let mut found =
                stream::iter(buckets).map(|bucket| self.bucket(shard, bucket, after, until, limit)).buffered(ABREAST);
            while let Some(rows) = found.try_next().await? {
                timers.extend(rows);
                if timers.len() >= limit {
                    timers.truncate(limit);
                    return Ok(timers);
                }
            }
        }
        Ok(timers)
    }

    /// The buckets of a span that hold something, in order.
    async fn buckets(&self, shard: ShardId, span: u64, wanted: RangeInclusive<u64>) -> Result<Vec<u64>, StoreError> {
        let values = [shard_key(shard), big(span), big(*wanted.start()), big(*wanted.end())];
        let rows = self.runner.rows::<(i64,)>("read timers", &self.statements.buckets, &values).await?;
        Ok(rows.into_iter().map(|(bucket,)| bucket as u64).collect())
    }

    async fn bucket(
        &self,
        shard: ShardId,
        bucket: u64,
        after: TimerKey,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<TimerRow>, StoreError> {
        let mut values = vec![shard_key(shard), big(bucket)];
        values.extend(place(&after));
        values.push(big(until.millis()));
        values.push(CqlValue::Int(i32::try_from(limit).unwrap_or(i32::MAX)));
        let rows = self.runner.rows::<(i64, i64, i16, i16, Bytes)>("read timers", &self.statements.timers, &values);
        let timers = rows.await?.into_iter().map(|(due, offset, ordinal, attempt, body)| {
            let key = TimerKey {
                due: Timestamp(due as u64),
                offset: offset as u64,
                ordinal: ordinal as u8,
                attempt: attempt as u8,
            };
            Ok(codec::decode_timer(key, &body)?)
        });
        timers.collect()
    }
}

fn row(shard: ShardId, timer: &TimerRow, now: Timestamp) -> Row {
    let bucket = timer_bucket(timer.key.due);
    let mut values = vec![shard_key(shard), big(bucket)];
    values.extend(place(&timer.key));
    values.push(blob(codec::encode_timer(timer)));
    values.push(CqlValue::Int(seconds(lifetimes::of_timer(&timer.key, now))));
    Row { partition: u128::from(bucket), values }
}

/// The clustering key.
fn place(key: &TimerKey) -> [CqlValue; 4] {
    [big(key.due.millis()), big(key.offset), small(key.ordinal), small(key.attempt)]
}
