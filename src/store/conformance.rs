//! What every backend of this port must do; run against each of them by [`store_conformance`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    BookColumn, Books, ClaimRow, Cursors, DeadLetter, DeadLetterCause, DeadLetterKey, GroupEntry, GroupRow,
    HistoryEntry, SharedStore, TimerKey, TimerRow, WriteBatch,
};
use crate::domain::{
    Address, Channel, ClaimKey, Content, Decision, Disposition, Event, EventKind, Gathered, Joined, NotificationId,
    Plan, PlanClaim, Position, Priority, Routing, ShardId, Source, Step, Story, TaskId, TaskSpec, Timestamp, Told,
    Verdict, WHOLE,
};

/// A place where a store is kept; each test has its own.
#[async_trait]
pub(crate) trait StoreBackend: Send + Sync {
    /// Opens the store over what is there, with a clock an hour past [`NOON`] if it has one. The one before must have been dropped.
    async fn open(&self) -> SharedStore;
}

/// Makes a test of each promise; `$backend` is an expression that makes a fresh [`StoreBackend`].
macro_rules! store_conformance {
    ($backend:expr) => {
        $crate::store::conformance::store_conformance! { $backend =>
            stories_come_in_the_order_asked_for
            a_story_has_its_events_in_the_order_of_their_keys
            a_batch_written_twice_is_there_once
            two_writes_about_the_same_offsets_keep_all_plans
            a_block_is_read_in_order_and_alone
            events_may_come_before_their_plan
            timers_come_in_order_and_in_pages
            claims_come_in_the_order_asked_for_and_the_later_holder_counts
            what_stands_under_leaders_comes_in_order_and_of_each_alone
            one_that_left_its_group_says_so
            history_is_newest_first_and_in_pages
            dead_letters_are_newest_first_and_leave_when_revived
            books_are_exact
            cursors_never_go_back
            what_is_dropped_is_gone_and_its_neighbours_stay
            all_of_it_is_there_after_opening_again
        }
    };
    ($backend:expr => $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            $crate::store::conformance::$name(&$backend).await;
        })*
    };
}
pub(crate) use store_conformance;

/// Later than any timer: 400 days after [`NOON`].
const FOREVER: Timestamp = Timestamp(NOON.0 + 400 * 86_400_000);
pub(crate) const NOON: Timestamp = Timestamp(1_800_000_000_000);

/// Rows expire in some backends, so all times are around those of their clock.
fn after_noon(millis: u64) -> Timestamp {
    NOON + Duration::from_millis(millis)
}

pub(crate) fn shard(partition: u16) -> ShardId {
    ShardId { generation: 0, lane: Priority::Normal, partition }
}

fn at(offset: u64) -> Position {
    Position::new(shard(0), offset)
}

