//! From the JSON of a request to a [`NotificationRequest`]: everything that can be wrong is found here, before anything
//! is accepted, and said with a JSON pointer (RFC 6901) to the field.
//!
//! The usual case is one typed pass over the text. Only when that fails is the text read again in a slower way, to say
//! what is wrong with which field ([`diagnose`]).

pub mod addresses;
mod aggregate;
mod attachments;
mod diagnose;
mod json;
mod shared;
mod times;
mod wire;
pub mod limits;

use std::borrow::Cow;

use async_trait::async_trait;

pub use self::diagnose::{fields as json_fields, value as json_value};
pub use self::shared::{delivery_time, json_fields_once, json_object};
pub use self::wire::Object as JsonObject;
use self::wire::{Object, WireContent, WireRequest, WireTo};
use crate::config::nearest;
use crate::domain::{
    Categories, Category, Content, Idempotency, NotificationRequest, Recipient, Source, TEMPLATE_CODE_RULE, Timestamp,
    canonical_locale, cut, is_template_code,
};

/// Something wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// A JSON pointer into the body; empty for the body itself.
    pub pointer: Cow<'static, str>,
    /// What is wrong and what would be right, for people.
    pub detail: String,
}

impl FieldProblem {
    pub fn new(pointer: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }

    /// The same of a value that stands below `at`, a pointer.
    pub fn below(self, at: &str) -> Self {
        Self { pointer: format!("{at}{}", self.pointer).into(), detail: self.detail }
    }

    /// Of a field by its name, whatever somebody put there as one.
    pub fn of_field(name: &str, detail: impl Into<String>) -> Self {
        Self::new(format!("/{}", diagnose::escaped(name)), detail)
    }
}

/// Whether a webhook's address may be sent to: resolved, and no private address unless that is allowed.
#[async_trait]
pub trait EndpointCheck: Send + Sync + 'static {
    /// The reason in words if not.
    async fn check(&self, url: &str) -> Result<(), String>;
}

/// Whether the content can be rendered: the template exists, and every variable it names is in the data.
pub trait ContentCheck: Send + Sync + 'static {
    /// The category of a template, for requests that name none; `None`: it has none, or there is no such template.
    fn category(&self, tenant: &str, code: &str) -> Option<Box<str>> {
        let _ = (tenant, code);
        None
    }

    /// The categories that there are, for those who judge what will be requested one day; `None`: not known here.
    fn categories(&self) -> Option<&Categories> {
        None
    }

    fn check(&self, request: &NotificationRequest) -> Result<(), FieldProblem>;
}

/// Every content can be rendered.
impl ContentCheck for () {
    fn check(&self, _: &NotificationRequest) -> Result<(), FieldProblem> {
        Ok(())
    }
}

/// What a request has besides its body.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    pub tenant: &'a str,
    pub source: Source,
    pub idempotency: Option<Idempotency>,
    pub now: Timestamp,
    /// Those that there are.
    pub categories: &'a Categories,
    pub contents: &'a dyn ContentCheck,
}

/// The `defaults` of a batch: fields that stand in where an item has none. A field is replaced as a whole; an item's
/// `content` also stands in for a default `template`, and one time for the other.
#[derive(Debug, Default)]
pub struct Defaults<'a>(WireRequest<'a>);

impl<'a> Defaults<'a> {
    /// Reads them; their values are checked with each item.
    pub fn read(text: &'a str) -> Result<Self, Vec<FieldProblem>> {
        serde_json::from_str(text).map(|Object(wire)| Self(wire)).map_err(|error| diagnose::request(text, &error))
    }
}

/// Reads one request; on failure everything that is wrong with it.
pub fn read_request(text: &str, envelope: &Envelope<'_>) -> Result<NotificationRequest, Vec<FieldProblem>> {
    let Object(wire) = serde_json::from_str(text).map_err(|error| diagnose::request(text, &error))?;
    checked(wire, envelope)
}

/// Checks a request that somebody else encoded as if it had come as JSON.
pub(super) fn check_decoded(
    request: &NotificationRequest,
    envelope: &Envelope<'_>,
) -> Result<NotificationRequest, Vec<FieldProblem>> {
    let wire = WireRequest::of(request).map_err(|error| {
        vec![FieldProblem::new("", format!("`data` or `metadata` is no JSON: {}", json::plain(&error)))]
    })?;
    checked(wire, envelope)
}

