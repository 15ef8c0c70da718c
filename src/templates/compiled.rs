//! What is needed of rendering: the templates in force, compiled, and what can be said of one before it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::domain::{CurrentTemplate, TemplateKey, TemplateSource, Zone};

/// The templates that messages are rendered from. Calls take processor time, up to seconds where many templates change at once:
/// they are made beside the runtime.
pub trait CompiledTemplates: Send + Sync + 'static {
    /// Puts these in the place of what was there under their keys, all in one step: no message is made of some of them in the old
    /// state and of others in the new one. One that cannot be compiled takes effect too: messages of it fail, and of no other;
    /// why, [`CompiledTemplates::problem`] says.
    fn replace(&self, changes: Vec<(TemplateKey, SavedTemplate)>);

    /// Why no message can be made of a template that is in force, as far as that is known: it takes no time. `None`: it can, or nobody
    /// tried to, or it is not there.
    fn problem(&self, key: &TemplateKey) -> Option<String>;

    /// The same, found out where it is not known.
    fn find_problem(&self, key: &TemplateKey) -> Option<String> {
        self.problem(key)
    }

    /// Whether the template could be saved now, with what else is in force; and whether all that include one of its code could
    /// still be used. What is good to know but no reason to refuse it is returned.
    fn validate(&self, tenant: &str, source: &TemplateSource) -> Result<Vec<TemplateProblem>, Vec<TemplateProblem>>;

    /// The codes of the templates in force, active or not, that include this one, in order.
    fn users_of(&self, tenant: &str, code: &str) -> Vec<Box<str>>;

    /// What a message of this template would be; the rest of what it includes is what is in force.
    fn preview(
        &self,
        tenant: &str,
        source: &TemplateSource,
        wish: &PreviewWish,
    ) -> Result<Preview, Vec<TemplateProblem>>;

    /// What stands under the code where the tenant has saved nothing.
    fn built_in(&self, code: &str) -> Option<BuiltIn>;

    /// All of them, by code.
    fn built_ins(&self) -> Vec<BuiltIn>;
}

/// What is saved under a key.
#[derive(Debug, Clone, PartialEq)]
pub enum SavedTemplate {
    Current(CurrentTemplate),
    /// There is one, and this binary cannot read it; why. Messages of it fail: what it covers must not be sent in its place.
    Unreadable(Box<str>),
    /// Nothing, or nothing any more: a built-in template of the code is in force.
    Nothing,
}

/// A template that nobody saved.
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltIn {
    pub source: Arc<TemplateSource>,
    pub origin: TemplateOrigin,
}

/// Where a template comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateOrigin {
    /// Saved by the API.
    Saved,
    /// A file of `templates.dir`.
    File,
    /// It ships with the binary.
    Shipped,
}

impl TemplateOrigin {
    pub const ALL: [TemplateOrigin; 3] = [Self::Saved, Self::File, Self::Shipped];

    pub fn name(self) -> &'static str {
        ["saved", "file", "shipped"][self as usize]
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.name() == name)
    }
}

/// What is wrong with a template, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateProblem {
    /// A JSON pointer (RFC 6901) into the source, as `/locales/de/html`; empty: the template as a whole.
    pub pointer: Box<str>,
    /// `title`, `body`, `html`, `sms`, `push` or `voice`.
    pub part: Option<Box<str>>,
    pub locale: Option<Box<str>>,
    /// Of the experiment.
    pub variant: Option<Box<str>>,
    /// From 1 on, within the text at `pointer`.
    pub line: Option<u32>,
    /// In characters, from 1 on.
    pub column: Option<u32>,
    pub detail: Box<str>,
}

impl TemplateProblem {
    pub fn new(pointer: impl Into<Box<str>>, detail: impl Into<Box<str>>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into(), ..Self::default() }
    }
}

/// For whom a preview is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PreviewWish {
    /// A JSON object; `None`: the examples of the variables.
    pub data: Option<Value>,
    /// A language tag; `None`: as for a reader whose language is not known.
    pub locale: Option<Box<str>>,
    /// Of the experiment; `None`: the template's own parts.
    pub variant: Option<Box<str>>,
    /// `None`: UTC.
    pub zone: Option<Zone>,
}

/// A message as it would be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preview {
    pub parts: PreviewParts,
    /// The locale its text is in.
    pub locale: Box<str>,
    /// Whether that is written from right to left.
    pub is_right_to_left: bool,
    /// What the text message comes to; `None`: there is none.
    pub sms: Option<SmsSize>,
    /// What is odd about it, for people.
    pub warnings: Vec<TemplateProblem>,
}

/// All parts that the template has, or that are made of others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PreviewParts {
    pub title: Option<String>,
    pub body: Option<String>,
    pub html: Option<String>,
    pub sms: Option<String>,
    pub push: Option<PreviewPush>,
    pub voice: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PreviewPush {
    pub title: Option<String>,
    pub body: Option<String>,
    pub data: BTreeMap<Box<str>, String>,
}

/// How long a text message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmsSize {
    pub segments: u32,
    /// `gsm7` or `ucs2`.
    pub encoding: &'static str,
    /// In units of the encoding.
    pub characters: u32,
}
