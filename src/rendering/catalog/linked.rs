//! A template, ready to be rendered: what its texts include is found, and every language has all of its parts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::parsed::{Parsed, ParsedText, ParsedVariant, escaped, pointer};
use super::view::View;
use crate::domain::{CONTROL_VARIANT as CONTROL, CurrentTemplate, TemplateKind, TemplateSource, Variable};
use crate::rendering::error::Part;
use crate::rendering::html::inline_css;
use crate::rendering::locale::{Locale, fallback_chain};
use crate::rendering::program::Program;
use crate::templates::TemplateProblem;

/// How deep partials may include each other.
pub(super) const DEPTH_MAX: usize = 16;

/// The most partials that one text may include, however deep.
const PARTIALS_MAX: usize = 100;

/// A template as it is rendered.
#[derive(Debug)]
pub(in crate::rendering) struct Template {
    pub(in crate::rendering) kind: TemplateKind,
    pub(in crate::rendering) is_active: bool,
    pub(in crate::rendering) sms_segments_max: Option<u16>,
    pub(in crate::rendering) variables: Arc<[Variable]>,
    default_locale: Box<str>,
    /// By variant and locale; the template's own parts first.
    variants: Vec<(Box<str>, ByLocale)>,
}

type ByLocale = HashMap<Box<str>, Texts>;

/// The parts of one language.
#[derive(Debug)]
pub(in crate::rendering) struct Texts {
    pub(in crate::rendering) locale: Arc<Locale>,
    parts: Vec<Text>,
}

/// One part, with what it includes.
#[derive(Debug, Clone)]
pub(in crate::rendering) struct Text {
    pub(in crate::rendering) part: Part,
    /// Of a value that the application is handed, its name.
    pub(in crate::rendering) name: Box<str>,
    pub(in crate::rendering) program: Arc<Program>,
    /// All that are included, however deep, by their codes.
    pub(in crate::rendering) partials: Arc<Partials>,
}

/// Partials by their codes. They are few.
#[derive(Debug, Default)]
pub(in crate::rendering) struct Partials(Vec<(Box<str>, Arc<Program>)>);

impl Partials {
    pub(in crate::rendering) fn get(&self, code: &str) -> Option<&Program> {
        self.0.iter().find(|(name, _)| **name == *code).map(|(_, program)| &**program)
    }
}

/// Why a template cannot be linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::rendering) struct LinkProblem {
    /// Where it is wrong, if one text is.
    pub(super) place: Option<TextPlace>,
    pub(super) detail: Box<str>,
}

/// A text of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TextPlace {
    pub(super) variant: Box<str>,
    pub(super) locale: Box<str>,
    pub(super) part: Part,
    pub(super) name: Box<str>,
    pub(super) line: usize,
    pub(super) column: usize,
}

impl LinkProblem {
    /// The same as a problem of the template, found again by its pointer.
    pub(super) fn of_template(&self, source: &TemplateSource) -> TemplateProblem {
        let Some(place) = &self.place else { return TemplateProblem::new("", self.detail.clone()) };
        let variants = source.experiment.iter().flat_map(|experiment| &experiment.variants);
        let index = variants.into_iter().position(|variant| {
            // What the variant does not change is the template's own.
            let own = variant.locales.get(&place.locale).is_some_and(|parts| parts.has(place.part.name()));
            variant.name == place.variant && own
        });
        let base = index.map(|index| format!("/experiment/variants/{index}")).unwrap_or_default();
        let of_locale = format!("{base}/locales/{}", escaped(&place.locale));
        TemplateProblem {
            part: Some(place.part.name().into()),
            locale: Some(place.locale.clone()),
            variant: index.map(|_| place.variant.clone()),
            line: Some(place.line as u32),
            column: Some(place.column as u32),
            ..TemplateProblem::new(pointer(&of_locale, place.part, &place.name), self.detail.clone())
        }
    }
}

