//! What an operator does with the topics, by the command line: look at them, create and delete them, write and read by hand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientContext, Message, Offset, TopicPartitionList};

use super::contact::{Contact, Plain};
use super::desk::{is_passing, offsets_of_any};
use super::topics::{Creation, Onlooker, Topics, blocking, count_partitions, onlook, unreachable};
use super::{locked, producer, settings};
use crate::config;
use crate::domain::{NotificationId, Position, Priority};
use crate::log::{LogError, Outlet};

/// The longest that the brokers may take for one answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long the brokers have to say that they cannot serve an idempotent producer.
const OBJECTION_WAIT: Duration = Duration::from_secs(1);

/// How often who waits for records looks whether it is still wanted.
const POLL: Duration = Duration::from_millis(500);

/// Access to the topics, for an operator.
pub struct KafkaAdmin {
    settings: config::Log,
    contact: Arc<Contact>,
    topics: Topics,
    onlooker: Arc<Onlooker>,
}

/// A topic as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicState {
    pub name: String,
    /// By partition, the first offset that is held and the one after the last; none: there is no such topic.
    pub partitions: Option<Vec<(u64, u64)>>,
}

/// A notification request to write as another program would.
#[derive(Debug, Clone)]
pub struct Publication {
    pub lane: Priority,
    /// The record's key; none: any partition.
    pub key: Option<String>,
    pub idempotency_key: Option<String>,
    /// The request as JSON.
    pub body: Bytes,
}

impl KafkaAdmin {
    /// Sets up the access; nothing is asked of the brokers yet.
    pub fn new(settings: &config::Log) -> Result<Self, LogError> {
        let contact = Arc::new(Contact::default());
        let onlooker = Arc::new(onlook(&settings.kafka, &contact)?);
        let topics = Topics::named(&settings.kafka);
        Ok(Self { settings: settings.clone(), contact, topics, onlooker })
    }

    /// Every topic of the engine.
    pub async fn list(&self) -> Result<Vec<TopicState>, LogError> {
        let mut states = Vec::new();
        for topic in self.topics.all() {
            states.push(TopicState { name: topic.to_owned(), partitions: self.held(topic.to_owned()).await? });
        }
        Ok(states)
    }

    async fn held(&self, topic: String) -> Result<Option<Vec<(u64, u64)>>, LogError> {
        let onlooker = self.onlooker.clone();
        let asked = move || {
            let count = count_partitions(&onlooker, &topic, ANSWER_WAIT_MAX)?;
            let list = all_of(&topic, count);
            let firsts = offsets_of_any(&*onlooker, &list, Offset::Beginning, ANSWER_WAIT_MAX)?;
            let ends = offsets_of_any(&*onlooker, &list, Offset::End, ANSWER_WAIT_MAX)?;
            let held = firsts.into_iter().zip(ends).map(|((_, _, first), (_, _, end))| (first, end));
            Ok((count > 0).then(|| held.collect()))
        };
        blocking(asked).await?.map_err(|error| unreachable(&error, &self.contact))
    }

    /// Creates the topics that are missing; returns their names.
    pub async fn create(&self) -> Result<Vec<String>, LogError> {
        let missing = self.topics.missing(&self.onlooker, &self.contact).await?;
        if !missing.is_empty() {
            let (settings, contact) = (&self.settings, &self.contact);
            self.topics.create(&settings.kafka, &missing, settings.partitions, contact, Creation::Done).await?;
            self.topics.wait_until_seen(&self.onlooker, contact).await?;
        }
        Ok(missing)
    }

