//! What events have in common with requests: fields, objects and times are judged by the same rules.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::wire::Named;
use super::{FieldProblem, Problems, diagnose, json, times};
use crate::domain::Timestamp;

/// An object's fields, each as its text. A name that is there twice is refused (RFC 8259, 4, leaves open which one counts):
/// whoever wrote both did not mean to have one of them dropped.
pub fn json_fields_once(text: &str) -> Result<BTreeMap<String, &RawValue>, FieldProblem> {
    match serde_json::from_str(text) {
        Ok(Entries { fields, twice: None }) => Ok(fields),
        Ok(Entries { twice: Some(name), .. }) => Err(FieldProblem::of_field(&name, "is there twice: give it once")),
        // It finds the same, and the words for it.
        Err(_) => diagnose::fields(text),
    }
}

/// The text of an object that whoever reads it later can read; `{}` where there is none. `pointer`: where it stands.
pub fn json_object(pointer: &'static str, raw: Option<&RawValue>) -> Result<Box<str>, FieldProblem> {
    let mut problems = Problems::default();
    let text = json::object(pointer, raw, &mut problems);
    match problems.0.pop() {
        Some(problem) => Err(problem),
        None => Ok(text),
    }
}

/// `delay_seconds` and `deliver_at` made one; `None`: at once, which a time that has passed means as well.
pub fn delivery_time(
    at: Option<Timestamp>,
    delay_seconds: Option<u64>,
    now: Timestamp,
) -> Result<Option<Timestamp>, FieldProblem> {
    let mut problems = Problems::default();
    let time = times::deliver_at(at.map(Named), delay_seconds, now, &mut problems);
    match problems.0.pop() {
        Some(problem) => Err(problem),
        None => Ok(time),
    }
}

struct Entries<'a> {
    fields: BTreeMap<String, &'a RawValue>,
    /// The first name that came again.
    twice: Option<String>,
}

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut read = Entries { fields: BTreeMap::new(), twice: None };
                while let Some((name, raw)) = map.next_entry::<String, &'de RawValue>()? {
                    if read.twice.is_none() && read.fields.contains_key(&name) {
                        read.twice = Some(name.clone());
                    }
                    read.fields.insert(name, raw);
                }
                Ok(read)
            }
        }

        deserializer.deserialize_map(Reader)
    }
}
