//! Errors as RFC 9457 has them: `application/problem+json` with `type`, `title`, `status`, `detail` and, for a bad body,
//! `errors` with a pointer to each field.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::operations::OperationError;
use super::resources::templates::ProblemView;
use crate::audience::DefinitionError;
use crate::intake::{AcceptError, FieldProblem};
use crate::store::StoreError;
use crate::templates::{TemplateError, TemplateProblem};
use crate::topics::TopicError;
use crate::users::DirectoryError;

/// The kinds of problems. Each has a paragraph on the page at `/docs`, to which its `type` points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Conflict,
    TooLarge,
    MediaType,
    /// What is well formed and cannot be used: an event that is not declared, a campaign for nobody.
    Unusable,
    TooMany,
    Internal,
    Unavailable,
    /// What is asked for does not go with the state of a thing.
    State,
    /// Another state than the one the caller has seen.
    Precondition,
}

impl Kind {
    #[cfg(test)]
    pub(super) const ALL: [Kind; 15] = [
        Kind::BadRequest,
        Kind::Unauthorized,
        Kind::Forbidden,
        Kind::NotFound,
        Kind::MethodNotAllowed,
        Kind::Timeout,
        Kind::Conflict,
        Kind::TooLarge,
        Kind::MediaType,
        Kind::Unusable,
        Kind::TooMany,
        Kind::Internal,
        Kind::Unavailable,
        Kind::State,
        Kind::Precondition,
    ];

    /// Status, the last part of the type, and the title.
    fn facts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Kind::BadRequest => (StatusCode::BAD_REQUEST, "/docs#bad-request", "The request is not valid"),
            Kind::Unauthorized => {
                (StatusCode::UNAUTHORIZED, "/docs#unauthorized", "A valid key or signature is needed")
            }
            Kind::Forbidden => (StatusCode::FORBIDDEN, "/docs#forbidden", "The key may not do this"),
            Kind::NotFound => (StatusCode::NOT_FOUND, "/docs#not-found", "There is no such thing"),
            Kind::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "/docs#method-not-allowed", "This address has no such method")
            }
            Kind::Timeout => (StatusCode::REQUEST_TIMEOUT, "/docs#timeout", "The request came too slowly"),
            Kind::Conflict => (StatusCode::CONFLICT, "/docs#conflict", "The retry key was used with another body"),
            Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "/docs#too-large", "The body is too large"),
            Kind::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "/docs#media-type", "The body must be JSON"),
            Kind::Unusable => (StatusCode::UNPROCESSABLE_ENTITY, "/docs#unusable", "What it says cannot be used"),
            Kind::TooMany => (StatusCode::TOO_MANY_REQUESTS, "/docs#too-many", "Too many requests"),
            Kind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "/docs#internal", "Something failed here"),
            Kind::State => (StatusCode::CONFLICT, "/docs#state", "Not possible in the state that it is in"),
            Kind::Precondition => {
                (StatusCode::PRECONDITION_FAILED, "/docs#precondition-failed", "It was changed meanwhile")
            }
            Kind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "/docs#unavailable", "Not possible at the moment"),
        }
    }

    #[cfg(test)]
    pub(super) fn anchor(self) -> &'static str {
        self.facts().1.trim_start_matches("/docs#")
    }
}

/// Why a request was not answered as wished.
#[derive(Debug)]
pub(super) struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    errors: Vec<FieldProblem>,
    /// In the place of `errors`: of a template.
    template_errors: Vec<ProblemView>,
    retry_after: Option<Duration>,
}

#[derive(Serialize)]
struct Wire<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Errors::is_empty")]
    errors: Errors<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Errors<'a> {
    Fields(Vec<FieldView<'a>>),
    Template(&'a [ProblemView]),
}

impl Errors<'_> {
    fn is_empty(&self) -> bool {
        match self {
            Errors::Fields(fields) => fields.is_empty(),
            Errors::Template(problems) => problems.is_empty(),
        }
    }
}

/// What is wrong with one field.
#[derive(Debug, Serialize)]
pub(super) struct FieldView<'a> {
    pointer: &'a str,
    detail: &'a str,
}

