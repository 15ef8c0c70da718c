//! `{{#name}}…{{else}}…{{/name}}` and `{{^name}}…{{/name}}`: blocks about a variable.

use handlebars::{
    BlockContext, Context, Handlebars, Helper, HelperDef, HelperResult, Output, PathAndJson, RenderContext,
    RenderErrorReason, Renderable,
};
use serde_json::Value;

use super::super::notation::SECTION;

/// Shown for every item of a list, within any other value, and once for `true`; the other branch where the variable is
/// missing, null, false or an empty list.
pub(super) struct Section {
    /// The branches are the other way round.
    pub(super) is_inverse: bool,
}

impl HelperDef for Section {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render_context: &mut RenderContext<'reg, 'rc>,
        output: &mut dyn Output,
    ) -> HelperResult {
        let given = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex(SECTION, 0))?;
        let mut branches = (helper.template(), helper.inverse());
        if self.is_inverse {
            branches = (branches.1, branches.0);
        }
        let (shown, other) = branches;
        let mut render = |branch: &'rc handlebars::Template, block: Option<BlockContext<'rc>>| {
            let is_scope = block.is_some();
            if let Some(block) = block {
                render_context.push_block(block);
            }
            branch.render(registry, context, render_context, output)?;
            if is_scope {
                render_context.pop_block();
            }
            Ok(())
        };
        match given.value() {
            Value::Array(items) if !items.is_empty() => {
                let Some(shown) = shown else { return Ok(()) };
                for (index, item) in items.iter().enumerate() {
                    let mut block = scope(given, item, Some(index));
                    block.set_local_var("index", index.into());
                    block.set_local_var("first", (index == 0).into());
                    block.set_local_var("last", (index + 1 == items.len()).into());
                    render(shown, Some(block))?;
                }
                Ok(())
            }
            Value::Null | Value::Bool(false) | Value::Array(_) => other.map_or(Ok(()), |branch| render(branch, None)),
            Value::Bool(true) => shown.map_or(Ok(()), |branch| render(branch, None)),
            value => shown.map_or(Ok(()), |branch| render(branch, Some(scope(given, value, None)))),
        }
    }
}

/// Where `this` is what was given, or an item of it. What has a path in the data is not copied.
fn scope<'rc>(given: &PathAndJson<'rc>, value: &Value, index: Option<usize>) -> BlockContext<'rc> {
    let mut block = BlockContext::new();
    match given.context_path() {
        Some(path) => {
            *block.base_path_mut() = path.iter().cloned().chain(index.map(|index| index.to_string())).collect();
        }
        None => block.set_base_value(value.clone()),
    }
    block
}
