//! Schedules over a store in memory and a clock that is moved.

mod definitions;
mod lasting;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::fakes::{FakeBegins, FakeContents};
use super::*;
use crate::clock::ManualClock;
use crate::config;
use crate::domain::{Audience, CampaignKind, DefinitionKind, RunKind, RunState, ScheduleRun, Timestamp};
use crate::homes::{HOMES, Tenure, Turns, Work, home_of};
use crate::intake::fakes::FakeStore;
use crate::ownership::Standing;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

struct World {
    clock: Arc<ManualClock>,
    store: Arc<FakeStore>,
    begins: Arc<FakeBegins>,
    contents: Arc<FakeContents>,
    definitions: Arc<Definitions>,
    schedules: Arc<Schedules>,
    homes: Vec<Box<dyn Turns>>,
}

impl World {
    async fn new(now: &str) -> Self {
        let clock = ManualClock::starting_at(at(now));
        let store = Arc::new(FakeStore::default());
        let (begins, contents) = (Arc::<FakeBegins>::default(), Arc::<FakeContents>::default());
        let definitions = Definitions::open(store.clone(), Vec::new(), contents.clone(), clock.clone()).await;
        let definitions = definitions.expect("readable");
        let schedules = Schedules::new(ScheduleParts {
            definitions: definitions.clone(),
            store: store.clone(),
            begins: begins.clone(),
            contents: contents.clone(),
            categories: Arc::new(config::defaults().categories().expect("the default is there")),
            days: DayAttributes::new(&config::defaults().users.day_attributes),
            clock: clock.clone(),
        });
        let mut world = Self { clock, store, begins, contents, definitions, schedules, homes: Vec::new() };
        world.restart().await;
        world
    }

    /// Another owner has all homes from now on: what memory had is lost.
    async fn restart(&mut self) {
        let work = ScheduleWork::new(self.schedules.clone());
        self.homes.clear();
        for home in 0..HOMES {
            let standing = Arc::new(Standing::for_ever());
            let tenure = Tenure::new(home, CancellationToken::new(), standing, self.clock.clone());
            self.homes.push(work.begin(tenure).await.expect("nothing is read yet"));
        }
    }

    async fn save(&self, name: &str, body: Value) {
        let body = body.to_string();
        assert_eq!(self.schedules.check("acme", name, &body).await, []);
        let saved = self.definitions.put("acme", DefinitionKind::Schedule, name, &body, None).await;
        saved.expect("saved");
    }

    /// A turn of every home; the shortest wait.
    async fn turn(&mut self) -> Duration {
        let mut wait = Duration::MAX;
        for home in &mut self.homes {
            wait = wait.min(home.turn().await.expect("no error gets out of a turn"));
        }
        wait
    }

    /// Lets time pass, in steps, with a turn after each.
    async fn pass(&mut self, duration: Duration, step: Duration) {
        let until = self.clock_now() + duration;
        while self.clock_now() < until {
            self.clock.advance(step);
            self.turn().await;
        }
    }

    fn clock_now(&self) -> Timestamp {
        use crate::clock::Clock;
        self.clock.now()
    }

    /// The newest first.
    async fn runs(&self, name: &str) -> Vec<ScheduleRun> {
        self.schedules.runs("acme", name, None, 1000).await.expect("readable")
    }

    #[track_caller]
    fn assert_due(runs: &[ScheduleRun], expected: &[&str]) {
        let times: Vec<Timestamp> = runs.iter().rev().map(|run| run.due_at).collect();
        let expected: Vec<Timestamp> = expected.iter().map(|text| at(text)).collect();
        assert_eq!(times, expected);
    }
}

fn daily(cron: &str) -> Value {
    json!({"cron": cron, "timezone": "Europe/Berlin", "campaign": {"user_ids": ["a"], "template": "welcome"}})
}

fn scan(days: &[i32]) -> Value {
    json!({"cron": "0 9 * * *", "timezone": "Europe/Berlin", "scan": {
        "attribute": "membership_expires_at", "days_ahead": days, "where": {"field": "plan", "is": "gold"},
        "send": {"template": "welcome", "channels": ["email"], "data": {"shop": "A"}, "delay_seconds": 60}}})
}

#[tokio::test]
async fn a_daily_schedule_runs_once_a_day_over_both_changes_of_the_clocks() {
    for (start, expected) in [
        ("2026-03-28T00:00:00Z", ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]),
        ("2026-10-24T00:00:00Z", ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]),
    ] {
        let mut world = World::new(start).await;
        world.save("nightly", daily("30 2 * * *")).await;
        world.pass(DAY * 3, Duration::from_secs(5 * 60)).await;
        let runs = world.runs("nightly").await;
        World::assert_due(&runs, &expected);
        assert!(runs.iter().all(|run| (run.kind, run.state, run.missed) == (RunKind::Due, RunState::Begun, 0)));
        assert_eq!(world.begins.asked().len(), 3, "a campaign for each");
    }
}

