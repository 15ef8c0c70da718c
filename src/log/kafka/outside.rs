//! Topics of programs on Kafka: made when they are missing, and written by a producer of their own, so that what nobody takes there
//! keeps nothing else waiting.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::RDKafkaErrorCode;

use super::contact::{Contact, Plain};
use super::producer::OneProducer;
use super::topics::{Onlooker, blocking, count_partitions, not_created, onlook, unreachable};
use super::{locked, settings};
use crate::config;
use crate::log::{LogError, OutsideError, OutsideRecord, OutsideTopics};

/// Records and KiB that wait for their acknowledgement.
const QUEUE: (usize, usize) = (20_000, 64 << 10);

/// How long the brokers may take to answer, and a new topic to be seen.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(8);

/// Room for the largest message that a topic of programs takes, with key, attributes and headers: brokers may have less.
const RECORD_BYTES_MAX: &str = "1048588";

/// The longest name of a topic.
const NAME_BYTES_MAX: usize = 249;

pub(super) struct Outside {
    settings: config::Log,
    /// What is heard here says nothing of the log itself.
    contact: Arc<Contact>,
    /// Made when the first topic is asked for.
    clients: Mutex<Option<Clients>>,
    /// Topics that were seen, and not failed since.
    seen: Mutex<BTreeSet<String>>,
}

#[derive(Clone)]
struct Clients {
    onlooker: Arc<Onlooker>,
    producer: Arc<OneProducer>,
}

impl Outside {
    pub(super) fn new(settings: &config::Log) -> Arc<Self> {
        let contact = Arc::new(Contact::default());
        Arc::new(Self { settings: settings.clone(), contact, clients: Mutex::default(), seen: Mutex::default() })
    }

    fn clients(&self) -> Result<Clients, OutsideError> {
        let mut clients = locked(&self.clients);
        if let Some(clients) = &*clients {
            return Ok(clients.clone());
        }
        let kafka = &self.settings.kafka;
        let made = Clients {
            onlooker: Arc::new(onlook(kafka, &self.contact)?),
            producer: Arc::new(OneProducer::new(kafka, QUEUE, &self.contact)?),
        };
        Ok(clients.insert(made).clone())
    }

    async fn partitions(&self, onlooker: &Arc<Onlooker>, topic: &str) -> Result<u16, OutsideError> {
        let (onlooker, name) = (onlooker.clone(), topic.to_owned());
        let counted = blocking(move || count_partitions(&onlooker, &name, ANSWER_WAIT_MAX)).await?;
        Ok(counted.map_err(|error| unreachable(&error, &self.contact))?)
    }

    async fn make(&self, topic: &str) -> Result<(), OutsideError> {
        let kafka = &self.settings.kafka;
        let admin = AdminClient::from_config_and_context(&settings::onlooker(kafka), Plain(self.contact.clone()))
            .map_err(|error| settings::failed("set up a client", &error))?;
        let replication = TopicReplication::Fixed(i32::from(kafka.replication));
        let new = NewTopic::new(topic, i32::from(self.settings.partitions), replication);
        let new = new.set("max.message.bytes", RECORD_BYTES_MAX);
        let new = if kafka.replication > 2 { new.set("min.insync.replicas", "2") } else { new };
        let options =
            AdminOptions::new().request_timeout(Some(ANSWER_WAIT_MAX)).operation_timeout(Some(ANSWER_WAIT_MAX));
        let outcomes = admin.create_topics([&new], &options).await;
        for outcome in outcomes.map_err(|error| unreachable(&error, &self.contact))? {
            match outcome {
                // Another node was quicker.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, RDKafkaErrorCode::InvalidTopic)) => {
                    return Err(OutsideError::Refused(format!(
                        "cannot be: Kafka has a topic that differs from `{topic}` in `.` and `_` only: take another name"
                    )));
                }
                Err((_, code)) => return Err(OutsideError::Refused(not_created(topic, code, kafka.replication))),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl OutsideTopics for Outside {
    /// The tenant is spelled without `.` and `_`, which Kafka takes for the same: no two tenants come to one name.
    fn name(&self, tenant: &str, topic: &str) -> Result<String, OutsideError> {
        let name = format!("{}.topics.{}.{topic}", self.settings.kafka.topic_prefix, spelled(tenant));
        if name.len() > NAME_BYTES_MAX {
            let reason = format!("cannot be: `{name}` is longer than Kafka allows: take a shorter name");
            return Err(OutsideError::Refused(reason));
        }
        Ok(name)
    }

    async fn create(&self, topic: &str) -> Result<(), OutsideError> {
        let onlooker = self.clients()?.onlooker;
        if self.partitions(&onlooker, topic).await? == 0 {
            self.make(topic).await?;
            let deadline = Instant::now() + ANSWER_WAIT_MAX;
            let mut looks = tokio::time::interval(Duration::from_millis(100));
            while self.partitions(&onlooker, topic).await? == 0 {
                if Instant::now() > deadline {
                    let reason = format!("the topic `{topic}` was created and is not seen: look at the brokers");
                    return Err(OutsideError::Failed(reason));
                }
                looks.tick().await;
            }
        }
        locked(&self.seen).insert(topic.to_owned());
        Ok(())
    }

    async fn write(&self, topic: &str, records: Vec<OutsideRecord>) -> Result<(), OutsideError> {
        if !locked(&self.seen).contains(topic) {
            self.create(topic).await?;
        }
        let written = self.clients()?.producer.write(topic, &records).await;
        if written.is_err() {
            // It may have been deleted.
            locked(&self.seen).remove(topic);
        }
        Ok(written?)
    }
}

impl From<LogError> for OutsideError {
    fn from(error: LogError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A tenant's name of letters, digits and `-`: `-` is doubled, and what else there is stands in hexadecimal after one.
fn spelled(tenant: &str) -> String {
    let mut spelled = String::with_capacity(tenant.len());
    for byte in tenant.bytes() {
        match byte {
            b'-' => spelled.push_str("--"),
            byte if byte.is_ascii_alphanumeric() => spelled.push(char::from(byte)),
            byte => spelled.push_str(&format!("-{byte:02X}")),
        }
    }
    spelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tenants_have_one_name_even_where_a_dot_and_an_underscore_are_the_same() {
        let outside = Outside::new(&config::defaults().log);
        let tenants = ["a", "a.b", "a_b", "a-b", "a--b", "a-2Eb", "a.b-", "ä", "A"];
        let topics = ["c", "b.c", "b-c", "5f.c"];
        let mut names: Vec<String> = Vec::new();
        for tenant in tenants {
            names.extend(topics.map(|topic| outside.name(tenant, topic).expect("a name").replace('_', ".")));
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(outside.name("team-a", "orders.paid").expect("a name"), "fanfare.topics.team--a.orders.paid");
        let too_long = outside.name(&".".repeat(64), &"x".repeat(100));
        assert!(matches!(too_long, Err(OutsideError::Refused(reason)) if reason.contains("shorter")));
    }
}
