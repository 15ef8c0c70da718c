//! What a template needs from outside: partials, and variables at the root of the data. Told from the source alone, so that
//! both can be checked when a template is saved.

use handlebars::Template;
use handlebars::template::{BlockParam, DecoratorTemplate, HelperTemplate, Parameter, TemplateElement};

use super::helpers;
use super::notation::{INVERSE, SECTION};

/// What is found in one source.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) partials: Vec<PartialUse>,
    pub(super) roots: Vec<Root>,
    /// Whether a helper writes in a language or a zone.
    pub(super) is_localized: bool,
}

/// A place where another template is included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartialUse {
    /// The code of the other template.
    pub(super) name: Box<str>,
    pub(super) line: usize,
    pub(super) column: usize,
    /// Whether something is shown where there is no such partial: it may be unknown.
    pub(super) has_fallback: bool,
}

/// A variable that is looked for at the root of the data; it may be missing where a condition asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    /// The first step of its path.
    pub(super) name: Box<str>,
    /// Of the tag it stands in.
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Needs {
    /// Of a template as it was parsed.
    pub(super) fn of(template: &Template) -> Self {
        let mut search = Search { levels: vec![Level::Root(Vec::new())], ..Search::default() };
        search.template(template);
        let Search { mut needs, defined, .. } = search;
        needs.partials.retain(|partial| &*partial.name != "@partial-block" && !defined.contains(&partial.name));
        needs
    }
}

#[derive(Default)]
struct Search {
    needs: Needs,
    /// What `this` is, and each `../`; the last one is the innermost.
    levels: Vec<Level>,
    /// What the blocks around gave names.
    names: Vec<Box<str>>,
    /// The partials that the source defines itself.
    defined: Vec<Box<str>>,
    at: (usize, usize),
}

enum Level {
    /// The root of the data, with these names put over it.
    Root(Vec<Box<str>>),
    /// Something that is known with the data only.
    Other,
}

impl Search {
    fn template(&mut self, template: &Template) {
        for (index, element) in template.elements.iter().enumerate() {
            if let Some(place) = template.mapping.get(index) {
                self.at = (place.0, place.1);
            }
            self.element(element);
        }
    }

    fn element(&mut self, element: &TemplateElement) {
        match element {
            TemplateElement::Expression(call) | TemplateElement::HtmlExpression(call) => self.call(call),
            TemplateElement::HelperBlock(call) => self.block(call),
            TemplateElement::PartialExpression(partial) | TemplateElement::PartialBlock(partial) => {
                self.partial(partial)
            }
            TemplateElement::DecoratorBlock(inline) => {
                if let Some(Parameter::Literal(name)) = inline.params.first() {
                    self.defined.extend(name.as_str().map(Into::into));
                }
                self.within(Level::Other, inline.template.as_ref());
            }
            _ => {}
        }
    }

    fn within(&mut self, level: Level, template: Option<&Template>) {
        let Some(template) = template else { return };
        self.levels.push(level);
        self.template(template);
        self.levels.pop();
    }

    fn call(&mut self, call: &HelperTemplate) {
        let name = call.name.as_name().unwrap_or_default();
        self.needs.is_localized |= helpers::is_localized(name);
        if call.params.is_empty() && call.hash.is_empty() && !helpers::NAMES.contains(&name) {
            self.path(name);
        }
        call.params.iter().chain(call.hash.values()).for_each(|given| self.given(given));
    }

    fn given(&mut self, given: &Parameter) {
        match given {
            Parameter::Path(_) => self.path(given.as_name().unwrap_or_default()),
            Parameter::Subexpression(inner) => self.element(inner.as_element()),
            _ => {}
        }
    }

    fn block(&mut self, call: &HelperTemplate) {
        let at = self.at;
        self.call(call);
        let names_before = self.names.len();
        match &call.block_param {
            Some(BlockParam::Single(name)) => self.name(name),
            Some(BlockParam::Pair((one, other))) => {
                self.name(one);
                self.name(other);
            }
            _ => {}
        }
        let name = call.name.as_name();
        self.branch(matches!(name, Some("each" | "with" | SECTION)), call.template.as_ref());
        self.names.truncate(names_before);
        self.at = at;
        self.branch(name == Some(INVERSE), call.inverse.as_ref());
    }

    fn branch(&mut self, is_scope: bool, branch: Option<&Template>) {
        match branch {
            Some(branch) if !is_scope => self.template(branch),
            branch => self.within(Level::Other, branch),
        }
    }

    fn name(&mut self, name: &Parameter) {
        self.names.extend(name.as_name().map(Into::into));
    }