/// Reads one item of a batch.
pub fn read_item(
    text: &str,
    defaults: Option<&Defaults<'_>>,
    envelope: &Envelope<'_>,
) -> Result<NotificationRequest, Vec<FieldProblem>> {
    let Object(wire): Object<WireRequest<'_>> =
        serde_json::from_str(text).map_err(|error| diagnose::request(text, &error))?;
    match defaults {
        Some(defaults) => checked(wire.or(&defaults.0), envelope),
        None => checked(wire, envelope),
    }
}

/// The checks of a body that is well formed.
fn checked(wire: WireRequest<'_>, envelope: &Envelope<'_>) -> Result<NotificationRequest, Vec<FieldProblem>> {
    let mut problems = Problems::default();
    let local_time = times::local_time(&wire, &mut problems);
    let to = recipient(wire.to.unwrap_or_default().0, &mut problems);
    if wire.user_id.is_none() && to == Recipient::default() {
        problems.add("/to", "`user_id` or an address in `to` is required");
    }
    if let Some(user_id) = &wire.user_id {
        problems.line("/user_id", user_id, limits::USER_ID_BYTES_MAX);
    }
    let aggregate = aggregate::read(wire.aggregate, &mut problems);
    let category_name = wire.category.or_else(|| template_category(wire.template.as_deref(), envelope));
    let category = category(category_name.as_deref(), envelope.categories, &mut problems);
    let locale = wire.locale.and_then(|tag| locale(&tag, &mut problems));
    if let Some(key) = &wire.dedup_key {
        problems.line("/dedup_key", key, limits::DEDUP_KEY_BYTES_MAX);
    }
    if let Some(seconds) = wire.dedup_window_seconds
        && !(1..=limits::DEDUP_WINDOW_SECONDS_MAX).contains(&seconds)
    {
        let detail = format!("must be 1 to {} seconds", limits::DEDUP_WINDOW_SECONDS_MAX);
        problems.add("/dedup_window_seconds", detail);
    }
    let channels: Vec<_> = wire.channels.unwrap_or_default().into_iter().map(|channel| channel.0).collect();
    if channels.len() > limits::CHANNELS_MAX {
        problems.add("/channels", format!("must have at most {} entries", limits::CHANNELS_MAX));
    } else if let Some(index) = (1..channels.len()).find(|index| channels[..*index].contains(&channels[*index])) {
        problems.add(format!("/channels/{index}"), format!("`{}` is there twice", channels[index]));
    }
    let attachments = attachments::read(wire.attachments.unwrap_or_default(), &mut problems);
    if !attachments.is_empty() && (aggregate.is_some() || category.is_digest) {
        problems.add("/attachments", attachments::NOT_MERGED);
    }
    if let Some(key) = &wire.collapse_key {
        problems.line("/collapse_key", key, limits::COLLAPSE_KEY_BYTES_MAX);
    }
    let content = content(wire.template, wire.content, &mut problems);
    let deliver_at = times::deliver_at(wire.deliver_at, wire.delay_seconds, envelope.now, &mut problems);
    times::expiry(wire.expires_at.map(|at| at.0), deliver_at, envelope.now, &mut problems);
    let data = json::object("/data", wire.data, &mut problems);
    let metadata = json::object("/metadata", wire.metadata, &mut problems);
    match content {
        Some(content) if problems.0.is_empty() => Ok(NotificationRequest {
            campaign: None,
            tenant: envelope.tenant.into(),
            user_id: wire.user_id,
            to,
            content,
            data,
            category: category_name,
            locale,
            priority: wire.priority.map_or(category.priority, |priority| priority.0),
            channels,
            routing: wire.routing.map(|routing| routing.0).unwrap_or_default(),
            deliver_at,
            local_time,
            expires_at: wire.expires_at.map(|at| at.0),
            dedup_key: wire.dedup_key,
            dedup_window_seconds: wire.dedup_window_seconds.and_then(|seconds| u32::try_from(seconds).ok()),
            aggregate: aggregate.or_else(|| category.is_digest.then(aggregate::of_digest)),
            attachments,
            collapse_key: wire.collapse_key,
            idempotency: envelope.idempotency,
            metadata,
            source: envelope.source,
            accepted_at: envelope.now,
        }),
        _ => Err(problems.0),
    }
}

/// What the template says where the request says nothing; a category that this configuration has not counts as nothing.
fn template_category(code: Option<&str>, envelope: &Envelope<'_>) -> Option<Box<str>> {
    let name = envelope.contents.category(envelope.tenant, code?)?;
    envelope.categories.get(&name).map(|_| name)
}

