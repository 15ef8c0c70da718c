//! A run: written down, begun, and written down again. Whoever finds one that was not begun to its end begins it again; its ids are the
//! same, so nothing comes twice.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::try_join_all;

use super::making::{Made, Making, archive_id, made};
use super::metrics::count;
use super::{AskedCampaign, AskedError, Schedule, ScheduleParts, Schedules};
use crate::audience::{Applied, Refusal, RuleOutcome, Rulings, Taken};
use crate::domain::{
    ArchiveOrder, CampaignId, CampaignProgress, Definition, DefinitionKind, DomainEvent, RunKind, RunState,
    ScheduleRun, Timestamp, cut,
};
use crate::intake::{AcceptError, FieldProblem, hashed_key};
use crate::store::StoreError;

/// Campaigns that are begun at the same time: enough that they share the writes of a group.
const AT_ONCE: usize = 16;
/// Bytes of a reason in a row.
const REASON_BYTES_MAX: usize = 1000;
/// Runs that are looked through at once for one that was asked for before.
const PAGE: usize = 100;
/// How long a retry key of a run is known, as of every call of the API.
const KEY_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a run could not be begun to its end; it can be begun again later.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Accept(#[from] AcceptError),
}

/// Why a run that somebody asks for was not begun.
#[derive(Debug, thiserror::Error)]
pub enum RunNowError {
    #[error("there is no schedule of this name")]
    Unknown,
    /// It is not well defined any more.
    #[error("the schedule cannot be used as it is defined")]
    Invalid(Vec<FieldProblem>),
    #[error(transparent)]
    Later(#[from] RunError),
}

impl Schedules {
    /// What is wrong with a definition, also with what it would begin; empty: it can be saved.
    pub async fn check(&self, tenant: &str, name: &str, body: &str) -> Vec<FieldProblem> {
        let now = self.parts.clock.now();
        let schedule = match Schedule::read(name, body, now) {
            Ok(schedule) => schedule,
            Err(problems) => return problems,
        };
        match made(&schedule, &run_of(RunKind::Manual, now, now, 0), self.making(tenant)) {
            Err(problems) => problems,
            Ok(Made::Campaigns(_) | Made::Archive(_)) => Vec::new(),
            Ok(Made::Event(event)) => self.misfits(tenant, &event),
            Ok(Made::Asked(_, body)) => {
                let problems = self.parts.begins.check(tenant, &body).await;
                problems.into_iter().map(|problem| problem.below("/campaign")).collect()
            }
        }
    }

    /// Whether the event is one that is declared.
    fn misfits(&self, tenant: &str, event: &DomainEvent) -> Vec<FieldProblem> {
        let rulings = Rulings { contents: &*self.parts.contents, categories: &self.parts.categories };
        match self.parts.definitions.book(tenant).apply(event, rulings) {
            Ok(_) => Vec::new(),
            Err(refusal) => refused(refusal),
        }
    }

    /// Runs it now, also if it is switched off. `key`: what tells this asking from others; the same again is answered by the run that there
    /// is, on whichever node.
    pub async fn run_now(&self, tenant: &str, name: &str, key: Option<u128>) -> Result<ScheduleRun, RunNowError> {
        let definition = self.parts.definitions.found(tenant, DefinitionKind::Schedule, name);
        let definition = definition.ok_or(RunNowError::Unknown)?;
        let body = definition.body.as_deref().unwrap_or("{}");
        let now = self.parts.clock.now();
        let schedule = Schedule::read(name, body, now).map_err(RunNowError::Invalid)?;
        let key = match key {
            Some(key) => {
                if let Some(run) = self.asked_before(tenant, name, key, now).await? {
                    return self.go_on(tenant, &schedule, run).await.map_err(RunNowError::Later);
                }
                key
            }
            // Without one the time tells them apart: two of one millisecond are a finger that slipped.
            None => hashed_key(tenant, "a run is asked for", format!("{name} {}", now.millis()).as_bytes()),
        };
        let run = ScheduleRun { key, ..run_of(RunKind::Manual, now, now, definition.version) };
        Ok(self.carry_out(tenant, &schedule, run).await?)
    }

    async fn asked_before(
        &self,
        tenant: &str,
        name: &str,
        key: u128,
        now: Timestamp,
    ) -> Result<Option<ScheduleRun>, RunError> {
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let runs = self.runs(tenant, name, after.as_deref(), PAGE).await?;
            let is_it = |run: &&ScheduleRun| run.kind == RunKind::Manual && run.key == key;
            if let Some(run) = runs.iter().find(is_it) {
                return Ok(Some(run.clone()));
            }
            match runs.last() {
                Some(last) if runs.len() == PAGE && now.since(last.due_at) <= KEY_AGE_MAX => {
                    after = Some(super::run_name(last));
                }
                _ => return Ok(None),
            }
        }
    }

    /// How far campaigns of runs are, in the order of the ids; `None`: nothing is known of it.
    pub async fn progress(
        &self,
        tenant: &str,
        ids: &[CampaignId],
    ) -> Result<Vec<Option<CampaignProgress>>, StoreError> {
        self.parts.begins.progress(tenant, ids).await
    }

    /// What runs of a schedule archived so far, in their order; `None`: it is none that archives.
    pub async fn archived(
        &self,
        tenant: &str,
        name: &str,
        runs: &[ScheduleRun],
    ) -> Result<Vec<Option<ArchiveOrder>>, StoreError> {
        let orders = runs.iter().map(|run| (run.started_at, archive_id(tenant, name, run)));
        self.parts.begins.archived(&orders.collect::<Vec<_>>()).await
    }

