//! Topics that other programs read outside of the engine as well: each message is written there once it is in the topic.
//!
//! In: how far a topic is durable. Out: its messages, in their order, a batch at a time, and how far that is: a row, which is written when
//! the batch is durable outside. Promise: each message stands there at least once, whatever ends or fails between; those that do not yet
//! are not removed from the topic. What a crash loses: how far a batch came whose row was not written. It is written again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;

use super::ask::{CopyState, TopicName};
use super::desk::Desk;
use super::metrics::CopyMetrics;
use super::rows::{BLOCK, Place};
use crate::clock::Moment;
use crate::codec::{decode_topic_group, encode_topic_group};
use crate::domain::{Timestamp, TopicGroup, TopicMessage};
use crate::homes::{Tenure, Turns, Wake, Work};
use crate::log::{OutsideError, OutsideRecord, OutsideTopics};
use crate::store::{KeyedRows, StoreError};

/// Messages, and bytes, that are written together.
const MESSAGES_AT_ONCE: usize = 256;
const BYTES_AT_ONCE: usize = 4 << 20;
/// Rows of a page, each of up to 256 KiB.
const PAGE: usize = 32;
/// Topics of one home that are written at the same time.
const TOPICS_AT_ONCE: usize = 4;
/// How often it is looked whether there is something to write, where nobody says so.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// When a topic that could not be written is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// How far the messages of a topic stand outside as well.
pub(super) struct Copying {
    /// The topic's name there.
    topic: String,
    place: Place,
    created_at: Timestamp,
    /// All messages below are durable.
    end: AtomicU64,
    /// All messages below stand outside, and a row says so.
    next: AtomicU64,
    trouble: Mutex<Option<Box<str>>>,
    metrics: CopyMetrics,
}

impl Copying {
    /// As the rows have it; `end`: all messages below are durable.
    pub(super) async fn open(
        store: &dyn KeyedRows,
        parts: (String, &Place, CopyMetrics),
        created_at: Timestamp,
        end: u64,
    ) -> Result<Arc<Self>, StoreError> {
        let (topic, place, metrics) = parts;
        let row = store.keyed(&[place.copied_name()]).await?.pop().flatten();
        let next = row.map(|body| decode_topic_group(&body)).transpose()?.map_or(0, |group| group.next);
        let (end, next) = (AtomicU64::new(end), AtomicU64::new(next));
        let place = place.clone();
        Ok(Arc::new(Self { topic, place, created_at, end, next, trouble: Mutex::default(), metrics }))
    }

