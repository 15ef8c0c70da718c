//! The helpers that a template may call: those of handlebars that fit a message, and ours for texts, numbers and times.

mod budget;
mod logic;
mod numbers;
mod sections;
mod texts;
mod times;

use std::cmp::Ordering;

use handlebars::{
    Context, Handlebars, Helper, HelperDef, PathAndJson, RenderContext, RenderError, RenderErrorReason, ScopedJson,
};
use serde_json::Value;

pub(super) use budget::{ENTER, LEAVE, TURN, TooDeep, VALUE, paid, with_budget};

use super::error::Part;
use super::locale::Locale;
use super::notation::{INVERSE, SECTION};
use super::output::written;
use crate::domain::Zone;
use budget::{spend, spend_on};

/// The names a template may call. `log` is left out: it would write data into the log.
pub(super) const NAMES: [&str; 32] = [
    "if",
    "unless",
    "each",
    "with",
    "lookup",
    "eq",
    "ne",
    "gt",
    "gte",
    "lt",
    "lte",
    "and",
    "or",
    "not",
    "len",
    "upper",
    "lower",
    "default",
    "capitalize",
    "truncate",
    "concat",
    "url_encode",
    "format_date",
    "format_time",
    "format_datetime",
    "format_number",
    "format_percent",
    "format_currency",
    "format_list",
    "plural",
    "message_locale",
    "message_direction",
];

/// Those that need nothing but their values.
const PURE: [(&str, Function); 9] = [
    ("upper", texts::upper),
    ("lower", texts::lower),
    ("capitalize", texts::capitalize),
    ("truncate", texts::truncate),
    ("concat", texts::concat),
    ("url_encode", texts::url_encode),
    ("default", logic::default),
    ("lookup", logic::lookup),
    ("len", logic::len),
];

/// Those that write in a language or a zone.
const LOCALIZED: [(&str, Function); 10] = [
    ("format_date", times::format_date),
    ("format_time", times::format_time),
    ("format_datetime", times::format_datetime),
    ("format_number", numbers::format_number),
    ("format_percent", numbers::format_percent),
    ("format_currency", numbers::format_currency),
    ("format_list", numbers::format_list),
    ("plural", numbers::plural),
    ("message_locale", texts::message_locale),
    ("message_direction", texts::message_direction),
];

/// What formatting by CLDR costs, in steps: some 5 µs.
const FORMAT_STEPS: usize = 50;

type Made = Result<Value, RenderError>;
type Function = fn(&Args<'_, '_>) -> Made;

/// In what a helper writes.
#[derive(Clone, Copy)]
struct Setting<'s> {
    locale: &'s Locale,
    zone: &'s Zone,
    part: Part,
}

/// Registers our own helpers, some of them in the place of handlebars' own: these name a missing variable and spend steps.
pub(super) fn register(registry: &mut Handlebars<'static>) {
    registry.unregister_helper("log");
    registry.unregister_helper("raw");
    for (name, function) in PURE {
        registry.register_helper(name, Box::new(Pure { name, function }));
    }
    registry.register_helper("eq", Box::new(logic::Comparison { name: "eq", compare: logic::are_equal }));
    registry.register_helper(
        "ne",
        Box::new(logic::Comparison { name: "ne", compare: |one, other| !logic::are_equal(one, other) }),
    );
    let orders: [(&'static str, logic::Compare); 4] = [
        ("gt", |one, other| logic::order(one, other).is_some_and(Ordering::is_gt)),
        ("gte", |one, other| logic::order(one, other).is_some_and(Ordering::is_ge)),
        ("lt", |one, other| logic::order(one, other).is_some_and(Ordering::is_lt)),
        ("lte", |one, other| logic::order(one, other).is_some_and(Ordering::is_le)),
    ];
    for (name, compare) in orders {
        registry.register_helper(name, Box::new(logic::Comparison { name, compare }));
    }
    registry.register_helper(SECTION, Box::new(sections::Section { is_inverse: false }));
    registry.register_helper(INVERSE, Box::new(sections::Section { is_inverse: true }));
    budget::register(registry);
}

/// What may be given to a helper by name, and how many values it takes at most; `None`: any.
pub(super) fn takes(name: &str) -> Option<(&'static [&'static str], usize)> {
    Some(match name {
        "format_date" | "format_time" | "format_datetime" => (&["zone"], 2),
        "format_number" => (&["decimals"], 1),
        "format_percent" => (&["decimals"], 1),
        "format_currency" | "default" => (&[], 2),
        "format_list" | "upper" | "lower" | "capitalize" | "url_encode" | "len" => (&[], 1),
        "plural" => (&["none", "zero", "one", "two", "few", "many", "other"], 1),
        "truncate" => (&[], 3),
        "message_locale" | "message_direction" => (&[], 0),
        _ => return None,
    })
}

