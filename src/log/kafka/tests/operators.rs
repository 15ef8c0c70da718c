//! What an operator does with the topics.

use super::*;
use crate::domain::NotificationId;
use crate::log::Outlet;

#[tokio::test]
async fn topics_are_listed_created_and_deleted() {
    let Some(mut broker) = OnBroker::new() else { return };
    broker.settings.partitions = 3;
    let admin = KafkaAdmin::new(&broker.settings).expect("set up");
    let listed = admin.list().await.expect("listed");
    assert!(listed.len() == 8 && listed.iter().all(|topic| topic.partitions.is_none()), "{listed:?}");
    assert_eq!(admin.create().await.expect("created").len(), 8);
    assert_eq!(admin.create().await.expect("nothing to do").len(), 0);
    broker.log(3).await.append(numbered(Priority::Low, 0..10)).await.expect("appended");
    let listed = admin.list().await.expect("listed");
    let low = listed.iter().find(|topic| topic.name.ends_with("notifications.low")).expect("it is listed");
    assert_eq!(low.partitions, Some(vec![(0, 4), (0, 3), (0, 3)]));
    assert_eq!(admin.delete().await.expect("deleted").len(), 8);
    in_time("deletion", async {
        while admin.list().await.expect("listed").iter().any(|topic| topic.partitions.is_some()) {}
    })
    .await;
}

#[tokio::test]
async fn what_is_published_by_hand_comes_as_json_from_another_program() {
    let Some(broker) = OnBroker::new() else { return };
    let log = broker.log(4).await;
    let admin = KafkaAdmin::new(&broker.settings).expect("set up");
    let publish = |idempotency_key: Option<&str>| {
        let idempotency_key = idempotency_key.map(str::to_owned);
        let body = Bytes::from_static(b"{\"user_id\":\"alice\"}");
        admin.publish(Publication { lane: Priority::High, key: Some("alice".into()), idempotency_key, body })
    };
    let (NotificationId(first), NotificationId(second)) =
        (publish(None).await.expect("written"), publish(Some("k")).await.expect("written"));
    assert_eq!((first.shard, first.offset, second.offset), (second.shard, 0, 1), "one key, one partition");
    // As the Java producer places the key: murmur2("alice") & 0x7fffffff % 4.
    assert_eq!(first.shard.partition, u16::try_from((murmur2(b"alice") & 0x7fff_ffff) % 4).expect("small"));
    let record = log.record(second).await.expect("looked up").expect("it is there");
    let foreign = record.foreign.expect("not ours");
    assert_eq!(foreign.content_type.as_deref(), Some("application/json"));
    assert_eq!(foreign.idempotency_key.as_deref(), Some(&b"k"[..]));
    assert_eq!(&record.body[..], b"{\"user_id\":\"alice\"}");
}

/// Brokers make topics up that they are asked to write to, with a number of partitions of their own.
#[tokio::test]
async fn nothing_is_published_to_a_topic_that_is_not_there_and_none_is_made_up() {
    let Some(broker) = OnBroker::new() else { return };
    let admin = KafkaAdmin::new(&broker.settings).expect("set up");
    let body = Bytes::from_static(b"{}");
    let written = admin.publish(Publication { lane: Priority::High, key: None, idempotency_key: None, body }).await;
    assert!(written.is_err_and(|error| error.to_string().contains("fanfare kafka-topics create")));
    let listed = admin.list().await.expect("listed");
    assert!(listed.iter().all(|topic| topic.partitions.is_none()), "{listed:?}");
}

/// `Utils.murmur2` of Kafka's Java client.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ data.len() as u32;
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut word = u32::from_le_bytes(chunk.try_into().expect("four bytes")).wrapping_mul(M);
        word = (word ^ (word >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ word;
    }
    for (place, byte) in chunks.remainder().iter().enumerate().rev() {
        hash ^= u32::from(*byte) << (8 * place);
        if place == 0 {
            hash = hash.wrapping_mul(M);
        }
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[tokio::test]
async fn who_listens_hears_what_is_told_from_then_on_or_from_the_start() {
    let Some(broker) = OnBroker::new() else { return };
    let log = broker.log(2).await;
    let told = |text: &'static str| Told {
        outlet: Outlet::Deliveries,
        key: Bytes::from_static(b"alice"),
        body: Bytes::from_static(text.as_bytes()),
        headers: Vec::new(),
    };
    log.tell(vec![told("first")]).await.expect("told");
    let mut from_now = KafkaAdmin::new(&broker.settings).expect("set up").tail(false).await.expect("listening");
    let mut from_start = KafkaAdmin::new(&broker.settings).expect("set up").tail(true).await.expect("listening");
    log.tell(vec![told("second"), told("third")]).await.expect("told");
    for expected in ["second", "third"] {
        assert_eq!(in_time("an event", from_now.next()).await.expect("read"), expected);
    }
    for expected in ["first", "second", "third"] {
        assert_eq!(in_time("an event", from_start.next()).await.expect("read"), expected);
    }
}

#[tokio::test]
async fn a_check_tells_what_is_there_what_is_missing_and_what_cannot_be_created() {
    let Some(mut broker) = OnBroker::new() else { return };
    let checked = KafkaAdmin::new(&broker.settings).expect("set up").check().await;
    assert!(checked.len() == 2 && checked.iter().all(|(_, outcome)| outcome.is_ok()), "{checked:?}");
    assert!(checked[1].0.contains("notifications.critical"), "{checked:?}");

    broker.settings.kafka.replication = 3;
    let checked = KafkaAdmin::new(&broker.settings).expect("set up").check().await;
    let refused = checked[1].1.as_ref().expect_err("there is one broker");
    assert!(refused.contains("log.kafka.replication"), "{refused}");

    broker.settings.kafka.replication = 1;
    broker.log(2).await;
    let checked = KafkaAdmin::new(&broker.settings).expect("set up").check().await;
    assert_eq!(checked.len(), 5, "{checked:?}");
    assert!(checked[1].0.contains("with 2 partitions"), "{checked:?}");
}

#[tokio::test]
async fn a_check_without_brokers_ends_and_says_so() {
    let broker = OnBroker::at("127.0.0.1:1");
    let checked = KafkaAdmin::new(&broker.settings).expect("set up").check().await;
    let reason = checked[0].1.as_ref().expect_err("nobody is there");
    assert!(checked.len() == 1 && reason.contains("log.kafka.brokers"), "{checked:?}");
    assert!(reason.contains("refused"), "{reason}");
}

#[tokio::test]
async fn who_follows_hears_at_once_what_any_node_tells_from_then_on() {
    let Some(broker) = OnBroker::new() else { return };
    let (one, other) = (broker.log(2).await, broker.log(2).await);
    let told =
        |text: String| Told { outlet: Outlet::Changes, key: Bytes::new(), body: text.into(), headers: Vec::new() };
    one.tell(vec![told("before".into())]).await.expect("told");
    let mut follower = in_time("following", one.follow(Outlet::Changes)).await.expect("following");
    for number in 0..20 {
        let teller = if number % 2 == 0 { &one } else { &other };
        teller.tell(vec![told(format!("{number}"))]).await.expect("told");
        let heard = in_time("an announcement", follower.next()).await.expect("heard");
        assert_eq!(heard, format!("{number}"));
    }
}
