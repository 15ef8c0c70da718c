//! The producing side: two idempotent producers, so that a full queue of bulk traffic delays nothing critical.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientConfig, Message};

use super::completion::{Completion, Ticket};
use super::contact::{self, Contact};
use super::topics::Topics;
use super::{locked, settings};
use crate::config::Kafka;
use crate::domain::{Priority, ShardId};
use crate::log::{LogError, NewRecord, OutsideRecord, Told};

/// What our own records say of themselves. Without the parameter it is what other programs write in our encoding, and is checked
/// as whatever they write.
pub(super) const OWN_CONTENT_TYPE: &str = "application/x-bincode; by=fanfare";

/// Records (and KiB) of bulk traffic that wait for their acknowledgement: half a second's worth at full rate.
const BULK_QUEUE: (usize, usize) = (100_000, 96 << 10);

/// The same of critical traffic, which is little.
const CRITICAL_QUEUE: (usize, usize) = (20_000, 32 << 10);

/// The longest a producer's thread waits for an acknowledgement before it looks whether it is to end. Long, because the end of
/// each wait costs up to a millisecond of the processor: the library rounds what is left down to nothing, and asks on.
const POLL: Duration = Duration::from_secs(1);

/// How long the thread of a producer that nobody uses any more hears of records that are still under way.
const END_WAIT_MAX: Duration = Duration::from_secs(10);

/// Records handed over before others get their turn: about half a millisecond.
const RECORDS_PER_TURN: usize = 256;

pub(super) struct Producers {
    critical: OneProducer,
    bulk: OneProducer,
    own_headers: OwnedHeaders,
}

impl Producers {
    pub(super) fn new(kafka: &Kafka, contact: &Arc<Contact>) -> Result<Self, LogError> {
        let own_headers = headers([("content-type", OWN_CONTENT_TYPE.as_bytes())]);
        Ok(Self {
            critical: OneProducer::new(kafka, CRITICAL_QUEUE, contact)?,
            bulk: OneProducer::new(kafka, BULK_QUEUE, contact)?,
            own_headers,
        })
    }

    /// Appends each record to its shard; returns the offsets in the order of the records.
    pub(super) async fn append(
        &self,
        records: &[NewRecord],
        shards: &[ShardId],
        topics: &Topics,
    ) -> Result<Vec<u64>, LogError> {
        let critical = records.iter().filter(|record| record.lane == Priority::Critical).count();
        self.critical.has_room(critical)?;
        self.bulk.has_room(records.len() - critical)?;
        let completion = Completion::of(records.len());
        for (place, (record, shard)) in records.iter().zip(shards).enumerate() {
            take_turns(place).await;
            let key = record.key.to_be_bytes();
            let outgoing = BaseRecord::with_opaque_to(topics.lane(shard.lane), completion.ticket(place))
                .partition(i32::from(shard.partition))
                .key(&key[..])
                .payload(&record.body[..])
                .headers(self.own_headers.clone());
            self.of(shard.lane).send(outgoing)?;
        }
        completion.wait().await.map(Iterator::collect).map_err(LogError::Failed)
    }

    /// Tells others, each record on its topic.
    pub(super) async fn tell(&self, records: &[Told], topics: &Topics) -> Result<(), LogError> {
        self.bulk.has_room(records.len())?;
        let completion = Completion::of(records.len());
        for (place, record) in records.iter().enumerate() {
            take_turns(place).await;
            let outgoing = BaseRecord::with_opaque_to(topics.outlet(record.outlet), completion.ticket(place))
                .key(&record.key[..])
                .payload(&record.body[..])
                .headers(headers(record.headers.iter().map(|(name, value)| (*name, &value[..]))));
            self.bulk.send(outgoing)?;
        }
        completion.wait().await.map(drop).map_err(LogError::Failed)
    }

    fn of(&self, lane: Priority) -> &OneProducer {
        if lane == Priority::Critical { &self.critical } else { &self.bulk }
    }
}

/// Lets others have their turn now and then.
async fn take_turns(place: usize) {
    if place > 0 && place.is_multiple_of(RECORDS_PER_TURN) {
        tokio::task::yield_now().await;
    }
}

/// Headers from their names and values.
pub(super) fn headers<'a>(from: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> OwnedHeaders {
    let header = |headers: OwnedHeaders, (key, value)| headers.insert(Header { key, value: Some(value) });
    from.into_iter().fold(OwnedHeaders::new(), header)
}

type Outgoing<'a> = BaseRecord<'a, [u8], [u8], Box<Ticket>>;

