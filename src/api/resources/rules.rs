//! `/v1/rules`: which event tells whom what, and what a rule would make of an event.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::answer::{json, names};
use super::batch::beside;
use super::definitions::{Shelf, held};
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::problem::{FieldView, Kind, Problem};
use crate::api::profile::{Fields, Problems};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::audience::{Drafted, EventReading, Refusal, RuleBook, Rulings, read_event};
use crate::domain::{Definition, DefinitionKind, DomainEvent, Source};
use crate::intake::FieldProblem;

mod request_view;

use request_view::RequestView;

pub(in crate::api) struct Rules;

impl Shelf for Rules {
    const KIND: DefinitionKind = DefinitionKind::Rule;
    const PATH: &'static str = "/v1/rules";
    const RESERVED: &'static [&'static str] = &["test"];
}

/// What an unsaved rule is called while it is tried.
const UNSAVED: &str = "test";

/// `POST /v1/rules/{name}/test`.
pub(in crate::api) async fn test(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let name = names(path)?;
    let (_, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let known = held::<Rules>(&api, &caller, &name).ok_or_else(Problem::not_found)?;
    let said = Said::read(body.text()?, false)?;
    let event = said.event(&api, &caller)?;
    if !known.problems.is_empty() {
        return json(&TrialView { outcome: "impossible", requests: &[], errors: FieldView::all(&known.problems) });
    }
    let rule = known.definition.body.as_deref().unwrap_or("{}");
    tried(&api, &caller, rule, &event)
}

/// `POST /v1/rules/test`: a rule that is not saved.
pub(in crate::api) async fn test_unsaved(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let (_, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let said = Said::read(body.text()?, true)?;
    let event = said.event(&api, &caller)?;
    let rule = said.rule.map_or("{}", RawValue::get);
    let (definitions, tenant, text) = (api.parts.definitions.clone(), caller.tenant.clone(), rule.to_owned());
    let judge = move || definitions.judge(&tenant, DefinitionKind::Rule, UNSAVED, &text);
    // All rules of the tenant are looked at.
    let problems = beside(true, judge).await;
    if !problems.is_empty() {
        return Err(Problem::fields(below("/rule", problems)));
    }
    tried(&api, &caller, rule, &event)
}

/// What a body says.
struct Said<'a> {
    rule: Option<&'a RawValue>,
    event: Option<&'a RawValue>,
}

impl<'a> Said<'a> {
    fn read(text: &'a str, with_rule: bool) -> Result<Self, Problem> {
        let mut fields = Fields::read(text, "").map_err(|problem| Problem::fields(vec![problem]))?;
        let mut problems = Problems::default();
        let mut required = |name: &'static str| {
            let raw = fields.take(name);
            if raw.is_none() {
                problems.add(&format!("/{name}"), "is required");
            }
            raw
        };
        let rule = if with_rule { required("rule") } else { None };
        let event = required("event");
        fields.end(&mut problems);
        problems.or(Self { rule, event }).map_err(Problem::fields)
    }

    fn event(&self, api: &Api, caller: &Caller) -> Result<DomainEvent, Problem> {
        let text = self.event.map_or("{}", RawValue::get);
        let now = api.parts.clock.now();
        let reading = EventReading { tenant: &caller.tenant, told_by: Source::Http, now, headers: &|_: &str| None };
        read_event(text, &reading).map_err(|problems| Problem::fields(below("/event", problems)))
    }
}

fn below(at: &str, problems: Vec<FieldProblem>) -> Vec<FieldProblem> {
    problems.into_iter().map(|problem| problem.below(at)).collect()
}

#[derive(Serialize)]
struct TrialView<'a> {
    outcome: &'static str,
    requests: &'a [RequestView],
    errors: Vec<FieldView<'a>>,
}

/// What the rule makes of the event, alone among the definitions and switched on.
fn tried(api: &Api, caller: &Caller, rule: &str, event: &DomainEvent) -> Answer {
    let mut rule: Map<String, Value> =
        serde_json::from_str(rule).map_err(|_| Problem::new(Kind::Internal, "the rule cannot be read"))?;
    let event_type = rule.get("event").and_then(Value::as_str).unwrap_or_default().to_owned();
    if *event_type != *event.event_type {
        let detail = format!("is another type than the rule is for, which is `{event_type}`");
        return Err(Problem::fields(vec![FieldProblem::new("/event/type", detail)]));
    }
    rule.insert("active".to_owned(), Value::Bool(true));
    let parts = &api.parts;
    let rule = Definition {
        kind: DefinitionKind::Rule,
        name: UNSAVED.into(),
        version: 1,
        body: Some(Value::Object(rule).to_string().into()),
        changed_at: event.accepted_at,
    };
    let known = parts.definitions.get(&caller.tenant, DefinitionKind::EventType, &event_type);
    let definitions: Vec<Definition> = known.map(|known| known.definition).into_iter().chain([rule]).collect();
    let book = RuleBook::new(&caller.tenant, &definitions, &parts.contents);
    let rulings = Rulings { contents: &*parts.contents, categories: &parts.categories };
    let drafted = match book.apply(event, rulings) {
        Ok(drafts) => drafts.into_iter().next().map(|draft| draft.outcome),
        Err(Refusal::Invalid(problems)) => {
            let problems = below("/event", problems);
            return json(&TrialView { outcome: "refused", requests: &[], errors: FieldView::all(&problems) });
        }
        Err(refusal) => return Err(refusal.into()),
    };
    match drafted {
        Some(Drafted::Requests(requests)) => {
            let requests: Vec<RequestView> = requests.into_iter().map(RequestView::new).collect();
            json(&TrialView { outcome: "made", requests: &requests, errors: Vec::new() })
        }
        Some(Drafted::ForFollowers(message)) => {
            json(&TrialView { outcome: "made", requests: &[RequestView::new(*message)], errors: Vec::new() })
        }
        Some(Drafted::ConditionFails) => {
            json(&TrialView { outcome: "condition_fails", requests: &[], errors: Vec::new() })
        }
        Some(Drafted::Impossible(problems)) => {
            json(&TrialView { outcome: "impossible", requests: &[], errors: FieldView::all(&problems) })
        }
        None => Err(Problem::new(Kind::State, "the rule cannot be used: see its `problems`")),
    }
}
