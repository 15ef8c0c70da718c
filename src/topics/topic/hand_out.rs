//! Handing messages out to readers.

use std::collections::VecDeque;

use super::{Reply, TopicActor, WAITING_MAX, Waiter, answer};
use crate::codec::{decode_topic_message, encode_topic_group};
use crate::domain::TopicMessage;
use crate::store::StoreError;
use crate::topics::ask::{Receive, Received, StartAt, Told};
use crate::topics::error::TopicError;
use crate::topics::group::Group;
use crate::topics::rows::BLOCK;

/// Groups of one topic.
const GROUPS_MAX: usize = 100;
/// Bytes of messages that are received at once, and one message more.
const RECEIVE_BYTES_MAX: usize = 4 << 20;
/// Messages that are read at once.
const READ_MAX: usize = 32;

impl TopicActor {
    /// A reader: served at once, or put among those who wait.
    pub(super) async fn admit(&mut self, receive: Receive, reply: Reply) -> Result<(), StoreError> {
        if !self.groups.contains_key(&receive.group) {
            if self.groups.len() >= GROUPS_MAX {
                let detail = format!("the topic has {GROUPS_MAX} groups: delete one that is not used");
                answer(reply, Err(TopicError::Full(detail.into())));
                return Ok(());
            }
            let next = match receive.from {
                StartAt::Earliest => self.row.first,
                StartAt::Latest => self.next,
            };
            let group = Group::new(self.shared.clock.now(), next);
            let row = encode_topic_group(&group.row());
            self.put(vec![self.place.group(&receive.group, Some(row.into()))]).await?;
            self.groups.insert(receive.group.clone(), group);
        }
        let deadline = self.shared.clock.moment() + receive.wait;
        let waiters = self.waiting.entry(receive.group.clone()).or_default();
        waiters.retain(|waiter| !waiter.reply.is_closed());
        if waiters.len() >= WAITING_MAX {
            answer(reply, Err(TopicError::Busy("too many readers of the group wait for messages".into())));
            return Ok(());
        }
        waiters.push_back(Waiter { receive, deadline, reply });
        Ok(())
    }

    /// Gives those who wait what there is, in the order they came; who waited long enough gets nothing.
    pub(super) async fn serve(&mut self) -> Result<(), StoreError> {
        let names: Vec<Box<str>> = self.waiting.keys().cloned().collect();
        for name in names {
            let mut waiters = self.waiting.remove(&name).unwrap_or_default();
            let (Some(group), now) = (self.groups.get_mut(&name), self.shared.clock.moment()) else { continue };
            group.expire(now);
            let mut still = VecDeque::new();
            while let Some(waiter) = waiters.pop_front() {
                if waiter.reply.is_closed() {
                    continue;
                }
                let received = self.hand_out(&name, &waiter.receive).await?;
                if received.is_empty() && waiter.deadline > now {
                    still.push_back(waiter);
                    // What is not there for one is not there for the next.
                    let (waiting, over): (Vec<_>, Vec<_>) = waiters.drain(..).partition(|waiter| waiter.deadline > now);
                    still.extend(waiting);
                    over.into_iter().for_each(|waiter| answer(waiter.reply, Ok(Told::Received(Vec::new()))));
                    break;
                }
                self.give(&name, waiter.reply, received);
            }
            if !still.is_empty() {
                self.waiting.insert(name, still);
            }
        }
        Ok(())
    }

    /// Who went away just now has not got them.
    fn give(&mut self, group: &str, reply: Reply, received: Vec<Received>) {
        let again = received.iter().filter(|message| message.deliveries > 1).count();
        match reply.send(Ok(Told::Received(received))) {
            Ok(()) => self.metrics.redelivered(again),
            Err(Ok(Told::Received(received))) => {
                if let Some(group) = self.groups.get_mut(group) {
                    received.iter().for_each(|message| group.take_back(message.number));
                }
            }
            Err(_) => {}
        }
    }

    /// What there is for a reader: first what comes again.
    async fn hand_out(&mut self, name: &str, receive: &Receive) -> Result<Vec<Received>, StoreError> {
        let mut given = Given { received: Vec::new(), bytes: 0, max: receive.max };
        let until = self.shared.clock.moment() + receive.visibility;
        while !given.is_full() {
            let found = self.next_again(name, given.room()).await?;
            let Some(group) = self.groups.get_mut(name).filter(|_| !found.is_empty()) else { break };
            for (number, message) in found {
                match message {
                    Some(message) if !given.is_full() => {
                        let deliveries = group.hand_out(number, message.id, until);
                        given.add(number, message, deliveries);
                    }
                    Some(_) => {}
                    // It was removed meanwhile.
                    None => group.forget(number),
                }
            }
        }
        while !given.is_full() {
            let Some(group) = self.groups.get(name) else { break };
            let (from, room) = (group.next, given.room().min(group.room()));
            if from >= self.next || room == 0 {
                break;
            }
            let found = self.read_from(from, room).await?;
            let Some(group) = self.groups.get_mut(name) else { break };
            if found.is_empty() {
                // Numbers that nothing was written under: a write broke off.
                group.next = ((from / BLOCK + 1) * BLOCK).min(self.next);
            }
            for (number, message) in found {
                if !given.is_full() {
                    let deliveries = group.hand_out(number, message.id, until);
                    given.add(number, message, deliveries);
                }
            }
        }
        Ok(given.received)
    }

    /// What the group may get again; `None`: it is not there any more.
    async fn next_again(&self, group: &str, max: usize) -> Result<Vec<(u64, Option<TopicMessage>)>, StoreError> {
        let numbers = self.groups.get(group).map(|group| group.again(max)).unwrap_or_default();
        if numbers.is_empty() {
            return Ok(Vec::new());
        }
        let name = |number: &u64| (self.place.block(number / BLOCK), Box::from(number.to_be_bytes()));
        let names: Vec<_> = numbers.iter().map(name).collect();
        let bodies = self.shared.store.keyed(&names).await?;
        let read = numbers
            .into_iter()
            .zip(bodies)
            .map(|(number, body)| Ok((number, body.map(|body| decode_topic_message(&body)).transpose()?)));
        read.collect()
    }

    /// Messages of one block from a number on.
    pub(super) async fn read_from(&self, from: u64, max: usize) -> Result<Vec<(u64, TopicMessage)>, StoreError> {
        self.place.read_from(&*self.shared.store, from, max).await
    }
}

/// What a reader gets.
struct Given {
    received: Vec<Received>,
    bytes: usize,
    max: usize,
}

impl Given {
    fn is_full(&self) -> bool {
        self.received.len() >= self.max || self.bytes >= RECEIVE_BYTES_MAX
    }

    fn room(&self) -> usize {
        (self.max - self.received.len()).min(READ_MAX)
    }

    fn add(&mut self, number: u64, message: TopicMessage, deliveries: u32) {
        let TopicMessage { id, published_at, retry: _, key, data, attributes } = message;
        self.bytes += data.len();
        let attributes = attributes.into_iter().collect();
        self.received.push(Received { id, number, published_at, key, data, attributes, deliveries });
    }
}
