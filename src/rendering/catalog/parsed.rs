//! A template, read: every text of it compiled by itself, before it is known what it includes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use super::variables;
use crate::domain::{
    CONTROL_VARIANT as CONTROL, ExperimentSource, PartSources, PushSource, TEMPLATE_CODE_RULE as CODE_RULE,
    TemplateSource, VariantSource, canonical_locale, is_template_code,
};
use crate::rendering::error::{Part, SyntaxProblem};
use crate::rendering::html::{brings_style, compile_mjml, is_mjml};
use crate::rendering::locale::Locale;
use crate::rendering::program::Program;
use crate::templates::TemplateProblem;

/// The most bytes that the texts of a template may have together.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The most languages of a template.
const LOCALES_MAX: usize = 100;

/// The most variants of an experiment.
const VARIANTS_MAX: usize = 20;

/// The most values that a push message hands to the application; 4 KB is all that the services take.
const PUSH_VALUES_MAX: usize = 30;

const VARIANT_BYTES_MAX: usize = 50;
const DESCRIPTION_BYTES_MAX: usize = 1000;

/// The texts of a template, by variant and locale.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// The template's own first.
    pub(super) variants: Vec<ParsedVariant>,
    /// The codes of all partials that any of them includes.
    pub(super) includes: BTreeSet<Box<str>>,
}

#[derive(Debug, Default)]
pub(super) struct ParsedVariant {
    pub(super) name: Box<str>,
    pub(super) locales: BTreeMap<Box<str>, Vec<ParsedText>>,
}

/// One part in one language.
#[derive(Debug, Clone)]
pub(super) struct ParsedText {
    pub(super) part: Part,
    /// Of a value that the application is handed, its name; empty otherwise.
    pub(super) name: Box<str>,
    /// As it was written; HTML where that was MJML.
    pub(super) source: Arc<str>,
    /// Its style rules are in its elements.
    pub(super) has_style: bool,
    pub(super) program: Arc<Program>,
    /// The program with the style rules in the elements, once somebody needed it, where no other template has a say in it.
    pub(super) styled: Arc<OnceLock<Arc<Program>>>,
}

impl ParsedText {
    /// Whether it stands for the same as another one does.
    pub(super) fn is_same_place(&self, other: &ParsedText) -> bool {
        self.part == other.part && self.name == other.name
    }
}

/// Reads a template; on failure everything that is wrong with it by itself.
pub(super) fn parse(source: &TemplateSource) -> Result<Parsed, Vec<TemplateProblem>> {
    let mut reader = Reader { source, problems: Vec::new(), parsed: Parsed::default(), bytes: 0 };
    reader.head();
    reader.own_texts();
    if let Some(experiment) = &source.experiment {
        reader.experiment(experiment);
    }
    if reader.bytes > TEXT_BYTES_MAX {
        reader.problem("", format!("the texts have {} bytes, at most {TEXT_BYTES_MAX} are taken", reader.bytes));
    }
    if reader.problems.is_empty() { Ok(reader.parsed) } else { Err(reader.problems) }
}

fn is_variant_name(name: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=VARIANT_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_fit)
}

/// Where a text stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    pointer: &'a str,
    locale: &'a str,
    variant: Option<&'a str>,
}

struct Reader<'a> {
    source: &'a TemplateSource,
    problems: Vec<TemplateProblem>,
    parsed: Parsed,
    bytes: usize,
}

