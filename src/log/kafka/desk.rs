//! The desk where questions to the brokers are answered: one record, the ends of partitions, whether anybody is there again.
//!
//! One thread with one consumer that belongs to no group. Questions wait in a bounded queue, and each has its limit of time.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::oneshot;

use super::topics::{Onlooker, Topics, onlook};
use super::{Parts, record, settings};
use crate::domain::{Position, ShardId};
use crate::log::{LogError, Record};

/// Questions that may wait.
const QUESTIONS_MAX: usize = 1024;

/// The longest that one answer may take.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(2);

/// The longest that one waits at the desk, with those before.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often the desk looks whether brokers answer again.
const TICK: Duration = Duration::from_millis(500);

/// How often it asks for the ends of all partitions, for the lag.
const ENDS_INTERVAL: Duration = Duration::from_secs(2);

/// How often it asks whether topics have got more partitions.
const TOPICS_INTERVAL: Duration = Duration::from_secs(30);

pub(super) struct Desk {
    questions: SyncSender<Question>,
}

enum Question {
    Record(Position, oneshot::Sender<Result<Option<Record>, LogError>>),
    /// The end of this shard; none: of all there are.
    Ends(Option<ShardId>, oneshot::Sender<Result<u64, LogError>>),
}

type RecordQuestion = (Position, oneshot::Sender<Result<Option<Record>, LogError>>);
type EndQuestion = (Option<ShardId>, oneshot::Sender<Result<u64, LogError>>);

impl Desk {
    pub(super) fn start(parts: &Arc<Parts>) -> Result<Self, LogError> {
        let (questions, queue) = sync_channel(QUESTIONS_MAX);
        let clerk = Clerk { onlooker: onlook(&parts.kafka, &parts.contact)?, parts: Arc::downgrade(parts) };
        std::thread::Builder::new()
            .name("fanfare-log-desk".to_owned())
            .spawn(move || clerk.serve(&queue))
            .map_err(|error| LogError::Failed(format!("cannot start a thread: {error}")))?;
        Ok(Self { questions })
    }

    /// One record, if it is there.
    pub(super) async fn record(&self, position: Position) -> Result<Option<Record>, LogError> {
        self.ask(|answer| Question::Record(position, answer)).await
    }

    /// The end of a shard as the brokers say it now.
    pub(super) async fn end(&self, shard: ShardId) -> Result<u64, LogError> {
        self.ask(|answer| Question::Ends(Some(shard), answer)).await
    }

    /// Learns the ends of all partitions.
    pub(super) async fn learn_ends(&self) -> Result<(), LogError> {
        self.ask(|answer| Question::Ends(None, answer)).await.map(drop)
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<Result<T, LogError>>) -> Question,
    ) -> Result<T, LogError> {
        let (sender, answer) = oneshot::channel();
        self.questions.try_send(question(sender)).map_err(|error| match error {
            TrySendError::Full(_) => LogError::Busy,
            TrySendError::Disconnected(_) => LogError::Failed("the log is closed".to_owned()),
        })?;
        match tokio::time::timeout(TURN_WAIT_MAX, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(LogError::Failed("the log is closed".to_owned())),
            Err(_) => Err(LogError::Failed(format!("the brokers gave no answer within {TURN_WAIT_MAX:?}"))),
        }
    }
}

/// The thread behind the desk.
struct Clerk {
    onlooker: Onlooker,
    /// The log may end while the thread waits.
    parts: Weak<Parts>,
}

impl Clerk {
    /// The ends are answered first: a partition that is taken over waits for its end, and each record may take long.
    fn serve(&self, queue: &Receiver<Question>) {
        let (mut ends_at, mut topics_at) = (Instant::now() + ENDS_INTERVAL, Instant::now() + TOPICS_INTERVAL);
        let mut records: VecDeque<RecordQuestion> = VecDeque::new();
        loop {
            let question = queue.recv_timeout(if records.is_empty() { TICK } else { Duration::ZERO });
            if matches!(question, Err(RecvTimeoutError::Disconnected)) {
                return;
            }
            let Some(parts) = self.parts.upgrade() else { return };
            let mut ends = Vec::new();
            for question in question.ok().into_iter().chain(queue.try_iter()).take(QUESTIONS_MAX) {
                match question {
                    Question::Ends(shard, answer) => ends.push((shard, answer)),
                    Question::Record(position, answer) if records.len() < QUESTIONS_MAX => {
                        records.push_back((position, answer));
                    }
                    Question::Record(_, answer) => drop(answer.send(Err(LogError::Busy))),
                }
            }
            self.answer_ends(&parts, ends);
            if let Some(question) = records.pop_front() {
                self.answer_record(&parts, question);
            }
            if parts.contact.is_down() {
                self.knock(&parts);
            } else if Instant::now() >= ends_at {
                ends_at = Instant::now() + ENDS_INTERVAL;
                let _ = self.ends(&parts, parts.topics.shards());
                // By itself: where somebody deleted the topic of events, the lanes' ends are still learnt.
                let _ = self.ends(&parts, parts.topics.event_shards());
            }
            if Instant::now() >= topics_at {
                topics_at = Instant::now() + TOPICS_INTERVAL;
                let _ = parts.topics.refresh(&self.onlooker, ANSWER_WAIT_MAX);
            }
        }
    }

    fn answer_record(&self, parts: &Parts, (position, answer): RecordQuestion) {
        // Or nobody waits for it any more.
        if !answer.is_closed() {
            let found = self.record(parts, position);
            let _ = answer.send(found.map_err(|error| settings::failed("look a record up", &error)));
        }
    }

