//! The fields of an object, taken one by one.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::config::nearest;
use crate::intake::{FieldProblem, json_fields_once, json_value};

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(in crate::api) struct Problems(Vec<FieldProblem>);

impl Problems {
    pub(in crate::api) fn add(&mut self, pointer: &str, detail: impl Into<String>) {
        self.push(FieldProblem::new(pointer.to_owned(), detail));
    }

    pub(in crate::api) fn push(&mut self, problem: FieldProblem) {
        self.0.push(problem);
    }

    /// A value, if there is nothing against it.
    pub(in crate::api) fn check<T>(&mut self, pointer: &str, outcome: Result<T, impl Into<String>>) -> Option<T> {
        outcome.map_err(|detail| self.add(pointer, detail)).ok()
    }

    /// `value`, or all that is wrong.
    pub(in crate::api) fn or<T>(self, value: T) -> Result<T, Vec<FieldProblem>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }

    pub(in crate::api) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a body says of one thing: `None` nothing, `Some(None)` (JSON's null) that it is to be taken back.
pub(in crate::api) type Said<T> = Option<Option<T>>;

/// An object's fields, and where it stands.
#[derive(Debug)]
pub(in crate::api) struct Fields<'a> {
    /// The pointer to the object.
    at: String,
    rest: BTreeMap<String, &'a RawValue>,
    /// Of all fields that were asked for: what may stand there.
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Reads an object that stands at `at`.
    pub(in crate::api) fn read(text: &'a str, at: &str) -> Result<Self, FieldProblem> {
        let rest = json_fields_once(text).map_err(|problem| problem.below(at))?;
        Ok(Self { at: at.to_owned(), rest, known: Vec::new() })
    }

    /// The pointer to a field.
    pub(in crate::api) fn pointer(&self, name: &str) -> String {
        format!("{}/{name}", self.at)
    }

    /// A field as it stands there.
    pub(in crate::api) fn take(&mut self, name: &'static str) -> Option<&'a RawValue> {
        self.known.push(name);
        self.rest.remove(name)
    }

    /// A field's value.
    pub(in crate::api) fn value(&mut self, name: &'static str, problems: &mut Problems) -> Option<Value> {
        let raw = self.take(name)?;
        problems.check(&self.pointer(name), json_value(raw))
    }

    /// A text, made canonical by `parse`.
    pub(in crate::api) fn text<T, E: Into<String>>(
        &mut self,
        name: &'static str,
        problems: &mut Problems,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Said<T> {
        let pointer = self.pointer(name);
        match self.value(name, problems)? {
            Value::Null => Some(None),
            Value::String(text) => problems.check(&pointer, parse(&text)).map(Some),
            _ => {
                problems.add(&pointer, "must be a text");
                None
            }
        }
    }

    /// A text that must be there.
    pub(in crate::api) fn required<T, E: Into<String>>(
        &mut self,
        name: &'static str,
        problems: &mut Problems,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.rest.get(name).is_none_or(|raw| raw.get() == "null") {
            problems.add(&self.pointer(name), "is required");
            self.take(name);
            return None;
        }
        self.text(name, problems, parse).flatten()
    }

    /// Whatever is left was meant to do something.
    pub(in crate::api) fn end(self, problems: &mut Problems) {
        for name in self.rest.keys() {
            let hint = nearest(name, &self.known).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            let problem = FieldProblem::of_field(name, format!("is no field that is known here{hint}"));
            problems.push(problem.below(&self.at));
        }
    }
}
