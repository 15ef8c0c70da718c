//! Renders: finds the programs of a content, reads the data once, and runs them.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde_json::{Map, Value};

use super::catalog::{Catalog, CatalogError, Template, Text, Texts, check_variables};
use super::data::Data;
use super::engine::Engine;
use super::error::{Part, RenderError};
use super::inline::InlineCache;
use super::locale::Locale;
use super::program::{Program, is_literal};
use super::scene::Scene;
use super::{html, merged};
use crate::config;
use crate::domain::{
    Categories, Channel, Content, Experiment, NotificationRequest, Parts, Plan, Presentation, PushPart, TemplateSource,
    Zone, sms_segments,
};
use crate::templates::TemplateProblem;

/// Makes the parts of messages. One per process; every thread uses it at once.
pub struct Renderer {
    pub(super) engine: Engine,
    pub(super) catalog: ArcSwap<Catalog>,
    /// Held by whoever makes the next catalog of the one there is.
    replacing: Mutex<()>,
    inline: InlineCache,
    /// What every template sees where the data has no such name.
    pub(super) usual: Map<String, Value>,
    /// Of messages for whom none is known.
    locale: Arc<Locale>,
    zone: Zone,
    /// Those that there are; `None`: any.
    categories: Option<Categories>,
}

impl Renderer {
    /// Loads the templates that ship with the binary and those of `templates.dir`. `zone`: of users whose own is not known.
    pub fn new(config: &config::Templates, zone: Zone) -> Result<Self, CatalogError> {
        let renderer = Self {
            engine: Engine::new(config.max_output.as_usize()),
            catalog: ArcSwap::default(),
            replacing: Mutex::default(),
            inline: InlineCache::default(),
            usual: config.usual_data(),
            locale: Locale::get(&config.locale).unwrap_or_else(Locale::english),
            zone,
            categories: None,
        };
        let catalog = Catalog::load(config, |source, template| renderer.try_out(source, template))?;
        renderer.catalog.store(Arc::new(catalog));
        Ok(renderer)
    }

    /// The same where templates may be of these categories only.
    pub fn among(self, categories: Categories) -> Self {
        Self { categories: Some(categories), ..self }
    }

