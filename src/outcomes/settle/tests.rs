use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use ractor::Actor;

use super::*;
use crate::brakes::Brakes;
use crate::dispatch::{Backlog, DispatchHandle, PayloadBudget, Room};
use crate::domain::{
    Address, BrakeNames, Category, Channel, Content, Disposition, Plan, Position, Priority, ShardId, Source, Story,
    TaskSpec, TaskState,
};
use crate::intake::fakes::StoppedClock;
use crate::outcomes::{DeadAddresses, Deliveries, SettlerActor, SettlerArguments, SettlerHandle};
use crate::ownership::{Ownership, Standing};
use crate::store::{EmbeddedStore, TaskLog, WriteBatch};
use crate::users::{Directory, LocalChanges};
use crate::{config, disk};

fn policy() -> RetryPolicy {
    RetryPolicy::new(&config::Retry { delays: [60, 120, 240].map(Duration::from_secs).to_vec(), jitter: 0.0 })
}

/// One, whose messages are to be confirmed within a time or not.
fn categories(confirm_within: Option<Duration>) -> Categories {
    let shipped = config::defaults().categories().expect("the default is there");
    let category = Category { confirm_within, ..shipped.of(None).clone() };
    Categories::new(vec![category], "transactional").expect("it is there")
}

fn plan(routing: Routing, channels: &[Channel]) -> Arc<Plan> {
    let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
    let spec = |channel: &Channel| TaskSpec {
        channel: *channel,
        address: Address::Email("a@example.com".into()),
        due: None,
        endpoint: 0,
    };
    Arc::new(Plan {
        position: Position::new(shard, 9),
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
        disposition: Disposition::Tasks(channels.iter().map(spec).collect()),
        claims: Vec::new(),
        group: None,
        presentation: Default::default(),
        delivery: Default::default(),
        campaign: None,
        personal: Default::default(),
    })
}

fn answer(plan: &Arc<Plan>, ordinal: usize, attempt: u8, outcome: Outcome) -> Answer {
    Answer {
        task: plan.task_id(ordinal),
        attempt,
        plan: plan.clone(),
        was_scheduled: attempt > 1,
        provider: "mail".into(),
        asked_at: Timestamp(900),
        at: Timestamp(1_000),
        kind: AnswerKind::Outcome(outcome),
    }
}

fn transient() -> Outcome {
    Outcome::Transient { reason: "busy".into(), retry_after: None, unreachable: false }
}

/// Settles answers one after the other; the state of each task, the books, and the last settlement.
fn story(plan: &Arc<Plan>, answers: Vec<Answer>) -> (Vec<TaskState>, BookDelta, Settlement) {
    let mut books = BookDelta::default();
    let mut events = Vec::new();
    let mut last = Settlement::default();
    for answer in answers {
        last = settle(&answer, &policy(), &categories(None), &mut books);
        events.extend(last.events.iter().cloned());
    }
    let story = Story { plan: Plan::clone(plan), events };
    // Whoever takes a shard over counts from the rows: it must come to the same.
    let (mut entered, mut in_rows) = (books, BookDelta::default());
    entered.enter_plan(plan);
    in_rows.enter_story(&story);
    assert_eq!(entered, in_rows);
    (story.states(), books, last)
}

#[test]
fn a_task_that_keeps_failing_is_tried_four_times_and_then_a_dead_letter() {
    let plan = plan(Routing::All, &[Channel::Email]);
    let mut answers = Vec::new();
    for (attempt, due) in [(1, 61_000), (2, 121_000), (3, 241_000)] {
        answers.push(answer(&plan, 0, attempt, transient()));
        let (states, books, last) = story(&plan, answers.clone());
        assert_eq!(states, [TaskState::Scheduled { attempt: attempt + 1, due: Timestamp(due) }]);
        assert_eq!(last.timer.map(|row| row.key.due), Some(Timestamp(due)));
        assert_eq!(books.get(Source::Http, BookColumn::Scheduled), 1);
    }
    answers.push(answer(&plan, 0, 4, transient()));
    let (states, books, last) = story(&plan, answers);
    assert_eq!(states, [TaskState::Failed { attempt: 4 }]);
    assert!(last.dead_letter.is_some() && last.timer.is_none());
    assert_eq!(books.get(Source::Http, BookColumn::Scheduled), 0);
    assert_eq!(books.get(Source::Http, BookColumn::Failed), 1);
}

