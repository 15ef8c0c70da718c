use super::queue::{EVENTS_MAX, Step};
use super::*;
use crate::domain::{Disposition, EventKind, Position, SkipReason, Timestamp};
use crate::log::Told;
use crate::ownership::{Shard, Standing};
use crate::store::Cursors;
use crate::store::conformance::{plans, shard};

fn world() -> (Arc<Deliveries>, Arc<Shard>) {
    let ownership = Arc::new(Ownership::new(Arc::new(Standing::for_ever())));
    let owned = Arc::new(Shard::new(shard(0), 0, Cursors::default()));
    ownership.insert(owned.clone());
    (Deliveries::new(ownership), owned)
}

fn plan(offset: u64) -> Arc<Plan> {
    plans(shard(0), [offset]).plans.remove(0)
}

fn story(offset: u64) -> Story {
    Story { plan: (*plan(offset)).clone(), events: Vec::new() }
}

fn render(story: &Story) -> Vec<Told> {
    story.histories().iter().map(|event| cloud_event::told(&story.plan, event)).collect()
}

fn step(deliveries: &Deliveries) -> Step {
    deliveries.queue().step(render)
}

fn ids(told: &[Told]) -> Vec<String> {
    let json = |told: &Told| serde_json::from_slice::<serde_json::Value>(&told.body).expect("an event is JSON");
    told.iter().map(|told| json(told)["id"].as_str().expect("it has an id").to_owned()).collect()
}

#[test]
fn a_task_event_is_a_cloud_event_without_address_or_content() {
    let mut plan = (*plan(7)).clone();
    plan.user_id = Some("alice".into());
    plan.metadata = r#"{"order": 7}"#.into();
    let event = Event {
        provider: Some("mail".into()),
        reason: Some("é".repeat(4000).into()),
        ..Event::new(plan.task_id(0), 2, EventKind::Failed, Timestamp(1_795_262_400_000))
    };
    let told = cloud_event::told(&plan, &event);
    let json: serde_json::Value = serde_json::from_slice(&told.body).expect("JSON");
    assert_eq!(json["id"], format!("{}-{}", plan.task_id(0), event.sequence()));
    assert_eq!((&json["type"], &json["subject"]), (&"fanfare.task.failed".into(), &plan.task_id(0).to_string().into()));
    assert_eq!((&json["specversion"], &json["time"]), (&"1.0".into(), &"2026-11-21T12:00:00.000Z".into()));
    assert_eq!((json["data"].get("metadata"), &json["data"]["attempt"]), (None, &2.into()));
    assert!(json["data"]["reason"].as_str().expect("a reason").len() <= 2048);
    assert_eq!((&told.key[..], told.headers[0].0), (&b"alice"[..], "content-type"));
}

#[test]
fn a_notification_without_tasks_is_one_event_about_itself() {
    let check = |reason: SkipReason, expected: &str| {
        let mut plan = (*plan(7)).clone();
        plan.disposition = Disposition::Skipped(reason);
        let events = plan.first_events();
        let told = cloud_event::told(&plan, &events[0]);
        let json: serde_json::Value = serde_json::from_slice(&told.body).expect("JSON");
        assert_eq!((events.len(), &json["type"]), (1, &expected.into()));
        assert_eq!((&json["subject"], json["data"].get("task_id")), (&plan.id().to_string().into(), None));
    };
    check(SkipReason::NoAddress, "fanfare.task.skipped");
    check(SkipReason::Expired, "fanfare.task.expired");
    check(SkipReason::Cancelled, "fanfare.task.cancelled");
}

#[test]
fn no_cursor_passes_events_before_they_were_told() {
    let (deliveries, shard) = world();
    deliveries.tell_plans(shard.id(), &[plan(1), plan(2)]);
    let barrier = shard.barrier();
    let Step::Tell(told) = step(&deliveries) else { panic!("there is something to tell") };
    assert!(!shard.is_told(barrier));
    // Asked again, as after a crash, it is the same.
    let Step::Tell(again) = step(&deliveries) else { panic!("it is not told yet") };
    assert_eq!(ids(&told), ids(&again));
    deliveries.queue().was_told();
    assert!(shard.is_told(barrier) && deliveries.queue().is_empty());
    assert!(matches!(step(&deliveries), Step::Nothing));
}

#[test]
fn what_does_not_fit_is_kept_as_its_block_and_read_from_the_store() {
    let (deliveries, shard) = world();
    let first: Vec<Arc<Plan>> = (0..EVENTS_MAX as u64 / 2).map(plan).collect();
    while deliveries.queue().has_room() {
        deliveries.tell_plans(shard.id(), &first);
    }
    let events = deliveries.queue().events();
    let far = 50_000_000;
    for _ in 0..1000 {
        deliveries.tell_plans(shard.id(), &[plan(far)]);
    }
    let blocks = deliveries.queue().blocks();
    assert_eq!((deliveries.queue().events(), blocks), (events, 1));
    let barrier = shard.barrier();
    let mut read = 0;
    loop {
        match step(&deliveries) {
            Step::Nothing => break,
            Step::Tell(_) => drop(deliveries.queue().was_told()),
            Step::Read(_, block) => {
                read += 1;
                assert_eq!(block, Position::new(shard.id(), far).block());
                assert!(!shard.is_told(barrier));
                deliveries.queue().was_read(vec![story(far)]);
            }
        }
    }
    assert!(read == 1 && shard.is_told(barrier) && deliveries.queue().events() == 0);
}

#[test]
fn a_block_that_cannot_be_read_keeps_nothing_else_from_being_told() {
    let (deliveries, shard) = world();
    let far = 50_000_000;
    deliveries.tell_blocks(shard.id(), &[story(1), story(far)]);
    let barrier = shard.barrier();
    let Step::Read(_, 0) = step(&deliveries) else { panic!("the first block") };
    deliveries.queue().was_not_read();
    deliveries.tell_plans(shard.id(), &[plan(30_000_000)]);
    let Step::Tell(_) = step(&deliveries) else { panic!("what waits has its turn") };
    deliveries.queue().was_told();
    let Step::Read(_, block) = step(&deliveries) else { panic!("the other block") };
    assert_eq!(block, Position::new(shard.id(), far).block());
    deliveries.queue().was_read(Vec::new());
    let Step::Read(_, 0) = step(&deliveries) else { panic!("the first one again") };
    deliveries.tell_blocks(shard.id(), &[story(1)]);
    deliveries.queue().was_not_read();
    assert!(!shard.is_told(barrier), "it is still owed, from before that moment");
    let Step::Read(_, 0) = step(&deliveries) else { panic!("the first one again") };
    deliveries.queue().was_read(Vec::new());
    assert!(deliveries.queue().is_empty() && shard.is_told(barrier) && shard.is_told(shard.barrier()));
}

#[test]
fn a_block_that_is_owed_again_while_it_is_read_is_read_again() {
    let (deliveries, shard) = world();
    deliveries.tell_blocks(shard.id(), &[story(1), story(2), story(3)]);
    let Step::Read(..) = step(&deliveries) else { panic!("a block is owed") };
    deliveries.tell_blocks(shard.id(), &[story(1)]);
    deliveries.queue().was_read(vec![story(1)]);
    let Step::Tell(_) = step(&deliveries) else { panic!("it holds events") };
    deliveries.queue().was_told();
    let Step::Read(..) = step(&deliveries) else { panic!("it is owed again") };
    deliveries.queue().was_read(Vec::new());
    assert!(deliveries.queue().is_empty() && shard.is_told(shard.barrier()));
}
