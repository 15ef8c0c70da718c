//! Groups: who leads, who joins, and that everybody is told of exactly once, whatever happens in between.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::domain::{Aggregate, Event, Gathered, OpenGroup, Story, Told};
use crate::planning::{ShardGroups, Shelves, Sources};
use crate::store::{Books, Cursors, GroupEntry, GroupRow, Groups, StoreError, TaskLog, WriteBatch, closed, members};

/// What a store holds of plans and groups.
#[derive(Default)]
struct FakeLog {
    stories: Mutex<HashMap<Position, Story>>,
    groups: Mutex<HashMap<Position, Vec<GroupEntry>>>,
}

impl FakeLog {
    fn add_plan(&self, plan: &Plan) {
        let story = Story { plan: plan.clone(), events: Vec::new() };
        self.stories.lock().expect("not poisoned").insert(plan.position, story);
    }

    fn add_rows(&self, rows: Vec<GroupRow>) {
        let mut groups = self.groups.lock().expect("not poisoned");
        for row in rows {
            groups.entry(row.leader).or_default().push(row.entry);
        }
    }

    fn entries(&self, leader: Position) -> Vec<GroupEntry> {
        self.groups.lock().expect("not poisoned").get(&leader).cloned().unwrap_or_default()
    }

    fn plans(&self) -> BTreeMap<u64, Plan> {
        let stories = self.stories.lock().expect("not poisoned");
        stories.values().map(|story| (story.plan.position.offset, story.plan.clone())).collect()
    }
}

#[async_trait]
impl TaskLog for FakeLog {
    async fn write(&self, _: ShardId, _: WriteBatch) -> Result<(), StoreError> {
        Ok(())
    }

    async fn stories(&self, positions: &[Position]) -> Result<Vec<Option<Story>>, StoreError> {
        let stories = self.stories.lock().expect("not poisoned");
        Ok(positions.iter().map(|position| stories.get(position).cloned()).collect())
    }

    async fn block(&self, _: ShardId, _: u64) -> Result<Vec<Story>, StoreError> {
        Ok(Vec::new())
    }

    async fn loose_events(&self, _: ShardId, _: u64) -> Result<Vec<Event>, StoreError> {
        Ok(Vec::new())
    }

    async fn cursors(&self, _: ShardId) -> Result<Cursors, StoreError> {
        Ok(Cursors::default())
    }

    async fn books(&self, _: ShardId) -> Result<Books, StoreError> {
        Ok(Books::default())
    }
}

#[async_trait]
impl Groups for FakeLog {
    async fn groups(&self, leaders: &[Position]) -> Result<Vec<Vec<GroupEntry>>, StoreError> {
        Ok(leaders.iter().map(|leader| self.entries(*leader)).collect())
    }
}

/// A shard with its memory and its store.
pub(super) struct Shard {
    pub(super) world: World,
    log: FakeLog,
    pub(super) policy: Policy,
    known: HashMap<ClaimKey, OpenGroup>,
    doubtful_below: u64,
    doubtful: HashMap<ClaimKey, Vec<Position>>,
    next: u64,
    pub(super) now: Timestamp,
}

/// How much of a batch is written before the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    All,
    /// All but the claims of groups.
    Plans,
    /// Who joined, and every other plan.
    Half,
    /// Who joined, and nothing else.
    Joined,
}

impl Shard {
    pub(super) fn new(change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = policy();
        policy.quiet_hours = None;
        change(&mut policy);
        Self {
            world: World::default(),
            log: FakeLog::default(),
            policy,
            known: HashMap::new(),
            doubtful_below: 0,
            doubtful: HashMap::new(),
            next: 0,
            now: NOW,
        }
    }

    pub(super) fn plan(&mut self, requests: Vec<NotificationRequest>) -> Vec<Arc<Plan>> {
        let batch: Batch = (self.next..).map(position).zip(requests).collect();
        self.next += batch.len() as u64;
        self.plan_batch(batch, Written::All)
    }

