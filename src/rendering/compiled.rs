//! The templates in force, as those who save them see it: tried before they are saved, and shown as they would be.

use super::catalog::{self, Template, Texts, Tried, pointer};
use super::data::Data;
use super::error::RenderError;
use super::locale::Locale;
use super::renderer::{Renderer, check_segments};
use crate::domain::{CONTROL_VARIANT, Parts, Presentation, SmsEncoding, TemplateKey, TemplateSource, sms_segments};
use crate::templates::{
    BuiltIn, CompiledTemplates, Preview, PreviewParts, PreviewPush, PreviewWish, SavedTemplate, SmsSize,
    TemplateProblem,
};

impl CompiledTemplates for Renderer {
    fn replace(&self, changes: Vec<(TemplateKey, SavedTemplate)>) {
        self.change_catalog(|catalog| catalog.replace(changes));
    }

    fn problem(&self, key: &TemplateKey) -> Option<String> {
        self.catalog.load().known_problem(&key.tenant, &key.code).map(Into::into)
    }

    fn find_problem(&self, key: &TemplateKey) -> Option<String> {
        self.catalog.load().get(&key.tenant, &key.code)?.as_ref().err().map(|why| why.to_string())
    }

    fn validate(&self, tenant: &str, source: &TemplateSource) -> Result<Vec<TemplateProblem>, Vec<TemplateProblem>> {
        let catalog = self.catalog.load();
        let tried = catalog.try_one(tenant, source)?;
        let mut problems = self.try_out(source, &tried.template);
        problems.extend(self.category_problem(source));
        if !problems.is_empty() {
            return Err(problems);
        }
        catalog.try_users(tenant, &tried, |user, template| self.try_out(user, template).into_iter().next())?;
        Ok(tried.warnings)
    }

    fn users_of(&self, tenant: &str, code: &str) -> Vec<Box<str>> {
        self.catalog.load().users_of(tenant, code).into_iter().map(Into::into).collect()
    }

    fn preview(
        &self,
        tenant: &str,
        source: &TemplateSource,
        wish: &PreviewWish,
    ) -> Result<Preview, Vec<TemplateProblem>> {
        let Tried { template, warnings, .. } = self.catalog.load().try_one(tenant, source)?;
        let data = match &wish.data {
            Some(data) => data.to_string(),
            None => catalog::examples(source, &self.usual).to_string(),
        };
        let data = Data::new(&data, Some(&self.usual));
        let presentation = Presentation {
            locale: wish.locale.clone(),
            zone: wish.zone.as_ref().map(|zone| zone.name().into()),
            variant: wish.variant.clone(),
        };
        if let Some(unknown) = wish.variant.as_deref().filter(|name| !template.has_variant(name)) {
            return Err(vec![TemplateProblem::new("/experiment/variants", format!("there is no variant `{unknown}`"))]);
        }
        let in_data = |error: RenderError| vec![self.problem_of(source, &template, &presentation, &error)];
        data.fields().and_then(|fields| catalog::check_variables(&template.variables, fields)).map_err(in_data)?;
        let parts = self.template_parts(&template, &data, &presentation, None).map_err(in_data)?;
        let Some(texts) = self.texts_of(&template, &presentation) else {
            return Err(vec![TemplateProblem::new("/locales", "must have at least one language")]);
        };
        let locale = &texts.locale;
        let sms = source.kind.is_message().then(|| sms_size(parts.sms_text()));
        Ok(Preview {
            locale: locale.tag().into(),
            is_right_to_left: locale.is_right_to_left(),
            sms,
            warnings,
            parts: shown(parts, source),
        })
    }

    fn built_in(&self, code: &str) -> Option<BuiltIn> {
        self.catalog.load().built_in(code)
    }

    fn built_ins(&self) -> Vec<BuiltIn> {
        self.catalog.load().built_ins()
    }
}

impl Renderer {
    /// Renders a template with the examples of its variables, in every language and variant; what went wrong.
    pub(super) fn try_out(&self, source: &TemplateSource, template: &Template) -> Vec<TemplateProblem> {
        if !source.kind.is_message() {
            // What it is filled from is its users' to say.
            return Vec::new();
        }
        let examples = catalog::examples(source, &self.usual).to_string();
        let data = Data::new(&examples, Some(&self.usual));
        let mut problems = Vec::new();
        for (variant, locale) in template.all_texts() {
            let presentation = Presentation { locale: Some(locale.into()), zone: None, variant: Some(variant.into()) };
            let tried = self.template_parts(template, &data, &presentation, None).and_then(|parts| {
                // One that has no text message of its own may never be meant for one.
                parts.sms.as_deref().map_or(Ok(()), |sms| check_segments(template, sms))
            });
            if let Err(error) = tried {
                let problem = self.problem_of(source, template, &presentation, &error);
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
        }
        problems
    }

    /// The texts that a message is made of.
    fn texts_of<'t>(&self, template: &'t Template, presentation: &Presentation) -> Option<&'t Texts> {
        let wish = presentation.locale.as_deref().and_then(Locale::get);
        template.texts(presentation.variant.as_deref(), wish.as_deref(), self.usual_locale())
    }

    /// The same as a problem of the template, found by its pointer.
    fn problem_of(
        &self,
        source: &TemplateSource,
        template: &Template,
        presentation: &Presentation,
        error: &RenderError,
    ) -> TemplateProblem {
        let detail = match error {
            RenderError::MissingVariable { variable, .. } => {
                format!(
                    "`{variable}` has no value: declare it among the variables with an example, or guard it with `if` or `default`"
                )
            }
            other => other.in_part(),
        };
        let Some(part) = error.part() else { return TemplateProblem::new("", detail) };
        let texts = self.texts_of(template, presentation);
        let locale = texts.map_or(&*source.default_locale, |texts| texts.locale.tag());
        let of_locale = format!("/locales/{locale}");
        TemplateProblem {
            part: Some(part.name().into()),
            locale: Some(locale.into()),
            variant: presentation.variant.clone().filter(|name| &**name != CONTROL_VARIANT),
            ..TemplateProblem::new(pointer(&of_locale, part, ""), detail)
        }
    }
}

fn sms_size(text: &str) -> SmsSize {
    let size = sms_segments(text);
    let encoding = match size.encoding {
        SmsEncoding::Gsm7 => "gsm7",
        SmsEncoding::Ucs2 => "ucs2",
    };
    SmsSize { segments: size.segments as u32, encoding, characters: size.units as u32 }
}

/// What a preview shows: all parts that there are.
fn shown(parts: Parts, source: &TemplateSource) -> PreviewParts {
    let text = |text: String| Some(text).filter(|text| !text.is_empty() || source.kind.is_message());
    PreviewParts {
        title: text(parts.title),
        body: text(parts.body),
        html: parts.html,
        sms: parts.sms,
        push: parts.push.map(|push| PreviewPush {
            title: push.title,
            body: push.body,
            data: push.data.into_iter().collect(),
        }),
        voice: parts.voice,
    }
}
