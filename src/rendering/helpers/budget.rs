//! What one part may cost: steps, time, and how deep partials may stand in each other.

use std::cell::Cell;
use std::time::Duration;

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderError, RenderErrorReason,
    ScopedJson,
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;

use super::super::output::written;

/// The names under which a loop's turn, and the beginning and end of a partial are counted. No template can call them: they are
/// not words of the language.
pub(crate) const TURN: &str = "a turn";
pub(crate) const ENTER: &str = "a partial";
pub(crate) const LEAVE: &str = "the end of a partial";

/// The name under which a variable is written.
pub(crate) const VALUE: &str = "a value";

/// The most steps for one part: an expression in a turn of a loop is one, and so are 64 bytes that are written or that a
/// helper looks at. A list of a thousand items with ten expressions each takes a tenth of it.
const STEPS_MAX: usize = 100_000;

/// The longest that one part may keep the processor, for what steps do not tell: within a partial the engine copies what a variable
/// leads to. An ordinary mail takes less than a millisecond. Time in which the thread does not run is not counted: how busy a
/// machine is must not decide about a message.
const TIME_MAX: Duration = Duration::from_millis(400);

/// The time is asked for once in so many payments: it costs as much as several of them.
const PAYMENTS_PER_LOOK: u32 = 16;

/// How deep partials may include each other.
const PARTIALS_MAX: usize = 16;

/// How deep partials and the blocks around them may stand in each other: what the stack must hold.
const DEPTH_MAX: usize = 48;

/// What a value takes besides its text.
const NODE_BYTES: usize = 32;

/// What is left to the render that runs on this thread. Handlebars hands its helpers nothing of the caller's, and a render
/// neither waits nor changes threads.
struct Budget {
    steps: Cell<usize>,
    /// Of the thread's processor time.
    until: Cell<Duration>,
    payments: Cell<u32>,
    partials: Cell<usize>,
    depth: Cell<usize>,
    /// What the engine copies for a partial, in steps.
    data_steps: Cell<usize>,
}

thread_local! {
    static BUDGET: Budget = const {
        Budget {
            steps: Cell::new(0),
            until: Cell::new(Duration::ZERO),
            payments: Cell::new(0),
            partials: Cell::new(0),
            depth: Cell::new(0),
            data_steps: Cell::new(0),
        }
    };
}

/// Grants the budget for one part; `true` afterwards if it was not enough.
pub(crate) fn with_budget<T>(data: &Value, has_partials: bool, render: impl FnOnce() -> T) -> (T, bool) {
    BUDGET.with(|budget| {
        budget.steps.set(STEPS_MAX);
        budget.until.set(processor_time() + TIME_MAX);
        budget.payments.set(0);
        budget.partials.set(0);
        budget.depth.set(0);
        budget.data_steps.set(if has_partials { size(data) / 64 } else { 0 });
    });
    let result = render();
    (result, BUDGET.with(|budget| budget.steps.get() == 0))
}

/// What this thread has had of the processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

pub(super) fn spend(steps: usize) -> Result<(), RenderError> {
    let left = BUDGET.with(|budget| {
        let mut left = budget.steps.get().saturating_sub(steps);
        let payments = budget.payments.get().wrapping_add(1);
        budget.payments.set(payments);
        if payments % PAYMENTS_PER_LOOK == 0 && processor_time() > budget.until.get() {
            left = 0;
        }
        budget.steps.set(left);
        left
    });
    if left == 0 { Err(RenderErrorReason::Other("too many steps".to_owned()).into()) } else { Ok(()) }
}

/// Pays for looking at a whole value.
pub(super) fn spend_on(value: &Value) -> Result<(), RenderError> {
    spend(1 + size(value) / 64)
}

/// Pays for text that is written; nothing is written when the budget is used up.
pub(crate) fn paid(text: String) -> String {
    if text.len() > 256 && spend(text.len() / 64).is_err() { String::new() } else { text }
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

/// Registers what counts. Nothing of it writes anything.
pub(super) fn register(registry: &mut Handlebars<'static>) {
    registry.register_helper(TURN, Box::new(count_turn));
    registry.register_helper(ENTER, Box::new(enter));
    registry.register_helper(LEAVE, Box::new(leave));
    registry.register_helper(VALUE, Box::new(Written));
}

fn first(helper: &Helper<'_>) -> usize {
    let value = helper.param(0).and_then(|value| value.value().as_u64()).unwrap_or(1);
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Spends what the turn costs.
fn count_turn(
    helper: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    _: &mut dyn Output,
) -> HelperResult {
    spend(first(helper))
}

/// Before a partial: it stands within so many blocks.
fn enter(
    helper: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    _: &mut dyn Output,
) -> HelperResult {
    let is_too_deep = BUDGET.with(|budget| {
        budget.partials.set(budget.partials.get() + 1);
        budget.depth.set(budget.depth.get() + first(helper));
        budget.partials.get() > PARTIALS_MAX || budget.depth.get() > DEPTH_MAX
    });
    if is_too_deep {
        return Err(RenderErrorReason::NestedError(Box::new(TooDeep)).into());
    }
    spend(1 + BUDGET.with(|budget| budget.data_steps.get()))
}

fn leave(
    helper: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    _: &mut dyn Output,
) -> HelperResult {
    BUDGET.with(|budget| {
        budget.partials.set(budget.partials.get().saturating_sub(1));
        budget.depth.set(budget.depth.get().saturating_sub(first(helper)));
    });
    Ok(())
}

/// A variable, as it is written.
struct Written;

impl HelperDef for Written {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let given = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex(VALUE, 0))?;
        if given.is_value_missing() {
            return Err(RenderError::strict_error(given.relative_path()));
        }
        spend_on(given.value())?;
        Ok(ScopedJson::Derived(Value::String(written(given.value()).into_owned())))
    }
}

/// Partials include each other without end, or in too many blocks.
#[derive(Debug, thiserror::Error)]
#[error("partials more than {PARTIALS_MAX} deep in each other, or within more than {DEPTH_MAX} blocks")]
pub(crate) struct TooDeep;