    /// Deletes the topics with everything in them; returns the names of those that were there.
    pub async fn delete(&self) -> Result<Vec<String>, LogError> {
        let missing = self.topics.missing(&self.onlooker, &self.contact).await?;
        let present: Vec<&str> = self.topics.all().filter(|topic| !missing.iter().any(|name| name == topic)).collect();
        if present.is_empty() {
            return Ok(Vec::new());
        }
        let context = Plain(self.contact.clone());
        let admin = AdminClient::from_config_and_context(&settings::onlooker(&self.settings.kafka), context)
            .map_err(|error| settings::failed("set up a client", &error))?;
        let options =
            AdminOptions::new().request_timeout(Some(ANSWER_WAIT_MAX)).operation_timeout(Some(ANSWER_WAIT_MAX));
        let outcomes = admin.delete_topics(&present, &options).await;
        for outcome in outcomes.map_err(|error| unreachable(&error, &self.contact))? {
            outcome.map_err(|(topic, code)| LogError::Failed(format!("cannot delete the topic `{topic}`: {code}")))?;
        }
        Ok(present.into_iter().map(str::to_owned).collect())
    }

    /// What was looked at and what came of it: the brokers, whether they are new enough, each topic.
    pub async fn check(&self) -> Vec<(String, Result<(), String>)> {
        let brokers = format!("the Kafka brokers `{}`", self.settings.kafka.brokers);
        let missing = match self.topics.missing(&self.onlooker, &self.contact).await {
            Ok(missing) => missing,
            Err(error) => return vec![(brokers, Err(error.to_string()))],
        };
        let mut checked = vec![(brokers, self.can_produce().await.map_err(|error| error.to_string()))];
        for lane in Priority::ALL {
            let (topic, partitions) = (self.topics.lane(lane), self.topics.partitions(lane));
            if partitions > 0 {
                checked.push((format!("the topic `{topic}` with {partitions} partitions"), Ok(())));
            }
        }
        if !missing.is_empty() {
            let (settings, contact) = (&self.settings, &self.contact);
            let asked = self.topics.create(&settings.kafka, &missing, settings.partitions, contact, Creation::Asked);
            let outcome = asked.await.map_err(|error| error.to_string());
            checked.push((format!("creating the topics `{}`", missing.join("`, `")), outcome));
        }
        checked
    }

    /// Whether the brokers take an idempotent producer, without writing anything.
    async fn can_produce(&self) -> Result<(), LogError> {
        let producer = self.producer()?;
        let objection = blocking(move || {
            producer.poll(OBJECTION_WAIT);
            producer.client().fatal_error()
        });
        match objection.await? {
            None => Ok(()),
            Some((code, reason)) => Err(LogError::Failed(format!(
                "the brokers do not take an idempotent producer ({code}: {reason}): they must be Kafka 1.0 or later, and \
                 let the user of `log.kafka.options` write"
            ))),
        }
    }

    fn producer(&self) -> Result<BaseProducer<OneReport>, LogError> {
        let context = OneReport { contact: self.contact.clone(), outcome: Mutex::default() };
        BaseProducer::from_config_and_context(&settings::producer(&self.settings.kafka, 1000, 32 << 10), context)
            .map_err(|error| settings::failed("set up a producer", &error))
    }

    /// Writes a notification request; returns the notification's id.
    pub async fn publish(&self, publication: Publication) -> Result<NotificationId, LogError> {
        let topic = self.topics.lane(publication.lane).to_owned();
        let (onlooker, name) = (self.onlooker.clone(), topic.clone());
        let count = blocking(move || count_partitions(&onlooker, &name, ANSWER_WAIT_MAX)).await?;
        if count.map_err(|error| unreachable(&error, &self.contact))? == 0 {
            // Brokers would make one up, with a number of partitions of their own.
            return Err(missing(&topic));
        }
        let producer = self.producer()?;
        let name = topic.clone();
        let written = blocking(move || {
            let idempotency_key = publication.idempotency_key.as_ref().map(|key| ("idempotency-key", key.as_bytes()));
            let named = [("content-type", &b"application/json"[..])].into_iter().chain(idempotency_key);
            let mut record =
                BaseRecord::<[u8], [u8]>::to(&name).payload(&publication.body[..]).headers(producer::headers(named));
            record.key = publication.key.as_ref().map(String::as_bytes);
            producer.send(record).map_err(|(error, _)| settings::reason(&error))?;
            producer.flush(ANSWER_WAIT_MAX + OBJECTION_WAIT).map_err(|error| settings::reason(&error))?;
            let outcome = locked(&producer.context().outcome).take();
            outcome.unwrap_or_else(|| Err("nothing was heard of it".to_owned()))
        });
        let (number, offset) = written.await?.map_err(|reason| {
            let heard = self.contact.connection().map(|(_, text)| format!(" ({text})")).unwrap_or_default();
            LogError::Failed(format!("cannot write to the topic `{topic}`: {reason}{heard}"))
        })?;
        let shard = self.topics.shard(&topic, number);
        let shard = shard.ok_or_else(|| LogError::Failed(format!("`{topic}` has too many partitions")))?;
        Ok(NotificationId(Position::new(shard, offset)))
    }

