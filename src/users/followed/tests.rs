use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use tokio::sync::mpsc;

use super::*;
use crate::clock::{Clock, ManualClock};
use crate::domain::{Position, ShardId, Timestamp};
use crate::log::{Follower, Log, Membership, NewRecord, Record};

/// A log that carries what is told to whoever follows, or does not.
#[derive(Default)]
struct Carrier {
    followers: Mutex<Vec<mpsc::Sender<Bytes>>>,
    refuses: AtomicBool,
    /// What is told is lost on the way.
    loses: AtomicBool,
}

#[async_trait]
impl Log for Carrier {
    async fn append(&self, _: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        Err(LogError::Busy)
    }

    async fn record(&self, _: Position) -> Result<Option<Record>, LogError> {
        Ok(None)
    }

    fn end(&self, _: ShardId) -> u64 {
        0
    }

    async fn join(&self) -> Result<Box<dyn Membership>, LogError> {
        Err(LogError::Busy)
    }

    fn writable(&self) -> Result<(), LogError> {
        Ok(())
    }

    async fn tell(&self, told: Vec<Told>) -> Result<(), LogError> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(LogError::Failed("no broker answers".to_owned()));
        }
        let followers = self.followers.lock().expect("not poisoned").clone();
        for (record, follower) in told.iter().flat_map(|record| followers.iter().map(move |one| (record, one))) {
            assert_eq!(record.outlet, Outlet::Changes);
            if !self.loses.load(Ordering::SeqCst) {
                // One whose process is gone hears nothing.
                let _ = follower.try_send(record.body.clone());
            }
        }
        Ok(())
    }

    async fn follow(&self, _: Outlet) -> Result<Box<dyn Follower>, LogError> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err(LogError::Failed("no broker answers".to_owned()));
        }
        let (sender, heard) = mpsc::channel(1024);
        self.followers.lock().expect("not poisoned").push(sender);
        Ok(Box::new(Heard(heard)))
    }
}

impl Carrier {
    /// Whoever follows hears nothing more, and knows it.
    fn cut(&self) {
        self.followers.lock().expect("not poisoned").clear();
    }
}

struct Heard(mpsc::Receiver<Bytes>);

#[async_trait]
impl Follower for Heard {
    async fn next(&mut self) -> Result<Bytes, LogError> {
        self.0.recv().await.ok_or_else(|| LogError::Failed("cut".to_owned()))
    }
}

#[derive(Default)]
struct Notes {
    heard: Mutex<Vec<ChangeKey>>,
    missed: Mutex<usize>,
}

impl Listener for Notes {
    fn changed(&self, keys: &[ChangeKey]) {
        self.heard.lock().expect("not poisoned").extend_from_slice(keys);
    }

    fn missed(&self) {
        *self.missed.lock().expect("not poisoned") += 1;
    }
}

impl Notes {
    fn take(&self) -> Vec<ChangeKey> {
        std::mem::take(&mut *self.heard.lock().expect("not poisoned"))
    }

    fn missed(&self) -> usize {
        *self.missed.lock().expect("not poisoned")
    }
}

struct World {
    log: Arc<Carrier>,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        Self { log: Arc::default(), clock: ManualClock::starting_at(Timestamp(1_800_000_000_000)) }
    }

    async fn process(&self, number: u64) -> (Arc<LogChanges>, Arc<Notes>) {
        let changes = LogChanges::start(self.log.clone(), self.clock.clone(), number);
        let notes = Arc::new(Notes::default());
        changes.listen(Arc::downgrade(&notes) as _);
        settle().await;
        // That it began: there was no copy before.
        *notes.missed.lock().expect("not poisoned") = 0;
        (changes, notes)
    }

    /// Lets time pass, as beats see it.
    async fn pass(&self, time: Duration) {
        let end = self.clock.moment() + time;
        while self.clock.moment() < end {
            self.clock.advance(BEAT);
            settle().await;
        }
    }
}

/// Lets the tasks of the processes come to rest: they wait for nothing but the clock and each other.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

const KEYS: [ChangeKey; 2] = [ChangeKey(7), ChangeKey(u128::MAX)];

#[tokio::test]
async fn what_one_process_announces_every_process_hears() {
    let world = World::new();
    let (one, own_notes) = world.process(1).await;
    let (_other, notes) = world.process(2).await;
    one.announce(&KEYS).await.expect("told");
    assert_eq!(own_notes.take()[..2], KEYS, "at once in the process itself");
    settle().await;
    assert_eq!(notes.take(), KEYS);
}

#[tokio::test]
async fn who_begins_to_follow_is_current_when_no_write_announced_before_can_be_under_way() {
    let world = World::new();
    let (changes, _notes) = world.process(1).await;
    world.pass(DISTRUST - BEAT).await;
    assert!(!changes.is_current());
    world.pass(BEAT).await;
    assert!(changes.is_current());
    world.pass(Duration::from_secs(60)).await;
    assert!(changes.is_current());
}

#[tokio::test]
async fn who_hears_nothing_of_itself_for_a_second_is_not_current() {
    let world = World::new();
    let (changes, notes) = world.process(1).await;
    world.pass(DISTRUST).await;
    assert!(changes.is_current());
    world.log.loses.store(true, Ordering::SeqCst);
    world.pass(STALE_MAX).await;
    assert!(!changes.is_current());
    world.log.loses.store(false, Ordering::SeqCst);
    world.pass(BEAT).await;
    assert!(changes.is_current(), "nothing was missed: what was late came in its order");
    assert_eq!(notes.missed(), 0);
}

#[tokio::test]
async fn who_was_cut_off_believes_no_copy_and_is_not_current_for_as_long_as_a_write_may_take() {
    let world = World::new();
    let (changes, notes) = world.process(1).await;
    world.pass(DISTRUST).await;
    world.log.refuses.store(true, Ordering::SeqCst);
    world.log.cut();
    settle().await;
    assert!(!changes.is_current());
    assert!(changes.announce(&KEYS).await.is_err(), "and nothing may be written");
    world.pass(Duration::from_secs(30)).await;
    world.log.refuses.store(false, Ordering::SeqCst);
    world.pass(AGAIN).await;
    assert_eq!(notes.missed(), 1);
    world.pass(DISTRUST - AGAIN - BEAT).await;
    assert!(!changes.is_current());
    world.pass(AGAIN + BEAT).await;
    assert!(changes.is_current());
}

#[tokio::test]
async fn an_announcement_of_a_newer_version_makes_everything_be_read_anew() {
    let world = World::new();
    let (changes, notes) = world.process(1).await;
    world.pass(DISTRUST).await;
    let newer =
        Told { outlet: Outlet::Changes, key: Bytes::new(), body: Bytes::from_static(&[2, 1]), headers: Vec::new() };
    world.log.tell(vec![newer]).await.expect("told");
    settle().await;
    assert_eq!((changes.is_current(), notes.missed()), (false, 1));
}

proptest! {
    #[test]
    fn an_announcement_read_back_is_the_one_told(process: u64, micros in 0u64..1 << 50, keys: Vec<u128>) {
        let keys: Vec<ChangeKey> = keys.into_iter().map(ChangeKey).collect();
        let told_at = Moment(Duration::from_micros(micros));
        let body = encode(process, told_at, &keys);
        prop_assert_eq!(decode(&body), Some(Announcement { process, told_at, keys }));
    }

    #[test]
    fn any_bytes_are_an_announcement_or_none(bytes: Vec<u8>) {
        let _ = decode(&bytes);
    }
}
