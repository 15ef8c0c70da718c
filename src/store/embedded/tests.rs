use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::clock::{Clock, ManualClock, SharedClock};
use crate::disk::testing::{self, TestSpace};
use crate::domain::{ClaimKey, EventKind, PlanClaim, Position, Source, Timestamp};
use crate::store::conformance::{StoreBackend, event, plan, plans, shard, store_conformance};
use crate::store::conformance_secrets::SecretBackend;
use crate::store::conformance_users::{UserBackend, user_conformance};
use crate::store::{
    BookColumn, ClaimRows, Cursors, Drops, History, SharedStore, TaskLog, TimerKey, TimerRow, Timers, UserSecrets,
    WriteBatch,
};

struct InDirectory {
    dir: tempfile::TempDir,
}

impl InDirectory {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }
}

#[async_trait]
impl StoreBackend for InDirectory {
    async fn open(&self) -> SharedStore {
        EmbeddedStore::open(testing::disk(self.dir.path())).expect("the store opens")
    }
}

#[async_trait]
impl UserBackend for InDirectory {
    async fn open(&self) -> SharedStore {
        StoreBackend::open(self).await
    }

    async fn open_at(&self, clock: SharedClock) -> SharedStore {
        let disk = testing::disk_with(self.dir.path(), |settings| settings.clock = clock);
        EmbeddedStore::open(disk).expect("the store opens")
    }
}

store_conformance!(InDirectory::new());

mod budgets {
    use super::*;
    use crate::store::conformance_budgets::budget_conformance;

    budget_conformance!(InDirectory::new());
}

#[tokio::test]
async fn blocks_that_are_written_are_marked_in_their_minute() {
    crate::store::conformance_marks::blocks_that_are_written_are_marked_in_their_minute(&InDirectory::new()).await;
}

mod templates {
    use super::*;
    use crate::store::conformance_templates::template_conformance;

    template_conformance!(InDirectory::new());
}

mod definitions {
    use super::*;
    use crate::store::conformance_definitions::definition_conformance;

    definition_conformance!(InDirectory::new());
}

mod keyed {
    use super::*;
    use crate::store::conformance_keyed::keyed_conformance;

    keyed_conformance!(InDirectory::new());
}

impl SecretBackend for InDirectory {
    async fn secrets(&self) -> Arc<dyn UserSecrets> {
        EmbeddedStore::open(testing::disk(self.dir.path())).expect("the store opens")
    }
}

mod secrets {
    use super::*;
    use crate::store::conformance_secrets::secret_conformance;

    secret_conformance!(InDirectory::new());

    #[tokio::test]
    async fn a_destroyed_secret_is_nowhere_in_the_directory() {
        let place = InDirectory::new();
        let secrets = place.secrets().await;
        let alice = crate::domain::UserKey { tenant: "acme".into(), user_id: "alice".into() };
        let made = secrets.create_user_secrets(std::slice::from_ref(&alice)).await.expect("made");
        assert!(holds(place.dir.path(), &made[0].bytes));
        secrets.destroy_user_secrets(&alice).await.expect("destroyed");
        assert!(!holds(place.dir.path(), &made[0].bytes));
    }

    fn user(name: &str) -> crate::domain::UserKey {
        crate::domain::UserKey { tenant: "acme".into(), user_id: name.into() }
    }

    fn open(place: &InDirectory) -> Result<Arc<EmbeddedStore>, StoreError> {
        EmbeddedStore::open(testing::disk(place.dir.path()))
    }

