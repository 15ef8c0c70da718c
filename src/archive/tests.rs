//! The walker over a store in memory, with places that fail, and processes that end in the middle.

mod bucket;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::domain::{ArchiveCounts, ArchiveId, ArchiveOrder, ArchiveState, EventKind, Plan, Position, Timestamp};
use crate::homes::{HOMES, Tenure, Turns, Work};
use crate::intake::fakes::{FakeLog, FakeStore};
use crate::ownership::Standing;
use crate::store::conformance::{NOON, event, plan, shard};
use crate::store::{Cursors, TaskLog, timer_bucket};

const DAY: Duration = Duration::from_secs(86_400);

/// Keeps files in memory, and fails as it is told.
#[derive(Default)]
struct Shelf {
    files: Mutex<BTreeMap<String, Bytes>>,
    puts: AtomicUsize,
    refuses: AtomicBool,
    /// What is read back is half of it.
    tears: AtomicBool,
    /// What is read back is the file before.
    is_stale: AtomicBool,
}

#[async_trait]
impl ArchivePlace for Shelf {
    async fn put(&self, name: &str, body: Bytes) -> Result<(), PlaceError> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        if self.refuses.load(Ordering::SeqCst) {
            return Err(PlaceError::Write { name: name.to_owned(), reason: "the disk is full".to_owned() });
        }
        self.files.lock().expect("whole").insert(name.to_owned(), body);
        Ok(())
    }

    async fn get(&self, name: &str, _: usize) -> Result<Bytes, PlaceError> {
        let body = self.files.lock().expect("whole")[name].clone();
        if self.is_stale.load(Ordering::SeqCst) {
            return Ok(zstd::stream::encode_all(&b"{}\n"[..], 1).expect("packed").into());
        }
        Ok(if self.tears.load(Ordering::SeqCst) { body.slice(..body.len() / 2) } else { body })
    }
}

/// Campaign 1 is open.
struct FirstIsOpen;

#[async_trait]
impl Needs for FirstIsOpen {
    async fn is_open(&self, _: &str, campaign: CampaignId) -> Result<bool, StoreError> {
        Ok(campaign == CampaignId(1))
    }
}

/// Keeps how many of them are still there.
#[derive(Default)]
struct Kept {
    store: Arc<FakeStore>,
    held: AtomicUsize,
}

#[async_trait]
impl Keeps for Kept {
    async fn keep(&self, shard: ShardId, block: u64, offsets: &[u64]) -> Result<(), StoreError> {
        let held = self.store.block(shard, block).await?;
        let held = held.iter().filter(|story| offsets.contains(&story.plan.position.offset)).count();
        self.held.fetch_add(held, Ordering::SeqCst);
        Ok(())
    }
}

struct Offsets;

impl Lines for Offsets {
    fn line(&self, story: &Story, _: Option<&[GroupEntry]>) -> Vec<u8> {
        let plan = &story.plan;
        json!({"tenant": plan.tenant, "offset": plan.position.offset, "events": story.events.len()}).to_string().into()
    }
}

struct Bench {
    clock: Arc<ManualClock>,
    store: Arc<FakeStore>,
    shelf: Arc<Shelf>,
    archive: Arc<Archive>,
    kept: Arc<Kept>,
    turns: Vec<Box<dyn Turns>>,
}

impl Bench {
    async fn new() -> Self {
        Self::with(true, None).await
    }

    async fn with(has_place: bool, retention: Option<Duration>) -> Self {
        let clock = ManualClock::starting_at(NOON);
        let (store, shelf) = (Arc::new(FakeStore::default()), Arc::new(Shelf::default()));
        let kept = Arc::new(Kept { store: store.clone(), held: AtomicUsize::new(0) });
        let archive = Archive::new(ArchiveParts {
            store: store.clone(),
            log: FakeLog::open(),
            place: has_place.then(|| shelf.clone() as SharedPlace),
            lines: Arc::new(Offsets),
            needs: Arc::new(FirstIsOpen),
            keeps: kept.clone(),
            shards: Vec::new(),
            retention,
            clock: clock.clone(),
        });
        let mut bench = Self { clock, store, shelf, archive, kept, turns: Vec::new() };
        bench.restart().await;
        bench
    }

    /// Another owner has the homes: what memory had is lost.
    async fn restart(&mut self) {
        let work = ArchiveWork::new(self.archive.clone());
        self.turns.clear();
        for home in 0..HOMES {
            let standing = Arc::new(Standing::for_ever());
            let tenure = Tenure::new(home, CancellationToken::new(), standing, self.clock.clone());
            self.turns.push(work.begin(tenure).await.expect("nothing is read yet"));
        }
    }

