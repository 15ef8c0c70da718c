//! A source, compiled: what is done for one part at every render.

use handlebars::template::{DecoratorTemplate, HelperTemplate, Parameter, TemplateElement};
use handlebars::{Path, PathSeg, Template, TemplateErrorReason};

use super::error::SyntaxProblem;
use super::needs::{Needs, PartialUse, Root};
use super::notation::{INVERSE, SECTION};
use super::{guard, helpers};

/// One compiled part.
#[derive(Debug)]
pub(super) enum Program {
    /// Text without expressions.
    Literal(Box<str>),
    /// Text and plain variables: most messages are no more. Filled in without the template engine.
    Plain(Box<Plain>),
    /// Everything else is the template engine's.
    Full(Box<Full>),
}

#[derive(Debug)]
pub(super) struct Plain {
    pub(super) pieces: Vec<Piece>,
    /// The same, for when it is included by others.
    template: Template,

    roots: Vec<Root>,
}

#[derive(Debug)]
pub(super) struct Full {
    pub(super) template: Template,
    pub(super) needs: Needs,
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
        let source = guard::inspect(source)?;
        let mut template = Template::compile(&source.text).map_err(|error| {
            let (line, column) = error.pos().unwrap_or((1, 1));
            source.problem(SyntaxProblem { line, column, detail: syntax_detail(error.reason()).into() })
        })?;
        source.place(&mut template);
        let pieces = plain_pieces(&template);
        let needs = Needs::of(&template);
        prepare(&mut template, 1)?;
        count_turns(&mut template);
        Ok(match pieces {
            Some(pieces) => Program::Plain(Box::new(Plain { pieces, template, roots: needs.roots })),
            None => Program::Full(Box::new(Full { template, needs })),
        })
    }

    /// The templates that it includes, in the order of the source; without those that it defines itself.
    pub(super) fn partials(&self) -> &[PartialUse] {
        match self {
            Program::Full(full) => &full.needs.partials,
            Program::Plain(_) | Program::Literal(_) => &[],
        }
    }

    /// The variables that it looks for at the root of the data, as far as that can be told without data: those outside of
    /// loops and blocks over another value, and those that begin with `@root`.
    pub(super) fn roots(&self) -> &[Root] {
        match self {
            Program::Full(full) => &full.needs.roots,
            Program::Plain(plain) => &plain.roots,
            Program::Literal(_) => &[],
        }
    }

    /// For those that include it; `None`: it is text.
    pub(super) fn template(&self) -> Option<&Template> {
        match self {
            Program::Full(full) => Some(&full.template),
            Program::Plain(plain) => Some(&plain.template),
            Program::Literal(_) => None,
        }
    }

    /// Whether it has a helper that writes in a language or a zone.
    pub(super) fn is_localized(&self) -> bool {
        matches!(self, Program::Full(full) if full.needs.is_localized)
    }
}

/// A template of nothing but text.
pub(super) fn text_template(text: &str) -> Template {
    let mut template = Template::new();
    template.elements.push(TemplateElement::RawString(text.to_owned()));
    template
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

/// Refuses what a template may not do, and has what it repeats counted: turns of loops, text that is written as it is, and
/// partials, which stand within `depth` blocks. The depth was bounded by the guard.
fn prepare(template: &mut Template, depth: u64) -> Result<(), SyntaxProblem> {
    let mapping = std::mem::take(&mut template.mapping);
    for (index, mut element) in std::mem::take(&mut template.elements).into_iter().enumerate() {
        let place = mapping.get(index).cloned();
        let at = place.as_ref().map_or((1, 1), |place| (place.0, place.1));
        let refuse = |detail: String| SyntaxProblem { line: at.0, column: at.1, detail: detail.into() };
        let is_partial = prepare_element(&mut element, depth, refuse)?;
        let enter = is_partial.then(|| counter(helpers::ENTER, depth));
        let leave = is_partial.then(|| counter(helpers::LEAVE, depth));
        for element in enter.into_iter().chain([element]).chain(leave) {
            template.elements.push(element);
            template.mapping.extend(place.clone());
        }
    }
    Ok(())
}

/// Whether it is a partial.
fn prepare_element(
    element: &mut TemplateElement,
    depth: u64,
    refuse: impl Fn(String) -> SyntaxProblem,
) -> Result<bool, SyntaxProblem> {
    match element {
        TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
        TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) => {
            check_call(call, !is_name_only(call)).map_err(refuse)?;
            if is_name_only(call) && !call.name.as_name().is_some_and(|name| helpers::NAMES.contains(&name)) {
                // Through a helper, so that it is paid for and written as everywhere.
                let value = std::mem::replace(&mut call.name, Parameter::Name(helpers::VALUE.to_owned()));
                call.params.push(value);
            }
        }
        TemplateElement::HelperBlock(call) => {
            check_call(call, !is_section(call)).map_err(&refuse)?;
            check_scope(call).map_err(refuse)?;
            for branch in [&mut call.template, &mut call.inverse].into_iter().flatten() {
                prepare(branch, depth + 1)?;
            }
            let repeated = match call.name.as_name() {
                Some("each" | SECTION) => &mut call.template,
                Some(INVERSE) => &mut call.inverse,
                _ => &mut None,
            };
            if let Some(turn) = repeated {
                count_turns(turn);
            }
        }
        TemplateElement::PartialExpression(partial) | TemplateElement::PartialBlock(partial) => {
            check_partial(partial).map_err(refuse)?;
            if let Some(body) = &mut partial.template {
                prepare(body, depth + 1)?;
            }
            return Ok(true);
        }
        TemplateElement::DecoratorBlock(inline) => {
            check_inline(inline).map_err(refuse)?;
            if let Some(body) = &mut inline.template {
                // It counts from where it is included.
                prepare(body, 1)?;
                count_turns(body);
            }
        }
        _ => return Err(refuse("there is no decorator but `#*inline`".into())),
    }
    Ok(false)
}

