//! Segments: the users for whose attributes a condition holds, in the words that rules have for the data of events.
//!
//! In: the JSON of a condition; its fields are names of attributes, with dots into their values, and `/user_id`. Out: whether it holds of
//! a user. Promise: what cannot be read is refused with a pointer to its place, and what was read never fails.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::condition::Condition;
use super::field::{Field, Seen};
use super::json::{below, kind_of};
use crate::intake::FieldProblem;

/// A condition on the attributes of a user.
#[derive(Debug, Clone)]
pub struct Segment {
    condition: Condition,
    /// The attributes that it asks for: no others are looked into.
    attributes: BTreeSet<Box<str>>,
}

impl Segment {
    /// From the JSON text of a condition, as `{"field": "plan", "is": "pro"}`. On failure everything that is wrong with it; the pointers
    /// begin at the condition itself.
    pub fn read(text: &str) -> Result<Self, Vec<FieldProblem>> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| vec![FieldProblem::new("", format!("is no condition that can be read: {error}"))])?;
        if !value.is_object() {
            let detail =
                format!("must be an object as {{\"field\": \"plan\", \"is\": \"pro\"}}, not {}", kind_of(&value));
            return Err(vec![FieldProblem::new("", detail)]);
        }
        let condition = Condition::read(&value, "", None)?;
        // Read before: its depth is bounded.
        let mut problems = Vec::new();
        refuse_subject(&value, "", &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut attributes = BTreeSet::new();
        condition.each_field(&mut |field| {
            if let Field::Data(path) = field {
                attributes.extend(path.first().cloned());
            }
        });
        Ok(Self { condition, attributes })
    }

    /// Whether it holds of a user. The attributes are JSON texts by their names; one that cannot be read counts as missing.
    pub fn holds(&self, user_id: &str, attributes: &BTreeMap<Box<str>, Box<str>>) -> bool {
        let value = |name: &str| serde_json::from_str(attributes.get(name)?).ok();
        let known: Map<String, Value> =
            self.attributes.iter().filter_map(|name| Some((name.to_string(), value(name)?))).collect();
        self.condition.holds(Seen { user_id: Some(user_id), subject: None, data: &Value::Object(known) })
    }
}

/// A user has no subject: such a test is the condition of a rule in the wrong place.
fn refuse_subject(value: &Value, at: &str, problems: &mut Vec<FieldProblem>) {
    for word in ["all", "any"] {
        let parts = value.get(word).and_then(Value::as_array).into_iter().flatten();
        for (index, part) in parts.enumerate() {
            refuse_subject(part, &format!("{}/{index}", below(at, word)), problems);
        }
    }
    if let Some(part) = value.get("not") {
        refuse_subject(part, &below(at, "not"), problems);
    }
    if value.get("field").and_then(Value::as_str) == Some("/subject") {
        let detail = "is of events: name an attribute of users, as in `plan` or `address.city`, or /user_id";
        problems.push(FieldProblem::new(below(at, "field"), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> BTreeMap<Box<str>, Box<str>> {
        let known = [
            ("plan", r#""pro""#),
            ("age", "41"),
            ("tags", r#"["vip","beta"]"#),
            ("address", r#"{"city":"Berlin"}"#),
            ("damaged", "{"),
        ];
        known.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn a_segment_holds_of_users_by_their_attributes() {
        for (condition, holds) in [
            (r#"{"field":"plan","is":"pro"}"#, true),
            (r#"{"field":"plan","in":["free","trial"]}"#, false),
            (r#"{"field":"age","at_least":41}"#, true),
            (r#"{"field":"tags","contains":"vip"}"#, true),
            (r#"{"field":"address.city","starts_with":"Ber"}"#, true),
            (r#"{"field":"none","exists":false}"#, true),
            (r#"{"field":"damaged","exists":true}"#, false),
            (r#"{"field":"/user_id","is":"alice"}"#, true),
            (r#"{"all":[{"field":"plan","is":"pro"},{"not":{"field":"age","below":18}}]}"#, true),
            (r#"{"any":[{"field":"plan","is":"free"},{"field":"age","above":41}]}"#, false),
        ] {
            let segment = Segment::read(condition).unwrap_or_else(|problems| panic!("{condition}: {problems:?}"));
            assert_eq!(segment.holds("alice", &attributes()), holds, "{condition}");
        }
    }

    #[test]
    fn what_is_no_condition_on_users_is_refused_with_its_place() {
        for (condition, pointer) in [
            ("", ""),
            ("[]", ""),
            (r#"{"field":"plan"}"#, ""),
            (r#"{"field":"age","above":"x"}"#, "/above"),
            (r#"{"all":[{"field":"plan","is":"pro"},{"field":"age","abvoe":1}]}"#, "/all/1/abvoe"),
            (r#"{"any":[{"not":{"field":"/subject","is":"x"}}]}"#, "/any/0/not/field"),
        ] {
            let problems = Segment::read(condition).expect_err(condition);
            assert!(problems.iter().any(|problem| problem.pointer == pointer), "{condition}: {problems:?}");
        }
    }
}
