//! A source, compiled: what is done for one part at every render.

use handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use handlebars::{Path, PathSeg, Template, TemplateErrorReason};

use super::error::SyntaxProblem;
use super::{guard, helpers};

/// One compiled part.
#[derive(Debug)]
pub(super) enum Program {
    /// Text without expressions.
    Literal(Box<str>),
    /// Text and plain variables: most messages are no more. Filled in without the template engine.
    Plain(Vec<Piece>),
    /// Everything else is the template engine's.
    Full(Box<Template>),
}

#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    Text(Box<str>),
    Variable {
        /// The way from the root of the data; at least one step.
        path: Box<[Box<str>]>,
        /// As written, for errors.
        name: Box<str>,
        /// Written with three braces: not escaped, whatever the part.
        is_raw: bool,
    },
}

impl Program {
    /// Compiles a source; refuses what is no template, calls unknown helpers or nests too deep.
    pub(super) fn compile(source: &str) -> Result<Self, SyntaxProblem> {
        if is_literal(source) {
            return Ok(Program::Literal(source.into()));
        }
        guard::inspect(source)?;
        let mut template = Template::compile(source).map_err(|error| {
            let (line, column) = error.pos().unwrap_or((1, 1));
            SyntaxProblem { line, column, detail: syntax_detail(error.reason()).into() }
        })?;
        prepare(&mut template)?;
        Ok(match plain_pieces(&template) {
            Some(pieces) => Program::Plain(pieces),
            None => Program::Full(Box::new(template)),
        })
    }
}

/// The parser's words, but for the list of all it would have liked better.
fn syntax_detail(reason: &TemplateErrorReason) -> String {
    match reason {
        TemplateErrorReason::InvalidSyntax(_) => "an expression that cannot be read".to_owned(),
        other => other.to_string(),
    }
}

/// Whether a source is its own result.
pub(super) fn is_literal(source: &str) -> bool {
    !source.contains("{{")
}

/// Refuses what a template may not do, and has every turn of its loops counted. The depth was bounded by the guard.
fn prepare(template: &mut Template) -> Result<(), SyntaxProblem> {
    let Template { elements, mapping, .. } = template;
    for (index, element) in elements.iter_mut().enumerate() {
        let at = mapping.get(index).map_or((1, 1), |place| (place.0, place.1));
        let refuse = |detail: String| SyntaxProblem { line: at.0, column: at.1, detail: detail.into() };
        match element {
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
            TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) => {
                check_call(call, !is_name_only(call)).map_err(refuse)?;
            }
            TemplateElement::HelperBlock(call) => {
                check_call(call, true).map_err(refuse)?;
                check_scope(call).map_err(refuse)?;
                for branch in [&mut call.template, &mut call.inverse].into_iter().flatten() {
                    prepare(branch)?;
                }
                if call.name.as_name() == Some("each")
                    && let Some(turn) = &mut call.template
                {
                    count_turns(turn);
                }
            }
            _ => return Err(refuse("partials and decorators are not supported".into())),
        }
    }
    Ok(())
}

fn check_call(call: &HelperTemplate, must_be_helper: bool) -> Result<(), String> {
    let name = match &call.name {
        Parameter::Name(name) => name,
        Parameter::Path(Path::Relative((_, name)) | Path::Local((_, _, name))) => name,
        _ => return Err("a helper is called by its name".into()),
    };
    if must_be_helper && !helpers::NAMES.contains(&name.as_str()) {
        return Err(format!("there is no helper `{name}`: use {}", helpers::NAMES.join(", ")));
    }
    for given in call.params.iter().chain(call.hash.values()) {
        if let Parameter::Subexpression(inner) = given
            && let TemplateElement::Expression(inner) = inner.as_element()
        {
            check_call(inner, true)?;
        }
    }
    Ok(())
}

/// Within a block over a computed value the engine copies whatever a variable leads to, at every use.
fn check_scope(call: &HelperTemplate) -> Result<(), String> {
    let is_scope = matches!(call.name.as_name(), Some("each" | "with"));
    if is_scope && call.params.iter().any(|given| matches!(given, Parameter::Subexpression(_))) {
        return Err("`each` and `with` take a variable, not a call".to_owned());
    }
    Ok(())
}

/// Puts a call in front of what a loop repeats that spends the steps of one turn.
fn count_turns(turn: &mut Template) {
    let steps = steps(turn);
    let mut counter = Template::compile("{{x}}").expect("a variable is a template");
    let Some(mut element) = counter.elements.pop() else { return };
    if let TemplateElement::Expression(call) = &mut element {
        call.name = Parameter::Name(helpers::TURN.to_owned());
        call.params.push(Parameter::Literal(steps.into()));
    }
    turn.elements.insert(0, element);
    turn.mapping.splice(0..0, counter.mapping);
}

/// What one pass through a template costs, without the turns of loops in it: those count for themselves.
fn steps(template: &Template) -> usize {
    let of_element = |element: &TemplateElement| match element {
        TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) => 1 + calls(call),
        TemplateElement::HelperBlock(call) if call.name.as_name() == Some("each") => {
            1 + calls(call) + call.inverse.as_ref().map_or(0, steps)
        }
        TemplateElement::HelperBlock(call) => {
            1 + calls(call) + [&call.template, &call.inverse].into_iter().flatten().map(steps).sum::<usize>()
        }
        _ => 1,
    };
    1 + template.elements.iter().map(of_element).sum::<usize>()
}

/// The values given to a helper, and to those within its values.
fn calls(call: &HelperTemplate) -> usize {
    let of_value = |given: &Parameter| match given {
        Parameter::Subexpression(inner) => match inner.as_element() {
            TemplateElement::Expression(inner) => 1 + calls(inner),
            _ => 1,
        },
        _ => 1,
    };
    call.params.iter().chain(call.hash.values()).map(of_value).sum()
}

/// The pieces of a template that is only text and variables; `None` for any other.
fn plain_pieces(template: &Template) -> Option<Vec<Piece>> {
    let mut pieces = Vec::with_capacity(template.elements.len());
    for element in &template.elements {
        match element {
            TemplateElement::RawString(text) => pieces.push(Piece::Text(text.as_str().into())),
            TemplateElement::Comment(_) => {}
            TemplateElement::Expression(call) => pieces.push(variable(call, false)?),
            TemplateElement::HtmlExpression(call) => pieces.push(variable(call, true)?),
            _ => return None,
        }
    }
    Some(pieces)
}

fn variable(call: &HelperTemplate, is_raw: bool) -> Option<Piece> {
    let Parameter::Path(Path::Relative((segments, name))) = &call.name else { return None };
    if !is_name_only(call) || segments.is_empty() || helpers::NAMES.contains(&name.as_str()) {
        return None;
    }
    let step = |segment: &PathSeg| match segment {
        PathSeg::Named(name) => Some(name.as_str().into()),
        _ => None,
    };
    let path = segments.iter().map(step).collect::<Option<_>>()?;
    Some(Piece::Variable { path, name: name.as_str().into(), is_raw })
}

fn is_name_only(call: &HelperTemplate) -> bool {
    !call.block && call.params.is_empty() && call.hash.is_empty()
}