    /// Begins it again, if it was not begun to its end.
    pub(super) async fn go_on(
        &self,
        tenant: &str,
        schedule: &Schedule,
        run: ScheduleRun,
    ) -> Result<ScheduleRun, RunError> {
        if run.state == RunState::Starting { self.carry_out(tenant, schedule, run).await } else { Ok(run) }
    }

    /// Writes the run down, begins what it begins, and writes down that it did.
    pub(super) async fn carry_out(
        &self,
        tenant: &str,
        schedule: &Schedule,
        mut run: ScheduleRun,
    ) -> Result<ScheduleRun, RunError> {
        let begun = match made(schedule, &run, self.making(tenant)) {
            Ok(made) => {
                run.campaigns = made.ids();
                self.write(tenant, &schedule.name, &run).await?;
                self.begin(tenant, schedule, made).await?
            }
            Err(problems) => Err(problems),
        };
        match begun {
            Ok(events) => (run.state, run.events) = (RunState::Begun, events),
            Err(problems) => {
                (run.state, run.error) = (RunState::Failed, Some(words(&problems)));
                tracing::warn!(tenant, schedule = %schedule.name, "a run of a schedule can begin nothing: it says why");
            }
        }
        self.end(tenant, &schedule.name, &run).await?;
        Ok(run)
    }

    /// Writes down what became of it.
    pub(super) async fn end(&self, tenant: &str, name: &str, run: &ScheduleRun) -> Result<(), StoreError> {
        self.write(tenant, name, run).await?;
        count(run);
        Ok(())
    }

    /// How many events it told, or why nothing can come of it.
    async fn begin(
        &self,
        tenant: &str,
        schedule: &Schedule,
        made: Made,
    ) -> Result<Result<u32, Vec<FieldProblem>>, RunError> {
        let begins = &self.parts.begins;
        match made {
            Made::Campaigns(mut campaigns) => {
                while !campaigns.is_empty() {
                    let rest = campaigns.split_off(AT_ONCE.min(campaigns.len()));
                    try_join_all(campaigns.into_iter().map(|campaign| begins.campaign(campaign))).await?;
                    campaigns = rest;
                }
                Ok(Ok(0))
            }
            Made::Asked(id, body) => {
                let asked = AskedCampaign { tenant, id, body: &body, made_by: &schedule.name };
                match begins.asked(asked).await {
                    Ok(()) => Ok(Ok(0)),
                    Err(AskedError::Refused(problems)) => {
                        Ok(Err(problems.into_iter().map(|problem| problem.below("/campaign")).collect()))
                    }
                    Err(AskedError::Store(error)) => Err(error.into()),
                }
            }
            Made::Archive(order) => Ok(Ok(begins.archive(&order).await.map(|()| 0)?)),
            Made::Event(event) => Ok(match begins.event(event).await? {
                Taken::Refused(refusal) => Err(refused(refusal)),
                Taken::Used(applied) => {
                    let is_made = |applied: &Applied| {
                        !matches!(applied.outcome, RuleOutcome::Impossible(_) | RuleOutcome::ConditionFails)
                    };
                    let is_any_made = applied.iter().any(is_made);
                    let impossible = applied.into_iter().filter_map(|applied| match applied.outcome {
                        RuleOutcome::Impossible(problems) => Some(problems),
                        _ => None,
                    });
                    let problems: Vec<FieldProblem> =
                        impossible.flatten().map(|problem| problem.below("/event")).collect();
                    if is_any_made || problems.is_empty() { Ok(1) } else { Err(problems) }
                }
            }),
        }
    }

    fn making<'a>(&'a self, tenant: &'a str) -> Making<'a> {
        let ScheduleParts { categories, contents, days, .. } = &self.parts;
        Making { tenant, categories, contents: &**contents, days, has_archive: self.parts.begins.has_archive() }
    }

    /// What is known of a definition, of all tenants, without copying it.
    pub(super) fn each(&self, tell: impl FnMut(&str, &Definition)) {
        self.parts.definitions.each_saved(DefinitionKind::Schedule, tell);
    }
}

/// A run before it is begun.
pub(super) fn run_of(kind: RunKind, due_at: Timestamp, now: Timestamp, version: u64) -> ScheduleRun {
    ScheduleRun {
        due_at,
        started_at: now,
        kind,
        state: RunState::Starting,
        missed: 0,
        version,
        key: 0,
        campaigns: Vec::new(),
        events: 0,
        error: None,
    }
}

fn refused(refusal: Refusal) -> Vec<FieldProblem> {
    match refusal {
        Refusal::UnknownType { near, .. } => {
            let hint = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            vec![FieldProblem::new("/event/type", format!("is no event type that somebody declared{hint}"))]
        }
        Refusal::Invalid(problems) => problems.into_iter().map(|problem| problem.below("/event")).collect(),
    }
}

/// The problems as one text.
fn words(problems: &[FieldProblem]) -> Box<str> {
    let mut text = String::new();
    for problem in problems {
        let comma = if text.is_empty() { "" } else { "; " };
        // Into memory it can always be written.
        _ = write!(text, "{comma}{}: {}", problem.pointer, problem.detail);
    }
    cut(&text, REASON_BYTES_MAX).into()
}