fn locale(tag: &str, problems: &mut Problems) -> Option<Box<str>> {
    let locale = canonical_locale(tag);
    if locale.is_none() {
        problems.add("/locale", "is no language tag: write it as en, pt-BR or zh-Hans");
    }
    locale.map(Into::into)
}

/// The category's rules; where it is wrong, those of the default one together with a problem.
fn category<'a>(name: Option<&str>, categories: &'a Categories, problems: &mut Problems) -> &'a Category {
    let Some(name) = name else { return categories.of(None) };
    categories.get(name).unwrap_or_else(|| {
        let names = categories.names();
        let shown = cut(name, limits::CATEGORY_BYTES_MAX);
        let hint = nearest(shown, &names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        problems.add("/category", format!("`{shown}` is no category: there are {}{hint}", names.join(", ")));
        categories.of(None)
    })
}

fn recipient(to: WireTo, problems: &mut Problems) -> Recipient {
    if let Some(email) = &to.email {
        problems.check("/to/email", addresses::email(email));
    }
    if let Some(phone) = &to.phone {
        problems.check("/to/phone", addresses::phone(phone));
    }
    if let Some(token) = &to.push_token {
        problems.check("/to/push_token", addresses::push_token(token));
    }
    if let Some(url) = &to.url {
        problems.check("/to/url", addresses::url(url));
    }
    if let Some(chat) = &to.chat {
        problems.line("/to/chat", chat, limits::CHAT_BYTES_MAX);
    }
    Recipient { email: to.email, phone: to.phone, push_token: to.push_token, url: to.url, chat: to.chat }
}

/// `None` only together with a problem.
fn content(
    template: Option<Box<str>>,
    content: Option<Object<WireContent>>,
    problems: &mut Problems,
) -> Option<Content> {
    match (template, content) {
        (Some(_), Some(_)) => {
            problems.add("/content", "`template` and `content` exclude each other: give one of them");
            None
        }
        (None, None) => {
            problems.add("/template", "`template` or `content` is required");
            None
        }
        (Some(code), None) => {
            if !is_template_code(&code) {
                problems.add("/template", TEMPLATE_CODE_RULE);
            }
            Some(Content::Template { code })
        }
        (None, Some(Object(WireContent { title, body, html, sms }))) => {
            if let Some(detail) = not_one_line(&title) {
                problems.add("/content/title", detail);
            }
            problems.bounded("/content/title", &title, limits::TITLE_BYTES_MAX);
            problems.bounded("/content/body", &body, limits::PART_BYTES_MAX);
            problems.bounded("/content/html", html.as_deref().unwrap_or_default(), limits::PART_BYTES_MAX);
            problems.bounded("/content/sms", sms.as_deref().unwrap_or_default(), limits::SMS_BYTES_MAX);
            if body.is_empty() {
                problems.add("/content/body", "must not be empty");
            }
            Some(Content::Inline { title, body, html, sms })
        }
    }
}

/// What keeps a text from standing in one line of a header: line breaks, and other characters that are not seen.
fn not_one_line(text: &str) -> Option<&'static str> {
    // Printable ASCII is all but always what comes, and needs no decoding.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    let hidden = |letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}');
    text.chars().any(hidden).then_some("must not contain line breaks or other control characters")
}

/// What was found so far.
#[derive(Debug, Default)]
struct Problems(Vec<FieldProblem>);

impl Problems {
    fn add(&mut self, pointer: impl Into<Cow<'static, str>>, detail: impl Into<String>) {
        self.0.push(FieldProblem::new(pointer, detail));
    }

    fn check(&mut self, pointer: impl Into<Cow<'static, str>>, outcome: Result<(), &'static str>) {
        if let Err(detail) = outcome {
            self.add(pointer, detail);
        }
    }

    fn bounded(&mut self, pointer: impl Into<Cow<'static, str>>, text: &str, bytes_max: usize) {
        if text.len() > bytes_max {
            self.add(pointer, format!("is too long: {} bytes, at most {bytes_max} are taken", text.len()));
        }
    }

    /// A name: one line, not empty, bounded.
    fn line(&mut self, pointer: impl Into<Cow<'static, str>>, text: &str, bytes_max: usize) {
        let pointer = pointer.into();
        if text.is_empty() {
            self.add(pointer.clone(), "must not be empty");
        }
        self.bounded(pointer.clone(), text, bytes_max);
        if let Some(detail) = not_one_line(text) {
            self.add(pointer, detail);
        }
    }
}

#[cfg(test)]
mod tests;
