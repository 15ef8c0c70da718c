//! Comparing and choosing.

use std::cmp::Ordering;

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderError, Renderable, ScopedJson,
};
use serde_json::Value;

use super::budget::spend_on;
use super::{Args, Made};

/// `{{default name "friend"}}`: the second value where the first is missing, null or an empty text.
pub(super) fn default(args: &Args<'_, '_>) -> Made {
    let value = match args.optional(0)? {
        Some(Value::Null) | None => args.value(1)?,
        Some(Value::String(text)) if text.is_empty() => args.value(1)?,
        Some(value) => value,
    };
    Ok(value.clone())
}

/// `{{lookup names id}}`: an item by its index or a field by its name, where that is itself a variable.
pub(super) fn lookup(args: &Args<'_, '_>) -> Made {
    let index = args.value(1)?;
    // Paid for is what was found: the list it is found in is only borrowed.
    let found = match args.borrowed(0)? {
        Value::Array(items) => index.as_u64().and_then(|index| items.get(usize::try_from(index).ok()?)),
        Value::Object(fields) => index.as_str().and_then(|name| fields.get(name)),
        _ => None,
    };
    let value = found.ok_or_else(|| RenderError::strict_error(None))?;
    spend_on(value)?;
    Ok(value.clone())
}

/// Numbers are equal by what they are worth: 1 and 1.0.
pub(super) fn are_equal(one: &Value, other: &Value) -> bool {
    let has_fraction = one.is_f64() || other.is_f64();
    one == other || has_fraction && matches!((one.as_f64(), other.as_f64()), (Some(one), Some(other)) if one == other)
}

/// Which of two comes first; `None`: they cannot be compared. A text that is a number counts as the number: money is often written so.
pub(super) fn order(one: &Value, other: &Value) -> Option<Ordering> {
    let number = |value: &Value| match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    };
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one.is_i64() && other.is_i64() => {
            Some(one.as_i64().cmp(&other.as_i64()))
        }
        _ => match (number(one), number(other), one, other) {
            (Some(one), Some(other), ..) => one.partial_cmp(&other),
            (_, _, Value::String(one), Value::String(other)) => Some(one.cmp(other)),
            _ => None,
        },
    }
}

/// `{{len list}}`, `{{len text}}`: how many items, fields or characters.
pub(super) fn len(args: &Args<'_, '_>) -> Made {
    let count = match args.value(0)? {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        Value::String(text) => text.chars().count(),
        _ => return args.refuse("takes a list, an object or a text"),
    };
    Ok(Value::from(count))
}

/// Whether two values stand to each other as a helper says.
pub(super) type Compare = fn(&Value, &Value) -> bool;

/// `{{#if (eq a b)}}`, or `{{#eq a b}}` as a block.
pub(super) struct Comparison {
    pub(super) name: &'static str,
    pub(super) compare: Compare,
}

impl Comparison {
    fn holds(&self, helper: &Helper<'_>) -> Result<bool, RenderError> {
        let args = Args::new(self.name, helper, None);
        Ok((self.compare)(args.value(0)?, args.value(1)?))
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