impl Reader<'_> {
    fn problem(&mut self, pointer: impl Into<Box<str>>, detail: impl Into<Box<str>>) {
        self.problems.push(TemplateProblem::new(pointer, detail));
    }

    fn head(&mut self) {
        let source = self.source;
        if !is_template_code(&source.code) {
            self.problem("/code", CODE_RULE);
        }
        if source.description.as_deref().is_some_and(|text| text.len() > DESCRIPTION_BYTES_MAX) {
            self.problem("/description", format!("must have at most {DESCRIPTION_BYTES_MAX} bytes"));
        }
        if source.sms_segments_max == Some(0) {
            self.problem("/sms_segments_max", "must be at least 1, or absent");
        }
        if source.kind.is_message() && !source.locales.contains_key(&source.default_locale) {
            let detail = format!("`{}` is none of the template's locales", source.default_locale);
            self.problem("/default_locale", detail);
        }
        if source.locales.is_empty() {
            self.problem("/locales", "must have at least one language");
        }
        if source.locales.len() > LOCALES_MAX {
            self.problem("/locales", format!("must have at most {LOCALES_MAX} languages"));
        }
        self.problems.extend(variables::problems(&source.variables));
    }

    fn own_texts(&mut self) {
        let source = self.source;
        let mut locales = BTreeMap::new();
        for (locale, parts) in &source.locales {
            let pointer = format!("/locales/{}", escaped(locale));
            locales.insert(locale.clone(), self.texts(Place { pointer: &pointer, locale, variant: None }, parts));
        }
        self.parsed.variants.push(ParsedVariant { name: CONTROL.into(), locales });
        if source.kind.is_message() {
            self.complete();
        }
    }

    /// A message has a title and something to say, in every language; a regional one may leave parts to its language.
    fn complete(&mut self) {
        let has = |parts: &PartSources, part: Part| match part {
            Part::Title => parts.title.is_some(),
            _ => parts.body.is_some() || parts.html.is_some(),
        };
        for locale in self.source.locales.keys() {
            let all = crate::rendering::locale::fallback_chain(locale);
            let known = || all.iter().filter_map(|tag| self.source.locales.get(tag));
            let missing: Vec<_> = [(Part::Title, "a title"), (Part::Body, "a body or html")]
                .into_iter()
                .filter(|(part, _)| !known().any(|parts| has(parts, *part)))
                .map(|(_, what)| what)
                .collect();
            for what in missing {
                let problem = TemplateProblem {
                    locale: Some(locale.clone()),
                    ..TemplateProblem::new(format!("/locales/{}", escaped(locale)), format!("must have {what}"))
                };
                self.problems.push(problem);
            }
        }
    }

    fn experiment(&mut self, experiment: &ExperimentSource) {
        if !self.source.kind.is_message() {
            return self.problem("/experiment", "a partial has none: the template that includes it has");
        }
        let name = experiment.name.as_deref().unwrap_or(&self.source.code);
        if !is_template_code(name) {
            self.problem("/experiment/name", CODE_RULE);
        }
        if experiment.variants.is_empty() || experiment.variants.len() > VARIANTS_MAX {
            self.problem("/experiment/variants", format!("must be 1 to {VARIANTS_MAX} variants"));
        }
        let weights = experiment.variants.iter().map(|variant| u64::from(variant.weight)).sum::<u64>();
        if weights == 0 && experiment.hold_back == 0 {
            self.problem("/experiment/variants", "all weights are 0: nobody would be in the experiment");
        }
        for (index, variant) in experiment.variants.iter().take(VARIANTS_MAX).enumerate() {
            let pointer = format!("/experiment/variants/{index}");
            if experiment.variants[..index].iter().any(|before| before.name == variant.name) {
                self.problem(format!("{pointer}/name"), format!("`{}` is there twice", variant.name));
            }
            self.variant(&pointer, variant);
        }
    }

    fn variant(&mut self, pointer: &str, variant: &VariantSource) {
        if !is_variant_name(&variant.name) {
            self.problem(format!("{pointer}/name"), "must have 1 to 50 letters, digits, dashes and underscores");
        }
        if &*variant.name == CONTROL {
            if !variant.locales.is_empty() {
                self.problem(format!("{pointer}/locales"), "`control` is the template's own parts: give it none here");
            }
            return;
        }
        if variant.locales.is_empty() {
            self.problem(format!("{pointer}/locales"), "must have a part that differs from the template's own");
        }
        let mut locales = BTreeMap::new();
        for (locale, parts) in &variant.locales {
            let pointer = format!("{pointer}/locales/{}", escaped(locale));
            if !self.source.locales.contains_key(locale) {
                self.problem(&*pointer, "the template has no such language of its own");
            }
            let place = Place { pointer: &pointer, locale, variant: Some(&variant.name) };
            locales.insert(locale.clone(), self.texts(place, parts));
        }
        self.parsed.variants.push(ParsedVariant { name: variant.name.clone(), locales });
    }

    fn texts(&mut self, place: Place<'_>, parts: &PartSources) -> Vec<ParsedText> {
        // The name under which it is looked for: without what is no language, script or region, and old names by their new ones.
        let usual = canonical_locale(place.locale).and_then(|tag| Locale::get(&tag));
        match usual.as_ref().map(|locale| locale.tag()) {
            None => self.problem(place.pointer, format!("`{}` is no language tag, such as zh-Hans", place.locale)),
            Some(usual) if usual != place.locale => {
                self.problem(place.pointer, format!("write the language tag as `{usual}`"));
            }
            Some(_) => {}
        }
        let PartSources { title, body, html, sms, push, voice } = parts;
        let mut texts = Vec::new();
        for (part, source) in
            [(Part::Title, title), (Part::Body, body), (Part::Html, html), (Part::Sms, sms), (Part::Voice, voice)]
        {
            texts.extend(source.as_deref().and_then(|source| self.text(place, part, "", source)));
        }
        if let Some(push) = push {
            self.push_texts(place, push, &mut texts);
        }
        texts
    }

    fn push_texts(&mut self, place: Place<'_>, push: &PushSource, texts: &mut Vec<ParsedText>) {
        for (part, source) in [(Part::PushTitle, &push.title), (Part::PushBody, &push.body)] {
            texts.extend(source.as_deref().and_then(|source| self.text(place, part, "", source)));
        }
        if push.data.len() > PUSH_VALUES_MAX {
            let detail = format!("must have at most {PUSH_VALUES_MAX} values");
            self.problem(format!("{}/push/data", place.pointer), detail);
        }
        for (name, source) in &push.data {
            texts.extend(self.text(place, Part::PushData, name, source));
        }
    }

    fn text(&mut self, place: Place<'_>, part: Part, name: &str, source: &str) -> Option<ParsedText> {
        self.bytes += source.len();
        if source.trim().is_empty() {
            let problem = TemplateProblem {
                part: Some(part.name().into()),
                locale: Some(place.locale.into()),
                variant: place.variant.map(Into::into),
                ..TemplateProblem::new(pointer(place.pointer, part, name), "must not be empty: leave it out")
            };
            self.problems.push(problem);
            return None;
        }
        // The line break before the closing quotes belongs to the file, not to the message.
        let text = source.trim_end();
        let checked = Program::compile(text).and_then(|program| {
            check_variables(&program, self.source)?;
            if part != Part::Html || !is_mjml(text) {
                return Ok((Arc::from(text), program, false));
            }
            let html = compile_mjml(text)?;
            let program = Program::compile(&html)?;
            Ok((html.into(), program, brings_style(text)))
        });
        match checked {
            Ok((source, program, has_style)) => {
                self.parsed.includes.extend(program.partials().iter().map(|call| call.name.clone()));
                let program = Arc::new(program);
                Some(ParsedText { part, name: name.into(), source, has_style, program, styled: Arc::default() })
            }
            Err(problem) => {
                self.problems.push(TemplateProblem {
                    part: Some(part.name().into()),
                    locale: Some(place.locale.into()),
                    variant: place.variant.map(Into::into),
                    line: Some(problem.line as u32),
                    column: Some(problem.column as u32),
                    ..TemplateProblem::new(pointer(place.pointer, part, name), problem.detail)
                });
                None
            }
        }
    }
}

/// The pointer of a part below that of its language.
pub(in crate::rendering) fn pointer(of_locale: &str, part: Part, name: &str) -> String {
    let below = part.name().replace('.', "/");
    match part {
        Part::PushData => format!("{of_locale}/{below}/{}", escaped(name)),
        _ => format!("{of_locale}/{below}"),
    }
}

/// A name as a step of a JSON pointer (RFC 6901, 3).
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Refuses a variable that the template does not declare; where it declares none, all may be used.
fn check_variables(program: &Program, source: &TemplateSource) -> Result<(), SyntaxProblem> {
    if source.variables.is_empty() {
        return Ok(());
    }
    let is_known = |name: &str| source.variables.iter().any(|variable| *variable.name == *name);
    match program.roots().iter().find(|root| !is_known(&root.name)) {
        None => Ok(()),
        Some(root) => {
            let names: Vec<&str> = source.variables.iter().map(|variable| &*variable.name).collect();
            let hint = crate::config::nearest(&root.name, &names);
            let hint = hint.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            let detail = format!("`{}` is not among the template's variables{hint}", root.name);
            Err(SyntaxProblem { line: root.line, column: root.column, detail: detail.into() })
        }
    }
}
