use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::chunks::Chunks;
use super::outcome::{self, Outcome};
use super::removal::Removal;
use crate::campaigns::{Campaigns, ListMember, Lists, OPEN_MAX, SavedList, list_part, list_spread, rows};
use crate::clock::{Clock, ManualClock, Moment};
use crate::domain::{
    Audience, Campaign, CampaignId, CampaignKind, CampaignProgress, CampaignStatus, Content, Disposition, Event,
    EventKind, Missed, NotificationId, NotificationRequest, Plan, Position, Priority, Recipient, Routing, SkipReason,
    Source, Story, Timestamp,
};
use crate::homes::{HOMES, Tenure};
use crate::intake::fakes::FakeStore;
use crate::ownership::Standing;
use crate::store::conformance::{plan, shard};
use crate::store::{KeyedPart, KeyedRows, SharedStore};

const NOW: Timestamp = Timestamp(10_000);

/// A story of two tasks, if no more is said.
fn story(change: impl FnOnce(&mut Plan), events: &[(usize, EventKind, Option<&str>)]) -> Story {
    let mut plan = plan(Position::new(shard(0), 1));
    let Disposition::Tasks(tasks) = &mut plan.disposition else { unreachable!("it has tasks") };
    tasks[0].due = None;
    let other = tasks[0].clone();
    tasks.truncate(1);
    tasks.push(other);
    plan.routing = Routing::All;
    change(&mut plan);
    let event = |(ordinal, kind, reason): &(usize, EventKind, Option<&str>)| Event {
        reason: reason.map(Box::from),
        ..Event::new(plan.task_id(*ordinal), 1, *kind, NOW)
    };
    let events = events.iter().map(event).collect();
    Story { plan, events }
}

#[track_caller]
fn check(story: Story, expected: Outcome) {
    assert_eq!(outcome::of(Some(&story), NOW), expected, "{:?}", story.events);
}

#[test]
fn a_message_is_over_when_all_its_tasks_are_and_succeeded_when_one_of_them_arrived() {
    use EventKind::{Bounced, Cancelled, Expired, Failed, Sent, Skipped};
    assert_eq!(outcome::of(None, NOW), Outcome::UnderWay, "it is not planned");
    let of = |events: &[(usize, EventKind, Option<&str>)]| story(|_| {}, events);
    check(of(&[]), Outcome::UnderWay);
    check(of(&[(0, Sent, None)]), Outcome::UnderWay);
    check(of(&[(0, Sent, None), (1, Failed, Some("no"))]), Outcome::Succeeded);
    check(of(&[(0, Failed, Some("no")), (1, Skipped, Some("suppressed"))]), Outcome::Failed("no".into()));
    check(of(&[(0, Sent, None), (0, Bounced, None), (1, Cancelled, None)]), Outcome::Failed("bounced".into()));
    check(of(&[(0, Sent, None), (0, Bounced, None), (1, Sent, None)]), Outcome::Succeeded);
    check(of(&[(0, Skipped, Some("no_consent")), (1, Cancelled, None)]), Outcome::Skipped("no_consent".into()));
    check(of(&[(0, Expired, None), (1, Expired, None)]), Outcome::Skipped("expired".into()));
}

#[test]
fn what_waits_for_a_time_is_not_under_way() {
    let scheduled = |due: u64, events: &[(usize, EventKind, Option<&str>)]| {
        let change = |plan: &mut Plan| {
            let Disposition::Tasks(tasks) = &mut plan.disposition else { unreachable!("it has tasks") };
            tasks.iter_mut().for_each(|task| task.due = Some(Timestamp(due)));
        };
        story(change, events)
    };
    check(scheduled(20_000, &[]), Outcome::Waits(Timestamp(20_000)));
    check(scheduled(20_000, &[(0, EventKind::Sent, None)]), Outcome::Waits(Timestamp(20_000)));
    check(scheduled(9_000, &[]), Outcome::UnderWay);
}

#[test]
fn what_was_not_to_be_sent_says_why() {
    let with = |disposition: Disposition| story(|plan| plan.disposition = disposition, &[]);
    check(with(Disposition::Skipped(SkipReason::NoConsent)), Outcome::Skipped("no_consent".into()));
    check(with(Disposition::Merged { into: Position::new(shard(0), 0) }), Outcome::Skipped("merged".into()));
}

