//! Records that other programs write.

use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};

use super::*;
use crate::log::{Foreign, Outlet};

/// Another program's producer.
fn producer(broker: &OnBroker) -> ThreadedProducer<rdkafka::producer::DefaultProducerContext> {
    settings::producer(&broker.settings.kafka, 1000, 64 << 10).create().expect("a producer")
}

#[tokio::test]
async fn what_other_programs_write_comes_as_it_was_written() {
    let Some(broker) = OnBroker::new() else { return };
    let normal = broker.lane(Priority::Normal);
    let topic = NewTopic::new(&normal, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "20000000");
    broker.admin().create_topics(&[topic], &AdminOptions::new()).await.expect("asked")[0].as_ref().expect("created");
    let log = broker.log(1).await;

    let other = producer(&broker);
    let large = vec![b'x'; 10 << 20];
    let rubbish = [0, 0xff, 0xfe, 7];
    let send = |key: Option<&[u8]>, body: Option<&[u8]>, named: &[(&str, &[u8])]| {
        let mut record = BaseRecord::<[u8], [u8]>::to(&normal).partition(0);
        (record.key, record.payload) = (key, body);
        record.headers = (!named.is_empty()).then(|| producer::headers(named.iter().copied()));
        other.send(record).map_err(|(error, _)| error).expect("sent");
    };
    send(None, Some(b"{}"), &[("content-type", b"application/json"), ("x-trace", b"1")]);
    send(Some(b"alice"), Some(&rubbish), &[("X-Trace", b"1")]);
    send(None, Some(&large), &[("Content-Type", b"text/plain"), ("Idempotency-Key", b"k"), ("TENANT", b"acme")]);
    send(None, None, &[("content-type", b"\xff")]);
    send(None, Some(b"ours, with a key"), &[("content-type", OWN.as_bytes()), ("idempotency-key", b"k")]);
    send(None, Some(b"as ours"), &[("content-type", OWN.as_bytes())]);
    send(None, Some(b"in our encoding"), &[("content-type", b"application/x-bincode")]);
    other.flush(Duration::from_secs(20)).expect("written");
    let ours = log.append(numbered(Priority::Normal, 0..1)).await.expect("appended")[0];

    let mut membership = log.join().await.expect("joined");
    let mut readers = several(&mut *membership, 4).await;
    let reader = readers.iter_mut().find(|reader| reader.shard() == ours.shard).expect("it is assigned");
    let mut records = Vec::new();
    while records.len() < 8 {
        let more = in_time("reading", reader.read(records.len() as u64, ALL)).await;
        records.extend(more.expect("read"));
    }
    let bodies: Vec<&[u8]> = records.iter().map(|record| &record.body[..]).collect();
    assert_eq!(bodies[..4], [b"{}", &rubbish[..], &large, b""]);
    let foreign = |place: usize| {
        let foreign = records[place].foreign.clone().expect("another program wrote it");
        assert!(foreign.appended_at.millis() > 1_600_000_000_000, "{foreign:?}");
        Foreign { appended_at: Default::default(), ..*foreign }
    };
    let expected = |content_type: Option<&str>, key: Option<&'static str>, tenant: Option<&'static str>| Foreign {
        content_type: content_type.map(Into::into),
        idempotency_key: key.map(Bytes::from),
        tenant: tenant.map(Bytes::from),
        cloud_event: Vec::new(),
        appended_at: Default::default(),
    };
    assert_eq!(foreign(0), expected(Some("application/json"), None, None));
    assert_eq!(foreign(1), expected(None, None, None));
    assert_eq!(foreign(2), expected(Some("text/plain"), Some("k"), Some("acme")));
    assert_eq!(foreign(3), expected(Some("\u{fffd}"), None, None));
    assert_eq!(foreign(4), expected(Some(OWN), Some("k"), None));
    assert!(records[5].foreign.is_none() && records[7].foreign.is_none());
    assert_eq!(foreign(6), expected(Some("application/x-bincode"), None, None), "and is to be checked");
    let looked_up = log.record(records[2].position).await.expect("looked up").expect("it is there");
    assert_eq!((looked_up.body.len(), looked_up.foreign), (large.len(), records[2].foreign.clone()));
}

const OWN: &str = producer::OWN_CONTENT_TYPE;

#[tokio::test]
async fn dead_letters_take_what_came_byte_for_byte_up_to_their_bound() {
    let Some(broker) = OnBroker::new() else { return };
    let log = broker.log(1).await;
    let told = |outlet, length| Told {
        outlet,
        key: Bytes::from_static(b"user"),
        body: Bytes::from(vec![7; length]),
        headers: vec![("error", Bytes::from_static(b"no JSON"))],
    };
    log.tell(vec![told(Outlet::DeadLetters, settings::DEAD_LETTER_BYTES_MAX), told(Outlet::Deliveries, 10)])
        .await
        .expect("told");
    let refused = log.tell(vec![told(Outlet::DeadLetters, settings::DEAD_LETTER_BYTES_MAX + (1 << 20))]).await;
    assert!(matches!(refused, Err(LogError::Failed(_))), "{refused:?}");
}
