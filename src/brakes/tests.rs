use std::time::Duration;

use super::*;
use crate::domain::{BrakeKind, Priority};
use crate::intake::fakes::FakeStore;

fn names() -> BrakeNames {
    BrakeNames { categories: Vec::new(), default_category: "transactional".into(), providers: Default::default() }
}

fn marketing() -> BrakeScope {
    BrakeScope { tenant: "default".into(), kind: BrakeKind::Category, name: "marketing".into() }
}

const NOW: Timestamp = Timestamp(1_800_000_000_000);

#[tokio::test]
async fn what_another_node_put_on_is_known_after_the_next_reading_and_told_once() {
    let store = Arc::new(FakeStore::default());
    let one = Brakes::open(store.clone(), names()).await.expect("the store reads");
    let other = Brakes::open(store, names()).await.expect("the store reads");
    one.change(marketing(), BrakeEffect::Pause, true, NOW, None).await.expect("written");
    assert!(one.set().concerns("default"));
    let mut told = other.told();
    assert!(!other.set().concerns("default"));
    other.refresh().await.expect("read");
    assert!(other.set().concerns("default"));
    assert!(told.has_changed().expect("it is there"));
    told.mark_unchanged();
    other.refresh().await.expect("read");
    assert!(!told.has_changed().expect("it is there"), "nothing changed");
}

#[tokio::test]
async fn a_task_that_was_held_while_the_brakes_changed_is_looked_for_again() {
    let brakes = Brakes::open(Arc::new(FakeStore::default()), names()).await.expect("the store reads");
    let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
    let seen = brakes.set().number();
    brakes.was_held(shard, seen);
    assert!(!brakes.take_look_at(shard));
    brakes.change(marketing(), BrakeEffect::Pause, true, NOW, None).await.expect("written");
    brakes.was_held(shard, seen);
    assert!(brakes.take_look_at(shard));
    assert!(!brakes.take_look_at(shard), "asked once");
}

#[tokio::test]
async fn what_changes_nothing_is_not_written_and_nobody_looks_because_of_it() {
    use BrakeEffect::{Pause, Recall};
    let store = Arc::new(FakeStore::default());
    let one = Brakes::open(store.clone(), names()).await.expect("the store reads");
    let other = Brakes::open(store, names()).await.expect("the store reads");
    let change = async |brakes: &Brakes, effect, is_on, at: u64| {
        brakes.change(marketing(), effect, is_on, NOW + Duration::from_secs(at), None).await.expect("written")
    };
    assert_eq!(change(&one, Pause, false, 0).await, BrakeChange::AsBefore);
    assert_eq!((one.set().number(), one.set().brakes()), (1, &[][..]), "a name that never was on is not kept");
    assert_eq!(change(&one, Pause, true, 1).await, BrakeChange::Made);
    assert_eq!(change(&one, Pause, true, 2).await, BrakeChange::AsBefore);
    assert_eq!(
        change(&other, Pause, false, 0).await,
        BrakeChange::Made,
        "it has not heard of it, and its clock is behind"
    );
    assert_eq!(change(&one, Pause, false, 3).await, BrakeChange::AsBefore);
    assert_eq!(change(&one, Recall, true, 10).await, BrakeChange::Made);
    assert_eq!(change(&other, Recall, true, 5).await, BrakeChange::AsBefore, "more than that is recalled");
    assert_eq!(change(&other, Recall, true, 11).await, BrakeChange::Made);
    assert_eq!(other.set().brakes().len(), 2);
}