    /// All messages below are durable from now on.
    pub(super) fn is_durable_below(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    /// The first message that may not stand outside yet.
    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    pub(super) fn state(&self, first: u64) -> CopyState {
        let behind = self.end.load(Ordering::Acquire).saturating_sub(self.next().max(first));
        CopyState { topic: self.topic.as_str().into(), behind, trouble: self.trouble().clone() }
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<Box<str>>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_behind(&self) {
        self.metrics.behind(self.end.load(Ordering::Acquire).saturating_sub(self.next()));
    }

    /// What comes next, and the number after it; nothing: all is outside.
    async fn read(&self, store: &dyn KeyedRows) -> Result<Option<(Vec<OutsideRecord>, u64)>, StoreError> {
        let (mut at, end) = (self.next(), self.end.load(Ordering::Acquire));
        if at >= end {
            return Ok(None);
        }
        let (mut records, mut bytes) = (Vec::new(), 0);
        while at < end && records.len() < MESSAGES_AT_ONCE && bytes < BYTES_AT_ONCE {
            let found = self.place.read_from(store, at, PAGE).await?;
            let Some((last, _)) = found.last() else {
                // The rest of the block was removed, or never written.
                at = ((at / BLOCK + 1) * BLOCK).min(end);
                continue;
            };
            at = (last + 1).min(end);
            for (number, message) in found.into_iter().filter(|(number, _)| *number < end) {
                bytes += message.data.len();
                records.push(record(number, message));
            }
        }
        Ok(Some((records, at)))
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        self.metrics.behind(0);
    }
}

/// A message as it stands outside.
fn record(number: u64, message: TopicMessage) -> OutsideRecord {
    let id = message.id.to_string();
    let key = message.key.map_or_else(|| id.clone(), String::from);
    let mut headers: Vec<(Box<str>, Bytes)> = vec![
        ("id".into(), id.into()),
        ("number".into(), number.to_string().into()),
        ("published-at".into(), message.published_at.to_string().into()),
        ("content-type".into(), Bytes::from_static(b"application/json")),
    ];
    let attributes = message.attributes.into_iter();
    headers
        .extend(attributes.map(|(name, value)| (format!("attribute-{name}").into(), Bytes::from(String::from(value)))));
    OutsideRecord { key: key.into(), body: String::from(message.data).into(), headers }
}

/// The work of writing topics outside, at the homes of a node.
pub struct TopicCopies {
    desk: Arc<Desk>,
    outside: Arc<dyn OutsideTopics>,
    wake: Arc<Wake>,
}

impl TopicCopies {
    /// `None`: the desk has nowhere to write to.
    pub fn new(desk: Arc<Desk>) -> Option<Arc<Self>> {
        let (outside, wake) = (desk.shared().outside.clone()?, desk.shared().copies_wake.clone());
        Some(Arc::new(Self { desk, outside, wake }))
    }
}

#[async_trait]
impl Work for TopicCopies {
    fn kind(&self) -> &'static str {
        "topic_copies"
    }

    async fn begin(&self, tenure: Tenure) -> Result<Box<dyn Turns>, StoreError> {
        let (desk, outside) = (self.desk.clone(), self.outside.clone());
        Ok(Box::new(CopyTurns { copier: Arc::new(Copier { desk, outside, tenure }), failed: BTreeMap::new() }))
    }

    fn wake(&self) -> &Wake {
        &self.wake
    }
}

struct CopyTurns {
    copier: Arc<Copier>,
    /// When topics that could not be written are tried again.
    failed: BTreeMap<TopicName, Moment>,
}

#[async_trait]
impl Turns for CopyTurns {
    async fn turn(&mut self) -> Result<Duration, StoreError> {
        let Copier { desk, tenure, .. } = &*self.copier;
        let now = desk.shared().clock.moment();
        self.failed.retain(|_, again| *again > now);
        let mut topics = desk.copied_at(tenure.home);
        topics.iter().for_each(|(_, copying)| copying.tell_behind());
        topics.retain(|(name, _)| !self.failed.contains_key(name));
        let copied = stream::iter(topics).map(|(name, copying)| {
            let copier = self.copier.clone();
            async move { (name, copier.copy(&copying).await) }
        });
        let copied = copied.buffer_unordered(TOPICS_AT_ONCE).collect::<Vec<_>>();
        let copied = tokio::select! {
            copied = copied => copied,
            // The brokers may take long; whoever has the home next begins from the row.
            () = tenure.ended.cancelled() => return Ok(LOOK_INTERVAL),
        };
        let mut has_more = false;
        let mut failed = Vec::new();
        for (name, copied) in copied {
            match copied {
                Ok(more) => has_more |= more,
                Err(()) => failed.push((name, now + RETRY_AFTER)),
            }
        }
        self.failed.extend(failed);
        Ok(if has_more { Duration::ZERO } else { LOOK_INTERVAL })
    }
}

/// What writes the topics of one home outside.
struct Copier {
    desk: Arc<Desk>,
    outside: Arc<dyn OutsideTopics>,
    tenure: Tenure,
}

impl Copier {
    /// Writes a batch of a topic; whether there may be more. What fails is kept in words for who asks how the topic is.
    async fn copy(&self, copying: &Copying) -> Result<bool, ()> {
        let _place = self.desk.shared().copying.acquire().await;
        let copied = self.try_copy(copying).await;
        let trouble = copied.as_ref().err().map(|error| error.to_string().into());
        let is_new = trouble.is_some() && copying.trouble().is_none();
        if let Some(error) = copied.as_ref().err().filter(|_| is_new) {
            tracing::warn!(%error, topic = copying.topic, "a topic is not written outside: it is tried again");
        }
        *copying.trouble() = trouble;
        copied.map_err(drop)
    }

    async fn try_copy(&self, copying: &Copying) -> Result<bool, CopyError> {
        let store = &self.desk.shared().store;
        let Some((records, next)) = copying.read(&**store).await? else { return Ok(false) };
        let count = records.len();
        if count > 0 {
            self.outside.write(&copying.topic, records).await?;
        }
        if !self.tenure.holds() {
            return Ok(false);
        }
        let group = TopicGroup { created_at: copying.created_at, next, pending: Vec::new() };
        store.put_keyed(vec![copying.place.copied(encode_topic_group(&group).into())]).await?;
        copying.next.store(next, Ordering::Release);
        copying.metrics.written(count);
        copying.tell_behind();
        Ok(true)
    }
}

/// Why a batch was not written, or is not known to be.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error(transparent)]
    Outside(#[from] OutsideError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
