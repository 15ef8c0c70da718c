//! The words in which templates are shown.

use serde::Serialize;

use crate::api::state::Api;
use crate::domain::{TemplateAction, TemplateChange, TemplateHistory, TemplateKind, TemplateSource, TemplateVersion};
use crate::templates::{Changed, Entry, TemplateError, TemplateOrigin, TemplateProblem};

/// A template in a list.
#[derive(Debug, Serialize)]
pub(super) struct TemplateView {
    pub(super) code: Box<str>,
    kind: Option<TemplateKind>,
    description: Option<Box<str>>,
    category: Option<Box<str>>,
    default_locale: Option<Box<str>>,
    locales: Vec<Box<str>>,
    variants: Vec<Box<str>>,
    /// `saved`, `file` or `shipped`.
    origin: &'static str,
    /// What a saved template stands in the place of.
    covers: Option<&'static str>,
    /// 0: it is built in.
    version: u32,
    active: bool,
    updated_at: Option<String>,
    updated_by: Option<Box<str>>,
    /// As the header `ETag` of the template.
    etag: String,
    /// Why no message can be made of it, as far as that is known; of a template that is asked for by its code it is.
    problem: Option<String>,
}

impl TemplateView {
    pub(super) async fn all(api: &Api, tenant: &str, entries: Vec<Entry>) -> Result<Vec<Self>, TemplateError> {
        let problems = api.parts.templates.problems(tenant, &entries).await?;
        Ok(entries.into_iter().zip(problems).map(|(entry, problem)| Self::new(api, entry, problem)).collect())
    }

    fn new(api: &Api, entry: Entry, problem: Option<String>) -> Self {
        let templates = &api.parts.templates;
        let is_saved = entry.origin == TemplateOrigin::Saved;
        let covers = is_saved.then(|| templates.built_in_origin(&entry.code)).flatten();
        let (version, active, etag) = (entry.version(), entry.is_active(), format!("\"{}\"", entry.last_change()));
        let history = entry.held.as_ref().filter(|_| is_saved).map(|held| &held.history);
        let (updated_at, updated_by) = match history {
            Some(history) => (Some(history.changed_at.to_string()), Some(history.changed_by.clone())),
            None => (None, None),
        };
        let summary = entry.summary;
        Self {
            kind: summary.as_ref().map(|summary| summary.kind),
            description: summary.as_ref().and_then(|summary| summary.description.clone()),
            category: summary.as_ref().and_then(|summary| summary.category.clone()),
            default_locale: summary.as_ref().map(|summary| summary.default_locale.clone()),
            locales: summary.as_ref().map(|summary| summary.locales.clone()).unwrap_or_default(),
            variants: summary.map(|summary| summary.variants).unwrap_or_default(),
            code: entry.code,
            origin: entry.origin.name(),
            covers: covers.map(TemplateOrigin::name),
            version,
            active,
            updated_at,
            updated_by,
            etag,
            problem,
        }
    }
}

/// One template with its source.
#[derive(Debug, Serialize)]
pub(super) struct WholeView<'a> {
    #[serde(flatten)]
    pub(super) template_of: TemplateView,
    /// The codes of those that include it.
    pub(super) used_by: Vec<Box<str>>,
    /// Which version `template` is.
    pub(super) shown_version: u32,
    /// Null: it cannot be read; `problem` says why.
    pub(super) template: Option<&'a TemplateSource>,
}

/// What a change came to.
#[derive(Debug, Serialize)]
pub(super) struct ChangedView {
    code: Box<str>,
    /// The version in force; null: the template is deleted.
    version: Option<u32>,
    active: bool,
    /// False: it was so already.
    changed: bool,
    etag: String,
    warnings: Vec<ProblemView>,
}

impl ChangedView {
    pub(super) fn new(code: &str, changed: &Changed) -> Self {
        let Changed { history, is_as_before, warnings, .. } = changed;
        Self {
            code: code.into(),
            version: history.current,
            active: history.is_active,
            changed: !is_as_before,
            etag: format!("\"{}\"", history.last_change()),
            warnings: ProblemView::all(warnings),
        }
    }
}

/// A version of a template.
#[derive(Debug, Serialize)]
pub(super) struct VersionView {
    pub(super) version: u32,
    at: String,
    by: Box<str>,
    comment: Option<Box<str>>,
    current: bool,
}

impl VersionView {
    pub(super) fn new(version: &TemplateVersion, history: &TemplateHistory) -> Self {
        Self {
            version: version.number,
            at: version.at.to_string(),
            by: version.by.clone(),
            comment: version.comment.clone(),
            current: history.current == Some(version.number),
        }
    }
}

/// Something that was done to a template.
#[derive(Debug, Serialize)]
pub(super) struct ChangeView {
    pub(super) number: u64,
    action: &'static str,
    version: Option<u32>,
    comment: Option<Box<str>>,
    by: Box<str>,
    at: String,
}

impl ChangeView {
    pub(super) fn new(change: TemplateChange) -> Self {
        let (action, version) = (change.action.name(), change.action.version());
        let comment = match change.action {
            TemplateAction::Saved { comment, .. } => comment,
            _ => None,
        };
        Self { number: change.number, action, version, comment, by: change.by, at: change.at.to_string() }
    }
}

/// What is wrong or odd, and where.
#[derive(Debug, Serialize)]
pub(in crate::api) struct ProblemView {
    pointer: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    detail: Box<str>,
}

impl ProblemView {
    pub(super) fn all(problems: &[TemplateProblem]) -> Vec<Self> {
        problems.iter().map(|problem| Self::new(problem, "")).collect()
    }

    /// `below`: the pointer to the template in the body of the request.
    pub(in crate::api) fn new(problem: &TemplateProblem, below: &str) -> Self {
        let TemplateProblem { pointer, part, locale, variant, line, column, detail } = problem.clone();
        let pointer = format!("{below}{pointer}").into();
        Self { pointer, part, locale, variant, line, column, detail }
    }
}
