//! What a merged message is filled from: the data of the first, and who and what came besides.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::RenderError;
use crate::domain::{Gathered, Plan};

/// The data of a plan's message. One that nobody joined, or whose group is open, is told as if it were alone.
pub(super) fn data(plan: &Plan) -> Result<Cow<'_, str>, RenderError> {
    let Some(group) = &plan.group else { return Ok(Cow::Borrowed(&plan.data)) };
    match &group.gathered {
        Some(gathered) => with(&plan.data, gathered),
        None => with(&plan.data, &Gathered::of([&plan.joined()], 1)),
    }
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