    fn plan_batch(&mut self, batch: Batch, written: Written) -> Vec<Arc<Plan>> {
        let facts = self.gather(&batch);
        let plans = plan_batch(batch, &facts, &self.policy, self.now);
        block_on(self.world.claims.release(&facts.claimed));
        self.log.add_rows(facts.groups.clone().rows(&plans, &self.policy));
        for (index, plan) in plans.iter().enumerate() {
            match written {
                Written::All | Written::Plans => self.log.add_plan(plan),
                Written::Half if index % 2 == 0 => self.log.add_plan(plan),
                Written::Half | Written::Joined => {}
            }
        }
        if written != Written::All {
            return plans;
        }
        for (key, leader) in &facts.doubtful {
            self.doubtful.entry(*key).or_default().push(*leader);
        }
        let mut groups = facts.groups.clone();
        for plan in &plans {
            self.world.rows.write(plan, received_row(plan, &self.policy));
            groups.follow(plan, self.policy.items_max);
            self.remember(plan);
        }
        for (key, mut group) in groups.iter() {
            let before = self.known.get(&key).filter(|before| before.leader == group.leader);
            group.is_closed |= before.is_some_and(|before| before.is_closed);
            self.known.insert(key, group);
        }
        plans
    }

    fn gather(&self, batch: &Batch) -> Facts {
        let known = |key: ClaimKey| self.known.get(&key).copied();
        let groups = ShardGroups { known: &known, doubtful_below: self.doubtful_below, doubtful: Some(&self.doubtful) };
        let sources = self.world.sources();
        let shelves = Shelves { stories: &self.log, groups: &self.log, ..sources.shelves };
        let is_cancelled = |position| self.world.cancelled.contains(&position);
        let sources = Sources { shelves, groups, is_cancelled: &is_cancelled, ..sources };
        block_on(gather(batch, &self.policy, &sources, self.now)).expect("readable")
    }

    fn remember(&mut self, plan: &Plan) {
        if let Some(group) =
            plan.group.as_ref().filter(|_| plan.is_leader() && plan.position.offset < self.doubtful_below)
        {
            self.doubtful.entry(group.key).or_default().push(plan.position);
        }
    }

    /// Closes what is due, as whoever sends it does.
    fn close_due(&mut self) {
        for plan in self.log.plans().into_values().filter(Plan::is_leader) {
            let group = plan.group.as_ref().expect("it leads one");
            let entries = self.log.entries(plan.position);
            if group.until <= self.now && closed(&entries).is_none() {
                let gathered = Gathered::of(&members(&plan, &entries), 10);
                let entry = GroupEntry::Closed(gathered, Told::EVERYBODY);
                self.log.add_rows(vec![GroupRow { leader: plan.position, until: group.until, owner: None, entry }]);
                self.known.retain(|_, known| known.leader != plan.position.offset);
            }
        }
    }

    /// Closes the group of a leader, without those of these offsets and after them.
    fn close_below(&mut self, leader: u64, below: u64) {
        let plan = self.log.plans()[&leader].clone();
        let all = members(&plan, &self.log.entries(plan.position));
        let seen: Vec<_> = all.into_iter().filter(|one| one.offset < below).collect();
        let entry = GroupEntry::Closed(Gathered::of(&seen, 10), Told { below, also: Vec::new() });
        self.log.add_rows(vec![GroupRow { leader: plan.position, until: self.now, owner: None, entry }]);
    }

    /// The process ends while it writes a batch; the next one plans again what is not there.
    pub(super) fn crash(
        &mut self,
        requests: Vec<NotificationRequest>,
        written: Written,
        closes_between: bool,
        at: usize,
    ) {
        let batch = self.end_in(requests, written);
        if closes_between {
            self.now = self.now + Duration::from_secs(300);
            self.close_due();
        }
        self.plan_again(batch, at);
    }

    /// The process ends while it writes a batch.
    pub(super) fn end_in(&mut self, requests: Vec<NotificationRequest>, written: Written) -> Batch {
        let batch: Batch = (self.next..).map(position).zip(requests).collect();
        self.next += batch.len() as u64;
        self.plan_batch(batch.clone(), written);
        self.known.clear();
        self.doubtful.clear();
        self.doubtful_below = self.next;
        batch
    }

    /// The next one plans what is not there: in two batches, which need not be those of before.
    pub(super) fn plan_again(&mut self, batch: Batch, at: usize) {
        let Some(first) = batch.first().map(|(position, _)| position.offset) else { return };
        let (one, other) = batch.split_at(at.min(batch.len()));
        for part in [one, other] {
            let planned = self.log.plans();
            let before = planned.values().filter(|plan| plan.position.offset >= first);
            let before: Vec<Plan> =
                before.filter(|plan| part.iter().any(|(position, _)| *position == plan.position)).cloned().collect();
            before.iter().for_each(|plan| self.remember(plan));
            let rest: Batch =
                part.iter().filter(|(position, _)| !planned.contains_key(&position.offset)).cloned().collect();
            if !rest.is_empty() {
                self.plan_batch(rest, Written::All);
            }
        }
    }