/// So many messages, of which the second is never planned.
async fn handed_on(store: &FakeStore, planned: &[u64]) -> Chunks {
    let members =
        (1..=3u64).map(|offset| (format!("m{offset}").into(), NotificationId(Position::new(shard(0), offset))));
    let members: Vec<(Box<str>, NotificationId)> = members.collect();
    for offset in planned {
        let position = Position::new(shard(0), *offset);
        let mut plan = plan(position);
        plan.disposition = Disposition::Skipped(SkipReason::NoConsent);
        store.tell(plan, Vec::new());
    }
    store.put_keyed(vec![rows::members_row(ID, 0, &members)]).await.expect("written");
    let mut chunks = Chunks::default();
    chunks.insert(0, members, Moment::default());
    chunks
}

const ID: CampaignId = CampaignId(7);

/// Looks for so long; what was over by then.
async fn looked_for(chunks: &mut Chunks, store: &SharedStore, clock: &ManualClock, time: Duration) -> Vec<Missed> {
    let end = clock.moment() + time;
    while clock.moment() < end {
        clock.advance(Duration::from_secs(1));
        let looked = chunks.look(store, ID, clock, 8).await.expect("the store reads");
        if let Some((_, result, missed)) = looked.closed.into_iter().next() {
            assert_eq!((result.failed, result.skipped), (1, vec![("no_consent".into(), 2)]));
            return missed;
        }
    }
    Vec::new()
}

#[tokio::test]
async fn a_message_that_died_before_it_was_planned_is_over_once_what_came_after_it_was_planned_for_long() {
    let (fake, clock) = (Arc::new(FakeStore::default()), ManualClock::starting_at(NOW));
    let store: SharedStore = fake.clone();
    let mut chunks = handed_on(&fake, &[1, 3]).await;
    assert_eq!(looked_for(&mut chunks, &store, &clock, Duration::from_secs(590)).await, []);
    let missed = looked_for(&mut chunks, &store, &clock, Duration::from_secs(60)).await;
    assert_eq!(
        missed.iter().filter(|one| &*one.status == "failed").map(|one| &*one.member).collect::<Vec<_>>(),
        ["m2"]
    );
    assert!(missed.iter().any(|one| one.reason.contains("dead letters")), "{missed:?}");
    // Where nothing is planned yet, none of it is dead.
    let store: SharedStore = Arc::new(FakeStore::default());
    let mut chunks = handed_on(&fake, &[]).await;
    assert_eq!(looked_for(&mut chunks, &store, &clock, Duration::from_secs(3600)).await, []);
}

#[tokio::test]
async fn a_member_with_two_messages_is_counted_by_the_first() {
    let (fake, clock) = (Arc::new(FakeStore::default()), ManualClock::starting_at(NOW));
    let store: SharedStore = fake.clone();
    let at = |offset| Position::new(shard(0), offset);
    let first_of = |offset, campaign| {
        let mut first = plan(at(offset));
        first.disposition = Disposition::Skipped(SkipReason::NoConsent);
        first.campaign = Some(campaign);
        first
    };
    let mut chunks = handed_on(&fake, &[]).await;
    // The first message of the second member is not written yet; that of the third is another campaign's.
    for (offset, of) in [(1, 11), (2, 12), (3, 13)] {
        let mut second = plan(at(offset));
        second.disposition = Disposition::Skipped(SkipReason::Duplicate { of: NotificationId(at(of)) });
        fake.tell(second, Vec::new());
    }
    fake.tell(first_of(11, ID), Vec::new());
    fake.tell(first_of(13, CampaignId(8)), Vec::new());
    clock.advance(Duration::from_secs(1));
    let looked = chunks.look(&store, ID, &*clock, 8).await.expect("the store reads");
    assert!(looked.closed.is_empty(), "{looked:?}");
    fake.tell(first_of(12, ID), Vec::new());
    clock.advance(Duration::from_secs(1));
    let looked = chunks.look(&store, ID, &*clock, 8).await.expect("the store reads");
    let [(_, result, missed)] = &looked.closed[..] else { panic!("it is over: {looked:?}") };
    assert_eq!(result.skipped, [(Box::from("duplicate"), 1), (Box::from("no_consent"), 2)]);
    assert_eq!(*missed[0].notification, NotificationId(at(11)).to_string());
}

