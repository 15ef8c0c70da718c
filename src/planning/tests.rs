//! Whole batches: what is claimed, who wins, and what holds for every plan.

mod bursts;
mod groups;
mod people;
mod received;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::testing::{FakeClaims, FakePeople, FakeRows, NOW, brakes, no_brakes, policy, position, request};
use super::*;
use crate::clock::ManualClock;
use crate::coordination::{Claims, Wanted};
use crate::domain::{
    BrakeEffect, BrakeKind, BrakeSet, Channel, ClaimKey, Idempotency, NotificationId, Priority, Recipient, Routing,
    Step, TimeOfDay,
};
use crate::users::{Copies, LocalChanges};

type Batch = Vec<(Position, NotificationRequest)>;

/// An engine's memory and disk, as far as planning sees them.
struct World {
    claims: FakeClaims,
    rows: FakeRows,
    cancelled: Vec<Position>,
    store: Arc<FakePeople>,
    people: People,
    changes: Arc<LocalChanges>,
    policy: Policy,
    budgets: Budgets,
    brakes: Arc<BrakeSet>,
}

impl Default for World {
    fn default() -> Self {
        Self::of(FakePeople::default())
    }
}

impl World {
    /// One that hears of every change.
    fn of(store: FakePeople) -> Self {
        let store = Arc::new(store);
        let changes = Arc::new(LocalChanges::default());
        let clock = ManualClock::starting_at(NOW);
        let copies = Copies::new(1 << 20, Duration::from_secs(600), clock.clone(), changes.clone());
        Self {
            claims: FakeClaims::default(),
            rows: FakeRows::default(),
            cancelled: Vec::new(),
            people: People::new(store.clone(), store.clone(), copies),
            store,
            changes,
            policy: policy(),
            budgets: Budgets::new(Arc::new(FakeRows::default()), 0),
            brakes: no_brakes(),
        }
    }

    fn gather(&self, batch: &Batch) -> Facts {
        let is_cancelled = |position| self.cancelled.contains(&position);
        let sources = Sources { is_cancelled: &is_cancelled, ..self.sources() };
        block_on(gather(batch, &self.policy, &sources, NOW)).expect("the rows can be read")
    }

    fn sources(&self) -> Sources<'_> {
        let Self { claims, budgets, .. } = self;
        let groups = ShardGroups::default();
        Sources {
            claims,
            shelves: self.shelves(),
            budgets,
            groups,
            is_cancelled: &|_| false,
            is_unreadable: &|_| false,
        }
    }

    fn shelves(&self) -> Shelves<'_> {
        let Self { rows, people, brakes, .. } = self;
        Shelves { rows, received: rows, stories: rows, groups: rows, people, experiments: &(), brakes }
    }

    /// Plans a batch and makes it durable.
    fn run(&self, batch: Batch) -> Vec<Arc<Plan>> {
        let facts = self.gather(&batch);
        let plans = plan_batch(batch, &facts, &self.policy, NOW);
        plans.iter().for_each(|plan| self.rows.write(plan, received_row(plan, &self.policy)));
        block_on(self.claims.release(&facts.claimed));
        plans
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
    runtime.block_on(future)
}

fn knowing(candidate: &CandidateFacts) -> Peeked {
    Peeked { candidate: candidate.clone(), found: None }
}

fn batch(requests: impl IntoIterator<Item = NotificationRequest>) -> Batch {
    (0..).map(position).zip(requests).collect()
}

fn with(change: impl FnOnce(&mut NotificationRequest)) -> NotificationRequest {
    let mut request = request();
    change(&mut request);
    request
}

fn keyed(key: &str) -> NotificationRequest {
    with(|request| request.dedup_key = Some(key.into()))
}

fn retried(key: u128) -> NotificationRequest {
    with(|request| request.idempotency = Some(Idempotency { key: ClaimKey(key), body_hash: 7, batch: None }))
}

