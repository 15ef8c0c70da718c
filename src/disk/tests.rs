use std::sync::atomic::{AtomicU64, Ordering};

use super::testing::{TestSpace, disk, disk_with};
use super::*;
use crate::clock::ManualClock;
use crate::domain::{DATED_KEPT, Priority, ShardId, Timestamp};

fn insert(disk: &Disk, key: &str, value: &str) -> impl FnOnce(&mut Rows) + Send + use<> {
    let (keyspace, key, value) = (disk.keyspaces.dead_letters.clone(), key.to_owned(), value.to_owned());
    move |rows| rows.insert(&keyspace, key.into_bytes(), value.into_bytes())
}

fn get(disk: &Disk, key: &str) -> Option<String> {
    let value = disk.keyspaces.dead_letters.get(key).expect("read");
    value.map(|value| String::from_utf8(value.to_vec()).expect("text"))
}

#[tokio::test]
async fn rows_are_there_once_the_write_is_answered_and_after_opening_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let database = disk(dir.path());
    for (traffic, key) in [(Traffic::Intake, "a"), (Traffic::Outcomes, "b"), (Traffic::Critical, "c")] {
        database.write(traffic, Urgency::Shared, 2, insert(&database, key, "1")).await.expect("written");
        assert_eq!(get(&database, key).as_deref(), Some("1"));
    }
    drop(database);
    let database = disk(dir.path());
    assert_eq!((get(&database, "a"), get(&database, "b")), (Some("1".into()), Some("1".into())));
}

#[tokio::test]
async fn a_directory_that_is_open_cannot_be_opened_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let _first = disk(dir.path());
    let settings = DiskSettings {
        dir: dir.path().into(),
        cache_bytes: 1 << 20,
        write_buffer_bytes: 1 << 20,
        group_commit_max: Duration::ZERO,
        min_free_bytes: 0,
        free_space: Arc::new(MachineSpace),
        clock: ManualClock::starting_at(Timestamp(0)),
        kept: Default::default(),
    };
    let reason = Disk::open(settings).err().expect("it is refused").to_string();
    assert!(reason.contains("another process has it open"), "{reason}");
}

#[tokio::test]
async fn what_waits_together_is_written_in_the_order_it_came() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let database = disk_with(dir.path(), |settings| settings.group_commit_max = Duration::from_millis(5));
    let writes = (0..200).map(|number| {
        let write = insert(&database, "same", &number.to_string());
        // Queued in this order, since each has room at once.
        database.write(Traffic::Outcomes, Urgency::Shared, 10, write)
    });
    let answers = futures_util::future::join_all(writes).await;
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(get(&database, "same").as_deref(), Some("199"));
}

#[tokio::test]
async fn more_than_the_queue_holds_waits_and_is_written() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let database = disk(dir.path());
    let large = "x".repeat(1 << 20);
    // 40 MiB against 16 MiB of room.
    let writes = (0..40).map(|number| {
        let write = insert(&database, &number.to_string(), &large);
        database.write(Traffic::Intake, Urgency::Shared, large.len(), write)
    });
    let answers = futures_util::future::join_all(writes).await;
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
    assert!((0..40).all(|number| get(&database, &number.to_string()).is_some()));
}

#[tokio::test]
async fn critical_intake_does_not_wait_for_the_room_that_other_intake_waits_for() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let database = disk(dir.path());
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (go_on, held) = std::sync::mpsc::sync_channel::<()>(0);
    let write = |traffic, name: &'static str, bytes| {
        let order = order.clone();
        database
            .write(traffic, Urgency::Shared, bytes, move |_: &mut Rows| order.lock().expect("not poisoned").push(name))
    };
    // The writing thread stands still; behind it is more than may wait.
    let holding = database
        .write(Traffic::Outcomes, Urgency::Shared, 1, move |_: &mut Rows| held.recv().expect("the test goes on"));
    let bulk = futures_util::future::join_all((0..40).map(|_| write(Traffic::Intake, "bulk", 1 << 20)));
    let critical = write(Traffic::Critical, "critical", 1000);
    let going_on = async {
        tokio::task::yield_now().await;
        tokio::task::spawn_blocking(move || go_on.send(())).await.expect("it ends").expect("it is waited for");
    };
    let (held, bulk, critical, ()) = tokio::join!(biased; holding, bulk, critical, going_on);
    assert!(held.is_ok() && critical.is_ok() && bulk.iter().all(|written| written.is_ok()));
    let order = order.lock().expect("not poisoned");
    let place = order.iter().position(|name| *name == "critical").expect("it was written");
    assert!(place <= 16, "{place} of 41");
}

#[tokio::test]
async fn a_write_that_nobody_waits_for_is_written_when_the_database_is_closed() {
    use futures_util::FutureExt;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let database = disk(dir.path());
    let _ = database.write(Traffic::Outcomes, Urgency::Shared, 2, insert(&database, "a", "1")).now_or_never();
    drop(database);
    assert_eq!(get(&disk(dir.path()), "a").as_deref(), Some("1"));
}

