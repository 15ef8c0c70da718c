//! What is done for topics at each home without being asked: every topic is begun, so that what is to come later comes, and what deleted
//! ones have left is removed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::ask::TopicName;
use super::desk::Desk;
use super::error::TopicError;
use super::rows::{BLOCK, Place, gone_part, read_topic_row, topic_row, topics_part};
use crate::codec::decode_topic;
use crate::domain::Topic;
use crate::homes::{Tenure, Turns, Wake, Work};
use crate::store::{KeyedRow, StoreError};

/// Topics that are begun in one turn.
const TOPICS_AT_ONCE: usize = 32;
/// Rows of deleted topics that are removed in one turn.
const REMOVED_MAX: usize = 100;
/// Deleted topics that are looked at for what they have left.
const GONE_MAX: usize = 100;
/// How often it is looked whether there is something to do.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The work of topics at the homes of a node.
pub struct TopicWork {
    desk: Arc<Desk>,
    wake: Wake,
}

impl TopicWork {
    pub fn new(desk: Arc<Desk>) -> Arc<Self> {
        Arc::new(Self { desk, wake: Wake::default() })
    }
}

#[async_trait]
impl Work for TopicWork {
    fn kind(&self) -> &'static str {
        "topics"
    }

    async fn begin(&self, tenure: Tenure) -> Result<Box<dyn Turns>, StoreError> {
        Ok(Box::new(HomeTurns { desk: self.desk.clone(), tenure, after: None }))
    }

    fn wake(&self) -> &Wake {
        &self.wake
    }
}

struct HomeTurns {
    desk: Arc<Desk>,
    tenure: Tenure,
    /// Topics up to here were looked at in this round.
    after: Option<Box<[u8]>>,
}

#[async_trait]
impl Turns for HomeTurns {
    async fn turn(&mut self) -> Result<Duration, StoreError> {
        if self.after.is_none() {
            self.desk.forget_ended();
        }
        let part = topics_part(self.tenure.home);
        let store = &self.desk.shared().store;
        let rows = store.keyed_between(&part, self.after.as_deref(), None, TOPICS_AT_ONCE).await?;
        let is_last = rows.len() < TOPICS_AT_ONCE;
        for name in rows.iter().filter_map(|(name, _)| read_topic_row(name)) {
            if let Err(error) = self.begin(&name).await {
                // The others of the home are not to wait for one that cannot be read.
                tracing::warn!(%error, home = self.tenure.home, "a topic stands still: it is tried again");
            }
        }
        self.after = rows.into_iter().next_back().map(|(name, _)| name).filter(|_| !is_last);
        let has_more = self.remove_left().await?;
        Ok(if is_last && !has_more { LOOK_INTERVAL } else { Duration::ZERO })
    }
}

impl HomeTurns {
    async fn begin(&self, name: &TopicName) -> Result<(), TopicError> {
        match self.desk.running(&self.tenure, name).await {
            // Deleted just now.
            Ok(_) | Err(TopicError::NoTopic) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes a part of what a deleted topic has left; whether there is more.
    async fn remove_left(&self) -> Result<bool, StoreError> {
        let part = gone_part(self.tenure.home);
        let store = &self.desk.shared().store;
        for (row, body) in store.keyed_between(&part, None, None, GONE_MAX).await? {
            let topic = decode_topic(&body)?;
            let Some(name) = row.len().checked_sub(8).and_then(|length| read_topic_row(&row[..length])) else {
                return Err(StoreError::Unreadable("the name of a deleted topic".to_owned()));
            };
            if self.is_still_there(&name, &topic).await? {
                continue;
            }
            let mut rows = self.left(&Place::new(&name, topic.incarnation), &topic).await?;
            if rows.is_empty() {
                rows.push(KeyedRow { part, name: row, body: None });
            }
            self.put(rows).await?;
            return Ok(true);
        }
        Ok(false)
    }

    /// It is being deleted just now, or whoever was to delete it ended before it did: the note stays, for when it is.
    async fn is_still_there(&self, name: &TopicName, topic: &Topic) -> Result<bool, StoreError> {
        let asked = [(topics_part(self.tenure.home), topic_row(name).into())];
        let row = self.desk.shared().store.keyed(&asked).await?.pop().flatten();
        Ok(match row {
            Some(body) => decode_topic(&body)?.incarnation == topic.incarnation,
            None => false,
        })
    }

    /// Rows to be removed: of groups and delayed messages, and when there are none the messages, a block at a time.
    async fn left(&self, place: &Place, topic: &Topic) -> Result<Vec<KeyedRow>, StoreError> {
        for part in [place.groups(), place.delayed()] {
            let rows = self.desk.shared().store.keyed_between(&part, None, None, REMOVED_MAX).await?;
            if !rows.is_empty() {
                return Ok(rows
                    .into_iter()
                    .map(|(name, _)| KeyedRow { part: part.clone(), name, body: None })
                    .collect());
            }
        }
        let block = topic.first / BLOCK;
        if block > topic.tail_block {
            return Ok(Vec::new());
        }
        let mut rows: Vec<KeyedRow> =
            (block * BLOCK..(block + 1) * BLOCK).map(|number| place.message(number, None)).collect();
        let rest = Topic { first: (block + 1) * BLOCK, ..topic.clone() };
        rows.push(place.gone(self.tenure.home, &rest));
        Ok(rows)
    }

    async fn put(&self, rows: Vec<KeyedRow>) -> Result<(), StoreError> {
        match self.tenure.holds() {
            true => self.desk.shared().store.put_keyed(rows).await,
            false => Ok(()),
        }
    }
}
