//! The event types and rules of a tenant, ready to be used. Pure.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock};

use serde_json::Value;

use super::field::Happened;
use super::json::{hint, near};
use super::rule::{
    Audience, event_data, example_event, example_request, made, message_for_followers, placed, unfit_content,
};
use super::{KnownRule, KnownType, Refusal};
use crate::config;
use crate::domain::{Categories, Definition, DefinitionKind, DomainEvent, NotificationRequest};
use crate::intake::{ContentCheck, FieldProblem};

/// What is in force for one tenant. Built anew when one of its definitions changes.
#[derive(Default)]
pub struct RuleBook {
    types: BTreeMap<Box<str>, KnownType>,
    /// By event type, in the order of their names.
    rules: HashMap<Box<str>, Vec<KnownRule>>,
    problems: HashMap<(DefinitionKind, Box<str>), Vec<FieldProblem>>,
    /// What is wrong with the contents of the rules that can be read: found when somebody asks.
    trials: HashMap<Box<str>, Trial>,
}

/// A rule whose content is rendered once, when somebody asks whether it can be.
struct Trial {
    event_type: Box<str>,
    request: NotificationRequest,
    contents: Arc<dyn ContentCheck>,
    problems: OnceLock<Vec<FieldProblem>>,
}

/// Against what a request is held.
#[derive(Clone, Copy)]
pub struct Rulings<'a> {
    pub contents: &'a dyn ContentCheck,
    /// Those that there are.
    pub categories: &'a Categories,
}

/// What a rule makes of an event, before anything is accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub rule: Box<str>,
    pub outcome: Drafted,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Drafted {
    /// One for each of the audience; never empty.
    Requests(Vec<NotificationRequest>),
    /// What everybody is told who follows the subject of the event: without a recipient.
    ForFollowers(Box<NotificationRequest>),
    /// Its condition does not hold.
    ConditionFails,
    /// It holds, and no notification can be made: what the event lacks, or what is wrong with the rule (below `/send`).
    Impossible(Vec<FieldProblem>),
}

impl RuleBook {
    /// From all definitions of a tenant, those that ship among them. One that cannot be used is left out, with what is wrong with it
    /// in [`RuleBook::problems`]. Nothing is rendered here: a rule whose template is missing is found when [`RuleBook::problems`] is
    /// asked, and every event is told so by [`Drafted::Impossible`].
    pub fn new(tenant: &str, definitions: &[Definition], contents: &Arc<dyn ContentCheck>) -> Self {
        let mut book = Self::default();
        for (name, body) in bodies(definitions, DefinitionKind::EventType) {
            match KnownType::read(name, body) {
                Ok(known) => _ = book.types.insert(name.into(), known),
                Err(problems) => _ = book.problems.insert((DefinitionKind::EventType, name.into()), problems),
            }
        }
        for (name, body) in bodies(definitions, DefinitionKind::Rule) {
            match book.rule(tenant, name, body, contents) {
                Ok((rule, trial)) => {
                    book.rules.entry(rule.event.clone()).or_default().push(rule);
                    book.trials.insert(name.into(), trial);
                }
                Err(problems) => _ = book.problems.insert((DefinitionKind::Rule, name.into()), problems),
            }
        }
        for rules in book.rules.values_mut() {
            rules.sort_by(|one, other| one.name.cmp(&other.name));
        }
        book
    }

    fn rule(
        &self,
        tenant: &str,
        name: &str,
        body: &str,
        contents: &Arc<dyn ContentCheck>,
    ) -> Result<(KnownRule, Trial), Vec<FieldProblem>> {
        let rule = KnownRule::read(name, body, |event| self.declared(event))?;
        let known = &self.types[&rule.event];
        let event = example_event(tenant, known);
        let nothing = Value::Object(serde_json::Map::new());
        let data = known.example.as_ref().unwrap_or(&nothing);
        let rulings =
            Rulings { contents: &**contents, categories: contents.categories().unwrap_or(&SHIPPED_CATEGORIES) };
        let request = example_request(&rule, &event, data, rulings)?;
        let event_type = rule.event.clone();
        Ok((rule, Trial { event_type, request, contents: contents.clone(), problems: OnceLock::new() }))
    }

    fn declared(&self, event: &str) -> Result<&KnownType, String> {
        self.types.get(event).ok_or_else(|| {
            if self.problems.contains_key(&(DefinitionKind::EventType, event.into())) {
                return format!("the event type `{event}` cannot be used as it is declared: mend it first");
            }
            format!("there is no event type `{event}`{}", hint(event, &self.names()))
        })
    }

