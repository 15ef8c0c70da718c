//! Reads what somebody tells of: plain JSON, or a CloudEvent 1.0 in the structured or the binary mode. Pure but for the ids that it makes.
//!
//! Everything that is wrong is said with a JSON pointer. In the binary mode the attributes stand in headers, and the pointers name them
//! as if they stood in the body: `/id` is the header `ce-id`.

use std::collections::BTreeMap;

use ring::rand::{SecureRandom, SystemRandom};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::config::nearest;
use crate::domain::{DomainEvent, EVENT_TYPE_RULE, Source, Timestamp, is_event_type};
use crate::intake::{FieldProblem, addresses, delivery_time, json_fields_once, json_object, json_value, limits};

/// Bytes of the id, the source and the subject of an event: they stand in keys and in messages, and name a thing.
pub const EVENT_NAME_BYTES_MAX: usize = 256;

/// What an event has besides its body.
#[derive(Clone, Copy)]
pub struct EventReading<'a> {
    pub tenant: &'a str,
    pub told_by: Source,
    /// What comes of the event is accepted at this time, and delays count from it.
    pub now: Timestamp,
    /// The headers by their names in small letters, with the hyphens of HTTP: `content-type`, `idempotency-key`, which stands in for
    /// the id of an event that has none, and `ce-…` of a CloudEvent in the binary mode.
    pub headers: &'a dyn Fn(&str) -> Option<&'a str>,
}

/// Reads one event; on failure everything that is wrong with it.
pub fn read_event(text: &str, reading: &EventReading<'_>) -> Result<DomainEvent, Vec<FieldProblem>> {
    let media_type = media_type(reading.header("content-type").unwrap_or_default());
    if media_type == "application/cloudevents-batch+json" {
        return Err(vec![FieldProblem::new("", "is a batch of events, where one is taken")]);
    }
    let is_structured = media_type == "application/cloudevents+json";
    if !is_structured && reading.header("ce-specversion").is_some() {
        return binary(text, &media_type, reading);
    }
    let fields = json_fields_once(text).map_err(|problem| vec![problem])?;
    if is_structured || fields.contains_key("specversion") {
        return structured(fields, reading);
    }
    plain(fields, reading)
}

impl<'a> EventReading<'a> {
    fn header(&self, name: &str) -> Option<&'a str> {
        (self.headers)(name)
    }

    /// The event of what was read of it.
    fn event(&self, read: Read) -> Result<DomainEvent, Vec<FieldProblem>> {
        let Read { mut problems, id, event_type, source, subject, user_id, data, at, deliver_at } = read;
        let id = match id {
            Some(id) => Some(id),
            // One that is wrong is none to be replaced.
            None if problems.is_empty() => new_id().map_err(|problem| problems.push(problem)).ok(),
            None => None,
        };
        match (id, event_type) {
            (Some(id), Some(event_type)) if problems.is_empty() => Ok(DomainEvent {
                tenant: self.tenant.into(),
                id,
                event_type,
                source,
                subject,
                user_id,
                data,
                at: at.unwrap_or(self.now),
                deliver_at,
                told_by: self.told_by,
                accepted_at: self.now,
            }),
            _ => Err(problems),
        }
    }
}

/// What was read so far, and what is wrong with it.
#[derive(Default)]
struct Read {
    problems: Vec<FieldProblem>,
    id: Option<Box<str>>,
    event_type: Option<Box<str>>,
    source: Option<Box<str>>,
    subject: Option<Box<str>>,
    user_id: Option<Box<str>>,
    data: Box<str>,
    at: Option<Timestamp>,
    deliver_at: Option<Timestamp>,
}

/// The fields of an event in plain JSON.
const PLAIN: [&str; 9] = ["type", "id", "source", "subject", "user_id", "data", "time", "deliver_at", "delay_seconds"];

