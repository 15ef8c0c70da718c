use super::*;
use crate::domain::ShardId;
use proptest::prelude::*;

fn task() -> TaskId {
    let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
    TaskId { position: Position::new(shard, 1), ordinal: 0 }
}

fn event(attempt: u8, kind: EventKind) -> Event {
    Event::new(task(), attempt, kind, Timestamp(u64::from(attempt)))
}

fn any_event() -> impl Strategy<Value = Event> {
    (1u8..5, 0usize..16).prop_map(|(attempt, kind)| event(attempt, EventKind::from_index(kind).expect("below 16")))
}

#[test]
fn the_state_is_that_of_the_latest_attempt_unless_something_ended_it() {
    use EventKind::*;
    let check = |events: &[(u8, EventKind)], expected: &str| {
        let events: Vec<Event> = events.iter().map(|(attempt, kind)| event(*attempt, *kind)).collect();
        assert_eq!(fold(None, events.iter()).name(), expected, "{events:?}");
    };
    check(&[], "pending");
    check(&[(2, Scheduled)], "scheduled");
    check(&[(2, Scheduled), (2, Failed)], "failed");
    check(&[(2, Failed), (3, Scheduled)], "scheduled");
    check(&[(1, Unknown), (2, Scheduled)], "scheduled");
    check(&[(1, Unknown), (2, Scheduled), (2, Sent)], "sent");
    check(&[(1, Sent), (1, Failed), (1, Cancelled)], "sent");
    check(&[(2, Scheduled), (1, Cancelled)], "cancelled");
    check(&[(1, Sent), (1, Opened)], "delivered");
    check(&[(0, Delivered), (1, Unknown), (2, Scheduled)], "delivered");
    check(&[(1, Sent), (0, Bounced)], "sent");
    check(&[(0, Bounced), (0, Opened)], "delivered");
}

#[test]
fn the_time_asked_for_is_that_of_the_first_channel_of_a_fallback() {
    let spec = |channel| TaskSpec { channel, address: Address::Provider, due: Some(Timestamp(90)), endpoint: 0 };
    let plan = |routing| Plan {
        position: task().position,
        tenant: "default".into(),
        user_id: None,
        category: None,
        source: Source::Http,
        routing,
        accepted_at: Timestamp(0),
        expires_at: None,
        content: Content::Template { code: "x".into() },
        data: "{}".into(),
        metadata: "{}".into(),
        decisions: Vec::new(),
        disposition: Disposition::Tasks(vec![spec(Channel::Email), spec(Channel::Sms)]),
        claims: Vec::new(),
        group: None,
        presentation: Default::default(),
        delivery: Default::default(),
        campaign: None,
        personal: Default::default(),
    };
    let states = |routing| Story { plan: plan(routing), events: vec![event(1, EventKind::Failed)] }.states();
    assert_eq!(states(Routing::Fallback)[1], TaskState::Pending { attempt: 1 });
    assert_eq!(states(Routing::All)[1], TaskState::Scheduled { attempt: 1, due: Timestamp(90) });
}

#[test]
fn the_message_of_a_group_waits_for_the_groups_time_and_not_for_a_brake() {
    let hold = Decision { step: Step::Brakes, channel: None, verdict: Verdict::Hold { until: Timestamp(500) } };
    let held = |group: Option<Group>, due| {
        let spec = TaskSpec { channel: Channel::Email, address: Address::Provider, due, endpoint: 0 };
        let mut plan = crate::store::conformance::plan(task().position);
        plan.decisions.push(hold.clone());
        plan.disposition = Disposition::Tasks(vec![spec]);
        plan.group = group;
        plan.is_held(0)
    };
    let group = |is_first| {
        let (key, until) = (ClaimKey(1), Timestamp(90));
        Some(Group { key, actor: None, until, is_first, gathered: None })
    };
    assert!(held(None, Some(Timestamp(90))) && !held(None, None));
    assert!(!held(group(false), Some(Timestamp(90))));
    assert!(held(group(true), Some(Timestamp(90))), "it is sent by itself");
}

fn story_of(routing: Routing, events: Vec<Event>) -> Story {
    let mut plan = crate::store::conformance::plan(task().position);
    let spec = TaskSpec { channel: Channel::Email, address: Address::Provider, due: None, endpoint: 0 };
    plan.disposition = Disposition::Tasks(vec![spec.clone(), spec]);
    plan.routing = routing;
    Story { plan, events }
}

#[test]
fn what_was_in_doubt_and_is_confirmed_is_not_to_be_sent_and_the_channel_after_it_still_waits_in_the_books() {
    let events = vec![event(1, EventKind::Unknown), event(2, EventKind::Scheduled), event(0, EventKind::Delivered)];
    let story = story_of(Routing::Fallback, events);
    assert!(story.is_taken_after_all(0) && !story.is_taken_after_all(1));
    assert_eq!(story.state(0), Some(TaskState::Delivered));
    assert_eq!(story.booked_states()[1], TaskState::Waiting);
    assert_eq!(story.states()[1], TaskState::Waiting, "its turn is settled by who settles the one before");
}