/// What became of each: `sent`, or the reason and, for a duplicate, of which offset.
fn fates(plans: &[Arc<Plan>]) -> Vec<String> {
    let fate = |plan: &Arc<Plan>| match &plan.disposition {
        Disposition::Tasks(_) => "sent".to_owned(),
        Disposition::Merged { into } => format!("merged into {}", into.offset),
        Disposition::Skipped(SkipReason::Duplicate { of: NotificationId(of) }) => format!("duplicate of {}", of.offset),
        Disposition::Skipped(reason) => reason.name().to_owned(),
    };
    plans.iter().map(fate).collect()
}

#[test]
fn of_equal_business_keys_the_first_in_the_batch_is_sent() {
    let plans = World::default().run(batch([keyed("a"), keyed("b"), keyed("a"), keyed("a")]));
    assert_eq!(fates(&plans), ["sent", "sent", "duplicate of 0", "duplicate of 0"]);
}

#[test]
fn a_business_key_is_held_in_later_batches_until_its_window_has_passed() {
    let world = World::default();
    let later = |offset, seconds| {
        let request = NotificationRequest { accepted_at: NOW + std::time::Duration::from_secs(seconds), ..keyed("a") };
        vec![(position(offset), request)]
    };
    assert_eq!(fates(&world.run(later(0, 0))), ["sent"]);
    assert_eq!(fates(&world.run(later(1, 299))), ["duplicate of 0"]);
    assert_eq!(fates(&world.run(later(2, 300))), ["sent"]);
    assert_eq!(fates(&world.run(later(3, 301))), ["duplicate of 2"]);
}

#[test]
fn a_window_is_measured_between_the_times_of_acceptance_even_if_all_come_in_one_batch() {
    let at = |minutes: u64| NotificationRequest { accepted_at: Timestamp(minutes * 60_000), ..keyed("a") };
    let plans = World::default().run(batch([at(0), at(4), at(6), at(10), at(12)]));
    assert_eq!(fates(&plans), ["sent", "duplicate of 0", "sent", "duplicate of 2", "sent"]);
}

#[test]
fn the_window_in_the_request_counts_before_the_configured_one() {
    let wide = with(|request| {
        request.dedup_key = Some("a".into());
        request.dedup_window_seconds = Some(3600);
    });
    let plans = World::default().run(batch([wide]));
    let expires_at = NOW + std::time::Duration::from_secs(3600);
    assert_eq!(plans[0].claims.iter().map(|claim| claim.expires_at).collect::<Vec<_>>(), [expires_at]);
}

#[test]
fn a_retry_key_is_held_by_whoever_used_it_first_whatever_became_of_it() {
    let unreachable = NotificationRequest { to: Recipient::default(), ..retried(1) };
    let world = World::default();
    let plans = world.run(batch([unreachable, retried(1), retried(2)]));
    assert_eq!(fates(&plans), ["no_address", "duplicate of 0", "sent"]);
    let expires_at = NOW + std::time::Duration::from_secs(86_400);
    assert_eq!(plans[0].claims, [PlanClaim { key: ClaimKey(1), expires_at, body_hash: 7 }]);
    assert!(plans[1].claims.is_empty());
    let later = world.run(vec![(position(9), retried(1))]);
    assert_eq!(fates(&later), ["duplicate of 0"]);
}

#[test]
fn what_is_skipped_holds_no_business_key_and_is_in_nobodys_way() {
    let expired = NotificationRequest { expires_at: Some(NOW), ..keyed("a") };
    let unreachable = NotificationRequest { to: Recipient::default(), ..keyed("a") };
    let unserved = NotificationRequest { channels: vec![Channel::InApp], ..keyed("a") };
    let mut world = World::default();
    world.cancelled.push(position(3));
    let plans = world.run(batch([expired, unreachable, unserved, keyed("a"), keyed("a")]));
    assert_eq!(fates(&plans), ["expired", "no_address", "no_address", "cancelled", "sent"]);
    assert_eq!(plans.iter().map(|plan| plan.claims.len()).collect::<Vec<_>>(), [0, 0, 0, 0, 1]);
}