    fn change(&self, offset: u64, kind: Option<EventKind>, change: impl FnOnce(&mut Plan)) {
        let position = Position::new(shard(0), offset);
        let mut plan = plan(position);
        plan.accepted_at = NOON;
        change(&mut plan);
        let events = kind.map(|kind| event(position, 0, 1, kind));
        self.store.tell(plan, events.into_iter().collect());
    }

    fn sent(&self, offset: u64, tenant: &str) {
        self.change(offset, Some(EventKind::Sent), |plan| plan.tenant = tenant.into());
    }

    fn open(&self, offset: u64) {
        self.change(offset, None, |_| {});
    }

    /// Lets days pass, with everything in blocks below `block` behind the cursors.
    fn pass(&self, days: u32, block: u64) {
        self.clock.advance(DAY * days);
        let cursors = Cursors { task_block: block, timer_bucket: timer_bucket(self.clock.now()) };
        *self.store.cursors.lock().expect("whole") = cursors;
    }

    /// Orders what is older than this many days, and lets it be carried out.
    async fn archive(&mut self, tenant: &str, days: u32) -> ArchiveOrder {
        let id = self.order(tenant, days).await;
        self.until_over(id).await
    }

    async fn order(&mut self, tenant: &str, days: u32) -> (Timestamp, ArchiveId) {
        // Two of one moment would be one.
        self.clock.advance(Duration::from_millis(1));
        let now = self.clock.now();
        let order = ArchiveOrder {
            id: ArchiveId(u128::from(now.millis())),
            tenant: Some(tenant.into()),
            made_at: now,
            before: now - DAY * days,
            state: ArchiveState::Waiting,
            counts: ArchiveCounts::default(),
            ended_at: None,
            error: None,
        };
        self.archive.order(&order).await.expect("written");
        (now, order.id)
    }

    async fn until_over(&mut self, id: (Timestamp, ArchiveId)) -> ArchiveOrder {
        for _ in 0..1000 {
            self.turn().await.expect("nothing fails");
            let order = self.found(id).await;
            if order.state.is_over() {
                return order;
            }
        }
        panic!("it is never over: {:?}", self.found(id).await);
    }

    async fn found(&self, id: (Timestamp, ArchiveId)) -> ArchiveOrder {
        self.archive.get(&[id]).await.expect("read").pop().flatten().expect("it is there")
    }

    async fn turn(&mut self) -> Result<(), StoreError> {
        for turns in &mut self.turns {
            turns.turn().await?;
        }
        Ok(())
    }

    /// Turns until one fails, and what then stands in the order.
    async fn until_it_fails(&mut self, id: (Timestamp, ArchiveId)) -> String {
        for _ in 0..1000 {
            if let Err(error) = self.turn().await {
                assert_eq!(self.found(id).await.error.as_deref(), Some(&*error.to_string()));
                return error.to_string();
            }
        }
        panic!("nothing fails");
    }

    /// The offsets that the store still has.
    async fn held(&self) -> Vec<u64> {
        let mut held = Vec::new();
        for block in 0..3 {
            let stories = self.store.block(shard(0), block).await.expect("read");
            held.extend(stories.iter().map(|story| story.plan.position.offset));
        }
        held
    }

    /// What stands in the files, by their names.
    fn files(&self) -> BTreeMap<String, Vec<u64>> {
        let files = self.shelf.files.lock().expect("whole");
        let read = |body: &Bytes| {
            let mut text = String::new();
            let mut decoder = zstd::stream::Decoder::new(&body[..]).expect("a file");
            decoder.read_to_string(&mut text).expect("whole");
            let offset =
                |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["offset"].as_u64().expect("a number");
            text.lines().map(offset).collect()
        };
        files.iter().map(|(name, body)| (name.clone(), read(body))).collect()
    }
}

const FILE: &str = "acme/2027/01/15/normal-0";

fn counts(order: &ArchiveOrder) -> (u64, u64, u64, u64) {
    let ArchiveCounts { written, dropped, files, left_open, .. } = order.counts;
    (written, dropped, files, left_open)
}

#[tokio::test]
async fn what_is_over_and_old_is_written_and_dropped_and_the_rest_stays() {
    let mut bench = Bench::new().await;
    (0..3).for_each(|offset| bench.sent(offset, "acme"));
    bench.sent(3, "other");
    bench.open(4);
    bench.sent(1030, "acme");
    bench.pass(5, 2);
    bench.change(1031, Some(EventKind::Sent), |plan| plan.accepted_at = bench.clock.now());
    let order = bench.archive("acme", 3).await;
    assert_eq!((order.state, counts(&order)), (ArchiveState::Done, (4, 4, 1, 1)));
    assert_eq!(bench.kept.held.load(Ordering::SeqCst), 4, "they were there when they were counted for good");
    assert_eq!(bench.held().await, [3, 4, 1031]);
    assert_eq!(bench.files(), BTreeMap::from([(format!("{FILE}-0-1030.ndjson.zst"), vec![0, 1, 2, 1030])]));

    // The one that was open is looked at again, though the walk has passed its block.
    bench.sent(4, "acme");
    bench.pass(2, 2);
    let order = bench.archive("acme", 3).await;
    assert_eq!(counts(&order), (1, 1, 1, 0));
    assert_eq!(bench.held().await, [3, 1031]);
    assert_eq!(counts(&bench.archive("acme", 3).await), (0, 0, 0, 0), "nothing is left to do");
    assert_eq!(counts(&bench.archive("other", 3).await), (1, 1, 1, 0));
    assert!(bench.files().contains_key("other/2027/01/15/normal-0-3-3.ndjson.zst"));
}

