//! What a message would be, and whether a template could be saved. Nothing is sent or stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use serde::Serialize;
use serde_json::Value;

use super::super::answer::json;
use super::code;
use super::said::{self, TEMPLATE};
use super::view::ProblemView;
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::problem::Problem;
use crate::api::profile::{Fields, Problems};
use crate::api::routes::Answer;
use crate::api::state::Api;
use crate::domain::{TemplateSource, Zone, canonical_locale};
use crate::templates::{Preview, PreviewParts, PreviewPush, PreviewWish, TemplateError};

#[derive(Debug, Serialize)]
struct RenderedView {
    code: Box<str>,
    /// Null: it is not saved. 0: it is built in.
    version: Option<u32>,
    /// The locale that the text is in.
    locale: Box<str>,
    /// `ltr` or `rtl`.
    direction: &'static str,
    parts: PartsView,
    sms: Option<SmsView>,
    warnings: Vec<ProblemView>,
}

#[derive(Debug, Serialize)]
struct PartsView {
    title: Option<String>,
    body: Option<String>,
    html: Option<String>,
    sms: Option<String>,
    push: Option<PushView>,
    voice: Option<String>,
}

#[derive(Debug, Serialize)]
struct PushView {
    title: Option<String>,
    body: Option<String>,
    data: BTreeMap<Box<str>, String>,
}

/// What the text message comes to.
#[derive(Debug, Serialize)]
struct SmsView {
    segments: u32,
    encoding: &'static str,
    characters: u32,
}

impl RenderedView {
    fn new(code: Box<str>, version: Option<u32>, preview: Preview) -> Self {
        let Preview { parts, locale, is_right_to_left, sms, warnings } = preview;
        let PreviewParts { title, body, html, sms: text, push, voice } = parts;
        let push = push.map(|PreviewPush { title, body, data }| PushView { title, body, data });
        Self {
            code,
            version,
            locale,
            direction: if is_right_to_left { "rtl" } else { "ltr" },
            parts: PartsView { title, body, html, sms: text, push, voice },
            sms: sms.map(|size| SmsView {
                segments: size.segments,
                encoding: size.encoding,
                characters: size.characters,
            }),
            warnings: ProblemView::all(&warnings),
        }
    }
}

/// For whom the preview is.
fn wish(fields: &mut Fields<'_>, problems: &mut Problems) -> PreviewWish {
    let data = match fields.value("data", problems) {
        Some(data @ Value::Object(_)) => Some(data),
        None | Some(Value::Null) => None,
        Some(_) => {
            problems.add(&fields.pointer("data"), "must be an object");
            None
        }
    };
    let locale = fields.text("locale", problems, |text| {
        canonical_locale(text).map(Box::from).ok_or("is no language tag (BCP 47), such as en or pt-BR")
    });
    let variant = fields.text("variant", problems, |text| Ok::<Box<str>, String>(text.into()));
    let zone = fields.text("timezone", problems, |text| {
        Zone::parse(text).ok_or("is no time zone of the IANA database, such as Europe/Berlin")
    });
    PreviewWish { data, locale: locale.flatten(), variant: variant.flatten(), zone: zone.flatten() }
}

/// `POST /v1/templates/{code}/render`.
pub(in crate::api) async fn render(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let code = code(path)?;
    let (_, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let (wish, version) =
        said::read(body.text()?, |fields, problems| (wish(fields, problems), said::version(fields, problems)))?;
    let templates = &api.parts.templates;
    let in_force = templates.entry(&caller.tenant, &code).ok_or_else(Problem::not_found)?.version();
    let source = templates.source(&caller.tenant, &code, version).await?;
    let preview = templates.preview(&caller.tenant, &source, wish).await?;
    json(&RenderedView::new(code, Some(version.unwrap_or(in_force)), preview))
}

/// `POST /v1/templates/render`: of a template that is not saved.
pub(in crate::api) async fn render_unsaved(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let (_, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let (raw, wish) = said::read(body.text()?, |fields, problems| (fields.take("template"), wish(fields, problems)))?;
    let source = said::template(raw)?;
    let preview = api.parts.templates.preview(&caller.tenant, &source, wish).await.map_err(below_template)?;
    json(&RenderedView::new(source.code.clone(), None, preview))
}

/// `POST /v1/templates/validate`: whether it could be saved now.
pub(in crate::api) async fn validate(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    #[derive(Serialize)]
    struct ValidityView {
        valid: bool,
        errors: Vec<ProblemView>,
        warnings: Vec<ProblemView>,
    }
    let (_, body) = body::read(&api, request, api.parts.http.max_body.as_usize()).await?;
    let raw = said::read(body.text()?, |fields, _| fields.take("template"))?;
    let source: Arc<TemplateSource> = said::template(raw)?;
    let (errors, warnings) = match api.parts.templates.validate(&caller.tenant, &source).await {
        Ok(warnings) => (Vec::new(), warnings),
        Err(TemplateError::Invalid(errors)) => (errors, Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let below = |problems: &[_]| problems.iter().map(|problem| ProblemView::new(problem, TEMPLATE)).collect();
    json(&ValidityView { valid: errors.is_empty(), errors: below(&errors), warnings: below(&warnings) })
}

/// Says of a problem of the template where it stands in the body.
pub(super) fn below_template(error: TemplateError) -> Problem {
    match error {
        TemplateError::Invalid(problems) => Problem::templates(&problems, TEMPLATE),
        error => error.into(),
    }
}
