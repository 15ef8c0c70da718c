//! The statements and the schema, read as text.

use std::collections::BTreeMap;

use super::super::schema::STEPS;
use super::super::statements::TEXTS;

/// What the two databases do not share, cannot be repeated, or does not scale.
const FORBIDDEN: &[&str] = &[
    "COUNTER",
    "MATERIALIZED",
    "INDEX",
    "ALLOW FILTERING",
    " IN ",
    " IN(",
    "DELETE",
    "TRUNCATE",
    "LOGGED",
    "BYPASS",
    "USING TIMESTAMP",
];

/// Tables and their partition keys, from the schema.
fn partition_keys() -> BTreeMap<String, Vec<String>> {
    let columns = |text: &str| text.split(',').map(|column| column.trim().to_owned()).collect();
    let steps = STEPS.iter().map(|step| {
        let text = step.statement();
        let table =
            text.split_once("EXISTS ").and_then(|(_, rest)| rest.split_once(' ')).expect("a table").0.to_owned();
        let key = text.split_once("PRIMARY KEY (").expect("a key").1;
        let partition = match key.strip_prefix('(') {
            Some(several) => several.split_once(')').expect("closed").0,
            None => key.split_once([',', ')']).expect("closed").0,
        };
        (table, columns(partition))
    });
    steps.collect()
}

#[test]
fn no_statement_uses_what_is_forbidden() {
    let schema: Vec<String> = STEPS.iter().map(|step| step.statement()).collect();
    for text in TEXTS.iter().copied().chain(schema.iter().map(String::as_str)) {
        let upper = text.to_uppercase();
        for word in FORBIDDEN {
            assert!(!upper.contains(word), "`{word}` in: {text}");
        }
        let is_conditional = upper.contains(" IF ") && !upper.starts_with("CREATE");
        assert!(
            !is_conditional || text.contains("{leases}."),
            "compare-and-set outside the keyspace of leases: {text}"
        );
    }
}

#[test]
fn every_statement_names_the_whole_partition_key() {
    let keys = partition_keys();
    assert_eq!(keys.len(), STEPS.len());
    for text in TEXTS {
        let words: Vec<&str> = text.split_whitespace().collect();
        let after = |word: &str| words.iter().position(|one| *one == word).map(|at| words[at + 1]);
        let table = after("FROM").or(after("INTO")).or(after("UPDATE")).expect("a table");
        for column in &keys[table] {
            let is_named = if text.starts_with("INSERT") {
                let columns = text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).expect("columns").0;
                columns.split(',').any(|one| one.trim() == column)
            } else {
                let condition = text.split_once(" WHERE ").expect("a condition").1;
                let condition = condition.split(" IF ").next().expect("the first part");
                condition.contains(&format!("{column} = ?"))
            };
            assert!(is_named, "`{column}` is not named: {text}");
        }
    }
}

#[test]
fn every_log_like_table_expires_and_every_choice_has_its_reason() {
    for step in STEPS {
        let text = step.statement();
        let is_log_like = text.contains("TimeWindowCompactionStrategy");
        assert!(is_log_like || text.contains("LeveledCompactionStrategy"), "{text}");
        assert!(!is_log_like || (text.contains("default_time_to_live") && text.contains("{ttl_only}")), "{text}");
    }
}
