//! What can be said of a definition without the others. Pure.

use crate::domain::{DefinitionKind, EVENT_TYPE_RULE, is_event_type};
use crate::intake::{FieldProblem, json_fields};

/// Bytes of a definition: enough for a schema of some hundred fields, and a thousand of them are read in seconds.
pub(super) const BODY_BYTES_MAX: usize = 64 << 10;

/// Of a rule, and of a schedule.
const RULE_NAME_BYTES_MAX: usize = 64;

/// What is wrong with a name or a text, whatever it stands for; empty: nothing.
pub(super) fn problems(kind: DefinitionKind, name: &str, body: &str) -> Vec<FieldProblem> {
    let mut problems = Vec::from_iter(name_problem(kind, name));
    if body.len() > BODY_BYTES_MAX {
        let detail = format!("is {} bytes long: a definition has at most {BODY_BYTES_MAX}", body.len());
        problems.push(FieldProblem::new("", detail));
    } else if let Err(problem) = json_fields(body) {
        problems.push(problem);
    }
    problems
}

fn name_problem(kind: DefinitionKind, name: &str) -> Option<FieldProblem> {
    let detail = match kind {
        DefinitionKind::EventType if name == "fanfare" || name.starts_with("fanfare.") => {
            "begins with `fanfare.`, as the engine's own events: a rule for them would feed on itself".to_owned()
        }
        DefinitionKind::EventType if !is_event_type(name) => EVENT_TYPE_RULE.to_owned(),
        DefinitionKind::Rule | DefinitionKind::Schedule if !is_rule_name(name) => {
            format!("must be 1 to {RULE_NAME_BYTES_MAX} of a-z, 0-9, `-`, `_` and `.`")
        }
        _ => return None,
    };
    Some(FieldProblem::new("/name", detail))
}

fn is_rule_name(name: &str) -> bool {
    let is_letter = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    (1..=RULE_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_letter)
}

/// Whether two texts say the same, whatever their spaces and the order of their fields.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let read = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    one == other || read(one).is_some_and(|one| read(other) == Some(one))
}

/// Whether a rule makes something; one that cannot be read is said to.
pub(super) fn is_active(rule: &str) -> bool {
    let read = serde_json::from_str::<serde_json::Value>(rule);
    read.map_or(true, |rule| rule.get("active") != Some(&serde_json::Value::Bool(false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_that_can_be_none_are_refused_with_the_rule() {
        let long = "x".repeat(65);
        let large = format!(r#"{{"description":"{}"}}"#, "x".repeat(BODY_BYTES_MAX));
        for (kind, name, body, pointer, words) in [
            (DefinitionKind::EventType, "User.registered", "{}", "/name", "user.registered"),
            (DefinitionKind::EventType, "fanfare.sent", "{}", "/name", "feed on itself"),
            (DefinitionKind::Rule, "", "{}", "/name", "1 to 64"),
            (DefinitionKind::Rule, &long, "{}", "/name", "1 to 64"),
            (DefinitionKind::Rule, "wel come", "{}", "/name", "1 to 64"),
            (DefinitionKind::Rule, "welcome", "[]", "", "must be an object, not"),
            (DefinitionKind::Rule, "welcome", "{", "", "is no JSON"),
            (DefinitionKind::Rule, "welcome", &large, "", "at most 65536"),
        ] {
            let problems = problems(kind, name, body);
            assert_eq!(problems.len(), 1, "{name}: {problems:?}");
            assert_eq!(problems[0].pointer, pointer);
            assert!(problems[0].detail.contains(words), "{problems:?}");
        }
        assert_eq!(problems(DefinitionKind::Rule, "welcome-2.b_c", "{}"), []);
        assert_eq!(problems(DefinitionKind::EventType, "fanfares.played", "{}"), []);
    }

    #[test]
    fn texts_are_compared_by_what_they_say() {
        assert!(is_same(r#"{"a":1,"b":[true]}"#, r#"{ "b": [true], "a": 1 }"#));
        assert!(!is_same(r#"{"a":1}"#, r#"{"a":2}"#));
        assert!(!is_same("{", "}"), "what cannot be read says nothing");
        assert!(!is_active(r#"{"active": false}"#));
        assert!(is_active(r#"{"active": true}"#) && is_active("{}") && is_active("{"));
    }
}