    #[tokio::test]
    async fn beside_another_file_of_secrets_or_an_older_one_the_database_does_not_open() {
        let (place, other) = (InDirectory::new(), InDirectory::new());
        let file = |of: &InDirectory| of.dir.path().join("secrets");
        let first = open(&place).expect("opened").create_user_secrets(&[user("alice")]).await.expect("made");
        open(&other).expect("opened").create_user_secrets(&[user("bob")]).await.expect("made");
        let whole = std::fs::read(file(&place)).expect("readable");
        let wrong = [Vec::new(), whole[..32].to_vec(), std::fs::read(file(&other)).expect("readable")];
        for bytes in &wrong {
            std::fs::write(file(&place), bytes).expect("written");
            assert!(matches!(open(&place), Err(StoreError::Unusable(_))));
        }
        std::fs::remove_file(file(&place)).expect("removed");
        assert!(matches!(open(&place), Err(StoreError::Unusable(_))));
        std::fs::write(file(&place), &whole).expect("written");
        let store = open(&place).expect("it is the right one again");
        assert_eq!(store.user_secrets(&[user("alice")]).await.expect("read")[0].there, first);
    }

    #[tokio::test]
    async fn what_is_lost_for_good_counts_as_destroyed_and_its_slots_are_nobody_elses() {
        let (place, other) = (InDirectory::new(), InDirectory::new());
        let alices = open(&place).expect("opened").create_user_secrets(&[user("alice")]).await.expect("made");
        open(&other).expect("opened").create_user_secrets(&[user("bob")]).await.expect("made");
        std::fs::copy(other.dir.path().join("secrets"), place.dir.path().join("secrets")).expect("copied");
        std::fs::write(place.dir.path().join("secrets.lost"), "").expect("written");
        // More than once: until a slot is given out the database knows nothing of the new file.
        drop(open(&place).expect("opened without"));
        let store = open(&place).expect("opened without");
        let held = store.user_secrets(&[user("alice")]).await.expect("read").remove(0);
        assert_eq!((held.there.len(), held.destroyed), (0, vec![alices[0].id]));
        let new = store.create_user_secrets(&[user("carol")]).await.expect("made");
        assert!(new[0].id > alices[0].id);
        drop(store);
        std::fs::remove_file(place.dir.path().join("secrets.lost")).expect("removed");
        let store = open(&place).expect("the new file is the database's");
        assert_eq!(store.user_secrets(&[user("carol")]).await.expect("read")[0].there, new);
    }

    /// Whether some file of a directory has these bytes.
    fn holds(dir: &Path, bytes: &[u8]) -> bool {
        std::fs::read_dir(dir).expect("readable").any(|entry| {
            let path = entry.expect("readable").path();
            match path.is_dir() {
                true => holds(&path, bytes),
                false => std::fs::read(&path).expect("readable").windows(bytes.len()).any(|window| window == bytes),
            }
        })
    }
}

mod received {
    use super::*;
    use crate::store::conformance_received::received_conformance;

    received_conformance!(InDirectory::new());
}

mod users {
    use super::*;

    user_conformance!(InDirectory::new());
}

/// The offset after the last plan, where plans have no gap of a block.
async fn planned_end(store: &EmbeddedStore, shard: crate::domain::ShardId) -> u64 {
    let mut end = 0;
    for block in 0.. {
        let stories = store.block(shard, block).await.expect("read");
        let Some(last) = stories.last() else { break };
        end = last.plan.position.offset + 1;
    }
    end
}

#[tokio::test]
async fn a_full_disk_refuses_a_write_which_then_succeeds_and_counts_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = ManualClock::starting_at(Timestamp(1_000_000));
    let space = Arc::new(TestSpace(AtomicU64::new(0)));
    let disk = testing::disk_with(dir.path(), |settings| {
        settings.min_free_bytes = 100;
        settings.free_space = space.clone();
        settings.clock = clock.clone();
    });
    let store = EmbeddedStore::open(disk).expect("the store opens");
    let mut batch = plans(shard(0), 0..3);
    batch.books.add(Source::Http, BookColumn::In, 3);
    let refused = store.write(shard(0), batch.clone()).await;
    assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
    assert_eq!(planned_end(&store, shard(0)).await, 0);
    space.0.store(100, Ordering::Relaxed);
    clock.advance(Duration::from_secs(1));
    store.write(shard(0), batch).await.expect("there is room again");
    assert_eq!(store.books(shard(0)).await.expect("read").get(Source::Http, BookColumn::In), 3);
}