#[test]
fn what_was_in_doubt_and_was_taken_after_all_is_settled_as_sent_and_a_bounce_gives_the_next_channel_its_turn() {
    let plan = plan(Routing::Fallback, &[Channel::Email, Channel::Sms]);
    let check = |has_bounced, expected: [TaskState; 2], waiting: i64| {
        let doubt = answer(&plan, 0, 1, Outcome::Unknown { reason: "no answer".into() });
        let kind = AnswerKind::TakenAfterAll { message_id: Some("m".into()), has_bounced };
        let taken = Answer { kind, was_scheduled: true, ..doubt.clone() };
        let (states, books, last) = story(&plan, vec![doubt, taken]);
        assert_eq!(states, expected);
        assert_eq!(last.events[0].provider_message_id.as_deref(), Some("m"));
        assert_eq!(last.timer.is_some_and(|row| row.key.is_turn()), has_bounced);
        let column = |column| books.get(Source::Http, column);
        assert_eq!((column(BookColumn::Sent), column(BookColumn::Scheduled)), (1, 0));
        assert_eq!(column(BookColumn::SkippedDeliveredElsewhere), waiting);
    };
    check(false, [TaskState::Sent, TaskState::Skipped], 1);
    check(true, [TaskState::Sent, TaskState::Pending { attempt: 1 }], 0);
}

#[test]
fn a_throttled_task_waits_and_keeps_its_attempt() {
    let plan = plan(Routing::All, &[Channel::Email]);
    let outcome = Outcome::throttled("429", Some(Duration::from_secs(7)));
    let (states, _, _) = story(&plan, vec![answer(&plan, 0, 1, outcome)]);
    assert_eq!(states, [TaskState::Scheduled { attempt: 1, due: Timestamp(8_000) }]);
}

#[test]
fn a_task_whose_recipient_gets_too_many_waits_a_minute_unless_it_is_told_how_long() {
    let plan = plan(Routing::All, &[Channel::Email]);
    let check = |retry_after: Option<Duration>, due: u64| {
        let outcome =
            Outcome::Throttled { reason: "limit".into(), retry_after, whose: crate::domain::Whose::Recipient };
        let (states, _, _) = story(&plan, vec![answer(&plan, 0, 1, outcome)]);
        assert_eq!(states, [TaskState::Scheduled { attempt: 1, due: Timestamp(due) }]);
    };
    check(None, 61_000);
    check(Some(Duration::from_secs(7)), 8_000);
}

#[test]
fn what_is_in_doubt_is_said_so_and_sent_again_until_it_ends_as_unknown() {
    let plan = plan(Routing::All, &[Channel::Email]);
    let doubt = || Outcome::Unknown { reason: "no answer".into() };
    let (states, _, last) = story(&plan, vec![answer(&plan, 0, 1, doubt())]);
    assert_eq!(states[0].name(), "scheduled");
    assert_eq!(
        last.events.iter().map(|event| event.kind).collect::<Vec<_>>(),
        [EventKind::Unknown, EventKind::Scheduled]
    );
    let answers = (1..=4).map(|attempt| answer(&plan, 0, attempt, doubt())).collect();
    let (states, books, last) = story(&plan, answers);
    assert_eq!(states, [TaskState::Unknown { attempt: 4 }]);
    assert!(last.dead_letter.is_some());
    assert_eq!(books.get(Source::Http, BookColumn::Unknown), 1);
}

#[test]
fn a_fallback_moves_on_when_a_channel_fails_and_stops_when_one_takes_it() {
    let plan = plan(Routing::Fallback, &[Channel::Push, Channel::Email, Channel::Sms]);
    let mut books = BookDelta::default();
    books.add(Source::Http, BookColumn::Waiting, 2);
    let refused = answer(&plan, 0, 1, Outcome::dead("gone"));
    let first = settle(&refused, &policy(), &categories(None), &mut books);
    let turn = first.timer.expect("the next channel is found again after a crash").key;
    assert!(turn.is_turn() && turn.ordinal == 1 && turn.due == Timestamp(1_000));
    assert!(first.dead_letter.is_none());
    let taken = answer(&plan, 1, 1, Outcome::Accepted { message_id: None });
    let second = settle(&taken, &policy(), &categories(None), &mut books);
    assert_eq!(second.without_turn, [(Channel::Sms, "skipped")]);
    let events = first.events.into_iter().chain(second.events).collect();
    let names: Vec<_> = Story { plan: Plan::clone(&plan), events }.states().into_iter().map(TaskState::name).collect();
    assert_eq!(names, ["failed", "sent", "skipped"]);
    assert_eq!(books.get(Source::Http, BookColumn::Waiting), 0);
    assert_eq!(books.get(Source::Http, BookColumn::SkippedDeliveredElsewhere), 1);
}