    fn partial(&mut self, partial: &DecoratorTemplate) {
        partial.params.iter().chain(partial.hash.values()).for_each(|given| self.given(given));
        let given = || partial.hash.keys().map(|name| name.as_str().into());
        let level = match self.levels.last() {
            Some(Level::Root(names)) if partial.params.is_empty() => {
                Level::Root(given().chain(names.iter().cloned()).collect())
            }
            _ => Level::Other,
        };
        self.needs.partials.push(PartialUse {
            name: partial.name.as_name().unwrap_or_default().into(),
            line: self.at.0,
            column: self.at.1,
            has_fallback: partial.template.is_some(),
        });
        self.within(level, partial.template.as_ref());
    }

    /// Notes what a path needs of the root of the data.
    fn path(&mut self, path: &str) {
        let separators = ['.', '/'];
        if let Some(rest) = path.strip_prefix("@root") {
            return self.root(first_step(rest.trim_start_matches(separators)));
        }
        let is_scoped = path.starts_with('.') || path.starts_with("this.") || path.starts_with("this/");
        let mut rest = path.strip_prefix("this").filter(|_| is_scoped).unwrap_or(path);
        rest = rest
            .strip_prefix("./")
            .unwrap_or(rest)
            .trim_start_matches(|letter| is_scoped && !rest.starts_with("..") && separators.contains(&letter));
        let mut up = 0;
        while let Some(outer) = rest.strip_prefix("../") {
            rest = outer;
            up += 1;
        }
        let name = first_step(rest);
        if name.is_empty() || name.starts_with('@') || name == "this" {
            return;
        }
        if up == 0 && !is_scoped && self.names.iter().any(|known| **known == *name) {
            return;
        }
        let level = self.levels.len().checked_sub(1 + up).map(|level| &self.levels[level]);
        if let Some(Level::Root(over)) = level
            && !over.iter().any(|known| **known == *name)
        {
            self.root(name);
        }
    }

    fn root(&mut self, name: &str) {
        if !name.is_empty() {
            self.needs.roots.push(Root { name: name.into(), line: self.at.0, column: self.at.1 });
        }
    }
}

fn first_step(path: &str) -> &str {
    match path.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => path.split(['.', '/']).next().unwrap_or(path),
    }
}

#[cfg(test)]
mod tests {
    use super::super::program::Program;

    #[track_caller]
    fn check(source: &str, partials: &str, roots: &str) {
        let program = Program::compile(source).expect("a template");
        let found = program.partials().iter().map(|partial| {
            let fallback = if partial.has_fallback { "?" } else { "" };
            format!("{}:{}:{}{fallback}", partial.line, partial.column, partial.name)
        });
        assert_eq!(found.collect::<Vec<_>>().join(" "), partials, "{source}");
        let found = program.roots().iter().map(|root| format!("{}:{}:{}", root.line, root.column, root.name));
        assert_eq!(found.collect::<Vec<_>>().join(" "), roots, "{source}");
    }

    #[test]
    fn variables_at_the_root_are_named_with_their_places() {
        check("{{a}}\n {{b.c}} {{{d}}}", "", "1:1:a 2:2:b 2:10:d");
        check("{{#if a}}{{b}}{{else if c}}{{upper d}}{{/if}}", "", "1:1:a 1:10:b 1:1:c 1:28:d");
        check(
            "{{#each a}}{{b}}{{../c}}{{@root.d.e}}{{@index}}{{this.f}}{{else}}{{g}}{{/each}}",
            "",
            "1:1:a 1:17:c 1:25:d 1:66:g",
        );
        check("{{#with a as |x|}}{{x.y}}{{b}}{{#if ../c}}{{/if}}{{/with}}", "", "1:1:a 1:31:c");
        check(
            "{{this.a}} {{./b}} {{this}} {{[c d].e}} {{lookup f (lower g)}} {{@root}}",
            "",
            "1:1:a 1:12:b 1:29:c d 1:41:f 1:41:g",
        );
        check(
            "{{.}}{{#a.b}}{{c}}{{else}}{{d}}{{/a.b}} {{e}}{{^f}}{{g}}{{/f}}",
            "",
            "1:6:a 1:27:d 1:41:e 1:46:f 1:52:g",
        );
        check("{{plural n other=text}}{{format_date at zone=z}}", "", "1:1:n 1:1:text 1:24:at 1:24:z");
    }

    #[test]
    fn partials_are_named_with_their_places_and_what_is_given_to_one_is_not_needed_within() {
        check("{{> a}} {{> b.c x=y}}{{> d e}}", "1:1:a 1:9:b.c 1:22:d", "1:9:y 1:22:e");
        check("{{#> frame title=t}}{{title}} {{u}}\n{{> inner}}{{/frame}}", "1:1:frame? 2:1:inner", "1:1:t 1:31:u");
        check("{{#each l}}{{> a}}{{/each}}{{> @partial-block}}", "1:12:a", "1:1:l");
        check("{{#*inline \"own\"}}{{x}}{{/inline}}{{> own}}{{> other}}", "1:44:other", "");
    }
}
