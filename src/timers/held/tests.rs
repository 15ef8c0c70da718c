use super::*;
use crate::clock::ManualClock;
use crate::disk::testing;
use crate::dispatch::{Backlog, PayloadBudget, Room};
use crate::domain::{
    Brake, BrakeEffect, BrakeKind, BrakeNames, BrakeScope, Channel, Disposition, Event, EventKind, HELD_REASON,
};
use crate::ownership::Standing;
use crate::store::conformance::{NOON, plans};
use crate::store::{Cursors, EmbeddedStore};

/// A node where a brake was taken off that held something.
struct World {
    _dir: tempfile::TempDir,
    arguments: HeldArguments,
}

impl World {
    fn new(brake: Option<Brake>) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store: SharedStore = EmbeddedStore::open(testing::disk(dir.path())).expect("the store opens");
        let room = Room { backlog: Backlog::new(10), payloads: PayloadBudget::new(0) };
        let brake = brake.unwrap_or_else(|| brake_of(BrakeKind::Category, "marketing", BrakeEffect::Pause, false));
        let arguments = HeldArguments {
            lane: Priority::Normal,
            brakes: Brakes::with(store.clone(), BrakeNames::default(), vec![brake]),
            clock: ManualClock::starting_at(NOON),
            store,
            ownership: Arc::new(Ownership::new(Arc::new(Standing::for_ever()))),
            dispatch: Arc::new(DispatchHandle::new(room)),
        };
        Self { _dir: dir, arguments }
    }

    fn state(&self, lane: Priority) -> HeldState {
        let arguments = HeldArguments { lane, ..self.arguments.clone() };
        let told = arguments.brakes.told();
        HeldState { arguments, told, done: HashMap::new(), freed: FREED.with([]) }
    }

    /// A shard where everything below `planned` is planned, and where the first task of each of the offsets is held.
    async fn shard(&self, lane: Priority, planned: u64, held: &[u64]) -> Arc<Shard> {
        let id = ShardId { generation: 0, lane, partition: 0 };
        let shard = Arc::new(Shard::new(id, planned, Cursors::default()));
        let mut batch = plans(id, held.iter().copied());
        for plan in batch.plans.clone() {
            let (event, row) = hold(plan.task_id(0));
            batch.events.push(event);
            batch.timers.push(row);
        }
        self.arguments.store.write(id, batch).await.expect("written");
        self.arguments.ownership.insert(shard.clone());
        shard
    }
}

fn brake_of(kind: BrakeKind, name: &str, effect: BrakeEffect, is_on: bool) -> Brake {
    let tenant = crate::store::conformance::plan(Position::new(crate::store::conformance::shard(0), 0)).tenant;
    Brake { scope: BrakeScope { tenant, kind, name: name.into() }, effect, is_on, at: NOON, reason: None }
}

fn hold(task: TaskId) -> (Event, TimerRow) {
    let due = NOON + Duration::from_secs(86_400);
    let mut event = Event::new(task, 1, EventKind::Scheduled, NOON);
    (event.due, event.reason) = (Some(due), Some(format!("{HELD_REASON}the category is paused").into()));
    let key = TimerKey { due, offset: task.position.offset, ordinal: task.ordinal, attempt: TimerKey::HELD };
    (event, TimerRow { key, channel: Channel::Email, endpoint: 0 })
}

fn first(shard: &Shard, offset: u64) -> TaskId {
    TaskId { position: Position::new(shard.id(), offset), ordinal: 0 }
}