fn plain(
    mut fields: BTreeMap<String, &RawValue>,
    reading: &EventReading<'_>,
) -> Result<DomainEvent, Vec<FieldProblem>> {
    let mut read = Read::default();
    let mut texts = Texts { fields: &mut fields, problems: &mut read.problems };
    let event_type = texts.take("type");
    let id = texts.take("id").or_else(|| reading.header("idempotency-key").map(Into::into));
    let (source, subject, user_id) = (texts.take("source"), texts.take("subject"), texts.take("user_id"));
    let (time, deliver_at) = (texts.take("time"), texts.take("deliver_at"));
    read.event_type(event_type);
    read.id = read.name("/id", id, EVENT_NAME_BYTES_MAX);
    read.source = read.name("/source", source, EVENT_NAME_BYTES_MAX);
    read.subject = read.name("/subject", subject, EVENT_NAME_BYTES_MAX);
    read.user_id = read.name("/user_id", user_id, limits::USER_ID_BYTES_MAX);
    read.data(fields.remove("data"));
    read.at = read.time("/time", time);
    let deliver_at = read.time("/deliver_at", deliver_at);
    let delay = fields.remove("delay_seconds").filter(|raw| raw.get() != "null");
    let seconds = delay.and_then(|raw| raw.get().parse().ok());
    if delay.is_some() && seconds.is_none() {
        read.add("/delay_seconds", "must be a whole number of seconds, not below 0");
    }
    match delivery_time(deliver_at, seconds, reading.now) {
        Ok(time) => read.deliver_at = time,
        Err(problem) => read.problems.push(problem),
    }
    for name in fields.keys() {
        let hint = nearest(name, &PLAIN).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
        let problem = FieldProblem::of_field(name, format!("is no field that is known here{hint}"));
        read.problems.push(problem);
    }
    reading.event(read)
}

/// A CloudEvent whose attributes stand beside its data. Attributes that are not known are extensions of others, and left alone.
fn structured(
    mut fields: BTreeMap<String, &RawValue>,
    reading: &EventReading<'_>,
) -> Result<DomainEvent, Vec<FieldProblem>> {
    let mut read = Read::default();
    let mut texts = Texts { fields: &mut fields, problems: &mut read.problems };
    let mut attribute = |name: &'static str| texts.take(name);
    let attributes = Attributes::of(&mut attribute);
    read.attributes(attributes);
    if fields.contains_key("data_base64") {
        read.add("/data_base64", "is not taken: send `data`, a JSON object");
    }
    read.data(fields.remove("data"));
    reading.event(read)
}

/// A CloudEvent whose attributes stand in the headers, and whose body is its data.
fn binary(text: &str, media_type: &str, reading: &EventReading<'_>) -> Result<DomainEvent, Vec<FieldProblem>> {
    let mut read = Read::default();
    let mut attribute = |name: &'static str| match name {
        "datacontenttype" => Some(media_type).filter(|media_type| !media_type.is_empty()).map(Into::into),
        name => reading.header(&format!("ce-{name}")).map(Into::into),
    };
    let attributes = Attributes::of(&mut attribute);
    read.attributes(attributes);
    let body = text.trim_ascii();
    match serde_json::from_str::<&RawValue>(body) {
        _ if body.is_empty() => read.data = "{}".into(),
        Ok(raw) => read.data(Some(raw)),
        Err(error) => read.add("/data", format!("is no JSON: {error}")),
    }
    reading.event(read)
}

/// The attributes of a CloudEvent that are looked at.
struct Attributes {
    spec_version: Option<Box<str>>,
    id: Option<Box<str>>,
    source: Option<Box<str>>,
    event_type: Option<Box<str>>,
    subject: Option<Box<str>>,
    time: Option<Box<str>>,
    content_type: Option<Box<str>>,
    user_id: Option<Box<str>>,
}

impl Attributes {
    fn of(take: &mut dyn FnMut(&'static str) -> Option<Box<str>>) -> Self {
        Self {
            spec_version: take("specversion"),
            id: take("id"),
            source: take("source"),
            event_type: take("type"),
            subject: take("subject"),
            time: take("time"),
            content_type: take("datacontenttype"),
            user_id: take("userid"),
        }
    }
}

impl Read {
    fn add(&mut self, pointer: &'static str, detail: impl Into<String>) {
        self.problems.push(FieldProblem::new(pointer, detail));
    }

