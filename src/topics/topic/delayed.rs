//! Messages that come later: moved into the topic when their time has come, or never.
//!
//! The message is written into the topic first, and then taken from the delayed. A node that ends between the two has left it in both,
//! with one id: whoever reads the topic anew takes it away from the delayed. Nothing else is written to the topic between the two, so
//! that it is among the newest messages then.

use super::TopicActor;
use crate::codec::decode_topic_message;
use crate::domain::{MessageId, Timestamp, TopicMessage};
use crate::store::StoreError;
use crate::topics::ask::{Cancelled, Told};
use crate::topics::error::TopicError;
use crate::topics::rows::read_id;

/// Messages that are moved at once: fewer than are remembered of the newest.
const MOVED_MAX: usize = 128;

impl TopicActor {
    /// Moves what is due into the topic, a part of it where it is much.
    pub(super) async fn deliver_due(&mut self) -> Result<(), StoreError> {
        let now = self.shared.clock.now();
        if self.next_due.is_none_or(|due| due > now) || self.is_too_far_behind() {
            return Ok(());
        }
        let part = self.place.delayed();
        let before = MessageId::new(Timestamp(now.millis() + 1), 0).0.to_be_bytes();
        let rows = self.shared.store.keyed_between(&part, None, Some(&before), MOVED_MAX).await?;
        let mut due = Vec::with_capacity(rows.len());
        for (_, body) in &rows {
            let message: TopicMessage = decode_topic_message(body)?;
            due.push(TopicMessage { published_at: now, ..message });
        }
        self.append_all(&due).await?;
        self.put(due.iter().map(|message| self.place.later(message.id, None)).collect()).await?;
        self.delayed = self.delayed.saturating_sub(due.len() as u64);
        let first = self.shared.store.keyed_between(&part, None, None, 1).await?;
        self.next_due = first.first().and_then(|(name, _)| read_id(name)).map(MessageId::due);
        Ok(())
    }

    /// Takes a message back that is to come later; what is due comes first.
    pub(super) async fn cancel(&mut self, id: MessageId) -> Result<Result<Told, TopicError>, StoreError> {
        let name: Box<[u8]> = Box::new(id.0.to_be_bytes());
        let found = self.shared.store.keyed(&[(self.place.delayed(), name)]).await?.pop().flatten();
        if let Some(body) = found {
            let message: TopicMessage = decode_topic_message(&body)?;
            self.put(vec![self.place.later(id, None)]).await?;
            self.delayed = self.delayed.saturating_sub(1);
            self.window.cancelled(&message);
            return Ok(Ok(Told::Cancelled(Cancelled::Cancelled)));
        }
        Ok(match self.window.number(id) {
            Some(_) => Ok(Told::Cancelled(Cancelled::TooLate)),
            None if self.window.was_cancelled(id) => Ok(Told::Cancelled(Cancelled::Cancelled)),
            None => Err(TopicError::Nothing),
        })
    }
}
