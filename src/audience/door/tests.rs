use super::*;
use crate::audience::Refusal;
use crate::audience::testing::{OneTemplate, categories, definition, event};
use crate::domain::DefinitionKind;
use crate::intake::AcceptedKeys;
use crate::intake::fakes::{FakeLog, FakeStore, StoppedClock};

fn book() -> Arc<RuleBook> {
    let contents: Arc<dyn ContentCheck> = Arc::new(OneTemplate);
    let rule = |name, body| definition(DefinitionKind::Rule, name, body);
    let definitions = [
        definition(DefinitionKind::EventType, "a.b", "{}"),
        rule(
            "1-fails",
            r#"{"event": "a.b", "when": {"field": "never", "exists": true}, "send": {"template": "welcome"}}"#,
        ),
        rule("2-list", r#"{"event": "a.b", "audience": ["bo", "cy"], "send": {"template": "welcome"}}"#),
        rule("3-gone", r#"{"event": "a.b", "send": {"template": "gone"}}"#),
        rule("4-user", r#"{"event": "a.b", "send": {"template": "welcome"}}"#),
    ];
    Arc::new(RuleBook::new("default", &definitions, &contents))
}

fn said(taken: &Taken) -> Vec<String> {
    let Taken::Used(applied) = taken else { return Vec::new() };
    let said = applied.iter().map(|applied| match &applied.outcome {
        RuleOutcome::Made { id, repeated } => {
            format!("{} {}{}", applied.rule, id.0.offset, if *repeated { "again" } else { "" })
        }
        RuleOutcome::ConditionFails => applied.rule.to_string(),
        RuleOutcome::Impossible(problems) => format!("{} {}", applied.rule, problems[0].pointer),
    });
    said.collect()
}

#[tokio::test]
async fn answers_stand_where_their_events_and_rules_stood_and_an_event_that_comes_again_makes_nothing() {
    let log = FakeLog::open();
    let clock = StoppedClock::at("2026-11-22T12:00:00Z");
    let keys = Arc::<AcceptedKeys>::default();
    let acceptor = Acceptor::new(log.clone(), Arc::new(FakeStore::default()), clock, keys);
    let (book, categories) = (book(), categories());
    let rulings = Rulings { contents: &OneTemplate, categories: &categories };
    let named = |id: &str, event_type: &str| DomainEvent { id: id.into(), ..event(event_type, r#"{"name":"x"}"#) };
    let events = vec![named("1", "a.b"), named("2", "a.c"), named("1", "a.b"), named("3", "a.b")];
    let answers = taken(events, |_| book.clone(), rulings, &acceptor).await.expect("accepted");
    assert_eq!(said(&answers[0]), ["1-fails", "2-list 0", "2-list 1", "3-gone /send/template", "4-user 2"]);
    assert!(matches!(&answers[1], Taken::Refused(Refusal::UnknownType { near: Some(near), .. }) if **near == *"a.b"));
    assert_eq!(
        said(&answers[2]),
        ["1-fails", "2-list 0again", "2-list 1again", "3-gone /send/template", "4-user 2again"]
    );
    assert_eq!(said(&answers[3]), ["1-fails", "2-list 3", "2-list 4", "3-gone /send/template", "4-user 5"]);
    assert_eq!(log.len(), 6);
    let changed = DomainEvent { data: r#"{"name":"y"}"#.into(), ..named("3", "a.b") };
    let again = taken(vec![changed], |_| book.clone(), rulings, &acceptor).await.expect("accepted");
    assert_eq!(said(&again[0])[1], "2-list 3again");
    assert_eq!(log.len(), 6);
}
