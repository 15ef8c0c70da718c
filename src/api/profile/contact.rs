//! Contact data: how a user is reached, in which language and zone, and what templates may say of them.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::fields::{Fields, Problems, Said};
use super::merge_patch::merged;
use super::zone::timezone;
use super::{address, name};
use crate::domain::{User, UserEntry, canonical_locale};
use crate::intake::{FieldProblem, json_fields_once, json_value};

/// Attributes of a user. Each is a row, and all of them are read with every notification to the user.
const ATTRIBUTES_MAX: usize = 64;
/// Of names and values together.
const ATTRIBUTES_BYTES_MAX: usize = 16 << 10;

/// Whether what a body does not say stays or is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum How {
    /// PUT: the body is all there is.
    Replace,
    /// PATCH and import: the body says what changes (RFC 7396).
    Merge,
}

/// What a body says.
#[derive(Debug)]
pub(in crate::api) struct Contact<'a> {
    email: Said<Box<str>>,
    phone: Said<Box<str>>,
    locale: Said<Box<str>>,
    timezone: Said<Box<str>>,
    attributes: Said<BTreeMap<String, &'a RawValue>>,
    /// Where the attributes stand.
    attributes_at: String,
}

impl<'a> Contact<'a> {
    pub(in crate::api) fn read(fields: &mut Fields<'a>, problems: &mut Problems) -> Self {
        Self {
            email: fields.text("email", problems, address::email),
            phone: fields.text("phone", problems, address::phone),
            locale: fields.text("locale", problems, |text| {
                canonical_locale(text)
                    .map(String::into_boxed_str)
                    .ok_or("is no language tag: write it as `de-DE` (BCP 47)")
            }),
            timezone: fields.text("timezone", problems, timezone),
            attributes_at: fields.pointer("attributes"),
            attributes: attributes(fields, problems),
        }
    }

    /// What changes with it of what is known of a user.
    pub(in crate::api) fn entries(&self, user: &User, how: How, problems: &mut Problems) -> Vec<UserEntry> {
        type Field<'a> = (&'a Said<Box<str>>, &'a Option<Box<str>>, fn(Option<Box<str>>) -> UserEntry);
        let texts: [Field<'_>; 4] = [
            (&self.email, &user.email, UserEntry::Email),
            (&self.phone, &user.phone, UserEntry::Phone),
            (&self.locale, &user.locale, UserEntry::Locale),
            (&self.timezone, &user.timezone, UserEntry::Timezone),
        ];
        let mut entries = Vec::new();
        for (said, held, make) in texts {
            let wanted = match (said, how) {
                (Some(said), _) => said,
                (None, How::Replace) => &None,
                (None, How::Merge) => continue,
            };
            if wanted != held {
                entries.push(make(wanted.clone()));
            }
        }
        self.change_attributes(user, how, &mut entries, problems);
        entries
    }

    fn change_attributes(&self, user: &User, how: How, entries: &mut Vec<UserEntry>, problems: &mut Problems) {
        let nothing = BTreeMap::new();
        let (said, how) = match (&self.attributes, how) {
            (Some(Some(said)), how) => (said, how),
            (Some(None), _) | (None, How::Replace) => (&nothing, How::Replace),
            (None, How::Merge) => return,
        };
        let mut wanted = match how {
            How::Replace => BTreeMap::new(),
            How::Merge => user.attributes.clone(),
        };
        for (name, raw) in said {
            match attribute(user.attributes.get(&**name).map(|held| &**held), raw, how) {
                Ok(Some(value)) => wanted.insert(name.as_str().into(), value),
                Ok(None) => wanted.remove(&**name),
                Err(detail) => {
                    problems.push(FieldProblem::of_field(name, detail).below(&self.attributes_at));
                    None
                }
            };
        }
        self.check_size(&wanted, problems);
        for name in user.attributes.keys().filter(|name| !wanted.contains_key(*name)) {
            entries.push(UserEntry::Attribute { name: name.clone(), value: None });
        }
        for (name, value) in wanted {
            if user.attributes.get(&name) != Some(&value) {
                entries.push(UserEntry::Attribute { name, value: Some(value) });
            }
        }
    }

    fn check_size(&self, attributes: &BTreeMap<Box<str>, Box<str>>, problems: &mut Problems) {
        let bytes: usize = attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
        if attributes.len() > ATTRIBUTES_MAX {
            let detail = format!("a user may have {ATTRIBUTES_MAX} attributes, and would have {}", attributes.len());
            problems.add(&self.attributes_at, detail);
        }
        if bytes > ATTRIBUTES_BYTES_MAX {
            let detail =
                format!("all attributes together may have {ATTRIBUTES_BYTES_MAX} bytes, and would have {bytes}");
            problems.add(&self.attributes_at, detail);
        }
    }
}

fn attributes<'a>(fields: &mut Fields<'a>, problems: &mut Problems) -> Said<BTreeMap<String, &'a RawValue>> {
    let at = fields.pointer("attributes");
    let raw = fields.take("attributes")?;
    if raw.get() == "null" {
        return Some(None);
    }
    let read = json_fields_once(raw.get()).map_err(|problem| problems.push(problem.below(&at))).ok()?;
    for text in read.keys() {
        if let Err(problem) = name(text, "") {
            let detail = format!("its name {}", problem.detail);
            problems.push(FieldProblem::of_field(text, detail).below(&at));
        }
    }
    Some(Some(read))
}

/// The value of an attribute as JSON text; `None`: it is taken back. Numbers stay as they are written, however long.
fn attribute(held: Option<&str>, raw: &RawValue, how: How) -> Result<Option<Box<str>>, String> {
    let value = json_value(raw)?;
    match (value, how) {
        (Value::Null, _) => Ok(None),
        (patch @ Value::Object(_), How::Merge) => {
            let held = held.and_then(|text| serde_json::from_str(text).ok());
            Ok(Some(merged(held, patch).to_string().into()))
        }
        _ => Ok(Some(raw.get().into())),
    }
}