#[test]
fn a_fallback_whose_time_has_passed_ends_as_expired_on_every_channel_that_is_left() {
    let plan = plan(Routing::Fallback, &[Channel::Push, Channel::Email, Channel::Sms]);
    let mut books = BookDelta::default();
    books.add(Source::Http, BookColumn::Waiting, 2);
    let mut expired = answer(&plan, 0, 1, transient());
    expired.kind = AnswerKind::Expired;
    let settlement = settle(&expired, &policy(), &categories(None), &mut books);
    assert_eq!(settlement.counted, Some("expired"));
    assert_eq!(settlement.without_turn, [(Channel::Email, "expired"), (Channel::Sms, "expired")]);
    assert_eq!(books.get(Source::Http, BookColumn::Expired), 3);
}

#[test]
fn wrong_credentials_cost_no_attempt() {
    let plan = plan(Routing::All, &[Channel::Email]);
    let (states, _, _) = story(&plan, vec![answer(&plan, 0, 1, Outcome::Config { reason: "535".into() })]);
    assert_eq!(states, [TaskState::Scheduled { attempt: 1, due: Timestamp(61_000) }]);
}

#[test]
fn a_task_that_is_not_to_be_sent_any_more_is_skipped_with_its_reason_and_the_next_channel_has_its_turn() {
    let check = |routing, reason: SkipReason, has_turn: bool, expected: &[TaskState]| {
        let plan = plan(routing, &[Channel::Push, Channel::Email]);
        let mut books = BookDelta::default();
        books.enter_plan(&plan);
        let mut skipped = answer(&plan, 0, 1, transient());
        skipped.kind = AnswerKind::Skipped(reason.clone());
        let settlement = settle(&skipped, &policy(), &categories(None), &mut books);
        assert_eq!(settlement.timer.is_some(), has_turn, "{routing:?} {reason:?}");
        assert!(settlement.dead_letter.is_none());
        let story = Story { plan: (*plan).clone(), events: settlement.events };
        assert_eq!(story.states(), expected, "{routing:?} {reason:?}");
        let mut anew = BookDelta::default();
        anew.enter_story(&story);
        assert_eq!(books, anew, "the books say what the rows say");
    };
    let pending = TaskState::Pending { attempt: 1 };
    check(Routing::All, SkipReason::NoConsent, false, &[TaskState::Skipped, pending]);
    check(Routing::Fallback, SkipReason::Suppressed, true, &[TaskState::Skipped, pending]);
    check(Routing::Fallback, SkipReason::Erased, false, &[TaskState::Skipped, TaskState::Skipped]);
}

#[test]
fn a_task_that_is_held_waits_for_the_time_and_has_spent_no_attempt() {
    let plan = plan(Routing::All, &[Channel::Email]);
    let mut books = BookDelta::default();
    books.enter_plan(&plan);
    let mut held = answer(&plan, 0, 1, transient());
    held.kind = AnswerKind::PutOff { until: Timestamp(9_000) };
    let settlement = settle(&held, &policy(), &categories(None), &mut books);
    let timer = settlement.timer.expect("it waits");
    assert_eq!((timer.key.due, timer.key.attempt), (Timestamp(9_000), 1));
    let story = Story { plan: (*plan).clone(), events: settlement.events };
    assert_eq!(story.states(), [TaskState::Scheduled { attempt: 1, due: Timestamp(9_000) }]);
    let mut anew = BookDelta::default();
    anew.enter_story(&story);
    assert_eq!(books, anew, "the books say what the rows say");
}

/// A settler that owns no shard: the next owner may have read the rows before an answer is written.
struct FormerOwner {
    store: Arc<EmbeddedStore>,
    handle: SettlerHandle,
    deliveries: Arc<Deliveries>,
    _directory: tempfile::TempDir,
}