#[tokio::test]
async fn what_may_still_be_read_again_or_was_not_over_for_a_day_is_left() {
    let mut bench = Bench::new().await;
    bench.sent(0, "acme");
    bench.sent(1030, "acme");
    // Sent a moment ago, after a long wait.
    bench.pass(5, 1);
    let now = bench.clock.now();
    let mut late = event(Position::new(shard(0), 1), 0, 1, EventKind::Sent);
    late.at = now;
    let mut planned = plan(Position::new(shard(0), 1));
    planned.accepted_at = NOON;
    bench.store.tell(planned, vec![late]);
    assert_eq!(counts(&bench.archive("acme", 2).await), (1, 1, 1, 2));
    assert_eq!(bench.held().await, [1, 1030], "a block that the cursor has not passed is read again after a crash");
    // Nobody had the shard since: what it wrote last may not be counted yet.
    bench.clock.advance(DAY * 3);
    bench.store.cursors.lock().expect("whole").task_block = 2;
    assert_eq!(counts(&bench.archive("acme", 2).await), (1, 1, 1, 1));
    assert_eq!(bench.held().await, [1]);
    bench.pass(0, 2);
    assert_eq!(counts(&bench.archive("acme", 2).await), (1, 1, 1, 0));
}

#[tokio::test]
async fn messages_of_a_campaign_stay_until_it_is_over() {
    let mut bench = Bench::new().await;
    bench.change(0, Some(EventKind::Sent), |plan| plan.campaign = Some(CampaignId(1)));
    bench.change(1, Some(EventKind::Sent), |plan| plan.campaign = Some(CampaignId(2)));
    bench.pass(5, 1);
    assert_eq!(counts(&bench.archive("acme", 2).await), (1, 1, 1, 1));
    assert_eq!(bench.held().await, [0]);
}

#[tokio::test]
async fn nothing_is_dropped_while_its_file_cannot_be_written_or_read_back() {
    let mut bench = Bench::new().await;
    (0..3).for_each(|offset| bench.sent(offset, "acme"));
    bench.pass(5, 1);
    let id = bench.order("acme", 3).await;
    let Shelf { refuses, tears, is_stale, .. } = &*bench.shelf.clone();
    for (fault, expected) in
        [(refuses, "the disk is full"), (tears, "cannot be unpacked"), (is_stale, "1 lines in place of 3")]
    {
        fault.store(true, Ordering::SeqCst);
        let reason = bench.until_it_fails(id).await;
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(bench.held().await, [0, 1, 2]);
        // As whoever supervises the work does after an error.
        bench.restart().await;
        fault.store(false, Ordering::SeqCst);
    }
    let order = bench.until_over(id).await;
    assert_eq!((counts(&order), order.error), ((3, 3, 1, 0), None));
    assert!(bench.held().await.is_empty());
    assert_eq!(bench.files().len(), 1, "always under the same name");
}

#[tokio::test]
async fn a_crash_after_the_writing_writes_the_same_file_again_whatever_ended_meanwhile() {
    let mut bench = Bench::new().await;
    [0, 1, 3].into_iter().for_each(|offset| bench.sent(offset, "acme"));
    bench.open(2);
    bench.open(9);
    bench.pass(5, 1);
    let id = bench.order("acme", 3).await;
    bench.shelf.tears.store(true, Ordering::SeqCst);
    bench.until_it_fails(id).await;
    let before = bench.files();
    bench.shelf.tears.store(false, Ordering::SeqCst);
    bench.sent(2, "acme");
    bench.sent(9, "acme");
    bench.restart().await;
    let order = bench.until_over(id).await;
    assert_eq!((order.counts.written, order.counts.dropped), (5, 5));
    let after = bench.files();
    assert!(before.iter().all(|(name, offsets)| after[name] == *offsets), "{before:?} {after:?}");
    let mut all: Vec<u64> = after.into_values().flatten().collect();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 9], "each stands in one file");
}