    /// Everything that was planned is in exactly one message, or skipped.
    pub(super) fn check(&mut self) {
        self.now = self.now + Duration::from_secs(3600);
        self.close_due();
        let plans = self.log.plans();
        assert_eq!(plans.len() as u64, self.next, "each is planned");
        let mut told = BTreeSet::new();
        for plan in plans.values().filter(|plan| plan.is_leader()) {
            let entries = self.log.entries(plan.position);
            let gathered = closed(&entries).expect("it was due");
            let all = members(plan, &entries);
            assert_eq!(gathered.count as usize, all.len(), "nobody joins what is closed");
            for one in all {
                assert!(told.insert(one.offset), "{} is told of twice", one.offset);
                let disposition = &plans[&one.offset].disposition;
                let is_there =
                    one.offset == plan.position.offset || *disposition == Disposition::Merged { into: plan.position };
                assert!(is_there, "{} is {disposition:?} and stands under {}", one.offset, plan.position.offset);
            }
        }
        for plan in plans.values() {
            let is_told = told.contains(&plan.position.offset);
            assert_eq!(is_told, plan.group.is_some(), "{}: {:?}", plan.position.offset, plan.disposition);
        }
    }
}

pub(super) fn like(key: &str, actor: &str) -> NotificationRequest {
    with(|request| {
        request.user_id = Some("alice".into());
        request.aggregate = Some(Aggregate { key: key.into(), actor: Some(actor.into()), window_seconds: None });
    })
}

pub(super) fn at(request: NotificationRequest, seconds: u64) -> NotificationRequest {
    NotificationRequest { accepted_at: NOW + Duration::from_secs(seconds), ..request }
}

#[test]
fn the_first_leads_and_those_after_it_join_until_its_window_ends() {
    let mut shard = Shard::new(|_| ());
    let plans = shard.plan(vec![like("a", "x"), like("a", "y"), like("b", "x"), at(like("a", "z"), 299)]);
    assert_eq!(fates(&plans), ["sent", "merged into 0", "sent", "merged into 0"]);
    assert_eq!(plans[0].tasks()[0].due, Some(NOW + Duration::from_secs(300)));
    let plans = shard.plan(vec![at(like("a", "v"), 299), at(like("a", "w"), 300)]);
    assert_eq!(fates(&plans), ["merged into 0", "sent"]);
    shard.check();
}

#[test]
fn two_of_one_actor_are_a_duplicate_and_those_of_two_are_not() {
    let plans = Shard::new(|_| ()).plan(vec![like("a", "x"), like("a", "x"), like("a", "y")]);
    assert_eq!(fates(&plans), ["sent", "duplicate of 0", "merged into 0"]);
}

#[test]
fn groups_are_of_one_user_address_category_and_tenant() {
    let others = [
        with(|request| *request = NotificationRequest { user_id: Some("bob".into()), ..like("a", "x") }),
        with(|request| *request = NotificationRequest { tenant: "another".into(), ..like("a", "x") }),
        with(|request| *request = NotificationRequest { category: Some("social".into()), ..like("a", "x") }),
        with(|request| *request = NotificationRequest { user_id: None, ..like("a", "x") }),
        with(|request| {
            let to = Recipient { email: Some("b@example.com".into()), ..Recipient::default() };
            *request = NotificationRequest { user_id: None, to, ..like("a", "x") };
        }),
    ];
    let all = [like("a", "x")].into_iter().chain(others);
    let all = all.map(|request| NotificationRequest { dedup_window_seconds: Some(0), ..request });
    assert_eq!(fates(&Shard::new(|_| ()).plan(all.collect())), ["sent"; 6]);
}

#[test]
fn what_would_come_too_early_or_expire_before_leads_a_group_of_its_own() {
    let later = with(|request| {
        *request = NotificationRequest { deliver_at: Some(NOW + Duration::from_secs(900)), ..like("a", "y") };
    });
    let sooner = with(|request| {
        *request = NotificationRequest { expires_at: Some(NOW + Duration::from_secs(60)), ..like("a", "z") };
    });
    let plans = Shard::new(|_| ()).plan(vec![like("a", "x"), later, sooner]);
    assert_eq!(fates(&plans), ["sent"; 3]);
    let due: Vec<_> = plans.iter().map(|plan| plan.tasks()[0].due).collect();
    assert_eq!(due, [300, 900, 0].map(|seconds| Some(NOW + Duration::from_secs(seconds))));
}

