//! The body of `POST /v1/campaigns`: what is said of the campaign, and the message, which is read as every request is.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::list_of;
use crate::api::problem::Problem;
use crate::api::profile::{Fields, Problems};
use crate::api::resources::lists;
use crate::audience::Segment;
use crate::domain::{
    Audience, Campaign, CampaignId, CampaignKind, Canary, Categories, NotificationRequest, Priority, Recipient, Source,
    Timestamp,
};
use crate::intake::{
    ContentCheck, Envelope, FieldProblem, addresses, delivery_time, json_fields_once, limits, read_request,
};

/// Users of one body; more are a list.
const USERS_MAX: usize = 100_000;
/// Bytes of the message: as those of one notification by default.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Messages in a second: more than any provider takes.
const RATE_MAX: u64 = 1_000_000;
const SUBJECT_BYTES_MAX: usize = 256;
/// A day.
const CANARY_WAIT_SECONDS_MAX: u64 = 24 * 60 * 60;
const CANARY_WAIT_SECONDS: u64 = 300;
/// Above so many, large mail providers begin to refuse a sender.
const CANARY_BOUNCES_MAX: f64 = 0.05;
const CANARY_COMPLAINTS_MAX: f64 = 0.001;

/// The fields that are the campaign's own.
const OWN: [&str; 8] =
    ["name", "user_ids", "audience", "ceiling", "rate_per_second", "canary", "deliver_at", "delay_seconds"];
/// Stands in for a recipient while the message is read.
const STAND_IN: &str = "somebody";

/// What a campaign is read by.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) tenant: &'a str,
    pub(super) now: Timestamp,
    pub(super) contents: &'a dyn ContentCheck,
    pub(super) categories: &'a Categories,
}

/// What somebody asks for.
pub(super) struct Said {
    name: Option<Box<str>>,
    who: Who,
    starts_at: Option<Timestamp>,
    ceiling: Option<u64>,
    rate_per_second: Option<u32>,
    canary: Option<Canary>,
    message: NotificationRequest,
}

/// Who is meant.
enum Who {
    Users(Vec<Box<str>>),
    Audience(Audience),
}

/// What is wrong: with how it is written, and with what it says.
#[derive(Default)]
struct Wrong {
    fields: Problems,
    unusable: Vec<FieldProblem>,
}

impl Said {
    pub(super) fn read(reading: Reading<'_>, text: &str) -> Result<Self, Problem> {
        let mut message = json_fields_once(text).map_err(|problem| Problem::fields(vec![problem]))?;
        let own: BTreeMap<&str, &RawValue> =
            OWN.into_iter().filter_map(|name| Some((name, message.remove(name)?))).collect();
        let own = text_of(&own)?;
        let mut fields = Fields::read(&own, "").map_err(|problem| Problem::fields(vec![problem]))?;
        let mut wrong = Wrong::default();
        let now = reading.now;
        let name = fields.text("name", &mut wrong.fields, lists::name).flatten();
        let who = read_who(&mut fields, &mut wrong);
        let starts_at = read_start(&mut fields, now, &mut wrong.fields);
        let ceiling = number(&mut fields, "ceiling", 1, u64::MAX, &mut wrong.fields);
        let rate = number(&mut fields, "rate_per_second", 1, RATE_MAX, &mut wrong.fields);
        let canary = fields.take("canary").filter(|raw| raw.get() != "null");
        let canary = canary.and_then(|raw| read_canary(raw, &mut wrong.fields));
        let has_own_data = matches!(who, Some(Who::Audience(Audience::List { .. })));
        let message = read_message(reading, message, starts_at.unwrap_or(now), has_own_data, &mut wrong.fields);
        let rate_per_second = rate.and_then(|rate| u32::try_from(rate).ok());
        let said = who.zip(message);
        let said = wrong.fields.or(said).map_err(Problem::fields)?;
        match said {
            Some((who, message)) if wrong.unusable.is_empty() => {
                Ok(Self { name, who, starts_at, ceiling, rate_per_second, canary, message })
            }
            _ => Err(Problem::unusable(wrong.unusable)),
        }
    }

    /// The campaign, and the users that came with it.
    pub(super) fn into_campaign(
        self,
        tenant: &str,
        id: CampaignId,
        body_hash: u64,
        now: Timestamp,
    ) -> (Campaign, Vec<Box<str>>) {
        let (audience, users) = match self.who {
            Who::Users(users) => (Audience::List { list: list_of(id, body_hash) }, users),
            Who::Audience(audience) => (audience, Vec::new()),
        };
        let campaign = Campaign {
            id,
            tenant: tenant.into(),
            kind: CampaignKind::Asked,
            name: self.name,
            made_at: now,
            starts_at: self.starts_at.unwrap_or(now),
            message: NotificationRequest { campaign: Some(id), ..self.message },
            audience,
            is_counted: true,
            ceiling: self.ceiling,
            rate_per_second: self.rate_per_second,
            canary: self.canary,
            made_by: None,
            body_hash,
        };
        (campaign, users)
    }
}

