//! What is odd about a template and no reason to refuse it.

use std::collections::BTreeSet;

use super::parsed::{Parsed, escaped};
use super::view::View;
use crate::domain::TemplateSource;
use crate::templates::TemplateProblem;

/// All of them, for people.
pub(super) fn warnings(source: &TemplateSource, parsed: &Parsed, view: &View<'_>) -> Vec<TemplateProblem> {
    let mut warnings = Vec::new();
    variables(source, parsed, view, &mut warnings);
    languages(source, &mut warnings);
    variants(source, &mut warnings);
    warnings
}

fn variables(source: &TemplateSource, parsed: &Parsed, view: &View<'_>, warnings: &mut Vec<TemplateProblem>) {
    let used = used(parsed, view);
    if source.variables.is_empty() && !used.is_empty() && source.kind.is_message() {
        let detail =
            "none is declared: whether the data of a request has what the template needs shows only when it comes";
        warnings.push(TemplateProblem::new("/variables", detail));
    }
    for (index, variable) in source.variables.iter().enumerate() {
        if !used.contains(&*variable.name) {
            let detail = format!("`{}` is declared and not used", variable.name);
            warnings.push(TemplateProblem::new(format!("/variables/{index}"), detail));
        }
    }
}

/// The variables that the texts and all that they include use; each of what is included is gone through once.
fn used(parsed: &Parsed, view: &View<'_>) -> BTreeSet<Box<str>> {
    let (mut used, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut ahead = vec![parsed];
    while let Some(parsed) = ahead.pop() {
        let texts = parsed.variants.iter().flat_map(|variant| variant.locales.values()).flatten();
        used.extend(texts.flat_map(|text| text.program.roots()).map(|name| name.name.clone()));
        let new = parsed.includes.iter().filter(|code| seen.insert(&**code));
        ahead.extend(new.filter_map(|code| view.partial(code).ok()).map(|(partial, _)| partial));
    }
    used
}

/// A language without a part that the default language has: its readers get less.
fn languages(source: &TemplateSource, warnings: &mut Vec<TemplateProblem>) {
    let Some(usual) = source.locales.get(&source.default_locale) else { return };
    for locale in source.locales.keys().filter(|locale| **locale != source.default_locale) {
        let chain = crate::rendering::locale::fallback_chain(locale);
        let own = || chain.iter().filter_map(|tag| source.locales.get(tag));
        for part in ["html", "sms", "voice"] {
            if usual.has(part) && !own().any(|parts| parts.has(part)) {
                warnings.push(TemplateProblem {
                    part: Some(part.into()),
                    locale: Some(locale.clone()),
                    ..TemplateProblem::new(
                        format!("/locales/{}", escaped(locale)),
                        format!("there is no {part}, which `{}` has", source.default_locale),
                    )
                });
            }
        }
    }
}

/// A variant that changes nothing in a language: its readers are counted to it and read the template's own parts.
fn variants(source: &TemplateSource, warnings: &mut Vec<TemplateProblem>) {
    let variants = source.experiment.iter().flat_map(|experiment| &experiment.variants).enumerate();
    for (index, variant) in variants.filter(|(_, variant)| !variant.locales.is_empty()) {
        for locale in source.locales.keys() {
            let chain = crate::rendering::locale::fallback_chain(locale);
            if !chain.iter().any(|tag| variant.locales.contains_key(tag)) {
                let detail = format!(
                    "`{}` changes nothing for `{locale}`: its readers see the template's own parts",
                    variant.name
                );
                warnings.push(TemplateProblem {
                    locale: Some(locale.clone()),
                    variant: Some(variant.name.clone()),
                    ..TemplateProblem::new(format!("/experiment/variants/{index}/locales"), detail)
                });
            }
        }
    }
}