#[tokio::test]
async fn outcomes_go_on_when_intake_and_then_planning_are_refused_and_stop_before_the_very_end() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = ManualClock::starting_at(Timestamp(1_000_000));
    let space = Arc::new(TestSpace(AtomicU64::new(0)));
    let database = disk_with(dir.path(), |settings| {
        settings.min_free_bytes = 1000;
        settings.free_space = space.clone();
        settings.clock = clock.clone();
    });
    let cases = [
        (1000, true, true, true),
        (999, false, true, true),
        (625, false, true, true),
        (624, false, false, true),
        (250, false, false, true),
        (249, false, false, false),
    ];
    for (free, intake, plans, outcomes) in cases {
        space.0.store(free, Ordering::Relaxed);
        clock.advance(Duration::from_secs(1));
        let expected = [
            (Traffic::Critical, intake),
            (Traffic::Intake, intake),
            (Traffic::Plans, plans),
            (Traffic::Outcomes, outcomes),
            (Traffic::Receipts, plans),
        ];
        for (traffic, expected) in expected {
            let answer = database.write(traffic, Urgency::Shared, 2, insert(&database, "a", "1")).await;
            assert_eq!(answer.is_ok(), expected, "{traffic:?} with {free} free");
            assert!(expected || matches!(answer, Err(DiskError::Full { .. })));
        }
    }
    space.0.store(1000, Ordering::Relaxed);
    clock.advance(Duration::from_secs(1));
    database
        .write(Traffic::Intake, Urgency::Shared, 2, insert(&database, "a", "2"))
        .await
        .expect("a refusal ends with its cause");
}

#[tokio::test]
async fn free_space_is_not_asked_for_at_each_write() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = ManualClock::starting_at(Timestamp(1_000_000));
    let space = Arc::new(TestSpace(AtomicU64::new(1000)));
    let database = disk_with(dir.path(), |settings| {
        settings.min_free_bytes = 1000;
        settings.free_space = space.clone();
        settings.clock = clock.clone();
    });
    assert!(database.has_room(Traffic::Intake).is_ok());
    space.0.store(0, Ordering::Relaxed);
    assert!(database.has_room(Traffic::Intake).is_ok(), "the answer is still fresh");
    clock.advance(Duration::from_millis(200));
    assert!(database.has_room(Traffic::Intake).is_err());
}

fn compact(keyspace: &fjall::Keyspace) {
    keyspace.rotate_memtable_and_wait().expect("written out");
    keyspace.major_compact().expect("compacted");
}

#[tokio::test]
async fn rows_that_have_expired_leave_with_a_compaction() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = ManualClock::starting_at(Timestamp(1000));
    let database = disk_with(dir.path(), |settings| settings.clock = clock.clone());
    let claims = database.keyspaces.claims.clone();
    let rows = move |rows: &mut Rows| {
        for at in [1500u64, 2500] {
            rows.insert(&claims, at.to_be_bytes(), [&at.to_be_bytes()[..], b"claim"].concat());
        }
    };
    database.write(Traffic::Outcomes, Urgency::Shared, 50, rows).await.expect("written");
    let left = || database.keyspaces.claims.iter().count();
    compact(&database.keyspaces.claims);
    assert_eq!(left(), 2);
    clock.advance(Duration::from_secs(1));
    compact(&database.keyspaces.claims);
    assert_eq!(left(), 1);
}

#[tokio::test]
async fn rows_that_are_too_old_leave_with_a_compaction_whatever_their_part_is() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let now = Timestamp(1_800_000_000_000);
    let clock = ManualClock::starting_at(now);
    let database = disk_with(dir.path(), |settings| settings.clock = clock.clone());
    let key = |part: &[u8], at: Timestamp| {
        let length = (part.len() as u32).to_be_bytes();
        [&[15][..], &length, part, &(u64::MAX - at.millis()).to_be_bytes(), b"rest"].concat()
    };
    let (old, young) = (now - DATED_KEPT, now);
    let parts: [&[u8]; 3] = [b"", b"a", &[0xff; 40]];
    let table = database.keyspaces.dated.clone();
    let rows: Vec<Vec<u8>> = parts.iter().flat_map(|part| [key(part, old), key(part, young)]).collect();
    let written = database.write(Traffic::Intake, Urgency::Shared, 100, move |batch| {
        rows.into_iter().for_each(|key| batch.insert(&table, key, b"body"));
    });
    written.await.expect("written");
    compact(&database.keyspaces.dated);
    let left = || database.keyspaces.dated.iter().count();
    assert_eq!(left(), 6);
    clock.advance(Duration::from_millis(1));
    compact(&database.keyspaces.dated);
    assert_eq!(left(), 3);
}

#[tokio::test]
async fn timers_below_the_floor_of_their_shard_leave_with_a_compaction() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let database = disk(dir.path());
    let shard = |partition| ShardId { generation: 0, lane: Priority::Low, partition };
    let timers = database.keyspaces.timers.clone();
    let rows = move |rows: &mut Rows| {
        for partition in 0..3 {
            for at in [10u64, 20, 30] {
                let key = [&shard(partition).to_u32().to_be_bytes()[..], &at.to_be_bytes(), b"rest"].concat();
                rows.insert(&timers, key, b"timer".to_vec());
            }
        }
    };
    database.write(Traffic::Outcomes, Urgency::Shared, 200, rows).await.expect("written");
    database.timer_floors.raise(shard(0), Timestamp(20));
    database.timer_floors.raise(shard(0), Timestamp(15));
    database.timer_floors.raise(shard(2), Timestamp(1000));
    compact(&database.keyspaces.timers);
    assert_eq!(database.keyspaces.timers.iter().count(), 2 + 3);
}

#[tokio::test]
async fn what_is_patient_goes_with_the_next_group_that_somebody_waits_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let database = disk(dir.path());
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let write = |urgency, name: &'static str| {
        let order = order.clone();
        let note = move |_: &mut Rows| order.lock().expect("not poisoned").push(name);
        database.write(Traffic::Outcomes, urgency, 10, note)
    };
    write(Urgency::Shared, "before").await.expect("written");
    let (patient, urgent) =
        futures_util::future::join(write(Urgency::Patient, "answers"), write(Urgency::Now, "plans")).await;
    patient.and(urgent).expect("written");
    assert_eq!(*order.lock().expect("not poisoned"), ["before", "answers", "plans"]);
    write(Urgency::Patient, "alone").await.expect("written though nobody else comes");
}
