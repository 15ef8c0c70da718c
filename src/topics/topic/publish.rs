//! Publishing: all that came at one moment gets its numbers and is written together.

use std::collections::BTreeMap;

use super::{End, Reply, TopicActor, answer};
use crate::codec::encode_topic_message;
use crate::domain::{MessageId, Timestamp, TopicMessage};
use crate::store::{KeyedRow, StoreError};
use crate::topics::ask::{NewMessage, Published, Told};
use crate::topics::check::delay_max;
use crate::topics::error::TopicError;
use crate::topics::rows::BLOCK;

/// Messages that wait in one topic for their time.
const DELAYED_MAX: u64 = 100_000;
/// Messages and bytes that are written together: with one call more, as much as can be read again at the next start.
const MESSAGES_AT_ONCE: usize = 3000;
const BYTES_AT_ONCE: usize = 8 << 20;

/// What is written together, and who waits for it.
#[derive(Default)]
struct Together {
    rows: Vec<KeyedRow>,
    bytes: usize,
    waiting: Vec<(Reply, Vec<Published>)>,
    is_new_block: bool,
}

impl TopicActor {
    pub(super) async fn publish(&mut self, calls: Vec<(Vec<NewMessage>, Reply)>) -> Result<(), End> {
        let mut together = Together::default();
        for (messages, reply) in calls {
            match self.prepare(messages) {
                Ok(prepared) => {
                    let published = self.number(prepared, &mut together);
                    together.waiting.push((reply, published));
                }
                Err(error) => answer(reply, Err(error)),
            }
            if together.rows.len() > MESSAGES_AT_ONCE || together.bytes > BYTES_AT_ONCE {
                self.flush(std::mem::take(&mut together)).await?;
            }
        }
        Ok(self.flush(together).await?)
    }

    /// Either all of a call or nothing: what is new, and what was published before.
    fn prepare(&mut self, messages: Vec<NewMessage>) -> Result<Vec<Prepared>, TopicError> {
        if self.is_too_far_behind() {
            let detail = "too many messages wait to be written outside (`kafka`): try again when that goes on";
            return Err(TopicError::Busy(detail.into()));
        }
        let now = self.shared.clock.now();
        let mut prepared = Vec::with_capacity(messages.len());
        let mut of_call: BTreeMap<u64, MessageId> = BTreeMap::new();
        let mut later = 0;
        let one = messages.len() == 1;
        for (index, message) in messages.into_iter().enumerate() {
            let due = message.deliver_at.filter(|at| *at > now);
            if due.is_some_and(|at| at.since(now) > delay_max()) {
                let at = if one { "/deliver_at".to_owned() } else { format!("/messages/{index}/deliver_at") };
                return Err(TopicError::invalid(at, "comes too late: it must come within 366 days"));
            }
            let message = self.made(message, due.unwrap_or(now), now);
            match self.window.known(&message) {
                Some((published, true)) => {
                    prepared.push(Prepared::Known(published));
                    continue;
                }
                Some((_, false)) => return Err(TopicError::Conflict),
                None => {}
            }
            if message.retry.is_some_and(|retry| of_call.insert(retry, message.id).is_some()) {
                return Err(TopicError::Conflict);
            }
            later += u64::from(due.is_some());
            prepared.push(if due.is_some() { Prepared::Later(message) } else { Prepared::Now(message) });
        }
        if later > 0 && self.delayed + later > DELAYED_MAX {
            let detail = format!("{DELAYED_MAX} messages of the topic wait for their time: no more can");
            return Err(TopicError::Full(detail.into()));
        }
        Ok(prepared)
    }

    fn made(&self, message: NewMessage, due: Timestamp, now: Timestamp) -> TopicMessage {
        let NewMessage { data, key, attributes, deliver_at: _, retry } = message;
        let hash = self.shared.unlike_any();
        TopicMessage {
            id: MessageId::new(due, hash),
            published_at: now,
            retry,
            key: key.map(Into::into),
            data: data.into(),
            attributes: attributes.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        }
    }

    fn number(&mut self, prepared: Vec<Prepared>, together: &mut Together) -> Vec<Published> {
        let mut published = Vec::with_capacity(prepared.len());
        for prepared in prepared {
            published.push(match prepared {
                Prepared::Known(published) => published,
                Prepared::Now(message) => {
                    let number = self.append(&message, together);
                    Published { id: message.id, number: Some(number), repeated: false }
                }
                Prepared::Later(message) => {
                    let body = encode_topic_message(&message);
                    together.bytes += body.len();
                    together.rows.push(self.place.later(message.id, Some(body.into())));
                    self.delayed += 1;
                    let due = message.id.due();
                    self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
                    self.window.note(&message, None);
                    Published { id: message.id, number: None, repeated: false }
                }
            });
        }
        published
    }

    /// The next number is the message's.
    fn append(&mut self, message: &TopicMessage, together: &mut Together) -> u64 {
        let number = self.next;
        self.next += 1;
        let body = encode_topic_message(message);
        together.bytes += body.len();
        together.rows.push(self.place.message(number, Some(body.into())));
        self.window.note(message, Some(number));
        if number / BLOCK > self.row.tail_block {
            self.row.tail_block = number / BLOCK;
            together.is_new_block = true;
        }
        number
    }

    /// Writes, and answers once it is durable.
    async fn flush(&mut self, mut together: Together) -> Result<(), StoreError> {
        if together.is_new_block {
            // Before the messages: who reads the topic anew looks for its end from there on.
            together.rows.insert(0, self.own_row());
        }
        self.put(together.rows).await?;
        if let Some(copying) = &self.copying {
            copying.is_durable_below(self.next);
            self.shared.copies_wake.wake();
        }
        for (reply, published) in together.waiting {
            let new = published.iter().filter(|published| !published.repeated && published.number.is_some());
            self.metrics.published(new.count());
            answer(reply, Ok(Told::Published(published)));
        }
        Ok(())
    }

    /// Messages whose time has come, written under the next numbers.
    pub(super) async fn append_all(&mut self, messages: &[TopicMessage]) -> Result<(), StoreError> {
        let mut together = Together::default();
        for message in messages {
            self.append(message, &mut together);
        }
        self.metrics.published(messages.len());
        self.flush(together).await
    }
}

enum Prepared {
    Known(Published),
    Now(TopicMessage),
    Later(TopicMessage),
}