fn text_of(fields: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_string(fields)
        .map_err(|_| Problem::new(crate::api::problem::Kind::Internal, "the body cannot be written again"))
}

/// `None` only together with a problem, as below.
fn read_who(fields: &mut Fields<'_>, wrong: &mut Wrong) -> Option<Who> {
    let said = |raw: &&RawValue| raw.get() != "null";
    let (users, audience) = (fields.take("user_ids").filter(said), fields.take("audience").filter(said));
    match (users, audience) {
        (Some(users), None) => read_users(users, wrong).map(Who::Users),
        (None, Some(audience)) => read_audience(audience, wrong).map(Who::Audience),
        (Some(_), Some(_)) => {
            wrong.fields.add("/audience", "`user_ids` and `audience` exclude each other: give one of them");
            None
        }
        (None, None) => {
            wrong.fields.add("/audience", "`user_ids` or `audience` is required");
            None
        }
    }
}

fn read_users(raw: &RawValue, wrong: &mut Wrong) -> Option<Vec<Box<str>>> {
    let Ok(users) = serde_json::from_str::<Vec<Box<str>>>(raw.get()) else {
        wrong.fields.add("/user_ids", "must be a list of texts");
        return None;
    };
    if users.is_empty() {
        wrong.unusable.push(FieldProblem::new("/user_ids", "is empty: nobody would be told"));
        return None;
    }
    if users.len() > USERS_MAX {
        wrong.fields.add("/user_ids", format!("has more than {USERS_MAX} ids: upload a list with POST /v1/lists"));
        return None;
    }
    let is_fit = |id: &str| (1..=limits::USER_ID_BYTES_MAX).contains(&id.len()) && addresses::one_line(id).is_ok();
    if let Some(index) = users.iter().position(|id| !is_fit(id)) {
        let detail = format!("must be one line of 1 to {} bytes", limits::USER_ID_BYTES_MAX);
        wrong.fields.add(&format!("/user_ids/{index}"), detail);
        return None;
    }
    Some(users)
}

fn read_audience(raw: &RawValue, wrong: &mut Wrong) -> Option<Audience> {
    let mut inner = match Fields::read(raw.get(), "/audience") {
        Ok(inner) => inner,
        Err(problem) => {
            wrong.fields.push(problem);
            return None;
        }
    };
    let problems = &mut wrong.fields;
    let list = inner.text("list", problems, list_name).flatten().map(|list| Audience::List { list });
    let subject = inner.text("subject", problems, subject).flatten().map(|subject| Audience::Subject { subject });
    let segment = inner.take("segment").filter(|raw| raw.get() != "null");
    inner.end(problems);
    let segment = match segment.map(|raw| (raw, Segment::read(raw.get()))) {
        Some((raw, Ok(_))) => Some(Audience::Segment { condition: raw.get().into() }),
        Some((_, Err(found))) => {
            wrong.unusable.extend(found.into_iter().map(|problem| problem.below("/audience/segment")));
            return None;
        }
        None => None,
    };
    let mut said = [list, subject, segment].into_iter().flatten();
    match (said.next(), said.next()) {
        (Some(audience), None) => Some(audience),
        _ if !wrong.fields.is_empty() => None,
        _ => {
            wrong.fields.add("/audience", "must have exactly one of list, subject and segment");
            None
        }
    }
}

/// Which list it is, is looked up later.
fn list_name(text: &str) -> Result<Box<str>, &'static str> {
    match text.starts_with("lst_") && text.len() <= limits::USER_ID_BYTES_MAX {
        true => Ok(text.into()),
        false => Err("must be the id of a list: `lst_` and what follows"),
    }
}

fn subject(text: &str) -> Result<Box<str>, String> {
    match (1..=SUBJECT_BYTES_MAX).contains(&text.len()) && addresses::one_line(text).is_ok() {
        true => Ok(text.into()),
        false => Err(format!("must be one line of 1 to {SUBJECT_BYTES_MAX} bytes")),
    }
}