#[tokio::test]
async fn tables_that_were_written_out_and_compacted_are_read_as_before() {
    let backend = InDirectory::new();
    let disk = testing::disk(backend.dir.path());
    let store = EmbeddedStore::open(disk.clone()).expect("the store opens");
    for start in (0..2000).step_by(100) {
        let mut batch = plans(shard(0), start..start + 100);
        for plan in &mut batch.plans {
            let offset = plan.position.offset;
            let claim = PlanClaim { key: ClaimKey(u128::from(offset)), expires_at: Timestamp(u64::MAX), body_hash: 0 };
            Arc::make_mut(plan).claims = vec![claim];
        }
        batch.events = batch.plans.iter().map(|plan| event(plan.position, 0, 1, EventKind::Sent)).collect();
        store.write(shard(0), batch).await.expect("written");
        if start % 500 == 0 {
            store.index.build_all();
            for table in
                [&disk.keyspaces.plans, &disk.keyspaces.events, &disk.keyspaces.claims, &disk.keyspaces.history]
            {
                table.rotate_memtable_and_wait().expect("written out");
                table.major_compact().expect("compacted");
            }
        }
    }
    let stories = store.block(shard(0), 1).await.expect("read");
    assert_eq!(stories.len(), 2000 - 1024);
    assert!(stories.iter().all(|story| story.events.len() == 1));
    let claims = store.claims(&(0..2001).map(ClaimKey).collect::<Vec<_>>()).await.expect("read");
    assert!(
        claims[..2000].iter().enumerate().all(|(offset, row)| row.is_some_and(|row| row.owner.offset == offset as u64))
    );
    assert!(claims[2000].is_none());
    let history = crate::store::History::history(&*store, "acme", "alice", None, 5000).await.expect("read");
    assert_eq!(history.len(), 2000);
}

#[tokio::test]
async fn claims_and_history_are_found_before_and_after_they_are_built_and_after_opening_again() {
    let backend = InDirectory::new();
    for round in 0..4u64 {
        let store = EmbeddedStore::open(testing::disk(backend.dir.path())).expect("the store opens");
        for half in 0..2 {
            let mut batch = plans(shard(0), [round * 2 + half]);
            // The same claim each time: the last one holds it.
            let expires_at = Timestamp(u64::MAX);
            Arc::make_mut(&mut batch.plans[0]).claims = vec![PlanClaim { key: ClaimKey(1), expires_at, body_hash: 0 }];
            store.write(shard(0), batch).await.expect("written");
            let claim = store.claims(&[ClaimKey(1)]).await.expect("read").pop().flatten().expect("it is there");
            assert_eq!(claim.owner.offset, round * 2 + half);
            let history = crate::store::History::history(&*store, "acme", "alice", None, 100).await.expect("read");
            assert_eq!(history.len() as u64, round * 2 + half + 1);
            // Some rounds end with nothing built, some with a half, some with all of it.
            if (round + half) % 3 == 0 {
                store.index.build_all();
            }
        }
    }
}