/// Whether a block is about a variable.
fn is_section(call: &HelperTemplate) -> bool {
    matches!(call.name.as_name(), Some(SECTION | INVERSE)) && matches!(&*call.params, [Parameter::Path(_)])
}

fn check_partial(partial: &DecoratorTemplate) -> Result<(), String> {
    if !matches!(partial.name, Parameter::Name(_)) {
        return Err("a partial is named as it is, not by a call or a variable".to_owned());
    }
    if partial.params.len() > 1 {
        return Err("a partial takes one value, and names with values".to_owned());
    }
    check_values(partial.params.iter().chain(partial.hash.values()))
}

fn check_inline(inline: &DecoratorTemplate) -> Result<(), String> {
    let is_inline = inline.name.as_name() == Some("inline") && inline.hash.is_empty();
    match &*inline.params {
        [Parameter::Literal(serde_json::Value::String(_))] if is_inline => Ok(()),
        _ if is_inline => Err("`#*inline` takes one text, its name".to_owned()),
        _ => Err("there is no decorator but `#*inline`".to_owned()),
    }
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
    check_values(call.params.iter().chain(call.hash.values()))?;
    if must_be_helper && let Some((names, values_max)) = helpers::takes(name) {
        if let Some(unknown) = call.hash.keys().find(|given| !names.contains(&given.as_str())) {
            let known = if names.is_empty() { "nothing is".to_owned() } else { format!("{} are", names.join(", ")) };
            return Err(format!("`{name}` knows no `{unknown}=`: {known} given by name"));
        }
        if call.params.len() > values_max {
            return Err(format!("`{name}` takes {values_max} values at most"));
        }
    }
    if name == "plural" && !call.hash.contains_key("other") {
        return Err("`plural` needs `other=`".to_owned());
    }
    Ok(())
}

fn check_values<'a>(values: impl Iterator<Item = &'a Parameter>) -> Result<(), String> {
    for given in values {
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
    turn.elements.insert(0, counter(helpers::TURN, steps as u64));
    if let Some(first) = turn.mapping.first().cloned() {
        turn.mapping.insert(0, first);
    }
}

/// A call of one of the helpers that count.
fn counter(name: &str, number: u64) -> TemplateElement {
    let mut template = Template::compile("{{x}}").expect("a variable is a template");
    let mut element = template.elements.pop().expect("it has one element");
    if let TemplateElement::Expression(call) = &mut element {
        call.name = Parameter::Name(name.to_owned());
        call.params.push(Parameter::Literal(number.into()));
    }
    element
}

/// What one pass through a template costs, without the turns of loops in it: those count for themselves.
fn steps(template: &Template) -> usize {
    let of_element = |element: &TemplateElement| match element {
        TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) => 1 + calls(call),
        TemplateElement::HelperBlock(call) if matches!(call.name.as_name(), Some("each" | SECTION)) => {
            1 + calls(call) + call.inverse.as_ref().map_or(0, steps)
        }
        TemplateElement::HelperBlock(call) => {
            1 + calls(call) + [&call.template, &call.inverse].into_iter().flatten().map(steps).sum::<usize>()
        }
        TemplateElement::RawString(text) => 1 + text.len() / 64,
        TemplateElement::PartialBlock(partial) => 1 + partial.template.as_ref().map_or(0, steps),
        TemplateElement::DecoratorBlock(_) => 0,
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
