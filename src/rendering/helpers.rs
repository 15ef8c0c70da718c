//! The helpers that a template may call: those of handlebars that fit a message, and a few of our own.

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, PathAndJson, RenderContext, RenderError,
    RenderErrorReason, Renderable, ScopedJson,
};
use serde_json::Value;

/// The names a template may call. `log` is left out: it would write data into the log.
pub(super) const NAMES: [&str; 18] = [
    "if", "unless", "each", "with", "lookup", "eq", "ne", "gt", "gte", "lt", "lte", "and", "or", "not", "len", "upper",
    "lower", "default",
];

/// The name under which a loop's turn is counted. No template can call it: it is not a word of the language.
pub(super) const TURN: &str = "a turn";

/// Registers our own helpers, two of them in the place of handlebars' own, which do not name a missing variable.
pub(super) fn register(registry: &mut Handlebars<'static>) {
    registry.unregister_helper("log");
    registry.unregister_helper("raw");
    registry.register_helper("upper", Box::new(Letters { name: "upper", change: |text| text.to_uppercase() }));
    registry.register_helper("lower", Box::new(Letters { name: "lower", change: |text| text.to_lowercase() }));
    registry.register_helper("default", Box::new(DefaultValue));
    registry.register_helper("eq", Box::new(Comparison { name: "eq", compare: |one, other| one == other }));
    registry.register_helper("ne", Box::new(Comparison { name: "ne", compare: |one, other| one != other }));
    registry.register_helper(TURN, Box::new(count_turn));
}

/// `{{upper name}}`, `{{lower name}}`.
struct Letters {
    name: &'static str,
    change: fn(&str) -> String,
}

impl HelperDef for Letters {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let text = match present(helper, self.name, 0)? {
            Value::String(text) => (self.change)(text),
            other => (self.change)(&handlebars::JsonRender::render(other)),
        };
        Ok(ScopedJson::Derived(Value::String(text)))
    }
}

/// `{{default name "friend"}}`: the second value where the first is missing, null or an empty text.
struct DefaultValue;

impl HelperDef for DefaultValue {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let first = helper.param(0).map(PathAndJson::value);
        let value = match first {
            Some(Value::Null) | None => present(helper, "default", 1)?,
            Some(Value::String(text)) if text.is_empty() => present(helper, "default", 1)?,
            Some(value) => value,
        };
        Ok(ScopedJson::Derived(value.clone()))
    }
}

/// `{{#if (eq a b)}}`, or `{{#eq a b}}` as a block.
struct Comparison {
    name: &'static str,
    compare: fn(&Value, &Value) -> bool,
}

impl Comparison {
    fn holds(&self, helper: &Helper<'_>) -> Result<bool, RenderError> {
        Ok((self.compare)(present(helper, self.name, 0)?, present(helper, self.name, 1)?))
    }
}

impl HelperDef for Comparison {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        Ok(ScopedJson::Derived(Value::Bool(self.holds(helper)?)))
    }

    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render_context: &mut RenderContext<'reg, 'rc>,
        output: &mut dyn Output,
    ) -> HelperResult {
        let holds = self.holds(helper)?;
        if !helper.is_block() {
            return Ok(output.write(if holds { "true" } else { "false" })?);
        }
        let branch = if holds { helper.template() } else { helper.inverse() };
        branch.map_or(Ok(()), |branch| branch.render(registry, context, render_context, output))
    }
}

/// A value that the helper cannot do without: missing is an error that names the variable.
fn present<'a>(helper: &'a Helper<'_>, name: &'static str, index: usize) -> Result<&'a Value, RenderError> {
    let given = helper.param(index).ok_or(RenderErrorReason::ParamNotFoundForIndex(name, index))?;
    if given.is_value_missing() { Err(RenderError::strict_error(given.relative_path())) } else { Ok(given.value()) }
}

/// Writes nothing, which counts against the bound of writes.
fn count_turn(
    _: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    output: &mut dyn Output,
) -> HelperResult {
    Ok(output.write("")?)
}