/// Whether a helper writes in a language or a zone: it is registered for a render, by [`localize`].
pub(super) fn is_localized(name: &str) -> bool {
    LOCALIZED.iter().any(|(known, _)| *known == name)
}

/// Makes the helpers known that write in the scene's language and zone.
pub(super) fn localize<'rc>(
    render_context: &mut RenderContext<'_, 'rc>,
    locale: &'rc Locale,
    zone: &'rc Zone,
    part: Part,
) {
    let setting = Setting { locale, zone, part };
    for (name, function) in LOCALIZED {
        render_context.register_local_helper(name, Box::new(Localized { name, function, setting }));
    }
}

struct Pure {
    name: &'static str,
    function: Function,
}

struct Localized<'s> {
    name: &'static str,
    function: Function,
    setting: Setting<'s>,
}

impl HelperDef for Pure {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        (self.function)(&Args::new(self.name, helper, None)).map(ScopedJson::Derived)
    }
}

impl HelperDef for Localized<'_> {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        spend(FORMAT_STEPS)?;
        (self.function)(&Args::new(self.name, helper, Some(self.setting))).map(ScopedJson::Derived)
    }
}

/// What a helper is called with.
struct Args<'a, 'rc> {
    name: &'static str,
    helper: &'a Helper<'rc>,
    setting: Option<Setting<'a>>,
}

impl<'a, 'rc> Args<'a, 'rc> {
    fn new(name: &'static str, helper: &'a Helper<'rc>, setting: Option<Setting<'a>>) -> Self {
        Self { name, helper, setting }
    }

    fn count(&self) -> usize {
        self.helper.params().len()
    }

    /// A value that the helper cannot do without: missing is an error that names the variable.
    fn value(&self, index: usize) -> Result<&'a Value, RenderError> {
        let value = self.borrowed(index)?;
        spend_on(value)?;
        Ok(value)
    }

    /// The same, of which the helper looks at a part only.
    fn borrowed(&self, index: usize) -> Result<&'a Value, RenderError> {
        let given = self.helper.param(index).ok_or(RenderErrorReason::ParamNotFoundForIndex(self.name, index))?;
        if given.is_value_missing() { Err(RenderError::strict_error(given.relative_path())) } else { Ok(given.value()) }
    }

    /// A value that may be missing.
    fn optional(&self, index: usize) -> Result<Option<&'a Value>, RenderError> {
        let value = self.helper.param(index).filter(|given| !given.is_value_missing()).map(PathAndJson::value);
        value.map_or(Ok(()), spend_on)?;
        Ok(value)
    }

    /// A value as it is written.
    fn text(&self, index: usize) -> Result<String, RenderError> {
        Ok(text(self.value(index)?))
    }

    /// A value that was given by name; `None`: it was not, or is missing or null.
    fn named(&self, name: &str) -> Option<&'a Value> {
        self.helper.hash_get(name).map(PathAndJson::value).filter(|value| !value.is_null())
    }

    fn setting(&self) -> Result<Setting<'a>, RenderError> {
        self.setting.ok_or_else(|| refusal(self.name, "needs a language to write in"))
    }

    /// An error that says what the helper was to be given; never what it was given.
    fn refuse<T>(&self, wanted: &str) -> Result<T, RenderError> {
        Err(refusal(self.name, wanted))
    }

    /// A text that ICU made. In a text message a space of another alphabet would halve the characters that fit.
    fn formatted(&self, text: Option<String>) -> Result<String, RenderError> {
        let Some(text) = text else { return self.refuse("cannot write this in the language of the message") };
        if self.setting()?.part == Part::Sms {
            return Ok(text.replace(['\u{a0}', '\u{202f}'], " ").replace('\u{2212}', "-"));
        }
        Ok(text)
    }
}

fn text(value: &Value) -> String {
    written(value).into_owned()
}

/// A helper was given what it cannot use.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` {wanted}")]
pub(super) struct Refusal {
    name: &'static str,
    wanted: Box<str>,
}

fn refusal(name: &'static str, wanted: &str) -> RenderError {
    RenderErrorReason::NestedError(Box::new(Refusal { name, wanted: wanted.into() })).into()
}