/// A plan that tells its position in its data.
pub(crate) fn plan(position: Position) -> Plan {
    Plan {
        position,
        tenant: "acme".into(),
        user_id: Some("alice".into()),
        category: None,
        source: Source::Http,
        routing: Routing::All,
        accepted_at: NOON + Duration::from_millis(position.offset),
        expires_at: None,
        content: Content::Template { code: "welcome".into() },
        data: format!(r#"{{"offset":{}}}"#, position.offset).into(),
        metadata: "{}".into(),
        decisions: vec![Decision { step: Step::Routing, channel: None, verdict: Verdict::Pass }],
        disposition: Disposition::Tasks(vec![TaskSpec {
            channel: Channel::Email,
            address: Address::Email("alice@example.com".into()),
            due: None,
            endpoint: 0,
        }]),
        claims: Vec::new(),
        group: None,
        presentation: Default::default(),
        delivery: Default::default(),
        campaign: None,
        personal: Default::default(),
    }
}

pub(crate) fn plans(shard: ShardId, offsets: impl IntoIterator<Item = u64>) -> WriteBatch {
    let plans = offsets.into_iter().map(|offset| Arc::new(plan(Position::new(shard, offset)))).collect();
    WriteBatch { plans, ..WriteBatch::default() }
}

pub(crate) fn event(position: Position, ordinal: u8, attempt: u8, kind: EventKind) -> Event {
    Event::new(TaskId { position, ordinal }, attempt, kind, NOON)
}

fn events(events: Vec<Event>) -> WriteBatch {
    WriteBatch { events, ..WriteBatch::default() }
}

fn offsets(stories: &[Story]) -> Vec<u64> {
    stories.iter().map(|story| story.plan.position.offset).collect()
}

pub(crate) async fn stories_come_in_the_order_asked_for(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    // Over two blocks and in several writes.
    for start in (1000..1100).step_by(20) {
        store.write(shard(0), plans(shard(0), start..start + 20)).await.expect("written");
    }
    store.write(shard(1), plans(shard(1), 1005..1006)).await.expect("written");
    let elsewhere = Position::new(shard(1), 1005);
    let asked = [at(1099), at(1000), at(1023), at(1024), at(999), elsewhere, at(1000), at(1100), at(5_000_000)];
    let found = store.stories(&asked).await.expect("read");
    let found: Vec<_> = found.into_iter().map(|story| story.map(|story| story.plan)).collect();
    let is_there = |position: &Position| (1000..1100).contains(&position.offset);
    let expected: Vec<_> = asked.iter().map(|position| is_there(position).then(|| plan(*position))).collect();
    assert_eq!(found, expected);
    // Written once more, as after a crash: the same rows in another cut.
    store.write(shard(0), plans(shard(0), 1010..1015)).await.expect("written");
    let known = |plan: &Option<Plan>| plan.as_ref().map(|plan| (plan.id(), plan.tenant.clone(), plan.accepted_at));
    let bare = store.plans_at(&asked).await.expect("read");
    assert!(bare.iter().map(known).eq(expected.iter().map(known)));
    assert!(store.plans_at(&[]).await.expect("read").is_empty());
    assert!(store.stories(&[]).await.expect("read").is_empty());
}

pub(crate) async fn a_story_has_its_events_in_the_order_of_their_keys(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    store.write(shard(0), plans(shard(0), 0..3)).await.expect("written");
    let late = event(at(1), 0, 2, EventKind::Sent);
    let early = Event { reason: Some("451".into()), ..event(at(1), 0, 2, EventKind::Scheduled) };
    let other = event(at(1), 1, 1, EventKind::Sent);
    let corrected = Event { reason: Some("452".into()), ..early.clone() };
    store
        .write(shard(0), events(vec![other.clone(), late.clone(), event(at(2), 0, 1, EventKind::Sent)]))
        .await
        .expect("written");
    store.write(shard(0), events(vec![early])).await.expect("written");
    store.write(shard(0), events(vec![corrected.clone()])).await.expect("written");
    let story = store.stories(&[at(1)]).await.expect("read").pop().flatten().expect("it is there");
    assert_eq!(story.events, [corrected, late, other], "of a fact that was written twice the later one counts");
    let story = store.stories(&[at(0)]).await.expect("read").pop().flatten().expect("it is there");
    assert_eq!(story.events, []);
}

fn full_batch() -> WriteBatch {
    let mut batch = plans(shard(0), 1020..1030);
    let claimed = Arc::make_mut(&mut batch.plans[0]);
    claimed.claims = vec![PlanClaim { key: ClaimKey(5), expires_at: NOON + Duration::from_secs(300), body_hash: 9 }];
    batch.events = (1020..1030).map(|offset| event(at(offset), 0, 1, EventKind::Sent)).collect();
    let timer = TimerKey { due: NOON, offset: 1020, ordinal: 0, attempt: 2 };
    batch.timers = vec![TimerRow { key: timer, channel: Channel::Email, endpoint: 3 }];
    let task = TaskId { position: at(1021), ordinal: 0 };
    batch.dead_letters = vec![DeadLetter {
        key: DeadLetterKey { tenant: "acme".into(), at: NOON, task },
        reason: "no such mailbox".into(),
        cause: DeadLetterCause::Task { channel: Channel::Email, attempt: 4 },
    }];
    batch
}

/// That all of [`full_batch`] is there, once.
async fn check_full_batch(store: &SharedStore) {
    let batch = full_batch();
    let mut stories = store.block(shard(0), 0).await.expect("read");
    stories.extend(store.block(shard(0), 1).await.expect("read"));
    let expected = batch.plans.iter().zip(&batch.events);
    let expected: Vec<Story> =
        expected.map(|(plan, event)| Story { plan: Plan::clone(plan), events: vec![event.clone()] }).collect();
    assert_eq!(stories, expected);
    assert_eq!(store.timers(shard(0), TimerKey::default(), FOREVER, 10).await.expect("read"), batch.timers);
    assert_eq!(store.dead_letters("acme", None, 10).await.expect("read"), batch.dead_letters);
    let claim = store.claims(&[ClaimKey(5)]).await.expect("read").pop().flatten().expect("it is there");
    let expires_at = NOON + Duration::from_secs(300);
    assert_eq!(claim, ClaimRow { key: ClaimKey(5), owner: at(1020), body_hash: 9, expires_at });
    let history = store.history("acme", "alice", None, 100).await.expect("read");
    assert_eq!(
        history.iter().map(|entry| entry.notification.0.offset).collect::<Vec<_>>(),
        (1020..1030).rev().collect::<Vec<_>>()
    );
}

pub(crate) async fn a_batch_written_twice_is_there_once(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    store.write(shard(0), WriteBatch::default()).await.expect("nothing is written");
    for _ in 0..2 {
        store.write(shard(0), full_batch()).await.expect("written");
        check_full_batch(&store).await;
    }
}

pub(crate) async fn two_writes_about_the_same_offsets_keep_all_plans(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    for offsets in [10..20, 10..11, 15..25, 5..12] {
        store.write(shard(0), plans(shard(0), offsets)).await.expect("written");
    }
    assert_eq!(offsets(&store.block(shard(0), 0).await.expect("read")), (5..25).collect::<Vec<_>>());
}

pub(crate) async fn a_block_is_read_in_order_and_alone(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    // Not in order, and not without gaps.
    store.write(shard(0), plans(shard(0), [3000, 7, 1023, 1024, 2047, 2048, 0])).await.expect("written");
    store.write(shard(1), plans(shard(1), [1500])).await.expect("written");
    for (block, expected) in [(0, vec![0, 7, 1023]), (1, vec![1024, 2047]), (2, vec![2048, 3000]), (3, vec![])] {
        assert_eq!(offsets(&store.block(shard(0), block).await.expect("read")), expected, "block {block}");
    }
    assert_eq!(offsets(&store.block(shard(1), 1).await.expect("read")), [1500]);
}

pub(crate) async fn events_may_come_before_their_plan(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    let cancelled = event(at(5), u8::MAX, 1, EventKind::Cancelled);
    store.write(shard(0), events(vec![cancelled.clone()])).await.expect("written");
    assert_eq!(store.loose_events(shard(0), 0).await.expect("read"), [cancelled]);
    assert_eq!(store.loose_events(shard(0), 1).await.expect("read"), []);
    assert_eq!(store.stories(&[at(5)]).await.expect("read"), [None]);
    store.write(shard(0), plans(shard(0), 5..6)).await.expect("written");
    let story = store.stories(&[at(5)]).await.expect("read").pop().flatten().expect("it is there");
    assert_eq!(story.events, [], "it is no task's");
}

pub(crate) async fn timers_come_in_order_and_in_pages(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    let timer = |due: u64, offset, ordinal, attempt| TimerRow {
        key: TimerKey { due: after_noon(due), offset, ordinal, attempt },
        channel: Channel::Sms,
        endpoint: due as u32,
    };
    // In more than one bucket.
    let mut timers = vec![
        timer(900_000, 1, 0, 1),
        timer(5000, 1, 0, 1),
        timer(1000, 2, 0, 1),
        timer(1000, 1, 1, 1),
        timer(1000, 1, 0, 2),
    ];
    timers.extend((0..50).map(|offset| timer(3000, offset, 0, 1)));
    for half in timers.chunks(30) {
        let batch = WriteBatch { timers: half.to_vec(), ..WriteBatch::default() };
        store.write(shard(0), batch).await.expect("written");
    }
    let other = WriteBatch { timers: vec![timer(1, 1, 1, 1)], ..WriteBatch::default() };
    store.write(shard(1), other).await.expect("written");
    timers.sort_by_key(|timer| timer.key);
    let mut found: Vec<TimerRow> = Vec::new();
    loop {
        let after = found.last().map_or(TimerKey::default(), |timer| timer.key);
        let page = store.timers(shard(0), after, FOREVER, 7).await.expect("read");
        assert!(page.len() <= 7);
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(found, timers);
    let after = TimerKey { due: after_noon(4000), ..TimerKey::default() };
    assert_eq!(
        store.timers(shard(0), after, FOREVER, 7).await.expect("read"),
        [timer(5000, 1, 0, 1), timer(900_000, 1, 0, 1)]
    );
    assert_eq!(store.timers(shard(0), after, after_noon(5000), 7).await.expect("read"), []);
    assert_eq!(store.timers(shard(0), after, after_noon(5001), 7).await.expect("read"), [timer(5000, 1, 0, 1)]);
}

pub(crate) async fn claims_come_in_the_order_asked_for_and_the_later_holder_counts(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    let claiming = |offset, key, expires_at| {
        let mut batch = plans(shard(0), [offset]);
        Arc::make_mut(&mut batch.plans[0]).claims = vec![PlanClaim { key: ClaimKey(key), expires_at, body_hash: 1 }];
        batch
    };
    store.write(shard(0), claiming(1, 100, NOON)).await.expect("written");
    store.write(shard(0), claiming(2, u128::MAX, NOON)).await.expect("written");
    let owners = async |keys: &[u128]| {
        let keys: Vec<ClaimKey> = keys.iter().copied().map(ClaimKey).collect();
        let rows = store.claims(&keys).await.expect("read");
        rows.into_iter().map(|row| row.map(|row| row.owner.offset)).collect::<Vec<_>>()
    };
    assert_eq!(owners(&[u128::MAX, 7, 100, 100]).await, [Some(2), None, Some(1), Some(1)]);
    store.write(shard(0), claiming(3, 100, NOON + Duration::from_secs(1))).await.expect("written");
    assert_eq!(owners(&[100]).await, [Some(3)]);
}

pub(crate) async fn what_stands_under_leaders_comes_in_order_and_of_each_alone(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    let joined = |offset| Joined { offset, actor: Some("Alice".into()), data: Some("{}".into()) };
    let row = |leader, entry| GroupRow { leader: at(leader), until: NOON, owner: plan(at(leader)).owner(), entry };
    let closed = GroupEntry::Closed(Gathered { count: 2, ..Gathered::default() }, Told { below: 7, also: vec![9] });
    let (first, later) = (GroupEntry::Joined(vec![joined(2), joined(5)]), GroupEntry::Joined(vec![joined(9)]));
    let left = GroupEntry::Left(5);
    let batch = |rows| WriteBatch { groups: rows, ..WriteBatch::default() };
    let rows = vec![row(1, later.clone()), row(1, left.clone()), row(3, GroupEntry::Joined(vec![joined(4)]))];
    for rows in [rows.clone(), vec![row(1, first.clone())], rows, vec![row(1, closed.clone())]] {
        store.write(shard(0), batch(rows)).await.expect("written");
    }
    let elsewhere = Position::new(shard(1), 1);
    let found = store.groups(&[at(3), elsewhere, at(1)]).await.expect("read");
    let expected = [vec![GroupEntry::Joined(vec![joined(4)])], Vec::new(), vec![first, left, later, closed]];
    assert_eq!(found, expected);
    drop(store);
    assert_eq!(backend.open().await.groups(&[at(1)]).await.expect("read")[0], expected[2]);
}

pub(crate) async fn one_that_left_its_group_says_so(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    let mut merged = plan(at(7));
    merged.disposition = Disposition::Merged { into: at(1) };
    let mut batch = WriteBatch { plans: vec![Arc::new(merged.clone())], ..WriteBatch::default() };
    batch.books.enter_plan(&merged);
    store.write(shard(0), batch).await.expect("written");
    let story = async || store.stories(&[at(7)]).await.expect("read").pop().flatten().expect("it is there");
    assert!(!story().await.has_left());
    let task = TaskId { position: at(7), ordinal: WHOLE };
    let mut batch = WriteBatch::default();
    batch.events.push(Event::new(task, 1, EventKind::Cancelled, NOON));
    batch.books.shift(merged.source, Some(BookColumn::Merged), Some(BookColumn::Cancelled), 1);
    store.write(shard(0), batch).await.expect("written");
    let left = story().await;
    assert!(left.has_left());
    // The books are the sum of this over all rows, whoever counts them.
    let mut counted = Books::default();
    counted.enter_story(&left);
    assert_eq!(store.books(shard(0)).await.expect("read"), counted);
}

pub(crate) async fn history_is_newest_first_and_in_pages(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    let entry = |offset: u64| HistoryEntry {
        accepted_at: NOON + Duration::from_millis(offset),
        notification: NotificationId(at(offset)),
    };
    for start in [40, 0, 80] {
        store.write(shard(0), plans(shard(0), start..start + 40)).await.expect("written");
    }
    let mut others = plans(shard(0), 200..202);
    Arc::make_mut(&mut others.plans[0]).tenant = "acmealice".into();
    Arc::make_mut(&mut others.plans[1]).user_id = None;
    store.write(shard(0), others).await.expect("written");
    let mut found: Vec<HistoryEntry> = Vec::new();
    loop {
        let page = store.history("acme", "alice", found.last().copied(), 17).await.expect("read");
        assert!(page.len() <= 17);
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(found, (0..120).rev().map(entry).collect::<Vec<_>>());
    assert_eq!(store.history("acmealice", "alice", None, 5).await.expect("read"), [entry(200)]);
    assert_eq!(store.history("acme", "bob", None, 5).await.expect("read"), []);
    assert_eq!(store.history("acmea", "lice", None, 5).await.expect("read"), []);
}

pub(crate) async fn dead_letters_are_newest_first_and_leave_when_revived(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    let letter = |tenant: &str, time: u64, offset, cause| {
        let task = TaskId { position: at(offset), ordinal: 0 };
        DeadLetter {
            key: DeadLetterKey { tenant: tenant.into(), at: after_noon(time), task },
            reason: "refused".into(),
            cause,
        }
    };
    let task = DeadLetterCause::Task { channel: Channel::Push, attempt: 2 };
    let letters: Vec<_> = (0..30).map(|number| letter("acme", number / 3, number, task.clone())).collect();
    let mut damaged = letter("", 7, 7, DeadLetterCause::Record { body: Bytes::from(&b"\x00\xffnot ours"[..]) });
    damaged.key.task.ordinal = 255;
    let batch = |dead_letters| WriteBatch { dead_letters, ..WriteBatch::default() };
    store.write(shard(0), batch(letters.clone())).await.expect("written");
    store.write(shard(0), batch(vec![damaged.clone()])).await.expect("written");

    let all = async || {
        let mut found: Vec<DeadLetter> = Vec::new();
        loop {
            let before = found.last().map(|letter| letter.key.clone());
            let page = store.dead_letters("acme", before, 4).await.expect("read");
            if page.is_empty() {
                return found;
            }
            found.extend(page);
        }
    };
    let mut expected = letters.clone();
    expected.sort_by(|a, b| b.key.cmp(&a.key));
    assert_eq!(all().await, expected);
    assert_eq!(store.dead_letters("", None, 10).await.expect("read"), [damaged.clone()]);
    assert_eq!(store.dead_letters("other", None, 10).await.expect("read"), []);
    assert_eq!(store.dead_letter(&damaged.key).await.expect("read"), Some(damaged));

    let revived = WriteBatch { revived: vec![expected[3].key.clone()], ..WriteBatch::default() };
    store.write(shard(0), revived).await.expect("written");
    let gone = expected.remove(3);
    assert_eq!(store.dead_letter(&gone.key).await.expect("read"), None);
    assert_eq!(all().await, expected);
}

pub(crate) async fn books_are_exact(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    let writes = (0..40).map(|number: i64| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut batch = WriteBatch::default();
            batch.books.add(Source::Http, BookColumn::In, number);
            batch.books.shift(Source::Kafka, Some(BookColumn::Scheduled), Some(BookColumn::Sent), 1);
            store.write(shard((number % 2) as u16), batch).await.expect("written");
        })
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.expect("ended");
    }
    let check = async |store: &SharedStore| {
        let mut total = Books::default();
        for partition in 0..3 {
            total.merge(&store.books(shard(partition)).await.expect("read"));
        }
        assert_eq!(total.get(Source::Http, BookColumn::In), 40 * 39 / 2);
        assert_eq!(total.get(Source::Kafka, BookColumn::Sent), 40);
        assert_eq!(total.get(Source::Kafka, BookColumn::Scheduled), -40);
        assert_eq!(total.get(Source::Http, BookColumn::Sent), 0);
    };
    check(&store).await;
    drop(store);
    check(&backend.open().await).await;
}

pub(crate) async fn cursors_never_go_back(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    assert_eq!(store.cursors(shard(0)).await.expect("read"), Cursors::default());
    for (task_block, timer_bucket) in [(5, 10), (4, 12), (6, 11)] {
        let cursors = Some(Cursors { task_block, timer_bucket });
        store.write(shard(0), WriteBatch { cursors, ..WriteBatch::default() }).await.expect("written");
    }
    let expected = Cursors { task_block: 6, timer_bucket: 12 };
    assert_eq!(store.cursors(shard(0)).await.expect("read"), expected);
    assert_eq!(store.cursors(shard(1)).await.expect("read"), Cursors::default());
    drop(store);
    assert_eq!(backend.open().await.cursors(shard(0)).await.expect("read"), expected);
}

pub(crate) async fn what_is_dropped_is_gone_and_its_neighbours_stay(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    let mut batch = plans(shard(0), 1000..1060);
    batch.books.add(Source::Http, BookColumn::In, 60);
    store.write(shard(0), batch).await.expect("written");
    store.write(shard(0), plans(shard(0), 1060..1064)).await.expect("written");
    let sent = (1000..1064).map(|offset| event(at(offset), 0, 1, EventKind::Sent)).collect();
    store.write(shard(0), events(sent)).await.expect("written");
    let doomed: Vec<u64> = (1000..1024).filter(|offset| offset % 2 == 0).collect();
    // In no order, and some that were never there.
    let asked: Vec<u64> = doomed.iter().rev().copied().chain([3, 4]).collect();
    assert_eq!(store.drop_offsets(shard(0), 0, &asked).await.expect("dropped"), doomed.len());
    assert_eq!(store.drop_offsets(shard(0), 0, &asked).await.expect("dropped"), 0, "once more it changes nothing");
    let all: Vec<u64> = (1024..1064).collect();
    assert_eq!(store.drop_offsets(shard(0), 1, &all[20..]).await.expect("dropped"), 20);
    assert_eq!(store.drop_offsets(shard(0), 1, &all[..20]).await.expect("dropped"), 20, "a whole block, in two steps");
    drop(store);
    let store = backend.open().await;
    let positions: Vec<Position> = (1000..1064).map(at).collect();
    let found = store.stories(&positions).await.expect("read");
    for (position, story) in positions.iter().zip(found) {
        let stays = position.offset < 1024 && !doomed.contains(&position.offset);
        assert_eq!(story.as_ref().map(|story| story.events.len()), stays.then_some(1), "{}", position.offset);
    }
    assert_eq!(offsets(&store.block(shard(0), 0).await.expect("read")), (1001..1024).step_by(2).collect::<Vec<_>>());
    assert!(store.block(shard(0), 1).await.expect("read").is_empty());
    assert_eq!(store.books(shard(0)).await.expect("read").get(Source::Http, BookColumn::In), 60);
}

pub(crate) async fn all_of_it_is_there_after_opening_again(backend: &dyn StoreBackend) {
    let store = backend.open().await;
    store.write(shard(0), full_batch()).await.expect("written");
    drop(store);
    let store = backend.open().await;
    check_full_batch(&store).await;
    // What is written after the opening comes on top, and does not take the place of what was there.
    store.write(shard(0), events(vec![event(at(1025), 0, 1, EventKind::Delivered)])).await.expect("written");
    drop(store);
    let store = backend.open().await;
    let story = store.stories(&[at(1025)]).await.expect("read").pop().flatten().expect("it is there");
    let kinds: Vec<_> = story.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Sent, EventKind::Delivered]);
}