impl Template {
    /// The parts for a wish: those of the variant, or the template's own where there is none of the name, in the first language of
    /// the wish's fall-back chain that the template has, or else of the usual one, or else in its default one.
    pub(in crate::rendering) fn texts(
        &self,
        variant: Option<&str>,
        wish: Option<&Locale>,
        usual: &Locale,
    ) -> Option<&Texts> {
        let variant = variant.and_then(|name| self.variants.iter().find(|(own, _)| **own == *name));
        let (_, locales) = variant.or(self.variants.first())?;
        let in_chain = |wish: &Locale| wish.chain().iter().find_map(|tag| locales.get(tag));
        // Without a wish, what is usual here; a wish that cannot be met falls back to what the author thought of.
        let found = in_chain(wish.unwrap_or(usual));
        found.or_else(|| locales.get(&self.default_locale))
    }

    pub(in crate::rendering) fn has_variant(&self, name: &str) -> bool {
        self.variants.iter().any(|(own, _)| **own == *name)
    }

    /// Every variant and language there is.
    pub(in crate::rendering) fn all_texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variants.iter().flat_map(|(variant, locales)| locales.keys().map(move |locale| (&**variant, &**locale)))
    }
}

impl Texts {
    pub(in crate::rendering) fn part(&self, part: Part) -> Option<&Text> {
        self.parts.iter().find(|text| text.part == part)
    }

    /// In which language dates and numbers are written: the wish's, where the text is in a form of it; British dates in an English
    /// text, but no Dutch dates in it.
    pub(in crate::rendering) fn locale_for<'a>(&'a self, wish: Option<&'a Arc<Locale>>) -> &'a Arc<Locale> {
        wish.filter(|wish| wish.chain().iter().any(|tag| **tag == *self.locale.tag())).unwrap_or(&self.locale)
    }

    /// All parts.
    pub(in crate::rendering) fn all(&self) -> &[Text] {
        &self.parts
    }
}

/// Links a template that was read with what it includes, as `view` has it.
pub(super) fn link(current: &CurrentTemplate, parsed: &Parsed, view: &View<'_>) -> Result<Template, LinkProblem> {
    let source = &current.source;
    let own = parsed.variants.first().map(|own| &own.locales);
    let mut variants = Vec::with_capacity(parsed.variants.len());
    // A text that a region or a variant leaves as it is, is linked once.
    let mut known: HashMap<(*const Program, Box<str>), Text> = HashMap::new();
    for variant in &parsed.variants {
        let mut locales = HashMap::new();
        for locale in own.into_iter().flat_map(BTreeMap::keys) {
            let mut linked = Vec::new();
            for (text, written_in) in inherited(parsed, variant, locale) {
                let place = (Arc::as_ptr(&text.program), written_in);
                if !known.contains_key(&place) {
                    known.insert(place.clone(), link_text(text, &place.1, &variant.name, view)?);
                }
                linked.extend(known.get(&place).cloned());
            }
            locales.insert(
                locale.clone(),
                Texts { locale: Locale::get(locale).unwrap_or_else(Locale::english), parts: linked },
            );
        }
        variants.push((variant.name.clone(), locales));
    }
    Ok(Template {
        kind: source.kind,
        is_active: current.is_active,
        sms_segments_max: source.sms_segments_max,
        variables: source.variables.clone().into(),
        default_locale: source.default_locale.clone(),
        variants,
    })
}

/// The texts of a language, each with the language it is written in: those of the variant before the template's own, those of
/// the region before those of the language.
fn inherited<'p>(parsed: &'p Parsed, variant: &'p ParsedVariant, locale: &str) -> Vec<(&'p ParsedText, Box<str>)> {
    let own = parsed.variants.iter().find(|own| &*own.name == CONTROL);
    let mut texts: Vec<(&ParsedText, Box<str>)> = Vec::new();
    for tag in fallback_chain(locale) {
        for from in [Some(variant), own].into_iter().flatten() {
            for text in from.locales.get(&tag).into_iter().flatten() {
                if !texts.iter().any(|(before, _)| before.is_same_place(text)) {
                    texts.push((text, tag.clone()));
                }
            }
        }
    }
    texts
}

fn link_text(text: &ParsedText, locale: &str, variant: &str, view: &View<'_>) -> Result<Text, LinkProblem> {
    let mut closure =
        Closure { view, locale, part: text.part, found: Vec::new(), heights: HashMap::new(), path: Vec::new() };
    let followed = closure.follow(&text.program).and_then(|_| closure.styled(text));
    let program = followed.map_err(|(line, column, detail)| LinkProblem {
        place: Some(TextPlace {
            variant: variant.into(),
            locale: locale.into(),
            part: text.part,
            name: text.name.clone(),
            line,
            column,
        }),
        detail: detail.into(),
    })?;
    Ok(Text { part: text.part, name: text.name.clone(), program, partials: Arc::new(Partials(closure.found)) })
}

