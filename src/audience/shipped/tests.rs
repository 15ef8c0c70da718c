use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::audience::testing::{categories, event};
use crate::audience::{Drafted, RuleBook, RuleContents, Rulings};
use crate::config;
use crate::domain::{Channel, DomainEvent, Priority, Zone};
use crate::intake::ContentCheck;
use crate::rendering::Renderer;

fn contents() -> Arc<dyn ContentCheck> {
    let renderer = Renderer::new(&config::defaults().templates, Zone::UTC).expect("the shipped templates are usable");
    Arc::new(RuleContents { contents: Arc::new(renderer), categories: categories() })
}

#[test]
fn every_shipped_rule_makes_a_request_of_the_example_of_its_event_type() {
    let (definitions, contents, categories) = (shipped(None).expect("readable"), contents(), categories());
    let book = RuleBook::new("default", &definitions, &contents);
    for definition in &definitions {
        let problems = book.problems(definition.kind, &definition.name);
        assert!(problems.is_empty(), "{} {}: {problems:?}", definition.kind.name(), definition.name);
    }
    let rulings = Rulings { contents: &*contents, categories: &categories };
    for known in book.event_types() {
        let example = known.example.as_ref().unwrap_or_else(|| panic!("{} has no example", known.name));
        let happened = DomainEvent { subject: Some("s".into()), ..event(&known.name, &example.to_string()) };
        let drafts = book.apply(&happened, rulings).expect(&known.name);
        assert!(!drafts.is_empty(), "{} has no rule", known.name);
        for draft in drafts {
            let is_made = match &draft.outcome {
                Drafted::Requests(_) => !known.name.starts_with("subject."),
                Drafted::ForFollowers(_) => known.name.starts_with("subject."),
                Drafted::ConditionFails | Drafted::Impossible(_) => false,
            };
            assert!(is_made, "{}: {draft:?}", known.name);
        }
    }
}

#[test]
fn the_event_types_of_the_contract_ship_with_rules() {
    let definitions = shipped(None).expect("readable");
    let names: BTreeSet<&str> = definitions
        .iter()
        .filter(|definition| definition.kind == DefinitionKind::EventType)
        .map(|definition| &*definition.name)
        .collect();
    let wanted = "user.registered user.logged_in user.login_failed user.updated user.password_reset user.email_verification \
                  wallet.recharged wallet.consumed wallet.withdraw_request content.created content.updated \
                  content.deleted content.reviewed recommendation.behavior_recorded recommendation.refresh \
                  device.created device.started device.stopped device.error device.expiring device.deleted \
                  device.restored app.installed app.updated app.failed billing.low_balance \
                  billing.payment_succeeded billing.invoice scheduler.task_failed media.ready system.maintenance \
                  notification.email notification.sms notification.push \
                  subject.new_episode subject.season_update subject.general_update";
    let wanted: BTreeSet<&str> = wanted.split_whitespace().collect();
    assert_eq!(names, wanted);
}

#[test]
fn a_failed_login_is_told_at_once_by_mail_text_message_and_push() {
    let (definitions, contents, categories) = (shipped(None).expect("readable"), contents(), categories());
    let book = RuleBook::new("default", &definitions, &contents);
    let failed: DomainEvent = event("user.login_failed", r#"{"time":"2026-11-22T19:30:00Z","ip":"203.0.113.7"}"#);
    let drafts = book.apply(&failed, Rulings { contents: &*contents, categories: &categories }).expect("valid");
    let Drafted::Requests(requests) = &drafts[0].outcome else { panic!("{drafts:?}") };
    assert_eq!(requests[0].priority, Priority::Critical);
    assert_eq!(requests[0].channels, [Channel::Email, Channel::Sms, Channel::Push]);
}

#[test]
fn files_of_a_folder_stand_over_what_ships_and_errors_name_the_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
    let before = shipped(None).expect("readable").len();
    write(
        "a.toml",
        "[[rules]]\nname = \"user.registered\"\nevent = \"user.registered\"\nactive = false\n[rules.send]\ntemplate = \"x\"\n",
    );
    write("b.json", r#"{"event_types": [{"name": "my.own", "silent_after": "1h"}]}"#);
    write("notes.txt", "not read");
    let all = shipped(Some(dir.path())).expect("readable");
    assert_eq!(all.len(), before + 1);
    let replaced = all.iter().find(|one| one.kind == DefinitionKind::Rule && *one.name == *"user.registered");
    assert!(replaced.and_then(|one| one.body.as_deref()).is_some_and(|body| body.contains("\"active\":false")));
    let check = |text: &str, words: &str| {
        write("c.toml", text);
        let error = shipped(Some(dir.path())).expect_err(text).to_string();
        assert!(error.contains("c.toml") && error.contains(words), "{error}");
    };
    check("[[rules", "cannot use the file");
    check("[[rule]]\nname = \"x\"\n", "unknown field");
    check("[[rules]]\nevent = \"x\"\n", "each rule needs a `name`");
    check("[[event_types]]\nname = \"my.own\"\n", "the event type `my.own` is in");
    assert!(shipped(Some(&dir.path().join("none"))).is_err());
}
