//! Records through the door and back, over secrets in memory.

use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::domain::{
    CampaignId, ClaimKey, Content, Idempotency, Position, Priority, Recipient, ShardId, Source, Timestamp,
};
use crate::intake::batch::{self, Decoded};
use crate::intake::fakes::{FakeLog, FakeStore};
use crate::intake::{AcceptError, AcceptedKeys, Acceptor, Envelope, Reading, read_request, remember_unplanned};
use crate::log::{LogError, PartitionReader, ReadLimit};
use crate::sealing::testing::FakeSecrets;
use crate::store::UserSecrets;
use crate::users::LocalChanges;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const MAIL: &str = r#"{"user_id":"u1","to":{"email":"alice@example.org","phone":"+4915112345678"},
    "content":{"title":"Dear Alice","body":"your rash"},"data":{"diagnosis":"eczema"},"metadata":{"clerk":"Bob"}}"#;
const PLANTED: [&str; 6] = ["alice@example.org", "15112345678", "Dear Alice", "your rash", "eczema", "Bob"];

struct World {
    secrets: Arc<FakeSecrets>,
    clock: Arc<ManualClock>,
    seals: Seals,
    log: Arc<FakeLog>,
    acceptor: Acceptor,
}

fn world() -> World {
    let (clock, secrets, log) = (ManualClock::starting_at(NOW), Arc::<FakeSecrets>::default(), FakeLog::open());
    let seals = node(&secrets, &clock);
    let keys = Arc::<AcceptedKeys>::default();
    let acceptor =
        Acceptor::new(log.clone(), Arc::new(FakeStore::default()), clock.clone(), keys).sealing(seals.clone());
    World { secrets, clock, seals, log, acceptor }
}

/// What another node knows of the same secrets.
fn node(secrets: &Arc<FakeSecrets>, clock: &Arc<ManualClock>) -> Seals {
    Seals::new(Keyring::new(secrets.clone(), clock.clone(), Arc::new(LocalChanges::default())))
}

fn request(body: &str, key: Option<u128>) -> NotificationRequest {
    let categories = crate::config::defaults().categories().expect("the default is there");
    let envelope = Envelope {
        categories: &categories,
        contents: &(),
        tenant: "default",
        source: Source::Http,
        idempotency: key.map(|key| Idempotency { key: ClaimKey(key), body_hash: 7, batch: Some(ClaimKey(key + 1)) }),
        now: NOW,
    };
    read_request(body, &envelope).expect("valid")
}

fn reading() -> Reading {
    let categories = crate::config::defaults().categories().expect("the default is there");
    Reading { contents: Arc::new(()), categories: Arc::new(categories), body_max: 1 << 20 }
}

fn alice() -> UserKey {
    UserKey { tenant: "default".into(), user_id: "u1".into() }
}

/// The only record there is.
fn only(log: &FakeLog) -> Record {
    let mut records = log.bodies();
    assert_eq!(records.len(), 1);
    records.remove(0)
}