fn tenure(home: u16, clock: &Arc<ManualClock>) -> Tenure {
    Tenure::new(home, CancellationToken::new(), Arc::new(Standing::for_ever()), clock.clone())
}

/// What there is of campaigns and lists, in all.
async fn left(store: &FakeStore, parts: &[KeyedPart]) -> Vec<usize> {
    let mut left = Vec::new();
    for part in parts {
        left.push(store.keyed_between(part, None, None, 10_000).await.expect("read").len());
    }
    left
}

fn message() -> NotificationRequest {
    NotificationRequest {
        campaign: None,
        tenant: "default".into(),
        user_id: None,
        to: Recipient::default(),
        content: Content::Inline { title: "t".into(), body: "b".into(), html: None, sms: None },
        data: "{}".into(),
        category: None,
        locale: None,
        priority: Priority::Normal,
        channels: Vec::new(),
        routing: Routing::All,
        deliver_at: None,
        local_time: None,
        expires_at: None,
        dedup_key: None,
        dedup_window_seconds: None,
        aggregate: None,
        attachments: Vec::new(),
        collapse_key: None,
        idempotency: None,
        metadata: "{}".into(),
        source: Source::Campaign,
        accepted_at: NOW,
    }
}

fn campaign(id: CampaignId, list: &str, now: Timestamp) -> Campaign {
    Campaign {
        id,
        tenant: "default".into(),
        kind: CampaignKind::Asked,
        name: None,
        made_at: now,
        starts_at: now,
        message: message(),
        audience: Audience::List { list: list.into() },
        is_counted: true,
        ceiling: None,
        rate_per_second: None,
        canary: None,
        made_by: None,
        body_hash: 0,
    }
}

#[tokio::test]
async fn what_was_over_for_long_is_removed_with_the_list_that_came_with_it_and_nothing_else_is() {
    let (store, clock) = (Arc::new(FakeStore::default()), ManualClock::starting_at(NOW));
    let campaigns = Arc::new(Campaigns::new(store.clone(), clock.clone()));
    let lists = Lists::new(store.clone(), clock.clone());
    let day = Duration::from_secs(24 * 60 * 60);
    let member = ListMember { user_id: Some("alice".into()), ..ListMember::default() };
    let saved = |id: &str| SavedList { id: id.into(), name: None, members: 1, bytes: 5, created_at: NOW, body_hash: 0 };
    for list in ["lst_own", "lst_uploaded"] {
        lists.put("default", list, std::slice::from_ref(&member)).await.expect("written");
    }
    lists.complete_of_campaign("default", &saved("lst_own")).await.expect("written");
    lists.complete("default", &saved("lst_uploaded")).await.expect("written");
    let mut homes = Vec::new();
    for (number, list) in [(1, "lst_own"), (2, "lst_uploaded")] {
        let campaign = campaign(CampaignId(number), list, clock.now());
        campaigns.begin(&campaign).await.expect("written");
        let progress = CampaignProgress {
            chunks: 200,
            ended_at: Some(clock.now()),
            ..CampaignProgress::new(CampaignStatus::Completed, NOW)
        };
        let chunk = |number| {
            rows::members_row(campaign.id, number, &[("alice".into(), NotificationId(Position::new(shard(0), 1)))])
        };
        let mut all: Vec<_> = (0..200).map(chunk).collect();
        all.push(rows::progress_row(campaign.id, &progress));
        store.put_keyed(all).await.expect("written");
        campaigns.close(&campaign, &progress).await.expect("written");
        homes.push(rows::home(campaign.id));
    }
    let ids = [CampaignId(1), CampaignId(2)];
    let mut parts = vec![rows::tenant_part("default")];
    for id in ids {
        parts.extend([
            rows::part(id),
            rows::chunk_part(id, 0),
            rows::chunk_part(id, 199),
            rows::over_part(rows::home(id)),
        ]);
    }
    let spread = list_spread("alice");
    parts.extend([list_part("lst_own", spread), list_part("lst_uploaded", spread)]);
    let run = async |clock: &Arc<ManualClock>| {
        for home in &homes {
            let mut removal = Removal::new(campaigns.clone(), clock.clone(), day * 90);
            for _ in 0..100 {
                removal.step(&tenure(*home, clock)).await;
            }
        }
    };
    let before = left(&store, &parts).await;
    clock.advance(day * 89);
    run(&clock).await;
    assert_eq!(left(&store, &parts).await, before, "it is not long enough ago");
    clock.advance(day * 2);
    run(&clock).await;
    assert_eq!(
        left(&store, &parts).await,
        [vec![0; before.len() - 1], vec![1]].concat(),
        "an uploaded list is not the campaign's"
    );
    assert_eq!(campaigns.get("default", ids[0]).await.expect("read"), None);
}

