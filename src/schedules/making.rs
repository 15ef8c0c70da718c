//! From a schedule and a time to what a run begins. Pure: the same run makes the same, however often it is made.

use std::time::Duration;

use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::schedule::{Action, Scan};
use super::{Schedule, run_name};
use crate::audience::{EventReading, read_event};
use crate::domain::{
    ArchiveCounts, ArchiveId, ArchiveOrder, ArchiveState, Audience, Campaign, CampaignId, CampaignKind, Categories,
    DomainEvent, NotificationRequest, Priority, RunKind, ScheduleRun, Source, Timestamp,
};
use crate::homes::{HOMES, home_of};
use crate::intake::{ContentCheck, Envelope, FieldProblem, hashed_key, limits, read_request};
use crate::users::DayAttributes;

/// Parts of a day in the index.
pub const DAY_PARTS: u16 = 256;
/// Campaigns that a day is divided into, one for each home: so every node has its share of a scan.
const SLICES: u16 = HOMES;

/// What ids are for, in their hashes.
const IDS_OF: &str = "run of a schedule";
/// Who stands where the recipient will.
const SOMEBODY: &str = "somebody";

/// What a run begins with, besides its schedule.
#[derive(Clone, Copy)]
pub(super) struct Making<'a> {
    pub(super) tenant: &'a str,
    pub(super) categories: &'a Categories,
    pub(super) contents: &'a dyn ContentCheck,
    /// Of which attributes there is an index of days.
    pub(super) days: &'a DayAttributes,
    /// Whether there is a place for files.
    pub(super) has_archive: bool,
}

/// What a run begins.
#[derive(Debug)]
pub(super) enum Made {
    Campaigns(Vec<Campaign>),
    Event(DomainEvent),
    /// What would be asked of the API, under this id.
    Asked(CampaignId, Box<str>),
    Archive(ArchiveOrder),
}

impl Made {
    /// The ids of its campaigns.
    pub(super) fn ids(&self) -> Vec<CampaignId> {
        match self {
            Made::Campaigns(campaigns) => campaigns.iter().map(|campaign| campaign.id).collect(),
            Made::Event(_) | Made::Archive(_) => Vec::new(),
            Made::Asked(id, _) => vec![*id],
        }
    }
}

/// What the run begins, or why it can begin nothing; pointers are those of the definition.
pub(super) fn made(schedule: &Schedule, run: &ScheduleRun, making: Making<'_>) -> Result<Made, Vec<FieldProblem>> {
    match &schedule.action {
        Action::Scan(scan) => scanned(schedule, scan, run, making).map(Made::Campaigns),
        Action::Event(fields) => event(schedule, fields, run, making).map(Made::Event),
        Action::Archive(_) if !making.has_archive => {
            let detail = "has no place to go: set `archive.to` in the configuration to a folder or a bucket";
            Err(vec![FieldProblem::new("/archive", detail)])
        }
        Action::Archive(age) => Ok(Made::Archive(archive(schedule, *age, run, making.tenant))),
        Action::Campaign(body) => {
            Ok(Made::Asked(campaign_id(making.tenant, &schedule.name, run, "campaign", None), body.clone()))
        }
    }
}

/// What the run of a schedule orders, if it archives; when it is made is the run's beginning.
pub(super) fn archive_id(tenant: &str, schedule: &str, run: &ScheduleRun) -> ArchiveId {
    let name = [schedule.as_bytes(), &[0], &run_name(run)].concat();
    ArchiveId(hashed_key(tenant, "what a run archives", &name))
}

fn archive(schedule: &Schedule, age: Duration, run: &ScheduleRun, tenant: &str) -> ArchiveOrder {
    ArchiveOrder {
        id: archive_id(tenant, &schedule.name, run),
        tenant: Some(tenant.into()),
        made_at: run.started_at,
        before: run.started_at - age,
        state: ArchiveState::Waiting,
        counts: ArchiveCounts::default(),
        ended_at: None,
        error: None,
    }
}

fn scanned(
    schedule: &Schedule,
    scan: &Scan,
    run: &ScheduleRun,
    making: Making<'_>,
) -> Result<Vec<Campaign>, Vec<FieldProblem>> {
    if !making.days.has(&scan.attribute) {
        let detail = format!(
            "is not found by its day: `users.day_attributes` of the configuration has {}; name it so, or add it there",
            making.days
        );
        return Err(vec![FieldProblem::new("/scan/attribute", detail)]);
    }
    let mut campaigns = Vec::with_capacity(scan.days_ahead.len() * usize::from(SLICES));
    for ahead in &scan.days_ahead {
        let Some((day, shown)) = schedule.timetable.day(run.due_at, *ahead) else {
            return Err(vec![FieldProblem::new("/scan/days_ahead", "leads out of the calendar")]);
        };
        let message = message(schedule, scan, (*ahead, &shown), run.started_at, making)?;
        let width = DAY_PARTS / SLICES;
        for slice in 0..SLICES {
            let part = format!("{ahead}/{slice}");
            let id = campaign_id(making.tenant, &schedule.name, run, &part, Some(slice));
            campaigns.push(Campaign {
                id,
                tenant: making.tenant.into(),
                kind: CampaignKind::Scheduled,
                name: Some(
                    format!("{}: {} {shown}, part {} of {SLICES}", schedule.name, scan.attribute, slice + 1).into(),
                ),
                made_at: run.started_at,
                starts_at: run.started_at,
                message: message.clone(),
                audience: Audience::Day {
                    attribute: scan.attribute.clone(),
                    day,
                    first_part: slice * width,
                    end_part: (slice + 1) * width,
                    condition: scan.condition.clone(),
                },
                is_counted: false,
                ceiling: None,
                rate_per_second: None,
                canary: None,
                made_by: Some(schedule.name.clone()),
                // A run that is begun again is the same one, also when its schedule was changed in between.
                body_hash: xxh3_64(&id.0.to_be_bytes()),
            });
        }
    }
    Ok(campaigns)
}