#[tokio::test]
async fn the_next_turn_is_asked_for_at_the_due_time_and_not_before() {
    let mut world = World::new("2026-11-22T07:59:58Z").await;
    world.save("nine", daily("0 9 * * *")).await;
    assert_eq!(world.turn().await, Duration::from_secs(1));
    world.clock.advance(Duration::from_millis(1500));
    assert_eq!(world.turn().await, Duration::from_millis(500));
    assert_eq!(world.runs("nine").await, []);
    world.clock.advance(Duration::from_millis(500));
    world.turn().await;
    assert_eq!(world.runs("nine").await[0].started_at, at("2026-11-22T08:00:00Z"));
}

#[tokio::test]
async fn a_run_that_was_missed_for_an_hour_is_caught_up_once() {
    let mut world = World::new("2026-11-22T07:30:00Z").await;
    world.save("nine", daily("0 9 * * *")).await;
    world.turn().await;
    world.clock.advance(HOUR);
    world.restart().await;
    world.turn().await;
    world.restart().await;
    world.turn().await;
    let runs = world.runs("nine").await;
    World::assert_due(&runs, &["2026-11-22T08:00:00Z"]);
    assert_eq!((runs[0].kind, runs[0].missed, runs[0].started_at), (RunKind::CaughtUp, 0, at("2026-11-22T08:30:00Z")));
    assert_eq!(world.begins.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn of_three_days_that_were_missed_the_latest_is_run_and_says_how_many_were_not() {
    let mut world = World::new("2026-11-22T07:30:00Z").await;
    world.save("nine", daily("0 9 * * *")).await;
    world.pass(HOUR, Duration::from_secs(600)).await;
    world.clock.advance(DAY * 3);
    world.restart().await;
    world.pass(HOUR, Duration::from_secs(600)).await;
    let runs = world.runs("nine").await;
    World::assert_due(&runs, &["2026-11-22T08:00:00Z", "2026-11-25T08:00:00Z"]);
    assert_eq!((runs[0].kind, runs[0].missed), (RunKind::CaughtUp, 2));
    assert_eq!(world.begins.asked().len(), 2);
}

#[tokio::test]
async fn what_is_not_to_be_caught_up_is_noted_and_not_run() {
    let mut world = World::new("2026-11-22T07:30:00Z").await;
    let mut body = daily("0 9 * * *");
    body["catch_up"] = json!("skip");
    world.save("nine", body).await;
    world.clock.advance(HOUR);
    world.turn().await;
    world.turn().await;
    let runs = world.runs("nine").await;
    assert_eq!((runs.len(), runs[0].state), (1, RunState::Skipped));
    assert_eq!(world.begins.calls.load(Ordering::SeqCst), 0);
    world.clock.advance(HOUR * 23 + Duration::from_secs(35 * 60));
    world.turn().await;
    assert_eq!(world.runs("nine").await[0].state, RunState::Begun, "five minutes are no delay");
}

#[tokio::test]
async fn a_clock_that_is_turned_back_runs_no_due_time_twice() {
    let mut world = World::new("2026-11-22T07:30:00Z").await;
    world.save("nine", daily("0 9 * * *")).await;
    world.pass(HOUR, Duration::from_secs(600)).await;
    world.clock.set_back(HOUR);
    world.pass(HOUR * 2, Duration::from_secs(600)).await;
    world.clock.set_back(HOUR);
    world.restart().await;
    world.pass(HOUR * 2, Duration::from_secs(600)).await;
    World::assert_due(&world.runs("nine").await, &["2026-11-22T08:00:00Z"]);
    assert_eq!(world.begins.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_schedule_counts_from_its_last_change() {
    let mut world = World::new("2026-11-22T12:00:00Z").await;
    world.save("nine", daily("0 9 * * *")).await;
    world.turn().await;
    assert_eq!(world.runs("nine").await, [], "nobody had saved it at nine");
    world.clock.advance(DAY);
    let mut body = daily("0 9 * * *");
    body["active"] = json!(false);
    world.save("nine", body).await;
    world.clock.advance(DAY);
    world.turn().await;
    assert_eq!(world.runs("nine").await, [], "it is switched off");
    world.save("nine", daily("0 9 * * *")).await;
    world.turn().await;
    assert_eq!(world.runs("nine").await, [], "what passed meanwhile is not made up for");
    world.pass(DAY, HOUR).await;
    World::assert_due(&world.runs("nine").await, &["2026-11-25T08:00:00Z"]);
    world.definitions.delete("acme", DefinitionKind::Schedule, "nine", None).await.expect("deleted");
    world.pass(DAY, HOUR).await;
    assert_eq!(world.runs("nine").await.len(), 1);
}

#[tokio::test]
async fn a_crash_between_the_row_and_what_it_begins_changes_nothing_of_what_comes() {
    let mut world = World::new("2026-11-22T07:30:00Z").await;
    world.save("reminders", scan(&[7, 1])).await;
    world.turn().await;
    world.clock.advance(HOUR / 2);
    world.begins.ends_after.store(20, Ordering::SeqCst);
    world.turn().await;
    let runs = world.runs("reminders").await;
    assert_eq!((runs.len(), runs[0].state, runs[0].campaigns.len()), (1, RunState::Starting, 32));
    assert_eq!(world.begins.campaigns().len(), 20, "the node died in the middle");
    // Another takes over, half an hour later.
    world.begins.ends_after.store(0, Ordering::SeqCst);
    world.clock.advance(HOUR / 2);
    world.restart().await;
    world.turn().await;
    let (begun, runs) = (world.begins.campaigns(), world.runs("reminders").await);
    assert_eq!((runs.len(), runs[0].state, runs[0].missed), (1, RunState::Begun, 0));
    let ids: BTreeSet<CampaignId> = begun.iter().map(|campaign| campaign.id).collect();
    assert_eq!(ids, runs[0].campaigns.iter().copied().collect(), "the same, and no others");
    assert_eq!(begun.len(), 32);
    world.turn().await;
    assert_eq!(world.begins.calls.load(Ordering::SeqCst), 21 + 32, "and then no more");
}

#[tokio::test]
async fn a_run_that_cannot_be_begun_is_tried_again_and_holds_up_no_other_schedule() {
    let mut world = World::new("2026-11-22T07:59:00Z").await;
    world.save("reminders", scan(&[7])).await;
    let event = json!({"type": "scheduler.tick", "data": {"a": 1}});
    world.definitions.put("acme", DefinitionKind::EventType, "scheduler.tick", "{}", None).await.expect("saved");
    world.save("tick", json!({"cron": "0 8 * * *", "event": event})).await;
    world.begins.ends_after.store(1, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(60));
    world.turn().await;
    assert_eq!(world.runs("tick").await[0].state, RunState::Begun);
    assert_eq!(world.runs("reminders").await[0].state, RunState::Starting);
    world.begins.ends_after.store(0, Ordering::SeqCst);
    world.turn().await;
    assert_eq!(world.runs("reminders").await[0].state, RunState::Starting, "it has its pause");
    world.clock.advance(Duration::from_secs(5));
    world.turn().await;
    assert_eq!(world.runs("reminders").await[0].state, RunState::Begun);
}

#[tokio::test]
async fn a_scan_begins_a_campaign_for_each_day_and_home() {
    let mut world = World::new("2026-11-22T07:59:00Z").await;
    world.save("reminders", scan(&[7, 3, 1])).await;
    world.clock.advance(Duration::from_secs(60));
    world.turn().await;
    let campaigns = world.begins.campaigns();
    assert_eq!(campaigns.len(), 48);
    let mut covered = BTreeSet::new();
    for campaign in &campaigns {
        let Audience::Day { attribute, day, first_part, end_part, condition } = &campaign.audience else {
            panic!("{:?}", campaign.audience)
        };
        assert_eq!(&**attribute, "membership_expires_at");
        assert_eq!(condition.as_deref(), Some(r#"{"field":"plan","is":"gold"}"#));
        assert_eq!(home_of(&campaign.id.0.to_be_bytes()), first_part / 16, "each slice has a home of its own");
        covered.extend((*first_part..*end_part).map(|part| (*day, part)));
        let message = &campaign.message;
        assert_eq!((&campaign.kind, campaign.made_by.as_deref()), (&CampaignKind::Scheduled, Some("reminders")));
        assert_eq!((&message.user_id, &message.to), (&None, &Default::default()));
        assert_eq!(message.dedup_window_seconds, Some(7 * 24 * 3600));
        assert_eq!(message.deliver_at, Some(at("2026-11-22T08:01:00Z")));
        let data: Value = serde_json::from_str(&message.data).expect("JSON");
        let ahead = day - 20_779;
        assert_eq!(data["days_ahead"], json!(ahead));
        assert_eq!((&data["shop"], &data["attribute"]), (&json!("A"), &json!("membership_expires_at")));
        let shown = [(7, "2026-11-29"), (3, "2026-11-25"), (1, "2026-11-23")];
        assert!(shown.iter().any(|(days, shown)| *days == ahead && data["scan_day"] == *shown), "{data}");
    }
    assert_eq!(covered.len(), 3 * usize::from(DAY_PARTS), "every part of each day once");
}

#[tokio::test]
async fn an_event_is_told_under_an_id_of_its_due_time() {
    let mut world = World::new("2026-11-22T07:59:00Z").await;
    world.definitions.put("acme", DefinitionKind::EventType, "digest.due", "{}", None).await.expect("saved");
    let event = json!({"type": "digest.due", "user_id": "alice", "data": {"n": 1}});
    world.save("digest", json!({"cron": "0,1 8 * * *", "event": event})).await;
    world.pass(Duration::from_secs(180), Duration::from_secs(30)).await;
    let events = world.begins.events();
    assert_eq!(events.len(), 2, "one for each time");
    let mut times: Vec<_> = events.iter().map(|event| event.at).collect();
    times.sort_unstable();
    assert_eq!(times, [at("2026-11-22T08:00:00Z"), at("2026-11-22T08:01:00Z")]);
    let event = &events[0];
    assert_eq!(
        (&*event.event_type, event.user_id.as_deref(), event.source.as_deref(), &*event.data),
        ("digest.due", Some("alice"), Some("schedule/digest"), r#"{"n":1}"#)
    );
    let runs = world.runs("digest").await;
    assert!(runs.iter().all(|run| run.events == 1 && run.campaigns.is_empty()));
}

#[tokio::test]
async fn a_run_whose_template_has_gone_fails_and_says_why() {
    let mut world = World::new("2026-11-22T07:59:00Z").await;
    world.save("reminders", scan(&[7])).await;
    world.contents.is_gone.store(true, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(60));
    world.turn().await;
    let runs = world.runs("reminders").await;
    assert_eq!(runs[0].state, RunState::Failed);
    assert_eq!(runs[0].error.as_deref(), Some("/scan/send/template: there is no template `welcome`"));
    world.pass(HOUR, Duration::from_secs(600)).await;
    assert_eq!(world.runs("reminders").await.len(), 1, "it is not tried again");
}

#[tokio::test]
async fn a_run_that_is_asked_for_twice_under_a_key_is_one() {
    let mut world = World::new("2026-11-22T12:00:00Z").await;
    world.save("reminders", scan(&[7])).await;
    let first = world.schedules.run_now("acme", "reminders", Some(7)).await.expect("run");
    world.clock.advance(HOUR);
    let again = world.schedules.run_now("acme", "reminders", Some(7)).await.expect("run");
    assert_eq!(first, again);
    assert_eq!((first.kind, first.state, first.campaigns.len()), (RunKind::Manual, RunState::Begun, 16));
    let other = world.schedules.run_now("acme", "reminders", None).await.expect("run");
    world.clock.advance(Duration::from_millis(1));
    let another = world.schedules.run_now("acme", "reminders", None).await.expect("run");
    let ids: BTreeSet<_> = [&first, &other, &another].iter().flat_map(|run| run.campaigns.clone()).collect();
    assert_eq!(ids.len(), 48);
    assert!(matches!(world.schedules.run_now("acme", "nothing", None).await, Err(RunNowError::Unknown)));
    assert!(matches!(world.schedules.run_now("other", "reminders", None).await, Err(RunNowError::Unknown)));
    world.pass(HOUR * 24, HOUR).await;
    World::assert_due(&world.runs("reminders").await[..1], &["2026-11-23T08:00:00Z"]);
}

#[tokio::test]
async fn a_run_that_was_asked_for_and_left_by_its_node_is_begun_to_its_end() {
    let mut world = World::new("2026-11-22T12:00:00Z").await;
    world.save("reminders", scan(&[7])).await;
    world.turn().await;
    world.begins.ends_after.store(3, Ordering::SeqCst);
    assert!(world.schedules.run_now("acme", "reminders", Some(7)).await.is_err());
    world.begins.ends_after.store(0, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(300));
    world.turn().await;
    assert_eq!(world.runs("reminders").await[0].state, RunState::Begun);
    assert_eq!(world.begins.campaigns().len(), 16);
}

#[tokio::test]
async fn runs_are_kept_for_ninety_days() {
    let mut world = World::new("2026-01-01T00:00:00Z").await;
    world.save("nine", daily("0 9 * * *")).await;
    world.pass(DAY * 100, HOUR * 6).await;
    let runs = world.runs("nine").await;
    assert!((89..=91).contains(&runs.len()), "{}", runs.len());
}

#[tokio::test]
async fn a_store_that_is_down_delays_a_run_and_loses_none() {
    let mut world = World::new("2026-11-22T07:59:00Z").await;
    world.save("nine", daily("0 9 * * *")).await;
    world.turn().await;
    world.store.is_down.store(true, Ordering::SeqCst);
    world.pass(Duration::from_secs(120), Duration::from_secs(10)).await;
    world.store.is_down.store(false, Ordering::SeqCst);
    world.pass(Duration::from_secs(20), Duration::from_secs(10)).await;
    World::assert_due(&world.runs("nine").await, &["2026-11-22T08:00:00Z"]);
}