#[test]
fn a_retry_does_not_take_the_business_key_of_others() {
    let world = World::default();
    world.run(vec![(position(0), retried(1))]);
    let retry = NotificationRequest { dedup_key: Some("a".into()), ..retried(1) };
    let plans = world.run(vec![(position(1), retry), (position(2), keyed("a"))]);
    assert_eq!(fates(&plans), ["duplicate of 0", "sent"]);
}

#[test]
fn a_key_that_is_on_its_way_to_the_disk_is_held_already() {
    let world = World::default();
    let first = batch([keyed("a")]);
    let facts = world.gather(&first);
    let plans = world.run(vec![(position(5), keyed("a")), (position(6), keyed("a"))]);
    assert_eq!(fates(&plans), ["duplicate of 0", "duplicate of 0"]);
    assert_eq!(fates(&plan_batch(first, &facts, &policy(), NOW)), ["sent"]);
}

#[test]
fn whoever_meets_its_own_claim_goes_on() {
    let world = World::default();
    let first = batch([keyed("a"), retried(1)]);
    assert_eq!(fates(&world.run(first.clone())), ["sent", "sent"]);
    assert_eq!(fates(&world.run(first)), ["sent", "sent"]);
}

#[test]
fn nothing_stays_claimed_in_flight_once_a_batch_is_durable() {
    let world = World::default();
    let aged = NotificationRequest { accepted_at: Timestamp(0), ..keyed("a") };
    world.run(batch([aged, keyed("a"), keyed("a"), retried(1), retried(1)]));
    assert!(world.claims.held.lock().expect("not poisoned").is_empty());
}

#[test]
fn a_store_that_cannot_be_read_leaves_nothing_claimed() {
    let world = World { rows: FakeRows { fails: true, ..FakeRows::default() }, ..World::default() };
    let failed = block_on(gather(&batch([keyed("a"), retried(1)]), &policy(), &world.sources(), NOW));
    assert!(failed.is_err());
    assert!(world.claims.held.lock().expect("not poisoned").is_empty());
}

#[test]
fn a_look_at_the_facts_finds_the_holder_and_claims_nothing() {
    let world = World::default();
    world.run(batch([keyed("a")]));
    let peeked = block_on(peek(&keyed("a"), &[], &policy(), &world.shelves())).expect("readable");
    assert_eq!(peeked.candidate.business_holder, Some(position(0)));
    let peeked = block_on(peek(&keyed("b"), &[], &policy(), &world.shelves())).expect("readable");
    assert_eq!(peeked.candidate.business_holder, None);
    assert!(world.claims.held.lock().expect("not poisoned").is_empty());
}

#[test]
fn a_dry_run_keeps_the_priority_and_says_what_would_become_of_the_request() {
    let urgent = NotificationRequest { priority: Priority::Critical, ..request() };
    let plan = dry_run(urgent, Peeked::default(), &policy(), NOW);
    assert_eq!(plan.priority(), Priority::Critical);
    assert_eq!(plan.tasks().len(), 1);
}

#[test]
fn what_is_held_until_a_time_has_tasks_that_are_due_then() {
    let until = NOW + std::time::Duration::from_secs(60);
    let plans = World::default().run(batch([with(|request| request.deliver_at = Some(until))]));
    assert_eq!(plans[0].tasks()[0].due, Some(until));
    assert_eq!(plans[0].decisions.last().map(|decision| &decision.verdict), Some(&Verdict::Hold { until }));
}