/// A producer, made anew where it failed for good: an idempotent one may, where brokers lost what it wrote.
pub(super) struct OneProducer {
    client: ArcSwap<Client>,
    config: ClientConfig,
    contact: Arc<Contact>,
    records_max: usize,
    /// Held while the producer is made anew.
    renewal: Mutex<()>,
}

impl OneProducer {
    pub(super) fn new(
        kafka: &Kafka,
        (records_max, kib_max): (usize, usize),
        contact: &Arc<Contact>,
    ) -> Result<Self, LogError> {
        let config = settings::producer(kafka, records_max, kib_max);
        let client = ArcSwap::from_pointee(Client::connect(&config, contact)?);
        Ok(Self { client, config, contact: contact.clone(), records_max, renewal: Mutex::default() })
    }

    /// Writes records into a topic, each where its key says, in their order.
    pub(super) async fn write(&self, topic: &str, records: &[OutsideRecord]) -> Result<(), LogError> {
        self.has_room(records.len())?;
        let completion = Completion::of(records.len());
        for (place, record) in records.iter().enumerate() {
            take_turns(place).await;
            let outgoing = BaseRecord::with_opaque_to(topic, completion.ticket(place))
                .key(&record.key[..])
                .payload(&record.body[..])
                .headers(headers(record.headers.iter().map(|(name, value)| (&**name, &value[..]))));
            self.send(outgoing)?;
        }
        completion.wait().await.map(drop).map_err(LogError::Failed)
    }

    /// Refuses at once what would not fit, rather than in the middle of it.
    fn has_room(&self, records: usize) -> Result<(), LogError> {
        let waiting = usize::try_from(self.client.load().producer.in_flight_count()).unwrap_or(0);
        if records > 0 && waiting + records > self.records_max { Err(LogError::Busy) } else { Ok(()) }
    }

    fn send(&self, record: Outgoing<'_>) -> Result<(), LogError> {
        let client = self.client.load();
        let Err((error, record)) = client.producer.send(record) else { return Ok(()) };
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Err(LogError::Busy),
            Some(RDKafkaErrorCode::Fatal) => {
                self.renew(&client)?;
                let sent = self.client.load().producer.send(record);
                sent.map_err(|(error, _)| settings::failed("hand a record to the brokers", &error))
            }
            _ => Err(settings::failed("hand a record to the brokers", &error)),
        }
    }

    fn renew(&self, failed: &Arc<Client>) -> Result<(), LogError> {
        let _renewal = locked(&self.renewal);
        if !Arc::ptr_eq(&self.client.load(), failed) {
            return Ok(());
        }
        let why = failed.producer.client().fatal_error().map(|(_, reason)| reason);
        tracing::warn!(reason = why, "the producer failed for good and is made anew");
        // The old one's thread hears of what it still holds.
        self.client.store(Arc::new(Client::connect(&self.config, &self.contact)?));
        Ok(())
    }
}

/// A producer of librdkafka, and a thread of its own that hears of acknowledgements.
struct Client {
    producer: Arc<BaseProducer<Reports>>,
    stop: Arc<AtomicBool>,
}

impl Client {
    fn connect(config: &ClientConfig, contact: &Arc<Contact>) -> Result<Self, LogError> {
        let producer = BaseProducer::from_config_and_context(config, Reports { contact: contact.clone() });
        let producer = Arc::new(producer.map_err(|error| settings::failed("set up a producer", &error))?);
        let client = Self { producer: producer.clone(), stop: Arc::default() };
        let stop = client.stop.clone();
        std::thread::Builder::new()
            .name("fanfare-log-ack".to_owned())
            .spawn(move || poll(&producer, &stop))
            .map_err(|error| LogError::Failed(format!("cannot start a thread: {error}")))?;
        Ok(client)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn poll(producer: &BaseProducer<Reports>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        producer.poll(POLL);
    }
    let give_up = Instant::now() + END_WAIT_MAX;
    while producer.in_flight_count() > 0 && Instant::now() < give_up {
        producer.poll(POLL);
    }
}

/// Hears of acknowledgements, on the producer's own thread.
struct Reports {
    contact: Arc<Contact>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        contact::log_line(level, facility, text);
    }

    fn error(&self, error: KafkaError, text: &str) {
        self.contact.heard(&error, text);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        match result {
            Ok(message) => {
                self.contact.answered();
                match u64::try_from(message.offset()) {
                    Ok(offset) => ticket.acknowledged(offset),
                    // Written, but an id cannot be made of it.
                    Err(_) => ticket.failed(format!("`{}` did not say where a record stands", message.topic())),
                }
            }
            Err((error, message)) => {
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageTimedOut) {
                    self.contact.lost();
                }
                ticket.failed(format!("`{}` did not take a record: {}", message.topic(), settings::reason(error)));
            }
        }
    }
}
