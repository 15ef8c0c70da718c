use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::audience::field::Happened;
use crate::audience::testing::event;

const DATA: &str = r#"{"amount":150,"big":9007199254740993,"plan":"team","tags":["new","vip"],"trial":false,"note":null,
    "order":{"total":9.5,"items":[{"name":"Cup"}]}}"#;

fn holds(condition: &Value) -> bool {
    let mut event = event("a.b", DATA);
    event.subject = Some("post:7".into());
    let data = serde_json::from_str(&event.data).expect("valid");
    let condition = Condition::read(condition, "/when", None).unwrap_or_else(|problems| panic!("{problems:?}"));
    condition.holds(Happened { event: &event, data: &data })
}

#[test]
fn a_condition_says_what_holds_of_an_event() {
    for (condition, wanted) in [
        (json!({"field": "amount", "above": 100}), true),
        (json!({"field": "amount", "above": 150}), false),
        (json!({"field": "amount", "at_least": 150}), true),
        (json!({"field": "amount", "below": 150.5}), true),
        (json!({"field": "amount", "at_most": 149}), false),
        (json!({"field": "amount", "is": 150.0}), true),
        (json!({"field": "big", "is": 9_007_199_254_740_992_u64}), false),
        (json!({"field": "plan", "above": 1}), false),
        (json!({"field": "plan", "is": "team"}), true),
        (json!({"field": "plan", "is_not": "team"}), false),
        (json!({"field": "plan", "in": ["free", "team"]}), true),
        (json!({"field": "plan", "contains": "ea"}), true),
        (json!({"field": "plan", "starts_with": "ea"}), false),
        (json!({"field": "tags", "contains": "vip"}), true),
        (json!({"field": "tags", "contains": "vi"}), false),
        (json!({"field": "trial", "is": false}), true),
        (json!({"field": "note", "is": null}), true),
        (json!({"field": "note", "exists": true}), true),
        (json!({"field": "order.total", "below": 10}), true),
        (json!({"field": "order.items.0.name", "is": "Cup"}), true),
        (json!({"field": "/user_id", "is": "alice"}), true),
        (json!({"field": "/subject", "starts_with": "post:"}), true),
        (json!({"all": [{"field": "plan", "is": "team"}, {"not": {"field": "trial", "is": true}}]}), true),
        (json!({"any": [{"field": "plan", "is": "x"}, {"field": "amount", "is": 1}]}), false),
    ] {
        assert_eq!(holds(&condition), wanted, "{condition}");
    }
}

#[test]
fn a_field_that_is_missing_fails_every_test_but_two() {
    for (word, operand, wanted) in [
        ("is", json!(null), false),
        ("is_not", json!("x"), true),
        ("in", json!([null]), false),
        ("above", json!(0), false),
        ("at_least", json!(0), false),
        ("below", json!(0), false),
        ("at_most", json!(0), false),
        ("contains", json!("x"), false),
        ("starts_with", json!("x"), false),
        ("exists", json!(true), false),
        ("exists", json!(false), true),
    ] {
        assert_eq!(holds(&json!({"field": "order.none.deep", word: operand})), wanted, "{word}");
    }
}