/// Finds all that a text includes, however deep.
struct Closure<'a> {
    view: &'a View<'a>,
    locale: &'a str,
    part: Part,
    found: Vec<(Box<str>, Arc<Program>)>,
    /// How many partials stand in each other in each that was gone through.
    heights: HashMap<Box<str>, usize>,
    /// The partials that are being gone through, the outermost first.
    path: Vec<Box<str>>,
}

type Refusal = (usize, usize, String);

impl<'a> Closure<'a> {
    /// Goes through each partial once, however often it is included; how many stand in each other below `program`.
    fn follow(&mut self, program: &Program) -> Result<usize, Refusal> {
        let mut height = 0;
        for call in program.partials() {
            let refuse = |detail| (call.line, call.column, detail);
            if self.path.contains(&call.name) {
                let path = self.path.join("` → `");
                return Err(refuse(format!("`{path}` → `{}`: a partial that includes itself never ends", call.name)));
            }
            let known = self.heights.get(&call.name).copied();
            if self.path.len() + 1 + known.unwrap_or(0) > DEPTH_MAX {
                return Err(refuse(format!("partials more than {DEPTH_MAX} deep")));
            }
            if let Some(known) = known {
                height = height.max(known + 1);
                continue;
            }
            if self.heights.len() + self.path.len() >= PARTIALS_MAX {
                return Err(refuse(format!("more than {PARTIALS_MAX} partials")));
            }
            let partial = match self.partial(&call.name) {
                Ok(partial) => partial,
                // What stands in the block takes its place.
                Err(_) if call.has_fallback && self.view.entry(&call.name).is_none() => continue,
                Err(detail) => return Err(refuse(detail)),
            };
            self.path.push(call.name.clone());
            // Where it stands in the partial is not where the author of this text can look.
            let included = self.follow(&partial.program).and_then(|below| {
                self.found.push((call.name.clone(), self.styled(partial)?));
                Ok(below)
            });
            let below = included.map_err(|(_, _, detail)| refuse(format!("`{}`: {detail}", call.name)))?;
            self.heights.insert(call.name.clone(), below);
            height = height.max(below + 1);
            self.path.pop();
        }
        Ok(height)
    }

    /// The program of a text, with the style rules in the elements where it is HTML.
    fn styled(&self, text: &ParsedText) -> Result<Arc<Program>, Refusal> {
        if text.part != Part::Html || text.has_style {
            return Ok(text.program.clone());
        }
        // Then nothing but its source decides: a frame is the same one for all that stand in it.
        let is_alone = text.program.partials().is_empty() && !text.source.contains("*inline");
        if let Some(styled) = text.styled.get().filter(|_| is_alone) {
            return Ok(styled.clone());
        }
        let frames = |code: &str| self.partial(code).ok().map(|partial| &*partial.source);
        let styled = inline_css(&text.source, &frames).and_then(|html| match *html == *text.source {
            true => Ok(text.program.clone()),
            false => Program::compile(&html).map(Arc::new),
        });
        let styled = styled.map_err(|problem| (problem.line, problem.column, problem.detail.into()))?;
        Ok(if is_alone { text.styled.get_or_init(|| styled).clone() } else { styled })
    }

    /// The same part of a partial, in the same language.
    fn partial(&self, code: &str) -> Result<&'a ParsedText, String> {
        let (parsed, default_locale) = self.view.partial(code)?;
        let own = parsed.variants.first().ok_or_else(|| format!("the partial `{code}` is empty"))?;
        let chain = fallback_chain(self.locale);
        let tags = chain.iter().map(|tag| &**tag).chain([default_locale]);
        let mut texts = tags.filter_map(|tag| own.locales.get(tag)).flatten();
        let text = texts.find(|text| text.part == self.part);
        text.ok_or_else(|| format!("the partial `{code}` has no {} for the language `{}`", self.part, self.locale))
    }
}