#[test]
fn only_the_data_of_the_first_are_kept_and_all_actors_are() {
    let mut shard = Shard::new(|policy| policy.shown_items = 2);
    shard.plan(vec![like("a", "x"), like("a", "y"), like("a", "z")]);
    let entries = shard.log.entries(position(0));
    let [GroupEntry::Joined(joined)] = &entries[..] else { panic!("one row: {entries:?}") };
    let kept: Vec<_> = joined.iter().map(|one| (one.actor.as_deref(), one.data.is_some())).collect();
    assert_eq!(kept, [(Some("y"), true), (Some("z"), false)]);
}

#[test]
fn one_who_stands_under_a_leader_that_was_closed_unseen_leads_a_message_of_its_own() {
    let mut shard = Shard::new(|_| ());
    shard.plan(vec![like("a", "x"), like("a", "y")]);
    let batch = shard.end_in(vec![like("a", "z")], Written::Joined);
    shard.close_below(0, 2);
    shard.plan_again(batch, 1);
    let plans: Vec<_> = shard.log.plans().into_values().map(Arc::new).collect();
    assert_eq!(fates(&plans), ["sent", "merged into 0", "sent"]);
}

#[test]
fn who_stands_under_a_leader_is_told_of_once_though_another_leader_has_its_claim_by_then() {
    let mut shard = Shard::new(|_| ());
    let free = |actor: &str| NotificationRequest { dedup_window_seconds: Some(0), ..like("a", actor) };
    shard.plan(vec![free("x")]);
    // The second one leads when it is planned again, and the last one stands under the first of all.
    let batch = vec![like("a", "y"), like("a", "y"), like("a", "y"), free("x")];
    shard.crash(batch, Written::Half, true, 2);
    shard.check();
}

#[test]
fn who_stands_under_a_leader_of_its_own_batch_stands_there_again_unless_that_one_is_not_sent() {
    let mut shard = Shard::new(|_| ());
    let batch = shard.end_in(vec![like("a", "x"), like("a", "y"), like("a", "z")], Written::Joined);
    let facts = shard.gather(&batch);
    let joined: Vec<_> = facts.candidates.iter().map(|facts| facts.joined.map(|leader| leader.offset)).collect();
    assert_eq!(joined, [None, Some(0), Some(0)]);
    shard.world.cancelled = vec![position(0)];
    shard.plan_again(batch, 3);
    let plans: Vec<_> = shard.log.plans().into_values().map(Arc::new).collect();
    assert_eq!(fates(&plans), ["cancelled", "sent", "merged into 1"]);
}

/// What may happen to a shard.
#[derive(Debug, Clone)]
enum Step {
    Batch(Vec<(u8, u8)>),
    Wait(u16),
    /// All is written, and memory is lost.
    Restart,
    Crash {
        items: Vec<(u8, u8)>,
        written: Written,
        closes_between: bool,
        at: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let items = || prop::collection::vec((0u8..3, 0u8..6), 1..8);
    let written = prop::sample::select(vec![Written::Plans, Written::Half, Written::Joined]);
    let crash = (items(), written, any::<bool>(), 0usize..8);
    let step = prop_oneof![
        4 => items().prop_map(Step::Batch),
        2 => (0u16..400).prop_map(Step::Wait),
        1 => Just(Step::Restart),
        2 => crash.prop_map(|(items, written, closes_between, at)| Step::Crash { items, written, closes_between, at }),
    ];
    prop::collection::vec(step, 1..16)
}

proptest! {
    #[test]
    fn nobody_is_merged_into_nothing_or_into_two(
        steps in steps(),
        items_max in prop::option::of(2u32..5),
    ) {
        let mut shard = Shard::new(|policy| policy.items_max = items_max);
        let requests = |now: Timestamp, items: Vec<(u8, u8)>| -> Vec<NotificationRequest> {
            let request = |(key, actor): (u8, u8)| NotificationRequest {
                accepted_at: now,
                // Of each actor many, so that few are duplicates.
                dedup_window_seconds: (actor > 0).then_some(0),
                ..like(&key.to_string(), &actor.to_string())
            };
            items.into_iter().map(request).collect()
        };
        for step in steps {
            match step {
                Step::Batch(items) => drop(shard.plan(requests(shard.now, items))),
                Step::Wait(seconds) => {
                    shard.now = shard.now + Duration::from_secs(u64::from(seconds));
                    shard.close_due();
                }
                Step::Restart => {
                    shard.known.clear();
                    shard.doubtful.clear();
                    shard.doubtful_below = shard.next;
                }
                Step::Crash { items, written, closes_between, at } => {
                    shard.crash(requests(shard.now, items), written, closes_between, at);
                }
            }
        }
        shard.check();
    }
}