/// Requests that differ in everything that planning looks at, with few enough keys that many are equal.
fn any_request() -> impl Strategy<Value = NotificationRequest> {
    let time = || prop::option::weighted(0.3, (0u64..20).prop_map(|tick| Timestamp(NOW.0 - 10 + tick)));
    let channels = prop::collection::vec((0usize..7).prop_map(|index| Channel::ALL[index]), 0..4);
    let recipient = (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(email, phone, url)| Recipient {
        email: email.then(|| "alice@example.com".into()),
        phone: phone.then(|| "+15550100".into()),
        push_token: None,
        url: url.then(|| "https://hooks.example.com".into()),
        chat: None,
    });
    let keys = (prop::option::of(0u8..3), prop::option::of(0u8..3), prop::option::of(0u128..4));
    let names = prop::sample::select(vec!["transactional", "security", "social", "marketing", "gone"]);
    let local_time = prop::option::weighted(0.2, (0u16..24 * 60).prop_map(TimeOfDay::from_minutes));
    let kind = (prop::option::of(names), local_time);
    (recipient, channels, time(), time(), keys, kind).prop_map(|(to, channels, deliver_at, expires_at, keys, kind)| {
        let (category, local_time) = kind;
        let (dedup_key, user_id, retry_key) = keys;
        NotificationRequest {
            to,
            channels,
            deliver_at,
            expires_at,
            dedup_key: dedup_key.map(|key| key.to_string().into()),
            user_id: user_id.map(|user| user.to_string().into()),
            attachments: Vec::new(),
            collapse_key: None,
            idempotency: retry_key.map(|key| Idempotency { key: ClaimKey(key), body_hash: 1, batch: None }),
            routing: Routing::Fallback,
            category: category.map(Into::into),
            local_time: local_time.flatten(),
            ..request()
        }
    })
}

fn any_batch() -> impl Strategy<Value = Batch> {
    prop::collection::vec(any_request(), 0..20).prop_map(batch)
}

/// The gates, then the channels one after the other, then what holds.
fn rank(step: Step) -> usize {
    let steps = [Step::Cancelled, Step::Expiry, Step::Idempotency, Step::Dedup, Step::Fatigue, Step::Caps];
    let holds = [Step::QuietHours, Step::Holidays, Step::SendTime];
    let place = |steps: &[Step]| steps.iter().position(|one| *one == step);
    place(&steps).or_else(|| place(&holds).map(|place| steps.len() + 1 + place)).unwrap_or(steps.len())
}

proptest! {
    #[test]
    fn a_replay_with_the_same_facts_gives_the_same_plans(batch in any_batch()) {
        let facts = World::default().gather(&batch);
        let once = plan_batch(batch.clone(), &facts, &policy(), NOW);
        prop_assert_eq!(plan_batch(batch, &facts, &policy(), NOW), once);
    }

    #[test]
    fn a_replay_after_the_rows_became_durable_gives_the_same_plans(batch in any_batch()) {
        let world = World::default();
        let once = world.run(batch.clone());
        prop_assert_eq!(world.run(batch), once);
    }

    #[test]
    fn every_request_ends_in_tasks_or_in_the_reason_that_a_decision_gives(batch in any_batch()) {
        for plan in World::default().run(batch) {
            match &plan.disposition {
                Disposition::Merged { .. } => prop_assert!(false, "nothing asks for it"),
                Disposition::Tasks(tasks) => prop_assert!(!tasks.is_empty()),
                Disposition::Skipped(reason) => {
                    let verdict = Verdict::Skip(reason.clone());
                    prop_assert!(plan.decisions.iter().any(|decision| decision.verdict == verdict));
                }
            }
        }
    }

    #[test]
    fn decisions_stand_in_the_order_of_the_gates_and_steps(batch in any_batch()) {
        // Those that are always asked: no brake is on, and nothing is known of users here.
        let gates = [Step::Cancelled, Step::Expiry, Step::Idempotency, Step::Dedup];
        for plan in World::default().run(batch) {
            let steps: Vec<Step> = plan.decisions.iter().map(|decision| decision.step).collect();
            prop_assert!(steps.iter().is_sorted_by_key(|step| rank(*step)));
            let judged: Vec<Step> = steps.into_iter().filter(|step| gates.contains(step)).collect();
            prop_assert_eq!(&judged[..], &gates[..judged.len()]);
        }
    }

    #[test]
    fn of_those_that_could_be_sent_under_one_business_key_exactly_one_is(
        batch in any_batch(),
        cancelled in prop::collection::vec((0u64..20).prop_map(position), 0..5),
    ) {
        let keyed = batch.into_iter().map(|(position, request)| {
            (position, NotificationRequest { dedup_key: Some("one".into()), ..request })
        });
        let world = World { cancelled, ..World::default() };
        let plans = world.run(keyed.collect());
        let sent = plans.iter().filter(|plan| !plan.tasks().is_empty()).count();
        let last_step = |plan: &Arc<Plan>| plan.decisions.last().map(|decision| decision.step);
        let refused = plans.iter().filter(|plan| last_step(plan) == Some(Step::Dedup)).count();
        prop_assert_eq!(sent, usize::from(sent + refused > 0));
    }

    #[test]
    fn each_key_is_held_by_at_most_one_plan_of_a_batch(batch in any_batch()) {
        let plans = World::default().run(batch);
        let mut keys: Vec<ClaimKey> = plans.iter().flat_map(|plan| &plan.claims).map(|claim| claim.key).collect();
        let all = keys.len();
        keys.sort();
        keys.dedup();
        prop_assert_eq!(keys.len(), all);
    }

    #[test]
    fn what_is_released_is_what_was_claimed(batch in any_batch()) {
        let world = World::default();
        let facts = world.gather(&batch);
        let held = world.claims.held.lock().expect("not poisoned");
        let mut claimed: Vec<(ClaimKey, Position)> =
            facts.claimed.iter().map(|Wanted { key, owner }| (*key, *owner)).collect();
        let mut expected: Vec<(ClaimKey, Position)> = held.iter().map(|(key, owner)| (*key, *owner)).collect();
        claimed.sort();
        expected.sort();
        prop_assert_eq!(claimed, expected);
    }
}

