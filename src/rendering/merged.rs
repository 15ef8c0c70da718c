//! What a merged message is filled from: the data of the first that is in it, and who and what came besides.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::RenderError;
use crate::domain::{Gathered, Plan};

/// The data of a plan's message. One that nobody joined, or whose group is open, is told as if it were alone.
pub(super) fn data(plan: &Plan) -> Result<Cow<'_, str>, RenderError> {
    let Some(group) = &plan.group else { return Ok(Cow::Borrowed(&plan.data)) };
    match &group.gathered {
        Some(gathered) => with(first(plan, gathered), gathered),
        None => with(&plan.data, &Gathered::of([&plan.joined()], 1)),
    }
}

/// The data of the first one. That is the leader, unless it was cancelled; what is too long to be shown as an item is its own all the
/// same, and whoever closed the group took it out where the leader left.
fn first<'a>(plan: &'a Plan, gathered: &'a Gathered) -> &'a str {
    let is_shown = plan.data.len() <= Gathered::ITEMS_BYTES_MAX;
    gathered.items.first().filter(|_| is_shown).unwrap_or(&plan.data)
}

/// The data of one that is alone in its group.
pub(super) fn alone(data: &str, actor: Option<&str>) -> Result<String, RenderError> {
    let actors: Vec<Box<str>> = actor.into_iter().map(Into::into).collect();
    let gathered = Gathered { count: 1, actor_count: actors.len() as u32, actors, items: vec![data.into()] };
    with(data, &gathered).map(Cow::into_owned)
}

fn with<'a>(data: &str, gathered: &Gathered) -> Result<Cow<'a, str>, RenderError> {
    let mut object = object(data)?;
    let items = gathered.items.iter().map(|item| object_value(item)).collect::<Result<Vec<_>, _>>()?;
    object.insert("count".to_owned(), gathered.count.into());
    object.insert("actors".to_owned(), gathered.actors.iter().map(|actor| &**actor).collect());
    object.insert("others".to_owned(), gathered.others().into());
    object.insert("items".to_owned(), items.into());
    Ok(Cow::Owned(Value::Object(object).to_string()))
}

fn object_value(json: &str) -> Result<Value, RenderError> {
    object(json).map(Value::Object)
}

fn object(json: &str) -> Result<Map<String, Value>, RenderError> {
    serde_json::from_str(json).map_err(|_| RenderError::Data { detail: "it must be a JSON object".into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ClaimKey, Group, Position, Timestamp};
    use crate::store::conformance::{plan, shard};

    #[track_caller]
    fn check(own: &str, items: &[&str], expected: &str) {
        let items: Vec<Box<str>> = items.iter().map(|item| (*item).into()).collect();
        let gathered = Gathered { count: 2, items, ..Gathered::default() };
        let group =
            Group { key: ClaimKey(1), actor: None, until: Timestamp(9), is_first: false, gathered: Some(gathered) };
        let leader = Plan { data: own.into(), group: Some(group), ..plan(Position::new(shard(0), 7)) };
        let told: Map<String, Value> = object(&data(&leader).expect("objects")).expect("an object");
        let first: Map<String, Value> =
            told.into_iter().filter(|(name, _)| !["count", "actors", "others", "items"].contains(&&**name)).collect();
        assert_eq!(Value::Object(first).to_string(), expected);
    }

    #[test]
    fn a_message_is_filled_from_the_first_that_is_in_it() {
        let (ann, bob) = (r#"{"who":"Ann"}"#, r#"{"who":"Bob"}"#);
        check(ann, &[ann, bob], ann);
        check(ann, &[bob], bob);
        check("{}", &[], "{}");
        // Too long to be shown among the items.
        let long = format!(r#"{{"who":"{}"}}"#, "a".repeat(Gathered::ITEMS_BYTES_MAX));
        check(&long, &[bob], &long);
        check(&long, &[], &long);
    }
}
