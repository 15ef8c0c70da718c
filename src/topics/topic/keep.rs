//! Keeping a topic within its bounds, telling how it is, and its end.

use std::time::Duration;

use super::TopicActor;
use crate::domain::{Timestamp, Topic};
use crate::store::{KeyedRow, StoreError};
use crate::topics::ask::{CopyState, GroupState, TopicListed, TopicSettings, TopicState};
use crate::topics::rows::{BLOCK, topic_row, topics_part};

/// Messages that are removed at once.
const REMOVED_MAX: u64 = 1000;
/// Messages that are read at once to see how old they are.
const LOOK_MAX: usize = 64;
/// Blocks without a row that are passed in search of the oldest message.
const EMPTY_BLOCKS_MAX: u64 = 8;
/// So long nobody may read a group that has something to read.
const UNREAD_MAX: Duration = Duration::from_secs(300);

impl TopicActor {
    /// Removes what is too old or too much, a part of it where it is much, and tells the metrics; whether there may be more to remove.
    pub(super) async fn keep(&mut self) -> Result<bool, StoreError> {
        let first = self.first_to_keep().await?;
        let has_more = first == self.row.first + REMOVED_MAX;
        if first > self.row.first {
            let gone = self.row.first..first;
            self.row.first = first;
            // First, and by itself: who finds no rows must not give the numbers again.
            self.put(vec![self.own_row()]).await?;
            self.put(gone.map(|number| self.place.message(number, None)).collect()).await?;
            self.groups.values_mut().for_each(|group| group.forget_below(first));
        }
        self.waiting.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.reply.is_closed());
            !waiters.is_empty()
        });
        if self.metrics.is_shown() {
            let mut oldest = None;
            for group in self.group_states().await? {
                oldest = oldest.into_iter().chain(group.oldest_unacknowledged).min();
            }
            let age = oldest.map(|at| self.shared.clock.now().since(at));
            self.metrics.state(self.next - self.row.first, age.unwrap_or_default());
        }
        Ok(has_more)
    }

    /// The first message that is neither too old nor too many before the last.
    async fn first_to_keep(&self) -> Result<u64, StoreError> {
        // What is not outside yet is kept until it is.
        let outside = self.copying.as_ref().map_or(u64::MAX, |copying| copying.next().max(self.row.first));
        let most = (self.row.first + REMOVED_MAX).min(self.next).min(outside);
        let mut first = self.next.saturating_sub(self.row.messages_max).clamp(self.row.first, most);
        let since = self.shared.clock.now() - Duration::from_secs(self.row.retention_seconds);
        // Mostly the first one is to be kept.
        let mut look = 1;
        while first < most {
            let found = self.read_from(first, look).await?;
            look = LOOK_MAX;
            let Some((last, _)) = found.last() else {
                first = ((first / BLOCK + 1) * BLOCK).min(most);
                continue;
            };
            match found.iter().find(|(_, message)| message.published_at >= since) {
                Some((number, _)) => return Ok((*number).clamp(first, most)),
                None => first = (last + 1).min(most),
            }
        }
        Ok(first)
    }

    pub(super) async fn show(&mut self) -> Result<TopicState, StoreError> {
        let now = self.shared.clock.moment();
        self.groups.values_mut().for_each(|group| group.expire(now));
        let groups = self.group_states().await?;
        let oldest = self.published_at(self.row.first).await?;
        let mut state = TopicState {
            listed: listed(&self.name.name, &self.row),
            messages: self.next - self.row.first,
            oldest_published_at: oldest,
            delayed: self.delayed,
            next_due: self.next_due.filter(|_| self.delayed > 0),
            groups,
            copy: self.copying.as_ref().map(|copying| copying.state(self.row.first)),
            troubles: Vec::new(),
        };
        state.troubles = self.troubles(&state);
        Ok(state)
    }

    async fn group_states(&self) -> Result<Vec<GroupState>, StoreError> {
        let mut states = Vec::with_capacity(self.groups.len());
        for (name, group) in &self.groups {
            states.push(GroupState {
                name: name.clone(),
                created_at: group.created_at(),
                lag: group.lag(self.next),
                in_hand: group.in_hand(),
                waiting: self.waiting.get(name).map_or(0, |waiters| waiters.len()),
                oldest_unacknowledged: self.published_at(group.oldest()).await?,
            });
        }
        Ok(states)
    }

    /// When the first message from a number on was published.
    async fn published_at(&self, from: u64) -> Result<Option<Timestamp>, StoreError> {
        let mut number = from;
        while number < self.next && number / BLOCK <= from / BLOCK + EMPTY_BLOCKS_MAX {
            if let Some((_, message)) = self.read_from(number, 1).await?.pop() {
                return Ok(Some(message.published_at));
            }
            number = (number / BLOCK + 1) * BLOCK;
        }
        Ok(None)
    }

    fn troubles(&self, state: &TopicState) -> Vec<Box<str>> {
        let now = self.shared.clock.now();
        let mut troubles: Vec<Box<str>> = Vec::new();
        if state.messages.saturating_mul(10) >= self.row.messages_max.saturating_mul(9) {
            troubles.push("the topic is nearly full: the oldest messages are removed when it is".into());
        }
        let half = Duration::from_secs(self.row.retention_seconds / 2);
        for group in &state.groups {
            let Some(age) = group.oldest_unacknowledged.map(|at| now.since(at)) else { continue };
            if age > half {
                let name = &group.name;
                troubles.push(format!("the group `{name}` is behind: its oldest message is soon removed").into());
            }
            if age > UNREAD_MAX && group.in_hand == 0 && group.waiting == 0 {
                troubles.push(format!("nobody reads the group `{}`, which has messages", group.name).into());
            }
        }
        if let Some(CopyState { topic, trouble: Some(trouble), .. }) = &state.copy {
            troubles.push(format!("nothing is written into `{topic}` outside: {trouble}").into());
        }
        troubles
    }

    /// The topic is no more; its other rows are removed by and by.
    pub(super) async fn delete(&mut self) -> Result<(), StoreError> {
        let row = Topic { tail_block: self.next / BLOCK, ..self.row.clone() };
        let gone = self.place.gone(self.tenure.home, &row);
        self.put(vec![gone]).await?;
        let part = topics_part(self.tenure.home);
        self.put(vec![KeyedRow { part, name: topic_row(&self.name).into(), body: None }]).await
    }
}

/// What a list says of a topic.
pub(in crate::topics) fn listed(name: &str, row: &Topic) -> TopicListed {
    let Topic { created_at, retention_seconds, messages_max, kafka, .. } = *row;
    TopicListed { name: name.into(), created_at, settings: TopicSettings { retention_seconds, messages_max, kafka } }
}