#[test]
fn a_channel_that_waits_for_a_confirmation_and_for_nothing_else_has_its_answer_early() {
    let check = |reason: &str, receipt: EventKind, expected| {
        let mut waits = event(1, EventKind::Scheduled);
        (waits.task.ordinal, waits.reason, waits.due) = (1, Some(reason.into()), Some(Timestamp(900)));
        let events = vec![event(1, EventKind::Sent), waits, event(0, receipt)];
        assert_eq!(story_of(Routing::Fallback, events).is_answered(1), expected, "{reason} {receipt:?}");
    };
    check(CONFIRMATION_REASON, EventKind::Delivered, true);
    check(CONFIRMATION_REASON, EventKind::Bounced, true);
    check("the user is not to be disturbed now", EventKind::Bounced, false);
    check(CONFIRMATION_REASON, EventKind::Accepted, false);
}

#[test]
fn what_waits_for_its_time_or_its_turn_cannot_be_with_a_provider_unless_a_receipt_gave_it_its_turn() {
    let waits = |reason: &str| {
        let mut event = event(1, EventKind::Scheduled);
        (event.task.ordinal, event.reason, event.due) = (1, Some(reason.into()), Some(Timestamp(90_000)));
        event
    };
    let check = |events: Vec<Event>, ordinal, now, expected| {
        let story = story_of(Routing::Fallback, events);
        assert_eq!(story.may_be_under_way(ordinal, Timestamp(now)), expected, "{:?}", story.events);
    };
    check(vec![], 0, 1_000, true);
    check(vec![], 1, 1_000, false);
    check(vec![event(1, EventKind::Cancelled)], 0, 1_000, false);
    check(vec![event(1, EventKind::Sent), waits(HELD_REASON)], 1, 1_000, false);
    check(vec![event(1, EventKind::Sent), waits(HELD_REASON)], 1, 86_000, true);
    check(vec![event(1, EventKind::Sent), waits(CONFIRMATION_REASON)], 1, 1_000, false);
    let bounced = event(0, EventKind::Bounced);
    check(vec![event(1, EventKind::Sent), waits(CONFIRMATION_REASON), bounced], 1, 1_000, true);
}

proptest! {
    #[test]
    fn receipts_change_nothing_that_the_books_go_by(
        events in prop::collection::vec(any_event(), 0..12),
        receipts in prop::collection::vec(any_event(), 0..12),
    ) {
        let without: Vec<Event> = events.iter().filter(|event| !event.kind.is_receipt()).cloned().collect();
        let mut with = events;
        with.extend(receipts.into_iter().filter(|event| event.kind.is_receipt()));
        for routing in [Routing::All, Routing::Fallback] {
            let booked = |events: &[Event]| story_of(routing, events.to_vec()).booked_states();
            prop_assert_eq!(booked(&with), booked(&without));
        }
    }

    #[test]
    fn the_fold_does_not_depend_on_order_or_repetition(
        events in prop::collection::vec(any_event(), 0..12),
        seed in any::<u64>(),
    ) {
        let once = fold(None, events.iter());
        let mut shuffled: Vec<&Event> = events.iter().chain(events.iter()).collect();
        let length = shuffled.len().max(1);
        for index in 0..shuffled.len() {
            shuffled.swap(index, (seed as usize).wrapping_mul(index + 1) % length);
        }
        prop_assert_eq!(fold(None, shuffled.into_iter()), once);
    }

    #[test]
    fn what_the_provider_took_stays_taken(events in prop::collection::vec(any_event(), 0..12)) {
        let mut events = events;
        events.push(event(1, EventKind::Sent));
        prop_assert!(fold(None, events.iter()).is_taken());
    }
}

#[test]
fn what_an_owner_before_writes_late_opens_nothing_that_failed_since_and_a_replay_does() {
    let at = |at: u64, attempt: u8, kind: EventKind| Event { at: Timestamp(at), ..event(attempt, kind) };
    let failed = at(50, 1, EventKind::Failed);
    let late = [failed.clone(), at(40, 2, EventKind::Scheduled)];
    assert_eq!(fold(None, late.iter()), TaskState::Failed { attempt: 1 });
    assert_eq!(fold(None, late.iter().rev()), TaskState::Failed { attempt: 1 });
    let replayed = [failed, at(50, 2, EventKind::Scheduled)];
    assert_eq!(fold(None, replayed.iter()), TaskState::Scheduled { attempt: 2, due: Timestamp(50) });
}
