//! Renders: finds the programs of a content, reads the data once, and runs them.

use std::cell::OnceCell;
use std::sync::Arc;

use arc_swap::ArcSwap;
use handlebars::Context;
use serde_json::Value;

use super::catalog::{Catalog, CatalogError};
use super::engine::Engine;
use super::error::{Part, RenderError};
use super::inline::InlineCache;
use super::merged;
use super::program::{Program, is_literal};
use crate::config;
use crate::domain::{Channel, Content, Parts, Plan};

/// Makes the parts of messages. One per process; every thread uses it at once.
pub struct Renderer {
    engine: Engine,
    catalog: ArcSwap<Catalog>,
    inline: InlineCache,
}

impl Renderer {
    /// Loads the templates that ship with the binary and those of `templates.dir`.
    pub fn new(config: &config::Templates) -> Result<Self, CatalogError> {
        let catalog = ArcSwap::from_pointee(Catalog::load(config)?);
        let engine = Engine::new(config.max_output.as_usize());
        Ok(Self { engine, catalog, inline: InlineCache::default() })
    }

    /// Renders from now on with another catalog; renders that run finish with the one they began with.
    pub fn replace_catalog(&self, catalog: Catalog) {
        self.catalog.store(Arc::new(catalog));
    }

    /// The codes of all templates, in order.
    pub fn codes(&self) -> Vec<Box<str>> {
        self.catalog.load().list().into_iter().map(|(code, _)| code.into()).collect()
    }

    /// All parts of a plan's message.
    pub fn render(&self, plan: &Plan) -> Result<Parts, RenderError> {
        self.parts(&plan.content, &merged::data(plan)?, None)
    }

    /// The parts that a channel uses; `None`: all.
    pub(super) fn parts(&self, content: &Content, data: &str, channel: Option<Channel>) -> Result<Parts, RenderError> {
        let data = Data { json: data, context: OnceCell::new() };
        match content {
            Content::Inline { title, body, html, sms } => Ok(Parts {
                title: self.inline_part(Part::Title, title, &data)?,
                body: self.inline_part(Part::Body, body, &data)?,
                html: html
                    .as_deref()
                    .filter(|_| is_used(Part::Html, channel))
                    .map(|html| self.inline_part(Part::Html, html, &data))
                    .transpose()?,
                sms: sms
                    .as_deref()
                    .filter(|_| is_used(Part::Sms, channel))
                    .map(|sms| self.inline_part(Part::Sms, sms, &data))
                    .transpose()?,
            }),
            Content::Template { code } => {
                let catalog = self.catalog.load();
                let template = catalog.get(code).ok_or_else(|| RenderError::NoTemplate { code: code.clone() })?;
                let run = |part| {
                    let program = template.program(part).filter(|_| is_used(part, channel));
                    program.map(|program| self.run(program, part, &data)).transpose()
                };
                Ok(Parts {
                    title: run(Part::Title)?.unwrap_or_default(),
                    body: run(Part::Body)?.unwrap_or_default(),
                    html: run(Part::Html)?,
                    sms: run(Part::Sms)?,
                })
            }
        }
    }

    fn inline_part(&self, part: Part, source: &str, data: &Data<'_>) -> Result<String, RenderError> {
        if is_literal(source) {
            return self.engine.literal(source, part);
        }
        let program = self.inline.program(source).map_err(|problem| RenderError::Syntax { part, problem })?;
        self.run(&program, part, data)
    }

    fn run(&self, program: &Program, part: Part, data: &Data<'_>) -> Result<String, RenderError> {
        match program {
            Program::Literal(text) => self.engine.literal(text, part),
            _ => self.engine.run(program, part, data.context()?),
        }
    }
}

/// Whether a channel's providers look at the part.
fn is_used(part: Part, channel: Option<Channel>) -> bool {
    let Some(channel) = channel else { return true };
    match part {
        Part::Title | Part::Body => true,
        Part::Html => channel == Channel::Email,
        Part::Sms => matches!(channel, Channel::Sms | Channel::Voice),
    }
}

/// The request's data, read when the first expression asks for it and then only once.
struct Data<'a> {
    json: &'a str,
    context: OnceCell<Context>,
}

impl Data<'_> {
    fn context(&self) -> Result<&Context, RenderError> {
        if let Some(context) = self.context.get() {
            return Ok(context);
        }
        let refuse = |detail: &str| RenderError::Data { detail: detail.into() };
        let value: Value = serde_json::from_str(self.json).map_err(|_| refuse("it is no valid JSON"))?;
        if !value.is_object() {
            return Err(refuse("it must be a JSON object"));
        }
        Ok(self.context.get_or_init(|| Context::from(value)))
    }
}
