//! Runs programs over data.

use std::collections::BTreeMap;

use handlebars::{Context, Handlebars, RenderContext, RenderErrorReason, Renderable, Template, html_escape, no_escape};
use serde_json::Value;

use super::error::{Part, RenderError};
use super::helpers::{self, Refusal, TooDeep};
use super::links::has_script;
use super::output::{self, Bounded, Full};
use super::program::{self, Piece, Program};
use super::scene::Scene;

/// The template engine, once per way of escaping. Templates are not kept in it: they come with each call.
pub(super) struct Engine {
    text: Handlebars<'static>,
    html: Handlebars<'static>,
    bytes_max: usize,
}

/// What a variable is expected to take up, for the first allocation.
const VARIABLE_BYTES: usize = 24;

impl Engine {
    /// `bytes_max`: the most that one part may hold.
    pub(super) fn new(bytes_max: usize) -> Self {
        let mut html = Handlebars::new();
        html.set_strict_mode(true);
        helpers::register(&mut html);
        let mut text = html.clone();
        html.register_escape_fn(|text| helpers::paid(html_escape(text)));
        text.register_escape_fn(|text| helpers::paid(no_escape(text)));
        Self { text, html, bytes_max }
    }

    /// The text of one part. A title that is not one line is an error.
    pub(super) fn run(
        &self,
        program: &Program,
        part: Part,
        data: &Context,
        scene: &Scene<'_>,
    ) -> Result<String, RenderError> {
        let text = match program {
            Program::Literal(text) => return self.literal(text, part),
            Program::Plain(plain) => self.fill(&plain.pieces, part, data.data())?,
            Program::Full(full) => self.render(program, &full.template, part, data, scene)?,
        };
        check_rendered(part, &text)?;
        Ok(text)
    }

    /// A part without expressions.
    pub(super) fn literal(&self, text: &str, part: Part) -> Result<String, RenderError> {
        if text.len() > self.bytes_max {
            return Err(self.too_long(part));
        }
        check_rendered(part, text)?;
        Ok(text.to_owned())
    }

    fn fill(&self, pieces: &[Piece], part: Part, data: &Value) -> Result<String, RenderError> {
        let expected = pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Variable { .. } => VARIABLE_BYTES,
        });
        let mut output = Bounded::new(self.bytes_max, expected.sum());
        for piece in pieces {
            let written = match piece {
                Piece::Text(text) => output.push(text),
                Piece::Variable { path, name, is_raw } => {
                    let value = find(data, path, part)?
                        .ok_or_else(|| RenderError::MissingVariable { part, variable: name.clone() })?;
                    write_value(value, part == Part::Html && !is_raw, &mut output)
                }
            };
            written.map_err(|Full| self.too_long(part))?;
        }
        Ok(output.into_text())
    }

    fn render(
        &self,
        program: &Program,
        template: &Template,
        part: Part,
        data: &Context,
        scene: &Scene<'_>,
    ) -> Result<String, RenderError> {
        let registry = if part == Part::Html { &self.html } else { &self.text };
        let partials = reachable(program, scene);
        let texts: BTreeMap<&str, Template> = partials
            .iter()
            .filter_map(|(name, partial)| match partial {
                Program::Literal(text) => Some((*name, program::text_template(text))),
                _ => None,
            })
            .collect();
        let mut output = Bounded::new(self.bytes_max, 256);
        let mut context = RenderContext::new(None);
        if program.is_localized() || partials.values().any(|partial| partial.is_localized()) {
            helpers::localize(&mut context, scene.locale, scene.zone, part);
        }
        if let Some(block) = context.block_mut() {
            for (name, partial) in &partials {
                if let Some(template) = partial.template().or_else(|| texts.get(name)) {
                    block.set_local_partial((*name).to_owned(), template);
                }
            }
        }
        let render = || template.render(registry, data, &mut context, &mut output);
        let (result, is_spent) = helpers::with_budget(data.data(), !program.partials().is_empty(), render);
        match result {
            Err(_) if output.is_full() => Err(self.too_long(part)),
            _ if is_spent => Err(RenderError::TooMuchWork { part }),
            Ok(()) => Ok(output.into_text()),
            Err(error) => Err(failure(error.reason(), part)),
        }
    }

    fn too_long(&self, part: Part) -> RenderError {
        RenderError::TooLong { part, limit: self.bytes_max }
    }
}

/// The partials that a program includes, and those that they include.
fn reachable<'p, 'a: 'p>(program: &'p Program, scene: &Scene<'a>) -> BTreeMap<&'p str, &'p Program> {
    let mut found = BTreeMap::new();
    let mut open = vec![program];
    while let Some(program) = open.pop() {
        for partial in program.partials() {
            if let Some(included) = (scene.partials)(&partial.name)
                && found.insert(&*partial.name, included).is_none()
            {
                open.push(included);
            }
        }
    }
    found
}

/// What stands at a path, as handlebars finds it.
fn find<'a>(data: &'a Value, path: &[Box<str>], part: Part) -> Result<Option<&'a Value>, RenderError> {
    let mut value = data;
    for step in path {
        let next = match value {
            Value::Object(fields) => fields.get(&**step),
            Value::Array(items) => match step.parse::<usize>() {
                Ok(index) => items.get(index),
                Err(_) => return Err(no_such_index(step, part)),
            },
            _ => None,
        };
        match next {
            Some(next) => value = next,
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

fn write_value(value: &Value, is_escaped: bool, output: &mut Bounded) -> Result<(), Full> {
    let text = output::written(value);
    if is_escaped { output.push_html(&text) } else { output.push(&text) }
}

/// What no part may say, whoever wrote it. A title becomes a header or a line on a screen: no line breaks, no control characters.
fn check_rendered(part: Part, text: &str) -> Result<(), RenderError> {
    let breaks = |letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}');
    if part.is_one_line() && text.contains(breaks) {
        return Err(RenderError::TitleLines { part });
    }
    if part == Part::Html && has_script(text) {
        let detail = "a link would run a script: `javascript:` is no address".into();
        return Err(RenderError::Failed { part, detail });
    }
    Ok(())
}

/// Handlebars' words, of which none holds a value of the data.
fn failure(reason: &RenderErrorReason, part: Part) -> RenderError {
    let detail = match reason {
        RenderErrorReason::MissingVariable(Some(name)) => {
            return RenderError::MissingVariable { part, variable: name.as_str().into() };
        }
        RenderErrorReason::MissingVariable(None) => "a look-up finds nothing in the data".to_owned(),
        RenderErrorReason::InvalidJsonIndex(step) => return no_such_index(step, part),
        RenderErrorReason::ParamNotFoundForIndex(helper, index) => {
            format!("`{helper}` needs value {}, which is missing", index + 1)
        }
        RenderErrorReason::HelperNotFound(name) => format!("there is no helper `{name}`"),
        RenderErrorReason::InvalidParamType(expected) => {
            format!("a helper was given a value that is not of type {expected}")
        }
        RenderErrorReason::PartialNotFound(name) => format!("there is no partial `{name}`"),
        RenderErrorReason::PartialBlockNotFound => "`@partial-block` is included where there is none".to_owned(),
        RenderErrorReason::NestedError(own) if own.is::<Refusal>() || own.is::<TooDeep>() => own.to_string(),
        _ => "the template cannot be filled in with this data".to_owned(),
    };
    RenderError::Failed { part, detail: detail.into() }
}

fn no_such_index(step: &str, part: Part) -> RenderError {
    RenderError::Failed { part, detail: format!("`{step}` is asked of a list, which has numbers only").into() }
}