    /// Reads what the engine tells of its work: from now on, or all that is held.
    pub async fn tail(&self, from_start: bool) -> Result<KafkaTail, LogError> {
        let onlooker = self.onlooker.clone();
        let topic = self.topics.outlet(Outlet::Deliveries).to_owned();
        let contact = self.contact.clone();
        let begun = move || {
            let count =
                count_partitions(&onlooker, &topic, ANSWER_WAIT_MAX).map_err(|error| unreachable(&error, &contact))?;
            if count == 0 {
                return Err(missing(&topic));
            }
            let list = all_of(&topic, count);
            let which = if from_start { Offset::Beginning } else { Offset::End };
            // Asked now: what is written while the assignment begins is not to be missed.
            let places = offsets_of_any(&*onlooker, &list, which, ANSWER_WAIT_MAX)
                .map_err(|error| unreachable(&error, &contact))?;
            let mut list = TopicPartitionList::new();
            for (topic, number, offset) in places {
                let offset = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
                list.add_partition_offset(&topic, number, offset)
                    .map_err(|error| settings::failed("begin to read", &error))?;
            }
            onlooker.assign(&list).map_err(|error| settings::failed("begin to read", &error))?;
            Ok(KafkaTail { onlooker })
        };
        blocking(begun).await?
    }
}

/// What the engine tells of its work, as it comes.
pub struct KafkaTail {
    onlooker: Arc<Onlooker>,
}

impl KafkaTail {
    /// The next record's body; waits for it.
    pub async fn next(&mut self) -> Result<Bytes, LogError> {
        loop {
            let onlooker = self.onlooker.clone();
            let polled = blocking(move || match onlooker.poll(POLL) {
                Some(Ok(message)) => Ok(Some(Bytes::copy_from_slice(message.payload().unwrap_or_default()))),
                Some(Err(error)) if !is_passing(&error) => Err(settings::failed("read", &error)),
                _ => Ok(None),
            });
            if let Some(body) = polled.await?? {
                return Ok(body);
            }
        }
    }
}

fn missing(topic: &str) -> LogError {
    LogError::Failed(format!("there is no topic `{topic}`: create it with `fanfare kafka-topics create`"))
}

fn all_of(topic: &str, partitions: u16) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for number in 0..i32::from(partitions) {
        list.add_partition(topic, number);
    }
    list
}

/// Keeps what became of the one record of a producer.
struct OneReport {
    contact: Arc<Contact>,
    outcome: Mutex<Option<Result<(i32, u64), String>>>,
}

impl ClientContext for OneReport {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, text: &str) {
        super::contact::log_line(level, facility, text);
    }

    fn error(&self, error: rdkafka::error::KafkaError, text: &str) {
        self.contact.heard(&error, text);
    }
}

impl ProducerContext for OneReport {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        *locked(&self.outcome) = Some(match result {
            Ok(message) => Ok((message.partition(), u64::try_from(message.offset()).unwrap_or(0))),
            Err((error, _)) => Err(settings::reason(error)),
        });
    }
}
