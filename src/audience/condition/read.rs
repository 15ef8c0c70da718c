//! From JSON to a condition. What can never hold as it is meant (a number asked of a text, a field that cannot be there) is refused.

use serde_json::{Map, Value};

use super::{Condition, Test};
use crate::audience::declared::{self, Declared, Kind};
use crate::audience::field::Field;
use crate::audience::json::{below, hint, kind_of, refuse_unknown};
use crate::intake::FieldProblem;

/// Conditions within conditions.
const DEPTH_MAX: usize = 8;
/// Tests of one condition: each event of the type is put to all of them.
const TESTS_MAX: usize = 64;
/// Values of one `in`.
const CHOICES_MAX: usize = 256;

const COMBINED: &[&str] = &["all", "any", "not"];
const TESTS: &[&str] =
    &["is", "is_not", "in", "above", "at_least", "below", "at_most", "contains", "starts_with", "exists"];
const WORDS: &[&str] = &[
    "all",
    "any",
    "not",
    "field",
    "is",
    "is_not",
    "in",
    "above",
    "at_least",
    "below",
    "at_most",
    "contains",
    "starts_with",
    "exists",
];

pub(super) fn condition(value: &Value, at: &str, schema: Option<&Value>) -> Result<Condition, Vec<FieldProblem>> {
    let mut reader = Reader { schema, tests: 0, problems: Vec::new() };
    let condition = reader.condition(value, at, DEPTH_MAX);
    if reader.tests > TESTS_MAX {
        reader.refuse(at, format!("has {} tests, at most {TESTS_MAX} are taken", reader.tests));
    }
    match condition {
        Some(condition) if reader.problems.is_empty() => Ok(condition),
        _ => Err(reader.problems),
    }
}

struct Reader<'a> {
    schema: Option<&'a Value>,
    tests: usize,
    problems: Vec<FieldProblem>,
}