    fn attributes(&mut self, attributes: Attributes) {
        let Attributes { spec_version, id, source, event_type, subject, time, content_type, user_id } = attributes;
        if spec_version.as_deref() != Some("1.0") {
            self.add("/specversion", "must be \"1.0\": other versions of CloudEvents are not read");
        }
        for (pointer, value) in [("/id", &id), ("/source", &source)] {
            self.require(pointer, value.is_some());
        }
        self.event_type(event_type);
        self.id = self.name("/id", id, EVENT_NAME_BYTES_MAX);
        self.source = self.name("/source", source, EVENT_NAME_BYTES_MAX);
        self.subject = self.name("/subject", subject, EVENT_NAME_BYTES_MAX);
        self.user_id = self.name("/userid", user_id, limits::USER_ID_BYTES_MAX);
        self.at = self.time("/time", time);
        let is_json = |text: &str| {
            let media_type = media_type(text);
            media_type == "application/json" || media_type.ends_with("+json")
        };
        if content_type.is_some_and(|content_type| !is_json(&content_type)) {
            self.add("/datacontenttype", "must be application/json: other data is not read");
        }
    }

    /// Only where nothing else was said of the field.
    fn require(&mut self, pointer: &'static str, is_there: bool) {
        if !is_there && !self.problems.iter().any(|problem| problem.pointer == pointer) {
            self.add(pointer, "is required");
        }
    }

    fn event_type(&mut self, event_type: Option<Box<str>>) {
        self.require("/type", event_type.is_some());
        match event_type {
            Some(event_type) if is_event_type(&event_type) => self.event_type = Some(event_type),
            Some(_) => self.add("/type", EVENT_TYPE_RULE),
            None => {}
        }
    }

    /// One line, not empty, bounded.
    fn name(&mut self, pointer: &'static str, name: Option<Box<str>>, bytes_max: usize) -> Option<Box<str>> {
        let name = name?;
        if name.is_empty() || name.len() > bytes_max {
            self.add(pointer, format!("must have 1 to {bytes_max} bytes"));
            return None;
        }
        match addresses::one_line(&name) {
            Ok(()) => Some(name),
            Err(detail) => {
                self.add(pointer, detail);
                None
            }
        }
    }

    fn time(&mut self, pointer: &'static str, text: Option<Box<str>>) -> Option<Timestamp> {
        let time = Timestamp::parse(&text?);
        if time.is_none() {
            self.add(pointer, "must be a time from 1970 on as RFC 3339 writes it: \"2027-01-31T09:00:00Z\"");
        }
        time
    }

    fn data(&mut self, raw: Option<&RawValue>) {
        match json_object("/data", raw.filter(|raw| raw.get() != "null")) {
            Ok(data) => self.data = data,
            Err(problem) => self.problems.push(problem),
        }
    }
}

/// Fields that are texts; null is nothing.
struct Texts<'f, 'a> {
    fields: &'f mut BTreeMap<String, &'a RawValue>,
    problems: &'f mut Vec<FieldProblem>,
}

impl Texts<'_, '_> {
    fn take(&mut self, name: &'static str) -> Option<Box<str>> {
        let detail = match json_value(self.fields.remove(name)?) {
            Ok(Value::String(text)) => return Some(text.into()),
            Ok(Value::Null) => return None,
            Ok(_) => "must be a text".to_owned(),
            Err(detail) => detail,
        };
        self.problems.push(FieldProblem::new(format!("/{name}"), detail));
        None
    }
}

/// Without parameters, in small letters.
fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// An id that nobody gave before: an event that is told again gets another one.
fn new_id() -> Result<Box<str>, FieldProblem> {
    let mut random = [0; 16];
    let filled = SystemRandom::new().fill(&mut random);
    filled.map_err(|_| FieldProblem::new("/id", "is needed: none can be made at the moment"))?;
    Ok(format!("evt_{:032x}", u128::from_be_bytes(random)).into())
}

#[cfg(test)]
mod tests;
