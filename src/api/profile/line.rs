//! One line of an import: a user with devices and preferences, or a suppression.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::consent::{PURPOSES_MAX, purpose, read_consent};
use super::contact::{Contact, How};
use super::device::{DEVICES_MAX, DeviceSaid, device_entries};
use super::fields::{Fields, Problems};
use super::preferences::Preferences;
use super::suppression::SuppressionSaid;
use super::{name, user_id};
use crate::domain::{Categories, Consent, Timestamp, User, UserEntry};
use crate::intake::FieldProblem;

/// What a line says, by what it is about.
#[derive(Debug)]
pub(in crate::api) enum ImportLine<'a> {
    User(Box<UserLine<'a>>),
    Suppression(SuppressionSaid),
}

impl<'a> ImportLine<'a> {
    /// A line with the field `suppression` is one, and has nothing else.
    pub(in crate::api) fn read(
        text: &'a str,
        categories: &Categories,
        now: Timestamp,
    ) -> Result<Self, Vec<FieldProblem>> {
        let mut problems = Problems::default();
        let mut fields = Fields::read(text, "").map_err(|problem| vec![problem])?;
        let Some(raw) = fields.take("suppression") else {
            return UserLine::read(fields, categories, now).map(|line| Self::User(Box::new(line)));
        };
        let inner = Fields::read(raw.get(), "/suppression").map_err(|problem| problems.push(problem)).ok();
        let said = inner.and_then(|inner| SuppressionSaid::read(inner, now, &mut problems));
        fields.end(&mut problems);
        problems.or(said)?.map(Self::Suppression).ok_or_else(Vec::new)
    }
}

/// What a line says of a user.
#[derive(Debug)]
pub(in crate::api) struct UserLine<'a> {
    pub(in crate::api) id: Box<str>,
    contact: Contact<'a>,
    devices: Vec<(Box<str>, DeviceSaid)>,
    preferences: Preferences,
    consents: Vec<(Box<str>, Consent)>,
}

impl<'a> UserLine<'a> {
    fn read(mut fields: Fields<'a>, categories: &Categories, now: Timestamp) -> Result<Self, Vec<FieldProblem>> {
        let mut problems = Problems::default();
        let id = fields.required("id", &mut problems, |text| user_id(text, "").map_err(|problem| problem.detail));
        let contact = Contact::read(&mut fields, &mut problems);
        let devices = devices(&mut fields, &mut problems);
        let preferences = Preferences::read(&mut fields, categories, &mut problems);
        let consents = consents(&mut fields, now, &mut problems);
        // When a user came is not the caller's to say.
        fields.take("created_at");
        fields.end(&mut problems);
        let id = problems.or(id)?;
        Ok(Self { id: id.ok_or_else(Vec::new)?, contact, devices, preferences, consents })
    }

    /// What changes with it of what is known of the user.
    pub(in crate::api) fn entries(&self, user: &User, now: Timestamp) -> Result<Vec<UserEntry>, Vec<FieldProblem>> {
        let mut problems = Problems::default();
        let mut entries = self.contact.entries(user, How::Merge, &mut problems);
        // Each device counts for the next.
        let mut with_devices = (!self.devices.is_empty()).then(|| user.clone());
        for (index, (id, said)) in self.devices.iter().enumerate() {
            let Some(user) = &mut with_devices else { break };
            let outcome = device_entries(user, id, said, now);
            let Some(added) = problems.check(&format!("/devices/{index}"), outcome) else { continue };
            added.iter().cloned().for_each(|entry| user.apply(entry));
            entries.extend(added);
        }
        entries.extend(self.preferences.entries(user));
        // What was said before what counts is no news; the same again is none either.
        let follows = |(purpose, consent): &&(Box<str>, Consent)| {
            let held = user.consents.get(purpose);
            consent.follows(held) && held.is_none_or(|held| !is_same(held, consent))
        };
        entries.extend(
            self.consents.iter().filter(follows).map(|(purpose, consent)| UserEntry::Consent {
                purpose: purpose.clone(),
                consent: Some(consent.clone()),
            }),
        );
        entries.extend(user.created_at.is_none().then_some(UserEntry::Created(Some(now))));
        problems.or(entries)
    }
}

/// Whether the two say the same, whenever it was written down.
fn is_same(held: &Consent, consent: &Consent) -> bool {
    *consent == Consent { recorded_at: consent.recorded_at, ..held.clone() }
}

fn consents(fields: &mut Fields<'_>, now: Timestamp, problems: &mut Problems) -> Vec<(Box<str>, Consent)> {
    let Some(raw) = fields.take("consents") else { return Vec::new() };
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        problems.add("/consents", "must be a list of {\"purpose\", \"granted\", \"text_version\", \"source\"}");
        return Vec::new();
    };
    if items.len() > PURPOSES_MAX {
        problems.add("/consents", format!("must have at most {PURPOSES_MAX} entries"));
        return Vec::new();
    }
    let mut consents = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, item) in items.into_iter().enumerate() {
        let at = format!("/consents/{index}");
        let mut fields = match Fields::read(item.get(), &at) {
            Ok(fields) => fields,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let name = fields.required("purpose", problems, purpose);
        let consent = read_consent(&mut fields, now, problems);
        fields.end(problems);
        let (Some(name), Some(consent)) = (name, consent) else { continue };
        if seen.insert(name.clone()) {
            consents.push((name, consent));
        } else {
            problems.add(&at, "this purpose is there twice");
        }
    }
    consents
}

fn devices(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<(Box<str>, DeviceSaid)> {
    let Some(raw) = fields.take("devices") else { return Vec::new() };
    let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        problems.add("/devices", "must be a list of {\"id\", \"platform\", \"token\"}");
        return Vec::new();
    };
    if items.len() > DEVICES_MAX {
        problems.add("/devices", format!("must have at most {DEVICES_MAX} entries"));
        return Vec::new();
    }
    let mut devices = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, item) in items.into_iter().enumerate() {
        let at = format!("/devices/{index}");
        let mut fields = match Fields::read(item.get(), &at) {
            Ok(fields) => fields,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let id = fields.required("id", problems, |text| name(text, "").map_err(|problem| problem.detail));
        let said = DeviceSaid::read(&mut fields, problems);
        fields.end(problems);
        let (Some(id), Some(said)) = (id, said) else { continue };
        if seen.insert(id.clone()) {
            devices.push((id, said));
        } else {
            problems.add(&at, "this id is there twice");
        }
    }
    devices
}
