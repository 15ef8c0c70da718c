//! The helpers that a template may call: those of handlebars that fit a message, and a few of our own.

use std::cell::Cell;

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

/// The most steps for one part: an expression in a turn of a loop is one, and so are 64 bytes that a helper looks at.
/// Some 50 ms at worst; a list of a thousand items with ten expressions each takes a tenth of it.
const STEPS_MAX: usize = 100_000;

/// What a value takes besides its text.
const NODE_BYTES: usize = 32;

thread_local! {
    /// The steps left to the render that runs on this thread. Handlebars hands its helpers nothing of the caller's, and a
    /// render neither waits nor changes threads.
    static STEPS_LEFT: Cell<usize> = const { Cell::new(0) };
}

/// Grants the steps for one part; `true` afterwards if they were not enough.
pub(super) fn with_steps<T>(render: impl FnOnce() -> T) -> (T, bool) {
    STEPS_LEFT.set(STEPS_MAX);
    let result = render();
    (result, STEPS_LEFT.get() == 0)
}

fn spend(steps: usize) -> Result<(), RenderError> {
    let left = STEPS_LEFT.get().saturating_sub(steps);
    STEPS_LEFT.set(left);
    if left == 0 { Err(RenderErrorReason::Other("too many steps".to_owned()).into()) } else { Ok(()) }
}

/// Pays for looking at a whole value.
fn spend_on(value: &Value) -> Result<(), RenderError> {
    spend(1 + size(value) / 64)
}

fn size(value: &Value) -> usize {
    NODE_BYTES
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(size).sum(),
            Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + size(value)).sum(),
            _ => 0,
        }
}

/// Registers our own helpers, some of them in the place of handlebars' own: these name a missing variable and spend steps.
pub(super) fn register(registry: &mut Handlebars<'static>) {
    registry.unregister_helper("log");
    registry.unregister_helper("raw");
    registry.register_helper("upper", Box::new(Letters { name: "upper", change: |text| text.to_uppercase() }));
    registry.register_helper("lower", Box::new(Letters { name: "lower", change: |text| text.to_lowercase() }));
    registry.register_helper("default", Box::new(DefaultValue));
    registry.register_helper("lookup", Box::new(Lookup));
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
        let value = present(helper, self.name, 0)?;
        spend_on(value)?;
        let text = match value {
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
        spend_on(value)?;
        Ok(ScopedJson::Derived(value.clone()))
    }
}

/// `{{lookup names id}}`: an item by its index or a field by its name, where that is itself a variable.
struct Lookup;

impl HelperDef for Lookup {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let index = present(helper, "lookup", 1)?;
        let found = match present(helper, "lookup", 0)? {
            Value::Array(items) => index.as_u64().and_then(|index| items.get(usize::try_from(index).ok()?)),
            Value::Object(fields) => index.as_str().and_then(|name| fields.get(name)),
            _ => None,
        };
        let value = found.ok_or_else(|| RenderError::strict_error(None))?;
        spend_on(value)?;
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
        let (one, other) = (present(helper, self.name, 0)?, present(helper, self.name, 1)?);
        spend_on(one)?;
        spend_on(other)?;
        Ok((self.compare)(one, other))
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

/// Writes nothing, and spends what the turn costs.
fn count_turn(
    helper: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    _: &mut dyn Output,
) -> HelperResult {
    let steps = helper.param(0).and_then(|steps| steps.value().as_u64()).unwrap_or(1);
    spend(usize::try_from(steps).unwrap_or(usize::MAX))
}
