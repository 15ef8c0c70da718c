//! Who hears what is told from now on: a consumer that belongs to no group, read by a thread of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer;
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::Parts;
use super::contact::Plain;
use super::desk::{is_passing, offsets_of_any};
use super::settings;
use super::topics::{Onlooker, blocking, count_partitions, unreachable};
use crate::log::{Follower, LogError, Outlet};

/// The longest that the brokers may take to say where the end is.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often the thread looks whether anybody still listens.
const POLL: Duration = Duration::from_millis(250);

/// Records that may wait; more wait with the brokers.
const WAITING_MAX: usize = 1024;

/// Begins at the end of the outlet as it is now.
pub(super) async fn follow(parts: &Arc<Parts>, outlet: Outlet) -> Result<Box<dyn Follower>, LogError> {
    let parts = parts.clone();
    let onlooker = blocking(move || begin(&parts, outlet)).await??;
    let (sender, heard) = mpsc::channel(WAITING_MAX);
    std::thread::Builder::new()
        .name("fanfare-log-follow".to_owned())
        .spawn(move || listen(&onlooker, &sender))
        .map_err(|error| LogError::Failed(format!("cannot start a thread: {error}")))?;
    Ok(Box::new(KafkaFollower { heard }))
}

fn begin(parts: &Parts, outlet: Outlet) -> Result<Onlooker, LogError> {
    let onlooker: Onlooker =
        Onlooker::from_config_and_context(&settings::follower(&parts.kafka), Plain(parts.contact.clone()))
            .map_err(|error| settings::failed("set up a consumer", &error))?;
    let topic = parts.topics.outlet(outlet);
    let unreachable = |error| unreachable(&error, &parts.contact);
    let count = count_partitions(&onlooker, topic, ANSWER_WAIT_MAX).map_err(unreachable)?;
    if outlet == Outlet::Changes && count > 1 {
        // Whether all was heard is known by a record that comes after it, which it does in one partition only.
        let advice = "delete it, and let the engine create it";
        return Err(LogError::Failed(format!(
            "the topic `{topic}` has {count} partitions and must have one: {advice}"
        )));
    }
    let mut partitions = TopicPartitionList::new();
    for number in 0..count {
        partitions.add_partition(topic, i32::from(number));
    }
    // Asked now: what is told while the assignment begins is not to be missed.
    let ends = offsets_of_any(&onlooker, &partitions, Offset::End, ANSWER_WAIT_MAX).map_err(unreachable)?;
    if ends.is_empty() {
        return Err(LogError::Failed(format!(
            "there is no topic `{topic}`: create it with `fanfare kafka-topics create`"
        )));
    }
    let mut places = TopicPartitionList::new();
    for (topic, number, offset) in ends {
        let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
        let added = places.add_partition_offset(&topic, number, offset);
        added.map_err(|error| settings::failed("begin to read", &error))?;
    }
    onlooker.assign(&places).map_err(|error| settings::failed("begin to read", &error))?;
    Ok(onlooker)
}

fn listen(onlooker: &Onlooker, sender: &mpsc::Sender<Result<Bytes, LogError>>) {
    while !sender.is_closed() {
        let heard = match onlooker.poll(POLL) {
            Some(Ok(message)) => Ok(Bytes::copy_from_slice(message.payload().unwrap_or_default())),
            Some(Err(error)) if !is_passing(&error) => Err(settings::failed("hear what is told", &error)),
            _ => continue,
        };
        let is_over = heard.is_err();
        if sender.blocking_send(heard).is_err() || is_over {
            return;
        }
    }
}

struct KafkaFollower {
    heard: mpsc::Receiver<Result<Bytes, LogError>>,
}

#[async_trait]
impl Follower for KafkaFollower {
    async fn next(&mut self) -> Result<Bytes, LogError> {
        match self.heard.recv().await {
            Some(heard) => heard,
            None => Err(LogError::Failed("nobody listens to the brokers any more".to_owned())),
        }
    }
}