impl Reader<'_> {
    fn refuse(&mut self, at: impl Into<String>, detail: impl Into<String>) {
        self.problems.push(FieldProblem::new(at.into(), detail));
    }

    /// `None` only together with a problem.
    fn condition(&mut self, value: &Value, at: &str, left: usize) -> Option<Condition> {
        let Value::Object(fields) = value else {
            self.refuse(
                at,
                format!("must be an object as {{\"field\": \"amount\", \"above\": 100}}, not {}", kind_of(value)),
            );
            return None;
        };
        let Some(left) = left.checked_sub(1) else {
            self.refuse(at, format!("conditions are nested more than {DEPTH_MAX} deep"));
            return None;
        };
        refuse_unknown(at, fields, WORDS, &mut self.problems);
        let word = fields.keys().map(String::as_str).find(|name| COMBINED.contains(name));
        match word {
            Some(word) if fields.len() > 1 => {
                self.refuse(at, format!("`{word}` stands alone: put the rest into conditions of their own"));
                None
            }
            Some("not") => self.condition(&fields["not"], &below(at, "not"), left).map(Box::new).map(Condition::Not),
            Some(word) => {
                let parts = self.parts(&fields[word], &below(at, word), left)?;
                Some(if word == "all" { Condition::All(parts) } else { Condition::Any(parts) })
            }
            None => self.test(fields, at),
        }
    }

    fn parts(&mut self, value: &Value, at: &str, left: usize) -> Option<Vec<Condition>> {
        let Some(parts) = value.as_array().filter(|parts| !parts.is_empty()) else {
            self.refuse(at, "must be a list of conditions, one at least");
            return None;
        };
        let parts = parts.iter().enumerate().map(|(index, part)| self.condition(part, &format!("{at}/{index}"), left));
        // All are read before the first that failed ends it: their problems are said together.
        parts.collect::<Vec<_>>().into_iter().collect()
    }

    fn test(&mut self, fields: &Map<String, Value>, at: &str) -> Option<Condition> {
        self.tests += 1;
        let words: Vec<&str> = TESTS.iter().copied().filter(|word| fields.contains_key(*word)).collect();
        let field = match fields.get("field") {
            Some(Value::String(path)) => match Field::parse(path) {
                Ok(field) => Some(field),
                Err(detail) => {
                    self.refuse(below(at, "field"), detail);
                    None
                }
            },
            Some(other) => {
                self.refuse(below(at, "field"), format!("must be a text, not {}", kind_of(other)));
                None
            }
            None => {
                self.refuse(below(at, "field"), "is required");
                None
            }
        };
        let [word] = words[..] else {
            self.refuse(at, format!("needs exactly one test of {}", TESTS.join(", ")));
            return None;
        };
        let test = self.operand(word, &fields[word], &below(at, word));
        let (field, test) = (field?, test?);
        self.check(&field, word, &test, at);
        Some(Condition::Test { field, test })
    }

    fn operand(&mut self, word: &str, value: &Value, at: &str) -> Option<Test> {
        let number = || value.as_number().cloned();
        let text = || value.as_str().filter(|text| !text.is_empty()).map(Box::from);
        let (test, wanted) = match word {
            "is" => (is_plain(value).then(|| Test::Is(value.clone())), PLAIN),
            "is_not" => (is_plain(value).then(|| Test::IsNot(value.clone())), PLAIN),
            "in" => (choices(value).map(Test::In), "a list of 1 to 256 texts, numbers, true, false or null"),
            "above" => (number().map(Test::Above), "a number"),
            "at_least" => (number().map(Test::AtLeast), "a number"),
            "below" => (number().map(Test::Below), "a number"),
            "at_most" => (number().map(Test::AtMost), "a number"),
            "contains" => (text().map(Test::Contains), "a text that is not empty"),
            "starts_with" => (text().map(Test::StartsWith), "a text that is not empty"),
            _ => (value.as_bool().map(Test::Exists), "true or false"),
        };
        if test.is_none() {
            self.refuse(at, format!("must be {wanted}, not {}", kind_of(value)));
        }
        test
    }

    /// Whether the test can ever hold, by what the event type declares.
    fn check(&mut self, field: &Field, word: &str, test: &Test, at: &str) {
        let Field::Data(path) = field else {
            return self.check_kinds(field, word, test, at, &["string"]);
        };
        let Some(schema) = self.schema else { return };
        match declared::declared(schema, path) {
            Declared::Open => {}
            Declared::Never { name, known } => {
                let detail = match known.is_empty() {
                    true => format!("the event type declares nothing that could have a field `{name}`"),
                    false => format!(
                        "the event type has no field `{name}` there: it has {}{}",
                        known.join(", "),
                        hint(name, &known)
                    ),
                };
                self.refuse(at, detail);
            }
            Declared::As(schema) => {
                if let Some(kinds) = declared::kinds(schema) {
                    self.check_kinds(field, word, test, at, &kinds);
                }
                if let Some(choices) = declared::choices(schema) {
                    self.check_choices(test, at, choices);
                }
            }
        }
    }

    fn check_kinds(&mut self, field: &Field, word: &str, test: &Test, at: &str, kinds: &[Kind]) {
        let wanted: Vec<Kind> = match test {
            Test::Is(value) | Test::IsNot(value) => vec![declared::kind(value)],
            Test::In(values) => values.iter().map(declared::kind).collect(),
            Test::Above(_) | Test::AtLeast(_) | Test::Below(_) | Test::AtMost(_) => vec!["number"],
            Test::Contains(_) => {
                if kinds.contains(&"array") {
                    return;
                }
                vec!["string"]
            }
            Test::StartsWith(_) => vec!["string"],
            Test::Exists(_) => return,
        };
        if let Some(unfit) = wanted.into_iter().find(|kind| !kinds.contains(kind)) {
            let name = field.pointer();
            let (is, asked) = (declared::in_words(kinds), declared::in_words(&[unfit]));
            self.refuse(at, format!("`{name}` is {is} by its event type, and `{word}` asks for {asked}"));
        }
    }

    fn check_choices(&mut self, test: &Test, at: &str, choices: &[Value]) {
        let asked: &[Value] = match test {
            Test::Is(value) | Test::IsNot(value) => std::slice::from_ref(value),
            Test::In(values) => values,
            _ => return,
        };
        let never = asked.iter().find(|value| {
            // One of another kind was refused already.
            let same_kind = choices.iter().any(|choice| declared::kind(choice) == declared::kind(value));
            same_kind && !choices.contains(value)
        });
        if let Some(value) = never {
            let known: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
            let near = value.as_str().map(|text| hint(text, &known)).unwrap_or_default();
            let all: Vec<String> = choices.iter().take(20).map(Value::to_string).collect();
            self.refuse(at, format!("{value} never comes: the event type has {}{near}", all.join(", ")));
        }
    }
}

const PLAIN: &str = "a text, a number, true, false or null";

fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::Array(_) | Value::Object(_))
}

fn choices(value: &Value) -> Option<Vec<Value>> {
    let values = value.as_array().filter(|values| (1..=CHOICES_MAX).contains(&values.len()))?;
    values.iter().all(is_plain).then(|| values.clone())
}