#[tokio::test]
async fn a_crash_after_the_check_drops_and_writes_nothing_again() {
    let mut bench = Bench::new().await;
    (0..3).for_each(|offset| bench.sent(offset, "acme"));
    bench.pass(5, 1);
    let id = bench.order("acme", 3).await;
    bench.store.keeps_all.store(true, Ordering::SeqCst);
    bench.until_it_fails(id).await;
    assert_eq!((bench.held().await.len(), bench.shelf.puts.load(Ordering::SeqCst)), (3, 1));
    bench.store.keeps_all.store(false, Ordering::SeqCst);
    bench.restart().await;
    let order = bench.until_over(id).await;
    assert_eq!(counts(&order), (3, 3, 1, 0));
    assert_eq!((bench.held().await.len(), bench.shelf.puts.load(Ordering::SeqCst)), (0, 1));
}

#[tokio::test]
async fn the_retention_takes_those_of_all_tenants_once_a_day_with_a_place_or_without() {
    for has_place in [true, false] {
        let mut bench = Bench::with(has_place, Some(DAY * 30)).await;
        bench.sent(0, "acme");
        bench.sent(1, "other");
        bench.open(2);
        bench.pass(29, 1);
        for _ in 0..20 {
            bench.turn().await.expect("nothing fails");
        }
        assert_eq!(bench.held().await, [0, 1, 2]);
        bench.pass(2, 1);
        for _ in 0..20 {
            bench.turn().await.expect("nothing fails");
        }
        assert_eq!(bench.held().await, [2]);
        assert_eq!(bench.files().len(), if has_place { 2 } else { 0 });
    }
}

#[tokio::test]
async fn an_order_of_a_schedule_fails_in_words_when_the_place_was_taken_away() {
    let mut bench = Bench::with(false, None).await;
    bench.sent(0, "acme");
    bench.pass(5, 1);
    let order = bench.archive("acme", 3).await;
    assert_eq!(order.state, ArchiveState::Failed);
    assert!(order.error.is_some_and(|error| error.contains("archive.to")));
    assert_eq!(bench.held().await, [0]);
}

#[tokio::test]
async fn many_records_become_several_files_and_memory_holds_one_piece() {
    let mut bench = Bench::new().await;
    (0..30_000).for_each(|offset| bench.sent(offset, "acme"));
    bench.pass(5, 40);
    let order = bench.archive("acme", 3).await;
    assert_eq!(counts(&order), (30_000, 30_000, 2, 0));
    let files = bench.files();
    assert!(files.values().all(|offsets| offsets.len() <= 20_000), "{:?}", files.keys());
    assert_eq!(files.values().map(Vec::len).sum::<usize>(), 30_000);
}

#[tokio::test]
async fn a_folder_keeps_what_is_put_and_reads_no_more_than_it_is_asked_for() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let place = FolderPlace::new(dir.path().join("deep/archive"));
    let name = "acme/2026/11/02/normal-0-1-2.ndjson.zst";
    for body in ["first", "second"] {
        place.put(name, Bytes::from(body)).await.expect("written");
        assert_eq!(place.get(name, 10).await.expect("read"), body);
    }
    assert!(place.get(name, 5).await.expect_err("too long").to_string().contains("longer than 5 bytes"));
    let found = std::fs::read_dir(dir.path().join("deep/archive/acme/2026/11/02")).expect("a folder").count();
    assert_eq!(found, 1, "nothing is left of the writing");
    assert!(place.get("acme/none", 5).await.is_err());
    let blocked = FolderPlace::new(dir.path().join("deep/archive").join(name));
    assert!(blocked.put("acme/x", Bytes::from("y")).await.is_err());
}

#[test]
fn places_that_cannot_be_are_refused_in_words() {
    let settings = crate::config::defaults().archive;
    let with_keys = crate::config::Archive {
        access_key_id: Some("id".to_owned()),
        secret_access_key: Some(crate::config::Secret::new("secret")),
        ..settings.clone()
    };
    let place = |settings: &crate::config::Archive, to: &str| {
        let settings = crate::config::Archive { to: Some(to.to_owned()), ..settings.clone() };
        place_of(&settings, ManualClock::starting_at(NOON)).map(|place| place.is_some())
    };
    for (to, expected) in [
        ("/var/lib/fanfare", "write \"folder:"),
        ("folder:", "write \"folder:"),
        ("s3://", "write \"folder:"),
        ("s3://records/a b", "write \"folder:"),
        ("s3://records", "archive.access_key_id"),
    ] {
        let reason = place(&settings, to).expect_err("it cannot be");
        assert!(reason.contains(expected), "{reason}");
    }
    assert_eq!(place(&with_keys, "s3://records/fanfare"), Ok(true));
    let elsewhere = crate::config::Archive { endpoint: Some("minio:9000".to_owned()), ..with_keys };
    assert!(place(&elsewhere, "s3://records").expect_err("no address").contains("archive.endpoint"));
}