    /// Answers all with one question to the brokers.
    fn answer_ends(&self, parts: &Parts, ends: Vec<EndQuestion>) {
        if ends.is_empty() {
            return;
        }
        let asked: Vec<ShardId> = match ends.iter().all(|(shard, _)| shard.is_some()) {
            true => ends.iter().filter_map(|(shard, _)| *shard).collect(),
            false => parts.topics.shards().collect(),
        };
        let outcome = self.ends(parts, asked.into_iter());
        for (shard, answer) in ends {
            let end = shard.map_or(0, |shard| parts.ends.of(shard));
            let failed = outcome.as_ref().err().map(|error| settings::failed("ask for the end of a partition", error));
            let _ = answer.send(failed.map_or(Ok(end), Err));
        }
    }

    /// Asks for the ends of shards.
    fn ends(&self, parts: &Parts, shards: impl Iterator<Item = ShardId>) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        for shard in shards {
            if list.find_partition(parts.topics.of(shard), i32::from(shard.partition)).is_none() {
                list.add_partition(parts.topics.of(shard), i32::from(shard.partition));
            }
        }
        let ask = || offsets(&self.onlooker, &parts.topics, &list, Offset::End, ANSWER_WAIT_MAX);
        let found = match ask() {
            Err(error) if is_unheard_of(&error) => {
                self.learn_topics(&list)?;
                ask()?
            }
            found => found?,
        };
        for (shard, end) in found {
            parts.ends.raise(std::iter::once((shard, end)));
        }
        parts.contact.answered();
        Ok(())
    }

    /// Has librdkafka ask for the topics anew. A broker that has just started may say that it knows none of them, and librdkafka
    /// believes that for minutes.
    fn learn_topics(&self, partitions: &TopicPartitionList) -> Result<(), KafkaError> {
        let mut topics: Vec<String> = partitions.elements().iter().map(|element| element.topic().to_owned()).collect();
        topics.dedup();
        for topic in topics {
            self.onlooker.fetch_metadata(Some(&topic), ANSWER_WAIT_MAX)?;
        }
        Ok(())
    }

    /// Asks whether anybody is there again.
    fn knock(&self, parts: &Parts) {
        let topic = parts.topics.lane(crate::domain::Priority::Critical);
        if self.onlooker.fetch_metadata(Some(topic), ANSWER_WAIT_MAX).is_ok() {
            parts.contact.answered();
        }
    }

    fn record(&self, parts: &Parts, position: Position) -> Result<Option<Record>, KafkaError> {
        let shard = position.shard;
        if position.offset >= parts.ends.of(shard) {
            self.ends(parts, std::iter::once(shard))?;
            if position.offset >= parts.ends.of(shard) {
                return Ok(None);
            }
        }
        let offset = i64::try_from(position.offset).unwrap_or(i64::MAX);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(parts.topics.lane(shard.lane), i32::from(shard.partition), Offset::Offset(offset))?;
        self.onlooker.assign(&list)?;
        let found = self.fetched(parts, position);
        // What the consumer would go on to fetch is not wanted.
        self.onlooker.unassign()?;
        found
    }

    /// The record that the assignment begins with, if it is the one.
    fn fetched(&self, parts: &Parts, position: Position) -> Result<Option<Record>, KafkaError> {
        let deadline = Instant::now() + ANSWER_WAIT_MAX;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            match self.onlooker.poll(left) {
                Some(Ok(message)) => {
                    let shard = parts.topics.shard(message.topic(), message.partition());
                    let record = record::take(&message, position.shard);
                    // A gap, or what was deleted, ends at a later one.
                    if shard == Some(position.shard) && record.position.offset >= position.offset {
                        return Ok((record.position == position).then_some(record));
                    }
                }
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(error),
                None => {}
            }
        }
        Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
    }
}

/// The offsets at one end of shards; those that the brokers did not say are left out. Blocks.
pub(super) fn offsets<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topics: &Topics,
    partitions: &TopicPartitionList,
    which: Offset,
    wait: Duration,
) -> Result<Vec<(ShardId, u64)>, KafkaError> {
    let found = offsets_of_any(consumer, partitions, which, wait)?;
    let shard = |(topic, number, offset): (String, i32, u64)| Some((topics.shard(&topic, number)?, offset));
    Ok(found.into_iter().filter_map(shard).collect())
}

/// The same of partitions of any topics.
pub(super) fn offsets_of_any<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    partitions: &TopicPartitionList,
    which: Offset,
    wait: Duration,
) -> Result<Vec<(String, i32, u64)>, KafkaError> {
    if partitions.count() == 0 {
        return Ok(Vec::new());
    }
    let mut list = partitions.clone();
    list.set_all_offsets(which)?;
    let list = consumer.offsets_for_times(list, wait)?;
    let mut found = Vec::with_capacity(list.count());
    for element in list.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            found.push((element.topic().to_owned(), element.partition(), u64::try_from(offset).unwrap_or(0)));
        }
    }
    Ok(found)
}

/// Whether librdkafka takes the topic, or the partition, for one that does not exist.
fn is_unheard_of(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(
            RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition
        )
    )
}

/// What librdkafka mends by itself.
pub(super) fn is_passing(error: &KafkaError) -> bool {
    let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
    let lasting = matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::Fatal
        )
    );
    !fatal && !lasting
}