impl FormerOwner {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = EmbeddedStore::open(disk::testing::disk(directory.path())).expect("the store opens");
        let ownership = Arc::new(Ownership::new(Arc::new(Standing::for_ever())));
        let (handle, deliveries) = (SettlerHandle::new(), Deliveries::new(ownership.clone()));
        let room = Room { backlog: Backlog::new(10), payloads: PayloadBudget::new(1 << 20) };
        let arguments = SettlerArguments {
            handle: handle.clone(),
            policy: Arc::new(policy()),
            categories: Arc::new(categories(None)),
            costs: Arc::new([("mail-main".into(), 100)].into()),
            store: store.clone(),
            clock: StoppedClock::at("2026-11-21T12:00:00Z"),
            ownership,
            dispatch: Arc::new(DispatchHandle::new(room)),
            timers: Arc::default(),
            brakes: Brakes::with(store.clone(), BrakeNames::default(), Vec::new()),
            dead_addresses: DeadAddresses::start(Arc::new(Directory::new(
                store.clone(),
                Arc::new(LocalChanges::default()),
            ))),
            deliveries: Some(deliveries.clone()),
        };
        Actor::spawn(None, SettlerActor, arguments).await.expect("started");
        Self { store, handle, deliveries, _directory: directory }
    }

    async fn settle(&self, answer: Answer) {
        self.handle.submit(vec![answer]).await;
        self.handle.flush().await;
    }
}

#[tokio::test]
async fn what_was_sent_is_told_to_others_even_where_the_shard_is_another_nodes_by_now() {
    let settler = FormerOwner::start().await;
    let plan = plan(Routing::All, &[Channel::Email]);
    settler.settle(answer(&plan, 0, 1, transient())).await;
    assert!(settler.deliveries.done().now_or_never().is_some(), "what becomes of it is the next owner's to decide");
    settler.settle(answer(&plan, 0, 1, Outcome::Accepted { message_id: None })).await;
    assert!(settler.deliveries.done().now_or_never().is_none(), "nobody else would tell of it");
}

#[tokio::test]
async fn a_fallback_that_was_sent_goes_to_no_later_channel_though_the_shard_is_another_nodes_by_now() {
    let settler = FormerOwner::start().await;
    let plan = plan(Routing::Fallback, &[Channel::Email, Channel::Sms]);
    let rows = WriteBatch { plans: vec![plan.clone()], ..WriteBatch::default() };
    settler.store.write(plan.position.shard, rows).await.expect("written");
    settler.settle(answer(&plan, 0, 1, Outcome::Accepted { message_id: None })).await;
    let story = settler.store.stories(&[plan.position]).await.expect("read").pop().flatten().expect("a story");
    assert_eq!(story.states(), [TaskState::Sent, TaskState::Skipped]);
}

#[test]
fn the_next_channel_of_a_fallback_that_is_to_be_confirmed_waits_and_the_others_after_it() {
    let plan = plan(Routing::Fallback, &[Channel::Push, Channel::Email, Channel::Sms]);
    let sent = answer(&plan, 0, 1, Outcome::Accepted { message_id: None });
    let mut books = BookDelta::default();
    books.enter_plan(&plan);
    let categories = categories(Some(Duration::from_secs(600)));
    let first = settle(&sent, &policy(), &categories, &mut books);
    let due = sent.at + Duration::from_secs(600);
    let row = first.timer.expect("a timer");
    assert_eq!((row.key.due, row.key.ordinal, row.key.attempt), (due, 1, 1));
    let mut story = Story { plan: (*plan).clone(), events: first.events };
    assert_eq!(story.states(), [TaskState::Sent, TaskState::Scheduled { attempt: 1, due }, TaskState::Waiting]);
    let confirmed = Answer {
        was_scheduled: true,
        at: due,
        kind: AnswerKind::DeliveredElsewhere,
        ..answer(&plan, 1, 1, Outcome::Accepted { message_id: None })
    };
    let second = settle(&confirmed, &policy(), &categories, &mut books);
    story.events.extend(second.events);
    assert_eq!(story.states(), [TaskState::Sent, TaskState::Skipped, TaskState::Skipped]);
    let column = |column| books.get(plan.source, column);
    assert_eq!(column(BookColumn::SkippedDeliveredElsewhere), 2);
    assert_eq!((column(BookColumn::Sent), column(BookColumn::Scheduled), column(BookColumn::Waiting)), (1, 0, 0));
}

