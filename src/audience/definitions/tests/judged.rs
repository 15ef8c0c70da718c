//! Judged by the book that is made of everything: what rules need stays, and what a template mends is put in force.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::domain::{Content, NotificationRequest};

const EVENT: &str =
    r#"{"schema":{"type":"object","properties":{"amount":{"type":"number"}},"additionalProperties":false}}"#;
const WELCOME: &str =
    r#"{"event":"wallet.recharged","when":{"field":"amount","above":100},"send":{"template":"receipt"}}"#;

/// Every template is there, or none.
#[derive(Default)]
struct Templates {
    are_gone: AtomicBool,
}

impl ContentCheck for Templates {
    fn check(&self, request: &NotificationRequest) -> Result<(), FieldProblem> {
        let is_gone = self.are_gone.load(Ordering::SeqCst) && matches!(request.content, Content::Template { .. });
        if is_gone { Err(FieldProblem::new("/template", "there is no template `receipt`")) } else { Ok(()) }
    }
}

async fn node(store: SharedStore, templates: &Arc<Templates>) -> Node {
    Node::with(store, Vec::new(), templates.clone()).await
}

async fn put_rule(node: &Node, name: &str, body: &str) -> Result<Saved, DefinitionError> {
    node.definitions.put("acme", RULE, name, body, None).await
}

fn problems(node: &Node, name: &str) -> Vec<FieldProblem> {
    node.definitions.get("acme", RULE, name).expect("there").problems
}

fn is_in_force(node: &Node, name: &str) -> bool {
    node.definitions.book("acme").problems(RULE, name).is_empty()
}

fn assert_needed<T: std::fmt::Debug>(result: Result<T, DefinitionError>, rules: &[&str]) {
    let Err(DefinitionError::Needed(needed)) = result else { panic!("{result:?}") };
    assert_eq!(needed, rules.iter().map(|rule| Box::from(*rule)).collect::<Vec<Box<str>>>());
}

#[tokio::test]
async fn an_event_type_that_active_rules_need_is_not_deleted_nor_changed_under_them() {
    let node = node(fake(), &Arc::default()).await;
    let refused = put_rule(&node, "receipt", WELCOME).await;
    assert!(matches!(refused, Err(DefinitionError::Invalid(_))), "its event type is not there: {refused:?}");
    node.put("wallet.recharged", EVENT, None).await.expect("saved");
    put_rule(&node, "receipt", WELCOME).await.expect("saved");
    put_rule(&node, "asleep", &WELCOME.replacen('{', r#"{"active":false,"#, 1)).await.expect("saved");
    assert_needed(node.delete("wallet.recharged", None).await, &["receipt"]);
    assert_needed(node.put("wallet.recharged", &EVENT.replace("number", "string"), None).await, &["receipt"]);
    node.put("wallet.recharged", &EVENT.replace("number", "integer"), None).await.expect("the rule can go on");
    node.definitions.delete("acme", RULE, "receipt", None).await.expect("deleted");
    node.delete("wallet.recharged", None).await.expect("nobody needs it");
    assert!(!problems(&node, "asleep").is_empty());
}

#[tokio::test]
async fn a_rule_whose_template_goes_stays_in_force_and_says_so_and_hinders_no_change_of_its_event_type() {
    let templates = Arc::new(Templates::default());
    let node = node(fake(), &templates).await;
    node.put("wallet.recharged", EVENT, None).await.expect("saved");
    assert_eq!(put_rule(&node, "receipt", WELCOME).await.expect("saved").known.problems, []);
    templates.are_gone.store(true, Ordering::SeqCst);
    assert!(!problems(&node, "receipt").is_empty());
    assert!(is_in_force(&node, "receipt"), "each event is told why nothing comes of it");
    node.put("wallet.recharged", &EVENT.replace("number", "integer"), None).await.expect("not its fault");
    let refused = put_rule(&node, "receipt", WELCOME).await;
    assert!(matches!(refused, Err(DefinitionError::Invalid(_))), "{refused:?}");
}

#[tokio::test]
async fn a_rule_whose_template_comes_later_is_put_in_force_by_who_follows() {
    let store = fake();
    let (there, gone) = (Arc::new(Templates::default()), Arc::new(Templates { are_gone: true.into() }));
    let one = node(store.clone(), &there).await;
    // This node has not heard of the template yet.
    let other = node(store, &gone).await;
    one.put("wallet.recharged", EVENT, None).await.expect("saved");
    put_rule(&one, "receipt", WELCOME).await.expect("saved");
    other.definitions.refresh().await.expect("read");
    assert!(!is_in_force(&other, "receipt"));
    gone.are_gone.store(false, Ordering::SeqCst);
    other.clock.advance(INTERVAL);
    other.definitions.refresh().await.expect("read");
    assert!(is_in_force(&other, "receipt"));
}