#[tokio::test]
async fn timers_below_the_cursor_are_dropped_and_those_above_are_kept() {
    let backend = InDirectory::new();
    let disk = testing::disk(backend.dir.path());
    let store = EmbeddedStore::open(disk.clone()).expect("the store opens");
    let bucket = crate::store::TIMER_BUCKET.as_millis() as u64;
    let timer = |due: u64| TimerRow {
        key: TimerKey { due: Timestamp(due), offset: 1, ordinal: 0, attempt: 1 },
        channel: crate::domain::Channel::Email,
        endpoint: 0,
    };
    let timers = vec![timer(1), timer(bucket * 3 - 1), timer(bucket * 3), timer(bucket * 3 + 1)];
    store.write(shard(0), WriteBatch { timers, ..WriteBatch::default() }).await.expect("written");
    let cursors = Some(Cursors { task_block: 0, timer_bucket: 3 });
    store.write(shard(0), WriteBatch { cursors, ..WriteBatch::default() }).await.expect("written");
    disk.keyspaces.timers.rotate_memtable_and_wait().expect("written out");
    disk.keyspaces.timers.major_compact().expect("compacted");
    let left = store.timers(shard(0), TimerKey::default(), Timestamp(u64::MAX), 10).await.expect("read");
    assert_eq!(left, [timer(bucket * 3), timer(bucket * 3 + 1)]);
}

/// The directory that [`child_writes_until_it_is_killed`] works in.
const CHILD_DIR: &str = "FANFARE_TEST_STORE_DIR";

/// The other half of [`a_batch_that_was_acknowledged_survives_a_kill_whole`]; alone it does nothing.
#[test]
fn child_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let store = EmbeddedStore::open(testing::disk(Path::new(&dir))).expect("the store opens");
        let writers = (0..4).map(|partition| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut next = planned_end(&store, shard(partition)).await;
                // It ends with its parent at the latest: then nobody reads what it prints.
                loop {
                    let mut batch = plans(shard(partition), next..next + 1 + next % 40);
                    batch.events = batch.plans.iter().map(|plan| event(plan.position, 0, 1, EventKind::Sent)).collect();
                    batch.books.add(Source::Http, BookColumn::In, batch.plans.len() as i64);
                    next += batch.plans.len() as u64;
                    store.write(shard(partition), batch).await.expect("written");
                    println!("acknowledged {partition} {next}");
                }
            })
        });
        futures_util::future::join_all(writers.collect::<Vec<_>>()).await;
    });
}

#[test]
fn a_batch_that_was_acknowledged_survives_a_kill_whole() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut acknowledged = [0u64; 4];
    for round in 0..10 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "store::embedded::tests::child_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let parse = |line: &str| {
            let (partition, next) = line.strip_prefix("acknowledged ")?.split_once(' ')?;
            Some((partition.parse::<usize>().ok()?, next.parse::<u64>().ok()?))
        };
        let mut answers = 0;
        // Another moment in each round.
        while answers < 20 + 7 * round {
            let line = lines.next().expect("it runs until it is killed").expect("text");
            if let Some((partition, next)) = parse(&line) {
                acknowledged[partition] = acknowledged[partition].max(next);
                answers += 1;
            }
        }
        child.kill().expect("it is killed");
        child.wait().expect("it is gone");
        runtime.block_on(check_acknowledged(dir.path(), acknowledged));
    }
}

async fn check_acknowledged(dir: &Path, acknowledged: [u64; 4]) {
    let store = EmbeddedStore::open(testing::disk(dir)).expect("the store opens");
    let mut total = 0;
    for (partition, acknowledged) in acknowledged.into_iter().enumerate() {
        let shard = shard(partition as u16);
        let end = planned_end(&store, shard).await;
        assert!(end >= acknowledged, "{acknowledged} were acknowledged and {end} are there");
        let positions: Vec<Position> = (0..end).map(|offset| Position::new(shard, offset)).collect();
        let stories = store.stories(&positions).await.expect("read");
        for (position, story) in positions.iter().zip(stories) {
            let story = story.expect("what lies below the end is there");
            assert_eq!((&story.plan, story.events.len()), (&plan(*position), 1), "a batch is there whole");
        }
        let books = store.books(shard).await.expect("read");
        assert_eq!(books.get(Source::Http, BookColumn::In), end as i64, "and counted once");
        total += end as usize;
    }
    let history = crate::store::History::history(&*store, "acme", "alice", None, usize::MAX).await.expect("read");
    assert_eq!(history.len(), total, "and found in the history of its user");
    if total.is_multiple_of(2) {
        store.index.build_all();
    }
}