#[track_caller]
fn check_refused(condition: &Value, pointer: &str, words: &str) {
    let schema = json!({
        "type": "object",
        "properties": {
            "amount": {"type": "integer"},
            "plan": {"enum": ["free", "team"]},
            "name": {"$ref": "#/$defs/name"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "order": {"type": "object", "properties": {"total": {"type": ["number", "null"]}}},
        },
        "additionalProperties": false,
        "$defs": {"name": {"type": "string"}},
    });
    let problems = Condition::read(condition, "/when", Some(&schema)).expect_err(&condition.to_string());
    let found = problems.iter().find(|problem| problem.pointer == pointer && problem.detail.contains(words));
    assert!(found.is_some(), "{condition}: {problems:?}");
}

#[test]
fn a_condition_that_cannot_be_typed_is_refused_at_its_test() {
    let at = "/when";
    check_refused(&json!({"field": "name", "above": 1}), at, "`/data/name` is a text by its event type");
    check_refused(&json!({"field": "amount", "is": "1"}), at, "is a number by its event type");
    check_refused(&json!({"field": "amount", "in": [1, "2"]}), at, "asks for a text");
    check_refused(&json!({"field": "plan", "is": "taem"}), at, "did you mean `team`");
    check_refused(&json!({"field": "plan", "in": ["free", "gold"]}), at, "never comes");
    check_refused(&json!({"field": "amuont", "above": 1}), at, "did you mean `amount`");
    check_refused(&json!({"field": "name.first", "is": "x"}), at, "nothing that could have a field `first`");
    check_refused(&json!({"field": "tags.0", "above": 1}), at, "is a text");
    check_refused(&json!({"field": "order.total", "is": true}), at, "is a number or null");
    check_refused(&json!({"field": "/user_id", "above": 1}), at, "is a text");
    check_refused(&json!({"all": [{"not": {"field": "name", "above": 1}}]}), "/when/all/0/not", "is a text");
    check_refused(&json!({"field": "amount", "above": "1"}), "/when/above", "must be a number, not a text");
    check_refused(&json!({"field": "amount", "abvoe": 1}), "/when/abvoe", "did you mean `above`");
    check_refused(&json!({"field": "amount"}), at, "needs exactly one test");
    check_refused(&json!({"field": "amount", "above": 1, "below": 3}), at, "needs exactly one test");
    check_refused(&json!({"above": 1}), "/when/field", "is required");
    check_refused(&json!({"field": 1, "above": 1}), "/when/field", "must be a text");
    check_refused(&json!({"field": "a..b", "is": 1}), "/when/field", "names with dots");
    check_refused(&json!({"field": "/id", "is": "1"}), "/when/field", "/user_id");
    check_refused(&json!({"all": []}), "/when/all", "one at least");
    check_refused(&json!({"all": [{"field": "x", "is": 1}], "field": "y"}), at, "stands alone");
    check_refused(&json!({"field": "tags", "in": []}), "/when/in", "1 to 256");
    check_refused(&json!("amount > 100"), at, "must be an object");
    let deep = (0..8).fold(json!({"field": "amount", "is": 1}), |inner, _| json!({"not": inner}));
    check_refused(&deep, &format!("/when{}", "/not".repeat(8)), "more than 8 deep");
    let wide = json!({"any": vec![json!({"field": "amount", "is": 1}); 65]});
    check_refused(&wide, at, "has 65 tests");
}

/// Conditions as they may be written, right and wrong.
fn any_condition() -> impl Strategy<Value = Value> {
    let field = prop::sample::select(vec![
        "amount",
        "plan",
        "tags",
        "note",
        "order",
        "order.total",
        "none",
        "/user_id",
        "a..b",
    ]);
    let word = prop::sample::select(vec![
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
        "what",
    ]);
    let operand = prop::sample::select(vec![
        json!(150),
        json!(-1.5),
        json!("team"),
        json!(""),
        json!(null),
        json!(true),
        json!([150, "vip"]),
        json!({"a": 1}),
    ]);
    let test = (field, word, operand).prop_map(|(field, word, operand)| json!({"field": field, word: operand}));
    test.prop_recursive(9, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|parts| json!({"all": parts})),
            prop::collection::vec(inner.clone(), 0..4).prop_map(|parts| json!({"any": parts})),
            inner.prop_map(|part| json!({"not": part})),
        ]
    })
}

proptest! {
    #[test]
    fn a_condition_is_refused_or_answers_and_not_turns_the_answer(condition in any_condition(), data in any_condition()) {
        let schema = json!({"properties": {"amount": {"type": "number"}, "order": {"type": "object"}}});
        if let Err(problems) = Condition::read(&condition, "/when", Some(&schema)) {
            prop_assert!(!problems.is_empty() && problems.iter().all(|problem| problem.pointer.starts_with("/when")));
        }
        let Ok(read) = Condition::read(&condition, "/when", None) else { return Ok(()) };
        let event = event("a.b", DATA);
        let known: Value = serde_json::from_str(DATA).expect("valid");
        for data in [&known, &data] {
            let happened = Happened { event: &event, data };
            prop_assert_eq!(Condition::Not(Box::new(read.clone())).holds(happened), !read.holds(happened));
        }
    }

    #[test]
    fn the_negative_of_a_test_is_its_opposite_where_the_field_is_there(
        field in prop::sample::select(vec!["amount", "plan", "note", "order.total"]),
        wanted in prop::sample::select(vec![json!(150), json!("team"), json!(null), json!("alice"), json!(9.5)]),
    ) {
        let is = holds(&json!({"field": field, "is": wanted}));
        prop_assert_eq!(holds(&json!({"field": field, "is_not": wanted})), !is);
        prop_assert_eq!(holds(&json!({"not": {"field": field, "is": wanted}})), !is);
        prop_assert_eq!(holds(&json!({"field": field, "in": [wanted]})), is);
    }
}
