//! What is done at each home: its schedules are run when they are due.
//!
//! A schedule belongs to the home of its name. What memory has of it (when it is due next) is made of its definition and of its newest
//! rows, and made anew by the next owner of the home; a run that an owner left half begun is found in its row.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::metrics::Late;
use super::rows::part;
use super::running::run_of;
use super::timetable::Due;
use super::{CatchUp, RunError, Schedule, Schedules};
use crate::clock::Moment;
use crate::domain::{RunKind, RunState, ScheduleRun, Timestamp};
use crate::homes::{Tenure, Turns, Wake, Work, home_of};
use crate::store::StoreError;

/// How often definitions and the clock are looked at: either may change at any moment.
const LOOK: Duration = Duration::from_secs(1);
/// After so long others have their turn.
const TURN_MAX: Duration = Duration::from_millis(500);
/// Before a schedule is tried again whose run could not be begun.
const PAUSE: Duration = Duration::from_secs(5);
/// Up to so late a run is in time.
const GRACE: Duration = Duration::from_secs(10 * 60);
/// How often the newest rows are read again, for runs that somebody asked for and whose node died over them.
const READ_AGAIN: Duration = Duration::from_secs(5 * 60);
/// After so long a run that was left half begun would come too late for whoever it is for.
const LEFT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// After so long nobody works any more on a run that was asked for.
const ASKED_WAIT: Duration = Duration::from_secs(60);
/// Rows that are read at once.
const PAGE: usize = 50;
/// How long runs are kept: of one a minute they are 130,000 rows.
const AGE_MAX: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How often, and how many at once, older ones are taken away.
const FORGET_INTERVAL: Duration = Duration::from_secs(12 * 60 * 60);
const FORGET_MAX: usize = 2000;

/// Runs schedules at the homes of this node.
pub struct ScheduleWork {
    schedules: Arc<Schedules>,
    wake: Wake,
    late: Arc<Late>,
}

impl ScheduleWork {
    pub fn new(schedules: Arc<Schedules>) -> Self {
        Self { schedules, wake: Wake::default(), late: Arc::new(Late::new()) }
    }
}

#[async_trait]
impl Work for ScheduleWork {
    fn kind(&self) -> &'static str {
        "schedules"
    }

    async fn begin(&self, tenure: Tenure) -> Result<Box<dyn Turns>, StoreError> {
        let (schedules, late) = (self.schedules.clone(), self.late.clone());
        Ok(Box::new(HomeSchedules { schedules, tenure, late, held: BTreeMap::new(), first: None }))
    }

    fn wake(&self) -> &Wake {
        &self.wake
    }
}

/// The schedules of one home, by tenant and name.
struct HomeSchedules {
    schedules: Arc<Schedules>,
    tenure: Tenure,
    late: Arc<Late>,
    held: BTreeMap<Key, Held>,
    /// Whose turn is first: the last one ended before it.
    first: Option<Key>,
}

/// A tenant, and a name.
type Key = (Box<str>, Box<str>);

/// What is known of one schedule.
struct Held {
    version: u64,
    /// Due times after it count: its last change, or what was run before a change that left the times as they were.
    counts_from: Timestamp,
    /// `None`: it cannot be read, and is left alone.
    schedule: Option<Schedule>,
    /// What its rows say; `None`: they are to be read.
    seen: Option<Seen>,
    /// When it is due, as far as it was known last; `None`: it is switched off.
    next: Option<Timestamp>,
    /// Not before this.
    pause_until: Moment,
    forgot_at: Option<Moment>,
}

#[derive(Clone, Copy)]
struct Seen {
    /// The latest due time that was run, or from when on the schedule counts.
    last: Timestamp,
    /// When they were read.
    at: Moment,
}

impl Drop for HomeSchedules {
    fn drop(&mut self) {
        // Another node may have the home from now on.
        self.late.set(self.tenure.home, Duration::ZERO);
    }
}