#[tokio::test]
async fn what_was_held_before_its_plan_was_there_is_looked_at_alone_when_it_is() {
    let world = World::new(None);
    let shard = world.shard(Priority::Normal, 6, &[5, 6, 7]).await;
    let mut state = world.state(Priority::Normal);
    state.look().await;
    assert_eq!([5, 6, 7].map(|offset| shard.is_tracked(first(&shard, offset))), [true, false, false]);
    // It would be found again by whoever looked through the shard again.
    shard.release(first(&shard, 5));
    for (planned, expected) in [(6, [false, false, false]), (7, [false, true, false]), (8, [false, true, true])] {
        shard.set_planned(planned);
        state.look().await;
        assert_eq!([5, 6, 7].map(|offset| shard.is_tracked(first(&shard, offset))), expected, "{planned}");
    }
    assert_eq!(state.done[&shard.id()].left.rows, []);
    // Who held a task while the brakes changed asks for all of it.
    world.arguments.brakes.was_held(shard.id(), 0);
    state.look().await;
    assert!(shard.is_tracked(first(&shard, 5)));
}

#[test]
fn of_more_than_is_remembered_the_last_says_when_to_look_through_the_shard_once_more() {
    let mut left = Left::default();
    let task = |offset| first(&Shard::new(crate::store::conformance::shard(0), 0, Cursors::default()), offset);
    let rows = |from: u64, to: u64| (from..to).map(|offset| hold(task(offset)).1).collect::<Vec<_>>();
    assert_eq!(left.take_out(rows(0, 10), 8), rows(0, 8));
    assert_eq!((left.rows.len(), left.whole_from), (2, None));
    let many = 10 + LEFT_MAX as u64;
    assert_eq!(left.take_out(rows(10, many), 8), []);
    assert_eq!((left.rows.len(), left.whole_from), (LEFT_MAX, Some(many)));
}

#[tokio::test]
async fn a_lane_without_room_keeps_no_other_lane_waiting() {
    let world = World::new(None);
    let low = world.shard(Priority::Low, 1, &[0]).await;
    let high = world.shard(Priority::High, 1, &[0]).await;
    let room = &world.arguments.dispatch.room;
    let full: Vec<Ready> =
        (10..18).map(|offset| Ready::bare(first(&low, offset), 1, Channel::Email, 0, NOON, room)).collect();
    let (mut low_state, mut high_state) = (world.state(Priority::Low), world.state(Priority::High));
    let mut low_look = std::pin::pin!(low_state.look());
    let soon = Duration::from_millis(200);
    assert!(tokio::time::timeout(soon, &mut low_look).await.is_err(), "it waits for room");
    high_state.look().await;
    assert!(high.is_tracked(first(&high, 0)) && !low.is_tracked(first(&low, 0)));
    drop(full);
    low_look.await;
    assert!(low.is_tracked(first(&low, 0)));
}

#[test]
fn a_way_that_is_recalled_makes_no_later_channel_go_before_the_time_that_was_asked_for() {
    let set = |kind, name| {
        BrakeSet::new(vec![brake_of(kind, name, BrakeEffect::Recall, true)], 1, Arc::new(BrakeNames::default()))
    };
    let (way, all) = (set(BrakeKind::Channel, "email"), set(BrakeKind::Category, "marketing"));
    let mut plan = crate::store::conformance::plan(Position::new(crate::store::conformance::shard(0), 0));
    (plan.category, plan.routing, plan.accepted_at) = (Some("marketing".into()), Routing::Fallback, NOON);
    let Disposition::Tasks(tasks) = &mut plan.disposition else { panic!("it has tasks") };
    let mut spec = tasks[0].clone();
    (spec.channel, spec.due) = (Channel::Email, Some(NOON + Duration::from_secs(60)));
    *tasks = vec![spec.clone(), spec];
    tasks[1].channel = Channel::Sms;
    let (event, row) = hold(plan.task_id(0));
    let mut story = Story { plan, events: Vec::new() };
    assert!(!is_free(&story, &row, &way) && is_free(&story, &row, &all));
    story.events.push(event);
    assert!(is_free(&story, &row, &way), "it waits for the brake alone");
    story.events.clear();
    story.plan.routing = Routing::All;
    assert!(is_free(&story, &row, &way), "no other channel depends on it");
}