    /// What is wrong with a template's category: a message without its rules would reach people who do not want it.
    pub(super) fn category_problem(&self, source: &TemplateSource) -> Option<TemplateProblem> {
        let (name, categories) = (source.category.as_deref()?, self.categories.as_ref()?);
        if categories.get(name).is_some() {
            return None;
        }
        let names = categories.names();
        let hint = config::nearest(name, &names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        Some(TemplateProblem::new("/category", format!("is no category: there are {}{hint}", names.join(", "))))
    }

    /// Renders from now on with a changed catalog; renders that run finish with the one they began with.
    pub(super) fn change_catalog(&self, change: impl FnOnce(&mut Catalog)) {
        // A catalog is whole until the next takes its place, so a panic elsewhere has not harmed it.
        let _one = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut catalog = Catalog::clone(&self.catalog.load());
        change(&mut catalog);
        self.catalog.store(Arc::new(catalog));
    }

    /// The category of a template; `None`: it has none, or there is no such template.
    pub fn category(&self, tenant: &str, code: &str) -> Option<Box<str>> {
        self.catalog.load().category(tenant, code).map(Into::into)
    }

    /// What a template compares; `None`: nothing, or there is no such template.
    pub fn experiment(&self, tenant: &str, code: &str) -> Option<Arc<Experiment>> {
        self.catalog.load().experiment(tenant, code).cloned()
    }

    /// All parts of a plan's message.
    pub fn render(&self, plan: &Plan) -> Result<Parts, RenderError> {
        self.parts(&plan.tenant, &plan.content, &merged::data(plan)?, &plan.presentation, None)
    }

    /// All parts of what a request asks for, if it may be asked for.
    pub(super) fn try_request(&self, request: &NotificationRequest, data: &str) -> Result<Parts, RenderError> {
        let presentation = Presentation { locale: request.locale.clone(), ..Presentation::default() };
        let Content::Template { code } = &request.content else {
            return self.parts(&request.tenant, &request.content, data, &presentation, None);
        };
        let template = self.template(&request.tenant, code)?;
        if !template.is_active {
            return Err(RenderError::Inactive { code: code.clone() });
        }
        if !template.kind.is_message() {
            return Err(RenderError::NoMessage { code: code.clone() });
        }
        let data = Data::new(data, Some(&self.usual));
        check_variables(&template.variables, data.fields()?)?;
        let parts = self.template_parts(&template, &data, &presentation, None)?;
        if request.channels.contains(&Channel::Sms) {
            check_segments(&template, parts.sms_text())?;
        }
        Ok(parts)
    }

    /// The parts that a channel uses; `None`: all.
    pub(super) fn parts(
        &self,
        tenant: &str,
        content: &Content,
        data: &str,
        presentation: &Presentation,
        channel: Option<Channel>,
    ) -> Result<Parts, RenderError> {
        match content {
            Content::Inline { title, body, html, sms } => {
                let data = Data::new(data, None);
                let wish = presentation.locale.as_deref().and_then(Locale::get);
                let zone = self.zone_of(presentation);
                let scene = Scene { locale: wish.as_ref().unwrap_or(&self.locale), zone: &zone, partials: &|_| None };
                let optional = |part: Part, source: &Option<Box<str>>| {
                    let source = source.as_deref().filter(|_| is_used(part, channel));
                    source.map(|source| self.inline_part(part, source, &data, &scene)).transpose()
                };
                Ok(Parts {
                    title: self.inline_part(Part::Title, title, &data, &scene)?,
                    body: self.inline_part(Part::Body, body, &data, &scene)?,
                    html: optional(Part::Html, html)?,
                    sms: optional(Part::Sms, sms)?,
                    ..Parts::default()
                })
            }
            Content::Template { code } => {
                let template = self.template(tenant, code)?;
                let parts =
                    self.template_parts(&template, &Data::new(data, Some(&self.usual)), presentation, channel)?;
                if channel == Some(Channel::Sms) {
                    check_segments(&template, parts.sms_text())?;
                }
                Ok(parts)
            }
        }
    }

    fn template(&self, tenant: &str, code: &str) -> Result<Arc<Template>, RenderError> {
        match self.catalog.load().get(tenant, code) {
            Some(Ok(template)) => Ok(template.clone()),
            Some(Err(why)) => Err(RenderError::Unusable { code: code.into(), why: (&**why).into() }),
            None => Err(RenderError::NoTemplate { code: code.into() }),
        }
    }

    /// The parts of a template that a channel uses; `None`: all.
    pub(super) fn template_parts(
        &self,
        template: &Template,
        data: &Data<'_>,
        presentation: &Presentation,
        channel: Option<Channel>,
    ) -> Result<Parts, RenderError> {
        let wish = presentation.locale.as_deref().and_then(Locale::get);
        let Some(texts) = template.texts(presentation.variant.as_deref(), wish.as_deref(), &self.locale) else {
            return Ok(Parts::default());
        };
        let (locale, zone) = (texts.locale_for(wish.as_ref()), self.zone_of(presentation));
        let run = |text: &Text| {
            let scene = Scene { locale, zone: &zone, partials: &|code| text.partials.get(code) };
            self.run(&text.program, text.part, data, &scene)
        };
        let optional = |part: Part| texts.part(part).filter(|_| is_used(part, channel)).map(run).transpose();
        let html = match texts.part(Part::Html) {
            Some(html) if is_used(Part::Html, channel) || texts.part(Part::Body).is_none() => Some(run(html)?),
            _ => None,
        };
        let body = match (texts.part(Part::Body), &html) {
            (Some(body), _) => run(body)?,
            (None, Some(html)) => html::text_of(html),
            (None, None) => String::new(),
        };
        Ok(Parts {
            title: texts.part(Part::Title).map(run).transpose()?.unwrap_or_default(),
            body,
            html: html.filter(|_| is_used(Part::Html, channel)),
            sms: optional(Part::Sms)?,
            voice: optional(Part::Voice)?,
            push: push_part(texts, channel, run)?,
        })
    }

    fn zone_of(&self, presentation: &Presentation) -> Zone {
        presentation.zone.as_deref().and_then(Zone::parse).unwrap_or_else(|| self.zone.clone())
    }

    /// Of messages for whom none is known.
    pub(super) fn usual_locale(&self) -> &Arc<Locale> {
        &self.locale
    }

    fn inline_part(&self, part: Part, source: &str, data: &Data<'_>, scene: &Scene<'_>) -> Result<String, RenderError> {
        if is_literal(source) {
            return self.engine.literal(source, part);
        }
        let program = self.inline.program(source).map_err(|problem| RenderError::Syntax { part, problem })?;
        self.run(&program, part, data, scene)
    }

    fn run(&self, program: &Program, part: Part, data: &Data<'_>, scene: &Scene<'_>) -> Result<String, RenderError> {
        match program {
            Program::Literal(text) => self.engine.literal(text, part),
            _ => self.engine.run(program, part, data.context()?, scene),
        }
    }
}

/// Whether a text message is as short as its template wants it.
pub(super) fn check_segments(template: &Template, text: &str) -> Result<(), RenderError> {
    let Some(max) = template.sms_segments_max else { return Ok(()) };
    let segments = sms_segments(text).segments;
    if segments > usize::from(max) { Err(RenderError::TooManySegments { segments, max }) } else { Ok(()) }
}

fn push_part(
    texts: &Texts,
    channel: Option<Channel>,
    run: impl Fn(&Text) -> Result<String, RenderError>,
) -> Result<Option<PushPart>, RenderError> {
    let is_push = |text: &&Text| matches!(text.part, Part::PushTitle | Part::PushBody | Part::PushData);
    if !is_used(Part::PushBody, channel) || !texts.all().iter().any(|text| is_push(&text)) {
        return Ok(None);
    }
    let mut push = PushPart::default();
    for text in texts.all().iter().filter(is_push) {
        match text.part {
            Part::PushTitle => push.title = Some(run(text)?),
            Part::PushBody => push.body = Some(run(text)?),
            // A value that comes to nothing is not handed on.
            _ => push.data.extend(Some((text.name.clone(), run(text)?)).filter(|(_, value)| !value.is_empty())),
        }
    }
    push.data.sort_unstable();
    Ok(Some(push))
}

/// Whether a channel's providers look at the part.
fn is_used(part: Part, channel: Option<Channel>) -> bool {
    let Some(channel) = channel else { return true };
    match part {
        Part::Title | Part::Body => true,
        Part::Html => channel == Channel::Email,
        // What is spoken may be what would be written.
        Part::Sms => matches!(channel, Channel::Sms | Channel::Voice),
        Part::Voice => channel == Channel::Voice,
        Part::PushTitle | Part::PushBody | Part::PushData => channel == Channel::Push,
    }
}