/// What everybody whose day it is is told: the JSON of a request, read by the one reader, for somebody who is taken out again.
///
/// A person is reminded of a day once, whichever run or schedule does it: of the same content with the same data a second message is a
/// duplicate as long as claims are kept, and the data names the attribute and the day.
fn message(
    schedule: &Schedule,
    scan: &Scan,
    (ahead, day): (i32, &str),
    now: Timestamp,
    making: Making<'_>,
) -> Result<NotificationRequest, Vec<FieldProblem>> {
    let mut fields = scan.send.clone();
    let seconds = |name: &str, fields: &mut Map<String, Value>| fields.remove(name).and_then(|value| value.as_u64());
    let delay = seconds("delay_seconds", &mut fields).unwrap_or_default();
    let deliver_at = now + Duration::from_secs(delay);
    if delay > 0 {
        fields.insert("deliver_at".to_owned(), json!(deliver_at.to_string()));
    }
    if let Some(expires_after) = seconds("expires_after_seconds", &mut fields) {
        let expires_at = deliver_at + Duration::from_secs(expires_after);
        fields.insert("expires_at".to_owned(), json!(expires_at.to_string()));
    }
    fields.insert("user_id".to_owned(), json!(SOMEBODY));
    fields.entry("dedup_window_seconds").or_insert(json!(limits::DEDUP_WINDOW_SECONDS_MAX));
    // With the attribute: two that fall on the same day are two reminders.
    let said = [("attribute", json!(scan.attribute)), ("days_ahead", json!(ahead)), ("scan_day", json!(day))];
    add(&mut fields, "data", said);
    add(&mut fields, "metadata", [("schedule", json!(schedule.name)), ("scan_day", json!(day))]);
    let envelope = Envelope {
        tenant: making.tenant,
        source: Source::Schedule,
        idempotency: None,
        now,
        categories: making.categories,
        contents: making.contents,
    };
    let placed = |problem: FieldProblem| problem.below("/scan/send");
    let read = read_request(&Value::Object(fields).to_string(), &envelope);
    let request = read.map_err(|problems| problems.into_iter().map(placed).collect::<Vec<_>>())?;
    if request.priority == Priority::Critical {
        let detail = "cannot be critical for a scan, which would delay what is: say high, normal or low (its category's is \
                      meant where nothing is said)";
        return Err(vec![FieldProblem::new("/scan/send/priority", detail)]);
    }
    making.contents.check(&request).map_err(|problem| vec![placed(problem)])?;
    Ok(NotificationRequest { user_id: None, ..request })
}

/// Adds to an object within; what is none is left for the reader to refuse.
fn add<const N: usize>(fields: &mut Map<String, Value>, name: &str, said: [(&str, Value); N]) {
    if let Value::Object(object) = fields.entry(name).or_insert_with(|| Value::Object(Map::new())) {
        object.extend(said.map(|(name, value)| (name.to_owned(), value)));
    }
}

fn event(
    schedule: &Schedule,
    fields: &Map<String, Value>,
    run: &ScheduleRun,
    making: Making<'_>,
) -> Result<DomainEvent, Vec<FieldProblem>> {
    let mut fields = fields.clone();
    // A run that is begun again tells the same event: it has the same id.
    let id = format!("run_{:032x}", hash(making.tenant, &schedule.name, run, "event", 0));
    fields.insert("id".to_owned(), json!(id));
    fields.insert("source".to_owned(), json!(format!("schedule/{}", schedule.name)));
    fields.insert("time".to_owned(), json!(run.due_at.to_string()));
    let reading = EventReading {
        tenant: making.tenant,
        told_by: Source::Schedule,
        now: run.started_at,
        headers: &|_: &str| None,
    };
    let read = read_event(&Value::Object(fields).to_string(), &reading);
    read.map_err(|problems| problems.into_iter().map(|problem| problem.below("/event")).collect())
}

/// The same for the same part of the same run; at a home of its own where one is asked for.
fn campaign_id(tenant: &str, schedule: &str, run: &ScheduleRun, part: &str, home: Option<u16>) -> CampaignId {
    let mut number = 0;
    loop {
        let id = hash(tenant, schedule, run, part, number);
        // Each hash is at the home with one sixteenth of all chances: it takes some tens.
        if home.is_none_or(|home| home_of(&id.to_be_bytes()) == home) {
            return CampaignId(id);
        }
        number += 1;
    }
}

fn hash(tenant: &str, schedule: &str, run: &ScheduleRun, part: &str, number: u32) -> u128 {
    // Of one due time there is one run, whether it came in time or was caught up; the name of a schedule has no space.
    let of = match run.kind {
        RunKind::Due | RunKind::CaughtUp => format!("due {}", run.due_at.millis()),
        RunKind::Manual => format!("asked {:032x}", run.key),
    };
    hashed_key(tenant, IDS_OF, format!("{schedule} {of} {part} {number}").as_bytes())
}