fn read_start(fields: &mut Fields<'_>, now: Timestamp, problems: &mut Problems) -> Option<Timestamp> {
    let time = |text: &str| Timestamp::parse(text).ok_or("must be a time as RFC 3339 has it: 2026-12-24T18:00:00Z");
    let at = fields.text("deliver_at", problems, time).flatten();
    let delay = number(fields, "delay_seconds", 0, u64::MAX, problems);
    delivery_time(at, delay, now).unwrap_or_else(|problem| {
        problems.push(problem);
        None
    })
}

fn number(fields: &mut Fields<'_>, name: &'static str, min: u64, max: u64, problems: &mut Problems) -> Option<u64> {
    let value = fields.value(name, problems).filter(|value| !value.is_null())?;
    let number = value.as_u64().filter(|number| (min..=max).contains(number));
    if number.is_none() {
        let bound = if max == u64::MAX { format!("of {min} or more") } else { format!("from {min} to {max}") };
        problems.add(&fields.pointer(name), format!("must be a whole number {bound}"));
    }
    number
}

fn read_canary(raw: &RawValue, problems: &mut Problems) -> Option<Canary> {
    let mut inner = match Fields::read(raw.get(), "/canary") {
        Ok(inner) => inner,
        Err(problem) => {
            problems.push(problem);
            return None;
        }
    };
    let share = inner.value("share", problems).filter(|value| !value.is_null());
    let share = match share.as_ref().map(Value::as_f64) {
        Some(Some(share)) if share > 0.0 && share < 1.0 => Some(share),
        Some(_) => {
            problems.add("/canary/share", "must be a number above 0 and below 1");
            None
        }
        None => {
            problems.add("/canary/share", "is required: the share of the audience that is told first, as 0.01");
            None
        }
    };
    let wait = number(&mut inner, "wait_seconds", 1, CANARY_WAIT_SECONDS_MAX, problems).unwrap_or(CANARY_WAIT_SECONDS);
    let bounces_max = rate(&mut inner, "bounces_max", CANARY_BOUNCES_MAX, problems);
    let complaints_max = rate(&mut inner, "complaints_max", CANARY_COMPLAINTS_MAX, problems);
    inner.end(problems);
    Some(Canary { share: share?, wait_seconds: u32::try_from(wait).ok()?, bounces_max, complaints_max })
}

fn rate(fields: &mut Fields<'_>, name: &'static str, usual: f64, problems: &mut Problems) -> f64 {
    let Some(value) = fields.value(name, problems).filter(|value| !value.is_null()) else { return usual };
    match value.as_f64() {
        Some(rate) if (0.0..=1.0).contains(&rate) => rate,
        _ => {
            problems.add(&fields.pointer(name), "must be a number from 0 to 1: the share of what was sent");
            usual
        }
    }
}

/// The message, by the one reader of requests, with a recipient that is taken out again.
fn read_message(
    reading: Reading<'_>,
    mut fields: BTreeMap<String, &RawValue>,
    starts_at: Timestamp,
    has_own_data: bool,
    problems: &mut Problems,
) -> Option<NotificationRequest> {
    for name in ["user_id", "to"] {
        if fields.remove(name).is_some() {
            problems.add(&format!("/{name}"), "is for one: a campaign is for those of `user_ids` or `audience`");
        }
    }
    let mut text = format!("{{\"user_id\":\"{STAND_IN}\"");
    for (name, raw) in &fields {
        text.push_str(&format!(",{}:{raw}", Value::from(name.as_str())));
    }
    text.push('}');
    if text.len() > MESSAGE_BYTES_MAX {
        problems.add("", format!("has a message of more than {MESSAGE_BYTES_MAX} bytes: every member gets all of it"));
        return None;
    }
    let Reading { tenant, now, contents, categories } = reading;
    let envelope = Envelope { tenant, source: Source::Campaign, idempotency: None, now, categories, contents };
    let request = match read_request(&text, &envelope) {
        Ok(request) => request,
        Err(found) => {
            found.into_iter().for_each(|problem| problems.push(problem));
            return None;
        }
    };
    if request.priority == Priority::Critical {
        problems
            .add("/priority", "cannot be critical for a campaign, which would delay what is: say high, normal or low");
    }
    if request.expires_at.is_some_and(|expires_at| expires_at <= starts_at) {
        problems.add("/expires_at", "must be after the time of delivery: nothing would ever be sent");
    }
    if let Err(problem) = contents.check(&request) {
        // What the template needs may come with each member of a list.
        if !(has_own_data && problem.pointer.starts_with("/data")) {
            problems.push(problem);
        }
    }
    Some(NotificationRequest { user_id: None, to: Recipient::default(), deliver_at: None, ..request })
}