#[tokio::test]
async fn brakes_are_kept_by_scope_and_effect() {
    crate::store::conformance_brakes::brakes_are_kept_by_scope_and_effect(&InDirectory::new()).await;
}

#[tokio::test]
async fn all_users_are_walked_through_a_page_at_a_time() {
    use crate::domain::{UserEntry, UserKey};
    use crate::store::UserChange;

    let backend = InDirectory::new();
    let store = StoreBackend::open(&backend).await;
    let keys = [("a", "zoe"), ("acme", "al"), ("acme", "al\u{0}"), ("acme", "alice"), ("acme", "bo"), ("b", "al")]
        .map(|(tenant, user_id)| UserKey { tenant: tenant.into(), user_id: user_id.into() });
    let entries = |number: usize| {
        let names = (0..=number).map(move |name| format!("a{name}\u{ff}"));
        names.map(|name| UserEntry::Attribute { name: name.into(), value: Some("1".into()) }).collect()
    };
    let changes =
        keys.iter().enumerate().map(|(number, key)| UserChange { key: key.clone(), entries: entries(number) });
    store.write_users(changes.collect()).await.expect("written");
    for limit in [1, 2, 3, 10] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = store.all_users(after, limit).await.expect("read").expect("it can walk");
            found.extend(page.iter().cloned());
            if page.len() < limit {
                break;
            }
            after = page.into_iter().next_back();
        }
        found.sort_unstable();
        assert_eq!(found, keys, "{limit}");
    }
}

#[tokio::test]
async fn what_is_dropped_leaves_histories_whether_it_was_indexed_or_not() {
    let backend = InDirectory::new();
    for is_built in [true, false] {
        let store = EmbeddedStore::open(testing::disk(backend.dir.path())).expect("the store opens");
        let start = if is_built { 0 } else { 100 };
        store.write(shard(0), plans(shard(0), start..start + 4)).await.expect("written");
        if is_built {
            store.index.build_all();
        }
        let dropped = store.drop_offsets(shard(0), 0, &[start, start + 1]).await.expect("dropped");
        assert_eq!(dropped, 2);
        // What comes later is built over the marks of what went.
        store.write(shard(0), plans(shard(0), start + 4..start + 6)).await.expect("written");
        store.index.build_all();
        drop(store);
        let store = EmbeddedStore::open(testing::disk(backend.dir.path())).expect("the store opens");
        let history = store.history("acme", "alice", None, 4).await.expect("read");
        let offsets: Vec<u64> = history.iter().map(|entry| entry.notification.0.offset).collect();
        assert_eq!(offsets, [start + 5, start + 4, start + 3, start + 2], "built: {is_built}");
    }
}

#[tokio::test]
async fn dead_letters_leave_their_list_after_thirty_days() {
    let backend = InDirectory::new();
    let clock = ManualClock::starting_at(Timestamp(1_800_000_000_000));
    let store = UserBackend::open_at(&backend, clock.clone()).await;
    let task = crate::domain::TaskId { position: Position::new(shard(0), 1), ordinal: 0 };
    let key = crate::store::DeadLetterKey { tenant: "acme".into(), at: clock.now(), task };
    let cause = crate::store::DeadLetterCause::Task { channel: crate::domain::Channel::Email, attempt: 4 };
    let letter = crate::store::DeadLetter { key, reason: "no such mailbox".into(), cause };
    let batch = WriteBatch { dead_letters: vec![letter], ..WriteBatch::default() };
    store.write(shard(0), batch).await.expect("written");
    let count = async || store.dead_letters("acme", None, 10).await.expect("read").len();
    clock.advance(Duration::from_secs(30 * 86_400));
    assert_eq!(count().await, 1);
    clock.advance(Duration::from_secs(1));
    assert_eq!(count().await, 0);
}