    /// What is wrong with a definition; empty: it is in force. A rule is rendered with the example of its event type when this is
    /// asked for the first time.
    pub fn problems(&self, kind: DefinitionKind, name: &str) -> &[FieldProblem] {
        if let Some(problems) = self.problems.get(&(kind, Box::from(name))) {
            return problems;
        }
        match self.trials.get(name).filter(|_| kind == DefinitionKind::Rule) {
            Some(trial) => trial.problems.get_or_init(|| self.tried(trial)),
            None => &[],
        }
    }

    fn tried(&self, trial: &Trial) -> Vec<FieldProblem> {
        let Some(known) = self.types.get(&trial.event_type) else { return Vec::new() };
        unfit_content(&trial.request, known, &*trial.contents).into_iter().collect()
    }

    /// The event types that can be used, in the order of their names.
    pub fn event_types(&self) -> impl Iterator<Item = &KnownType> {
        self.types.values()
    }

    pub fn event_type(&self, name: &str) -> Option<&KnownType> {
        self.types.get(name)
    }

    /// The names of the event types that can be used, in order.
    pub fn names(&self) -> Vec<&str> {
        self.types.keys().map(|name| &**name).collect()
    }

    /// The rules for an event type that can be used, in the order of their names; also those that are switched off.
    pub fn rules_for(&self, event_type: &str) -> &[KnownRule] {
        self.rules.get(event_type).map(Vec::as_slice).unwrap_or_default()
    }

    /// What the active rules make of an event, in the order of their names; nothing is accepted by it.
    pub fn apply(&self, event: &DomainEvent, rulings: Rulings<'_>) -> Result<Vec<Draft>, Refusal> {
        let Some(known) = self.types.get(&event.event_type) else {
            let near = near(&event.event_type, &self.names()).map(Box::from);
            return Err(Refusal::UnknownType { event_type: event.event_type.clone(), near });
        };
        let data = data_of(event)?;
        let problems = known.misfits(&data, "/data");
        if !problems.is_empty() {
            return Err(Refusal::Invalid(problems));
        }
        let happened = Happened { event, data: &data };
        let mut shown: Option<Box<str>> = None;
        let mut drafts = Vec::new();
        for rule in self.rules_for(&event.event_type).iter().filter(|rule| rule.is_active) {
            let holds = rule.when.as_ref().is_none_or(|when| when.holds(happened));
            let outcome = match holds {
                false => Drafted::ConditionFails,
                true => {
                    let shown = shown.get_or_insert_with(|| event_data(happened));
                    drafted(rule, happened, shown, rulings)
                }
            };
            drafts.push(Draft { rule: rule.name.clone(), outcome });
        }
        Ok(drafts)
    }
}

impl fmt::Debug for RuleBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<&str> = self.trials.keys().map(|name| &**name).collect();
        f.debug_struct("RuleBook").field("types", &self.names()).field("rules", &rules).finish_non_exhaustive()
    }
}

/// Where nobody says which categories there are.
static SHIPPED_CATEGORIES: LazyLock<Categories> =
    LazyLock::new(|| config::defaults().categories().expect("a test shows that the built-in defaults load"));

fn bodies(definitions: &[Definition], kind: DefinitionKind) -> impl Iterator<Item = (&str, &str)> {
    let of_kind = definitions.iter().filter(move |definition| definition.kind == kind);
    of_kind.filter_map(|definition| Some((&*definition.name, definition.body.as_deref()?)))
}

fn data_of(event: &DomainEvent) -> Result<Value, Refusal> {
    let refuse = |detail: &str| Refusal::Invalid(vec![FieldProblem::new("/data", detail)]);
    match serde_json::from_str(&event.data) {
        Ok(data @ Value::Object(_)) => Ok(data),
        Ok(_) => Err(refuse("must be an object")),
        // Its words may hold what the text holds.
        Err(_) => Err(refuse("is no JSON, has a number without end, or is nested too deep")),
    }
}

/// The content is the same for the whole audience: it is tried once.
fn drafted(rule: &KnownRule, happened: Happened<'_>, data: &str, rulings: Rulings<'_>) -> Drafted {
    let made = match rule.audience {
        Audience::Subscribers => message_for_followers(rule, happened, data, rulings).map(|message| vec![message]),
        Audience::User | Audience::Users(_) => made(rule, happened, data, rulings),
    };
    let mut requests = match made {
        Ok(requests) => requests,
        Err(problems) => return Drafted::Impossible(problems),
    };
    if let Err(problem) = requests.first().map_or(Ok(()), |request| rulings.contents.check(request)) {
        return Drafted::Impossible(vec![placed(problem)]);
    }
    match (&rule.audience, requests.pop()) {
        (Audience::Subscribers, Some(message)) => Drafted::ForFollowers(Box::new(message)),
        (_, last) => {
            requests.extend(last);
            Drafted::Requests(requests)
        }
    }
}
