//! A template as its author wrote it: what is saved, handed out and compiled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The longest code of a template: it stands in addresses, keys of rows and names of files.
const CODE_BYTES_MAX: usize = 100;

/// What [`is_template_code`] asks for, in words.
pub const TEMPLATE_CODE_RULE: &str =
    "must have 1 to 100 letters, digits, dots, dashes and underscores, and begin and end with a letter or a digit";

/// The name of the variant that is the template's own parts.
pub const CONTROL_VARIANT: &str = "control";

/// Whether a text can be the code of a template: letters, digits, dots, dashes and underscores, the first and the last a letter or
/// a digit. `.` and `..` are steps of a path, and would be lost from addresses.
pub fn is_template_code(code: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    code.len() <= CODE_BYTES_MAX
        && code.bytes().all(is_fit)
        && is_end(code.bytes().next())
        && is_end(code.bytes().last())
}

/// One template. In JSON and in TOML the fields have these names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateSource {
    /// Its name in requests: 1 to 100 letters, digits, dots, dashes and underscores.
    pub code: Box<str>,
    #[serde(default, skip_serializing_if = "TemplateKind::is_message")]
    pub kind: TemplateKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Box<str>>,
    /// Of requests that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Box<str>>,
    /// Whose parts are taken where those of a wanted locale are not there.
    #[serde(default = "default_locale")]
    pub default_locale: Box<str>,
    /// The most segments that its text message may have; `None`: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sms_segments_max: Option<u16>,
    /// What it is filled from. Empty: nothing is declared, and whatever the data has may be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<Variable>,
    /// By language tag, among them the default one.
    pub locales: BTreeMap<Box<str>, PartSources>,
    /// Who gets another text than the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<ExperimentSource>,
}

/// What a template is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TemplateKind {
    /// To be sent.
    #[default]
    Message,
    /// To be included by others: a frame, a footer.
    Partial,
}

/// A variable that a template uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    pub name: Box<str>,
    #[serde(rename = "type", default)]
    pub kind: VariableKind,
    /// Whether a request that has no value for it is refused.
    #[serde(default = "yes")]
    pub required: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Box<str>>,
    /// What the template is tried with, and what a preview shows.
    pub example: serde_json::Value,
}

/// What values a variable may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VariableKind {
    #[default]
    Any,
    /// A text.
    String,
    /// A number, or a text that is one: money is often written so.
    Number,
    Boolean,
    /// RFC 3339 with an offset, a date (`2026-11-22`), or seconds since 1970.
    Time,
    /// `http`, `https`, `mailto`, `tel` or an application's own scheme; never `javascript` or `data`.
    Url,
    List,
    Object,
}

/// The parts of a message, each a template over the data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartSources {
    /// One line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Box<str>>,
    /// Plain text; made of `html` where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Box<str>>,
    /// HTML, or MJML if it begins with `<mjml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<Box<str>>,
    /// A text message; `body` where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sms: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<PushSource>,
    /// What is spoken in a call; `sms` or `body` where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<Box<str>>,
}

/// A push message; its own title and body where they differ from those of the message.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushSource {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Box<str>>,
    /// Handed to the application, by name; each value is a template too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<Box<str>, Box<str>>,
}

/// Some users get another text, so that one can see which does better.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentSource {
    /// Users fall into groups by this name: another one shuffles them. The template's code where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// The weight of those who get nothing, beside the weights of the variants.
    #[serde(default)]
    pub hold_back: u32,
    /// At least one; the template's own parts have the name `control`.
    pub variants: Vec<VariantSource>,
}

/// One text of an experiment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantSource {
    /// 1 to 50 letters, digits, dashes and underscores; `control` has no parts of its own.
    pub name: Box<str>,
    /// Out of the sum of all weights; 0: nobody.
    pub weight: u32,
    /// By language tag, the parts that differ from the template's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub locales: BTreeMap<Box<str>, PartSources>,
}

impl TemplateSource {
    /// Every text that is a template, in no order.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let variants = self.experiment.iter().flat_map(|experiment| &experiment.variants);
        let of_variants = variants.flat_map(|variant| variant.locales.values());
        self.locales.values().chain(of_variants).flat_map(PartSources::texts)
    }
}

impl PartSources {
    fn texts(&self) -> impl Iterator<Item = &str> {
        let PartSources { title, body, html, sms, push, voice } = self;
        let of_push =
            push.iter().flat_map(|push| [&push.title, &push.body].into_iter().flatten().chain(push.data.values()));
        [title, body, html, sms, voice].into_iter().flatten().chain(of_push).map(|text| &**text)
    }

    /// Whether there is a part of this name.
    pub fn has(&self, part: &str) -> bool {
        match part {
            "title" => self.title.is_some(),
            "body" => self.body.is_some(),
            "html" => self.html.is_some(),
            "sms" => self.sms.is_some(),
            "voice" => self.voice.is_some(),
            "push.title" => self.push.as_ref().is_some_and(|push| push.title.is_some()),
            "push.body" => self.push.as_ref().is_some_and(|push| push.body.is_some()),
            "push.data" => self.push.as_ref().is_some_and(|push| !push.data.is_empty()),
            _ => false,
        }
    }
}

impl TemplateKind {
    pub fn is_message(&self) -> bool {
        *self == TemplateKind::Message
    }
}

fn default_locale() -> Box<str> {
    "en".into()
}

fn yes() -> bool {
    true
}

/// Whose: a template of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateKey {
    pub tenant: Box<str>,
    pub code: Box<str>,
}

/// A template as it is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct CurrentTemplate {
    pub source: TemplateSource,
    /// From 1 on, as saved; 0: it ships with the binary, or is a file of `templates.dir`.
    pub version: u32,
    /// Requests for one that is not are refused.
    pub is_active: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_begins_and_ends_with_a_letter_or_a_digit() {
        for (code, expected) in [
            ("a", true),
            ("a.b-c_D9", true),
            ("", false),
            (".", false),
            ("..", false),
            ("a.", false),
            ("_a", false),
            ("a b", false),
        ] {
            assert_eq!(is_template_code(code), expected, "{code}");
        }
        assert!(is_template_code(&"a".repeat(100)) && !is_template_code(&"a".repeat(101)));
    }
}