#[tokio::test]
async fn what_an_upload_left_that_broke_off_is_removed_a_week_later_and_what_was_completed_is_not() {
    let (store, clock) = (Arc::new(FakeStore::default()), ManualClock::starting_at(NOW));
    let campaigns = Arc::new(Campaigns::new(store.clone(), clock.clone()));
    let lists = Lists::new(store.clone(), clock.clone());
    let day = Duration::from_secs(24 * 60 * 60);
    let members: Vec<ListMember> = (0..2500)
        .map(|number| ListMember { user_id: Some(format!("user{number}").into()), ..ListMember::default() })
        .collect();
    for (list, campaign) in [("lst_broken", None), ("lst_whole", None), ("lst_of_nothing", Some(CampaignId(9)))] {
        lists.begin("default", list, campaign).await.expect("written");
        lists.put("default", list, &members).await.expect("written");
    }
    let saved =
        |id: &str| SavedList { id: id.into(), name: None, members: 2500, bytes: 5, created_at: NOW, body_hash: 0 };
    // The node died before it could say that it ended.
    lists.complete("default", &saved("lst_whole")).await.expect("written");
    lists.complete_of_campaign("default", &saved("lst_of_nothing")).await.expect("written");
    let run = async |clock: &Arc<ManualClock>| {
        for home in 0..HOMES {
            let mut removal = Removal::new(campaigns.clone(), clock.clone(), day * 90);
            for _ in 0..20 {
                removal.step(&tenure(home, clock)).await;
            }
        }
    };
    let counts = async || {
        let mut counts = Vec::new();
        for list in ["lst_broken", "lst_whole", "lst_of_nothing"] {
            counts.push(lists.count(list).await.expect("counted"));
        }
        counts
    };
    clock.advance(day * 6);
    run(&clock).await;
    assert_eq!(counts().await, [2500, 2500, 2500]);
    clock.advance(day * 2);
    run(&clock).await;
    assert_eq!(counts().await, [0, 2500, 0]);
    assert!(lists.find("default", "lst_of_nothing").await.expect("read").is_none());
}

#[tokio::test]
async fn a_tenant_has_so_many_open_campaigns_that_somebody_asked_for_and_one_that_ends_makes_room() {
    let (store, clock) = (Arc::new(FakeStore::default()), ManualClock::starting_at(NOW));
    let campaigns = Campaigns::new(store.clone(), clock.clone());
    for number in 0..OPEN_MAX as u128 + 5 {
        // What an event began is not counted.
        let kind = if number < 5 { CampaignKind::FanOut } else { CampaignKind::Asked };
        assert!(campaigns.has_room("default").await.expect("read"));
        let campaign = Campaign { kind, ..campaign(CampaignId(number), "lst_1", NOW) };
        campaigns.begin(&campaign).await.expect("written");
    }
    assert!(!campaigns.has_room("default").await.expect("read"));
    assert!(campaigns.has_room("other").await.expect("read"));
    let over = campaign(CampaignId(50), "lst_1", NOW);
    campaigns.close(&over, &CampaignProgress::new(CampaignStatus::Completed, NOW)).await.expect("written");
    assert!(campaigns.has_room("default").await.expect("read"));
}