#[async_trait]
impl Turns for HomeSchedules {
    async fn turn(&mut self) -> Result<Duration, StoreError> {
        let clock = self.schedules.parts.clock.clone();
        let began = clock.moment();
        self.take_in();
        let (mut wait, mut late) = (LOOK, Duration::ZERO);
        let first = self.first.take();
        let mut all: Vec<(&Key, &mut Held)> = self.held.iter_mut().collect();
        let place = first.map_or(0, |first| all.partition_point(|(key, _)| **key < first));
        all.rotate_left(place);
        for (key, held) in all {
            if !self.tenure.holds() {
                return Ok(LOOK);
            }
            let now = clock.moment();
            if now.since(began) >= TURN_MAX {
                self.first = Some(key.clone());
                return Ok(Duration::ZERO);
            }
            let (tenant, name) = key;
            if held.schedule.is_some() && now >= held.pause_until {
                let at = At { schedules: &self.schedules, tenure: &self.tenure, tenant, name };
                if let Err(error) = at.look(held).await {
                    tracing::warn!(%error, tenant = &**tenant, schedule = &**name, "a schedule stands still: trying again");
                    // What memory has may be ahead of the rows.
                    held.seen = None;
                    held.pause_until = clock.moment() + PAUSE;
                }
            }
            if let Some(next) = held.next {
                late = late.max(clock.now().since(next));
                // What is due and stands still has its pause.
                let ahead = next.since(clock.now()).max(Duration::from_millis(1));
                wait = wait.min(if held.seen.is_some() { ahead } else { LOOK });
            }
        }
        self.late.set(self.tenure.home, late);
        Ok(wait)
    }
}

impl HomeSchedules {
    /// Takes over what is defined by now.
    fn take_in(&mut self) {
        let (home, held) = (self.tenure.home, &mut self.held);
        let mut names = Vec::new();
        self.schedules.each(|tenant, definition| {
            if home_of(&part(tenant, &definition.name).key) != home {
                return;
            }
            let key = (Box::from(tenant), definition.name.clone());
            let is_new = held.get(&key).is_none_or(|held| held.version != definition.version);
            if is_new {
                let body = definition.body.as_deref().unwrap_or("{}");
                let read = Schedule::read(&definition.name, body, definition.changed_at);
                if read.is_err() {
                    // Saved by a newer binary, or by one that took what this one refuses.
                    tracing::warn!(tenant, schedule = %definition.name, "a schedule cannot be read: it is not run");
                }
                let schedule = read.ok();
                let counts_from = counts_from(held.get(&key), schedule.as_ref(), definition.changed_at);
                let fresh = Held {
                    version: definition.version,
                    counts_from,
                    schedule,
                    seen: None,
                    next: None,
                    pause_until: Moment::default(),
                    forgot_at: None,
                };
                match held.entry(key.clone()) {
                    Place::Occupied(mut there) => _ = there.insert(fresh),
                    Place::Vacant(place) => _ = place.insert(fresh),
                }
            }
            names.push(key);
        });
        if names.len() < held.len() {
            names.sort_unstable();
            held.retain(|key, _| names.binary_search(key).is_ok());
        }
    }
}

/// From when on a schedule counts that was changed: who saves other words for a message just after a due time does not take it away.
fn counts_from(before: Option<&Held>, schedule: Option<&Schedule>, changed_at: Timestamp) -> Timestamp {
    let kept = before.zip(schedule).and_then(|(held, schedule)| {
        let before = held.schedule.as_ref()?;
        let is_as_before = before.is_active && schedule.is_active && before.timetable.is_same(&schedule.timetable);
        is_as_before.then(|| held.seen.map_or(held.counts_from, |seen| seen.last))
    });
    kept.unwrap_or(changed_at)
}

/// One schedule of a home.
#[derive(Clone, Copy)]
struct At<'a> {
    schedules: &'a Schedules,
    tenure: &'a Tenure,
    tenant: &'a str,
    name: &'a str,
}