#[test]
fn what_a_brake_holds_waits_for_it_to_be_taken_off_and_what_is_recalled_ends_with_its_fallback() {
    let plan = plan(Routing::Fallback, &[Channel::Email, Channel::Sms]);
    let mut books = BookDelta::default();
    books.enter_plan(&plan);
    let until = Timestamp(9_000_000_000_000);
    let mut stopped = answer(&plan, 0, 1, Outcome::Accepted { message_id: None });
    stopped.kind = AnswerKind::Held { by: BrakeKind::Category, until, seen: 1 };
    let held = settle(&stopped, &policy(), &categories(None), &mut books);
    assert!(held.timer.expect("a timer").key.is_held());
    let mut story = Story { plan: (*plan).clone(), events: held.events };
    assert!(story.is_held(0) && !story.is_held(1));
    assert_eq!(story.states(), [TaskState::Scheduled { attempt: 1, due: until }, TaskState::Waiting]);
    stopped.kind = AnswerKind::Recalled { by: BrakeKind::Category };
    stopped.was_scheduled = true;
    let recalled = settle(&stopped, &policy(), &categories(None), &mut books);
    story.events.extend(recalled.events);
    assert_eq!(story.states(), [TaskState::Cancelled; 2]);
    let column = |column| books.get(plan.source, column);
    assert_eq!((column(BookColumn::Cancelled), column(BookColumn::Scheduled), column(BookColumn::Waiting)), (2, 0, 0));
}

#[test]
fn what_is_recalled_by_its_way_ends_alone_and_the_next_channel_has_its_turn() {
    for by in [BrakeKind::Channel, BrakeKind::Provider] {
        let plan = plan(Routing::Fallback, &[Channel::Email, Channel::Sms]);
        let mut books = BookDelta::default();
        books.enter_plan(&plan);
        let mut stopped = answer(&plan, 0, 1, Outcome::Accepted { message_id: None });
        stopped.kind = AnswerKind::Recalled { by };
        let recalled = settle(&stopped, &policy(), &categories(None), &mut books);
        let timer = recalled.timer.expect("a timer");
        assert!(timer.key.is_turn() && timer.key.ordinal == 1, "{timer:?}");
        let story = Story { plan: (*plan).clone(), events: recalled.events };
        assert_eq!(story.states(), [TaskState::Cancelled, TaskState::Pending { attempt: 1 }]);
        let column = |column| books.get(plan.source, column);
        assert_eq!((column(BookColumn::Cancelled), column(BookColumn::Waiting)), (1, 0));
    }
}

#[test]
fn wrong_settings_give_the_next_channel_its_turn_after_five_minutes_and_without_one_the_task_waits_on() {
    let check = |routing, at: u64, was_scheduled: bool, gives_turn: bool| {
        let plan = plan(routing, &[Channel::Email, Channel::Sms]);
        let first = answer(&plan, 0, 1, Outcome::Config { reason: "535".into() });
        let again = Answer { at: Timestamp(at), was_scheduled, ..first.clone() };
        let answers = if was_scheduled { vec![first, again] } else { vec![again] };
        let (states, books, last) = story(&plan, answers);
        let what = format!("{routing:?} at {at}");
        assert_eq!(last.timer.as_ref().is_some_and(|row| row.key.is_turn()), gives_turn, "{what}");
        assert!(last.dead_letter.is_none());
        if gives_turn {
            assert_eq!(states, [TaskState::Failed { attempt: 1 }, TaskState::Pending { attempt: 1 }], "{what}");
            assert!(last.events[0].reason.as_deref().is_some_and(|reason| reason.starts_with("config")));
            assert_eq!(books.get(Source::Http, BookColumn::Failed), 1);
        } else {
            assert!(matches!(states[0], TaskState::Scheduled { attempt: 1, .. }), "{what}: {states:?}");
            assert_eq!(last.timer.map(|row| row.key.due), Some(Timestamp(at + 60_000)), "{what}");
        }
    };
    check(Routing::Fallback, 61_000, true, false);
    check(Routing::Fallback, 300_000, true, false);
    check(Routing::Fallback, 301_000, true, true);
    // Its turn came late: it waits a minute at least.
    check(Routing::Fallback, 301_000, false, false);
    check(Routing::All, 301_000, true, false);
}