#[test]
fn what_is_paused_is_planned_to_wait_until_it_is_worth_nothing_any_more() {
    let paused = brakes(&[(BrakeKind::Category, "transactional", BrakeEffect::Pause, NOW)]);
    let facts = CandidateFacts { brakes: Some(paused), ..CandidateFacts::default() };
    let plan = dry_run(request(), knowing(&facts), &policy(), NOW);
    let until = plan.expires_at.expect("it has one");
    assert_eq!(plan.tasks()[0].due, Some(until));
    assert!(plan.is_held(0));
    let hold = Decision { step: Step::Brakes, channel: None, verdict: Verdict::Hold { until } };
    assert!(plan.decisions.contains(&hold), "{:?}", plan.decisions);
    let later = NotificationRequest { deliver_at: Some(NOW + Duration::from_secs(60)), ..request() };
    let plan = dry_run(later, knowing(&facts), &policy(), NOW);
    assert_eq!(plan.tasks()[0].due, Some(NOW + Duration::from_secs(60)), "it is judged when its time has come");
    assert!(!plan.is_held(0));
}

#[test]
fn what_is_recalled_is_cancelled_and_only_the_channel_that_was_recalled_is_left_out() {
    let recall = |kind, name| Some(brakes(&[(kind, name, BrakeEffect::Recall, NOW)]));
    let mut facts =
        CandidateFacts { brakes: recall(BrakeKind::Template, "order_confirm"), ..CandidateFacts::default() };
    let plan = dry_run(request(), knowing(&facts), &policy(), NOW);
    assert_eq!(plan.disposition, Disposition::Skipped(SkipReason::Cancelled));
    facts.brakes = recall(BrakeKind::Channel, "email");
    let mut both = request();
    both.to.phone = Some("+491701234567".into());
    both.channels = vec![Channel::Email, Channel::Sms];
    let plan = dry_run(both, knowing(&facts), &policy(), NOW);
    let channels: Vec<Channel> = plan.tasks().iter().map(|spec| spec.channel).collect();
    assert_eq!(channels, [Channel::Sms]);
}