impl<'a> FieldView<'a> {
    pub(super) fn all(problems: &'a [FieldProblem]) -> Vec<Self> {
        problems.iter().map(|problem| Self { pointer: &problem.pointer, detail: &problem.detail }).collect()
    }
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), template_errors: Vec::new(), retry_after: None }
    }

    /// A body with fields that are wrong.
    pub(super) fn fields(errors: Vec<FieldProblem>) -> Self {
        let detail = match &errors[..] {
            [only] if only.pointer.is_empty() => format!("the body {}", only.detail),
            [only] => format!("{}: {}", only.pointer, only.detail),
            several => format!("{} fields are wrong; see `errors`", several.len()),
        };
        Self { errors, ..Self::new(Kind::BadRequest, detail) }
    }

    /// What is well formed and cannot be used: an event that is not as its type declares it, a campaign for nobody.
    pub(super) fn unusable(errors: Vec<FieldProblem>) -> Self {
        Self { kind: Kind::Unusable, ..Self::fields(errors) }
    }

    /// A template that is not valid; it stands at `below` in the body.
    pub(super) fn templates(problems: &[TemplateProblem], below: &str) -> Self {
        let detail = match problems {
            [only] => match (&*only.pointer, below) {
                ("", "") => format!("the template {}", only.detail),
                (pointer, below) => format!("{below}{pointer}: {}", only.detail),
            },
            several => format!("{} things are wrong in the template; see `errors`", several.len()),
        };
        let template_errors = problems.iter().map(|problem| ProblemView::new(problem, below)).collect();
        Self { template_errors, ..Self::new(Kind::BadRequest, detail) }
    }

    /// What is wrong with which field; of a problem with the whole, that.
    pub(super) fn into_fields(self) -> Vec<FieldProblem> {
        match self.errors.is_empty() {
            true => vec![FieldProblem::new("", self.detail.into_owned())],
            false => self.errors,
        }
    }

    pub(super) fn not_found() -> Self {
        Self::new(Kind::NotFound, "there is nothing here under this id for your key")
    }

    pub(super) fn unavailable(detail: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        Self::new(Kind::Unavailable, detail).retry_after(retry_after)
    }

    pub(super) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// The problem as the JSON object, for an item of a batch.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (status, kind, title) = self.kind.facts();
        let errors = match &self.template_errors[..] {
            [] => Errors::Fields(FieldView::all(&self.errors)),
            problems => Errors::Template(problems),
        };
        let wire = Wire { r#type: kind, title, status: status.as_u16(), detail: &self.detail, errors };
        // Texts and numbers can always be written into memory.
        let _ = serde_json::to_writer(out, &wire);
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(256);
        self.write(&mut body);
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.kind.facts().0;
        let mut set = |name: HeaderName, value: HeaderValue| response.headers_mut().insert(name, value);
        set(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.kind == Kind::Unauthorized {
            set(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after {
            // Whole seconds, and never 0, which would mean at once.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            set(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

impl From<AcceptError> for Problem {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Conflict { .. } => {
                Self::new(Kind::Conflict, "this `Idempotency-Key` was used before with another body: use a new key")
            }
            AcceptError::Unavailable { reason, retry_after } => {
                // It names paths, and so is for the log; `/readyz` says it as well, and once is enough at other levels.
                tracing::debug!(reason, "a request was not accepted");
                Self::unavailable("nothing can be accepted at the moment: try again with the same body", retry_after)
            }
        }
    }
}

impl From<OperationError> for Problem {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Store(error) => error.into(),
            OperationError::Elsewhere(reason) => {
                tracing::warn!(reason, "a request could not be answered");
                let detail =
                    "the node that works on this does not answer, or another one is taking its work over: try again";
                Self::unavailable(detail, Duration::from_secs(5))
            }
        }
    }
}

impl From<DirectoryError> for Problem {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Store(error) => error.into(),
            DirectoryError::Announcement(_) | DirectoryError::TooLate => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a change could not be made");
                Self::unavailable("the change cannot be made at the moment: make it again", Duration::from_secs(5))
            }
        }
    }
}

impl From<TemplateError> for Problem {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::Store(error) => error.into(),
            TemplateError::NotFound => Self::not_found(),
            TemplateError::OtherState { last_change } => {
                let detail = format!("the template is in another state, with the tag \"{last_change}\": read it again");
                Self::new(Kind::Precondition, detail)
            }
            TemplateError::Invalid(problems) => Self::templates(&problems, ""),
            TemplateError::Busy | TemplateError::Overloaded | TemplateError::Behind(_) => {
                Self::unavailable(error.to_string(), Duration::from_secs(1))
            }
            TemplateError::Exists
            | TemplateError::Uncovers(_)
            | TemplateError::BuiltIn
            | TemplateError::InUse { .. }
            | TemplateError::IsCurrent
            | TemplateError::NoVariant => Self::new(Kind::State, error.to_string()),
            TemplateError::Unreadable(_) => Self::new(Kind::Internal, error.to_string()),
            TemplateError::Panicked(_) => {
                tracing::error!(%error, "a template could not be judged");
                Self::new(Kind::Internal, "the template could not be judged; the reason stands in the log")
            }
        }
    }
}

impl From<DefinitionError> for Problem {
    fn from(error: DefinitionError) -> Self {
        match error {
            DefinitionError::Invalid(problems) => Self::fields(problems),
            DefinitionError::Unknown => Self::not_found(),
            DefinitionError::Changed(version) => {
                let detail = format!("it is in another state, with the tag \"{version}\": read it again");
                Self::new(Kind::Precondition, detail)
            }
            DefinitionError::Needed(_) | DefinitionError::TooMany(_) => Self::new(Kind::State, error.to_string()),
            DefinitionError::Store(error) => error.into(),
        }
    }
}

impl From<TopicError> for Problem {
    fn from(error: TopicError) -> Self {
        match error {
            TopicError::Invalid { pointer, detail } => {
                Self::fields(vec![FieldProblem::new(String::from(pointer), &*detail)])
            }
            TopicError::NoTopic => Self::new(Kind::NotFound, error.to_string()),
            TopicError::Nothing => Self::not_found(),
            TopicError::Conflict => Self::new(Kind::Conflict, error.to_string()),
            TopicError::Exists | TopicError::Full(_) => Self::new(Kind::State, error.to_string()),
            TopicError::Busy(_) => Self::unavailable(error.to_string(), Duration::from_secs(1)),
            TopicError::Store(reason) => {
                tracing::warn!(reason = &*reason, "a topic could not do what was asked");
                Self::unavailable("the store cannot be used at the moment", Duration::from_secs(5))
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full { .. } | StoreError::Failed(_) | StoreError::Unusable(_) => {
                tracing::warn!(%error, "a request could not be answered");
                Self::unavailable("the store cannot be used at the moment", Duration::from_secs(5))
            }
            StoreError::Unreadable(_) => {
                tracing::error!(%error, "a request could not be answered");
                Self::new(Kind::Internal, "a stored row cannot be read")
            }
        }
    }
}