/// Reads as a partition does, on a node that knows nothing yet.
async fn decode(world: &World, records: &[Record]) -> Result<Decoded, StoreError> {
    let openings = node(&world.secrets, &world.clock).openings(records).await?;
    Ok(batch::decode(records, &reading(), &openings, world.clock.now()))
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn a_record_holds_nothing_personal_and_reads_as_it_was_accepted() {
    let of_nobody = MAIL.replace(r#""user_id":"u1","#, "");
    for (body, campaign) in [(MAIL, None), (MAIL, Some(CampaignId(9))), (&of_nobody, None)] {
        let world = world();
        let sent = NotificationRequest { campaign, ..request(body, Some(5)) };
        world.acceptor.accept(vec![sent.clone()]).await.expect("accepted");
        let record = only(&world.log);
        for planted in PLANTED {
            assert!(!holds(&record.body, planted), "{planted}");
        }
        let mut decoded = decode(&world, std::slice::from_ref(&record)).await.expect("readable");
        // It carries the key of a batch only where it came in one.
        let carried = decoded.requests.pop().expect("one").1;
        let expected = NotificationRequest { idempotency: carried.idempotency, ..sent.clone() };
        assert_eq!(carried, expected);
        assert_eq!(carried.idempotency.map(|retry| retry.key), Some(ClaimKey(5)));
        assert!(decoded.unreadable.is_empty() && decoded.rejected.is_empty());
        assert_eq!(world.acceptor.read(&record).await.expect("readable"), Some(expected));
    }
}

#[tokio::test]
async fn what_is_nobodys_and_what_a_door_that_does_not_seal_takes_in_stays_as_it_is() {
    let world = world();
    let hook = request(r#"{"to":{"url":"https://example.org/a"},"template":"t"}"#, None);
    let records = world.seals.records(&[&hook]).await.expect("made");
    assert_eq!(*records[0].body, *codec::encode_request(&hook));
    let alices = request(MAIL, None);
    let records = Seals::default().records(&[&alices]).await.expect("made");
    assert_eq!(*records[0].body, *codec::encode_request(&alices));
    assert_eq!(world.secrets.held().reads, 0, "nobody's secret was asked for");
}

#[tokio::test]
async fn who_was_erased_is_known_by_what_stands_in_clear_alone() {
    let world = world();
    let sent = NotificationRequest { campaign: Some(CampaignId(9)), ..request(MAIL, Some(5)) };
    let others = request(&MAIL.replace("u1", "u2"), None);
    world.acceptor.accept(vec![sent.clone(), others.clone()]).await.expect("accepted");
    let mut records = world.log.bodies();
    records.sort_by_key(|record| record.position);
    world.secrets.destroy_user_secrets(&alice()).await.expect("destroyed");
    let decoded = decode(&world, &records).await.expect("readable");
    assert_eq!(decoded.unreadable, [records[0].position.offset]);
    let left = &decoded.requests[0].1;
    assert_eq!(left.content, Content::nothing());
    assert_eq!((&*left.data, &*left.metadata, &left.to), ("{}", "{}", &Recipient::default()));
    assert_eq!(
        (&left.user_id, left.source, left.campaign, left.accepted_at),
        (&sent.user_id, sent.source, sent.campaign, sent.accepted_at)
    );
    assert!(decoded.keys.contains(&ClaimKey(5)), "its retry key is let go as of any other");
    // The others of the batch are read as ever.
    assert_eq!(decoded.requests[1].1, others);
    assert!(decoded.rejected.is_empty());
}

#[tokio::test]
async fn who_comes_back_under_the_name_does_not_bring_the_old_records_back() {
    let world = world();
    world.acceptor.accept(vec![request(MAIL, None)]).await.expect("accepted");
    let old = only(&world.log);
    world.secrets.destroy_user_secrets(&alice()).await.expect("destroyed");
    let again = node(&world.secrets, &world.clock);
    let new = again.records(&[&request(MAIL, None)]).await.expect("made").remove(0);
    let new = Record { position: Position { offset: 1, ..old.position }, body: new.body, foreign: None };
    let decoded = decode(&world, &[old, new]).await.expect("readable");
    assert_eq!(decoded.unreadable, [0]);
    assert_eq!(&*decoded.requests[1].1.data, r#"{"diagnosis":"eczema"}"#);
}

#[tokio::test]
async fn a_store_that_fails_delays_and_skips_nothing() {
    let world = world();
    world.secrets.held().is_down = true;
    let refused = world.acceptor.accept(vec![request(MAIL, None)]).await.expect_err("it cannot be sealed");
    let AcceptError::Unavailable { retry_after, .. } = refused else { panic!("{refused}") };
    assert_eq!((retry_after, world.log.len()), (Duration::from_secs(5), 0));
    world.secrets.held().is_down = false;
    world.acceptor.accept(vec![request(MAIL, None)]).await.expect("accepted");
    let record = only(&world.log);
    world.secrets.held().is_down = true;
    assert!(decode(&world, std::slice::from_ref(&record)).await.is_err());
    assert!(Seals::default().openings(std::slice::from_ref(&record)).await.is_err(), "it has no secrets at all");
    world.secrets.held().is_down = false;
    let decoded = decode(&world, &[record]).await.expect("readable");
    assert_eq!((decoded.requests.len(), decoded.unreadable.len()), (1, 0));
}

#[tokio::test]
async fn a_damaged_record_is_a_dead_letter_byte_for_byte_and_its_reason_says_nothing_personal() {
    let world = world();
    world.acceptor.accept(vec![request(MAIL, None)]).await.expect("accepted");
    let record = only(&world.log);
    for index in [0, 1, record.body.len() - 1, record.body.len() / 2] {
        let mut body = record.body.to_vec();
        body[index] ^= 1;
        let damaged = Record { body: Bytes::from(body), ..record.clone() };
        let decoded = decode(&world, std::slice::from_ref(&damaged)).await.expect("the store works");
        assert_eq!((decoded.rejected.len(), decoded.requests.len()), (1, 0), "byte {index}");
        let letter = &decoded.rejected[0].letter;
        assert!(PLANTED.iter().all(|planted| !letter.reason.contains(planted)), "{}", letter.reason);
        assert_eq!(letter.cause, crate::store::DeadLetterCause::Record { body: damaged.body.clone() });
        assert_eq!(world.acceptor.read(&damaged).await.expect("the store works"), None);
    }
    // Another record's head does not open it.
    let head = world.seals.records(&[&request(&MAIL.replace("u1", "u2"), None)]).await.expect("made").remove(0);
    let (_, place) = codec::decode_request_head(&record.body).expect("whole").expect("sealed");
    let mixed = Bytes::from([&head.body[..place], &record.body[place..]].concat());
    let decoded = decode(&world, &[Record { body: mixed, ..record }]).await.expect("the store works");
    assert!(decoded.requests.iter().all(|(_, request)| *request.data == *"{}"));
}

/// Hands out what is there.
struct Held(Vec<Record>);

#[async_trait]
impl PartitionReader for Held {
    fn shard(&self) -> ShardId {
        self.0[0].position.shard
    }

    fn committed(&self) -> u64 {
        0
    }

    fn end(&self) -> u64 {
        self.0.len() as u64
    }

    async fn latest_end(&mut self) -> Result<u64, LogError> {
        Ok(self.end())
    }

    async fn read(&mut self, from: u64, _: ReadLimit) -> Result<Vec<Record>, LogError> {
        Ok(self.0[from as usize..].to_vec())
    }

    async fn commit(&self, _: u64) -> Result<(), LogError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_retry_key_is_answered_the_same_at_the_next_start_also_of_who_was_erased() {
    let world = world();
    let first = world.acceptor.accept(vec![request(MAIL, Some(5))]).await.expect("accepted")[0];
    world.secrets.destroy_user_secrets(&alice()).await.expect("destroyed");
    let keys = Arc::<AcceptedKeys>::default();
    remember_unplanned(&mut Held(world.log.bodies()), &keys).await.expect("readable");
    let next = Acceptor::new(world.log.clone(), Arc::new(FakeStore::default()), world.clock.clone(), keys);
    let retried = next.sealing(world.seals.clone()).accept(vec![request(MAIL, Some(5))]).await.expect("accepted")[0];
    assert_eq!((retried.id, retried.repeated), (first.id, true));
    assert_eq!(world.log.len(), 1);
}

#[test]
fn the_head_of_a_record_is_read_as_it_was_written() {
    let idempotency = Some(Idempotency { key: ClaimKey(5), body_hash: 7, batch: Some(ClaimKey(6)) });
    let request = NotificationRequest { campaign: Some(CampaignId(9)), idempotency, ..request(MAIL, None) };
    let mut bytes = Vec::new();
    codec::encode_request_head(&alice(), &request, &mut bytes);
    let golden = crate::codec::tests::check_golden("request_head_v8.bin", &bytes);
    let (head, length) = codec::decode_request_head(&golden).expect("whole").expect("sealed");
    assert_eq!(length, golden.len());
    assert_eq!((&head.owner, head.is_of_user), (&alice(), true));
    let left = head.without_rest(Priority::High);
    assert_eq!((left.idempotency, left.campaign, left.accepted_at), (idempotency, request.campaign, NOW));
    assert_eq!(codec::decode_request_head(&codec::encode_request(&request)), Ok(None));
}
