//! The audit log: a row for each act, under its tenant and a period, the latest first.
//!
//! A row is written before the act is begun and again when it has ended, under the same name: an act that broke off, with its node, stands
//! there without a status. Where the first cannot be written the act is not done. Where only the second cannot, the act is answered all the
//! same: it was done, and that it was begun is known.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::metrics;
use crate::clock::SharedClock;
use crate::codec;
use crate::domain::{AUDIT_KEPT, AuditRecord, Timestamp};
use crate::store::{KeyedKind, KeyedPart, KeyedRow, SharedStore, StoreError, newest_first, read_newest_first};

/// The rows of a tenant are divided by so long. Rows say it: never changed.
const PERIOD: Duration = Duration::from_secs(30 * 86_400);

/// Rows that one page looks at, where few of them are asked for.
const LOOKED_AT_MAX: usize = 2_000;

/// What tells a row from others of its tenant.
pub type AuditName = Box<[u8]>;

/// What is wanted of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditQuery {
    pub from: Timestamp,
    /// Inclusive, as the other.
    pub to: Timestamp,
    /// The hash of a user: only what was done to them.
    pub user: Option<Box<str>>,
    /// The name that the page before ended with.
    pub after: Option<AuditName>,
    pub limit: usize,
}

/// A line, and its name.
pub type AuditLine = (AuditName, AuditRecord);

/// Some lines, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditPage {
    pub lines: Vec<AuditLine>,
    /// Where the next page begins; `None`: there is none. A page may have fewer lines than were asked for.
    pub next: Option<AuditName>,
}

/// Who did what.
pub struct Audit {
    store: SharedStore,
    clock: SharedClock,
    /// Tells this process from others.
    process: u64,
    count: AtomicU64,
}

impl Audit {
    pub fn new(store: SharedStore, clock: SharedClock) -> Arc<Self> {
        let began = [u64::from(std::process::id()).to_be_bytes(), clock.now().millis().to_be_bytes()].concat();
        Arc::new(Self { store, clock, process: xxh3_64(&began), count: AtomicU64::new(0) })
    }

    /// Something is about to be done. Durable on return.
    pub async fn began(&self, record: &AuditRecord) -> Result<AuditName, StoreError> {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let tail = xxh3_64(&[self.process.to_be_bytes(), count.to_be_bytes()].concat());
        let name: AuditName = [newest_first(record.at), tail.to_be_bytes()].concat().into();
        self.put(&name, record).await?;
        Ok(name)
    }

    /// It has ended so. Durable on return.
    pub async fn ended(&self, name: &AuditName, record: &AuditRecord) -> Result<(), StoreError> {
        self.put(name, record).await
    }

    async fn put(&self, name: &AuditName, record: &AuditRecord) -> Result<(), StoreError> {
        let part = part(&record.tenant, period(record.at));
        let body = Some(Bytes::from(codec::encode_audit(record)));
        let written = self.store.put_keyed(vec![KeyedRow { part, name: name.clone(), body }]).await;
        metrics::audited(written.is_ok());
        written
    }

    /// What a tenant's keys did.
    pub async fn page(&self, tenant: &str, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        let now = self.clock.now();
        let (from, to) = (query.from.max(now - AUDIT_KEPT), query.to.min(now + PERIOD));
        let (mut page, mut after, mut looked_at) = (AuditPage::default(), query.after.clone(), 0);
        let begin = after.as_deref().and_then(read_newest_first).map_or(to, |at| at.min(to));
        let mut period_now = period(begin);
        // Names are inverted times: behind that of a later time, and before that of the first time that is not meant.
        let (start, end) = (newest_first(to), newest_first(from - Duration::from_millis(1)));
        while from <= to && period_now >= period(from) {
            let wanted = (query.limit + 1 - page.lines.len()).max(1);
            // A cursor of another question may stand before what this one asks for.
            let first = after.as_deref().unwrap_or(&start).max(&start[..]);
            let rows = self.store.keyed_between(&part(tenant, period_now), Some(first), Some(&end), wanted).await?;
            let is_last = rows.len() < wanted;
            looked_at += rows.len();
            for (name, body) in rows {
                let record = codec::decode_audit(tenant, &body)?;
                after = Some(name.clone());
                if query.user.is_none() || query.user == record.user {
                    page.lines.push((name, record));
                }
            }
            if page.lines.len() > query.limit {
                page.lines.truncate(query.limit);
                page.next = page.lines.last().map(|(name, _)| name.clone());
                return Ok(page);
            }
            if looked_at >= LOOKED_AT_MAX {
                page.next = after;
                return Ok(page);
            }
            if is_last {
                let Some(before) = period_now.checked_sub(1) else { break };
                period_now = before;
            }
        }
        Ok(page)
    }
}

fn period(at: Timestamp) -> u32 {
    (at.millis() / PERIOD.as_millis() as u64) as u32
}

fn part(tenant: &str, period: u32) -> KeyedPart {
    KeyedPart::of(KeyedKind::Audit, &[tenant.as_bytes(), &period.to_be_bytes()])
}