impl At<'_> {
    /// Runs it, if it is due.
    async fn look(self, held: &mut Held) -> Result<(), RunError> {
        let Held { schedule: Some(schedule), seen, .. } = &*held else { return Ok(()) };
        let clock = &self.schedules.parts.clock;
        let moment = clock.moment();
        let (mut seen, mut next) = match seen {
            Some(seen) if moment.since(seen.at) < READ_AGAIN => (*seen, held.next),
            _ => {
                let last = self.read_back(schedule, held).await?;
                (Seen { last, at: moment }, schedule.timetable.next(last).filter(|_| schedule.is_active))
            }
        };
        let now = clock.now();
        if next.is_some_and(|next| next <= now)
            && let Some(due) = schedule.timetable.due(seen.last, now)
        {
            // Reading may have taken longer than the home is held.
            if !self.tenure.holds() {
                return Ok(());
            }
            self.run(schedule, held.version, due, now).await?;
            (seen.last, next) = (due.at, schedule.timetable.next(due.at));
        }
        (held.seen, held.next) = (Some(seen), next);
        if held.forgot_at.is_none_or(|at| moment.since(at) >= FORGET_INTERVAL) {
            // The newest row of a due time is the memory of it: without it the time would be due again.
            let before = (now - AGE_MAX).min(seen.last - Duration::from_millis(1));
            self.schedules.forget(self.tenant, self.name, before, FORGET_MAX).await?;
            held.forgot_at = Some(moment);
        }
        Ok(())
    }

    /// The latest due time that was run, as the rows say; from when on it counts if none was since. Runs that were left half begun are
    /// begun to their end.
    async fn read_back(self, schedule: &Schedule, held: &Held) -> Result<Timestamp, RunError> {
        let mut last = held.counts_from;
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let runs = self.schedules.runs(self.tenant, self.name, after.as_deref(), PAGE).await?;
            for run in &runs {
                self.begin_again(schedule, held.version, run).await?;
            }
            let of_time = runs.iter().find(|run| run.kind != RunKind::Manual);
            if let Some(run) = of_time {
                last = last.max(run.due_at);
            }
            match runs.last() {
                // All of them were asked for: the last that was due stands behind them.
                Some(oldest) if of_time.is_none() && runs.len() == PAGE && oldest.due_at > held.counts_from => {
                    after = Some(super::run_name(oldest));
                }
                _ => return Ok(last),
            }
        }
    }

    async fn begin_again(self, schedule: &Schedule, version: u64, run: &ScheduleRun) -> Result<(), RunError> {
        let now = self.schedules.parts.clock.now();
        // Whoever was asked may be at it.
        let is_left = run.kind != RunKind::Manual || now.since(run.started_at) >= ASKED_WAIT;
        if run.state != RunState::Starting || !is_left || !self.tenure.holds() {
            return Ok(());
        }
        if let Some(reason) = given_up(schedule, version, run, now) {
            let failed = ScheduleRun { state: RunState::Failed, error: Some(reason.into()), ..run.clone() };
            return Ok(self.schedules.end(self.tenant, self.name, &failed).await?);
        }
        self.schedules.carry_out(self.tenant, schedule, run.clone()).await?;
        Ok(())
    }

    async fn run(self, schedule: &Schedule, version: u64, due: Due, now: Timestamp) -> Result<(), RunError> {
        let is_late = now.since(due.at) > GRACE;
        let kind = if is_late { RunKind::CaughtUp } else { RunKind::Due };
        let run = ScheduleRun { missed: due.before, ..run_of(kind, due.at, now, version) };
        if is_late && schedule.catch_up == CatchUp::Skip {
            let skipped = ScheduleRun { state: RunState::Skipped, kind: RunKind::Due, ..run };
            return Ok(self.schedules.end(self.tenant, self.name, &skipped).await?);
        }
        self.schedules.carry_out(self.tenant, schedule, run).await?;
        Ok(())
    }
}

/// Why a run that was left half begun is not begun to its end; `None`: it is.
fn given_up(schedule: &Schedule, version: u64, run: &ScheduleRun, now: Timestamp) -> Option<&'static str> {
    if now.since(run.started_at) > LEFT_MAX {
        return Some(
            "it was left half begun for more than a day: what it began goes on, the rest is not begun any more",
        );
    }
    if run.version != version {
        return Some("the schedule was changed while it was half begun: what it began goes on, the rest is not begun");
    }
    // Somebody may ask for a run of one that is switched off.
    let is_off = !schedule.is_active && run.kind != RunKind::Manual;
    is_off.then_some(
        "the schedule was switched off while it was half begun: what it began goes on, the rest is not begun",
    )
}
