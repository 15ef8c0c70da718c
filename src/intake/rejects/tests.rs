use std::sync::atomic::Ordering;

use super::*;
use crate::domain::{Position, Priority, ShardId};
use crate::intake::fakes::{FakeLog, InstantClock};

const AT: Timestamp = Timestamp(1_795_262_400_000);

fn reject(body: Vec<u8>) -> Reject {
    let shard = ShardId { generation: 0, lane: Priority::High, partition: 3 };
    let foreign = Foreign { appended_at: AT, ..Foreign::default() };
    let record = Record { position: Position::new(shard, 70), body: body.into(), foreign: Some(Box::new(foreign)) };
    Reject::new(&record, "is no JSON".to_owned(), Timestamp(AT.millis() + 5))
}

async fn tell_all(rejects: &[Reject], log: &std::sync::Arc<FakeLog>, stop: &CancellationToken) -> bool {
    let log: SharedLog = log.clone();
    let clock: SharedClock = std::sync::Arc::new(InstantClock);
    tell(rejects, &log, &clock, stop).await
}

#[tokio::test]
async fn a_record_is_told_byte_for_byte_with_where_it_stands() {
    let log = FakeLog::shared();
    assert!(tell_all(&[reject(vec![0, 255])], &log, &CancellationToken::new()).await);
    let told = log.told();
    assert_eq!((told[0].outlet, &told[0].body[..]), (Outlet::DeadLetters, &[0, 255][..]));
    let headers: Vec<_> = told[0].headers.iter().map(|(name, value)| (*name, &value[..])).collect();
    let expected: [(&str, &[u8]); 4] = [
        ("error", b"is no JSON"),
        ("source-topic", b"fanfare.notifications.high"),
        ("source-partition", b"3"),
        ("source-offset", b"70"),
    ];
    assert_eq!(headers, expected);
}

#[tokio::test]
async fn telling_goes_on_until_it_is_done_or_the_node_stops() {
    let log = FakeLog::shared();
    log.refuse_told(3);
    let rejects = [reject(vec![1]), reject(vec![2])];
    assert!(tell_all(&rejects, &log, &CancellationToken::new()).await);
    assert_eq!(log.told().len(), 2);
    let stop = CancellationToken::new();
    stop.cancel();
    log.refuse_told(u64::MAX);
    assert!(!tell_all(&rejects, &log, &stop).await);
}

#[tokio::test]
async fn a_record_that_the_log_never_takes_whole_is_told_in_part() {
    let log = FakeLog::shared();
    log.told_bytes_max.store(1 << 20, Ordering::SeqCst);
    let large = reject(vec![b'x'; 10 << 20]);
    let DeadLetterCause::Foreign(kept) = &large.letter.cause else { panic!("it is foreign") };
    assert_eq!((kept.body.len(), kept.size, kept.is_whole), (256 << 10, 10 << 20, false));
    assert!(large.letter.reason.contains("256 KiB"));
    assert!(tell_all(&[large], &log, &CancellationToken::new()).await);
    let told = log.told().pop().expect("told");
    assert_eq!(told.body.len(), 256 << 10);
    assert!(told.headers.contains(&("truncated-from", Bytes::from_static(b"10485760"))));
}

#[test]
fn whatever_its_producer_stamped_on_it_a_letter_stands_where_lists_look() {
    let now = Timestamp(AT.millis() + 3_600_000);
    let at = |stamped: u64, now: Timestamp| {
        let mut record = reject(vec![1]).record;
        record.foreign = Some(Box::new(Foreign { appended_at: Timestamp(stamped), ..Foreign::default() }));
        Reject::new(&record, String::new(), now).letter.key.at
    };
    assert_eq!(at(AT.millis(), now), AT);
    // None, long ago, and microseconds.
    for stamped in [0, AT.millis() - 40 * 86_400_000, AT.millis() * 1000] {
        let found = at(stamped, now);
        assert!(found <= now && now.since(found) < DAY, "{stamped}: {found}");
        assert_eq!(at(stamped, Timestamp(now.millis() + 300_000)), found, "read again, it gives the same row");
    }
}

#[test]
fn read_again_it_gives_the_same_row() {
    assert_eq!(reject(vec![1]).letter.key.at, AT);
    assert_eq!(reject(vec![1]).letter.key, reject(vec![1]).letter.key);
}
